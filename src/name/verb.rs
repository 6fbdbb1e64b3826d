//! The verbs of rights: what somebody may do.

use std::fmt;

/// What somebody may do; docs/security.md says what each allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Publish,
    Subscribe,
    Read,
    Reset,
    DeadLetter,
    Topics,
    State,
    Command,
    Admin,
}

impl Verb {
    pub const ALL: [(&'static str, Self); 9] = [
        ("publish", Self::Publish),
        ("subscribe", Self::Subscribe),
        ("read", Self::Read),
        ("reset", Self::Reset),
        ("dead-letter", Self::DeadLetter),
        ("topics", Self::Topics),
        ("state", Self::State),
        ("command", Self::Command),
        ("admin", Self::Admin),
    ];
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL
            .iter()
            .find(|(_, verb)| verb == self)
            .map_or("", |(word, _)| *word);
        f.write_str(word)
    }
}
