//! `Selectors`: the topics that a client means, named one by one or by patterns.
//!
//! A name means its topic, whether there is one or not. A pattern means all topics that match it, now and later, but never
//! the bus's own.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{Pattern, Topic};
use crate::error::{Error, Reason, Result};

/// Topics by name or by pattern: sorted by their text, each once.
#[derive(Clone, PartialEq, Eq)]
pub struct Selectors {
    all: Arc<[Selector]>,
    /// What patterns mean is one of these too; `None` = whatever.
    within: Option<Arc<[Pattern]>>,
}

impl Selectors {
    pub fn new(mut selectors: Vec<Selector>) -> Self {
        selectors.sort();
        selectors.dedup();
        Self {
            all: selectors.into(),
            within: None,
        }
    }

    /// The same, whose patterns mean only what one of these matches too.
    #[must_use]
    pub fn only_within(self, patterns: Arc<[Pattern]>) -> Self {
        Self {
            within: Some(patterns),
            ..self
        }
    }

    /// What patterns are bound to; `None` = nothing.
    pub fn within(&self) -> Option<&Arc<[Pattern]>> {
        self.within.as_ref()
    }

    /// Whether the same was asked for, whatever patterns are bound to.
    pub fn has_same_texts(&self, other: &Self) -> bool {
        self.all == other.all
    }

    pub fn iter(&self) -> impl Iterator<Item = &Selector> {
        self.all.iter()
    }

    /// Those named one by one, in order.
    pub fn named(&self) -> impl Iterator<Item = &Topic> {
        self.all.iter().filter_map(|selector| match selector {
            Selector::Topic(topic) => Some(topic),
            Selector::Pattern(_) => None,
        })
    }

    pub fn names(&self, topic: &Topic) -> bool {
        self.named().any(|named| named == topic)
    }

    pub fn has_patterns(&self) -> bool {
        self.all.iter().any(|selector| matches!(selector, Selector::Pattern(_)))
    }

    /// The topics that are meant, in order: those named, and those of `existing` that match.
    pub fn matching(&self, existing: &[Topic]) -> Vec<Topic> {
        let patterns: Vec<&Pattern> = (self.all.iter())
            .filter_map(|selector| match selector {
                Selector::Pattern(pattern) => Some(pattern),
                Selector::Topic(_) => None,
            })
            .collect();
        let one_matches =
            |patterns: &[&Pattern], topic: &Topic| patterns.iter().any(|pattern| pattern.matches(topic.as_str()));
        let within: Option<Vec<&Pattern>> = self.within().map(|within| within.iter().collect());
        let is_match = |topic: &&Topic| {
            !topic.is_internal()
                && one_matches(&patterns, topic)
                && within.as_ref().is_none_or(|within| one_matches(within, topic))
        };
        let mut topics: Vec<Topic> = self.named().chain(existing.iter().filter(is_match)).cloned().collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

impl Hash for Selectors {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all.hash(state);
    }
}

impl fmt::Debug for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter()).finish()
    }
}

/// One topic, or all that match a pattern.
#[derive(Clone, PartialEq, Eq)]
pub enum Selector {
    Topic(Topic),
    Pattern(Pattern),
}

impl Selector {
    /// A pattern has `*` or begins with `re:`, which no topic's name does. `TOPIC_INVALID` says the rule that it breaks.
    pub fn new(text: &str) -> Result<Self> {
        if !text.contains('*') && !text.starts_with("re:") {
            return Ok(Self::Topic(Topic::new(text)?));
        }
        let pattern = Pattern::new(text).map_err(|rule| Error::fault(Reason::TopicInvalid, "topic", rule))?;
        Ok(Self::Pattern(pattern))
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Topic(topic) => topic.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn selectors(texts: &[&str]) -> Selectors {
        Selectors::new(texts.iter().map(|text| Selector::new(text).expect(text)).collect())
    }

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| Topic::new(name).expect(name)).collect()
    }

    #[test]
    fn names_are_meant_whether_they_exist_and_patterns_mean_what_exists() {
        let there = topics(&["a.b", "a.c", "b", "b.x.y"]);
        for (texts, meant) in [
            (&["z", "b"][..], &["b", "z"][..]),
            (&["a.*"], &["a.b", "a.c"]),
            (&["a.*", "a.c", "z", "a.*"], &["a.b", "a.c", "z"]),
            (&["b.**", "re:a[.]c"], &["a.c", "b", "b.x.y"]),
            (&["c.*"], &[]),
        ] {
            assert_eq!(selectors(texts).matching(&there), topics(meant), "{texts:?}");
        }
    }

    #[test]
    fn patterns_never_mean_internal_topics() {
        let there = topics(&["tidings.groups", "__consumer_offsets", "tidings", "tidingsx", "_a"]);
        for all in ["**", "re:.*", "re:(?s).*"] {
            assert_eq!(
                selectors(&[all]).matching(&there),
                topics(&["_a", "tidings", "tidingsx"])
            );
        }
        for internal in ["tidings.*", "tidings.**", "re:tidings[.]groups|__.*"] {
            let meant = selectors(&[internal]).matching(&there);
            assert!(!meant.iter().any(Topic::is_internal), "{internal}: {meant:?}");
        }
    }

    #[test]
    fn selectors_that_cannot_be_used_are_refused() {
        for bad in ["", "a b", "a*", "re:(", "***", "a/b.*.re:x*"] {
            let error = Selector::new(bad).expect_err(bad);
            assert_eq!(error.reason(), Reason::TopicInvalid);
        }
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(texts in vec("[ab]([.][ab]){0,2}|[*]|[*]{2}|a[.][*]|re:[ab]+", 0..6)) {
            let given: Vec<Selector> = texts.iter().map(|text| Selector::new(text).expect("valid")).collect();
            let twice = given.iter().rev().chain(&given).cloned().collect();
            prop_assert_eq!(Selectors::new(given), Selectors::new(twice));
        }

        #[test]
        fn what_is_meant_is_named_or_matches(
            texts in vec("[ab]([.][ab]){0,2}|[*]|[*]{2}|a[.][*]|re:[ab]+", 0..5),
            there in vec("(tidings[.]|__)?[ab]([.][ab]){0,2}", 0..10),
        ) {
            let selectors = Selectors::new(texts.iter().map(|text| Selector::new(text).expect("valid")).collect());
            let there: Vec<Topic> = there.iter().map(|name| Topic::new(name).expect("valid")).collect();
            let meant = selectors.matching(&there);
            prop_assert!(meant.is_sorted_by(|a, b| a < b));
            for topic in there.iter().chain(selectors.named()) {
                let fits = |text: &String| Pattern::new(text).expect("valid").matches(topic.as_str());
                let expected = selectors.names(topic) || (!topic.is_internal() && texts.iter().any(fits));
                prop_assert_eq!(meant.contains(topic), expected, "{}", topic);
            }
        }
    }
}
