//! Starting a replay: its row first, then the group's record names it, whose order on the log arbitrates.

use std::sync::Arc;

use super::{ReplayInfo, ReplayRow};
use crate::{
    bus::{Bus, End, Inner, Start, draining, groups::GroupRecord},
    error::{Error, Reason, Result},
    filter::Filter,
    log::LogTime,
    name::{Group, Selector},
};

/// How often others may change the group before a start is given up.
const MOST_TRIES: usize = 10;

/// What is to be replayed.
#[derive(Clone, Debug)]
pub struct StartReplay {
    pub group: Group,
    /// Only of these; empty = of all the group has.
    pub topics: Vec<Selector>,
    /// Of positions, those partitions only that are named.
    pub start: Start,
    /// The same.
    pub end: End,
    /// Beside the group's own.
    pub filter: Option<Filter>,
    /// On all replicas together; `None` = as fast as can be.
    pub max_per_second: Option<f64>,
    pub reason: String,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

impl Bus {
    /// Returns once it is accepted. From then on it is carried out, whoever lives; asked again with the same id it gives the
    /// same replay.
    pub async fn start_replay(&self, asked: StartReplay) -> Result<ReplayInfo> {
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = Arc::clone(&self.0);
        let starting = self.0.tasks.spawn(async move { bus.start_replay(asked).await });
        let failed = |error| Error::new(Reason::Internal, "start a replay").caused_by(error);
        starting.await.map_err(failed)?
    }
}

impl Inner {
    async fn start_replay(&self, asked: StartReplay) -> Result<ReplayInfo> {
        check(&asked)?;
        let _one_at_a_time = self.groups.active.lock(&asked.group).await;
        let mut row = self.started_by(&asked).await?;
        if let Some(ended) = row.as_ref().filter(|row| row.ended.is_some()) {
            return Ok(self.replay_info(ended));
        }
        for _ in 0..MOST_TRIES {
            let record = self.groups.newest(&asked.group).await?;
            let record = record.ok_or_else(|| Error::no_such_group(&asked.group))?;
            // Who created it may have died; the next record has its start no more.
            let record = self.finish_creation(&asked.group, record).await?;
            if let Some(running) = self.running_replay(&record).await? {
                return match running.request_id == asked.request_id {
                    true => self.announced(&running).await.map(|row| self.replay_info(&row)),
                    false => Err(active(&running)),
                };
            }
            let row = match &row {
                Some(row) => Arc::clone(row),
                None => Arc::clone(row.insert(self.draw_up_replay(&record, &asked).await?)),
            };
            if self.accept_replay(&record, &row).await? {
                tracing::info!(group = %asked.group, replay = row.id, by = asked.by, reason = asked.reason, "replay started");
                let row = self.announced(&row).await?;
                return Ok(self.replay_info(&row));
            }
        }
        let text = format!(
            "start a replay for group {}: others change it all the time",
            asked.group
        );
        Err(Error::new(Reason::GroupConflict, text).resource("group", asked.group.as_str()))
    }

    /// What an earlier call with the same id has begun.
    async fn started_by(&self, asked: &StartReplay) -> Result<Option<Arc<ReplayRow>>> {
        self.replays.rows.catch_up().await?;
        let mut rows = self.replays.rows.all().into_iter().map(|(_, row)| row);
        let row = rows.find(|row| row.request_id == asked.request_id);
        if row.as_ref().is_some_and(|row| !is_of(row, asked)) {
            let rule = "was used to start another replay";
            return Err(Error::fault(Reason::RequestInvalid, "request_id", rule));
        }
        Ok(row)
    }

    /// The one that the group has, unless it is over.
    async fn running_replay(&self, record: &GroupRecord) -> Result<Option<Arc<ReplayRow>>> {
        let Some(id) = &record.replay else { return Ok(None) };
        self.see_to_replay(id).await?;
        let row = self.replay_row(id).await?;
        Ok(row.ended.is_none().then_some(row))
    }

    /// Nobody acts on it before the group's record names it.
    async fn draw_up_replay(&self, record: &GroupRecord, asked: &StartReplay) -> Result<Arc<ReplayRow>> {
        let row = ReplayRow {
            id: uuid::Uuid::now_v7().simple().to_string(),
            group: asked.group.clone(),
            group_id: record.id,
            topics: asked.topics.iter().map(ToString::to_string).collect(),
            start: asked.start.clone(),
            end: asked.end.clone(),
            filter: asked.filter.as_ref().map(|filter| filter.spec().clone()),
            max_per_second: asked.max_per_second,
            reason: asked.reason.clone(),
            by: asked.by.clone(),
            request_id: asked.request_id.clone(),
            started: LogTime::now(),
            ranges: self.ranges_of(record, asked).await?,
            is_announced: false,
            ended: None,
        };
        self.forget_replays().await;
        self.replays.rows.put(&ReplayRow::key(&row.id), &row).await
    }

    /// Whether the group's record names it now; another change may have been first.
    async fn accept_replay(&self, record: &GroupRecord, row: &ReplayRow) -> Result<bool> {
        let next = GroupRecord {
            replay: Some(row.id.clone()),
            ..record.next()
        };
        let is_running = self.put_replay(&row.group, &next).await?.replay.as_ref() == Some(&row.id);
        Ok(is_running)
    }

    /// Writes the group's record, and tells its task what holds now.
    pub(super) async fn put_replay(&self, group: &Group, next: &GroupRecord) -> Result<Arc<GroupRecord>> {
        let holds = self.groups.put(group, next).await?;
        if let Some(handle) = self.groups.active.get(group) {
            handle.replace(Arc::clone(&holds)).await;
        }
        Ok(holds)
    }
}

fn check(asked: &StartReplay) -> Result<()> {
    let fault = |field: &str, rule: &str| Err(Error::fault(Reason::RequestInvalid, field, rule));
    if asked.reason.trim().is_empty() {
        return fault("reason", "says why: it is kept with the replay");
    }
    if asked
        .max_per_second
        .is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
    {
        return fault(
            "max_events_per_second",
            "is a number that is not negative; 0 = as fast as can be",
        );
    }
    Ok(())
}

/// Whether it is what is asked for.
fn is_of(row: &ReplayRow, asked: &StartReplay) -> bool {
    row.group == asked.group
        && row
            .topics
            .iter()
            .eq(&asked.topics.iter().map(ToString::to_string).collect::<Vec<_>>())
        && (&row.start, &row.end) == (&asked.start, &asked.end)
        && row.filter.as_ref() == asked.filter.as_ref().map(Filter::spec)
        && (row.max_per_second, &row.reason) == (asked.max_per_second, &asked.reason)
}

fn active(running: &ReplayRow) -> Error {
    let text = format!(
        "replay {} is running for group {}; wait for it, or stop it",
        running.id, running.group
    );
    Error::new(Reason::ReplayActive, text).resource("replay", &running.id)
}
