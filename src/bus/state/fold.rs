//! The state of a key as a fold over its records: pure, and the same however the records are cut into parts.
//!
//! ```text
//! fold(older records) · fold(newer records) = fold(all records)
//! ```
//!
//! So a snapshot stands for everything before it, runs that were spilled stand for their records, and a restore is the product of
//! what there is.

use bytes::Bytes;

use crate::{
    convention::{self, Effect},
    log::{Cleanup, Headers, LogTime, Record, TopicPartition},
};

/// What counts as the state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The newest resource event behind the last deletion; where there is none, the newest event.
    Resource,
    /// The newest event: on a compacted topic the log keeps no other.
    Newest,
}

/// What became of a key in some records, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// What was before them counts no more.
    pub(super) is_cleared: bool,
    /// The event that counts; `None` = the key is as it was, or cleared.
    pub(super) last: Option<Kept>,
}

/// An event that is kept, as it lies on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) kind: Kind,
    pub(super) offset: i64,
    pub(super) time: LogTime,
    pub(super) payload: Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Resource,
    Other,
    /// The key has no state.
    Deletion,
}

/// Headers and value in one piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    bytes: Box<[u8]>,
    headers: usize,
    /// A null value is none; an empty one is.
    has_value: bool,
}

impl Rule {
    pub(super) fn of(cleanup: Cleanup) -> Self {
        match cleanup {
            Cleanup::Delete => Self::Resource,
            Cleanup::Compact => Self::Newest,
        }
    }

    /// What a record of this topic does.
    pub(super) fn effect(self, at: &TopicPartition, record: &Record) -> Effect {
        match (self, convention::effect(at, record)) {
            (_, Effect::DeletesAll) => Effect::DeletesAll,
            // Compaction takes it for a deletion, whatever it says.
            (Self::Newest, _) if record.value.is_none() => Effect::Deletes,
            (Self::Newest, Effect::Other) => Effect::Resource,
            (_, effect) => effect,
        }
    }
}

impl Folded {
    /// One record; `DeletesAll` is no matter of single keys.
    pub(super) fn one(effect: Effect, record: &Record) -> Self {
        let kind = match effect {
            Effect::Resource => Kind::Resource,
            Effect::Other => Kind::Other,
            Effect::Deletes | Effect::DeletesAll => Kind::Deletion,
        };
        Self {
            is_cleared: kind == Kind::Deletion,
            last: Some(Kept {
                kind,
                offset: record.offset,
                time: record.time,
                payload: Payload::of(&record.headers, record.value.as_ref()),
            }),
        }
    }

    /// Whether a record of this effect changes anything: a resource's state does not care for other events.
    pub(super) fn is_changed_by(&self, effect: Effect) -> bool {
        let is_resource = self.last.as_ref().is_some_and(|last| last.kind == Kind::Resource);
        !(is_resource && effect == Effect::Other)
    }

    /// What became of the key in both, `newer` behind these.
    #[must_use]
    pub(super) fn then(self, newer: Self) -> Self {
        if newer.is_cleared {
            return newer;
        }
        let is_resource = |kept: &Option<Kept>| kept.as_ref().is_some_and(|kept| kept.kind == Kind::Resource);
        let newer_counts = match &newer.last {
            None => false,
            Some(last) => last.kind == Kind::Resource || !is_resource(&self.last),
        };
        Self {
            is_cleared: self.is_cleared,
            last: if newer_counts { newer.last } else { self.last },
        }
    }

    /// The same in place.
    pub(super) fn push(&mut self, newer: Self) {
        let nothing = Self {
            is_cleared: false,
            last: None,
        };
        *self = std::mem::replace(self, nothing).then(newer);
    }

    /// The state; `None` = the key has none.
    pub(super) fn state(&self) -> Option<&Kept> {
        self.last.as_ref().filter(|last| last.kind != Kind::Deletion)
    }

    pub(super) fn size(&self) -> usize {
        self.last.as_ref().map_or(0, |last| last.payload.len())
    }
}

impl Kept {
    /// The record as it lay on the log.
    pub(super) fn record(&self, key: &[u8]) -> Record {
        Record {
            offset: self.offset,
            time: self.time,
            key: Some(Bytes::copy_from_slice(key)),
            value: self.payload.value().map(Bytes::copy_from_slice),
            headers: Headers::from_encoded(Bytes::copy_from_slice(self.payload.headers())),
        }
    }
}

impl Payload {
    fn of(headers: &Headers, value: Option<&Bytes>) -> Self {
        Self::new(headers.encoded(), value.map(|value| &value[..]))
    }

    pub(super) fn new(headers: &[u8], value: Option<&[u8]>) -> Self {
        let mut bytes = Vec::with_capacity(headers.len() + value.map_or(0, <[u8]>::len));
        bytes.extend_from_slice(headers);
        bytes.extend_from_slice(value.unwrap_or_default());
        Self {
            bytes: bytes.into(),
            headers: headers.len(),
            has_value: value.is_some(),
        }
    }

    pub(super) fn headers(&self) -> &[u8] {
        &self.bytes[..self.headers]
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.has_value.then(|| &self.bytes[self.headers..])
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::log::HeadersBuilder;

    pub(in crate::bus::state) fn record(offset: i64, value: Option<&str>) -> Record {
        let mut headers = HeadersBuilder::default();
        headers.add("n", offset.to_string().as_bytes());
        Record {
            offset,
            time: LogTime(offset * 10),
            key: Some(Bytes::from_static(b"k")),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
            headers: headers.build(),
        }
    }

    fn any_effect() -> impl Strategy<Value = Effect> {
        prop_oneof![
            1 => Just(Effect::Resource),
            3 => Just(Effect::Other),
            1 => Just(Effect::Deletes),
        ]
    }

    fn fold(effects: &[Effect], first: usize) -> Option<Folded> {
        let one = |(index, effect): (usize, &Effect)| {
            let offset = i64::try_from(first + index).expect("small");
            Folded::one(*effect, &record(offset, (*effect != Effect::Deletes).then_some("v")))
        };
        effects.iter().enumerate().map(one).reduce(Folded::then)
    }

    /// The rule as people say it.
    fn state_of(effects: &[Effect]) -> Option<usize> {
        let behind = effects
            .iter()
            .rposition(|effect| *effect == Effect::Deletes)
            .map_or(0, |at| at + 1);
        let newest = |wanted| {
            effects[behind..]
                .iter()
                .rposition(|effect| *effect == wanted)
                .map(|at| at + behind)
        };
        newest(Effect::Resource).or_else(|| newest(Effect::Other))
    }

    proptest! {
        #[test]
        fn a_fold_is_what_the_rule_says(effects in vec(any_effect(), 1..12)) {
            let folded = fold(&effects, 0).expect("one at least");
            let state = folded.state().map(|kept| usize::try_from(kept.offset).expect("small"));
            prop_assert_eq!(state, state_of(&effects));
            prop_assert_eq!(folded.is_cleared, effects.contains(&Effect::Deletes));
        }

        #[test]
        fn it_makes_no_difference_where_records_are_cut(
            (effects, one, other) in vec(any_effect(), 3..12).prop_flat_map(|effects| {
                let len = effects.len();
                (Just(effects), 1..len - 1).prop_flat_map(move |(effects, one)| (Just(effects), Just(one), one + 1..len))
            })
        ) {
            let whole = fold(&effects, 0);
            let [a, b, c] = [(0, one), (one, other), (other, effects.len())].map(|(from, to)| fold(&effects[from..to], from).expect("not empty"));
            prop_assert_eq!(Some(a.clone().then(b.clone()).then(c.clone())), whole.clone());
            prop_assert_eq!(Some(a.then(b.then(c))), whole);
        }

        #[test]
        fn what_changes_nothing_can_be_left_out(effects in vec(any_effect(), 1..12), next in any_effect()) {
            let before = fold(&effects, 0).expect("one at least");
            let after = before.clone().then(Folded::one(next, &record(99, Some("v"))));
            prop_assert!(before.is_changed_by(next) || before == after);
        }
    }

    #[test]
    fn a_kept_record_is_as_it_was() {
        for value in [None, Some(""), Some("value")] {
            let written = record(7, value);
            let kept = Folded::one(Effect::Other, &written).last.expect("kept");
            let read = kept.record(b"k");
            assert_eq!(
                (read.offset, read.time, read.value),
                (written.offset, written.time, written.value)
            );
            assert_eq!(read.headers, written.headers);
        }
    }
}
