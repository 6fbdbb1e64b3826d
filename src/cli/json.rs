//! Messages of the API in the JSON mapping of protobuf, by reflection: no message needs code of its own.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::failure::{Failure, Result};
use crate::proto::{DESCRIPTORS, tidings::v1};

/// A message that is printed, by its name in the package.
pub(super) trait Named: prost::Message {
    const NAME: &'static str;
}

impl Named for v1::Position {
    const NAME: &'static str = "tidings.v1.Position";
}

impl Named for v1::Topic {
    const NAME: &'static str = "tidings.v1.Topic";
}

impl Named for v1::Group {
    const NAME: &'static str = "tidings.v1.Group";
}

impl Named for v1::ResetPlan {
    const NAME: &'static str = "tidings.v1.ResetPlan";
}

impl Named for v1::Reset {
    const NAME: &'static str = "tidings.v1.Reset";
}

impl Named for v1::Replay {
    const NAME: &'static str = "tidings.v1.Replay";
}

impl Named for v1::DeleteGroupResponse {
    const NAME: &'static str = "tidings.v1.DeleteGroupResponse";
}

impl Named for v1::DeadLetter {
    const NAME: &'static str = "tidings.v1.DeadLetter";
}

impl Named for v1::DeadLetterResult {
    const NAME: &'static str = "tidings.v1.DeadLetterResult";
}

impl Named for v1::Snapshot {
    const NAME: &'static str = "tidings.v1.Snapshot";
}

impl Named for v1::Checkpoint {
    const NAME: &'static str = "tidings.v1.Checkpoint";
}

impl Named for v1::SendCommandResponse {
    const NAME: &'static str = "tidings.v1.SendCommandResponse";
}

/// Only of the types that the descriptors have.
impl Named for prost_types::Any {
    const NAME: &'static str = "google.protobuf.Any";
}

impl Named for v1::GetInfoResponse {
    const NAME: &'static str = "tidings.v1.GetInfoResponse";
}

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the descriptors were compiled with the protos; tested")
});

/// One object on one line: lowerCamelCase, 64-bit integers as strings, enums by name. Fields at their default are
/// written too, so that scripts always find them; what is unset is not.
pub(super) fn of<M: Named>(message: &M) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Failure::local("write JSON", error);
    let descriptor = POOL
        .get_message_by_name(M::NAME)
        .expect("every message of the API is in its descriptors");
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(|e| failed(&e))?;
    let mut line = Vec::new();
    let options = SerializeOptions::new().skip_default_fields(false);
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut line), &options)
        .map_err(|e| failed(&e))?;
    String::from_utf8(line).map_err(|e| failed(&e))
}

/// The encoded message of this type that a JSON text stands for.
pub(super) fn parse(name: &str, json: &[u8]) -> serde_json::Result<Vec<u8>> {
    let descriptor = POOL
        .get_message_by_name(name)
        .expect("the types that are sent are in the descriptors");
    let mut json = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize(descriptor, &mut json)?;
    json.end()?;
    Ok(message.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_the_json_mapping() {
        let position = v1::Position {
            topic: "orders".to_owned(),
            partition: 0,
            offset: 12,
        };
        assert_eq!(
            of(&position).expect("json"),
            r#"{"topic":"orders","partition":0,"offset":"12"}"#
        );
        let settings = v1::TopicSettings {
            partitions: Some(3),
            retention: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            retention_bytes: None,
            cleanup: v1::Cleanup::Compact.into(),
        };
        let topic = v1::Topic {
            name: "orders".to_owned(),
            settings: Some(settings),
            partitions: Vec::new(),
            create_time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
        };
        let expected = r#"{"name":"orders","settings":{"partitions":3,"retention":"1.500s","cleanup":"CLEANUP_COMPACT"},"partitions":[],"createTime":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(of(&topic).expect("json"), expected);
    }

    #[test]
    fn every_message_that_is_printed_is_in_the_descriptors() {
        assert!(of(&v1::Group::default()).is_ok());
        assert!(of(&v1::DeleteGroupResponse::default()).is_ok());
        assert!(of(&v1::Replay::default()).is_ok());
        assert!(of(&v1::DeadLetter::default()).is_ok());
        assert!(of(&v1::DeadLetterResult::default()).is_ok());
        assert!(of(&v1::Snapshot::default()).is_ok());
        assert!(of(&v1::Checkpoint::default()).is_ok());
        assert!(of(&v1::GetInfoResponse::default()).is_ok());
    }
}
