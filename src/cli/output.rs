//! Where a command's words go: results to stdout, in the format asked for; talk to stderr.

use std::{
    fmt::Display,
    io::{self, BufWriter, IsTerminal as _, Write},
};

use super::{arguments::Format, failure::Result, json, table::Table};

/// Results, buffered; nothing is seen before [`Output::flush`].
pub struct Output {
    format: Format,
    sink: Box<dyn Write + Send>,
}

impl Output {
    pub fn stdout(format: Format) -> Self {
        Self::to(format, BufWriter::with_capacity(64 * 1024, io::stdout()))
    }

    pub(super) fn to(format: Format, sink: impl Write + Send + 'static) -> Self {
        let sink = Box::new(sink);
        Self { format, sink }
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub fn line(&mut self, text: impl Display) -> Result<()> {
        Ok(writeln!(self.sink, "{text}")?)
    }

    /// A line of bytes that are text already.
    pub(super) fn bytes(&mut self, line: &[u8]) -> Result<()> {
        self.sink.write_all(line)?;
        Ok(self.sink.write_all(b"\n")?)
    }

    /// Rows: a table for people, each row's message for scripts.
    pub(super) fn rows<M: json::Named>(&mut self, table: &Table, messages: &[M]) -> Result<()> {
        match self.format {
            Format::Text => self.text(table),
            Format::Json => messages.iter().try_for_each(|message| self.message(message)),
        }
    }

    /// One thing: text for people, its message for scripts.
    pub(super) fn one<M: json::Named>(&mut self, text: impl Display, message: &M) -> Result<()> {
        match self.format {
            Format::Text => self.text(text),
            Format::Json => self.message(message),
        }
    }

    pub(super) fn message<M: json::Named>(&mut self, message: &M) -> Result<()> {
        self.line(json::of(message)?)
    }

    /// Text that ends its lines itself.
    pub fn text(&mut self, text: impl Display) -> Result<()> {
        Ok(write!(self.sink, "{text}")?)
    }

    pub fn flush(&mut self) -> Result<()> {
        Ok(self.sink.flush()?)
    }
}

/// Says something to the person at the terminal. A stderr that is closed hears nothing.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person watches.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
