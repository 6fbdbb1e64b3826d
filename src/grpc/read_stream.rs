//! The messages of one reader, made as the client takes them.

use std::{iter, time::SystemTime};

use futures_util::{Stream, stream};
use tonic::Status;

use super::{
    convert::{self, Messages},
    size::Sizes,
    status::status,
};
use crate::{
    bus::{ReadFrame, ReadSession},
    error::Result,
    proto::{
        lean::{EventsWriter, ReadResponse},
        tidings::v1::{self as wire, read_response::Frame},
    },
    telemetry::{CallContext, Telemetry},
};

struct Reading {
    session: ReadSession,
    /// What is left of the last frame.
    messages: Messages<ReadResponse>,
    sizes: Sizes,
    counting: (Telemetry, CallContext),
}

pub(super) fn messages(
    session: ReadSession,
    sizes: Sizes,
    counting: (Telemetry, CallContext),
) -> impl Stream<Item = Result<ReadResponse, Status>> + Send {
    let reading = Reading {
        session,
        messages: Box::new(iter::empty()),
        sizes,
        counting,
    };
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        match reading.next().await? {
            Ok(message) => Some((Ok(message), Some(reading))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

impl Reading {
    async fn next(&mut self) -> Option<Result<ReadResponse, Status>> {
        loop {
            if let Some(message) = self.messages.next() {
                return Some(message.map_err(|error| status(&error)));
            }
            // What was sent must not be held while the log has nothing new.
            self.messages = Box::new(iter::empty());
            match self.session.next().await? {
                Ok(frame) => self.messages = self.convert(frame),
                Err(error) => return Some(Err(status(&error))),
            }
        }
    }

    fn convert(&self, frame: ReadFrame) -> Messages<ReadResponse> {
        let frame = match frame {
            ReadFrame::Events(events) => {
                let (telemetry, call) = &self.counting;
                telemetry.read(call, &events.partition.topic, events.count());
                return convert::read_events(events, self.sizes.now(), EventsWriter::into_read_events);
            }
            ReadFrame::CaughtUp(positions) => Frame::CaughtUp(convert::caught_up(&positions)),
            ReadFrame::Gap(gap) => Frame::Gap(convert::gap(&gap)),
            ReadFrame::Heartbeat { partitions, waiting } => Frame::Heartbeat(wire::Heartbeat {
                partitions: partitions.iter().map(convert::progress).collect(),
                waiting: convert::waiting(waiting).into(),
                server_time: Some(super::timestamp(SystemTime::now())),
                ..Default::default()
            }),
        };
        Box::new(iter::once(Ok(wire::ReadResponse { frame: Some(frame) }.into())))
    }
}
