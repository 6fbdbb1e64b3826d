use super::*;
use crate::event::{
    Draft, Value,
    tests::{draft, string, with},
};

fn route(type_pattern: &str, topic: &str, key: Option<&str>) -> RouteSpec {
    RouteSpec {
        type_pattern: type_pattern.into(),
        topic: topic.into(),
        key: key.map(Into::into),
    }
}

fn routes() -> Routes {
    Routes::new(vec![
        route("*", "portal-event", Some("host")),
        route("io.shop.orders.*", "orders", Some("type")),
        route("io.shop.**", "shop", None),
    ])
    .expect("valid")
}

fn event(ty: &str, attributes: &[(&str, Value)]) -> Event {
    let draft = Draft {
        ty: ty.into(),
        ..with(attributes)
    };
    draft.check().expect("valid")
}

fn resolved(event: &Event) -> (String, Option<String>) {
    let routes = routes();
    let first = routes.resolve(event, (None, None), None).expect("has a topic");
    // The second time it is remembered.
    assert_eq!(routes.resolve(event, (None, None), None).as_ref(), Ok(&first));
    let key = first.key.map(|key| String::from_utf8_lossy(&key).into_owned());
    (first.topic.as_str().to_owned(), key)
}

#[track_caller]
fn assert_route(ty: &str, attributes: &[(&str, Value)], topic: &str, key: Option<&str>) {
    let found = resolved(&event(ty, attributes));
    assert_eq!(found, (topic.to_owned(), key.map(str::to_owned)));
}

#[test]
fn the_first_matching_route_gives_topic_and_key() {
    let (subject, host) = (("subject", string("s")), ("host", string("h")));
    assert_route("UserCreatedEvent", &[host, subject.clone()], "portal-event", Some("h"));
    assert_route(
        "UserCreatedEvent",
        &[("host", Value::Integer(5))],
        "portal-event",
        Some("5"),
    );
    let created = "io.shop.orders.created";
    assert_route(created, std::slice::from_ref(&subject), "orders", Some(created));
    assert_route(
        "io.shop.users.created",
        std::slice::from_ref(&subject),
        "shop",
        Some("s"),
    );
    assert_route(
        "io.other.users.created",
        &[subject],
        "io.other.users.resource",
        Some("s"),
    );
}

#[test]
fn without_the_routes_attribute_the_usual_ones_are_the_key() {
    let (subject, partition_key) = (("subject", string("s")), ("partitionkey", string("p")));
    assert_route("UserCreatedEvent", &[], "portal-event", None);
    assert_route(
        "UserCreatedEvent",
        std::slice::from_ref(&subject),
        "portal-event",
        Some("s"),
    );
    assert_route(
        "UserCreatedEvent",
        &[("host", string("")), subject.clone()],
        "portal-event",
        Some("s"),
    );
    assert_route("io.shop.users.created", &[subject, partition_key], "shop", Some("p"));
}

#[test]
fn the_request_comes_first() {
    let (routes, topic, key) = (routes(), Topic::new("t").expect("valid"), Bytes::from_static(b"k"));
    let event = event("UserCreatedEvent", &[("host", string("h"))]);
    let found = routes.resolve(&event, (Some(&topic), Some(&key)), None);
    assert_eq!(
        found,
        Ok(Route {
            topic: topic.clone(),
            key: Some(key.clone())
        })
    );
    let found = routes.resolve(&event, (Some(&topic), None), None).expect("has a topic");
    assert_eq!(
        found,
        Route {
            topic,
            key: Some("h".into())
        }
    );
    let found = routes
        .resolve(&event, (None, Some(&Bytes::new())), None)
        .expect("has a topic");
    assert_eq!((found.topic.as_str(), found.key), ("portal-event", Some(Bytes::new())));
}

#[test]
fn a_type_that_names_no_topic_is_a_fault_unless_the_request_does() {
    let routes = Routes::new(Vec::new()).expect("valid");
    let event = event("UserCreatedEvent", &[]);
    assert_eq!(
        routes.resolve(&event, (None, None), None).expect_err("no topic").field,
        "type"
    );
    let topic = Topic::new("t").expect("valid");
    assert_eq!(
        routes.resolve(&event, (Some(&topic), None), None),
        Ok(Route { topic, key: None })
    );
}

#[test]
fn all_faults_of_all_routes_are_told() {
    let faults = Routes::new(vec![
        route("a*", "a/b", Some("Bad")),
        route("**", "t", None),
        route("", "tidings.groups", Some("data")),
    ])
    .expect_err("should have faults");
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    let expected = [
        "routes[0].type",
        "routes[0].topic",
        "routes[0].key",
        "routes[2].type",
        "routes[2].topic",
        "routes[2].key",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn what_is_remembered_is_bounded() {
    let routes = Routes::new(Vec::new()).expect("valid");
    for number in 0..MOST_KEPT + 10 {
        let event = Draft {
            ty: format!("a.b{number}.c").into(),
            ..draft()
        }
        .check()
        .expect("valid");
        assert!(routes.resolve(&event, (None, None), None).is_ok());
    }
    let long = event(&format!("a.{}.c", "b".repeat(LONGEST_KEPT)), &[]);
    assert!(routes.resolve(&long, (None, None), None).is_err());
    assert!(routes.seen.read().expect("not poisoned").len() <= 10);
}
