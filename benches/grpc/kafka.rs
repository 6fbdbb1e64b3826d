//! What only Kafka is measured by: many readers of one fetch, latency beside raw clients, and idle groups.

pub(crate) mod broker;
pub(crate) mod raw;

mod follow;
mod groups;
mod latency;

use broker::Broker;

use crate::Result;

/// What is named here, besides the loads.
pub(crate) async fn measure(broker: &Broker, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
    if is_wanted("follow") {
        follow::measure(broker).await?;
    }
    if is_wanted("latency") {
        latency::publish(broker).await?;
    }
    if is_wanted("end-to-end") {
        latency::end_to_end(broker).await?;
    }
    if is_wanted("idle") {
        groups::measure(broker).await?;
    }
    Ok(())
}
