//! What only Kafka makes possible or necessary: its brokers, the suite of any log on them, replicas that share groups.

mod brokers;
mod creation;
mod dead_letters;
mod faults;
mod foreign_groups;
mod graves;
mod members;
mod notes;
mod patterns;
mod producer;
mod promises;
mod replicas;
mod secured;
mod snapshots;
mod stranded;
