//! The lean messages say what the generated ones say.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::{EventsWriter, IncomingEvent, PublishRequest};
use crate::{
    event::tests::any_event,
    proto::{
        event::to_proto,
        tidings::v1::{self as wire, read_response, subscribe_response},
    },
};

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written(event in any_event()) {
        let wire = to_proto(event.clone());
        let expected = crate::proto::event::from_proto(wire.clone());
        let read = IncomingEvent::decode(Bytes::from(wire.encode_to_vec())).expect("the same message");
        prop_assert_eq!(read.check(), expected);
    }

    #[test]
    fn deliveries_are_written_as_the_generated_messages_are_read(event in any_event(), id in 1u64..1 << 50) {
        let head = wire::Delivery { id, attempt: 1, key: Some(Bytes::from_static(b"k")), ..Default::default() };
        let mut writer = EventsWriter::with_capacity(0);
        writer.deliver(&head, &event);
        writer.deliver(&head, &event);
        let message = wire::SubscribeResponse::decode(&*writer.into_deliveries().encode_to_vec()).expect("a message");
        let whole = wire::Delivery { event: Some(to_proto(event)), ..head };
        let deliveries = wire::Deliveries { deliveries: vec![whole.clone(), whole] };
        prop_assert_eq!(message.frame, Some(subscribe_response::Frame::Deliveries(deliveries)));
    }

    #[test]
    fn read_events_are_written_as_the_generated_messages_are_read(event in any_event()) {
        let head = wire::ReadEvent { key: None, ..Default::default() };
        let mut writer = EventsWriter::with_capacity(0);
        writer.read(&head, &event);
        let message = wire::ReadResponse::decode(&*writer.into_read_events().encode_to_vec()).expect("a message");
        let whole = wire::ReadEvent { event: Some(to_proto(event)), ..head };
        let read = wire::ReadEvents { events: vec![whole] };
        prop_assert_eq!(message.frame, Some(read_response::Frame::ReadEvents(read)));
    }

    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = PublishRequest::decode(Bytes::from(bytes)) {
            request.events.into_iter().for_each(|event| drop(event.check()));
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_a_fault_that_names_the_attribute() {
    let bad = Bytes::from_static(&[0x0a, 1, 0xff, 0x2a, 7, 0x0a, 1, b'a', 0x12, 2, 0x1a, 0]);
    let faults = IncomingEvent::decode(bad)
        .expect("a message")
        .check()
        .expect_err("not UTF-8");
    assert_eq!((faults[0].field.as_str(), &*faults[0].rule), ("id", "is not UTF-8"));
}
