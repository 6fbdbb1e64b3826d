//! Checkpoints for the wire and from it.

use std::collections::{BTreeMap, HashMap};

use super::{invalid, position, positions, timestamp};
use crate::{
    bus::{CheckpointInfo, CheckpointRow, DeleteCheckpoint, NewCheckpoint},
    error::{Error, Fault, Reason, Result},
    grpc::asked,
    name::{CheckpointName, CheckpointRef, Group},
    proto::tidings::v1 as wire,
};

const MAX_CONTENT_TYPE: usize = 200;
const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL: usize = 256;
const HASH: usize = 32;

/// What is to be put. Who asks is not in the request.
pub(in crate::grpc) fn new_checkpoint(header: wire::PutCheckpointHeader, by: &str) -> Result<NewCheckpoint> {
    let positions = wire::Positions {
        positions: header.positions,
    };
    let size = header.size.map(u64::try_from).transpose();
    Ok(NewCheckpoint {
        name: CheckpointName::new(&header.name, "header.name")?,
        positions: self::positions(positions).map_err(|error| within_header(&error))?,
        group: group(&header.group, header.group_epoch)?,
        expected_generation: header.expected_generation,
        content_type: content_type(header.content_type)?,
        labels: labels(header.labels)?,
        size: size.map_err(|_| invalid("header.size", "is not negative"))?,
        sha256: hash(&header.sha256)?,
        request_id: asked::request_id(header.request_id).map_err(|error| within_header(&error))?,
        by: by.to_owned(),
    })
}

/// Which one is to be read.
pub(in crate::grpc) fn checkpoint_ref(name: &str, generation: u64) -> Result<CheckpointRef> {
    Ok(CheckpointRef {
        name: CheckpointName::new(name, "name")?,
        generation: (generation > 0).then_some(generation),
    })
}

/// Which one is to be deleted, and why.
pub(in crate::grpc) fn delete_checkpoint(request: wire::DeleteCheckpointRequest, by: &str) -> Result<DeleteCheckpoint> {
    if request.reason.trim().is_empty() {
        return Err(invalid("reason", "says why: it is audited"));
    }
    Ok(DeleteCheckpoint {
        name: CheckpointName::new(&request.name, "name")?,
        expected_generation: request.expected_generation,
        reason: asked::reason(request.reason)?,
        request_id: asked::request_id(request.request_id)?,
        by: by.to_owned(),
    })
}

pub(in crate::grpc) fn checkpoint(info: &CheckpointInfo) -> wire::Checkpoint {
    let tie = info.tie.as_ref();
    wire::Checkpoint {
        name: info.name.to_string(),
        generation: info.generation,
        positions: info
            .positions
            .iter()
            .map(|(at, offset)| position(at, *offset))
            .collect(),
        size: i64::try_from(info.size).unwrap_or(i64::MAX),
        sha256: info.sha256.to_vec().into(),
        content_type: info.content_type.clone(),
        labels: info.labels.clone().into_iter().collect(),
        group: tie.map_or_else(String::new, |tie| tie.group.to_string()),
        group_epoch: tie.map_or(0, |tie| tie.epoch),
        create_time: Some(timestamp(info.created)),
        principal: info.by.clone(),
        damaged: false,
    }
}

pub(in crate::grpc) fn listed_checkpoint(row: &CheckpointRow) -> wire::Checkpoint {
    match row {
        CheckpointRow::Whole(info) => checkpoint(info),
        CheckpointRow::Damaged { name, generation } => wire::Checkpoint {
            name: name.to_string(),
            generation: *generation,
            damaged: true,
            ..Default::default()
        },
    }
}

fn group(name: &str, epoch: Option<u64>) -> Result<Option<(Group, u64)>> {
    match (name, epoch) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(invalid("header.group_epoch", "has no meaning without group")),
        (_, None) => {
            let rule = "is set with group: the epoch that the positions come from, as Opened tells it";
            Err(invalid("header.group_epoch", rule))
        }
        (name, Some(epoch)) => Ok(Some((Group::new(name)?, epoch))),
    }
}

fn content_type(text: String) -> Result<String> {
    match text.chars().count() > MAX_CONTENT_TYPE {
        true => {
            let rule = format!("has at most {MAX_CONTENT_TYPE} characters");
            Err(invalid("header.content_type", rule))
        }
        false => Ok(text),
    }
}

fn labels(labels: HashMap<String, String>) -> Result<BTreeMap<String, String>> {
    if labels.len() > MAX_LABELS {
        return Err(invalid("header.labels", format!("has at most {MAX_LABELS} labels")));
    }
    let is_key = |key: &str| (1..=MAX_LABEL_KEY).contains(&key.chars().count());
    if !labels.keys().all(|key| is_key(key)) {
        let rule = format!("keys have 1 to {MAX_LABEL_KEY} characters");
        return Err(invalid("header.labels", rule));
    }
    if labels.values().any(|value| value.chars().count() > MAX_LABEL) {
        let rule = format!("values have at most {MAX_LABEL} characters");
        return Err(invalid("header.labels", rule));
    }
    Ok(labels.into_iter().collect())
}

fn hash(bytes: &[u8]) -> Result<Option<[u8; HASH]>> {
    match bytes.len() {
        0 => Ok(None),
        _ => {
            let hash = bytes.try_into().map(Some);
            hash.map_err(|_| invalid("header.sha256", format!("is empty or has {HASH} bytes")))
        }
    }
}

/// The same faults, seen from the frame.
fn within_header(error: &Error) -> Error {
    let faults = error.field_faults().iter().cloned();
    let faults: Vec<Fault> = faults.map(|fault| fault.within("header.")).collect();
    match faults.is_empty() {
        true => error.repeated(),
        false => Error::faults(error.reason(), faults),
    }
}

/// A frame that came where it may not.
pub(in crate::grpc) fn unexpected(rule: &str) -> Error {
    Error::fault(Reason::FrameUnexpected, "frame", rule)
}
