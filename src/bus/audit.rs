//! The audit log: who did what, when and why, as CloudEvents in `tidings.audit`, for good. Nobody deletes there but who deletes the topic.

use serde::Serialize;

use super::{Bus, Inner};
use crate::{
    convention,
    error::{Error, Reason, Result},
    event::{Data, Draft, Value},
    log::{Cleanup, NewRecord, TopicSettings},
    name::Topic,
};

/// Where it lies.
const TOPIC: &str = "tidings.audit";

/// Something that only some may do, and that was done.
pub(super) struct Act<'a, T> {
    /// The event's: the same act has the same, however often it is written down.
    pub(super) id: &'a str,
    /// The type of its event, such as `tidings.groups.reset`.
    pub(super) ty: &'static str,
    /// To what: a group's name.
    pub(super) subject: &'a str,
    pub(super) by: &'a str,
    pub(super) reason: &'a str,
    /// The event's data, as JSON.
    pub(super) details: &'a T,
}

/// An attempt that was denied.
#[derive(Clone, Debug, Serialize)]
pub struct Denial {
    /// Who tried; empty = nobody who is known.
    #[serde(skip)]
    pub principal: String,
    /// The address that it came from.
    pub peer: String,
    /// The path of the method that was called.
    #[serde(skip)]
    pub method: String,
    /// What the caller was told.
    #[serde(skip)]
    pub text: String,
    /// How many before it are not written down.
    pub untold: u64,
}

impl Bus {
    /// Writes down that something was denied.
    pub async fn audit_denial(&self, denial: &Denial) -> Result<()> {
        let act = Act {
            id: &uuid::Uuid::now_v7().simple().to_string(),
            ty: "tidings.access.denied",
            subject: &denial.method,
            by: match denial.principal.as_str() {
                "" => "unknown",
                known => known,
            },
            reason: &denial.text,
            details: denial,
        };
        self.0.audit(&act).await
    }
}

impl Inner {
    /// Writes it down, durably. It may stand there twice if the caller tries again.
    pub(super) async fn audit<T: Serialize>(&self, act: &Act<'_, T>) -> Result<()> {
        tracing::info!(target: "audit", act = act.ty, subject = act.subject, by = act.by, reason = act.reason, "done");
        let topic = Topic::new(TOPIC)?;
        let settings = TopicSettings::of_the_bus(Cleanup::Delete);
        self.log.ensure_topic(&topic, settings).await?;
        let record = self.audit_record(topic, act)?;
        let outcomes = self.log.append(vec![record]).await?.await;
        match outcomes.into_iter().next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(unwritten)) => Err(unwritten.error.repeated()),
            None => Err(Error::new(
                Reason::Internal,
                "write to the audit log: the log gave no answer",
            )),
        }
    }

    fn audit_record<T: Serialize>(&self, topic: Topic, act: &Act<'_, T>) -> Result<NewRecord> {
        let details = serde_json::to_string(act.details);
        let details = details.map_err(|error| Error::new(Reason::Internal, format!("write down an act: {error}")))?;
        let text = |name: &'static str, value: &str| (name.into(), Value::String(value.into()));
        let reason: String = act.reason.chars().filter(|char| !char.is_control()).collect();
        let reason = (!reason.is_empty()).then(|| text("reason", &reason));
        let draft = Draft {
            id: act.id.into(),
            source: format!("/tidings/{}", self.replica_id).into(),
            spec_version: "1.0".into(),
            ty: act.ty.into(),
            attributes: [
                text("subject", act.subject),
                text("datacontenttype", "application/json"),
                text("principal", act.by),
            ]
            .into_iter()
            .chain(reason)
            .collect(),
            data: Data::Text(details.into()),
        };
        let event = draft
            .check()
            .map_err(|faults| Error::faults(Reason::Internal, faults))?;
        let encoded = convention::encode(&event);
        Ok(NewRecord {
            topic,
            partition: Some(0),
            key: Some(act.subject.to_owned().into()),
            value: encoded.value,
            headers: encoded.headers,
        })
    }
}
