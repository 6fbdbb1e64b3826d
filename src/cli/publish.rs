//! `tidings publish`: one event from flags, or many from a file.

mod flags;
mod lines;
mod pipeline;

use std::path::PathBuf;

use clap::Args;

use self::flags::EventFlags;
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

pub(super) async fn run(publish: Publish, client: &Client, output: &mut Output) -> Result<()> {
    let template = PublishRequest {
        topic: publish.topic.unwrap_or_default(),
        key: publish.key.map(Into::into),
        ..PublishRequest::default()
    };
    match publish.from {
        None => one(publish.event, template, client, output).await,
        Some(path) => {
            let source = lines::Source::open(&path)?;
            let published = pipeline::run(source, template, client, output).await?;
            tell(format!("published {}", words::events(published)));
            Ok(())
        }
    }
}

async fn one(flags: EventFlags, template: PublishRequest, client: &Client, output: &mut Output) -> Result<()> {
    let request = PublishRequest {
        events: vec![to_proto(flags.event()?)],
        ..template
    };
    let response = client.publisher().publish(request).await;
    let response = response.map_err(Failure::call("publish"))?.into_inner();
    for result in response.results {
        let position = result.position.unwrap_or_default();
        let text = format!("{}\n", words::position(&position));
        output.one(text, &position)?;
    }
    Ok(())
}
