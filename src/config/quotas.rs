//! `[[auth.quotas]]`: how much each tenant, or each principal, may.

use super::{reader::Reader, units::ByteSize};

/// One of `[[auth.quotas]]`; what is `None` is not bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    pub who: Who,
    pub publish_events_per_second: Option<f64>,
    pub publish_bytes_per_second: Option<ByteSize>,
    pub streams: Option<u32>,
    pub outstanding_bytes: Option<ByteSize>,
    pub replay_events_per_second: Option<f64>,
}

/// Each of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Tenants(Vec<String>),
    Principals(Vec<String>),
}

pub(super) fn read(reader: &mut Reader, key: &str) -> Vec<Quota> {
    let tables = reader.take_tables(key);
    let mut quotas = Vec::new();
    for mut table in tables {
        quotas.extend(quota(&mut table));
        reader.finish_table(table);
    }
    quotas
}

fn quota(table: &mut Reader) -> Option<Quota> {
    let tenants = table.optional("tenants");
    let principals = table.optional("principals");
    let is_one = tenants.is_some() != principals.is_some();
    table.demand(
        "tenants",
        is_one,
        "or principals must say whose, one of both; [\"*\"] is each",
    );
    let who = tenants.map(Who::Tenants).or_else(|| principals.map(Who::Principals));
    let mut rate = |key: &str| {
        let rate = table.optional::<f64>(key);
        table.demand(key, rate.is_none_or(|rate| rate > 0.0), "must be more than 0");
        rate
    };
    let publish_events_per_second = rate("publish_events_per_second");
    let replay_events_per_second = rate("replay_events_per_second");
    let mut bytes = |key: &str| {
        let bytes = table.optional::<ByteSize>(key);
        table.demand(key, bytes.is_none_or(|bytes| bytes.0 > 0), "must be more than 0");
        bytes
    };
    let publish_bytes_per_second = bytes("publish_bytes_per_second");
    let outstanding_bytes = bytes("outstanding_bytes");
    Some(Quota {
        who: who?,
        publish_events_per_second,
        publish_bytes_per_second,
        streams: table.optional("streams"),
        outstanding_bytes,
        replay_events_per_second,
    })
}
