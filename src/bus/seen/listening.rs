//! Which replicas have streams that take commands: whoever sends one waits for what these tell.

use std::{collections::BTreeSet, time::Duration};

use super::{
    BELIEVED, Seen, SeenRow,
    row::{place_of, sign_key},
    teller::{heard, is_younger},
};
use crate::error::Result;

/// A sign younger than this need not be written anew: the next comes before others doubt it.
const FRESH: Duration = Duration::from_secs(7);

impl Seen {
    /// On return others know that this replica listens. Hold a `Place` before, so that it is not told otherwise.
    pub(in crate::bus) async fn tell_that_it_listens(&self, replica_id: &str) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        let _one_at_a_time = self.telling.lock().await;
        let key = sign_key(replica_id);
        let rows = table.under(&key);
        let sign = rows.iter().find(|(of, ..)| *of == key);
        if !sign.is_some_and(|(_, row, time)| **row == SeenRow::Listens && is_younger(*time, FRESH)) {
            table.put(&key, &SeenRow::Listens).await?;
        }
        Ok(())
    }

    /// All that listened before this call, as far as they live; where nobody else uses the log, none.
    pub(in crate::bus) async fn listening(&self) -> Result<Vec<String>> {
        if let Some(table) = &self.table {
            table.catch_up().await?;
        }
        Ok(self.listening_now().into_iter().collect())
    }

    /// The same, as far as it is known.
    pub(in crate::bus) fn listening_now(&self) -> BTreeSet<String> {
        let rows = self.table.as_ref().map_or_else(Vec::new, |table| table.under(""));
        let heard = heard(&rows);
        let listening = rows.iter().filter(|(_, row, _)| **row == SeenRow::Listens);
        let ids = listening.filter_map(|(key, ..)| place_of(key)).map(|(id, _)| id);
        let living = ids.filter(|id| heard.get(id).is_some_and(|last| is_younger(*last, BELIEVED)));
        living.map(str::to_owned).collect()
    }
}
