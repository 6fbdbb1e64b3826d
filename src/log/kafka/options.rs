//! Where the cluster is, and what the log may use.

use crate::log::AppendTimes;

/// How the log stands on a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port`, several with commas.
    pub bootstrap_servers: String,
    /// What every topic's name on the cluster begins with; topics without it do not exist for this log.
    pub topic_prefix: String,
    /// The group.id of a group; `{group}` stands for its name.
    pub group_id: String,
    /// Topics that the log creates take records of at least so many bytes.
    pub max_record_bytes: usize,
    /// Bytes of records that may wait to be written; appends beyond it wait.
    pub queue_bytes: usize,
    /// Bytes that may be fetched and not read yet, over all partitions.
    pub fetch_bytes: usize,
    /// Properties of librdkafka; they go over those of this log.
    pub properties: Vec<(String, String)>,
    /// Hears how long the records of each append took, from when librdkafka had them until the brokers did.
    pub append_times: AppendTimes,
}

impl Options {
    /// On this cluster, names unchanged.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic_prefix: String::new(),
            group_id: "{group}".to_owned(),
            max_record_bytes: 16 << 20,
            queue_bytes: 64 << 20,
            fetch_bytes: 32 << 20,
            properties: Vec::new(),
            append_times: AppendTimes::default(),
        }
    }

    /// What is set for a property of librdkafka, if it is.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().rev().find(|(set, _)| set == name);
        found.map(|(_, value)| value.as_str())
    }
}
