//! A record's headers in one piece of bytes: built once, stored as they are, read without copying.
//!
//! Layout, repeated: name length (u16), name, value length plus one (u32; 0 = null value), value; all little-endian.

use bytes::{Buf as _, BufMut, Bytes, BytesMut};

/// Headers in order; names may repeat, values may be null. Any bytes can be asked for headers: reading stops where they
/// make no sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// As a log stored them.
    pub fn from_encoded(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// As a log stores them.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of names, values and their lengths.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Bytes of one header within [`Self::size`].
    pub fn size_of(name: &[u8], value: Option<&[u8]>) -> usize {
        2 + name.len() + 4 + value.map_or(0, <[u8]>::len)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + use<> {
        let mut rest = self.0.clone();
        std::iter::from_fn(move || take_header(&mut rest))
    }

    /// The same without a share of the bytes for each name and value.
    pub fn slices(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let lens = Lens::of_first(rest)?;
            let (name, after_name) = rest[2..].split_at(lens.name);
            let (value, after_value) = after_name[4..].split_at(lens.value.unwrap_or(0));
            rest = after_value;
            Some((name, lens.value.map(|_| value)))
        })
    }
}

/// How long a header's name and value are; they are all there.
struct Lens {
    name: usize,
    /// `None` = null.
    value: Option<usize>,
}

impl Lens {
    fn of_first(encoded: &[u8]) -> Option<Self> {
        let name = usize::from(u16::from_le_bytes(encoded.get(..2)?.try_into().ok()?));
        let after_name = 2 + name;
        let stored = u32::from_le_bytes(encoded.get(after_name..after_name + 4)?.try_into().ok()?) as usize;
        let value = stored.checked_sub(1);
        let is_whole = encoded.len() >= after_name + 4 + value.unwrap_or(0);
        is_whole.then_some(Self { name, value })
    }
}

/// Takes the next header off; name and value are each one slice of what is left.
fn take_header(rest: &mut Bytes) -> Option<(Bytes, Option<Bytes>)> {
    let lens = Lens::of_first(rest)?;
    rest.advance(2);
    let name = rest.split_to(lens.name);
    rest.advance(4);
    let value = rest.split_to(lens.value.unwrap_or(0));
    Some((name, lens.value.map(|_| value)))
}

/// Builds headers in one buffer.
#[derive(Debug, Default)]
pub struct HeadersBuilder(BytesMut);

impl HeadersBuilder {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// Adds a header. A name longer than 65,535 bytes is cut: no valid name is.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.add_parts(&[name], Some(value));
    }

    /// Adds all headers of others, as far as they make sense.
    pub fn add_all(&mut self, headers: &Headers) {
        let whole: usize = headers
            .slices()
            .map(|(name, value)| Headers::size_of(name, value))
            .sum();
        self.0.extend_from_slice(&headers.0[..whole]);
    }

    /// Adds a header whose name is given in parts.
    pub fn add_parts(&mut self, name: &[&str], value: Option<&[u8]>) {
        encode(name, value, &mut self.0);
    }

    pub fn build(self) -> Headers {
        Headers(self.0.freeze())
    }
}

/// Adds one header at the end of a buffer.
pub(super) fn encode(name: &[&str], value: Option<&[u8]>, into: &mut BytesMut) {
    let len: usize = name.iter().map(|part| part.len()).sum();
    into.put_u16_le(u16::try_from(len).unwrap_or(u16::MAX));
    let mut room = usize::from(u16::MAX);
    for part in name {
        let part = &part.as_bytes()[..part.len().min(room)];
        room -= part.len();
        into.put_slice(part);
    }
    match value {
        None => into.put_u32_le(0),
        Some(value) => {
            into.put_u32_le(u32::try_from(value.len() + 1).unwrap_or(u32::MAX));
            into.put_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_was_built_is_read(headers in vec(("[a-z_]{0,20}", option::of(vec(any::<u8>(), 0..40))), 0..10)) {
            let mut builder = HeadersBuilder::default();
            for (name, value) in &headers {
                builder.add_parts(&[name], value.as_deref());
            }
            let built = builder.build();
            let of_slice = |(name, value): (&[u8], Option<&[u8]>)| {
                (String::from_utf8(name.to_vec()).expect("written as text"), value.map(<[u8]>::to_vec))
            };
            let shared: Vec<_> = built.iter().map(|(name, value)| of_slice((&name, value.as_deref()))).collect();
            prop_assert_eq!(&shared, &headers);
            prop_assert_eq!(built.slices().map(of_slice).collect::<Vec<_>>(), headers);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in vec(any::<u8>(), 0..200)) {
            let headers = Headers::from_encoded(bytes.into());
            prop_assert_eq!(headers.iter().count(), headers.slices().count());
        }
    }
}
