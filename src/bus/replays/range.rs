//! What a replay sends: what was asked for as offsets, of each partition of the group.

use super::{ReplayRange, StartReplay};
use crate::{
    bus::{End, Inner, Start, groups::GroupRecord, start::named},
    error::{Error, Reason, Result},
    log::{Bounds, TopicPartition},
    name::{Selector, Topic},
};

impl Inner {
    /// In order of their partitions. Partitions that positions do not name are not replayed.
    pub(super) async fn ranges_of(&self, record: &GroupRecord, asked: &StartReplay) -> Result<Vec<ReplayRange>> {
        check_times(asked)?;
        let topics = &record.settings.topics;
        let mut partitions = self.existing_partitions(topics).await?;
        check_topics(asked, &partitions)?;
        partitions.retain(|partition| is_asked(&asked.topics, &partition.topic));
        let bounds = self.bounds_of(topics, &mut partitions).await?;
        check_positions(asked, &partitions, &bounds)?;
        let starts = self.resolve_start(&asked.start, &partitions, &bounds).await?;
        let ends = self.resolve_end(&asked.end, &partitions, &bounds).await?;
        let mut ranges = Vec::with_capacity(partitions.len());
        for ((partition, from), until) in partitions.into_iter().zip(starts).zip(ends) {
            if !is_named(asked, &partition) {
                continue;
            }
            if until < from {
                let (topic, number) = (&partition.topic, partition.partition);
                let rule = format!("lies before the start: in {topic}/{number}, offset {until} is before {from}");
                return Err(fault("end", rule));
            }
            ranges.push(ReplayRange { partition, from, until });
        }
        if ranges.is_empty() {
            return Err(fault("start", "and end have no partition of the group in common"));
        }
        ranges.sort_by(|one, other| one.partition.cmp(&other.partition));
        Ok(ranges)
    }
}

fn check_times(asked: &StartReplay) -> Result<()> {
    match (&asked.start, &asked.end) {
        (Start::Time(start), End::Time(end)) if end < start => Err(fault("end.time", "is before start.time")),
        _ => Ok(()),
    }
}

/// What is asked for is the group's.
fn check_topics(asked: &StartReplay, partitions: &[TopicPartition]) -> Result<()> {
    for (index, selector) in asked.topics.iter().enumerate() {
        if !partitions.iter().any(|partition| means(selector, &partition.topic)) {
            let rule = match selector {
                Selector::Topic(_) => format!("{selector} is not a topic of group {}", asked.group),
                Selector::Pattern(_) => format!("{selector} matches no topic of group {}", asked.group),
            };
            return Err(fault(format!("topics[{index}]"), rule));
        }
    }
    Ok(())
}

/// A replay ends where the log ends when it is started, or before.
fn check_positions(asked: &StartReplay, partitions: &[TopicPartition], bounds: &[Bounds]) -> Result<()> {
    let check = |positions: &[(TopicPartition, i64)], field: &str| {
        named(positions, partitions, field)?;
        for (index, (partition, offset)) in positions.iter().enumerate() {
            let place = partitions.iter().position(|one| one == partition);
            let end = place.map_or(0, |place| bounds[place].end);
            if *offset > end {
                let rule = format!("lies behind the partition's end, which is {end}");
                return Err(fault(format!("{field}[{index}]"), rule));
            }
        }
        Ok(())
    };
    if let Start::Positions(positions) = &asked.start {
        check(positions, "start.positions")?;
    }
    if let End::Positions(positions) = &asked.end {
        check(positions, "end.positions")?;
    }
    Ok(())
}

fn is_named(asked: &StartReplay, partition: &TopicPartition) -> bool {
    let names = |positions: &[(TopicPartition, i64)]| positions.iter().any(|(named, _)| named == partition);
    let by_start = match &asked.start {
        Start::Positions(positions) => names(positions),
        _ => true,
    };
    by_start
        && match &asked.end {
            End::Positions(positions) => names(positions),
            _ => true,
        }
}

fn is_asked(topics: &[Selector], topic: &Topic) -> bool {
    topics.is_empty() || topics.iter().any(|selector| means(selector, topic))
}

fn means(selector: &Selector, topic: &Topic) -> bool {
    match selector {
        Selector::Topic(named) => named == topic,
        Selector::Pattern(pattern) => pattern.matches(topic.as_str()),
    }
}

fn fault(field: impl Into<String>, rule: impl Into<String>) -> Error {
    Error::fault(Reason::RequestInvalid, field, rule)
}
