//! One stream of a group: open, work on what is delivered, and close so that every ack is committed.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Work, commands, credit::Ledger, exec, retry::Backoff};
use crate::{
    cli::{
        client::Client,
        event::Received,
        failure::{Failure, Result},
        output::{is_watched, tell},
        read::tell_gap,
        words,
    },
    proto::tidings::v1::{
        Ack, Action, Close, Delivery, Nack, Open, SubscribeRequest, SubscribeResponse, subscribe_request::Frame,
        subscribe_response::Frame as Told,
    },
};

/// Events that the server may send ahead of our acks; few where each costs a command, so that other streams get some.
const WINDOW: i64 = 1024;
const WINDOW_OF_COMMANDS: i64 = 16;
/// How long the server may take to commit at the end.
const LAST_COMMIT: Duration = Duration::from_secs(30);

/// An open stream.
pub(super) struct Session<'w, 'a> {
    work: &'w mut Work<'a>,
    frames: mpsc::Sender<SubscribeRequest>,
    ledger: Ledger,
}

impl<'w, 'a> Session<'w, 'a> {
    /// Until the work is done (`Ok`) or the stream breaks.
    pub(super) async fn run(client: &Client, work: &'w mut Work<'a>, backoff: &mut Backoff) -> Result<()> {
        let (frames, receiver) = mpsc::channel(64);
        let window = if work.subscribe.exec.is_some() {
            WINDOW_OF_COMMANDS
        } else {
            WINDOW
        };
        let mut session = Self {
            work,
            frames,
            ledger: Ledger::new(window),
        };
        session.open().await;
        let call = client.subscriber().subscribe(ReceiverStream::new(receiver)).await;
        let mut incoming = call.map_err(session.failed())?.into_inner();
        let worked = session.work_on(&mut incoming, backoff).await;
        match worked {
            // What was acked before our output went away is to be committed all the same.
            Ok(true) | Err(Failure::OutputClosed) => session.close(incoming).await.and(worked.map(|_| ())),
            Ok(false) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn open(&mut self) {
        let subscribe = self.work.subscribe;
        let open = Open {
            group: subscribe.group.clone(),
            topics: subscribe.topics.clone(),
            start: subscribe.from.clone().map(words::From::start),
            credit: Some(self.ledger.open(self.work.remaining)),
            client_id: subscribe.client_id.clone(),
            commands: subscribe.exec_command.is_some(),
            ..Open::default()
        };
        self.send(Frame::Open(open)).await;
    }

    /// `true`: our work is done; `false`: the server ended the stream and all is well.
    async fn work_on(&mut self, incoming: &mut Streaming<SubscribeResponse>, backoff: &mut Backoff) -> Result<bool> {
        while !self.work.is_done() {
            let frame = tokio::select! {
                // Cancel-safe: a stream keeps what it has not handed out.
                frame = incoming.message() => frame.map_err(self.failed())?,
                () = self.work.stop.cancelled() => break,
            };
            match frame {
                None => return Ok(false),
                Some(response) => self.told(response, backoff).await?,
            }
        }
        Ok(true)
    }

    async fn told(&mut self, response: SubscribeResponse, backoff: &mut Backoff) -> Result<()> {
        match response.frame {
            Some(Told::Deliveries(deliveries)) => return self.deliver(deliveries.deliveries).await,
            Some(Told::Opened(opened)) => {
                backoff.opened();
                if is_watched() {
                    let created = if opened.group_created { " (new)" } else { "" };
                    tell(format!("tidings: in group {}{created}", self.work.subscribe.group));
                }
            }
            Some(Told::Gap(gap)) => tell_gap(&gap),
            Some(Told::Command(command)) => {
                if let Some(shell) = &self.work.subscribe.exec_command {
                    let reply = commands::answer(shell, command).await?;
                    self.send(Frame::CommandReply(reply)).await;
                }
            }
            Some(Told::GroupChanged(changed)) => {
                tell(format!(
                    "tidings: the group now has the topics {}",
                    changed.topics.join(" ")
                ));
            }
            Some(Told::AckResult(result)) => {
                for fault in result.faults {
                    tell(format!(
                        "tidings: an ack came too late ({}): events come again",
                        fault.reason().as_str_name()
                    ));
                }
            }
            // Of no concern here, or of a later version: passed over, as the API asks.
            _ => {}
        }
        Ok(())
    }

    async fn deliver(&mut self, deliveries: Vec<Delivery>) -> Result<()> {
        match self.work.subscribe.exec.as_ref() {
            None => self.print(deliveries).await,
            Some(command) => {
                for delivery in deliveries {
                    if !self.work.stop.is_cancelled() {
                        self.execute(command, delivery).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Prints, and acks only what is printed for good.
    async fn print(&mut self, deliveries: Vec<Delivery>) -> Result<()> {
        let mut delivery_ids = Vec::with_capacity(deliveries.len());
        let mut bytes = 0;
        for delivery in deliveries {
            delivery_ids.push(delivery.id);
            bytes += i64::from(delivery.size);
            Received::from(delivery).print(self.work.output)?;
        }
        self.work.output.flush()?;
        let count = delivery_ids.len() as u64;
        self.ack(delivery_ids).await;
        self.settled(count, bytes, count).await;
        Ok(())
    }

    async fn execute(&mut self, command: &str, delivery: Delivery) -> Result<()> {
        let (id, attempt, bytes) = (delivery.id, delivery.attempt, i64::from(delivery.size));
        let place = words::position(&delivery.position.clone().unwrap_or_default());
        let failed = exec::run(command, Received::from(delivery).json()).await?;
        match failed {
            None => {
                self.ack(vec![id]).await;
                self.settled(1, bytes, 1).await;
            }
            Some(reason) => {
                tell(format!("tidings: {place}: {reason} in attempt {attempt}"));
                self.nack(id, reason).await;
                self.settled(1, bytes, 0).await;
            }
        }
        Ok(())
    }

    async fn ack(&mut self, delivery_ids: Vec<u64>) {
        let ack = Ack {
            delivery_ids,
            ..Ack::default()
        };
        self.send(Frame::Ack(ack)).await;
    }

    /// The group's retry policy says when it comes again, and when it is given up.
    async fn nack(&mut self, id: u64, reason: String) {
        let nack = Nack {
            delivery_ids: vec![id],
            action: Action::Retry.into(),
            reason,
            ..Nack::default()
        };
        self.send(Frame::Nack(nack)).await;
    }

    /// Counts what is done and gives back credit.
    async fn settled(&mut self, events: u64, bytes: i64, done: u64) {
        if let Some(remaining) = &mut self.work.remaining {
            *remaining = remaining.saturating_sub(done);
        }
        if let Some(credit) = self.ledger.settled(events.cast_signed(), bytes, self.work.remaining) {
            self.send(Frame::Credit(credit)).await;
        }
    }

    /// No more deliveries, then half-close; when the server ends with OK, all acks are committed.
    async fn close(self, mut incoming: Streaming<SubscribeResponse>) -> Result<()> {
        self.send(Frame::Close(Close {})).await;
        let failed = self.failed();
        drop(self.frames);
        let rest = async {
            // Deliveries that were on their way are not acked, and go to other streams.
            while incoming.message().await?.is_some() {}
            Ok::<(), Status>(())
        };
        match timeout(LAST_COMMIT, rest).await {
            Ok(ended) => ended.map_err(failed),
            Err(_) => Err(Failure::Local(format!(
                "subscribe: the last acks were not committed within {LAST_COMMIT:?}"
            ))),
        }
    }

    /// A stream that has ended takes no frames; its status is read next.
    async fn send(&self, frame: Frame) {
        let _ = self.frames.send(SubscribeRequest { frame: Some(frame) }).await;
    }

    fn failed(&self) -> impl Fn(Status) -> Failure + use<> {
        Failure::call(format!("subscribe {}", self.work.subscribe.group))
    }
}
