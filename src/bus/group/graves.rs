//! Events that become dead letters: written durably before their offset may move, and tried again until they are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::BoxFuture};
use rustc_hash::FxHashMap;

use super::{
    Payload,
    owned::Owned,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        AfterDeadLetter,
        dead_letters::{Letter, LetterId, LetterReason, Store, Why as LetterWhy},
        delivery::{Doom, EntryId, Grave, PartitionId, Tries, Why},
    },
    convention,
    error::{Error, Reason, Result},
    log::{Log, Record, TopicPartition},
};

/// Letters written at once.
const MOST: usize = 100;
/// For the log to give a record that is to be copied.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dead letters that are under way.
#[derive(Default)]
pub(super) struct Graves {
    pub(super) writing: Option<BoxFuture<'static, Buried>>,
    /// What could not be written, and when it is tried again.
    unwritten: Option<(Vec<Burial>, Instant)>,
    /// The keys whose events become dead letters, each with the letter that they wait behind.
    pub(super) heads: FxHashMap<(PartitionId, u64), LetterId>,
}

/// An event on its way to be a dead letter.
struct Burial {
    entry: EntryId,
    id: PartitionId,
    serial: u64,
    offset: i64,
    key: Option<u64>,
    source: Arc<TopicPartition>,
    payload: Payload,
    why: LetterWhy,
}

/// Dead letters that are written, or could not be.
pub(super) struct Buried {
    burials: Vec<Burial>,
    /// Of each.
    results: Vec<Result<LetterId>>,
}

impl Graves {
    /// Nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.writing.is_none() && self.unwritten.is_none()
    }

    /// Nothing is being written. What could not be is delivered again.
    pub(super) fn may_end(&self) -> bool {
        self.writing.is_none()
    }

    /// When what could not be written is tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.unwritten.as_ref().map(|(_, at)| *at)
    }
}

impl Task {
    /// Begins to write what is to become dead letters; `buried` goes on.
    pub(super) fn bury(&mut self, now: Instant) {
        let is_early = self.graves.retry_at().is_some_and(|at| now < at);
        if self.graves.writing.is_some() || is_early || !self.moves.is_idle() {
            return;
        }
        let mut burials = self
            .graves
            .unwritten
            .take()
            .map(|(burials, _)| burials)
            .unwrap_or_default();
        // What has left meanwhile is its new owner's.
        burials.retain(|burial| {
            self.owned
                .get(&burial.id)
                .is_some_and(|owned| owned.serial == burial.serial)
        });
        self.dig(&mut burials);
        if !burials.is_empty() {
            let (log, letters) = (Arc::clone(&self.bus.log), Arc::clone(&self.letters));
            self.graves.writing = Some(Box::pin(async move {
                let results = write_each(&*log, &letters, &burials).await;
                Buried { burials, results }
            }));
        }
    }

    /// Adds what is to become dead letters since.
    fn dig(&mut self, burials: &mut Vec<Burial>) {
        let most = burials.len() + MOST;
        while burials.len() < most
            && let Some(grave) = self.dispatch.next_grave()
        {
            let Some(owned) = self.owned.get(&grave.partition) else {
                continue;
            };
            burials.push(Burial {
                entry: grave.entry,
                id: grave.partition,
                serial: owned.serial,
                offset: grave.offset,
                key: grave.key,
                source: Arc::clone(&owned.partition),
                payload: grave.payload.clone(),
                why: why(
                    &grave,
                    &self.graves.heads,
                    self.bus.settings.after_dead_letter == AfterDeadLetter::Quarantine,
                ),
            });
        }
    }

    /// What is a dead letter now counts as settled; later events of its key wait behind it, where that is asked for.
    pub(super) fn buried(&mut self, buried: Buried) {
        let Buried { burials, results } = buried;
        let mut unwritten = Vec::new();
        for (burial, result) in burials.into_iter().zip(results) {
            match result {
                Ok(letter) => self.bury_one(&burial, letter),
                Err(error) => {
                    let (group, offset) = (&self.identity.group, burial.offset);
                    tracing::warn!(%group, offset, %error, "cannot write a dead letter, trying again");
                    unwritten.push(burial);
                }
            }
        }
        let again = Instant::now() + RETRY;
        self.graves.unwritten = (!unwritten.is_empty()).then_some((unwritten, again));
        self.redrives.look = true;
    }

    fn bury_one(&mut self, burial: &Burial, letter: LetterId) {
        let is_ours = |owned: &Owned| owned.serial == burial.serial;
        if !self.owned.get(&burial.id).is_some_and(is_ours) {
            return;
        }
        if let Some(key) = burial.key.filter(|_| burial.why.quarantine) {
            self.graves.heads.insert((burial.id, key), letter);
            self.dispatch.quarantine(burial.id, key);
        }
        let (group, reason) = (&self.identity.group, burial.why.reason.name());
        let (topic, partition) = (&burial.source.topic, burial.source.partition);
        tracing::warn!(%group, %topic, partition, offset = burial.offset, %letter, reason, "an event is a dead letter");
        self.watch.tally.dead_letters(burial.why.reason).add(1);
        self.commits.changes += usize::from(self.dispatch.bury(burial.entry, burial.id, burial.offset));
    }
}

fn why(grave: &Grave<'_, Payload>, heads: &FxHashMap<(PartitionId, u64), LetterId>, quarantine: bool) -> LetterWhy {
    let Grave { tries, doom, .. } = grave;
    let Doom { why, detail, client_id } = doom;
    let Tries { attempt, failures, .. } = tries;
    let head = grave.key.and_then(|key| heads.get(&(grave.partition, key)));
    let redriven = grave.payload.redriven();
    LetterWhy {
        detail: detail.to_string(),
        attempts: *attempt,
        failures: *failures,
        first_failure: tries.first_failure,
        last_failure: tries.last_failure,
        client_id: client_id.to_string(),
        behind: head.copied().filter(|_| *why == Why::Behind),
        quarantine: quarantine && *why != Why::Behind && grave.key.is_some(),
        redrive: redriven.map(|(request, _)| request.to_string()),
        parent: grave.letter.map(LetterId),
        ..LetterWhy::new(reason(*why))
    }
}

fn reason(why: Why) -> LetterReason {
    match why {
        Why::Attempts => LetterReason::Attempts,
        Why::Abandoned => LetterReason::Abandoned,
        Why::Nacked => LetterReason::Nacked,
        Why::Undecodable => LetterReason::Undecodable,
        Why::TooLarge => LetterReason::TooLarge,
        Why::Behind => LetterReason::Behind,
    }
}

/// Writes the letters together; if one of them cannot be written, each alone, so that it does not hold the others up.
async fn write_each(log: &dyn Log, store: &Store, burials: &[Burial]) -> Vec<Result<LetterId>> {
    let error = match write(log, store, burials).await {
        Ok(ids) => return ids.into_iter().map(Ok).collect(),
        Err(error) => error,
    };
    let mut results = Vec::with_capacity(burials.len());
    for burial in burials {
        results.push(match error.reason().is_retryable() || burials.len() == 1 {
            true => Err(error.repeated()),
            false => write(log, store, std::slice::from_ref(burial)).await.map(|ids| ids[0]),
        });
    }
    results
}

/// Writes the letters, durably and known to the store. Their ids, in order.
async fn write(log: &dyn Log, store: &Store, burials: &[Burial]) -> Result<Vec<LetterId>> {
    let mut letters = Vec::with_capacity(burials.len());
    for burial in burials {
        letters.push(Letter {
            source: (*burial.source).clone(),
            record: original(log, burial).await?,
            why: burial.why.clone(),
        });
    }
    let ids = letters
        .iter()
        .map(|letter| LetterId::of(store.group(), letter))
        .collect();
    store.write(letters).await?;
    store.ready().await?;
    Ok(ids)
}

/// The record as it lies on its topic.
async fn original(log: &dyn Log, burial: &Burial) -> Result<Record> {
    if let Some((_, record)) = burial.payload.redriven() {
        return Ok(record.clone());
    }
    let mut reader = log.read(&burial.source, burial.offset, Some(burial.offset + 1));
    let first = async {
        while let Some(batch) = reader.next().await {
            match batch {
                Ok(batch) if batch.records.is_empty() => {}
                Ok(batch) => return Ok(batch.records.into_iter().next()),
                Err(error) if matches!(error.reason(), Reason::PositionGone | Reason::TopicNotFound) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    };
    let no_answer = |_| {
        Error::new(
            Reason::LogUnavailable,
            "read a record that is to be a dead letter: no answer",
        )
    };
    let first = tokio::time::timeout(PATIENCE, first).await.map_err(no_answer)??;
    Ok(first.unwrap_or_else(|| encoded(burial)))
}

/// Retention was faster: what is in memory is all there is.
fn encoded(burial: &Burial) -> Record {
    let item = burial.payload.item();
    let encoded = convention::encode(&item.event);
    Record {
        offset: item.offset,
        time: item.log_time,
        key: item.key.clone(),
        value: encoded.value,
        headers: encoded.headers,
    }
}
