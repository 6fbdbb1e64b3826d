//! `Scope`: the topics that somebody may mean, by patterns.
//!
//! A name is in it or not. A pattern is in it if everything that it could ever mean is; one that is wider can be narrowed to it.

use std::sync::Arc;

use super::{Pattern, Selector, Selectors, Tenant, Topic};

/// The topics that may be meant. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Scope(Option<Arc<Bounds>>);

#[derive(Debug)]
struct Bounds {
    topics: Arc<[Pattern]>,
    /// Of the bus's own.
    internal: Vec<Pattern>,
    tenant: Option<Tenant>,
}

impl Scope {
    /// No bounds.
    pub fn all() -> Self {
        Self(None)
    }

    /// What matches one of `topics`; of the bus's own topics, what matches one of `internal`.
    pub fn new(topics: Vec<Pattern>, internal: Vec<Pattern>) -> Self {
        Self(Some(Arc::new(Bounds {
            topics: topics.into(),
            internal,
            tenant: None,
        })))
    }

    /// What of these topics is a tenant's, or is shared: the patterns of `bounds`. A pattern counts as far as it is sure to lie
    /// within one of them, or has one whole within it. The bus's own topics are no tenant's.
    pub fn of_tenant(tenant: Tenant, topics: &[Pattern], bounds: &[Pattern]) -> Self {
        let both = topics.iter().flat_map(|topic| {
            let within = move |bound: &&Pattern| topic.covers(bound);
            let has = bounds.iter().any(|bound| bound.covers(topic));
            bounds.iter().filter(within).chain(has.then_some(topic))
        });
        Self(Some(Arc::new(Bounds {
            topics: both.cloned().collect(),
            internal: Vec::new(),
            tenant: Some(tenant),
        })))
    }

    /// Whose it is; `None` = nobody's, so that it means the events of all tenants.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.0.as_ref()?.tenant.as_ref()
    }

    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    pub fn allows(&self, topic: &Topic) -> bool {
        let Some(bounds) = &self.0 else { return true };
        let patterns = match topic.is_internal() {
            true => &bounds.internal[..],
            false => &bounds.topics[..],
        };
        patterns.iter().any(|pattern| pattern.matches(topic.as_str()))
    }

    /// The first selector that may mean what is not in it.
    pub fn outside<'a>(&self, selectors: &'a Selectors) -> Option<&'a Selector> {
        let is_in = |selector: &&Selector| match selector {
            Selector::Topic(topic) => self.allows(topic),
            Selector::Pattern(pattern) => self.holds(pattern) || self.holds_all(selectors.within()),
        };
        selectors.iter().find(|selector| !is_in(selector))
    }

    /// The same selectors, whose patterns mean only what is in it.
    #[must_use]
    pub fn narrow(&self, selectors: Selectors) -> Selectors {
        match &self.0 {
            Some(bounds) if self.outside(&selectors).is_some() => selectors.only_within(Arc::clone(&bounds.topics)),
            _ => selectors,
        }
    }

    fn holds(&self, pattern: &Pattern) -> bool {
        let patterns = self.0.as_ref().map(|bounds| &bounds.topics);
        patterns.is_none_or(|patterns| patterns.iter().any(|wide| wide.covers(pattern)))
    }

    fn holds_all(&self, within: Option<&Arc<[Pattern]>>) -> bool {
        within.is_some_and(|within| within.iter().all(|pattern| self.holds(pattern)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text).expect("valid")).collect()
    }

    fn selectors(texts: &[&str]) -> Selectors {
        Selectors::new(texts.iter().map(|text| Selector::new(text).expect("valid")).collect())
    }

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| Topic::new(name).expect("valid")).collect()
    }

    #[test]
    fn names_are_in_it_or_not_and_the_buss_own_need_more() {
        let scope = Scope::new(patterns(&["**"]), patterns(&["tidings.audit"]));
        let allows = |name: &str| scope.allows(&Topic::new(name).expect("valid"));
        assert!(allows("a.b") && allows("tidings.audit"));
        assert!(!allows("tidings.groups") && !allows("__consumer_offsets"));
    }

    #[test]
    fn what_is_wider_is_narrowed() {
        let scope = Scope::new(patterns(&["a.**", "b"]), Vec::new());
        assert_eq!(scope.outside(&selectors(&["a.*", "b", "a.x"])), None);
        for wide in ["**", "*", "c", "re:a[.]b"] {
            assert!(scope.outside(&selectors(&[wide])).is_some(), "{wide}");
        }
        let narrowed = scope.narrow(selectors(&["**"]));
        assert_eq!(scope.outside(&narrowed), None);
        assert_eq!(
            narrowed.matching(&topics(&["a.b", "b", "c", "d.a"])),
            topics(&["a.b", "b"])
        );
        let smaller = Scope::new(patterns(&["a.**"]), Vec::new());
        assert!(smaller.outside(&narrowed).is_some());
    }

    #[test]
    fn of_a_tenants_topics_what_may_be_anothers_is_left_out() {
        let acme = || Tenant::new("acme").expect("valid");
        let bounds = patterns(&["acme.**", "io.shop.**"]);
        let scope = |topics: &[&str]| Scope::of_tenant(acme(), &patterns(topics), &bounds);
        let allows = |scope: &Scope, name: &str| scope.allows(&Topic::new(name).expect("valid"));
        let all = scope(&["**"]);
        assert!(allows(&all, "acme.orders") && allows(&all, "io.shop.orders.resource"));
        assert!(!allows(&all, "other.orders") && !allows(&all, "tidings.audit") && !allows(&all, "io.other"));
        let some = scope(&["io.shop.orders.*", "acme.orders", "*.users", "re:acme[.].*"]);
        assert!(allows(&some, "io.shop.orders.resource") && allows(&some, "acme.orders"));
        assert!(
            !allows(&some, "io.shop.users.resource") && !allows(&some, "acme.users") && !allows(&some, "other.users")
        );
        assert_eq!(some.tenant(), Some(&acme()));
    }

    proptest! {
        #[test]
        fn what_is_narrowed_means_nothing_outside(
            wide in vec("[*]|[*]{2}|a[.][*]|[ab]([.][*]{2})?", 0..3),
            asked in vec("[*]|[*]{2}|a[.][*]|[*]{2}[.]b|re:[ab.]+", 1..4),
            there in vec("[ab]([.][ab]){0,2}", 0..10),
        ) {
            let scope = Scope::new(wide.iter().map(|text| Pattern::new(text).expect("valid")).collect(), Vec::new());
            let asked = Selectors::new(asked.iter().map(|text| Selector::new(text).expect("valid")).collect());
            let there: Vec<Topic> = there.iter().map(|name| Topic::new(name).expect("valid")).collect();
            let narrowed = scope.narrow(asked.clone());
            prop_assert_eq!(scope.outside(&narrowed), None);
            let expected: Vec<Topic> = asked.matching(&there).into_iter().filter(|topic| scope.allows(topic)).collect();
            prop_assert_eq!(narrowed.matching(&there), expected);
        }

        #[test]
        fn a_pattern_that_covers_another_matches_what_that_does(
            wide in "(a|b|[*]|[*]{2})([.](a|b|[*]|[*]{2})){0,4}",
            narrow in "(a|b|[*]|[*]{2})([.](a|b|[*]|[*]{2})){0,4}",
            name in "[ab]([.][ab]){0,5}",
        ) {
            let (wide, narrow) = (Pattern::new(&wide).expect("valid"), Pattern::new(&narrow).expect("valid"));
            if wide.covers(&narrow) && narrow.matches(&name) {
                prop_assert!(wide.matches(&name), "{} {} {}", wide, narrow, name);
            }
        }
    }
}
