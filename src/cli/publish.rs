//! `tidings publish`: one event from flags, or many from a file.

mod flags;
mod lines;
mod pipeline;

use std::path::PathBuf;

use clap::Args;

pub(super) use self::flags::read_data;
use self::{flags::EventFlags, lines::Source};
use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
    words,
};
use crate::proto::{event::to_proto, tidings::v1::PublishRequest};

#[derive(Debug, Args)]
pub struct Publish {
    #[command(flatten)]
    event: EventFlags,
    /// Publish the events of a file, or of stdin (-): one JSON object a line; empty lines and lines that start with # are skipped.
    /// A file with a faulty line is not published at all; stdin up to that line
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with = "event",
        required_unless_present = "type"
    )]
    from: Option<PathBuf>,
    /// The topic; default: by the server's routes, else by the event's type
    #[arg(long)]
    topic: Option<String>,
    /// The record key; default: by the server's routes, else the attribute partitionkey, else subject
    #[arg(long)]
    pub(super) key: Option<String>,
    // The same id as the global flag, so that `--key` behind `publish` is the event's.
    #[arg(long = "tls-key", id = "tls_key", hide = true, value_name = "FILE")]
    _tls_key: Option<PathBuf>,
}

/// What is to be published, checked as far as that goes without a server.
pub(super) enum Work {
    /// A request with one event.
    One(PublishRequest),
    /// Many events, each request like the template.
    Many(Source, PublishRequest),
}

impl Publish {
    pub(super) fn prepare(self) -> Result<Work> {
        let mut request = PublishRequest {
            topic: self.topic.unwrap_or_default(),
            key: self.key.map(Into::into),
            ..PublishRequest::default()
        };
        if let Some(path) = self.from {
            return Ok(Work::Many(Source::open(&path)?, request));
        }
        request.events.push(to_proto(self.event.event()?));
        Ok(Work::One(request))
    }
}

impl Work {
    pub(super) async fn run(self, client: &Client, output: &mut Output) -> Result<()> {
        match self {
            Self::One(request) => one(request, client, output).await,
            Self::Many(source, template) => {
                let published = pipeline::run(source, template, client, output).await?;
                tell(format!("published {}", words::events(published)));
                Ok(())
            }
        }
    }
}

async fn one(request: PublishRequest, client: &Client, output: &mut Output) -> Result<()> {
    let response = client.publisher().publish(request).await;
    let response = response.map_err(Failure::call("publish"))?.into_inner();
    for result in response.results {
        let position = result.position.unwrap_or_default();
        let text = format!("{}\n", words::position(&position));
        output.one(text, &position)?;
    }
    Ok(())
}
