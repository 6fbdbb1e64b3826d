//! A dead letter: a record that a group gave up, exactly as it lay on its topic, and why.

use std::{fmt, str::FromStr};

use crate::{
    log::{LogTime, Record, TopicPartition},
    name::Group,
};

/// A dead letter, to be written or as it was read.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it lay.
    pub source: TopicPartition,
    /// Key, value and headers as they lay there, to the byte; offset and time are those of the source.
    pub record: Record,
    pub why: Why,
}

/// How a record became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: LetterReason,
    /// For people, such as the text of a nack. Of a longer one the first 1,024 bytes are kept.
    pub detail: String,
    /// How often it was sent.
    pub attempts: u32,
    /// How often it was nacked, or its lease expired.
    pub failures: u32,
    pub first_failure: Option<LogTime>,
    pub last_failure: Option<LogTime>,
    /// Of the stream that had it last; empty = unknown.
    pub client_id: String,
    /// The head of the chain that it waits in: the dead letter of its key that came first.
    pub behind: Option<LetterId>,
    /// Later events of its key wait behind it.
    pub quarantine: bool,
    /// The redrive under which it was delivered when it failed once more.
    pub redrive: Option<String>,
    /// The dead letter that it was before that redrive.
    pub parent: Option<LetterId>,
}

impl Why {
    /// Everything else unset.
    pub fn new(reason: LetterReason) -> Self {
        Self {
            reason,
            detail: String::new(),
            attempts: 0,
            failures: 0,
            first_failure: None,
            last_failure: None,
            client_id: String::new(),
            behind: None,
            quarantine: false,
            redrive: None,
            parent: None,
        }
    }
}

/// Why a record became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LetterReason {
    /// It failed as often as the group's retry policy allows.
    Attempts,
    /// The streams that had it broke, as often as the policy allows.
    Abandoned,
    /// A client said so.
    Nacked,
    /// It is no well-formed event.
    Undecodable,
    /// No message to a client can carry it.
    TooLarge,
    /// It waits behind a dead letter of its key.
    Behind,
}

impl LetterReason {
    pub const ALL: [Self; 6] = [
        Self::Attempts,
        Self::Abandoned,
        Self::Nacked,
        Self::Undecodable,
        Self::TooLarge,
        Self::Behind,
    ];

    /// As it stands in a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attempts => "ATTEMPTS",
            Self::Abandoned => "ABANDONED",
            Self::Nacked => "NACKED",
            Self::Undecodable => "UNDECODABLE",
            Self::TooLarge => "TOO_LARGE",
            Self::Behind => "BEHIND",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// Names a dead letter within its group. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId(pub u64);

impl LetterId {
    /// The same for the same record of the same group, redrive and parent: written twice, it is one letter.
    pub fn of(group: &Group, letter: &Letter) -> Self {
        let mut hash = Fnv::default();
        hash.text(group.as_str());
        hash.text(letter.source.topic.as_str());
        hash.bytes(&letter.source.partition.to_le_bytes());
        hash.bytes(&letter.record.offset.to_le_bytes());
        hash.bytes(&letter.record.time.0.to_le_bytes());
        hash.text(letter.why.redrive.as_deref().unwrap_or_default());
        // A request may redrive twice what failed twice.
        hash.bytes(&letter.why.parent.map_or(0, |parent| parent.0).to_le_bytes());
        Self(hash.spread())
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is no id.
#[derive(Debug, PartialEq, Eq)]
pub struct NoLetterId;

impl FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(text: &str) -> Result<Self, NoLetterId> {
        let are_digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = are_digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or(NoLetterId)
    }
}

/// FNV-1a of 64 bits: ids outlive versions, and this is easily written anew elsewhere.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Names have no zero bytes, so these end them.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0]);
    }

    /// The finalizer of MurmurHash3: offsets differ in their last bits only.
    fn spread(self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_and_read_as_sixteen_digits() {
        assert_eq!(LetterId(0xab).to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(LetterId(0xab)));
        for bad in ["", "ab", "00000000000000ag", "+0000000000000ab", "000000000000000ab"] {
            assert_eq!(bad.parse::<LetterId>(), Err(NoLetterId), "{bad}");
        }
    }

    #[test]
    fn reasons_are_found_by_their_names() {
        for reason in LetterReason::ALL {
            assert_eq!(LetterReason::of_name(reason.name()), Some(reason));
        }
        assert_eq!(LetterReason::of_name("attempts"), None);
    }
}
