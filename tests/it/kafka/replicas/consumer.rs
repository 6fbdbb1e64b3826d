//! A consumer of the replica tests: acks what it is sent, in order or out of it, and tells the checker what it sees.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tidings::proto::tidings::v1::{
    Ack, AckResult, Deliveries, Delivery, Waiting, subscribe_request::Frame as Sent, subscribe_response::Frame,
};
use tokio::{task::JoinHandle, time::interval};
use tonic::transport::Channel;

use super::{
    checker::{Checker, EventId, Place, Who},
    load::{event_of, group},
};
use crate::harness::{
    Server,
    clients::{Subscription, subscribe_through},
};

/// Out of order, one of so many is held back, and acked within this time.
const HELD: u8 = 8;
const HELD_FOR: Duration = Duration::from_millis(100);
/// And a frame has at most so many acks.
const MOST: usize = 4;

/// How a consumer acks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acks {
    /// Each batch with one frame.
    InOrder,
    /// Each batch in a random order with several frames; some of it only later. Of every other consumer, half of the frames
    /// have a sequence, which has them committed at once; of the others none.
    OutOfOrder,
}

/// Consumes and acks everything, until its server is gone.
pub(super) fn consume(server: &Server, consumer: Consumer) -> JoinHandle<()> {
    tokio::spawn(run(server.channel(), consumer))
}

async fn run(channel: Channel, mut consumer: Consumer) {
    let Ok(mut stream) = subscribe_through(channel, [Sent::Open(group())]).await else {
        return;
    };
    let mut ticks = interval(HELD_FOR);
    loop {
        // Both are cancel-safe: a frame that is not whole yet stays with the stream.
        tokio::select! {
            frame = stream.next() => match frame {
                Ok(Some(frame)) => consumer.frame(frame, &stream),
                end => {
                    eprintln!("consumer {} ended: {end:?}", consumer.who.0);
                    return consumer.checker.ended(consumer.who.0);
                }
            },
            _ = ticks.tick(), if !consumer.held.is_empty() => consumer.let_go(&stream),
        }
    }
}

/// Follows one stream.
pub(super) struct Consumer {
    who: Who,
    checker: Arc<Checker>,
    acks: Acks,
    sequence: u64,
    /// By sequence.
    acked: HashMap<u64, Vec<EventId>>,
    /// By the delivery's id.
    sent: BTreeMap<u64, EventId>,
    held: Vec<Delivery>,
}

impl Consumer {
    pub(super) fn new(number: usize, checker: Arc<Checker>, acks: Acks) -> Self {
        Self {
            who: (number, 0),
            checker,
            acks,
            sequence: 0,
            acked: HashMap::new(),
            sent: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    pub(super) fn frame(&mut self, frame: Frame, stream: &Subscription) {
        match frame {
            Frame::Deliveries(Deliveries { deliveries }) => {
                self.saw(&deliveries);
                match self.acks {
                    Acks::InOrder => self.ack(&deliveries, stream),
                    Acks::OutOfOrder => self.ack_out_of_order(deliveries, stream),
                }
            }
            Frame::AckResult(result) => self.answered(&result),
            // What is lost may come back, and then begins at what was committed meanwhile.
            Frame::Assignment(assignment) => {
                self.who.1 += 1;
                let lost = assignment.lost.iter().filter_map(|lost| lost.partition.as_ref());
                lost.for_each(|lost| self.checker.lost((self.who.0, lost.partition)));
            }
            Frame::Heartbeat(beat) if beat.waiting() == Waiting::LogUnavailable => self.checker.outage(self.who.0),
            _ => {}
        }
    }

    pub(super) fn saw(&mut self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let event = event_of(delivery);
            self.checker.delivered(self.who, &event);
            self.sent.insert(delivery.id, event);
        }
    }

    pub(super) fn ack(&mut self, deliveries: &[Delivery], stream: &Subscription) {
        self.sequence += 1;
        self.acked
            .insert(self.sequence, deliveries.iter().map(event_of).collect());
        self.send(deliveries, self.sequence, stream);
    }

    fn ack_out_of_order(&mut self, deliveries: Vec<Delivery>, stream: &Subscription) {
        let (held, now): (Vec<_>, Vec<_>) = deliveries.into_iter().partition(|_| fastrand::u8(..HELD) == 0);
        self.held.extend(held);
        self.ack_in_pieces(now, stream);
    }

    /// Acks what is held back.
    fn let_go(&mut self, stream: &Subscription) {
        let held = std::mem::take(&mut self.held);
        self.ack_in_pieces(held, stream);
    }

    fn ack_in_pieces(&mut self, mut deliveries: Vec<Delivery>, stream: &Subscription) {
        fastrand::shuffle(&mut deliveries);
        for piece in deliveries.chunks(fastrand::usize(1..=MOST)) {
            match self.who.0.is_multiple_of(2) && fastrand::bool() {
                true => self.ack(piece, stream),
                false => self.send(piece, 0, stream),
            }
        }
    }

    fn send(&self, deliveries: &[Delivery], sequence: u64, stream: &Subscription) {
        let place = |delivery: &Delivery| -> Place {
            let position = delivery.position.as_ref().expect("a position");
            (self.who.0, position.partition)
        };
        deliveries
            .iter()
            .for_each(|delivery| self.checker.acked(place(delivery), event_of(delivery)));
        stream.send(Sent::Ack(Ack {
            delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
            sequence,
            ..Default::default()
        }));
    }

    fn answered(&mut self, result: &AckResult) {
        // Acks without a sequence are answered only where some are wrong.
        let acked = match result.sequence {
            0 => Vec::new(),
            sequence => self.acked.remove(&sequence).expect("a sequence of ours"),
        };
        self.checker.stale(result.faults.len());
        for ids in result.faults.iter().filter_map(|fault| fault.ids) {
            let refused = self.sent.range(ids.first..=ids.last);
            refused.for_each(|(_, event)| self.checker.refused(event));
        }
        if result.committed && result.faults.is_empty() {
            self.checker.committed(acked);
        }
    }
}
