//! The ids of the last commands: none of them is given again.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

/// So many are known. Older ones are void by then, unless somebody writes thousands in a second.
const MOST: usize = 65_536;

#[derive(Default)]
pub(super) struct Recent {
    ids: FxHashSet<String>,
    order: VecDeque<String>,
}

impl Recent {
    /// Whether it was not there yet.
    pub(super) fn add(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_what_is_known_is_bounded() {
        let mut recent = Recent::default();
        assert!(recent.add("first") && !recent.add("first"));
        for n in 0..MOST {
            assert!(recent.add(&n.to_string()));
        }
        assert_eq!((recent.ids.len(), recent.order.len()), (MOST, MOST));
        assert!(!recent.add("0") && recent.add("first"));
    }
}
