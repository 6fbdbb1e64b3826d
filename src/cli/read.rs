//! `tidings read`: prints events without a group.

use clap::Args;

use super::{
    client::Client,
    event::Received,
    failure::{Failure, Result},
    output::{Output, tell},
    words::{self, From, Until},
};
use crate::proto::tidings::v1::{Filter, Gap, ReadRequest, filter::Dialect, read_response::Frame};

#[derive(Debug, Args)]
pub struct Read {
    /// Topics: names, or patterns in quotes ('*' is one segment, '**' any number, 're:' begins a regular expression)
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to start: earliest, latest, or a time (RFC 3339); default: latest with --follow, else earliest
    #[arg(long, value_name = "earliest|latest|TIME|checkpoint:NAME", value_parser = words::parse_from)]
    from: Option<From>,
    /// Where to end: latest (where the end is now), or a time (RFC 3339)
    #[arg(long, value_name = "latest|TIME", value_parser = words::parse_until)]
    until: Option<Until>,
    /// Go on with new events
    #[arg(long)]
    follow: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    max: Option<i64>,
    /// Only events for which this CESQL expression is true, such as "type LIKE '%.created' AND subject = 'a-1'"
    #[arg(long, value_name = "CESQL")]
    filter: Option<String>,
}

impl Read {
    pub(super) fn prepare(self) -> ReadRequest {
        ReadRequest {
            topics: self.topics,
            start: self.from.map(From::start),
            end: self.until.map(Until::end),
            filter: self.filter.map(|cesql| Filter {
                dialect: Some(Dialect::Cesql(cesql)),
            }),
            follow: self.follow,
            max_events: self.max.unwrap_or(0),
        }
    }
}

pub(super) async fn run(request: ReadRequest, client: &Client, output: &mut Output) -> Result<()> {
    let failed = Failure::call(format!("read {}", request.topics.join(" ")));
    let mut frames = client.subscriber().read(request).await.map_err(&failed)?.into_inner();
    while let Some(response) = frames.message().await.map_err(&failed)? {
        match response.frame {
            Some(Frame::ReadEvents(events)) => {
                for event in events.events {
                    Received::from(event).print(output)?;
                }
                output.flush()?;
            }
            Some(Frame::Gap(gap)) => tell_gap(&gap),
            // Frames that this version does not know are passed over, as the API asks.
            Some(Frame::CaughtUp(_) | Frame::Heartbeat(_)) | None => {}
        }
    }
    Ok(())
}

pub(super) fn tell_gap(gap: &Gap) {
    tell(format!(
        "tidings: events are gone: {}/{} from offset {} to {} (exclusive)",
        gap.topic, gap.partition, gap.from_offset, gap.to_offset
    ));
}
