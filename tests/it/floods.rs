//! Floods: clients that open, send and hold what no good client would, while the others are served as ever.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    harness::{
        SOON, Server,
        clients::{ids, open, order},
        eventually,
        frames::{self, Frames},
        status::reason_of,
        wire::Connection,
        within,
    },
    metrics::shows,
};

/// What a server may grow by, whatever comes.
const ROOM: usize = 60 << 20;

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_silent_ones_do_not_keep_their_place() {
    let server = Server::start_with("[limits]\nconnections = 100\n").await;
    let mut stream = server.subscribe(open("group")).await;
    let before = server.memory();
    let mut slow = Vec::new();
    for n in 0..2_000_usize {
        let mut socket = TcpStream::connect(server.address()).await.expect("a connection");
        // Some say nothing, some a part of what they should.
        let _ = socket.write_all(&frames::PREFACE[..n % 24]).await;
        slow.push(socket);
    }
    let full = [
        ("tidings_connections_open", 100.0),
        ("tidings_connections_refused_total", 1_901.0),
    ];
    shows(&server, full).await;
    server
        .logged("as many connections are open as limits.connections allows: more are refused")
        .await;
    assert!(server.memory() < before + ROOM, "{before}, then {}", server.memory());
    // Who was there before is served.
    server.publish(vec![order("1", "a")]).await;
    let got = stream.deliveries(1).await;
    assert_eq!(ids(&got), ["1"]);
    stream.ack(&got);
    // In the end nobody has a place who does not use it.
    let newcomer = eventually(2 * SOON, "a place", async || call(server.address()).await.ok());
    newcomer.await;
    for mut socket in slow {
        within("the end", async {
            while matches!(socket.read(&mut [0; 256]).await, Ok(1..)) {}
        })
        .await;
    }
}

/// A new connection with one call.
async fn call(server: SocketAddr) -> io::Result<()> {
    let mut frames = Frames::connect(server).await?;
    let flags = frames::END_HEADERS | frames::END_STREAM;
    frames
        .write(&frames::frame(frames::HEADERS, flags, 1, &frames::call()))
        .await?;
    frames.until(frames::HEADERS).await
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The server has closed the connection.
    Closed,
    /// The server takes no more of it.
    HeldUp,
    /// All of it was taken.
    Taken,
}

/// Sends this again and again, and reads nothing before all is sent.
async fn flood(frames: &mut Frames, times: u32, piece: impl Fn(u32) -> Vec<u8>) -> Outcome {
    for first in (0..times).step_by(64) {
        let some: Vec<u8> = (first..first + 64).flat_map(&piece).collect();
        match timeout(Duration::from_secs(3), frames.write(&some)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Outcome::Closed,
            Err(_) => return Outcome::HeldUp,
        }
    }
    match timeout(Duration::from_secs(3), frames.end()).await {
        Ok(_) => Outcome::Closed,
        Err(_) => Outcome::Taken,
    }
}

#[tokio::test]
async fn floods_of_frames_end_their_connection_or_wait_and_take_no_memory() {
    let server = Server::start().await;
    let mut stream = server.subscribe(open("group")).await;
    server.publish(vec![order("0", "a")]).await;
    let got = stream.deliveries(1).await;
    stream.ack(&got);
    let before = server.memory();
    let headers_without_end = |n: u32| match n {
        0 => frames::frame(frames::HEADERS, 0, 1, &frames::call()),
        _ => frames::frame(
            frames::CONTINUATION,
            0,
            1,
            &frames::header("x", &"y".repeat(100)).repeat(100),
        ),
    };
    let small_continuations = |n: u32| match n {
        0 => frames::frame(frames::HEADERS, 0, 1, &frames::call()),
        _ => frames::frame(frames::CONTINUATION, 0, 1, &[]),
    };
    let calls_taken_back = |n: u32| {
        let stream = 2 * n + 1;
        let mut both = frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &frames::call());
        both.extend(frames::frame(frames::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        both
    };
    let large_headers = |n: u32| {
        let block = [frames::call(), frames::header("x", &"y".repeat(120)).repeat(100)].concat();
        frames::frame(frames::HEADERS, frames::END_HEADERS, 2 * n + 1, &block)
    };
    let pings = |n: u32| frames::frame(frames::PING, 0, 0, &u64::from(n).to_be_bytes());
    let settings = |_| frames::frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let oversized = |_| frames::frame(frames::DATA, 0, 1, &[0; 17_000]);
    for (name, wanted, times, piece) in [
        (
            "headers without end",
            Outcome::Closed,
            10_000,
            &headers_without_end as &dyn Fn(u32) -> Vec<u8>,
        ),
        ("small continuations", Outcome::Closed, 1_000_000, &small_continuations),
        ("calls taken back", Outcome::Closed, 1_000_000, &calls_taken_back),
        ("large headers", Outcome::Taken, 2_000, &large_headers),
        ("pings", Outcome::HeldUp, 2_000_000, &pings),
        ("settings", Outcome::HeldUp, 2_000_000, &settings),
        ("oversized frames", Outcome::Closed, 10_000, &oversized),
    ] {
        let mut frames = Frames::connect(server.address()).await.expect("a connection");
        let outcome = flood(&mut frames, times, piece).await;
        let (now, id) = (server.memory(), format!("after {name}"));
        assert_eq!(outcome, wanted, "{name}");
        assert!(now < before + ROOM, "{name}: {before}, then {now}");
        server.publish(vec![order(&id, "a")]).await;
        let got = stream.deliveries(1).await;
        assert_eq!(ids(&got), [id]);
        stream.ack(&got);
    }
}

/// 1 MiB that would be 1 GiB.
#[tokio::test]
async fn a_message_that_inflates_beyond_the_limit_is_refused_before_it_does() {
    let server = Server::start().await;
    server.publish(vec![order("warm", "a")]).await;
    let before = server.memory();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..1_024 {
        io::Write::write_all(&mut gzip, &[0; 1 << 20]).expect("memory");
    }
    let bomb = gzip.finish().expect("memory");
    let connection = Connection::open(&server).await;
    let gzip = [("grpc-encoding", "gzip")];
    let mut call = connection.call("/tidings.v1.PublisherService/Publish", &gzip).await;
    let length = u32::try_from(bomb.len()).expect("short").to_be_bytes();
    let message = [&[1][..], &length, &bomb].concat();
    call.sending.send_data(message.into(), true).expect("send it");
    let status = call.end().await.status;
    assert_eq!(reason_of(&status), "REQUEST_TOO_LARGE", "{status:?}");
    assert!(
        server.peak_memory() < before + ROOM,
        "{before}, then {}",
        server.peak_memory()
    );
}

/// A port scanner, or a client that is stuck.
#[tokio::test]
async fn silent_connections_do_not_keep_a_server_from_stopping() {
    let mut server = Server::start().await;
    let _silent = TcpStream::connect(server.address()).await.expect("a connection");
    let _greeted = Frames::connect(server.address()).await.expect("a connection");
    let began = std::time::Instant::now();
    assert!(server.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// What a client sends when the server has closed resets the connection, and what lies there for it to read is lost.
#[tokio::test]
async fn whoever_still_sends_when_the_server_stops_hears_its_last_word() {
    let mut server = Server::start().await;
    let frames = Frames::connect(server.address()).await.expect("a connection");
    let (mut reading, mut writing) = frames.split();
    let pings = frames::frame(frames::PING, 0, 0, &[0; 8]).repeat(1_000);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let (mut told, mut at, mut some) = (Vec::new(), 0, [0; 4096]);
    let talk = async {
        loop {
            tokio::select! {
                read = reading.read(&mut some) => match read.expect("no reset") {
                    0 => break,
                    length => told.extend_from_slice(&some[..length]),
                },
                written = writing.write(&pings[at..]) => at = (at + written.expect("no reset")) % pings.len(),
            }
        }
    };
    within("the end", talk).await;
    assert!(frames::kinds(&told).contains(&frames::GOAWAY));
    assert!(server.ended().await.success());
}
