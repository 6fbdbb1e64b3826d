//! Log lines: how they are written, and how severe they must be, which changes while the server runs.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, fmt,
    layer::SubscriberExt as _,
    reload,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::error::{Error, Reason, Result};

/// For people, or for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLines {
    Text,
    /// One JSON object each.
    Json,
}

/// What changes how severe lines must be. Cloning it is cheap.
#[derive(Clone)]
pub struct LogLevels(reload::Handle<LevelFilter, Registry>);

impl LogLevels {
    /// Lines of this process go to stderr from now on. `Err` if they go elsewhere already.
    pub fn to_stderr(least: LevelFilter, lines: LogLines) -> Result<Self> {
        let (filter, handle) = reload::Layer::new(least);
        let written = fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr);
        let written = match lines {
            LogLines::Text => written.boxed(),
            // The call that a line is of, once: there are no spans within spans.
            LogLines::Json => written.json().flatten_event(true).with_span_list(false).boxed(),
        };
        let begun = tracing_subscriber::registry().with(filter).with(written).try_init();
        begun.map_err(|error: TryInitError| failed("begin", error))?;
        Ok(Self(handle))
    }

    /// Less severe lines than this are not written from now on.
    pub fn set(&self, least: LevelFilter) -> Result<()> {
        self.0.reload(least).map_err(|error| failed("change", error))
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Reason::Internal, format!("{what} the log: {error}"))
}
