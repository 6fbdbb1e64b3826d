//! librdkafka's clients: what all of them are told, and what they tell.

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    Options,
    health::Health,
    stranded::{self, Stranded},
};
use crate::error::{Error, Reason, Result};

/// Makes clients.
#[derive(Clone)]
pub(super) struct Clients {
    common: ClientConfig,
    own: Vec<(String, String)>,
    health: Health,
}

/// For all clients. Brokers that come back are found within a second.
const COMMON: [(&str, &str); 6] = [
    ("client.id", CLIENT_ID),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    // Not for a client's own sake: a consumer of a topic must never make it.
    ("allow.auto.create.topics", "false"),
    (STATISTICS, stranded::EVERY_MS),
];
const STATISTICS: &str = "statistics.interval.ms";
/// For clients whose events nobody serves: they would wait there for ever.
pub(super) const NO_STATISTICS: (&str, &str) = (STATISTICS, "0");

/// By it a bus knows its own kind among a group's members.
pub(super) const CLIENT_ID: &str = "tidings";

impl Clients {
    pub(super) fn new(options: &Options, health: Health) -> Self {
        let mut common = ClientConfig::new();
        common.set("bootstrap.servers", &options.bootstrap_servers);
        for (name, value) in COMMON {
            common.set(name, value);
        }
        Self {
            common,
            own: options.properties.clone(),
            health,
        }
    }

    /// A client of this kind. The configuration's own properties go over ours, but nobody is told statistics who takes none.
    pub(super) fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
        &self,
        settings: &[(&str, &str)],
        context: C,
    ) -> Result<T> {
        let mut config = self.common.clone();
        for (name, value) in settings.iter().copied() {
            config.set(name, value);
        }
        let takes_none = settings.contains(&NO_STATISTICS);
        for (name, value) in (self.own.iter()).filter(|(name, _)| !(takes_none && name == STATISTICS)) {
            config.set(name, value);
        }
        config.create_with_context(context).map_err(refused)
    }

    /// Of one client: what it hears where the client has nothing to tell but its log lines and errors.
    pub(super) fn context(&self) -> Context {
        Context {
            health: self.health.clone(),
            stranded: Stranded::default(),
        }
    }
}

/// A property that librdkafka does not take.
fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, rule, name, _) => {
            Error::fault(Reason::RequestInvalid, format!("log.kafka.properties.{name}"), rule)
        }
        error => Error::new(Reason::Internal, format!("make a client of Kafka: {error}")),
    }
}

/// Hears what a client of Kafka tells.
#[derive(Clone)]
pub(super) struct Context {
    health: Health,
    pub(super) stranded: Stranded,
}

impl Context {
    /// Whether the cluster can be reached, as far as is known.
    pub(super) fn is_reachable(&self) -> bool {
        self.health.is_reachable()
    }

    /// Connections that break say that the cluster may be away.
    pub(super) fn heard(&self, error: &KafkaError) {
        let gone = [
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::Resolve,
        ];
        if error.rdkafka_error_code().is_some_and(|code| gone.contains(&code)) {
            self.health.doubted();
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "librdkafka: {message}");
            }
            _ if facility == "FAIL" || facility == "ERROR" => {
                tracing::debug!(facility, "librdkafka: {message}");
                self.health.complained(message);
            }
            // Properties meant for other kinds of clients, and the like.
            _ => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        // No token of an issuer, for one.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Authentication) {
            self.health.complained(reason);
        }
        self.heard(&error);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.stranded.look(statistics);
    }
}

impl ConsumerContext for Context {}
