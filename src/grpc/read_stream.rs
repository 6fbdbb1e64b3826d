//! The messages of one reader, made as the client takes them.

use std::{collections::VecDeque, time::SystemTime};

use futures_util::{Stream, stream};
use tonic::Status;

use super::{convert, status::status};
use crate::{
    bus::{ReadFrame, ReadSession},
    error::Result,
    proto::{
        lean::ReadResponse,
        tidings::v1::{self as wire, read_response::Frame},
    },
};

struct Reading {
    session: ReadSession,
    ready: VecDeque<ReadResponse>,
    max_frame_bytes: usize,
}

pub(super) fn messages(
    session: ReadSession,
    max_frame_bytes: usize,
) -> impl Stream<Item = Result<ReadResponse, Status>> + Send {
    let reading = Reading {
        session,
        ready: VecDeque::new(),
        max_frame_bytes,
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
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            let made = match self.session.next().await? {
                Ok(frame) => self.convert(frame),
                Err(error) => Err(error),
            };
            match made {
                Ok(messages) => self.ready.extend(messages),
                Err(error) => return Some(Err(status(&error))),
            }
        }
    }

    fn convert(&self, frame: ReadFrame) -> Result<Vec<ReadResponse>> {
        let frame = match frame {
            ReadFrame::Events(events) => return convert::read_events(&events, self.max_frame_bytes),
            ReadFrame::CaughtUp(positions) => Frame::CaughtUp(convert::caught_up(&positions)),
            ReadFrame::Gap(gap) => Frame::Gap(convert::gap(&gap)),
            ReadFrame::Heartbeat { partitions, waiting } => Frame::Heartbeat(wire::Heartbeat {
                partitions: partitions.iter().map(convert::progress).collect(),
                waiting: convert::waiting(waiting).into(),
                server_time: Some(super::timestamp(SystemTime::now())),
                ..Default::default()
            }),
        };
        Ok(vec![wire::ReadResponse { frame: Some(frame) }.into()])
    }
}
