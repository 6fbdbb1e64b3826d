//! Topics for the wire and from it.

use super::{invalid, period, timestamp};
use crate::{
    error::Result,
    log::{Bounds, Cleanup, TopicInfo, TopicSettings},
    proto::tidings::v1 as wire,
};

/// Settings from the wire, over what is there where they are unset.
pub(in crate::grpc) fn settings_over(base: TopicSettings, over: Option<wire::TopicSettings>) -> Result<TopicSettings> {
    let Some(over) = over else { return Ok(base) };
    let mut settings = base;
    if let Some(partitions) = over.partitions {
        settings.partitions = partitions;
    }
    if let Some(retention) = period(over.retention, "settings.retention")? {
        settings.retention = (!retention.is_zero()).then_some(retention);
    }
    if let Some(bytes) = over.retention_bytes {
        let bytes = u64::try_from(bytes).map_err(|_| invalid("settings.retention_bytes", "is not negative"))?;
        settings.retention_bytes = (bytes > 0).then_some(bytes);
    }
    match wire::Cleanup::try_from(over.cleanup) {
        Ok(wire::Cleanup::Unspecified) => {}
        Ok(wire::Cleanup::Delete) => settings.cleanup = Cleanup::Delete,
        Ok(wire::Cleanup::Compact) => settings.cleanup = Cleanup::Compact,
        Err(_) => return Err(invalid("settings.cleanup", "is not a value of the enumeration")),
    }
    Ok(settings)
}

pub(in crate::grpc) fn topic_info(info: &TopicInfo, bounds: &[Bounds]) -> wire::Topic {
    let cleanup = match info.settings.cleanup {
        Cleanup::Delete => wire::Cleanup::Delete,
        Cleanup::Compact => wire::Cleanup::Compact,
    };
    let settings = wire::TopicSettings {
        partitions: Some(info.settings.partitions),
        retention: Some(crate::grpc::duration(info.settings.retention.unwrap_or_default())),
        retention_bytes: Some(
            info.settings
                .retention_bytes
                .map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ),
        cleanup: cleanup.into(),
    };
    let state = |(partition, bounds): (i32, &Bounds)| wire::TopicPartitionState {
        partition,
        start: bounds.start,
        end: bounds.end,
    };
    wire::Topic {
        name: info.name.to_string(),
        settings: Some(settings),
        partitions: (0..).zip(bounds).map(state).collect(),
        create_time: info.created.map(timestamp),
    }
}
