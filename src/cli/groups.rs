//! `tidings groups`: list, show and delete.

use clap::Subcommand;

use super::{
    client::Client,
    failure::{Failure, Result},
    output::Output,
    table::{Pairs, Table},
    words,
};
use crate::proto::tidings::v1::{
    DeleteGroupRequest, GetGroupRequest, Group, GroupPartition, Kind, ListGroupsRequest, OldestUnacked, State,
};

#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// Lists all groups
    List,
    /// Shows a group: where it stands in each partition, and how far behind it is
    Show { group: String },
    /// Deletes a group: its settings and offsets. Its dead letters stay
    Delete {
        group: String,
        /// End its streams if it has some
        #[arg(long)]
        force: bool,
        /// Why; it is logged, and told to the streams
        #[arg(long)]
        reason: String,
        /// Makes the command repeatable: the same id deletes once
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
}

pub(super) async fn run(command: GroupsCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        GroupsCommand::List => list(client, output).await,
        GroupsCommand::Show { group } => show(client, group, output).await,
        GroupsCommand::Delete {
            group,
            force,
            reason,
            request_id,
        } => {
            let request = DeleteGroupRequest {
                group,
                force,
                reason,
                request_id,
            };
            delete(client, request, output).await
        }
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<()> {
    let mut groups = Vec::new();
    let mut request = ListGroupsRequest {
        page_size: 1000,
        ..ListGroupsRequest::default()
    };
    loop {
        let page = client.offsets().list_groups(request.clone()).await;
        let page = page.map_err(Failure::call("list groups"))?.into_inner();
        groups.extend(page.groups);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let mut table = Table::new(&["GROUP", "STATE", ">STREAMS", ">LAG", ">BEHIND", "TOPICS"]);
    for group in &groups {
        table.row([
            group.name.clone(),
            state(group),
            group.streams.to_string(),
            group.lag_events.to_string(),
            words::duration(group.lag_time.as_ref()),
            group.topics.join(" "),
        ]);
    }
    output.rows(&table, &groups)
}

async fn show(client: &Client, group: String, output: &mut Output) -> Result<()> {
    let what = format!("show group {group}");
    let response = client.offsets().get_group(GetGroupRequest { group }).await;
    let group = response
        .map_err(Failure::call(what))?
        .into_inner()
        .group
        .unwrap_or_default();
    output.one(text(&group), &group)
}

async fn delete(client: &Client, request: DeleteGroupRequest, output: &mut Output) -> Result<()> {
    let group = request.group.clone();
    let response = client.offsets().delete_group(request).await;
    let response = response
        .map_err(Failure::call(format!("delete group {group}")))?
        .into_inner();
    let left = match response.dead_letters {
        0 => String::new(),
        count => format!("; dead letters that stay: {count}"),
    };
    output.one(format!("deleted group {group}{left}\n"), &response)
}

fn text(group: &Group) -> String {
    let mut text = Pairs(&[
        ("group", group.name.clone()),
        ("state", state(group)),
        ("topics", group.topics.join(" ")),
        ("streams", streams_on(group)),
        ("lag", words::events(group.lag_events.unsigned_abs())),
        ("behind", words::duration(group.lag_time.as_ref())),
        ("revision", group.revision.to_string()),
        ("created", words::time(group.create_time.as_ref())),
        ("last commit", words::time(group.last_commit_time.as_ref())),
        ("oldest", oldest(group)),
        ("loss", loss(group)),
    ])
    .to_string();
    if !group.partitions.is_empty() {
        text.push_str(&format!("\n{}", partitions(group)));
    }
    if !group.open_streams.is_empty() {
        text.push_str(&format!("\n{}", streams(group)));
    }
    text
}

/// `3 on 2 replicas`
fn streams_on(group: &Group) -> String {
    match group.members {
        0 | 1 => group.streams.to_string(),
        members => format!("{} on {members} replicas", group.streams),
    }
}

/// What was lost of all partitions, or else when something will be first.
fn loss(group: &Group) -> String {
    let lost: i64 = group.partitions.iter().map(|partition| partition.lost_events).sum();
    let times = group.partitions.iter().filter_map(|partition| partition.time_to_loss);
    let first = times.min_by_key(|time| (time.seconds, time.nanos));
    loss_in(lost, first.as_ref())
}

fn partition_loss(partition: &GroupPartition) -> String {
    loss_in(partition.lost_events, partition.time_to_loss.as_ref())
}

/// `LOST 120`, `in 3h`
fn loss_in(lost: i64, time: Option<&prost_types::Duration>) -> String {
    match (lost, time) {
        (0, None) => "-".to_owned(),
        (0, time) => format!("in {}", words::duration(time)),
        (lost, _) => format!("LOST {lost}"),
    }
}

/// The event that is out for longest, which is the one to look at where a group is stuck.
fn oldest(group: &Group) -> String {
    let unacked = group
        .partitions
        .iter()
        .filter_map(|partition| partition.oldest.as_ref());
    let age = |oldest: &&OldestUnacked| oldest.age.map(|age| (age.seconds, age.nanos));
    let Some(oldest) = unacked.max_by_key(age) else {
        return "-".to_owned();
    };
    let at = oldest.position.clone().unwrap_or_default();
    let (age, attempt) = (words::duration(oldest.age.as_ref()), oldest.attempt);
    let place = format!("{}/{} offset {}", at.topic, at.partition, at.offset);
    format!(
        "{place}, out for {age}, attempt {attempt}, key hash {:016x}",
        oldest.key_hash
    )
}

fn partitions(group: &Group) -> Table {
    let columns = [
        "TOPIC",
        ">PARTITION",
        ">COMMITTED",
        ">END",
        ">LAG",
        ">BEHIND",
        ">OUT",
        ">LOSS",
        "OWNER",
    ];
    let mut table = Table::new(&columns);
    for partition in &group.partitions {
        table.row([
            partition.topic.clone(),
            partition.partition.to_string(),
            words::or_dash(partition.committed),
            partition.end.to_string(),
            partition.lag_events.to_string(),
            words::duration(partition.lag_time.as_ref()),
            partition.outstanding.to_string(),
            partition_loss(partition),
            words::or_dash(Some(&partition.owner_replica_id).filter(|owner| !owner.is_empty())),
        ]);
    }
    table
}

fn streams(group: &Group) -> Table {
    let mut table = Table::new(&["STREAM", "CLIENT", "REPLICA", ">OUT", "OPENED"]);
    for stream in &group.open_streams {
        table.row([
            stream.stream_id.clone(),
            words::one_line(&stream.client_id, 40),
            stream.replica_id.clone(),
            stream.outstanding_events.to_string(),
            words::time(stream.open_time.as_ref()),
        ]);
    }
    table
}

fn state(group: &Group) -> String {
    let word = match group.state() {
        State::Unspecified | State::Empty => "empty",
        State::Active => "active",
        State::Rebalancing => "rebalancing",
        State::Resetting => "resetting",
    };
    match group.kind() {
        Kind::Kafka => format!("{word} (kafka)"),
        Kind::Unspecified | Kind::Tidings => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tidings::v1::{GroupStream, Position};

    #[test]
    fn a_group_is_shown_with_its_partitions() {
        let group = Group {
            name: "billing".to_owned(),
            state: State::Active.into(),
            topics: vec!["orders".to_owned()],
            partitions: vec![GroupPartition {
                topic: "orders".to_owned(),
                end: 7,
                lag_events: 7,
                time_to_loss: Some(words::to_proto(std::time::Duration::from_secs(3 * 3600))),
                oldest: Some(OldestUnacked {
                    position: Some(Position {
                        topic: "orders".to_owned(),
                        partition: 0,
                        offset: 3,
                    }),
                    age: prost_types::Duration::try_from(std::time::Duration::from_secs(90)).ok(),
                    key_hash: 0xab,
                    attempt: 4,
                }),
                ..GroupPartition::default()
            }],
            members: 2,
            streams: 1,
            open_streams: vec![GroupStream {
                replica_id: "0a1b2c3d".to_owned(),
                stream_id: "0a1b2c3d-1".to_owned(),
                client_id: "worker\n1".to_owned(),
                outstanding_events: 4,
                ..GroupStream::default()
            }],
            ..Group::default()
        };
        let text = text(&group);
        assert!(
            text.starts_with("group        billing\nstate        active\n"),
            "{text}"
        );
        assert!(
            text.contains("oldest       orders/0 offset 3, out for ")
                && text.contains(", attempt 4, key hash 00000000000000ab\n"),
            "{text}"
        );
        assert!(
            text.contains("orders          0          -    7    7       -    0  in 3h  -\n"),
            "{text}"
        );
        assert!(text.contains("streams      1 on 2 replicas\n"), "{text}");
        assert!(text.contains("loss         in 3h\n"), "{text}");
        assert_eq!(loss_in(120, None), "LOST 120");
        assert!(text.ends_with("0a1b2c3d-1  worker 1  0a1b2c3d    4  -\n"), "{text}");
    }
}
