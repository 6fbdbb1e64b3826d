//! Messages as the client needs them: requests that are encoded already, and of answers only what is asked for.

use bytes::Bytes;

/// `PublishRequest` and `PublishStreamRequest`, already encoded: a message and its bytes look the same.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EncodedStreamRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) publish: Bytes,
}

/// A request of one event: field 1 is the event.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EncodedRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) event: Bytes,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
}

/// An answer whose content does not matter.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Nothing {}

/// `PublishStreamResponse`: 2 is the response, 3 an error.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StreamAnswer {
    #[prost(message, optional, tag = "2")]
    pub(crate) response: Option<Nothing>,
}

/// `ReadResponse` and `SubscribeResponse`: what holds events is field 1 of the first and field 2 of the second.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadMessage {
    #[prost(message, optional, tag = "1")]
    pub(crate) events: Option<ReadEvents>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReadEvents {
    #[prost(message, repeated, tag = "1")]
    pub(crate) events: Vec<Nothing>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubscribeMessage {
    #[prost(message, optional, tag = "2")]
    pub(crate) deliveries: Option<Deliveries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Deliveries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) deliveries: Vec<Delivery>,
}

/// Of a `Delivery` its id and key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Delivery {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) key: Option<Bytes>,
}
