//! The events of all loads: 1 KiB of JSON text and the attributes that most events have.

use bytes::Bytes;
use prost::Message as _;
use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
    tidings::v1::PublishRequest,
};

pub(crate) const TOPIC: &str = "bench";
/// Events in a request or message.
pub(crate) const BATCH: u64 = 100;
/// Different requests: enough keys that the scheduler of keys has no easy life and no hard one.
const REQUESTS: u64 = 64;

pub(crate) fn event(number: u64) -> CloudEvent {
    let string = |text: String| Attr::CeString(text);
    let time = prost_types::Timestamp {
        seconds: 1_747_869_141,
        nanos: 677_647_000,
    };
    let attributes = [
        ("subject", string(format!("order-{number:012}"))),
        ("time", Attr::CeTimestamp(time)),
        ("datacontenttype", string("application/json".to_owned())),
    ];
    CloudEvent {
        id: format!("0196e40b-7e19-7de6-a918-{number:012}"),
        source: "https://shop.example/orders".into(),
        spec_version: "1.0".into(),
        r#type: "io.shop.orders.created".into(),
        attributes: attributes
            .map(|(name, attr)| (name.to_owned(), CloudEventAttributeValue { attr: Some(attr) }))
            .into(),
        data: Some(Data::TextData(format!("{{\"text\":\"{}\"}}", "x".repeat(1024 - 11)))),
    }
}

pub(crate) fn request(first: u64, count: u64) -> PublishRequest {
    PublishRequest {
        events: (first..first + count).map(event).collect(),
        topic: TOPIC.to_owned(),
        ..PublishRequest::default()
    }
}

/// Requests as they go over the wire, so that the client spends little.
pub(crate) fn encoded_requests(events: u64) -> Vec<Bytes> {
    (0..REQUESTS)
        .map(|number| request(number * events, events).encode_to_vec().into())
        .collect()
}
