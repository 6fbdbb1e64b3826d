//! TLS between clients and the bus: who is believed, who is let in, and files that change while it runs.

use std::{fs, path::PathBuf};

use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

pub(crate) use crate::harness::authority::Authority;
use crate::harness::{
    SOON, Server,
    clients::{ids, open, order, request, subscribe_through},
    eventually, tidings, within,
};
use tidings::proto::tidings::v1::{publisher_service_client::PublisherServiceClient, subscribe_request::Frame as Sent};

pub(crate) async fn connect(server: &Server, tls: ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address())).expect("an address");
    within("a connection", endpoint.tls_config(tls).expect("good files").connect()).await
}

async fn publish(channel: Channel, id: &str) -> Result<(), tonic::Status> {
    let request = request([order(id, "1")]);
    PublisherServiceClient::new(channel).publish(request).await.map(|_| ())
}

#[tokio::test]
async fn the_command_line_speaks_tls_and_believes_whom_it_is_told() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start_with(&authority.sign("server").config()).await;
    let url = format!("https://{}", server.address());
    let info = async |flags: &[&str]| {
        let mut command = tidings();
        command.args(["info", "--server", &url]).args(flags);
        within("an answer", command.output()).await.expect("run it")
    };
    let (ours, theirs) = (authority.file(), other.file());
    assert!(info(&["--ca", ours.to_str().expect("a path")]).await.status.success());
    for flags in [&[][..], &["--ca", theirs.to_str().expect("a path")]] {
        let refused = info(flags).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("certificate"), "{told}");
    }
    let plain = format!("http://{}", server.address());
    let refused = within("an answer", tidings().args(["info", "--server", &plain]).output()).await;
    assert!(!refused.expect("run it").status.success());
}

#[tokio::test]
async fn where_clients_need_a_certificate_nobody_else_gets_in() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let config = format!(
        "{}client_ca = \"{}\"\n",
        authority.sign("server").config(),
        clients.file().display()
    );
    let server = Server::start_with(&config).await;
    let known = authority.trusted().identity(clients.sign("client").identity());
    publish(connect(&server, known).await.expect("let in"), "a")
        .await
        .expect("published");
    let stranger = authority.trusted().identity(others.sign("client").identity());
    for refused in [authority.trusted(), stranger] {
        // A client of TLS 1.3 learns of it with its first call.
        let outcome = match connect(&server, refused).await {
            Ok(channel) => publish(channel, "b").await.map_err(|_| ()),
            Err(_) => Err(()),
        };
        outcome.expect_err("kept out");
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.sign("server");
    let server = Server::start_with(&files.config()).await;
    let first = connect(&server, old.trusted()).await.expect("let in");
    let mut stream = subscribe_through(first.clone(), [Sent::Open(open("g"))])
        .await
        .expect("a stream");
    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nbroken").expect("write");
    server
        .logged("the files of TLS have changed and are no good; those of before stay in force")
        .await;
    connect(&server, old.trusted()).await.expect("still let in");
    let replaced = new.sign("server");
    fs::copy(&replaced.key, &files.key).expect("copy");
    fs::copy(&replaced.certificate, &files.certificate).expect("copy");
    let channel = eventually(SOON, "the new certificate", async || {
        connect(&server, new.trusted()).await.ok()
    })
    .await;
    connect(&server, old.trusted()).await.expect_err("the old one is gone");
    // What was open goes on.
    publish(channel, "a").await.expect("published");
    assert_eq!(ids(&stream.deliveries(1).await), ["a"]);
    publish(first, "b").await.expect("published");
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_stay() {
    let authority = Authority::new();
    let server = Server::start_with(&authority.sign("server").config()).await;
    let mut silent = TcpStream::connect(server.address()).await.expect("connect");
    let mut nothing = Vec::new();
    // In the end the server closes the connection.
    within("the end", silent.read_to_end(&mut nothing))
        .await
        .expect("closed");
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn files_that_are_no_good_stop_the_start_and_say_which() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, another) = (authority.sign("server"), other.sign("server"));
    let with = |certificate: &PathBuf, key: &PathBuf| {
        format!(
            "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            certificate.display(),
            key.display()
        )
    };
    let missing = PathBuf::from("/no/such/file");
    for (config, told) in [
        (with(&missing, &good.key), "tls.certificate = /no/such/file"),
        (with(&good.certificate, &missing), "tls.key = /no/such/file"),
        (with(&good.key, &good.key), "there is no certificate in it"),
        (with(&good.certificate, &good.certificate), "tls.key"),
        (with(&good.certificate, &another.key), "tls.certificate"),
        (
            "[tls]\ncertificate = \"a\"\n".to_owned(),
            "tls.certificate: needs tls.key",
        ),
        (
            "[tls]\nclient_ca = \"a\"\n".to_owned(),
            "tls.client_ca: needs tls.certificate",
        ),
    ] {
        let file = authority.written("tidings.toml", &config);
        let mut command = tidings();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file);
        command.arg("--data").arg(authority.directory().join("data"));
        let output = within("a server to give up", command.output()).await.expect("run it");
        let refused = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && refused.contains(told), "{refused}");
    }
}

#[tokio::test]
async fn beyond_this_machine_clients_need_certificates() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = authority.sign("server").config();
    let ca = format!("client_ca = \"{}\"\n", clients.file().display());
    let check = async |tls: &str| {
        let file = authority.written("tidings.toml", &format!("[server]\nlisten = \"0.0.0.0:4480\"\n{tls}"));
        let mut command = tidings();
        command.args(["config", "check"]).arg(&file);
        within("an answer", command.output())
            .await
            .expect("run it")
            .status
            .success()
    };
    assert!(!check(&tls).await);
    assert!(!check(&format!("{tls}{ca}client_auth = \"optional\"\n")).await);
    assert!(check(&format!("{tls}{ca}")).await);
}
