//! Looking at dead letters: newest first, a page at a time, or one with its event.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use super::{
    follow::Loaded,
    index::Row,
    letter::{Letter, LetterId},
    selection::LetterFilter,
    store::Store,
};
use crate::{
    bus::{Bus, Inner},
    convention,
    error::{Error, Fault, Reason, Result},
    event::Event,
    log::Headers,
    name::Group,
};

/// Letters looked at in one go, so that a page is complete although some do not pass.
const AT_ONCE: usize = 256;
/// Letters that are looked at for one page, whether they pass or not.
const MOST_SEEN: usize = 10_000;
/// A page with more than this is cut: keys may be large.
const MOST_BYTES: usize = 1 << 20;

/// A dead letter and what became of it.
#[derive(Clone, Debug)]
pub struct LetterInfo {
    pub row: Row,
    /// In lists without value and headers.
    pub letter: Letter,
}

impl LetterInfo {
    /// The event, and why the record is no well-formed one.
    pub fn event(&self) -> (Event, Option<Fault>) {
        let decoded = convention::decode(&self.letter.source, &self.letter.record);
        (decoded.event, decoded.fault)
    }
}

/// Newest first.
#[derive(Debug, Default)]
pub struct LetterPage {
    pub letters: Vec<LetterInfo>,
    /// The next page has what lies before this offset; `None` = this was the last.
    pub next: Option<i64>,
}

impl Bus {
    /// At most `count`, those that lie before `before` in the dead-letter topic. A page may have fewer although there are
    /// more.
    pub async fn dead_letters(
        &self,
        group: &Group,
        filter: &LetterFilter,
        before: Option<i64>,
        count: usize,
    ) -> Result<LetterPage> {
        let store = self.0.letters_of(group).await?;
        let (mut page, mut bytes, mut seen) = (LetterPage::default(), 0, 0);
        let mut before = before.unwrap_or(i64::MAX);
        while page.letters.len() < count && bytes < MOST_BYTES && seen < MOST_SEEN {
            let some = AT_ONCE.min(count - page.letters.len());
            let rows = matching(&store, filter, before, some);
            let Some(last) = rows.last() else { return Ok(page) };
            (before, seen) = (last.at, seen + rows.len());
            for info in describe(&store, rows, filter).await? {
                bytes += weight(&info);
                page.letters.push(info);
                if bytes >= MOST_BYTES {
                    before = page.letters.last().map_or(before, |info| info.row.at);
                    break;
                }
            }
        }
        let is_more = !matching(&store, filter, before, 1).is_empty();
        page.next = is_more.then_some(before);
        Ok(page)
    }

    /// One with everything that the record has.
    pub async fn dead_letter(&self, group: &Group, id: LetterId) -> Result<LetterInfo> {
        let store = self.0.letters_of(group).await?;
        let row = store.index().row(id).cloned().ok_or_else(|| not_found(group, id))?;
        let loaded = store
            .load(&[row.at], 0)
            .await?
            .pop()
            .ok_or_else(|| not_found(group, id))?;
        Ok(LetterInfo {
            row,
            letter: loaded.letter,
        })
    }
}

impl Inner {
    /// The letters of a group that exists or has left some, known up to now.
    pub(in crate::bus) async fn letters_of(&self, group: &Group) -> Result<Arc<Store>> {
        let topic = self.dead_letters.topic(group)?;
        if self.log.partitions(&topic).await?.is_none() && self.groups.find(group).await?.is_none() {
            return Err(Error::no_such_group(group));
        }
        let store = self.dead_letters.lingering(group)?;
        store.ready().await?;
        Ok(store)
    }
}

/// What a letter takes in a page, about.
fn weight(info: &LetterInfo) -> usize {
    const FIXED: usize = 300;
    let of_request = info
        .row
        .cause
        .as_ref()
        .map_or(0, |cause| cause.id.len() + cause.reason.len());
    FIXED + info.letter.record.size() + info.letter.why.detail.len() + of_request
}

fn matching(store: &Store, filter: &LetterFilter, before: i64, count: usize) -> Vec<Row> {
    let index = store.index();
    let rows = index.newest(before).filter(|row| filter.matches(row));
    rows.take(count).cloned().collect()
}

/// What the rows' records say, without values and headers; those that are gone, or do not pass, are left out.
pub(super) async fn describe(store: &Store, rows: Vec<Row>, filter: &LetterFilter) -> Result<Vec<LetterInfo>> {
    let offsets: Vec<i64> = rows.iter().map(|row| row.at).collect();
    let mut letters: BTreeMap<i64, Letter> = BTreeMap::new();
    let see = |Loaded { at, letter, .. }| {
        if filter.passes(&letter) {
            letters.insert(at, without_payload(letter));
        }
        ControlFlow::Continue(())
    };
    store.visit(&offsets, see).await?;
    let info = |row: Row| letters.remove(&row.at).map(|letter| LetterInfo { row, letter });
    Ok(rows.into_iter().filter_map(info).collect())
}

/// Shares no bytes with the batch that the letter was read in.
fn without_payload(mut letter: Letter) -> Letter {
    letter.record.value = None;
    letter.record.headers = Headers::default();
    letter.record.key = letter.record.key.map(|key| bytes::Bytes::copy_from_slice(&key));
    letter
}

fn not_found(group: &Group, id: LetterId) -> Error {
    Error::new(
        Reason::DeadLetterNotFound,
        format!("group {group} has no dead letter {id}"),
    )
    .resource("dead letter", &id.to_string())
}
