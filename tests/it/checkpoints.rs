//! Checkpoints: a client's own state, streamed in and out whole or not at all, with generations, and to start at.

mod command;
mod damage;
mod deleting;
mod refused;
mod starts;
mod store;
pub(crate) mod tied;
mod tied_faults;

use bytes::Bytes;
use tempfile::TempDir;
use tidings::proto::tidings::v1::{
    Checkpoint, DeleteCheckpointRequest, GetCheckpointRequest, ListCheckpointsRequest, Position, PutCheckpointHeader,
    PutCheckpointRequest, get_checkpoint_response::Frame as Received, put_checkpoint_request::Frame,
    state_service_client::StateServiceClient,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use crate::{
    harness::{Server, clients::ORDERS, status::refused, within},
    resets::{create, publish},
};

pub(crate) const MIB: usize = 1 << 20;

/// A server, and the directory that is its object store: on Kafka too, where replicas share it.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) store: TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more configuration, of other sections.
    pub(crate) async fn start_with(config: &str) -> Self {
        let store = TempDir::with_prefix("tidings-store-").expect("make a directory");
        let config = format!("{config}\n{}", section(&store));
        let server = Server::start_with(&config).await;
        Self { server, store }
    }

    /// What another server is configured with that has the same store.
    pub(crate) fn config(&self) -> String {
        section(&self.store)
    }

    /// With so many events, each with a key of its own, in one partition.
    pub(crate) async fn with_events(count: usize) -> Self {
        let bed = Self::start().await;
        create(&bed.server, 1).await;
        publish(&bed.server, 0..count).await;
        bed
    }

    pub(crate) async fn restart(self) -> Self {
        Self {
            server: self.server.restart().await,
            store: self.store,
        }
    }
}

fn section(store: &TempDir) -> String {
    let directory = store.path().join("objects");
    format!("[snapshots]\nstore = \"file://{}\"\n", directory.display())
}

pub(crate) fn client(server: &Server) -> StateServiceClient<Channel> {
    StateServiceClient::new(server.channel()).max_decoding_message_size(8 * MIB)
}

pub(crate) fn header(name: &str) -> PutCheckpointHeader {
    PutCheckpointHeader {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// A place in the only partition of the orders.
pub(crate) fn at(offset: i64) -> Vec<Position> {
    vec![Position {
        topic: ORDERS.to_owned(),
        partition: 0,
        offset,
    }]
}

/// A put that goes on as the test likes.
pub(crate) struct Putting {
    frames: Option<mpsc::Sender<PutCheckpointRequest>>,
    call: JoinHandle<Result<Checkpoint, Status>>,
}

impl Putting {
    pub(crate) fn begin(server: &Server) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let mut client = client(server);
        let call = tokio::spawn(async move {
            let answer = client.put_checkpoint(ReceiverStream::new(receiver)).await?;
            Ok(answer.into_inner().checkpoint.expect("a checkpoint"))
        });
        Self {
            frames: Some(sender),
            call,
        }
    }

    /// Once the call is over, nobody takes it.
    pub(crate) async fn send(&self, frame: Option<Frame>) {
        let frames = self.frames.as_ref().expect("it goes on");
        let _ = within("a frame to be taken", frames.send(PutCheckpointRequest { frame })).await;
    }

    pub(crate) async fn data(&self, bytes: impl Into<Bytes>) {
        self.send(Some(Frame::Data(bytes.into()))).await;
    }

    /// Says that this was all.
    pub(crate) async fn finish(self) -> Result<Checkpoint, Status> {
        self.send(Some(Frame::Finish(()))).await;
        self.end().await
    }

    /// Ends the stream, whatever was sent.
    pub(crate) async fn end(mut self) -> Result<Checkpoint, Status> {
        self.frames = None;
        self.answer().await
    }

    /// The answer, whatever was sent.
    pub(crate) async fn answer(self) -> Result<Checkpoint, Status> {
        within("an answer to a put", self.call).await.expect("the call ran")
    }
}

/// Puts these bytes, in messages of so many.
pub(crate) async fn put_in(
    server: &Server,
    header: PutCheckpointHeader,
    (bytes, message): (&Bytes, usize),
) -> Result<Checkpoint, Status> {
    let putting = Putting::begin(server);
    putting.send(Some(Frame::Header(header))).await;
    let mut left = bytes.clone();
    while !left.is_empty() {
        putting.data(left.split_to(message.min(left.len()))).await;
    }
    putting.finish().await
}

pub(crate) async fn try_put(server: &Server, header: PutCheckpointHeader, data: &str) -> Result<Checkpoint, Status> {
    put_in(server, header, (&Bytes::copy_from_slice(data.as_bytes()), 7)).await
}

pub(crate) async fn put(server: &Server, header: PutCheckpointHeader, data: &str) -> Checkpoint {
    try_put(server, header, data).await.expect("put a checkpoint")
}

/// What is known of it, its bytes as far as they came, and how it ended.
pub(crate) async fn read(
    server: &Server,
    name: &str,
    generation: u64,
) -> (Option<Checkpoint>, Vec<u8>, Result<(), Status>) {
    let request = GetCheckpointRequest {
        name: name.to_owned(),
        generation,
    };
    let (mut checkpoint, mut bytes) = (None, Vec::new());
    let mut frames = match within("a checkpoint", client(server).get_checkpoint(request)).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (None, bytes, Err(status)),
    };
    loop {
        match within("a frame of a checkpoint", frames.message()).await {
            Ok(None) => return (checkpoint, bytes, Ok(())),
            Err(status) => return (checkpoint, bytes, Err(status)),
            Ok(Some(response)) => match response.frame.expect("a frame") {
                Received::Checkpoint(first) => {
                    assert!(checkpoint.replace(first).is_none() && bytes.is_empty());
                }
                Received::Data(data) => {
                    assert!(checkpoint.is_some() && !data.is_empty() && data.len() <= 256 << 10);
                    bytes.extend(data);
                }
            },
        }
    }
}

pub(crate) async fn get(server: &Server, name: &str, generation: u64) -> Result<(Checkpoint, Vec<u8>), Status> {
    let (checkpoint, bytes, end) = read(server, name, generation).await;
    end.map(|()| (checkpoint.expect("a checkpoint"), bytes))
}

/// The text of the newest generation.
pub(crate) async fn text(server: &Server, name: &str) -> String {
    let (_, bytes) = get(server, name, 0).await.expect("get a checkpoint");
    String::from_utf8(bytes).expect("text")
}

pub(crate) async fn list(server: &Server, request: ListCheckpointsRequest) -> Result<(Vec<String>, String), Status> {
    let answer = within("a list", client(server).list_checkpoints(request))
        .await?
        .into_inner();
    let label = |one: &Checkpoint| match one.damaged {
        true => format!("{}@{} damaged", one.name, one.generation),
        false => format!("{}@{}", one.name, one.generation),
    };
    Ok((answer.checkpoints.iter().map(label).collect(), answer.next_page_token))
}

/// The generations that are kept of one, newest first; of all the newest.
pub(crate) async fn generations(server: &Server, name: &str) -> Vec<String> {
    let request = ListCheckpointsRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    list(server, request).await.expect("a list").0
}

pub(crate) async fn delete(server: &Server, request: DeleteCheckpointRequest) -> Result<(), Status> {
    within("a deletion", client(server).delete_checkpoint(request))
        .await
        .map(|_| ())
}

/// Bytes in which no part is like another.
pub(crate) fn noise(count: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = (0..count.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(count).collect::<Vec<u8>>().into()
}

#[tokio::test]
async fn a_checkpoint_is_read_as_it_was_put_whatever_the_messages() {
    let bed = Bed::with_events(9).await;
    let bytes = noise(64 * MIB + 13);
    for (message, generation) in [(2_000, 1), (4 * MIB, 2)] {
        let wanted = PutCheckpointHeader {
            positions: at(7),
            content_type: "application/x-noise".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            size: Some(64 * MIB as i64 + 13),
            ..header("noise")
        };
        let stored = put_in(&bed.server, wanted, (&bytes, message)).await.expect("put");
        assert_eq!((stored.generation, stored.size), (generation, 64 * MIB as i64 + 13));
        assert_eq!(
            (stored.positions.clone(), stored.principal.as_str()),
            (at(7), "anonymous")
        );
        assert!(stored.sha256.len() == 32 && stored.create_time.is_some() && stored.group.is_empty());
        assert_eq!(stored.labels["a"], "b");
        let (read, got) = get(&bed.server, "noise", 0).await.expect("get");
        assert_eq!(read, stored);
        assert!(got == bytes, "the bytes differ");
    }
    assert_eq!(generations(&bed.server, "noise").await, ["noise@2", "noise@1"]);
}

#[tokio::test]
async fn large_checkpoints_are_never_whole_in_memory() {
    const SIZE: usize = 160;
    let bed = Bed::start().await;
    let bytes = noise(SIZE * MIB);
    put(&bed.server, header("small"), "warm").await;
    let before = bed.server.memory();
    put_in(&bed.server, header("large"), (&bytes, MIB)).await.expect("put");
    let (_, got) = get(&bed.server, "large", 0).await.expect("get");
    assert!(got == bytes, "the bytes differ");
    let grown = bed.server.memory().saturating_sub(before);
    assert!(grown < SIZE * MIB / 2, "memory grew by {} MiB", grown / MIB);
}

#[tokio::test]
async fn a_checkpoint_may_have_no_bytes_and_no_positions() {
    let bed = Bed::start().await;
    let stored = put(&bed.server, header("empty"), "").await;
    assert_eq!((stored.generation, stored.size), (1, 0));
    let (read, bytes) = get(&bed.server, "empty", 1).await.expect("get");
    assert_eq!((read, bytes), (stored, Vec::new()));
}

#[tokio::test]
async fn the_newest_generation_is_the_checkpoint_and_older_ones_are_kept_as_configured() {
    let bed = Bed::start_with("[checkpoints]\nkeep = 2").await;
    for text in ["one", "two", "three", "four"] {
        put(&bed.server, header("c"), text).await;
    }
    assert_eq!(text(&bed.server, "c").await, "four");
    store::eventually_kept(&bed, "c", &["c@4", "c@3"]).await;
    let (third, bytes) = get(&bed.server, "c", 3).await.expect("get");
    assert_eq!((third.generation, bytes.as_slice()), (3, b"three".as_slice()));
    refused(get(&bed.server, "c", 1).await, Code::NotFound, "CHECKPOINT_NOT_FOUND");
    refused(get(&bed.server, "c", 5).await, Code::NotFound, "CHECKPOINT_NOT_FOUND");
    // It is all there after a restart.
    let bed = bed.restart().await;
    assert_eq!(text(&bed.server, "c").await, "four");
    assert_eq!(put(&bed.server, header("c"), "five").await.generation, 5);
}

#[tokio::test]
async fn the_same_request_is_stored_once_and_answered_alike() {
    let bed = Bed::start().await;
    let repeatable = || PutCheckpointHeader {
        request_id: "r".to_owned(),
        ..header("c")
    };
    let first = put(&bed.server, repeatable(), "one").await;
    assert_eq!(put(&bed.server, repeatable(), "other bytes").await, first);
    put(&bed.server, header("c"), "two").await;
    assert_eq!(put(&bed.server, repeatable(), "").await, first);
    let bed = bed.restart().await;
    // The answer may come while the bytes are on their way.
    let large = noise(32 * MIB);
    assert_eq!(
        put_in(&bed.server, repeatable(), (&large, MIB)).await.expect("put"),
        first
    );
    assert_eq!(generations(&bed.server, "c").await, ["c@2", "c@1"]);
}

#[tokio::test]
async fn of_two_puts_at_once_both_are_stored_or_the_one_that_was_promised_otherwise_is_refused() {
    let bed = Bed::start().await;
    let (one, other) = (Putting::begin(&bed.server), Putting::begin(&bed.server));
    for putting in [&one, &other] {
        putting.send(Some(Frame::Header(header("c")))).await;
        putting.data("data").await;
    }
    let (one, other) = tokio::join!(one.finish(), other.finish());
    let mut stored = [one.expect("put").generation, other.expect("put").generation];
    stored.sort_unstable();
    assert_eq!(stored, [1, 2]);
    let second = || PutCheckpointHeader {
        expected_generation: Some(2),
        ..header("c")
    };
    let (one, other) = (Putting::begin(&bed.server), Putting::begin(&bed.server));
    for putting in [&one, &other] {
        putting.send(Some(Frame::Header(second()))).await;
        putting.data("data").await;
    }
    let answers: [Result<Checkpoint, Status>; 2] = tokio::join!(one.finish(), other.finish()).into();
    let (stored, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(stored[0].as_ref().expect("put").generation, 3);
    for refusal in refusals {
        let status = refused(refusal, Code::Aborted, "CHECKPOINT_CONFLICT");
        assert_eq!(crate::harness::status::resource(&status), "c@3");
    }
    assert_eq!((stored.len(), generations(&bed.server, "c").await.len()), (1, 3));
    refused(
        try_put(&bed.server, second(), "").await,
        Code::Aborted,
        "CHECKPOINT_CONFLICT",
    );
    let first = PutCheckpointHeader {
        expected_generation: Some(0),
        ..header("new")
    };
    assert_eq!(put(&bed.server, first.clone(), "").await.generation, 1);
    refused(
        try_put(&bed.server, first, "").await,
        Code::Aborted,
        "CHECKPOINT_CONFLICT",
    );
}

#[tokio::test]
async fn checkpoints_and_generations_are_listed_page_by_page() {
    let bed = Bed::start_with("[checkpoints]\nkeep = 10").await;
    for name in ["b", "a.1", "c", "a-2", "d"] {
        put(&bed.server, header(name), "").await;
    }
    for _ in 0..4 {
        put(&bed.server, header("c"), "").await;
    }
    for (name, expected) in [
        ("", [vec!["a-2@1", "a.1@1"], vec!["b@1", "c@5"], vec!["d@1"]]),
        ("c", [vec!["c@5", "c@4"], vec!["c@3", "c@2"], vec!["c@1"]]),
    ] {
        let mut request = ListCheckpointsRequest {
            name: name.to_owned(),
            page_size: 2,
            page_token: String::new(),
        };
        for (number, page) in expected.iter().enumerate() {
            let (got, next) = list(&bed.server, request.clone()).await.expect("a page");
            let page: Vec<String> = page.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!((got, next.is_empty()), (page, number == 2));
            request.page_token = next;
        }
    }
    for (page_size, page_token) in [(-1, ""), (1, "!")] {
        let request = ListCheckpointsRequest {
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        refused(list(&bed.server, request).await, Code::InvalidArgument, "PAGE_INVALID");
    }
    assert!(generations(&bed.server, "nothing").await.is_empty());
}
