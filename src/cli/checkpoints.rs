//! `tidings checkpoints`: list, show, put and delete the states that clients keep.

mod bytes;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
    words,
};
use crate::proto::tidings::v1::{
    Checkpoint, DeleteCheckpointRequest, GetCheckpointRequest, ListCheckpointsRequest, Position, Positions,
    PutCheckpointHeader, get_checkpoint_response::Frame,
};

#[derive(Debug, Subcommand)]
pub enum CheckpointsCommand {
    /// Lists checkpoints; of one, its generations, newest first
    List {
        name: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        max: u64,
    },
    /// Shows where a checkpoint stands, or writes its bytes
    Show {
        /// NAME, or NAME@GENERATION for an older one
        #[arg(value_parser = parse_checkpoint)]
        checkpoint: Wanted,
        /// Write its bytes there ('-' = stdout, and nothing else); the file appears once they are whole
        #[arg(long, value_name = "FILE|-")]
        data: Option<PathBuf>,
    },
    /// Stores bytes as the newest generation of a checkpoint
    Put(Box<Put>),
    /// Deletes a checkpoint with all its generations
    Delete {
        name: String,
        /// Why; it is audited
        #[arg(long)]
        reason: String,
        /// Only if this is its newest generation
        #[arg(long, value_name = "GENERATION")]
        expect: Option<u64>,
        /// Makes the command repeatable
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
}

#[derive(Debug, Args)]
pub struct Put {
    name: String,
    /// What to store ('-' = stdin)
    #[arg(long, value_name = "FILE|-")]
    data: PathBuf,
    /// What comes next in each partition, several with commas; default: it stands nowhere
    #[arg(long = "at", value_name = "TOPIC/PARTITION/OFFSET", value_parser = words::parse_positions)]
    positions: Option<Positions>,
    /// Commit this group there
    #[arg(long, requires_all = ["epoch", "positions"])]
    group: Option<String>,
    /// The group's epoch that the positions come from (`groups show`)
    #[arg(long, requires = "group")]
    epoch: Option<u64>,
    /// Only if this is its newest generation; 0 = only if there is none
    #[arg(long, value_name = "GENERATION")]
    expect: Option<u64>,
    /// What the bytes are, such as application/json
    #[arg(long, default_value = "", hide_default_value = true)]
    content_type: String,
    /// KEY=VALUE, to find it by; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Makes the command repeatable: the same id stores once
    #[arg(long, default_value = "", hide_default_value = true)]
    request_id: String,
}

/// A checkpoint by its name; generation 0 = the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    name: String,
    generation: u64,
}

pub(super) async fn run(command: CheckpointsCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        CheckpointsCommand::List { name, max } => list(name.unwrap_or_default(), max, client, output).await,
        CheckpointsCommand::Show { checkpoint, data: None } => show(checkpoint, client, output).await,
        CheckpointsCommand::Show {
            checkpoint,
            data: Some(file),
        } => bytes::get(request(&checkpoint), &file, client, output).await,
        CheckpointsCommand::Put(put) => self::put(*put, client, output).await,
        CheckpointsCommand::Delete {
            name,
            reason,
            expect,
            request_id,
        } => {
            let request = DeleteCheckpointRequest {
                name,
                expected_generation: expect,
                reason,
                request_id,
            };
            delete(request, client).await
        }
    }
}

async fn list(name: String, max: u64, client: &Client, output: &mut Output) -> Result<()> {
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    let mut request = ListCheckpointsRequest {
        name,
        page_size: i32::try_from(max.min(1_000)).unwrap_or(1_000),
        page_token: String::new(),
    };
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    while checkpoints.len() < most {
        let page = client.state().list_checkpoints(request.clone()).await;
        let page = page.map_err(Failure::call("list checkpoints"))?.into_inner();
        checkpoints.extend(page.checkpoints);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    checkpoints.truncate(most);
    output.rows(&show::table(&checkpoints), &checkpoints)
}

async fn show(wanted: Wanted, client: &Client, output: &mut Output) -> Result<()> {
    let failed = Failure::call(format!("show checkpoint {}", wanted.name));
    let mut frames = client
        .state()
        .get_checkpoint(request(&wanted))
        .await
        .map_err(&failed)?
        .into_inner();
    // The bytes are not waited for.
    while let Some(response) = frames.message().await.map_err(&failed)? {
        if let Some(Frame::Checkpoint(checkpoint)) = response.frame {
            return output.one(show::checkpoint(&checkpoint), &checkpoint);
        }
    }
    Err(Failure::Local("the server said nothing of the checkpoint".to_owned()))
}

async fn put(put: Put, client: &Client, output: &mut Output) -> Result<()> {
    let header = PutCheckpointHeader {
        name: put.name,
        positions: put.positions.map_or_else(Vec::new, |at| at.positions),
        group: put.group.unwrap_or_default(),
        group_epoch: put.epoch,
        expected_generation: put.expect,
        content_type: put.content_type,
        labels: put.labels.into_iter().collect(),
        request_id: put.request_id,
        ..Default::default()
    };
    let stored = bytes::put(header, &put.data, client).await?;
    output.one(show::checkpoint(&stored), &stored)
}

async fn delete(request: DeleteCheckpointRequest, client: &Client) -> Result<()> {
    let name = request.name.clone();
    let deleted = client.state().delete_checkpoint(request).await;
    deleted.map_err(Failure::call(format!("delete checkpoint {name}")))?;
    tell(format!("deleted checkpoint {name}"));
    Ok(())
}

fn request(wanted: &Wanted) -> GetCheckpointRequest {
    GetCheckpointRequest {
        name: wanted.name.clone(),
        generation: wanted.generation,
    }
}

fn parse_checkpoint(text: &str) -> Result<Wanted, String> {
    let (name, generation) = match text.split_once('@') {
        None => (text, 0),
        Some((name, number)) => {
            let number = number.parse().ok().filter(|number| *number > 0);
            (name, number.ok_or("NAME, or NAME@GENERATION with a generation from 1")?)
        }
    };
    Ok(Wanted {
        name: name.to_owned(),
        generation,
    })
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `orders/0/17, orders/1/20`
fn positions(positions: &[Position]) -> String {
    let texts: Vec<String> = positions.iter().map(words::position).collect();
    texts.join(", ")
}
