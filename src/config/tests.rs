//! Tests of the configuration as a whole.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use super::{units::ByteSize, *};

const NO_VARIABLES: [(&str, &str); 0] = [];

#[test]
fn the_defaults_are_what_the_manual_says() {
    let config = Config::default();
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 4480)));
    assert_eq!(config.server.ops, SocketAddr::from(([127, 0, 0, 1], 4481)));
    assert_eq!(config.server.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.log.backend, Backend::Embedded);
    assert_eq!(config.log.embedded.directory, PathBuf::from("tidings-data"));
    assert_eq!(config.log.embedded.fsync, Fsync::Always);
    assert_eq!(config.log.embedded.journal_bytes, ByteSize(64 << 20));
    assert!(config.routes.is_empty() && config.topics.auto_create && !config.server.insecure);
    assert_eq!((config.topics.default_partitions, config.delivery.window), (4, 16_384));
    assert_eq!(
        (config.limits.max_event_bytes, config.limits.max_request_events),
        (ByteSize(1 << 20), 10_000)
    );
    assert_eq!(
        (config.telemetry.log_level, config.telemetry.log_format),
        (LogLevel::Info, LogFormat::Text)
    );
    let telemetry = &config.telemetry;
    assert_eq!((telemetry.max_metric_groups, telemetry.max_metric_topics), (1_000, 200));
    assert_eq!((telemetry.sample_ratio, telemetry.add_traceparent), (0.01, true));
    assert!(telemetry.otlp.endpoint.is_none() && telemetry.otlp.headers.is_empty());
    let snapshots = &config.snapshots;
    assert_eq!((snapshots.memory, snapshots.restores), (ByteSize(64 << 20), 32));
    assert_eq!(
        (snapshots.keep, snapshots.max_age),
        (3, Duration::from_secs(30 * 24 * 60 * 60))
    );
    let checkpoints = config.checkpoints;
    assert_eq!(
        (checkpoints.keep, checkpoints.max_bytes, checkpoints.transfers),
        (3, ByteSize(16 << 30), 16)
    );
    assert!(snapshots.store.is_none() && snapshots.schedule.is_empty());
}

#[test]
fn the_manual_is_a_valid_file_that_changes_nothing() {
    let from_manual = load(DEFAULT, NO_VARIABLES).expect("valid");
    let values = |config: &Config| {
        config
            .effective
            .iter()
            .map(|e| (e.key.clone(), e.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&from_manual), values(&Config::default()));
}

#[test]
fn every_key_is_in_the_manual_with_a_comment() {
    let mut documented: Vec<String> = documented_keys();
    // Its default depends on the backend, so it stands there as a comment.
    documented.push("topics.auto_create".to_owned());
    let read: Vec<String> = Config::default().effective.into_iter().map(|e| e.key).collect();
    for key in &read {
        assert!(documented.contains(key), "{key} has no comment in default.toml");
    }
    assert_eq!(documented.len(), read.len());
    assert!(
        ["type", "topic", "key", "auto_create"]
            .iter()
            .all(|key| DEFAULT.contains(&format!("\n# {key} = ")))
    );
}

/// The keys of default.toml that have a comment right above them.
fn documented_keys() -> Vec<String> {
    let mut section = "";
    let mut before = "";
    let mut keys = Vec::new();
    for line in DEFAULT.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with('#')
            && before.starts_with("# ")
        {
            keys.push(format!("{section}.{key}"));
        }
        before = line;
    }
    keys
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let text = "\
        [server]\n\
        listen = \"0.0.0.0:4480\"\n\
        ops = 4481\n\
        colour = \"red\"\n\
        [limits]\n\
        max_event_bytes = \"64KiB\"\n\
        publish_timeout = 30\n\
        [[routes]]\n\
        type = \"Order\"\n\
        topic = \"a/b\"\n\
        [[routes]]\n\
        topic = \"orders\"\n\
        keys = \"subject\"\n\
        [tls]\n\
        certificate = \"x\"\n\
        [delivery.retry]\n\
        factor = 0.5\n\
        [[delivery.groups]]\n\
        group = \"**\"\n\
        lease = \"13h\"\n\
        [unknown]\n";
    let faults = load(
        text,
        [("TIDINGS_DELIVERY__WINDOW", "0"), ("TIDINGS_ROUTES__0__TYPE", "x")],
    )
    .expect_err("faulty");
    let told: Vec<String> = faults
        .iter()
        .map(|fault| fault.to_string().replace(&file_of(&faults), "f"))
        .collect();
    let expected = [
        "f:2: server.listen: 0.0.0.0:4480 is open to other machines, without TLS and authentication; \
         set server.insecure = true to allow it",
        "f:3: server.ops: must be text in quotes, not 4481",
        "f:4: server.colour: unknown key; `tidings config default` lists all",
        "f:6: limits.max_event_bytes: must be 96KiB to 1GiB, not \"64KiB\"",
        "f:7: limits.publish_timeout: must be a duration such as \"50ms\" or \"30s\", not 30",
        "f:10: routes[0].topic: a topic's name is made of A-Z a-z 0-9 . _ -, not of '/'",
        "f:11: routes[1].type: is missing",
        "f:13: routes[1].keys: unknown key; `tidings config default` lists all",
        "f:15: tls.certificate: needs tls.key",
        "f:17: delivery.retry.factor: must be from 1 to 100, not 0.5",
        "f:20: delivery.groups[0].lease: must be at most delivery.max_lease",
        "f:21: unknown: unknown key; `tidings config default` lists all",
        "TIDINGS_DELIVERY__WINDOW: delivery.window: must be 1 to 16384, not 0",
        "TIDINGS_ROUTES__0__TYPE: routes.0.type: routes come from the file only",
    ];
    assert_eq!(told, expected);
}

#[test]
fn flags_overlay_the_environment_and_it_the_file() {
    let path = file("[server]\nlisten = '127.0.0.1:1'\nops = '127.0.0.1:2'\n[log.embedded]\nfsync = '50ms'\n");
    let variables = [
        ("TIDINGS_SERVER__LISTEN", "127.0.0.1:3"),
        ("TIDINGS_SERVER__OPS", "127.0.0.1:4"),
        ("TIDINGS_TOPICS__AUTO_CREATE", "false"),
        ("TIDINGS_LIMITS__STREAMS", "7"),
        ("TIDINGS_SERVER", "http://elsewhere"),
    ];
    let flag = Override {
        flag: "--listen",
        key: "server.listen",
        value: "127.0.0.1:5".to_owned(),
    };
    let config = Config::load(Some(path.path()), owned(variables), [flag]).expect("valid");
    assert_eq!(config.server.listen.port(), 5);
    assert_eq!(config.server.ops.port(), 4);
    assert_eq!(config.log.embedded.fsync, Fsync::Interval(Duration::from_millis(50)));
    assert_eq!((config.topics.auto_create, config.limits.streams), (false, 7));
    let shown = config.show();
    assert!(shown.starts_with("[server]\n"), "{shown}");
    for line in [
        "ops = \"127.0.0.1:4\"  # TIDINGS_SERVER__OPS",
        "listen = \"127.0.0.1:5\"  # --listen",
        "groups = 10000",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
}

#[test]
fn the_ops_listener_is_open_to_others_where_that_is_said() {
    let refused = load("[server]\nops = '0.0.0.0:4481'\n", NO_VARIABLES).expect_err("open");
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1 && told[0].contains("server.ops_open = true"),
        "{told:?}"
    );
    let config = load("[server]\nops = '0.0.0.0:4481'\nops_open = true\n", NO_VARIABLES).expect("said");
    assert!(config.server.ops_open && !config.server.insecure);
    let clients = "[server]\nlisten = '0.0.0.0:4480'\nops_open = true\n";
    assert_eq!(
        load(clients, NO_VARIABLES)
            .expect_err("of clients nothing is said")
            .len(),
        1
    );
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let text = "[server]\ninsecure = true\nlisten = '[::]:4480'\n[[routes]]\ntype = 'Order*'\ntopic = 'orders'\nkey = 'subject'\n";
    let config = load(text, NO_VARIABLES).expect("valid");
    assert_eq!(config.routes.len(), 1);
    let again = load(&config.show(), NO_VARIABLES).expect("valid");
    assert_eq!(again.routes, config.routes);
    assert_eq!(again.server, config.server);
}

#[test]
fn what_must_fit_is_checked() {
    let text = "[limits]\nmax_request_bytes = '512KiB'\npublish_bytes = '1MiB'\n[log.embedded]\nqueue_bytes = 1\n";
    let faults = load(text, NO_VARIABLES).expect_err("faulty");
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "limits.max_request_bytes",
            "limits.publish_bytes",
            "log.embedded.queue_bytes"
        ]
    );
}

#[test]
fn kafka_has_properties_but_not_those_the_bus_stands_on() {
    let text = "[log]\nbackend = 'kafka'\n[log.kafka]\ngroup_id = 'shop-{group}'\n\
                [log.kafka.properties]\n'linger.ms' = 1\nssl.ca.location = 'ca.pem'\n";
    let secret = [("TIDINGS_LOG__KAFKA__PROPERTIES__SASL_PASSWORD", "hush")];
    let config = load(text, secret).expect("valid");
    assert_eq!(config.log.backend, Backend::Kafka);
    assert!(!config.topics.auto_create, "on Kafka topics are made on purpose");
    let properties: Vec<(&str, &str)> = (config.log.kafka.properties.iter())
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("linger.ms", "1"),
            ("sasl.password", "hush"),
            ("ssl.ca.location", "ca.pem")
        ]
    );
    assert!(!config.show().contains("hush"), "{}", config.show());
    for fixed in [
        "acks",
        "enable.idempotence",
        "partitioner",
        "isolation.level",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "group.id",
        "transactional.id",
        "auto.offset.reset",
        "enable.partition.eof",
        "request.required.acks",
        "bootstrap.servers",
    ] {
        let faults = load(&format!("[log.kafka.properties]\n'{fixed}' = '1'\n"), NO_VARIABLES).expect_err(fixed);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].key, format!("log.kafka.properties.{fixed}"));
    }
    for (key, value) in [
        ("group_id", "shop"),
        ("group_id", "{group} {group}"),
        ("topic_prefix", "a/b"),
    ] {
        let faults = load(&format!("[log.kafka]\n{key} = '{value}'\n"), NO_VARIABLES).expect_err(value);
        assert_eq!(faults[0].key, format!("log.kafka.{key}"));
    }
}

#[test]
fn snapshots_have_options_whose_secrets_are_not_shown_and_a_schedule() {
    let text = "[snapshots]\nstore = 's3://bucket/path'\n[snapshots.options]\naws_region = 'eu'\naws_allow_http = true\n\
                [[snapshots.schedule]]\ntopic = '**.resource'\ninterval = '1h'\n";
    let secrets = [
        ("TIDINGS_SNAPSHOTS__OPTIONS__AWS_SECRET_ACCESS_KEY", "hush-1"),
        ("TIDINGS_SNAPSHOTS__OPTIONS__AZURE_STORAGE_SAS_KEY", "hush-2"),
        ("TIDINGS_SNAPSHOTS__OPTIONS__GOOGLE_SERVICE_ACCOUNT_KEY", "hush-3"),
    ];
    let config = load(text, secrets).expect("valid");
    let snapshots = &config.snapshots;
    let options: Vec<(&str, &str)> = snapshots
        .options
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert!(options.contains(&("aws_secret_access_key", "hush-1")) && options.contains(&("aws_allow_http", "true")));
    assert_eq!(snapshots.schedule[0].interval, Duration::from_secs(3_600));
    assert!(snapshots.schedule[0].topic.matches("io.shop.orders.resource"));
    let shown = config.show();
    assert!(
        !shown.contains("hush") && shown.contains("aws_region = \"eu\""),
        "{shown}"
    );
}

#[test]
fn a_collector_has_an_address_and_headers_that_nobody_is_shown() {
    let text = "[telemetry.otlp]\nendpoint = 'https://collector/otlp'\nprotocol = 'http'\n\
                [telemetry.otlp.headers]\nauthorization = 'Bearer hush-1'\n";
    let secret = [("TIDINGS_TELEMETRY__OTLP__HEADERS__X_API_KEY", "hush-2")];
    let config = load(text, secret).expect("valid");
    let otlp = &config.telemetry.otlp;
    assert_eq!(otlp.protocol, OtlpProtocol::Http);
    let headers: Vec<(&str, &str)> = (otlp.headers.iter())
        .map(|(name, value)| (name.as_str(), value.0.as_str()))
        .collect();
    assert_eq!(headers, [("authorization", "Bearer hush-1"), ("x-api-key", "hush-2")]);
    assert!(!config.show().contains("hush") && !format!("{config:?}").contains("hush-1"));
    for (key, value) in [
        ("endpoint", "'collector:4317'"),
        ("endpoint", "'http://user:hush@collector'"),
        ("protocol", "'udp'"),
        ("headers.x_y", "'hush'"),
        ("headers.x-y", "\"hush\\n\""),
    ] {
        let faults = load(&format!("[telemetry.otlp]\n{key} = {value}\n"), NO_VARIABLES).expect_err(value);
        assert_eq!(faults[0].key, format!("telemetry.otlp.{key}"));
        assert!(!faults[0].to_string().contains("hush"), "{}", faults[0]);
    }
    let faults = load("[telemetry]\nsample_ratio = 1.5\n", NO_VARIABLES).expect_err("a share");
    assert_eq!(faults[0].key, "telemetry.sample_ratio");
}

#[test]
fn faults_of_snapshots_have_their_places() {
    let text = "[snapshots]\nstore = ''\nmemory = '1MiB'\nrestores = 0\nkeep = -1\n[snapshots.options]\na = [1]\n\
                [[snapshots.schedule]]\ntopic = 're:('\ninterval = '10ms'\n[[snapshots.schedule]]\ninterval = '1h'\n";
    let faults = load(text, [("TIDINGS_SNAPSHOTS__SCHEDULE__0__TOPIC", "x")]).expect_err("faulty");
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "snapshots.store",
        "snapshots.memory",
        "snapshots.restores",
        "snapshots.keep",
        "snapshots.options.a",
        "snapshots.schedule[0].topic",
        "snapshots.schedule[0].interval",
        "snapshots.schedule[1].topic",
        "snapshots.schedule.0.topic",
    ];
    assert_eq!(keys, expected, "{faults:?}");
}

#[test]
fn a_missing_file_is_named() {
    let missing = Config::load(Some(Path::new("/nowhere/f.toml")), owned(NO_VARIABLES), []).expect_err("missing");
    assert!(
        missing[0].to_string().starts_with("/nowhere/f.toml: cannot be read"),
        "{missing:?}"
    );
}

#[test]
fn sections_and_values_are_told_apart() {
    let faults = load("server = 3\n[limits]\n", NO_VARIABLES).expect_err("faulty");
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (faults[0].key.as_str(), faults[0].rule.as_str()),
        ("server", "is a section, not a value")
    );
}

fn load<const N: usize>(text: &str, variables: [(&str, &str); N]) -> Result<Config, Vec<ConfigFault>> {
    let file = file(text);
    Config::load(Some(file.path()), owned(variables), [])
}

fn owned<const N: usize>(variables: [(&str, &str); N]) -> impl Iterator<Item = (String, String)> {
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    file
}

fn file_of(faults: &[ConfigFault]) -> String {
    let path = faults.iter().find_map(|fault| match &fault.origin {
        Origin::File { path, .. } => Some(path.display().to_string()),
        _ => None,
    });
    path.expect("a fault of the file")
}

#[test]
fn commands_have_a_topic_of_the_bus_to_themselves() {
    for topic in ["orders", "tidings.control", "tidings.dead-letters.billing"] {
        let faults = load(&format!("[commands]\ntopic = '{topic}'\n"), NO_VARIABLES).expect_err(topic);
        assert_eq!(faults[0].key, "commands.topic");
    }
    let config = load("[commands]\ntopic = 'tidings.shop.commands'\n", NO_VARIABLES).expect("valid");
    assert_eq!(config.commands.topic.as_str(), "tidings.shop.commands");
}
