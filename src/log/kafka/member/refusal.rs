//! Why there is no membership: what the group's coordinator says, and who else is in the group.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    groups::GroupInfo,
    types::RDKafkaErrorCode as Code,
};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        client::{CLIENT_ID, Context},
        fault::blocking,
    },
    Seat,
    client::is_kip848,
};
use crate::error::{Error, Reason, Result};

const TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
/// The state of a group that the broker does not tell about.
const DEAD: &str = "Dead";
/// No broker takes a note of so many characters (`offset.metadata.max.bytes`, 4,096); longer ones do not fit into a request.
const TOO_LONG: usize = 30_000;

/// Refuses a group that other consumers than buses are in: partitions that they have would never be delivered.
///
/// Members of KIP-848 are not listed to librdkafka's question: a group of theirs looks dead, with or without members. Members of
/// the old protocol may join it, and would be given what the others leave; so whether it has members is found out otherwise.
/// Where the bus itself uses KIP-848 it cannot tell such members from its own replicas.
pub(super) async fn check(seat: &Arc<Seat>) -> Result<()> {
    let until = Instant::now() + TIMEOUT;
    loop {
        let looker = Arc::clone(seat);
        match blocking(move || is_used(&looker)).await? {
            Ok(false) => return Ok(()),
            Ok(true) => return Err(in_use(seat)),
            // It does not say who is in groups; joining goes as it goes.
            Err(error) if error.rdkafka_error_code() == Some(Code::UnsupportedFeature) => return Ok(()),
            Err(error) if is_passing(&error) && Instant::now() < until => sleep(PAUSE).await,
            Err(error) => return Err(seat.failed("look who is in it", &error)),
        }
    }
}

/// Blocks.
fn is_used(seat: &Seat) -> KafkaResult<bool> {
    let listed = seat
        .cluster
        .catalog
        .probe()
        .fetch_group_list(Some(&seat.group_id), TIMEOUT)?;
    let mut groups = listed.groups().iter();
    match groups.find(|group| group.name() == seat.group_id) {
        Some(group) if group.state() == DEAD => Ok(!is_kip848(&seat.cluster.options) && has_members(seat)?),
        Some(group) => Ok(has_others(seat, group)),
        None => Ok(false),
    }
}

/// The group's coordinator has just begun to be one.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::CoordinatorLoadInProgress | Code::CoordinatorNotAvailable | Code::NotCoordinator)
    )
}

fn has_others(seat: &Seat, group: &GroupInfo) -> bool {
    let own = seat.cluster.options.property("client.id").unwrap_or(CLIENT_ID);
    let is_ours = |client_id: &str| client_id.starts_with(CLIENT_ID) || client_id == own;
    group.members().iter().any(|member| !is_ours(member.client_id()))
}

/// Blocks. Tries a commit that brokers refuse in any case, for its note: with members they refuse it for them.
fn has_members(seat: &Seat) -> KafkaResult<bool> {
    let topics = seat.topics();
    let mut existing = (topics.iter()).filter(|topic| seat.cluster.catalog.known(topic).is_some());
    let Some(topic) = existing.next() else {
        return Ok(false);
    };
    let clients = &seat.cluster.clients;
    let settings = [("group.id", seat.group_id.as_str()), ("enable.auto.commit", "false")];
    let asker: BaseConsumer<Context> = match clients.create(&settings, clients.context()) {
        Ok(asker) => asker,
        Err(error) => return Err(KafkaError::ClientCreation(error.text().to_owned())),
    };
    let mut commit = TopicPartitionList::new();
    let mut element = commit.add_partition(&seat.cluster.names.on_cluster(topic), 0);
    element.set_offset(Offset::Offset(0))?;
    element.set_metadata("n".repeat(TOO_LONG));
    let refused = asker.commit(&commit, CommitMode::Sync).err();
    Ok(refused.and_then(|error| error.rdkafka_error_code()) == Some(Code::UnknownMemberId))
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
