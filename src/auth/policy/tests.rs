use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::json;

use super::*;
use crate::{
    auth::{Claims, Identity},
    name::{Keys, Shared, TenantPattern},
};

fn principal(host: &str, claims: &Value) -> Principal {
    let identity = Identity {
        certificates: true,
        ..Identity::default()
    };
    let mut principal = identity.by_certificate(&[], &[host.to_owned()]).expect("known");
    principal.claims = claims.as_object().cloned().unwrap_or_else(Claims::new);
    principal
}

fn policy(principals: &[&str], verbs: &[Verb], topics: &[&str], groups: &[&str]) -> Policy {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text).expect("valid")).collect();
    Policy {
        principals: principals.iter().map(|text| Wildcard::new(text)).collect(),
        claims: Vec::new(),
        tenants: None,
        verbs: verbs.to_vec(),
        topics: patterns(topics),
        groups: patterns(groups),
        checkpoints: Vec::new(),
    }
}

fn policies_of(policies: impl IntoIterator<Item = Policy>) -> Policies {
    Policies::new(policies, Arc::default())
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("valid")
}

fn group(name: &str) -> Group {
    Group::new(name).expect("valid")
}

#[test]
fn what_no_policy_allows_is_denied() {
    let policies = policies_of([
        policy(
            &["certificate:a", "certificate:b*"],
            &[Verb::Publish],
            &["shop.**"],
            &[],
        ),
        policy(
            &["certificate:a"],
            &[Verb::Subscribe, Verb::Reset],
            &["shop.orders"],
            &["billing.*"],
        ),
    ]);
    let a = policies.rights(&principal("a", &json!({})));
    assert!(a.topics(Verb::Publish).allows(&topic("shop.x.y")) && !a.topics(Verb::Publish).allows(&topic("shopx")));
    assert!(!a.topics(Verb::Read).allows(&topic("shop.orders")));
    assert!(a.on_group(Verb::Reset, &group("billing.x")) && !a.on_group(Verb::Reset, &group("billing")));
    assert!(!a.on_group(Verb::DeadLetter, &group("billing.x")) && !a.on_every_group(Verb::Reset));
    let of_group = a.topics_of(Verb::Subscribe, &group("billing.x"));
    assert!(of_group.allows(&topic("shop.orders")) && !of_group.allows(&topic("shop.users")));
    assert!(
        !a.topics_of(Verb::Subscribe, &group("other"))
            .allows(&topic("shop.orders"))
    );
    let other = policies.rights(&principal("bc", &json!({})));
    assert!(other.has(Verb::Publish) && !other.has(Verb::Subscribe));
    assert!(other.shows_topic(&topic("shop.x")) && !other.shows_group(&group("billing.x")));
    assert!(!policies.rights(&principal("c", &json!({}))).has(Verb::Publish));
}

#[test]
fn the_buss_own_topics_need_admin_whatever_the_verb() {
    let policies = policies_of([
        policy(&["certificate:a"], &[Verb::Read, Verb::Subscribe], &["**"], &["**"]),
        policy(&["certificate:b"], &[Verb::Admin], &["tidings.audit"], &[]),
    ]);
    let [a, b] = ["a", "b"].map(|host| policies.rights(&principal(host, &json!({}))));
    assert!(!a.topics(Verb::Read).allows(&topic("tidings.audit")) && !a.shows_topic(&topic("tidings.groups")));
    assert!(b.topics(Verb::Read).allows(&topic("tidings.audit")) && !b.topics(Verb::Read).allows(&topic("x")));
    assert!(!b.topics(Verb::Read).allows(&topic("tidings.groups")));
}

#[test]
fn claims_are_texts_words_lists_and_paths() {
    let claims = json!({
        "scope": "openid bus.read", "groups": ["ops", "dev"], "realm": { "roles": ["admin"] }, "a.b": "c", "verified": true, "n": 7,
    });
    let matches = |path: &str, wanted: &str| claim_matches(&principal("a", &claims), path, &Wildcard::new(wanted));
    for (path, wanted) in [
        ("scope", "bus.read"),
        ("scope", "openid *"),
        ("groups", "dev"),
        ("groups", "o*"),
        ("realm.roles", "admin"),
        ("a.b", "c"),
        ("verified", "true"),
        ("n", "7"),
    ] {
        assert!(matches(path, wanted), "{path} {wanted}");
    }
    for (path, wanted) in [
        ("scope", "bus"),
        ("groups", "op"),
        ("realm", "*"),
        ("roles", "*"),
        ("realm.x", "*"),
        ("", "*"),
    ] {
        assert!(!matches(path, wanted), "{path} {wanted}");
    }
}

#[test]
fn names_and_claims_must_both_be_right() {
    let mut both = policy(&["certificate:a"], &[Verb::Read], &["**"], &[]);
    both.claims = vec![
        ("team".to_owned(), Wildcard::new("x")),
        ("level".to_owned(), Wildcard::new("2")),
    ];
    let policies = policies_of([both]);
    let may = |host: &str, claims: &Value| policies.rights(&principal(host, claims)).has(Verb::Read);
    assert!(may("a", &json!({ "team": "x", "level": 2 })));
    assert!(
        !may("b", &json!({ "team": "x", "level": 2 })) && !may("a", &json!({ "team": "x" })) && !may("a", &json!({}))
    );
}

fn of_tenant(host: &str, tenant: &str) -> Principal {
    Principal {
        tenant: Tenant::new(tenant),
        ..principal(host, &json!({}))
    }
}

fn tenancy() -> Arc<Tenancy> {
    let own = || Some(TenantPattern::new("{tenant}.**").expect("valid"));
    Arc::new(Tenancy {
        topics: own(),
        groups: own(),
        checkpoints: own(),
        shared: vec![Shared {
            topics: vec![Pattern::new("shop.**").expect("valid")],
            attribute: "tenant".to_owned(),
            body: None,
            keys: Keys::Prefixed,
        }],
    })
}

#[test]
fn whoever_is_of_a_tenant_has_what_is_its_own_or_shared_whatever_policies_say() {
    let all: Vec<Verb> = Verb::ALL.iter().map(|(_, verb)| *verb).collect();
    let mut everything = policy(&["*"], &all, &["**"], &["**"]);
    everything.checkpoints = vec![Pattern::new("**").expect("valid")];
    let policies = Policies::new([everything], tenancy());
    let acme = policies.rights(&of_tenant("a", "acme"));
    let may = |rights: &Rights, name: &str| rights.topics(Verb::Read).allows(&topic(name));
    assert!(may(&acme, "acme.x") && may(&acme, "shop.orders") && acme.on_group(Verb::Reset, &group("acme.g")));
    for other in ["beta.x", "common", "tidings.audit"] {
        assert!(!may(&acme, other), "{other}");
    }
    assert!(!acme.on_group(Verb::Reset, &group("beta.g")) && !acme.on_group(Verb::Reset, &group("g")));
    assert!(!acme.on_every_group(Verb::Command));
    let checkpoint = |name: &str| CheckpointName::new(name, "name").expect("valid");
    assert!(acme.on_checkpoint(Verb::State, &checkpoint("acme.c")));
    assert!(!acme.on_checkpoint(Verb::State, &checkpoint("beta.c")));
    assert!(
        acme.on_whole_topic(Verb::Topics, &topic("acme.x"))
            && !acme.on_whole_topic(Verb::Topics, &topic("shop.orders"))
    );
    let nobodys = policies.rights(&principal("a", &json!({})));
    assert!(
        may(&nobodys, "beta.x")
            && nobodys.on_group(Verb::Reset, &group("acme.g"))
            && nobodys.on_every_group(Verb::Command)
    );
    assert_eq!(nobodys.topics(Verb::Read).tenant(), None);
}

#[test]
fn a_policy_may_be_for_tenants_and_name_them_in_its_patterns() {
    let mut some = policy(
        &[],
        &[Verb::Read],
        &["{tenant}.orders", "shop.{tenant}"],
        &["{tenant}.g"],
    );
    some.tenants = Some(vec![Wildcard::new("ac*")]);
    let policies = Policies::new([some], tenancy());
    let acme = policies.rights(&of_tenant("a", "acme"));
    let may = |rights: &Rights, name: &str| rights.topics(Verb::Read).allows(&topic(name));
    assert!(
        may(&acme, "acme.orders") && may(&acme, "shop.acme") && !may(&acme, "acme.users") && !may(&acme, "shop.beta")
    );
    assert!(acme.on_group(Verb::Read, &group("acme.g")) && !acme.on_group(Verb::Read, &group("acme.h")));
    assert!(!policies.rights(&of_tenant("a", "beta")).has(Verb::Read));
    assert!(!policies.rights(&principal("a", &json!({}))).has(Verb::Read));
}

#[test]
fn patterns_with_a_tenant_mean_nothing_to_whoever_has_none() {
    let policies = Policies::new(
        [policy(&["*"], &[Verb::Read], &["{tenant}.orders", "x"], &[])],
        tenancy(),
    );
    let rights = policies.rights(&principal("a", &json!({})));
    assert!(rights.topics(Verb::Read).allows(&topic("x")) && !rights.topics(Verb::Read).allows(&topic("acme.orders")));
}

proptest! {
    /// More policies never take anything away, and one right is of one policy, never put together of two.
    #[test]
    fn rights_add_up_policy_by_policy(
        texts in vec(("[ab]|[*]", subsequence(Verb::ALL.to_vec(), 0..4), "[ab]|[*]{2}", "[gh]|[*]{2}"), 0..5),
        asked in ("[ab]", "[ab]", "[gh]", 0..Verb::ALL.len()),
    ) {
        let build = |(name, verbs, topic, group): &(String, Vec<(&str, Verb)>, String, String)| {
            let verbs: Vec<Verb> = verbs.iter().map(|(_, verb)| *verb).collect();
            policy(&[format!("certificate:{name}").as_str()], &verbs, &[topic.as_str()], &[group.as_str()])
        };
        let (host, named, of, verb) = asked;
        let (topic, group, verb) = (topic(&named), group(&of), Verb::ALL[verb].1);
        let rights = |policies: Vec<Policy>| policies_of(policies).rights(&principal(&host, &json!({})));
        let allows = |rights: &Rights| rights.topics_of(verb, &group).allows(&topic);
        let together = allows(&rights(texts.iter().map(build).collect()));
        let alone = texts.iter().any(|text| allows(&rights(vec![build(text)])));
        prop_assert_eq!(together, alone);
    }
}
