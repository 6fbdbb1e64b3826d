//! A stream that looks on while something happens to the log: of a group, or a reader. It counts what it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidings::proto::tidings::v1::{
    Open, PublishRequest, ReadRequest, Waiting, read_response::Frame as ReadFrame, subscribe_response::Frame,
};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::harness::{
    Server,
    clients::{Reading, Subscription, open, order, request},
};

/// Where there is little to see.
const TOPIC: &str = "seldom";
const BEAT: Duration = Duration::from_secs(1);

pub(super) struct Witness {
    told: Arc<Told>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    outages: AtomicUsize,
    events: AtomicUsize,
}

impl Witness {
    /// A stream of the group, with a heartbeat each second.
    pub(super) async fn of_group(group: &str, server: &Server) -> Self {
        let stream = server.subscribe(Open {
            topics: vec![TOPIC.to_owned()],
            heartbeat_interval: prost_types::Duration::try_from(BEAT).ok(),
            ..open(group)
        });
        let (stream, told) = (stream.await, Arc::<Told>::default());
        let following = follow(stream, Arc::clone(&told));
        let task = tokio::spawn(async move { eprintln!("a stream of a group ended: {:?}", following.await) });
        Self { told, task }
    }

    /// A reader of what comes, with a heartbeat each ten seconds.
    pub(super) async fn of_reader(server: &Server) -> Self {
        let reading = server.read(ReadRequest {
            topics: vec![TOPIC.to_owned()],
            follow: true,
            ..Default::default()
        });
        let (reading, told) = (reading.await.expect("read"), Arc::<Told>::default());
        let following = read_on(reading, Arc::clone(&told));
        let task = tokio::spawn(async move { eprintln!("a reader ended: {:?}", following.await) });
        Self { told, task }
    }

    /// How often it was told that the log is away.
    pub(super) fn outages(&self) -> usize {
        self.told.outages.load(Ordering::Relaxed)
    }

    /// How many events it was sent.
    pub(super) fn events(&self) -> usize {
        self.told.events.load(Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }
}

/// Something to see, in every partition.
pub(super) async fn publish(server: &Server) {
    let events = (0..100).map(|n| order(&n.to_string(), &n.to_string()));
    let request = PublishRequest {
        topic: TOPIC.to_owned(),
        ..request(events)
    };
    server.try_publish(request).await.expect("publish");
}

async fn follow(mut stream: Subscription, told: Arc<Told>) -> Result<(), Status> {
    while let Some(frame) = stream.next().await? {
        match frame {
            Frame::Deliveries(more) => {
                told.events.fetch_add(more.deliveries.len(), Ordering::Relaxed);
                stream.ack(&more.deliveries);
            }
            Frame::Heartbeat(beat) => told.waits(beat.waiting()),
            _ => {}
        }
    }
    Ok(())
}

async fn read_on(mut reading: Reading, told: Arc<Told>) -> Result<(), Status> {
    while let Some(frame) = reading.next().await? {
        match frame {
            ReadFrame::ReadEvents(more) => {
                told.events.fetch_add(more.events.len(), Ordering::Relaxed);
            }
            ReadFrame::Heartbeat(beat) => told.waits(beat.waiting()),
            _ => {}
        }
    }
    Ok(())
}

impl Told {
    fn waits(&self, waiting: Waiting) {
        let is_outage = waiting == Waiting::LogUnavailable;
        self.outages.fetch_add(usize::from(is_outage), Ordering::Relaxed);
    }
}
