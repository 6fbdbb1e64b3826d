//! `tidings snapshots`: create, list, show, delete.

mod show;

use clap::Subcommand;

use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
};
use crate::proto::tidings::v1::{
    CreateSnapshotRequest, DeleteSnapshotRequest, GetSnapshotRequest, ListSnapshotsRequest,
};

#[derive(Debug, Subcommand)]
pub enum SnapshotsCommand {
    /// Takes a snapshot of a topic: the newest event of each key, as everything is now; waits until it is durable
    Create {
        topic: String,
        /// Why; it is kept with the snapshot
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Makes the command repeatable: the same id takes one snapshot
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
    /// Lists snapshots by topic, the newest of each first
    List {
        /// Only of this topic
        #[arg(default_value = "", hide_default_value = true)]
        topic: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        max: u64,
    },
    /// Shows a snapshot: what it holds of each partition, or how far it is
    Show {
        /// TOPIC@ID, or a topic for its newest one
        snapshot: String,
    },
    /// Removes a snapshot
    Delete {
        /// TOPIC@ID
        snapshot: String,
        /// Why; it is audited
        #[arg(long)]
        reason: String,
        /// Makes the command repeatable: the same id gets the same answer
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
}

pub(super) async fn run(command: SnapshotsCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        SnapshotsCommand::Create {
            topic,
            reason,
            request_id,
        } => {
            let request = CreateSnapshotRequest {
                topic,
                reason,
                request_id,
            };
            create(request, client, output).await
        }
        SnapshotsCommand::List { topic, max } => list(topic, max, client, output).await,
        SnapshotsCommand::Show { snapshot } => show(snapshot, client, output).await,
        SnapshotsCommand::Delete {
            snapshot,
            reason,
            request_id,
        } => {
            let request = DeleteSnapshotRequest {
                name: snapshot,
                reason,
                request_id,
            };
            delete(request, client).await
        }
    }
}

async fn create(request: CreateSnapshotRequest, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("take a snapshot of {}", request.topic);
    let answer = client.state().create_snapshot(request).await;
    let snapshot = answer
        .map_err(Failure::call(what))?
        .into_inner()
        .snapshot
        .unwrap_or_default();
    output.one(show::snapshot(&snapshot), &snapshot)?;
    if snapshot.partitions.iter().any(|held| held.missing.is_some()) {
        tell("tidings: events were gone before a snapshot had them: keys may be missing");
    }
    Ok(())
}

async fn list(topic: String, max: u64, client: &Client, output: &mut Output) -> Result<()> {
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    let mut request = ListSnapshotsRequest {
        topic,
        page_size: i32::try_from(max.min(1_000)).unwrap_or(1_000),
        page_token: String::new(),
    };
    let mut snapshots = Vec::new();
    while snapshots.len() < most {
        let page = client.state().list_snapshots(request.clone()).await;
        let page = page.map_err(Failure::call("list snapshots"))?.into_inner();
        snapshots.extend(page.snapshots);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    snapshots.truncate(most);
    output.rows(&show::table(&snapshots), &snapshots)
}

async fn show(name: String, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("show snapshot {name}");
    let answer = client.state().get_snapshot(GetSnapshotRequest { name }).await;
    let snapshot = answer
        .map_err(Failure::call(what))?
        .into_inner()
        .snapshot
        .unwrap_or_default();
    output.one(show::snapshot(&snapshot), &snapshot)
}

async fn delete(request: DeleteSnapshotRequest, client: &Client) -> Result<()> {
    let what = format!("delete snapshot {}", request.name);
    let name = request.name.clone();
    client
        .state()
        .delete_snapshot(request)
        .await
        .map_err(Failure::call(what))?;
    tell(format!("deleted snapshot {name}"));
    Ok(())
}
