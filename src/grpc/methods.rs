//! The table of all methods and the verb that each needs. A method that is not here is denied to everybody.
//!
//! With what the verb must be allowed, the method's handler looks at; whoever has it with nothing at all comes no further.

use std::{collections::HashSet, sync::LazyLock};

use crate::{name::Verb, telemetry::Method};

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing, not even to say who calls.
    Nothing,
    /// To be known. What is shown is what the caller may see.
    Known,
    Right(Verb),
}

use Need::{Known, Nothing, Right};

const METHODS: [(&str, &[(&str, Need)]); 12] = [
    (
        "grpc.health.v1.Health",
        &[("Check", Nothing), ("List", Nothing), ("Watch", Nothing)],
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        &[("ServerReflectionInfo", Known)],
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        &[("ServerReflectionInfo", Known)],
    ),
    (
        "tidings.v1.PublisherService",
        &[
            ("Publish", Right(Verb::Publish)),
            ("PublishStream", Right(Verb::Publish)),
        ],
    ),
    (
        "tidings.v1.SubscriberService",
        &[("Subscribe", Right(Verb::Subscribe)), ("Read", Right(Verb::Read))],
    ),
    (
        "tidings.v1.TopicService",
        &[
            ("CreateTopic", Right(Verb::Topics)),
            ("GetTopic", Known),
            ("ListTopics", Known),
            ("UpdateTopic", Right(Verb::Topics)),
            ("DeleteTopic", Right(Verb::Topics)),
        ],
    ),
    (
        "tidings.v1.OffsetService",
        &[
            ("ListGroups", Known),
            ("GetGroup", Known),
            ("DeleteGroup", Right(Verb::Admin)),
            ("PlanReset", Right(Verb::Reset)),
            ("GetResetPlan", Right(Verb::Reset)),
            ("ApplyReset", Right(Verb::Reset)),
            ("UndoReset", Right(Verb::Reset)),
            ("GetReset", Right(Verb::Reset)),
            ("ListResets", Right(Verb::Reset)),
        ],
    ),
    (
        "tidings.v1.DeadLetterService",
        &[
            ("ListDeadLetters", Right(Verb::DeadLetter)),
            ("GetDeadLetter", Right(Verb::DeadLetter)),
            ("RedriveDeadLetters", Right(Verb::DeadLetter)),
            ("DiscardDeadLetters", Right(Verb::DeadLetter)),
        ],
    ),
    (
        "tidings.v1.StateService",
        &[
            ("Restore", Right(Verb::State)),
            ("CreateSnapshot", Right(Verb::State)),
            ("GetSnapshot", Right(Verb::State)),
            ("ListSnapshots", Right(Verb::State)),
            ("DeleteSnapshot", Right(Verb::State)),
            ("PutCheckpoint", Right(Verb::State)),
            ("GetCheckpoint", Right(Verb::State)),
            ("ListCheckpoints", Right(Verb::State)),
            ("DeleteCheckpoint", Right(Verb::State)),
        ],
    ),
    ("tidings.v1.CommandService", &[("SendCommand", Right(Verb::Command))]),
    (
        "tidings.v1.ReplayService",
        &[
            ("StartReplay", Right(Verb::Reset)),
            ("GetReplay", Right(Verb::Reset)),
            ("ListReplays", Right(Verb::Reset)),
            ("StopReplay", Right(Verb::Reset)),
        ],
    ),
    ("tidings.v1.SystemService", &[("GetInfo", Known)]),
];

/// What the method of a path needs; `None` = there is none that we know.
pub(super) fn need(path: &str) -> Option<Need> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = METHODS.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).map(|(_, need)| *need)
}

/// Streams whose beginning and end the log tells. Subscribe's are told by its group, with more.
const TOLD: [&str; 3] = [
    "tidings.v1.PublisherService/PublishStream",
    "tidings.v1.SubscriberService/Read",
    "tidings.v1.StateService/Restore",
];

/// All methods, as `package.Service/Method`.
static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let names = |(service, methods): &(&'static str, &'static [(&'static str, Need)])| {
        let service = *service;
        methods.iter().map(move |(method, _)| format!("{service}/{method}"))
    };
    METHODS.iter().flat_map(names).collect()
});

/// How the method of a path is measured and traced: whoever calls says what the path is.
pub(super) fn method(path: &str) -> Method {
    let name = path.strip_prefix('/').and_then(|path| NAMES.get(path));
    let name = name.map_or("_OTHER", String::as_str);
    Method {
        name,
        is_told: TOLD.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::{grpc::SERVICES, proto::DESCRIPTORS};

    #[test]
    fn every_method_that_is_served_is_in_the_table_and_no_other() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let served: BTreeSet<String> = (files.iter())
            .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)))
            .flat_map(|(package, service)| {
                let path = move |method: &str| format!("/{package}.{}/{method}", service.name());
                service.method.iter().map(move |method| path(method.name()))
            })
            .collect();
        let tabled = METHODS
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}")));
        let tabled: BTreeSet<String> = tabled.filter(|path| !path.contains(".reflection.")).collect();
        assert_eq!(served, tabled);
        assert!(
            SERVICES
                .iter()
                .all(|service| tabled.iter().any(|path| path.contains(service)))
        );
    }

    #[test]
    fn what_is_not_in_the_table_needs_what_nobody_has() {
        for path in [
            "",
            "/",
            "/tidings.v1.TopicService",
            "/tidings.v1.TopicService/",
            "/tidings.v1.TopicService/No",
            "/x/Check",
        ] {
            assert_eq!(need(path), None, "{path}");
        }
        assert_eq!(need("/tidings.v1.TopicService/DeleteTopic"), Some(Right(Verb::Topics)));
    }

    #[test]
    fn methods_are_named_from_the_table_and_no_others() {
        for name in TOLD {
            let told = Method { name, is_told: true };
            assert_eq!(method(&format!("/{name}")), told);
        }
        let quiet = |name| Method { name, is_told: false };
        assert_eq!(
            method("/tidings.v1.PublisherService/Publish"),
            quiet("tidings.v1.PublisherService/Publish")
        );
        for path in ["", "/", "tidings.v1.PublisherService/Publish", "/x/y", "//"] {
            assert_eq!(method(path), quiet("_OTHER"), "{path}");
        }
    }
}
