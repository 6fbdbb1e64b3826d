//! `Tenant`, and the names that tell whose something is: where `{tenant}` stands in a pattern, its name does.

use std::{fmt, sync::Arc};

use super::{Pattern, Topic, bad_character};

/// A tenant's name: 1 to 64 of `[A-Za-z0-9_-]`, so that it is one segment of any name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    pub const MAX_LEN: usize = 64;

    /// `None` if it breaks the rule.
    pub fn new(name: &str) -> Option<Self> {
        let is_one = (1..=Self::MAX_LEN).contains(&name.len()) && !name.contains('.') && bad_character(name).is_none();
        is_one.then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Stands for a tenant's name.
pub const TENANT: &str = "{tenant}";

/// The names that are some tenant's: a pattern of which one segment is `{tenant}`, behind a fixed number of others, so that a
/// name is one tenant's at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPattern {
    text: String,
    /// Which segment is the tenant.
    at: usize,
}

impl TenantPattern {
    /// `Err` is the rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        let rule = || format!("must have one segment that is {TENANT}, and no ** before it, not {text:?}");
        let at = text.split('.').position(|segment| segment == TENANT).ok_or_else(rule)?;
        let is_fixed = text.split('.').take(at).all(|segment| segment != "**");
        let rest = text.replacen(TENANT, "a", 1);
        if !is_fixed || text.starts_with("re:") || rest.contains(['{', '}']) {
            return Err(rule());
        }
        Pattern::new(&rest)?;
        Ok(Self {
            text: text.to_owned(),
            at,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of one tenant; never `None` for what this is made of.
    pub fn of(&self, tenant: &Tenant) -> Option<Pattern> {
        filled(&self.text, tenant)
    }

    /// Whose name it is.
    pub fn tenant_in(&self, name: &str) -> Option<Tenant> {
        let tenant = Tenant::new(name.split('.').nth(self.at)?)?;
        self.of(&tenant)?.matches(name).then_some(tenant)
    }
}

/// Where a route leads: to one topic, or to one of each tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTopic {
    One(Topic),
    /// A name in which `{tenant}` stands, valid with any.
    OfTenant(Arc<str>),
}

impl RouteTopic {
    /// `Err` is the rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        let rule = |error: crate::error::Error| {
            error
                .field_faults()
                .first()
                .map_or_else(String::new, |fault| fault.rule.clone())
        };
        let is_template = text.contains(TENANT);
        let longest = "a".repeat(Tenant::MAX_LEN);
        let topic = Topic::new(&text.replace(TENANT, &longest)).map_err(rule)?;
        let is_internal =
            topic.is_internal() || text.starts_with(TENANT) && text[TENANT.len()..].starts_with(|c| c != '.');
        match is_template {
            _ if is_internal => Err(format!(
                "{text} is, or may be, one of the bus's own topics; no event can be sent there"
            )),
            true => Ok(Self::OfTenant(text.into())),
            false => Ok(Self::One(topic)),
        }
    }

    /// The topic for events of this tenant; `Err` is the rule that its events break.
    pub fn topic(&self, tenant: Option<&Tenant>) -> Result<Topic, String> {
        match (self, tenant) {
            (Self::One(topic), _) => Ok(topic.clone()),
            (Self::OfTenant(text), None) => Err(format!(
                "leads to {text}, and who publishes is of no tenant; name the topic"
            )),
            (Self::OfTenant(text), Some(tenant)) => {
                let name = text.replace(TENANT, tenant.as_str());
                Topic::new(&name).map_err(|_| format!("leads to {name}, which is no topic's name"))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::One(topic) => topic.as_str(),
            Self::OfTenant(text) => text,
        }
    }
}

/// A pattern, with a tenant's name where `{tenant}` stands.
pub fn filled(text: &str, tenant: &Tenant) -> Option<Pattern> {
    Pattern::new(&text.replace(TENANT, tenant.as_str())).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenant_is_one_segment() {
        for good in ["a", "acme-1", "A_b", &"x".repeat(64)] {
            assert!(Tenant::new(good).is_some(), "{good}");
        }
        for bad in ["", "a.b", "a b", "ä", "*", "{tenant}", "a/b", &"x".repeat(65)] {
            assert!(Tenant::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_name_tells_whose_it_is() {
        let pattern = TenantPattern::new("io.*.{tenant}.**").expect("valid");
        let whose = |name: &str| pattern.tenant_in(name).map(|tenant| tenant.to_string());
        assert_eq!(whose("io.shop.acme.orders"), Some("acme".to_owned()));
        assert_eq!(whose("io.shop.acme"), Some("acme".to_owned()));
        for other in ["io.shop", "ex.shop.acme.orders", ""] {
            assert_eq!(whose(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_be_of_two_is_refused() {
        for bad in [
            "",
            "a",
            "**.{tenant}",
            "{tenant}.{tenant}",
            "a{tenant}.b",
            "re:{tenant}",
            "{tenant}.{group}",
        ] {
            assert!(TenantPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_leads_to_the_callers_tenants_topic() {
        let acme = Tenant::new("acme");
        let route = RouteTopic::new("io.{tenant}.orders").expect("valid");
        assert_eq!(route.topic(acme.as_ref()).expect("a topic").as_str(), "io.acme.orders");
        assert!(route.topic(None).expect_err("of nobody").contains("of no tenant"));
        let fixed = RouteTopic::new("orders").expect("valid");
        assert_eq!(fixed.topic(None).expect("a topic").as_str(), "orders");
        let long = format!("{}.{{tenant}}", "a".repeat(200));
        for bad in ["", "a b", "tidings.{tenant}", "{tenant}__", "{group}.{tenant}", &long] {
            assert!(RouteTopic::new(bad).is_err(), "{bad}");
        }
        // Whatever a tenant is called, the bus's own topics stay out of reach: who has these names is asked elsewhere.
        let own = RouteTopic::new("{tenant}.orders").expect("valid");
        assert!(
            own.topic(Tenant::new("tidings").as_ref())
                .expect("a name")
                .is_internal()
        );
    }

    proptest! {
        #[test]
        fn a_name_is_a_tenants_if_its_pattern_matches_and_of_no_other(
            template in "([ab*][.]){0,2}[{]tenant[}]([.]([ab*]|[*]{2})){0,2}",
            name in "[abc]([.][abc]){0,4}",
        ) {
            let template = TenantPattern::new(&template).expect("valid");
            let tenants: Vec<Tenant> = ["a", "b", "c"].into_iter().filter_map(Tenant::new).collect();
            let matching: Vec<&Tenant> = tenants
                .iter()
                .filter(|tenant| template.of(tenant).is_some_and(|pattern| pattern.matches(&name)))
                .collect();
            prop_assert!(matching.len() <= 1);
            let found = template.tenant_in(&name);
            prop_assert_eq!(found.as_ref(), matching.first().copied());
        }
    }
}
