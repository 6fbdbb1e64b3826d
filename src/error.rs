//! The one error of the library: a reason that clients act on, what was being done, the faults found, and the cause.

use std::{error, fmt, time::Duration};

use crate::name::{Group, Topic, Verb};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Clients act on its name; `grpc/status.rs` has the table of names and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An event breaks a rule of CloudEvents or of this bus.
    EventInvalid,
    /// An event is larger than the limit.
    EventTooLarge,
    /// A request breaks a rule; the faults name the fields.
    RequestInvalid,
    /// A request is larger than the limit, in bytes or in events.
    RequestTooLarge,
    /// A frame came where it may not.
    FrameUnexpected,
    /// A topic's name or setting breaks a rule.
    TopicInvalid,
    /// A group's name or setting breaks a rule.
    GroupInvalid,
    /// A filter breaks a rule; the faults name its parts.
    FilterInvalid,
    /// A page token or size is not from here.
    PageInvalid,
    TopicNotFound,
    GroupNotFound,
    DeadLetterNotFound,
    PlanNotFound,
    ResetNotFound,
    /// Nobody is there who takes commands.
    InstanceNotFound,
    ReplayNotFound,
    TopicExists,
    /// The group has other settings.
    GroupConflict,
    /// The group has members, and what was asked needs it empty.
    GroupInUse,
    /// What a plan stands on has changed, or its time is over; the resource is a fresh one.
    PlanStale,
    /// The plan was applied already, by another request.
    PlanApplied,
    /// The group's offsets are being moved.
    ResetActive,
    /// A later reset has moved the group.
    ResetSuperseded,
    /// The group has a replay already.
    ReplayActive,
    /// A request before this one failed, so this one was not tried.
    PrecedingFailed,
    /// Whoever asked, or the bus itself, may not do it.
    PermissionDenied,
    /// Nobody is known by the token, or there is none.
    TokenInvalid,
    /// The token was good, and its time is over.
    TokenExpired,
    /// Who calls cannot be told now: the keys of an issuer cannot be had.
    IdentityUnavailable,
    /// The position is not on the log (any more).
    PositionGone,
    /// The disk is full.
    LogFull,
    CheckpointNotFound,
    /// Another put of the checkpoint was faster.
    CheckpointConflict,
    /// The group was reset since.
    EpochStale,
    /// A limit of the server is reached.
    Limit,
    /// A tenant or a principal has used up what it may for now.
    Quota,
    /// The log cannot be reached, or had to stop.
    LogUnavailable,
    /// The server is stopping.
    Draining,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// A field, frame or action that this version does not act on.
    NotBuilt,
    /// What is stored is damaged.
    LogDamaged,
    /// The object store cannot be reached, or refuses.
    StoreUnavailable,
    /// No object store is configured.
    StoreNotSet,
    /// What lies in the object store is damaged.
    StoreDamaged,
    SnapshotNotFound,
    /// A snapshot of the topic is being taken.
    SnapshotActive,
    /// A fault of the server.
    Internal,
}

impl Reason {
    /// Whether the same call may succeed later, unchanged.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::LogUnavailable
                | Self::StoreUnavailable
                | Self::IdentityUnavailable
                | Self::Draining
                | Self::LogFull
                | Self::Limit
                | Self::Quota
        )
    }
}

/// One thing that is wrong with the input: where (`events[3].attributes.time`) and the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: String,
    pub rule: String,
}

impl Fault {
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// The same fault, seen from one level up: `time` within `events[3].attributes`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.field = format!("{prefix}{}", self.field);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

/// What failed and why.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    reason: Reason,
    text: String,
    faults: Vec<Fault>,
    retry_after: Option<Duration>,
    resource: Option<(&'static str, String)>,
    quota: Option<(String, String)>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// `text` says what was being done and what went wrong: lower case, no full stop.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            text: text.into(),
            faults: Vec::new(),
            retry_after: None,
            resource: None,
            quota: None,
            source: None,
        }))
    }

    /// Input that breaks rules; there is at least one fault.
    pub fn faults(reason: Reason, faults: Vec<Fault>) -> Self {
        let mut text = faults
            .iter()
            .take(3)
            .map(Fault::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        if faults.len() > 3 {
            text.push_str(&format!("; and {} more", faults.len() - 3));
        }
        let mut error = Self::new(reason, text);
        error.0.faults = faults;
        error
    }

    pub fn fault(reason: Reason, field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::faults(reason, vec![Fault::new(field, rule)])
    }

    pub fn no_such_topic(topic: &Topic) -> Self {
        Self::new(
            Reason::TopicNotFound,
            format!("topic {topic} does not exist; create it with: tidings topics create {topic}"),
        )
        .resource("topic", topic.as_str())
    }

    pub fn no_such_group(group: &Group) -> Self {
        Self::new(Reason::GroupNotFound, format!("group {group} does not exist")).resource("group", group.as_str())
    }

    /// Whoever asked may not do this with that. It says the same whether there is such a thing or not.
    pub fn denied(verb: Verb, what: impl fmt::Display) -> Self {
        Self::new(
            Reason::PermissionDenied,
            format!("the right to {verb} is missing for {what}"),
        )
    }

    /// `what` is a field, frame or action that is set and that this version does not act on.
    pub fn not_built(what: impl fmt::Display) -> Self {
        Self::new(
            Reason::NotBuilt,
            format!("{what} is not supported by this version of the server"),
        )
    }

    /// The same for somebody else, without its cause.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let mut error = Self::new(self.0.reason, self.0.text.clone());
        error.0.faults.clone_from(&self.0.faults);
        (error.0.retry_after, error.0.resource) = (self.0.retry_after, self.0.resource.clone());
        error.0.quota.clone_from(&self.0.quota);
        error
    }

    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn resource(mut self, kind: &'static str, name: &str) -> Self {
        self.0.resource = Some((kind, name.to_owned()));
        self
    }

    /// Whose quota is used up, and which.
    #[must_use]
    pub fn quota(mut self, subject: &str, name: &str) -> Self {
        self.0.quota = Some((subject.to_owned(), name.to_owned()));
        self
    }

    pub fn used_quota(&self) -> Option<(&str, &str)> {
        let (subject, name) = self.0.quota.as_ref()?;
        Some((subject, name))
    }

    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub fn field_faults(&self) -> &[Fault] {
        &self.0.faults
    }

    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The kind and name of the thing that is missing or in the way.
    pub fn named_resource(&self) -> Option<(&'static str, &str)> {
        self.0.resource.as_ref().map(|(kind, name)| (*kind, name.as_str()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
