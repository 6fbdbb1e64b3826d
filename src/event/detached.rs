//! An event with memory of its own, where what it was read with is not to be kept for its sake.

use bytes::Bytes;
use bytestring::ByteString;

use super::{Data, Event, Value};

impl Event {
    /// The same, copied: it shares no bytes with others of its batch.
    pub(crate) fn detached(&self) -> Self {
        let attribute = |(name, value): &(ByteString, Value)| (text(name), value.detached());
        Self {
            id: text(&self.id),
            source: text(&self.source),
            ty: text(&self.ty),
            attributes: self.attributes.iter().map(attribute).collect(),
            data: match &self.data {
                Data::None => Data::None,
                Data::Binary(bytes) => Data::Binary(Bytes::copy_from_slice(bytes)),
                Data::Text(data) => Data::Text(text(data)),
                Data::Proto(bytes) => Data::Proto(Bytes::copy_from_slice(bytes)),
            },
        }
    }
}

impl Value {
    fn detached(&self) -> Self {
        match self {
            Self::Boolean(value) => Self::Boolean(*value),
            Self::Integer(value) => Self::Integer(*value),
            Self::String(value) => Self::String(text(value)),
            Self::Binary(value) => Self::Binary(Bytes::copy_from_slice(value)),
            Self::Uri(value) => Self::Uri(text(value)),
            Self::UriRef(value) => Self::UriRef(text(value)),
            Self::Timestamp(value) => Self::Timestamp(text(value)),
        }
    }
}

fn text(shared: &ByteString) -> ByteString {
    let shared: &str = shared;
    shared.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::event::tests::any_event;

    proptest! {
        #[test]
        fn a_detached_event_is_the_same(event in any_event()) {
            prop_assert_eq!(event.detached(), event);
        }
    }
}
