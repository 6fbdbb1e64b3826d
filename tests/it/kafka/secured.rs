//! Brokers that let nobody in without encryption and a credential: SASL over TLS by each mechanism, and certificates of clients; and nothing
//! of a secret is ever told.

use std::path::Path;

use tidings::proto::tidings::v1::{Deliveries, subscribe_response::Frame};

use crate::harness::{
    SOON, Server,
    authority::{Authority, Signed},
    clients::{ORDERS, ids, open, order},
    eventually,
    kafka::Broker,
    tidings, within,
};
use crate::server::get;

const PASSWORD: &str = "correct-horse-battery";

/// SASL over TLS, for a user `bus`; and TLS by which clients show certificates.
async fn broker(authority: &Authority) -> Broker {
    let Signed { certificate, key } = authority.sign("broker");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let store = authority.written("broker.pem", &(read(&key) + &read(&certificate)));
    let trusted = authority.file();
    let module = |name: &str, rest: &str| format!("org.apache.kafka.common.security.{name} required{rest};");
    let properties = [
        format!("ssl.keystore.location={}", store.display()),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", trusted.display()),
        "ssl.truststore.type=PEM".to_owned(),
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
        "listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        format!(
            "listener.name.sasl.plain.sasl.jaas.config={}",
            module("plain.PlainLoginModule", &format!(" user_bus=\"{PASSWORD}\""))
        ),
        format!(
            "listener.name.sasl.scram-sha-256.sasl.jaas.config={}",
            module("scram.ScramLoginModule", "")
        ),
        format!(
            "listener.name.sasl.scram-sha-512.sasl.jaas.config={}",
            module("scram.ScramLoginModule", "")
        ),
        format!(
            "listener.name.sasl.oauthbearer.sasl.jaas.config={}",
            module(
                "oauthbearer.OAuthBearerLoginModule",
                " unsecuredLoginStringClaim_sub=\"broker\""
            )
        ),
    ];
    let mut arguments = vec!["--listener", "SASL=SASL_SSL", "--listener", "MUTUAL=SSL"];
    for property in &properties {
        arguments.extend(["--property", property]);
    }
    let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| format!("{name}=[name=bus,password={PASSWORD}]"));
    for user in &scram {
        arguments.extend(["--scram", user]);
    }
    Broker::start_with(arguments.into_iter().map(str::to_owned).collect()).await
}

/// A server that comes to the brokers so can publish and deliver.
async fn works(brokers: &str, properties: &str, id: &str) -> Server {
    let server = Server::start_at_brokers(brokers, &config(properties)).await;
    server.publish(vec![order(id, "1")]).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = within("an event", async {
        loop {
            if let Some(Frame::Deliveries(Deliveries { deliveries })) = stream.next().await.expect("no error") {
                return deliveries;
            }
        }
    })
    .await;
    assert_eq!(ids(&got), [id]);
    stream.ack(&got);
    stream.close().await;
    assert_eq!(server.read_all(ORDERS).await.len(), 1);
    server
}

fn config(properties: &str) -> String {
    format!("[log.kafka.properties]\n{properties}")
}

fn sasl(authority: &Authority, mechanism: &str, password: &str) -> String {
    let ca = authority.file();
    format!(
        "\"security.protocol\" = \"sasl_ssl\"\n\"ssl.ca.location\" = \"{}\"\n\"sasl.mechanism\" = \"{mechanism}\"\n\
         \"sasl.username\" = \"bus\"\n\"sasl.password\" = \"{password}\"\n",
        ca.display()
    )
}

#[tokio::test]
async fn the_bus_works_with_each_mechanism_over_tls_and_with_a_certificate() {
    let authority = Authority::new();
    let broker = broker(&authority).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut server = works(
            &broker.listener("SASL"),
            &sasl(&authority, mechanism, PASSWORD),
            mechanism,
        )
        .await;
        let (_, metrics) = get(&server, "/metrics").await;
        server.stop().await;
        for told in [metrics, server.log()] {
            assert!(!told.contains(PASSWORD) && !told.is_empty(), "the password is told");
        }
    }
    let oauth = format!(
        "\"security.protocol\" = \"sasl_ssl\"\n\"ssl.ca.location\" = \"{}\"\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n\
         \"enable.sasl.oauthbearer.unsecure.jwt\" = \"true\"\n\"sasl.oauthbearer.config\" = \"principal=bus\"\n",
        authority.file().display()
    );
    works(&broker.listener("SASL"), &oauth, "oauth").await;
    let Signed { certificate, key } = authority.sign("bus");
    let mutual = format!(
        "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{}\"\n\"ssl.certificate.location\" = \"{}\"\n\
         \"ssl.key.location\" = \"{}\"\n",
        authority.file().display(),
        certificate.display(),
        key.display()
    );
    works(&broker.listener("MUTUAL"), &mutual, "mutual").await;
}

#[tokio::test]
async fn who_cannot_show_a_good_credential_is_told_at_readyz_and_in_the_log_without_the_secret() {
    let authority = Authority::new();
    let broker = broker(&authority).await;
    let wrong = "wrong-horse";
    let settings = config(&sasl(&authority, "SCRAM-SHA-512", wrong));
    let mut server = Server::start_at_brokers(&broker.listener("SASL"), &settings).await;
    eventually(SOON, "that the log is not reached", async || {
        let (status, body) = get(&server, "/readyz").await;
        (status == 503 && body.contains("log")).then_some(())
    })
    .await;
    eventually(SOON, "why", async || {
        server.log().to_lowercase().contains("authentication").then_some(())
    })
    .await;
    server.kill().await;
    assert!(!server.log().contains(wrong));
    let file = authority.written("tidings.toml", &config(&sasl(&authority, "PLAIN", PASSWORD)));
    let shown = tidings()
        .args(["config", "show", "--config"])
        .arg(&file)
        .output()
        .await
        .expect("run it");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("(secret)") && !shown.contains(PASSWORD), "{shown}");
}
