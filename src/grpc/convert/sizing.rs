//! How many events go into a message, and whether one is too large for any.

use crate::{
    bus::Item,
    error::{Error, Reason, Result},
    grpc::size::Size,
    log::TopicPartition,
    proto::lean::Encoded,
};

/// As many as make a message of about the target size, at least one; `None` = there are none.
pub(super) fn first_part<T>(items: &[T], bytes: Size, size: impl Fn(&T) -> usize) -> Option<&[T]> {
    let mut filled = 0;
    let fits = |item: &&T| {
        filled += size(item);
        filled <= bytes.target
    };
    let fitting = items.iter().take_while(fits).count();
    (!items.is_empty()).then(|| &items[..fitting.max(1)])
}

/// No event counts for less.
pub(super) const SMALLEST: usize = 256;

/// More than the event takes on the wire: framing of an attribute costs less than half of what its header does, and 64 more.
pub(super) fn estimate(item: &Item, partition: &TopicPartition) -> usize {
    let raw = item.size as usize;
    raw + raw / 8 + partition.topic.as_str().len() + SMALLEST
}

/// Only a part of one event can be too large: the target is half the limit.
pub(super) fn check_size(item: &Item, partition: &TopicPartition, message: &Encoded, max_bytes: usize) -> Result<()> {
    if item.size as usize * 2 < max_bytes || message.len() <= max_bytes {
        return Ok(());
    }
    let (topic, number) = (&partition.topic, partition.partition);
    let text = format!(
        "the event at {topic}/{number} offset {} needs a message of {} bytes; this client takes {max_bytes} (max_frame_bytes)",
        item.offset,
        message.len()
    );
    Err(Error::new(Reason::EventTooLarge, text))
}
