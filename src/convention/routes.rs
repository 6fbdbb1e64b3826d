//! `Routes`: which topic an event goes to, and under which key.
//!
//! The topic: the request's, else that of the first route whose pattern matches the type, else the type's own rule
//! (`naming`). The key: the request's, else the attribute that the route names, else `partitionkey`, else `subject`, else
//! none. The route's key counts even where the request names the topic. An attribute that the event does not have, or
//! whose text is empty, gives no key, and the next in line is asked.

use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use bytestring::ByteString;
use rustc_hash::FxHashMap;

use super::naming;
use crate::{
    error::Fault,
    event::{Event, attribute},
    name::{RouteTopic, Tenant, Topic, pattern::Pattern},
};

/// A route as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Which event types: a pattern.
    pub type_pattern: String,
    pub topic: String,
    /// The attribute that is the key, `type` and `source` among them.
    pub key: Option<String>,
}

/// The routes, and what they said about the types seen so far.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Rule>,
    seen: RwLock<FxHashMap<ByteString, Seen>>,
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub topic: Topic,
    /// `None` = no key: any partition, no order.
    pub key: Option<Bytes>,
}

impl Routes {
    /// Checks all routes. A fault's field is `routes[0].type`, `.topic` or `.key`.
    pub fn new(specs: Vec<RouteSpec>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut routes = Vec::with_capacity(specs.len());
        for (index, spec) in specs.into_iter().enumerate() {
            match Rule::new(spec) {
                Ok(rule) => routes.push(rule),
                Err(own) => faults.extend(own.into_iter().map(|fault| fault.within(&format!("routes[{index}].")))),
            }
        }
        if faults.is_empty() {
            Ok(Self {
                routes,
                seen: RwLock::default(),
            })
        } else {
            Err(faults)
        }
    }

    /// An event's topic and key; what the request says comes first, and a route may lead to a topic of the tenant that publishes.
    /// The fault is about `type`: it names no topic.
    pub fn resolve(
        &self,
        event: &Event,
        (topic, key): (Option<&Topic>, Option<&Bytes>),
        tenant: Option<&Tenant>,
    ) -> Result<Route, Fault> {
        if let (Some(topic), Some(key)) = (topic, key) {
            return Ok(Route {
                topic: topic.clone(),
                key: Some(key.clone()),
            });
        }
        let seen = self.of_type(event.ty());
        let topic = match topic.cloned().or(seen.topic) {
            Some(topic) => topic,
            None => match seen.route {
                Some(index) => self.routes[index]
                    .topic
                    .topic(tenant)
                    .map_err(|rule| Fault::new("type", rule))?,
                None => naming::topic_of(event.ty())?,
            },
        };
        let named = seen.route.and_then(|index| self.routes[index].key.as_deref());
        let key = key.cloned().or_else(|| {
            let names = named.into_iter().chain(["partitionkey", "subject"]);
            names.filter_map(|name| key_bytes(event, name)).next()
        });
        Ok(Route { topic, key })
    }

    fn of_type(&self, ty: &ByteString) -> Seen {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.get(&**ty) {
            return seen.clone();
        }
        drop(seen);
        let found = self.look_up(ty);
        if ty.len() <= LONGEST_KEPT {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= MOST_KEPT {
                seen.clear();
            }
            // A copy: the type's own bytes may be a slice of a large buffer.
            seen.insert(ByteString::from(&**ty), found.clone());
        }
        found
    }

    fn look_up(&self, ty: &str) -> Seen {
        let route = self.routes.iter().position(|rule| rule.pattern.matches(ty));
        let topic = match route {
            Some(index) => self.routes[index].topic.topic(None).ok(),
            None => naming::topic_of(ty).ok(),
        };
        Seen { route, topic }
    }
}

/// How many types are remembered; when there are more, all are forgotten.
const MOST_KEPT: usize = 10_000;
/// A longer type is looked up each time.
const LONGEST_KEPT: usize = 500;

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    topic: RouteTopic,
    key: Option<String>,
}

/// What is known of a type. Without a topic, its type names none, or it is each tenant's own.
#[derive(Clone, Debug)]
struct Seen {
    route: Option<usize>,
    topic: Option<Topic>,
}

impl Rule {
    fn new(spec: RouteSpec) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let pattern = Pattern::new(&spec.type_pattern).map_err(|rule| faults.push(Fault::new("type", rule)));
        let topic = RouteTopic::new(&spec.topic).map_err(|rule| faults.push(Fault::new("topic", rule)));
        if let Some(Err(rule)) = spec.key.as_deref().map(check_key) {
            faults.push(Fault::new("key", rule));
        }
        match (pattern, topic) {
            (Ok(pattern), Ok(topic)) if faults.is_empty() => Ok(Self {
                pattern,
                topic,
                key: spec.key,
            }),
            _ => Err(faults),
        }
    }
}

fn check_key(name: &str) -> Result<(), String> {
    match name {
        "id" | "source" | "type" | "specversion" => Ok(()),
        _ => attribute::check_name(name.as_bytes()),
    }
}

/// An attribute as a key, sharing its bytes where it is text.
fn key_bytes(event: &Event, name: &str) -> Option<Bytes> {
    let bytes = match name {
        "id" => event.id().as_bytes().clone(),
        "source" => event.source().as_bytes().clone(),
        "type" => event.ty().as_bytes().clone(),
        _ => match event.attribute(name) {
            Some(value) => match value.as_text() {
                Some(text) => text.as_bytes().clone(),
                None => value.text().into_owned().into(),
            },
            None => event.text_of(name)?.into_owned().into(),
        },
    };
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests;
