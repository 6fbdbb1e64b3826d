//! Who calls: tokens, certificates and issuers, and that nobody else gets anywhere.

pub(crate) mod issuers;
mod reload;
mod streams;

use std::process::Stdio;

use sha2::{Digest as _, Sha256};
use tidings::proto::tidings::v1::{
    GetInfoRequest, GetInfoResponse, ListTopicsRequest, publisher_service_client::PublisherServiceClient,
    subscribe_request::Frame as Sent, system_service_client::SystemServiceClient,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{
    harness::{
        Server,
        clients::{open, order, request},
        status::{reason, refused},
        tidings, within,
    },
    tls::{Authority, connect},
};

/// A channel whose calls show a token.
pub(crate) type Shown = InterceptedService<Channel, Token>;

/// Shows a token with each call.
#[derive(Clone)]
pub(crate) struct Token(MetadataValue<Ascii>);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().expect("a header's value"))
    }

    pub(crate) fn on(&self, channel: Channel) -> Shown {
        InterceptedService::new(channel, self.clone())
    }
}

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The configuration of a static token.
pub(crate) fn token_of(name: &str, token: &str) -> String {
    let digest: String = Sha256::digest(token.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[auth.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n")
}

/// Who is known may everything.
pub(crate) const EVERYTHING: &str = "[[auth.policies]]\nprincipals = [\"*\"]\n\
                                     verbs = [\"publish\", \"subscribe\", \"read\", \"reset\", \"state\"]\n\
                                     topics = [\"**\"]\ngroups = [\"**\"]\n";

pub(crate) async fn info(channel: Shown) -> Result<GetInfoResponse, Status> {
    let mut client = SystemServiceClient::new(channel);
    let answer = within("an answer", client.get_info(GetInfoRequest {})).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn without_a_good_token_nothing_answers_but_health() {
    let server = Server::start_with(&token_of("billing", "secret")).await;
    let mut health = tidings::proto::health::health_client::HealthClient::new(server.channel());
    health
        .check(tidings::proto::health::HealthCheckRequest::default())
        .await
        .expect("open");
    let invalid = (Code::Unauthenticated, "TOKEN_INVALID");
    refused(
        server.topics().list_topics(ListTopicsRequest::default()).await,
        invalid.0,
        invalid.1,
    );
    refused(
        server.publisher().publish(request([order("a", "1")])).await,
        invalid.0,
        invalid.1,
    );
    refused(server.open_refused(open("g")).await, invalid.0, invalid.1);
    let huge = "x".repeat(9_000);
    let mut texts = Vec::new();
    for wrong in [
        "",
        "secre",
        "secrett",
        "Secret",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        &huge,
    ] {
        let status = refused(info(Token::new(wrong).on(server.channel())).await, invalid.0, invalid.1);
        texts.push(status.message().to_owned());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "a refusal says why: {texts:?}");
    let known = info(Token::new("secret").on(server.channel())).await.expect("known");
    assert_eq!(known.principal, "token:billing");
    // No way around: another scheme, two tokens, a token beside a good one.
    for values in [
        &["Basic secret"][..],
        &["secret"],
        &["Bearer secret", "Bearer secret"],
        &["Bearer x", "Bearer secret"],
    ] {
        let mut call = Request::new(GetInfoRequest {});
        for value in values {
            call.metadata_mut()
                .append("authorization", value.parse().expect("a header's value"));
        }
        refused(server.system().get_info(call).await, invalid.0, invalid.1);
    }
    // The scheme's case does not matter.
    let mut call = Request::new(GetInfoRequest {});
    call.metadata_mut()
        .insert("authorization", "bearer secret".parse().expect("a header's value"));
    server.system().get_info(call).await.expect("known");
}

#[tokio::test]
async fn methods_that_do_not_exist_are_not_told_to_strangers() {
    let server = Server::start_with(&token_of("billing", "secret")).await;
    let mut client = tonic::client::Grpc::new(server.channel());
    client.ready().await.expect("a connection");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = "/tidings.v1.SystemService/NoSuchMethod".parse().expect("a path");
    let unknown = client.unary(Request::new(()), path, codec).await.expect_err("refused");
    assert_eq!(reason(&unknown), (Code::Unauthenticated, "TOKEN_INVALID".to_owned()));
}

#[tokio::test]
async fn the_command_line_shows_a_token_and_is_told_who_it_is() {
    let server = Server::start_with(&token_of("billing", "secret")).await;
    let run = async |token: &str| {
        let mut command = server.command(["info"]);
        within("an answer", command.env("TIDINGS_TOKEN", token).output())
            .await
            .expect("run it")
    };
    let known = run("secret").await;
    let told = String::from_utf8_lossy(&known.stdout).into_owned();
    assert!(known.status.success() && told.contains("token:billing"), "{told}");
    let unknown = run("wrong").await;
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && !told.contains("wrong"), "{told}");
}

#[tokio::test]
async fn a_certificate_says_who_it_is_where_that_is_asked_for() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ca = format!(
        "client_ca = \"{}\"\nclient_auth = \"optional\"\n",
        clients.file().display()
    );
    let auth = format!("[auth]\ncertificates = true\n{}", token_of("billing", "secret"));
    let config = format!("{}{ca}{auth}", authority.sign("server").config());
    let server = Server::start_with(&config).await;
    let of = async |names: &[&str]| {
        let tls = authority
            .trusted()
            .identity(clients.sign_for("client", names).identity());
        let channel = connect(&server, tls).await.expect("let in");
        SystemServiceClient::new(channel)
            .get_info(GetInfoRequest {})
            .await
            .map(|info| info.into_inner().principal)
    };
    assert_eq!(
        of(&["billing.shop", "other.shop"]).await.expect("known"),
        "certificate:billing.shop"
    );
    assert_eq!(
        of(&["billing.shop", "spiffe://shop/billing"]).await.expect("known"),
        "certificate:spiffe://shop/billing"
    );
    refused(of(&[]).await, Code::Unauthenticated, "TOKEN_INVALID");
    let nobody = connect(&server, authority.trusted()).await.expect("let in");
    let mut publisher = PublisherServiceClient::new(nobody.clone());
    refused(
        publisher.publish(request([order("a", "1")])).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );
    assert_eq!(
        info(Token::new("secret").on(nobody)).await.expect("known").principal,
        "token:billing"
    );
    // A bad token is not made good by a certificate.
    let tls = authority
        .trusted()
        .identity(clients.sign_for("client", &["billing.shop"]).identity());
    let channel = connect(&server, tls).await.expect("let in");
    refused(
        info(Token::new("wrong").on(channel)).await,
        Code::Unauthenticated,
        "TOKEN_INVALID",
    );
}

#[tokio::test]
async fn who_acted_is_written_down() {
    let server = Server::start_with(&format!("{}{EVERYTHING}", token_of("ops", "secret"))).await;
    let channel = Token::new("secret").on(server.channel());
    within(
        "a publish",
        PublisherServiceClient::new(channel.clone()).publish(request([order("a", "1")])),
    )
    .await
    .expect("published");
    let mut call = Request::new(tokio_stream::iter([tidings::proto::tidings::v1::SubscribeRequest {
        frame: Some(Sent::Open(open("g"))),
    }]));
    call.metadata_mut()
        .insert("authorization", "Bearer secret".parse().expect("a header's value"));
    let mut stream = server
        .subscriber()
        .subscribe(call)
        .await
        .expect("a stream")
        .into_inner();
    while within("a frame", stream.message()).await.expect("frames").is_some() {}
    let plan = server
        .command([
            "--token", "secret", "--output", "json", "resets", "plan", "g", "--to", "earliest", "--reason", "test",
        ])
        .output()
        .await
        .expect("run it");
    let told = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(told.contains("\"principal\":\"token:ops\""), "{told}");
}

#[tokio::test]
async fn secrets_are_nowhere_to_be_read() {
    let authority = Authority::new();
    let config = token_of("billing", "secret");
    let digest = config.split('"').nth(3).expect("a digest").to_owned();
    let file = authority.written("tidings.toml", &config);
    let shown = tidings()
        .args(["config", "show", "--config"])
        .arg(&file)
        .output()
        .await
        .expect("run it");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("billing") && !shown.contains(&digest), "{shown}");
    let bad = authority.written("bad.toml", &config.replace(&digest, &digest[1..]));
    let told = tidings()
        .args(["config", "check"])
        .arg(&bad)
        .output()
        .await
        .expect("run it");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("auth.tokens[0].sha256: must be a SHA-256") && !told.contains(&digest[1..]),
        "{told}"
    );
}

#[tokio::test]
async fn faults_of_the_section_are_told_together() {
    let authority = Authority::new();
    let more = authority.written("auth.toml", "[[tokens]]\nname = \"a\"\n");
    let text = format!(
        "[auth]\ncertificates = true\nfile = \"{}\"\n[[auth.issuers]]\nname = \"token\"\nissuer = \"https://id\"\n\
         audience = []\nalgorithms = [\"HS256\"]\nkeys_url = \"http://id/keys\"\nleeway = \"6m\"\n",
        more.display()
    );
    let file = authority.written("tidings.toml", &text);
    let told = tidings()
        .args(["config", "check"])
        .arg(&file)
        .output()
        .await
        .expect("run it");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    for fault in [
        "auth.certificates: needs tls.client_ca",
        "auth.toml:1: tokens[0].sha256: is missing",
        "auth.issuers[0].name: is a word without :",
        "auth.issuers[0].audience: must not be empty",
        "auth.issuers[0].algorithms: must be one of",
        "auth.issuers[0].keys_url: begins with https://",
        "auth.issuers[0].leeway: must be at most 5m",
    ] {
        assert!(told.contains(fault), "{fault}\n{told}");
    }
}

#[tokio::test]
async fn beyond_this_machine_there_must_be_tls_and_somebody_who_asks() {
    let authority = Authority::new();
    let (tls, auth) = (authority.sign("server").config(), token_of("a", "b"));
    let is_good = async |more: String| {
        let file = authority.written("tidings.toml", &format!("[server]\nlisten = \"0.0.0.0:4480\"\n{more}"));
        let output = tidings()
            .args(["config", "check"])
            .arg(&file)
            .output()
            .await
            .expect("run it");
        output.status.success()
    };
    assert!(!is_good(String::new()).await);
    assert!(!is_good(tls.clone()).await);
    assert!(!is_good(auth.clone()).await);
    assert!(is_good(format!("{tls}{auth}")).await);
    assert!(is_good(format!("insecure = true\n{auth}")).await);
}

#[tokio::test]
async fn whoever_lets_strangers_in_is_warned_at_each_start() {
    let authority = Authority::new();
    let file = authority.written("tidings.toml", "[server]\ninsecure = true\nops = \"127.0.0.1:0\"\n");
    let mut command = tidings();
    command.args(["serve", "--listen", "0.0.0.0:0", "--config"]).arg(&file);
    command.arg("--data").arg(authority.directory().join("data"));
    let mut server = command.stderr(Stdio::piped()).spawn().expect("start the server");
    let mut lines = BufReader::new(server.stderr.take().expect("its log")).lines();
    let warned = within("a warning", async {
        loop {
            let line = lines
                .next_line()
                .await
                .expect("a line")
                .expect("the server does not end");
            if line.contains("server.insecure is set") {
                return line;
            }
        }
    });
    let line = warned.await;
    assert!(line.contains("WARN") && line.contains("0.0.0.0"), "{line}");
}
