//! The messages that carry events, as the server reads and writes them: the same bytes, without a `CloudEvent` between.
//!
//! - Read: every text and all data are slices of the request. Texts are checked as UTF-8 with the event, so that the fault
//!   names the attribute.
//! - Written: events stand in the message as bytes, each written once, straight from the `Event`.

mod codec;
mod read;
mod write;

#[allow(
    clippy::all,
    clippy::too_many_lines,
    rustdoc::all,
    unused_imports,
    reason = "generated"
)]
pub mod servers {
    include!(concat!(env!("OUT_DIR"), "/lean/tidings.v1.rs"));
}

pub use self::{
    codec::LeanCodec,
    read::{IncomingEvent, PublishRequest, PublishStreamRequest},
    servers::{
        publisher_service_server::{PublisherService, PublisherServiceServer},
        state_service_server::{StateService, StateServiceServer},
        subscriber_service_server::{SubscriberService, SubscriberServiceServer},
    },
    write::{Encoded, EventsWriter},
};

pub type SubscribeResponse = Encoded;
pub type ReadResponse = Encoded;
pub type RestoreResponse = Encoded;

#[cfg(test)]
mod tests;
