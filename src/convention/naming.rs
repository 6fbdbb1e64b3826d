//! The rule that gives an event's topic by its type: `io.shop.orders.created` goes to `io.shop.orders.resource`.
//!
//! The last segment is what happened, the one before the resource, the rest the namespace; a trailing version (`v2`) is
//! set aside. So everything that happens to one resource lies in one topic, in order per key.

use crate::{error::Fault, name::Topic};

/// The topic of a type. A fault's field is `type`.
pub fn topic_of(ty: &str) -> Result<Topic, Fault> {
    let Some(resource) = resource_of(ty) else {
        return Err(Fault::new(
            "type",
            "names no topic: without a topic in the request and without a route for it, a type must be made of a \
             namespace, a resource and what happened, such as io.shop.orders.created",
        ));
    };
    Topic::new(&format!("{resource}.resource")).map_err(|error| {
        Fault::new(
            "type",
            format!(
                "names a topic that cannot be: {}; name a topic or set up a route",
                error.text()
            ),
        )
    })
}

/// What a type says has happened to a resource: its last segment, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The resource is as the event says: created, replaced or patched.
    Resource,
    Deleted,
    /// All resources of the topic are deleted.
    DeletedAll,
    /// Anything else, such as `shipped`.
    Other,
}

/// The vocabulary, and what older systems have for the same.
const HAPPENINGS: [(&str, Happening); 9] = [
    ("created", Happening::Resource),
    ("replaced", Happening::Resource),
    ("patched", Happening::Resource),
    ("posted", Happening::Resource),
    ("putted", Happening::Resource),
    ("modified", Happening::Resource),
    ("updated", Happening::Resource),
    ("deleted", Happening::Deleted),
    ("deletedall", Happening::DeletedAll),
];

impl Happening {
    pub fn of(ty: &str) -> Self {
        let ty = without_version(ty);
        let word = ty.rsplit_once('.').map_or(ty, |(_, last)| last);
        let known = HAPPENINGS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known));
        known.map_or(Self::Other, |(_, happening)| *happening)
    }
}

/// Namespace and resource: what stands before the happening.
fn resource_of(ty: &str) -> Option<&str> {
    let ty = without_version(ty);
    let (resource, _happening) = ty.rsplit_once('.')?;
    let is_whole = resource.contains('.') && ty.split('.').all(|segment| !segment.is_empty());
    is_whole.then_some(resource)
}

fn without_version(ty: &str) -> &str {
    match ty.rsplit_once('.') {
        Some((rest, last)) if is_version(last) => rest,
        _ => ty,
    }
}

/// `v` and digits.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_type_names_its_topic() {
        for (ty, topic) in [
            ("io.restorecommerce.users.created", "io.restorecommerce.users.resource"),
            (
                "io.restorecommerce.orders.completed",
                "io.restorecommerce.orders.resource",
            ),
            (
                "io.restorecommerce.users.deletedAll",
                "io.restorecommerce.users.resource",
            ),
            (
                "io.restorecommerce.users.created.v2",
                "io.restorecommerce.users.resource",
            ),
            ("a.b.c", "a.b.resource"),
            ("a.b.c.v10", "a.b.resource"),
            ("a.v1.b.c", "a.v1.b.resource"),
            ("a.b.v", "a.b.resource"),
            ("a.b.vx1", "a.b.resource"),
            ("A_1.b-c.D", "A_1.b-c.resource"),
        ] {
            assert_eq!(topic_of(ty).expect(ty).as_str(), topic);
        }
    }

    #[test]
    fn a_type_without_the_shape_is_a_fault_that_says_so() {
        let long = format!("a.{}.c", "b".repeat(240));
        for (ty, word) in [
            ("", "namespace"),
            ("created", "namespace"),
            ("UserCreatedEvent", "namespace"),
            ("users.created", "namespace"),
            ("users.created.v1", "namespace"),
            ("a..b.c", "namespace"),
            (".a.b", "namespace"),
            ("a.b.", "namespace"),
            ("a/b.c.d", "A-Z"),
            ("a b.c.d", "A-Z"),
            (&long, "249"),
        ] {
            let fault = topic_of(ty).expect_err(ty);
            assert_eq!(fault.field, "type");
            assert!(fault.rule.contains(word), "{ty}: {fault}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_a_verdict(ty in "[a-z0-9v./ä]{0,40}") {
            if let Ok(topic) = topic_of(&ty) {
                prop_assert!(topic.as_str().ends_with(".resource"));
            }
        }
    }
}
