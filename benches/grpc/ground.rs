//! What the bus stands on: the embedded log in a directory, or a Kafka that runs as long as the benchmark.

use std::path::{Path, PathBuf};

use crate::{
    Result,
    kafka::{broker::Broker, raw::RawClients},
    load::Load,
    log_alone,
    process::{Server, Setting},
    report::Sample,
};

pub(crate) enum Ground {
    Directory(PathBuf),
    Kafka(Broker),
}

impl Ground {
    /// A server whose topics and groups are its own.
    pub(crate) async fn server(&self, name: &str) -> Result<Server> {
        match self {
            Self::Directory(directory) => Server::tidings(&directory.join(name)).await,
            Self::Kafka(broker) => Server::tidings_on_kafka(broker.address(), &prefix(name)).await,
        }
    }

    /// The same with these settings.
    pub(crate) async fn server_with(&self, name: &str, settings: &[Setting]) -> Result<Server> {
        match self {
            Self::Directory(directory) => Server::tidings_with(&directory.join(name), settings).await,
            Self::Kafka(broker) => Server::tidings_on_kafka_with(broker.address(), &prefix(name), settings).await,
        }
    }

    /// The same with a store for snapshots.
    pub(crate) async fn server_with_store(&self, name: &str, store: &Path) -> Result<Server> {
        match self {
            Self::Directory(_) => self.server(name).await,
            Self::Kafka(broker) => Server::tidings_on_kafka_with_store(broker.address(), &prefix(name), store).await,
        }
    }

    /// What stands behind the bus, by itself.
    pub(crate) fn alone(&self) -> &'static str {
        match self {
            Self::Directory(_) => "log alone",
            Self::Kafka(_) => "raw clients",
        }
    }

    /// The load without bus and gRPC. On Kafka the topic of the load's server is what is written and read.
    pub(crate) async fn run_alone(&self, load: Load, run: usize) -> Result<Sample> {
        match self {
            Self::Directory(directory) => log_alone::run(load, &directory.join(format!("{}-{run}", load.name()))).await,
            Self::Kafka(broker) => RawClients::start(broker, &prefix(load.name())).await?.run(load).await,
        }
    }

    /// What the bus may cost, as a multiple of the bare server and the log alone.
    pub(crate) fn target(&self, load: Load) -> f64 {
        match (load, self) {
            (Load::PublishStream, _) | (Load::Group, Self::Directory(_)) | (Load::Read, Self::Kafka(_)) => 1.5,
            (Load::Unary, _) | (Load::Read, Self::Directory(_)) => 1.3,
            (Load::Group, Self::Kafka(_)) => 2.0,
        }
    }
}

fn prefix(name: &str) -> String {
    format!("{name}.")
}
