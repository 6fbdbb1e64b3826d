//! What stands behind a server under test: a directory, or a shared Kafka where all names are the server's own.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tidings::log::{
    Log, LogTime,
    embedded::{self, EmbeddedLog},
    kafka::{self, KafkaLog},
};

use super::{Home, Server, kafka::Broker, within};
use crate::LOG;

/// The logs that tests run on; which one is the choice of the test program, in its `LOG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Embedded,
    Kafka,
}

impl Backend {
    /// As in the configuration and in `GetInfo`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }
}

/// Where a server's log is: kept from start to start, shared by replicas.
#[derive(Clone)]
pub(super) enum Ground {
    Directory,
    Kafka { bootstrap_servers: String, prefix: String },
}

impl Ground {
    pub(super) async fn new() -> Self {
        match LOG {
            Backend::Embedded => Self::Directory,
            Backend::Kafka => Self::on(Broker::shared().await),
        }
    }

    fn on(broker: &Broker) -> Self {
        Self::at(broker.address())
    }

    fn at(bootstrap_servers: &str) -> Self {
        Self::Kafka {
            bootstrap_servers: bootstrap_servers.to_owned(),
            prefix: unique_prefix(),
        }
    }

    /// Settings that go over those of the configuration file, which is the test's own.
    pub(super) fn environment(&self, config: &Path) -> Vec<(&'static str, String)> {
        let Self::Kafka {
            bootstrap_servers,
            prefix,
        } = self
        else {
            return Vec::new();
        };
        let mut environment = vec![
            ("TIDINGS_LOG__BACKEND", "kafka".to_owned()),
            ("TIDINGS_LOG__KAFKA__BOOTSTRAP_SERVERS", bootstrap_servers.clone()),
            ("TIDINGS_LOG__KAFKA__TOPIC_PREFIX", prefix.clone()),
            ("TIDINGS_LOG__KAFKA__GROUP_ID", format!("{prefix}{{group}}")),
        ];
        // The embedded log's default, unless the test is about it.
        let config = fs::read_to_string(config).expect("the configuration");
        if !config.contains("auto_create") {
            environment.push(("TIDINGS_TOPICS__AUTO_CREATE", "true".to_owned()));
        }
        environment
    }
}

impl Server {
    /// Starts on a broker of the test's own, with this configuration file.
    pub(crate) async fn start_on(broker: &Broker, config: &str) -> Self {
        Self::start_at(Home::new(config, Ground::on(broker))).await
    }

    /// Starts with brokers that may not be there, or not answer.
    pub(crate) async fn start_at_brokers(bootstrap_servers: &str, config: &str) -> Self {
        Self::start_at(Home::new(config, Ground::at(bootstrap_servers))).await
    }

    /// What a server tells that does not start with this configuration file.
    pub(crate) async fn refused_start(bootstrap_servers: &str, config: &str) -> String {
        let home = Home::new(config, Ground::at(bootstrap_servers));
        let output = within("a server to give up", home.serve().output())
            .await
            .expect("run it");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What its topics' names begin with on Kafka, and its groups'.
    pub(crate) fn prefix(&self) -> &str {
        match &self.home.ground {
            Ground::Kafka { prefix, .. } => prefix,
            Ground::Directory => "",
        }
    }

    /// A second server on the same Kafka with the same names and configuration: they share what they serve.
    pub(crate) async fn replica(&self) -> Self {
        assert_eq!(LOG, Backend::Kafka, "the embedded log serves one process");
        let config = fs::read_to_string(self.home.config()).expect("the configuration");
        Self::start_at(Home::new(&config, self.home.ground.clone())).await
    }

    /// The same, which reaches the Kafka elsewhere.
    pub(crate) async fn replica_at(&self, bootstrap_servers: &str) -> Self {
        let config = fs::read_to_string(self.home.config()).expect("the configuration");
        let ground = Ground::Kafka {
            bootstrap_servers: bootstrap_servers.to_owned(),
            prefix: self.prefix().to_owned(),
        };
        Self::start_at(Home::new(&config, ground)).await
    }

    /// A topic's name as long as Kafka allows, which on Kafka has its prefix there too.
    pub(crate) fn longest_topic(&self) -> String {
        let prefix = match &self.home.ground {
            Ground::Directory => 0,
            Ground::Kafka { prefix, .. } => prefix.len(),
        };
        "t".repeat(249 - prefix)
    }

    /// Does what only the log itself can do: stops the server, hands its log over, and starts again.
    pub(crate) async fn with_log(mut self, work: impl AsyncFnOnce(Arc<dyn Log>)) -> Self {
        assert!(self.stop().await.success());
        let log = self.home.open_log().await;
        work(Arc::clone(&log)).await;
        log.close().await;
        drop(log);
        self.restart().await
    }

    /// Lets the log delete what it need not keep: Kafka does that all the time, the embedded log now and then.
    pub(crate) async fn retain(mut self) -> Self {
        if LOG == Backend::Kafka {
            return self;
        }
        assert!(self.stop().await.success());
        let log = self.home.open_embedded().await;
        assert!(log.retain(LogTime::now()).await.expect("retention") > 0);
        log.close().await;
        drop(log);
        self.restart().await
    }
}

impl Home {
    async fn open_log(&self) -> Arc<dyn Log> {
        match &self.ground {
            Ground::Directory => self.open_embedded().await,
            Ground::Kafka {
                bootstrap_servers,
                prefix,
            } => open_kafka(bootstrap_servers, prefix).await,
        }
    }

    async fn open_embedded(&self) -> Arc<EmbeddedLog> {
        EmbeddedLog::open(embedded::Options::new(self.data()))
            .await
            .expect("open the log")
    }
}

/// A log on Kafka whose topics and groups have this prefix there.
pub(crate) async fn open_kafka(bootstrap_servers: &str, prefix: &str) -> Arc<KafkaLog> {
    let mut options = kafka::Options::new(bootstrap_servers);
    options.topic_prefix = prefix.to_owned();
    options.group_id = format!("{prefix}{{group}}");
    KafkaLog::open(options).await.expect("open the log")
}

/// What nobody else on the brokers of this test program has.
pub(crate) fn unique_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}.", COUNT.fetch_add(1, Ordering::Relaxed))
}
