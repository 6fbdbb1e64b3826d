//! `tidings topics`: list, show, create, delete.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use clap::{Args, Subcommand};

use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
    table::{Pairs, Table},
    words,
};
use crate::{
    config::units::ByteSize,
    proto::tidings::v1::{
        Cleanup, CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListTopicsRequest, Topic, TopicSettings,
    },
};

#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Lists all topics
    List {
        /// The bus's own topics (tidings.*) too
        #[arg(long)]
        internal: bool,
    },
    /// Shows a topic with its partitions
    Show { topic: String },
    /// Creates a topic
    Create(Create),
    /// Deletes a topic with all its events, for good
    Delete {
        topic: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    topic: String,
    /// How many partitions; default: the server's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: Option<i32>,
    /// How long events are kept, such as 12h or 7d; 0s = for ever
    #[arg(long, value_name = "DURATION", value_parser = words::parse_duration)]
    retention: Option<Duration>,
    /// How many bytes each partition keeps, such as 1GiB; 0 = no limit
    #[arg(long, value_name = "SIZE", value_parser = words::parse_size)]
    retention_bytes: Option<ByteSize>,
    /// Keep only the newest event of each key
    #[arg(long)]
    compact: bool,
}

pub(super) async fn run(command: TopicsCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        TopicsCommand::List { internal } => list(client, internal, output).await,
        TopicsCommand::Show { topic } => show(client, topic, output).await,
        TopicsCommand::Create(create) => self::create(client, create, output).await,
        TopicsCommand::Delete { topic, yes } => {
            if !yes {
                confirm(&topic)?;
            }
            delete(client, topic).await
        }
    }
}

async fn list(client: &Client, internal: bool, output: &mut Output) -> Result<()> {
    let mut topics = Vec::new();
    let mut request = ListTopicsRequest {
        page_size: 1000,
        internal,
        ..ListTopicsRequest::default()
    };
    loop {
        let page = client.topics().list_topics(request.clone()).await;
        let page = page.map_err(Failure::call("list topics"))?.into_inner();
        topics.extend(page.topics);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let mut table = Table::new(&["TOPIC", ">PARTITIONS", "RETENTION", "CLEANUP", "CREATED"]);
    for topic in &topics {
        let settings = topic.settings.unwrap_or_default();
        table.row([
            topic.name.clone(),
            words::or_dash(settings.partitions),
            retention(&settings),
            cleanup(&settings),
            words::time(topic.create_time.as_ref()),
        ]);
    }
    output.rows(&table, &topics)
}

async fn show(client: &Client, name: String, output: &mut Output) -> Result<()> {
    let what = format!("show topic {name}");
    let response = client.topics().get_topic(GetTopicRequest { name }).await;
    let topic = response
        .map_err(Failure::call(what))?
        .into_inner()
        .topic
        .unwrap_or_default();
    output.one(text(&topic), &topic)
}

async fn create(client: &Client, create: Create, output: &mut Output) -> Result<()> {
    let what = format!("create topic {}", create.topic);
    let bytes = |size: ByteSize| i64::try_from(size.0).unwrap_or(i64::MAX);
    let settings = TopicSettings {
        partitions: create.partitions,
        retention: create.retention.map(words::to_proto),
        retention_bytes: create.retention_bytes.map(bytes),
        cleanup: if create.compact {
            Cleanup::Compact
        } else {
            Cleanup::Unspecified
        }
        .into(),
    };
    let request = CreateTopicRequest {
        name: create.topic,
        settings: Some(settings),
    };
    let response = client.topics().create_topic(request).await;
    let topic = response
        .map_err(Failure::call(what))?
        .into_inner()
        .topic
        .unwrap_or_default();
    output.one(text(&topic), &topic)
}

async fn delete(client: &Client, name: String) -> Result<()> {
    let what = format!("delete topic {name}");
    let done = format!("deleted topic {name}");
    let response = client.topics().delete_topic(DeleteTopicRequest { name }).await;
    response.map_err(Failure::call(what))?;
    tell(done);
    Ok(())
}

/// Asks whoever sits at the terminal; where nobody does, `--yes` is needed.
fn confirm(topic: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "topics delete: deletes all events for good; say --yes to mean it",
        ));
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(
        stderr,
        "Deletes all events of {topic} for good. Type the topic's name to go on: "
    );
    let _ = stderr.flush();
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::local("read the answer", error))?;
    match answer.trim() == topic {
        true => Ok(()),
        false => Err(Failure::Local("not deleted".to_owned())),
    }
}

fn text(topic: &Topic) -> String {
    let settings = topic.settings.unwrap_or_default();
    let mut text = Pairs(&[
        ("topic", topic.name.clone()),
        ("partitions", words::or_dash(settings.partitions)),
        ("retention", retention(&settings)),
        ("cleanup", cleanup(&settings)),
        ("created", words::time(topic.create_time.as_ref())),
    ])
    .to_string();
    if !topic.partitions.is_empty() {
        let mut table = Table::new(&[">PARTITION", ">START", ">END", ">EVENTS"]);
        for state in &topic.partitions {
            let numbers = [state.start, state.end, state.end - state.start].map(|number| number.to_string());
            let [start, end, events] = numbers;
            table.row([state.partition.to_string(), start, end, events]);
        }
        text.push_str(&format!("\n{table}"));
    }
    text
}

fn retention(settings: &TopicSettings) -> String {
    let time = match &settings.retention {
        Some(time) if time.seconds > 0 || time.nanos > 0 => words::duration(Some(time)),
        _ => "for ever".to_owned(),
    };
    match settings.retention_bytes {
        Some(bytes) if bytes > 0 => format!("{time}, {}", words::size_or(bytes, "")),
        _ => time,
    }
}

fn cleanup(settings: &TopicSettings) -> String {
    let word = match settings.cleanup() {
        Cleanup::Compact => "compact",
        Cleanup::Delete | Cleanup::Unspecified => "delete",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tidings::v1::TopicPartitionState;

    #[test]
    fn a_topic_is_shown_with_its_partitions() {
        let topic = Topic {
            name: "orders".to_owned(),
            settings: Some(TopicSettings {
                partitions: Some(1),
                retention: Some(words::to_proto(Duration::from_secs(7 * 86_400))),
                retention_bytes: Some(1 << 30),
                cleanup: Cleanup::Delete.into(),
            }),
            partitions: vec![TopicPartitionState {
                partition: 0,
                start: 3,
                end: 10,
            }],
            create_time: None,
        };
        let expected = "topic       orders\npartitions  1\nretention   7d, 1GiB\ncleanup     delete\ncreated     -\n\
            \nPARTITION  START  END  EVENTS\n        0      3   10       7\n";
        assert_eq!(text(&topic), expected);
    }
}
