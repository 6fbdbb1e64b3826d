//! Brokers that let nobody in without encryption and a credential: SASL over TLS by each mechanism, and certificates of clients; and nothing
//! of a secret is ever told.

use std::{path::Path, sync::atomic::Ordering, time::SystemTime};

use serde_json::json;
use tidings::proto::tidings::v1::{Deliveries, subscribe_response::Frame};

use crate::harness::{
    SOON, Server,
    authority::{Authority, Signed},
    clients::{ORDERS, ids, open, order},
    eventually,
    issuer::{Id, Signer, keys},
    kafka::Broker,
    tidings, within,
};
use crate::server::get;

const PASSWORD: &str = "correct-horse-battery";

/// SASL over TLS, for a user `bus`; and TLS by which clients show certificates.
async fn broker(authority: &Authority) -> Broker {
    let jaas = |mechanism: &str, login: &str, rest: &str| {
        format!(
            "listener.name.sasl.{mechanism}.sasl.jaas.config={}",
            module(login, rest)
        )
    };
    let password = format!(" user_bus=\"{PASSWORD}\"");
    let subject = " unsecuredLoginStringClaim_sub=\"broker\"";
    let properties = [
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
        "listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        jaas("plain", "plain.PlainLoginModule", &password),
        jaas("scram-sha-256", "scram.ScramLoginModule", ""),
        jaas("scram-sha-512", "scram.ScramLoginModule", ""),
        jaas("oauthbearer", "oauthbearer.OAuthBearerLoginModule", subject),
    ];
    let mut arguments = vec!["--listener", "SASL=SASL_SSL", "--listener", "MUTUAL=SSL"];
    let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| format!("{name}=[name=bus,password={PASSWORD}]"));
    for user in &scram {
        arguments.extend(["--scram", user]);
    }
    start(authority, &arguments, &properties).await
}

/// A class of Kafka by which somebody logs in.
fn module(name: &str, rest: &str) -> String {
    format!("org.apache.kafka.common.security.{name} required{rest};")
}

/// With a certificate of this authority, which clients are trusted by too.
async fn start(authority: &Authority, arguments: &[&str], properties: &[String]) -> Broker {
    let Signed { certificate, key } = authority.sign("broker");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
    let store = authority.written("broker.pem", &(read(&key) + &read(&certificate)));
    let tls = [
        format!("ssl.keystore.location={}", store.display()),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", authority.file().display()),
        "ssl.truststore.type=PEM".to_owned(),
    ];
    let mut arguments = arguments.to_vec();
    for property in tls.iter().chain(properties) {
        arguments.extend(["--property", property]);
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

/// The broker believes tokens of an issuer whose keys it has, as long as they are for it; the bus fetches its own with a secret.
#[tokio::test]
async fn the_bus_shows_tokens_that_it_fetches_from_an_issuer() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let broker = with_issuer(&authority, &keys(&[&signer])).await;
    let (now, secret) = (seconds(), "correct-horse-battery");
    let token = |signer: &Signer| {
        let claims = json!({ "iss": "https://id.test", "aud": "kafka", "sub": "bus", "iat": now, "exp": now + 3_600 });
        json!({ "access_token": signer.sign(&claims), "token_type": "Bearer", "expires_in": 3_600 }).to_string()
    };
    let id = Id::serve(&authority.sign("id"), "no token".to_owned()).await;
    let ca = authority.file();
    let properties = format!(
        "\"security.protocol\" = \"sasl_ssl\"\n\"ssl.ca.location\" = \"{ca}\"\n\"https.ca.location\" = \"{ca}\"\n\
         \"sasl.mechanism\" = \"OAUTHBEARER\"\n\"sasl.oauthbearer.method\" = \"oidc\"\n\
         \"sasl.oauthbearer.client.id\" = \"bus\"\n\"sasl.oauthbearer.client.secret\" = \"{secret}\"\n\
         \"sasl.oauthbearer.token.endpoint.url\" = \"{}\"\n",
        id.url,
        ca = ca.display()
    );
    let brokers = broker.listener("SASL");
    let mut server = Server::start_at_brokers(&brokers, &config(&properties)).await;
    let told = async |what: &str| {
        eventually(SOON, what, async || server.log().contains(what).then_some(())).await;
    };
    told("Failed to acquire SASL OAUTHBEARER token").await;
    *id.keys.lock().expect("not poisoned") = token(&Signer::new("a"));
    server = server.restart().await;
    let told = async |what: &str| {
        eventually(SOON, what, async || server.log().contains(what).then_some(())).await;
    };
    told("invalid_token").await;
    server.kill().await;
    *id.keys.lock().expect("not poisoned") = token(&signer);
    let mut server = works(&brokers, &properties, "oidc").await;
    server.stop().await;
    assert!(id.asked.load(Ordering::SeqCst) > 1 && !server.log().contains(secret));
}

async fn with_issuer(authority: &Authority, keys: &str) -> Broker {
    let file = format!("file://{}", authority.written("keys.json", keys).display());
    let handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
    let properties = [
        "listener.name.sasl.sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
        format!("listener.name.sasl.oauthbearer.sasl.server.callback.handler.class={handler}"),
        format!(
            "listener.name.sasl.oauthbearer.sasl.jaas.config={}",
            module("oauthbearer.OAuthBearerLoginModule", "")
        ),
        // Without it 4.1.0 believes what it cannot verify.
        "sasl.oauthbearer.jwt.validator.class=org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator"
            .to_owned(),
        format!("sasl.oauthbearer.jwks.endpoint.url={file}"),
        "sasl.oauthbearer.expected.issuer=https://id.test".to_owned(),
        "sasl.oauthbearer.expected.audience=kafka".to_owned(),
    ];
    let allowed = format!("org.apache.kafka.sasl.oauthbearer.allowed.urls={file}");
    start(
        authority,
        &["--listener", "SASL=SASL_SSL", "--java", &allowed],
        &properties,
    )
    .await
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}
