//! Those who wait for a commit: streams that want an answer to their acks, and streams that want to end.

use std::time::Duration;

use super::{
    AckReport, Frame,
    commits::{Settling, Waiter},
    streams::MAX_FAULTS,
    task::Task,
};
use crate::{
    bus::delivery::{IdFault, IdRange, Verdict},
    error::{Error, Reason},
};

impl Task {
    /// Answers those whose acks are committed.
    pub(super) fn tell_committed(&mut self) {
        for waiter in std::mem::take(&mut self.commits.covered) {
            match waiter {
                Waiter::End { key, ending } => self.end(key, ending),
                Waiter::Report {
                    key,
                    sequence,
                    settling,
                    faults,
                } => {
                    let report = self.report(sequence, &settling, faults);
                    if let Some(member) = self.members.get_mut(&key.id).filter(|member| member.key == key) {
                        member.push(Frame::AckResult(report));
                    }
                }
            }
        }
    }

    /// What has become of acked events. Those whose partition left before their commit are stale after all.
    fn report(&self, sequence: u64, settling: &[Settling], mut faults: Vec<IdFault>) -> AckReport {
        let mut committed = true;
        for Settling { place, delivery } in settling {
            let (id, serial) = place;
            if self.owned.get(id).is_none_or(|owned| owned.serial != *serial) {
                committed = false;
                if faults.len() < MAX_FAULTS {
                    add_stale(&mut faults, *delivery);
                }
            }
        }
        AckReport {
            sequence,
            committed,
            faults,
        }
    }

    /// The commit failed: reports wait for the next one; streams that wanted to end are told that they cannot be sure.
    pub(super) fn postpone(&mut self, error: &Error) {
        for waiter in std::mem::take(&mut self.commits.covered) {
            match waiter {
                Waiter::End { key, ending } => {
                    let text = format!("commit what was acked: {error}");
                    let unsure = Error::new(Reason::LogUnavailable, text).retry_after(Duration::from_secs(1));
                    self.end(key, ending.and(Err(unsure)));
                }
                Waiter::Report { key, .. } if !self.is_member(key) => {}
                report @ Waiter::Report { .. } => self.commits.waiting.push(report),
            }
        }
    }
}

/// Ids that follow one another are one fault.
fn add_stale(faults: &mut Vec<IdFault>, id: u64) {
    match faults.last_mut() {
        Some(last) if last.verdict == Verdict::Stale && last.ids.last + 1 == id => last.ids.last = id,
        _ => faults.push(IdFault {
            ids: IdRange { first: id, last: id },
            verdict: Verdict::Stale,
        }),
    }
}
