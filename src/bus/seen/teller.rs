//! Telling others what this replica sees: what has changed, each 5 s, and that it lives; and clearing up behind those that died.

use std::{sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::row::{SeenRow, SeenTable, key, place_of, sign_key};
use crate::{
    bus::{commands::Instances, groups::Active},
    error::Result,
    log::LogTime,
    name::Group,
};

const INTERVAL: Duration = Duration::from_secs(5);
/// What a replica wrote that gave no sign of life for so long is removed.
const DEAD: Duration = Duration::from_secs(60);
/// For removing what was told, at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Rows that are written at once.
const AT_ONCE: usize = 100;

pub(super) struct Teller {
    pub(super) table: Arc<SeenTable>,
    pub(super) active: Arc<Active>,
    pub(super) instances: Arc<Instances>,
    #[expect(clippy::disallowed_types, reason = "guards a sequence of calls to the log, not data")]
    pub(super) telling: Arc<tokio::sync::Mutex<()>>,
    pub(super) replica_id: String,
}

type Rows = [(String, Arc<SeenRow>, LogTime)];

impl Teller {
    /// Until `stop`; then what was told is removed.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let telling = async {
            loop {
                ticks.tick().await;
                if let Err(error) = self.tell().await {
                    tracing::debug!(%error, "cannot tell other replicas what this one sees");
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = telling => {}
        }
        let own: Vec<String> = self.own().into_iter().map(|(key, ..)| key).collect();
        // Who is not told so finds it out soon.
        let _ = timeout(LAST_WORDS, self.table.remove_all(&own)).await;
    }

    async fn tell(&self) -> Result<()> {
        let _one_at_a_time = self.telling.lock().await;
        let mut rows = self.changed().await;
        let left: Vec<String> = self.no_longer_served().collect();
        if self.instances.are_some() {
            rows.push((sign_key(&self.replica_id), SeenRow::Listens));
        } else if self.active.running() > 0 {
            rows.push((sign_key(&self.replica_id), SeenRow::Lives));
        }
        for rows in rows.chunks(AT_ONCE) {
            self.table.put_all(rows).await?;
        }
        self.table.remove_all(&left).await?;
        self.table.remove_all(&dead(&self.table.under(""))).await
    }

    /// Of the groups that are served here, those that are not as they were told.
    async fn changed(&self) -> Vec<(String, SeenRow)> {
        let mut rows = Vec::new();
        for (group, handle) in self.active.all() {
            let key = key(&self.replica_id, &group);
            let known = self.table.known(&key);
            if !handle.has_stirred() && known.is_some() {
                continue;
            }
            if let Some(view) = handle.describe().await.filter(|view| !view.is_empty()) {
                let row = SeenRow::of(view);
                if known.is_none_or(|known| *known != row) {
                    rows.push((key, row));
                }
            }
        }
        rows
    }

    fn no_longer_served(&self) -> impl Iterator<Item = String> {
        let is_served = |group: &str| Group::new(group).is_ok_and(|group| self.active.get(&group).is_some());
        let serves_none = self.active.running() == 0 && !self.instances.are_some();
        let is_over = move |(key, ..): &(String, Arc<SeenRow>, LogTime)| match place_of(key) {
            Some((_, Some(group))) => !is_served(group),
            _ => serves_none,
        };
        self.own().into_iter().filter(is_over).map(|(key, ..)| key)
    }

    fn own(&self) -> Vec<(String, Arc<SeenRow>, LogTime)> {
        let mut own = self.table.under(&sign_key(&self.replica_id));
        own.retain(|(key, ..)| place_of(key).is_some_and(|(replica_id, _)| replica_id == self.replica_id));
        own
    }
}

/// When each replica was heard of last, by the log's clock.
pub(super) fn heard(rows: &Rows) -> FxHashMap<&str, LogTime> {
    let mut heard = FxHashMap::default();
    for (key, _, time) in rows {
        if let Some((replica_id, _)) = place_of(key) {
            let last = heard.entry(replica_id).or_insert(*time);
            *last = (*last).max(*time);
        }
    }
    heard
}

pub(super) fn is_younger(time: LogTime, than: Duration) -> bool {
    let age = LogTime::now().0.saturating_sub(time.0);
    u128::try_from(age).map_or(true, |age| age < than.as_millis())
}

/// The keys of replicas that have not been heard of for long.
fn dead(rows: &Rows) -> Vec<String> {
    let heard = heard(rows);
    let is_dead = |key: &str| {
        let last = place_of(key).and_then(|(replica_id, _)| heard.get(replica_id));
        last.is_some_and(|last| !is_younger(*last, DEAD))
    };
    let dead = rows.iter().filter(|(key, ..)| is_dead(key));
    dead.map(|(key, ..)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_replica_that_is_silent_for_a_minute_all_is_removed() {
        let now = LogTime::now().0;
        let row = |key: &str, age: i64| (key.to_owned(), Arc::new(SeenRow::Lives), LogTime(now - age * 1_000));
        let rows = [
            row("seen/dead", 70),
            row("seen/dead/a", 90),
            row("seen/gone/a", 61),
            row("seen/lives", 4),
            row("seen/lives/a", 900),
        ];
        assert_eq!(dead(&rows), ["seen/dead", "seen/dead/a", "seen/gone/a"]);
        let last = heard(&rows)["lives"];
        assert!(is_younger(last, Duration::from_secs(15)));
    }
}
