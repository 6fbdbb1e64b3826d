//! The verbs of the bus: publish, read, subscribe, topics, groups.

pub mod delivery;
