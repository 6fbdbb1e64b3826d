//! `[commands]`: the topic of commands, and how long and how many are waited for.

use std::time::Duration;

use super::reader::Reader;
use crate::name::Topic;

/// `[commands]`
#[derive(Clone, Debug, PartialEq)]
pub struct Commands {
    pub topic: Topic,
    pub retention: Duration,
    pub max_timeout: Duration,
    pub outstanding: u32,
}

pub(super) fn read(reader: &mut Reader) -> Commands {
    let longer_than_zero = |time: Duration| !time.is_zero();
    let commands = Commands {
        topic: reader.take("commands.topic"),
        retention: reader.take_if("commands.retention", longer_than_zero, "longer than 0"),
        max_timeout: reader.take_if("commands.max_timeout", longer_than_zero, "longer than 0"),
        outstanding: reader.take_if("commands.outstanding", |count: u32| count >= 1, "at least 1"),
    };
    let rule = "begins with tidings., so that only the bus writes to it; and is not one of its other topics";
    let own = ["tidings.groups", "tidings.control", "tidings.audit"];
    let name = commands.topic.as_str();
    let is_free = name.starts_with("tidings.") && !own.contains(&name) && !name.starts_with("tidings.dead-letters.");
    reader.demand("commands.topic", is_free, rule.to_owned());
    commands
}
