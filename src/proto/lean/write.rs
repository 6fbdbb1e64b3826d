//! Messages to readers and subscribers, as bytes.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, encode_key, encode_varint, skip_field},
};

use crate::{
    event::{Data, Event, SPEC_VERSION, Value, attribute, timestamp},
    proto::{
        event::timestamp_to,
        tidings::v1::{self as wire, Delivery, KeyState, ReadEvent},
    },
};

/// A message whose bytes are ready. It is only ever written; read, it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Bytes of the message.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl From<wire::SubscribeResponse> for Encoded {
    fn from(message: wire::SubscribeResponse) -> Self {
        Self(message.encode_to_vec().into())
    }
}

impl From<wire::ReadResponse> for Encoded {
    fn from(message: wire::ReadResponse) -> Self {
        Self(message.encode_to_vec().into())
    }
}

impl From<wire::RestoreResponse> for Encoded {
    fn from(message: wire::RestoreResponse) -> Self {
        Self(message.encode_to_vec().into())
    }
}

/// Writes one message with many events.
pub struct EventsWriter(Vec<u8>);

impl EventsWriter {
    /// Room for about so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a delivery of this event; the delivery's own event is unset.
    pub fn deliver(&mut self, delivery: &Delivery, event: &Event) {
        self.add(delivery, DELIVERY_EVENT, event);
    }

    /// Adds an event that is read; its own event is unset.
    pub fn read(&mut self, read: &ReadEvent, event: &Event) {
        self.add(read, READ_EVENT, event);
    }

    /// Adds the state that this event is; the state's own event is unset.
    pub fn state(&mut self, state: &KeyState, event: &Event) {
        self.add(state, STATE_EVENT, event);
    }

    fn add(&mut self, head: &impl Message, field: u32, event: &Event) {
        nested(&mut self.0, 1, KIBIBYTES, |out| {
            head.encode_raw(out);
            nested(out, field, KIBIBYTES, |out| write_event(event, out));
        });
    }

    /// The whole as `SubscribeResponse.deliveries`.
    pub fn into_deliveries(self) -> Encoded {
        self.framed(SUBSCRIBE_DELIVERIES)
    }

    /// The whole as `ReadResponse.read_events`.
    pub fn into_read_events(self) -> Encoded {
        self.framed(READ_EVENTS)
    }

    /// The whole as `RestoreResponse.restore_state`.
    pub fn into_restore_state(self) -> Encoded {
        self.framed(RESTORE_STATE)
    }

    /// The whole as `RestoreResponse.read_events`.
    pub fn into_restored_events(self) -> Encoded {
        self.framed(RESTORE_EVENTS)
    }

    fn framed(mut self, field: u32) -> Encoded {
        let mut head = Vec::with_capacity(8);
        encode_key(field, WireType::LengthDelimited, &mut head);
        encode_varint(self.0.len() as u64, &mut head);
        self.0.splice(..0, head);
        Encoded(self.0.into())
    }
}

// Fields of subscriber.proto.
const SUBSCRIBE_DELIVERIES: u32 = 2;
const READ_EVENTS: u32 = 1;
const DELIVERY_EVENT: u32 = 7;
const READ_EVENT: u32 = 4;
// Fields of state.proto.
const RESTORE_STATE: u32 = 1;
const RESTORE_EVENTS: u32 = 4;
const STATE_EVENT: u32 = 5;

/// How many bytes the length of most events takes, and of most attributes.
const KIBIBYTES: usize = 2;
const SHORT: usize = 1;

/// Writes a message in a message. Its length, known afterwards, stands before it: there is room for the usual one, and what
/// was written moves where that is wrong.
fn nested(out: &mut Vec<u8>, field: u32, usual: usize, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let room = out.len()..out.len() + usual;
    out.resize(room.end, 0);
    write(out);
    let mut length = [0; 10];
    let mut free = &mut length[..];
    encode_varint((out.len() - room.end) as u64, &mut free);
    let taken = 10 - free.len();
    if taken == usual {
        out[room].copy_from_slice(&length[..taken]);
    } else {
        out.splice(room, length[..taken].iter().copied());
    }
}

fn write_event(event: &Event, out: &mut Vec<u8>) {
    for (field, text) in [(1, &*event.id), (2, &*event.source), (3, SPEC_VERSION), (4, &*event.ty)] {
        bytes(field, text.as_bytes(), out);
    }
    for (name, value) in &event.attributes {
        nested(out, 5, SHORT, |out| {
            bytes(1, name.as_bytes(), out);
            nested(out, 2, SHORT, |out| write_value(value, out));
        });
    }
    match &event.data {
        Data::None => {}
        Data::Binary(data) => bytes(6, data, out),
        Data::Text(text) => bytes(7, text.as_bytes(), out),
        Data::Proto(data) => nested(out, 8, KIBIBYTES, |out| {
            if let Some(url) = attribute::find(&event.attributes, "dataschema") {
                bytes(1, url.text().as_bytes(), out);
            }
            bytes(2, data, out);
        }),
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Boolean(value) => prost::encoding::bool::encode(1, value, out),
        Value::Integer(value) => prost::encoding::int32::encode(2, value, out),
        Value::String(text) => bytes(3, text.as_bytes(), out),
        Value::Binary(value) => bytes(4, value, out),
        Value::Uri(text) => bytes(5, text.as_bytes(), out),
        Value::UriRef(text) => bytes(6, text.as_bytes(), out),
        Value::Timestamp(text) => match timestamp::exact_instant(text).map(timestamp_to) {
            Some(time) => prost::encoding::message::encode(7, &time, out),
            None => bytes(3, text.as_bytes(), out),
        },
    }
}

fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
