//! The end of a replay: its row says so first, then the group's record names it no more. What began and who stopped it is audited.

use std::sync::Arc;

use super::{Ended, How, ReplayInfo, ReplayRow, row::no_such_replay};
use crate::{
    bus::{Bus, Inner, audit::Act, draining, groups::GroupRecord},
    error::{Error, Reason, Result},
    log::LogTime,
};

/// How often others may change the group meanwhile.
const MOST_TRIES: usize = 10;

/// What is to be stopped.
#[derive(Clone, Debug)]
pub struct StopReplay {
    pub replay_id: String,
    pub reason: String,
    /// Who asks.
    pub by: String,
}

impl Bus {
    /// Returns once it is stopped for good: other replicas hear of it in a moment. One that has ended stays as it is.
    pub async fn stop_replay(&self, stop: StopReplay) -> Result<ReplayInfo> {
        if stop.reason.trim().is_empty() {
            let rule = "says why: it is kept with the replay";
            return Err(Error::fault(Reason::RequestInvalid, "reason", rule));
        }
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = Arc::clone(&self.0);
        let stopping = self.0.tasks.spawn(async move { bus.stop_replay(stop).await });
        let failed = |error| Error::new(Reason::Internal, "stop a replay").caused_by(error);
        stopping.await.map_err(failed)?
    }
}

impl Inner {
    async fn stop_replay(&self, stop: StopReplay) -> Result<ReplayInfo> {
        let row = self.replay_row(&stop.replay_id).await?;
        if !self.is_accepted(&row) {
            return Err(no_such_replay(&row.id));
        }
        self.end_replay(&row, how(How::Stopped, stop.reason, stop.by)).await?;
        let row = self.replay_row(&row.id).await?;
        Ok(self.replay_info(&row))
    }

    /// A replay ends by itself, or cannot go on.
    pub(in crate::bus) async fn end_replay_by_itself(&self, row: &ReplayRow, end: How, reason: &str) -> Result<()> {
        self.end_replay(row, how(end, reason.to_owned(), String::new())).await
    }

    /// Whoever else ended it first: that holds.
    async fn end_replay(&self, row: &ReplayRow, ended: Ended) -> Result<()> {
        let mut row = self.announced(row).await?;
        if row.ended.is_none() {
            let next = ReplayRow {
                ended: Some(ended),
                ..(*row).clone()
            };
            row = self.replays.rows.put(&ReplayRow::key(&row.id), &next).await?;
        }
        self.finish_replay(&row).await
    }

    /// What follows from its end.
    pub(super) async fn finish_replay(&self, row: &ReplayRow) -> Result<()> {
        let Some(ended) = &row.ended else { return Ok(()) };
        self.take_out_replay(row).await?;
        self.replays.miss_nothing_of(&row.id);
        if ended.is_announced {
            return Ok(());
        }
        if !ended.by.is_empty() {
            let id = format!("{}-stopped", row.id);
            self.audit_replay(row, (&id, "tidings.replays.stopped"), (&ended.by, &ended.reason))
                .await?;
        }
        let (replay, group, end) = (&row.id, &row.group, ended.how);
        tracing::info!(%group, replay, ?end, by = ended.by, reason = ended.reason, "replay ended");
        let told = Ended {
            is_announced: true,
            ..ended.clone()
        };
        let told = ReplayRow {
            ended: Some(told),
            ..row.clone()
        };
        self.replays.rows.put(&ReplayRow::key(&row.id), &told).await.map(|_| ())
    }

    /// It was accepted: that is audited, if it is not yet.
    pub(super) async fn announced(&self, row: &ReplayRow) -> Result<Arc<ReplayRow>> {
        if row.is_announced {
            return Ok(Arc::new(row.clone()));
        }
        self.audit_replay(row, (&row.id, "tidings.replays.started"), (&row.by, &row.reason))
            .await?;
        let told = ReplayRow {
            is_announced: true,
            ..row.clone()
        };
        self.replays.rows.put(&ReplayRow::key(&row.id), &told).await
    }

    async fn audit_replay(
        &self,
        row: &ReplayRow,
        (id, ty): (&str, &'static str),
        (by, reason): (&str, &str),
    ) -> Result<()> {
        let act = Act {
            id,
            ty,
            subject: row.group.as_str(),
            by,
            reason,
            details: row,
        };
        self.audit(&act).await
    }

    /// The group has it no more, whatever else of the group is changed at this moment.
    async fn take_out_replay(&self, row: &ReplayRow) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let record = self.groups.newest(&row.group).await?;
            let Some(record) = record.filter(|record| record.replay.as_ref() == Some(&row.id)) else {
                return Ok(());
            };
            let next = GroupRecord {
                replay: None,
                ..record.next()
            };
            self.put_replay(&row.group, &next).await?;
        }
        let text = format!("end a replay of group {}: others change it all the time", row.group);
        Err(Error::new(Reason::GroupConflict, text).resource("group", row.group.as_str()))
    }
}

fn how(how: How, reason: String, by: String) -> Ended {
    Ended {
        how,
        reason,
        by,
        at: LogTime::now(),
        is_announced: false,
    }
}
