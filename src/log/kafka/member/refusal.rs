//! Why there is no membership: what the group's coordinator says, and who else is in the group.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    consumer::Consumer as _,
    error::KafkaError,
    groups::{GroupInfo, GroupList},
    types::RDKafkaErrorCode as Code,
};
use tokio::time::Instant;

use super::{
    super::{admin::pause, client::CLIENT_ID, fault::blocking},
    Seat,
    client::is_kip848,
};
use crate::error::{Error, Reason, Result};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Refuses a group that other consumers than buses are in: partitions that they have would never be delivered.
///
/// Members of KIP-848 are not listed to librdkafka's old question; a group of theirs refuses ours when it is joined, and that
/// is told as `Change::Failed`. One that has no members any more takes ours.
pub(super) async fn check(seat: &Arc<Seat>) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (looker, probe) = (Arc::clone(seat), seat.cluster.catalog.probe());
        let asked = blocking(move || {
            let listed = probe.fetch_group_list(Some(&looker.group_id), TIMEOUT)?;
            Ok(has_others(&looker, &listed))
        });
        match asked.await? {
            Ok(false) => return Ok(()),
            Ok(true) => return Err(in_use(seat)),
            Err(error) if is_settling(&error) && Instant::now() < deadline => pause().await,
            // Brokers that list no groups cannot tell.
            Err(error) if error.rdkafka_error_code() == Some(Code::UnsupportedFeature) => return Ok(()),
            Err(error) => return Err(seat.failed("look who is in it", &error)),
        }
    }
}

/// Whether the group's coordinator has just come to be.
fn is_settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator)
    )
}

fn has_others(seat: &Seat, listed: &GroupList) -> bool {
    let options = &seat.cluster.options;
    let own = options.property("client.id").unwrap_or(CLIENT_ID);
    let is_ours = |client_id: &str| client_id.starts_with(CLIENT_ID) || client_id == own;
    let has_others = |group: &GroupInfo| group.members().iter().any(|member| !is_ours(member.client_id()));
    listed
        .groups()
        .iter()
        .any(|group| group.name() == seat.group_id && has_others(group))
}

/// What an error that the client met means for the membership, if it ends it. The others pass.
pub(super) fn of(seat: &Seat, error: &KafkaError, words: &str) -> Option<Error> {
    let code = error.rdkafka_error_code()?;
    match code {
        Code::InconsistentGroupProtocol | Code::GroupMaxSizeReached | Code::FencedInstanceId => Some(in_use(seat)),
        Code::GroupAuthorizationFailed => Some(denied(seat, &format!("read group {}", seat.group_id))),
        Code::TopicAuthorizationFailed => {
            let is_named = |name: &String| words.split([':', ' ']).any(|word| word == name.as_str());
            let named = seat.names_on_cluster().into_iter().find(is_named);
            let topics = named.unwrap_or_else(|| seat.names_on_cluster().join(", "));
            Some(denied(seat, &format!("read topic {topics}")))
        }
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Some(Error::new(
            Reason::Internal,
            format!("join group {} on Kafka: {code}: {words}", seat.group),
        )),
        _ => {
            tracing::debug!(group = %seat.group, %code, "librdkafka: {words}");
            None
        }
    }
}

fn in_use(seat: &Seat) -> Error {
    let other = match is_kip848(&seat.cluster.options) {
        true => "another protocol",
        false => "another protocol, or that of KIP-848",
    };
    let text = format!(
        "join group {}: other Kafka consumers use the group.id {} (or replicas of the bus with {other}); \
         stop them, or choose another name",
        seat.group, seat.group_id
    );
    Error::new(Reason::GroupInUse, text).resource("group", seat.group.as_str())
}

fn denied(seat: &Seat, what: &str) -> Error {
    let text = format!("join group {}: Kafka does not let the bus {what}", seat.group);
    Error::new(Reason::PermissionDenied, text).resource("group", seat.group.as_str())
}
