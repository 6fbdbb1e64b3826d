//! Whether positions can be those of a checkpoint: of partitions that exist, no further than their ends, each once.

use rustc_hash::FxHashSet;

use crate::{
    bus::Inner,
    error::{Error, Fault, Reason, Result},
    log::TopicPartition,
};

/// So that a manifest stays small.
const MOST: usize = 10_000;

pub(super) type Positions = [(TopicPartition, i64)];

impl Inner {
    /// All faults at once, by their places.
    pub(super) async fn check_positions(&self, positions: &Positions) -> Result<()> {
        if positions.len() > MOST {
            let rule = format!("names at most {MOST} partitions");
            return Err(Error::fault(Reason::RequestInvalid, "header.positions", rule));
        }
        let (mut faults, mut seen) = (Vec::new(), FxHashSet::default());
        let mut known = Vec::new();
        for (index, (partition, offset)) in positions.iter().enumerate() {
            let rule = match self.log.partitions(&partition.topic).await? {
                None => Some(format!("topic {} does not exist", partition.topic)),
                Some(count) if !(0..count).contains(&partition.partition) => Some(format!(
                    "{}/{} does not exist: the topic has {count} partitions",
                    partition.topic, partition.partition
                )),
                Some(_) if !seen.insert(partition) => Some("each partition has at most one position".to_owned()),
                Some(_) if *offset < 0 => Some(format!("an offset is not negative; this is {offset}")),
                Some(_) => None,
            };
            match rule {
                Some(rule) => faults.push(fault(index, rule)),
                None => known.push((index, partition.clone(), *offset)),
            }
        }
        let partitions: Vec<TopicPartition> = known.iter().map(|(_, partition, _)| partition.clone()).collect();
        let ends = self.log.bounds(&partitions).await?.into_iter().map(|bounds| bounds.end);
        for ((index, partition, offset), end) in known.into_iter().zip(ends).filter(|((.., at), end)| at > end) {
            let (topic, number) = (&partition.topic, partition.partition);
            faults.push(fault(
                index,
                format!("offset {offset} lies behind the end of {topic}/{number}, which is {end}"),
            ));
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::faults(Reason::RequestInvalid, faults)),
        }
    }
}

fn fault(index: usize, rule: String) -> Fault {
    Fault::new(format!("header.positions[{index}]"), rule)
}
