//! Publishes many events over one stream: requests follow each other without waiting, answers come in their order.
//!
//! ```text
//! lines ──▶ waiting ──cut into requests──▶ in flight ──answers──▶ published
//! ```
//! The first failure ends the sending; what is in flight is still answered, so that the count at the end is true.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::lines::{Line, Source};
use crate::{
    cli::{
        client::Client,
        failure::{self, Failure, Result},
        output::Output,
        progress::{Progress, Unit},
        words,
    },
    proto::tidings::v1::{
        PublishRequest, PublishResponse, PublishStreamRequest, PublishStreamResponse,
        publish_stream_response::Result as Answer,
    },
};

const MAX_EVENTS: usize = 256;
const MAX_BYTES: usize = 1 << 20;
/// Requests that are not answered. The channel to the stream holds as many, so handing one over never waits.
const IN_FLIGHT: usize = 16;

/// Publishes every line; how many events are durable is told even if it fails.
pub(super) async fn run(source: Source, template: PublishRequest, client: &Client, output: &mut Output) -> Result<u64> {
    let mut lines = source.start()?;
    let (requests, receiver) = mpsc::channel(IN_FLIGHT);
    let mut pipeline = Pipeline {
        template,
        progress: Progress::new(source.total, Unit::Bytes),
        name: source.name,
        requests: Some(requests),
        waiting: VecDeque::new(),
        in_flight: VecDeque::new(),
        sequence: 0,
        published: 0,
        failure: None,
    };
    let call = client.publisher().publish_stream(ReceiverStream::new(receiver)).await;
    let mut answers = call.map_err(Failure::call("publish"))?.into_inner();
    pipeline.pump(&mut lines, &mut answers, output).await?;
    pipeline.finish()
}

struct Pipeline {
    template: PublishRequest,
    progress: Progress,
    name: String,
    /// `None`: no more is sent.
    requests: Option<mpsc::Sender<PublishStreamRequest>>,
    waiting: VecDeque<Line>,
    in_flight: VecDeque<InFlight>,
    sequence: u64,
    published: u64,
    failure: Option<Failure>,
}

/// A request without its answer.
struct InFlight {
    sequence: u64,
    /// The number of each event's line.
    lines: Vec<u64>,
    bytes: u64,
}

impl Pipeline {
    /// Until every request is answered, or the stream ends. `Err` only if output cannot be written.
    async fn pump(
        &mut self,
        lines: &mut mpsc::Receiver<Result<Line>>,
        answers: &mut Streaming<PublishStreamResponse>,
        output: &mut Output,
    ) -> Result<()> {
        let mut read = Vec::new();
        loop {
            let wants_lines = self.requests.is_some() && self.waiting.is_empty() && self.in_flight.len() < IN_FLIGHT;
            // Both arms are cancel-safe: `recv_many` takes nothing unless it is ready, and a stream keeps what it has.
            tokio::select! {
                count = lines.recv_many(&mut read, MAX_EVENTS), if wants_lines => match count {
                    0 => self.requests = None,
                    _ => self.take(&mut read),
                },
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => self.answered(answer, output)?,
                    Ok(None) => return Ok(()),
                    Err(status) => {
                        self.broke(&status);
                        return Ok(());
                    }
                },
            }
            self.send();
        }
    }

    fn take(&mut self, read: &mut Vec<Result<Line>>) {
        for line in read.drain(..) {
            match line {
                Ok(line) => self.waiting.push_back(line),
                Err(failure) => self.fail(failure),
            }
        }
    }

    /// Sends what is waiting, as far as there is room; after a faulty line, what came before it.
    fn send(&mut self) {
        while self.in_flight.len() < IN_FLIGHT
            && let Some(requests) = &self.requests
            && let Some((request, in_flight)) = cut(&mut self.waiting, &self.template, self.sequence + 1)
        {
            self.sequence += 1;
            if requests.try_send(request).is_err() {
                // The stream has ended; its status says why.
                self.requests = None;
            }
            self.in_flight.push_back(in_flight);
        }
        if self.failure.is_some() && self.waiting.is_empty() {
            self.requests = None;
        }
    }

    fn answered(&mut self, answer: PublishStreamResponse, output: &mut Output) -> Result<()> {
        let Some(request) = self.in_flight.pop_front() else {
            return Ok(());
        };
        debug_assert_eq!(request.sequence, answer.sequence, "answers come in order");
        self.progress.add(request.bytes);
        match answer.result {
            Some(Answer::Response(response)) => self.printed(&response, output),
            Some(Answer::Error(status)) => {
                self.waiting.clear();
                let status = Status::with_details(
                    status.code.into(),
                    status.message.clone(),
                    prost::Message::encode_to_vec(&status).into(),
                );
                self.published += failure::durable(&status);
                self.fail(Failure::Local(refusal(&self.name, &request.lines, &status)));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn printed(&mut self, response: &PublishResponse, output: &mut Output) -> Result<()> {
        self.published += response.results.len() as u64;
        if output.is_json() {
            for result in &response.results {
                output.message(&result.position.clone().unwrap_or_default())?;
            }
            output.flush()?;
        }
        Ok(())
    }

    fn broke(&mut self, status: &Status) {
        let unknown: usize = self.in_flight.iter().map(|request| request.lines.len()).sum();
        let lines = self.in_flight.front().and_then(|request| request.lines.first());
        let from = lines.map_or_else(String::new, |line| {
            format!("; not known of {unknown} events from line {line} on")
        });
        let failure = Failure::call(format!("publish {}", self.name))(status.clone());
        self.fail(Failure::Local(format!("{failure}{from}")));
    }

    /// Keeps the first failure: what follows from it says nothing new.
    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    fn finish(self) -> Result<u64> {
        match self.failure {
            None => Ok(self.published),
            Some(failure) => {
                let published = words::events(self.published);
                Err(Failure::Local(format!("{failure}\n  published {published}")))
            }
        }
    }
}

/// The next request: as many lines as fit, at least one.
fn cut(
    waiting: &mut VecDeque<Line>,
    template: &PublishRequest,
    sequence: u64,
) -> Option<(PublishStreamRequest, InFlight)> {
    let mut publish = template.clone();
    let mut in_flight = InFlight {
        sequence,
        lines: Vec::new(),
        bytes: 0,
    };
    let mut size = 0;
    while let Some(line) =
        waiting.pop_front_if(|line| publish.events.is_empty() || size + line.encoded_len <= MAX_BYTES)
    {
        size += line.encoded_len;
        in_flight.lines.push(line.number);
        in_flight.bytes += line.bytes;
        publish.events.push(line.event);
        if publish.events.len() == MAX_EVENTS {
            break;
        }
    }
    let request = PublishStreamRequest {
        sequence,
        publish: Some(publish),
        timeout: None,
    };
    (!in_flight.lines.is_empty()).then_some((request, in_flight))
}

/// What the server said, with lines in the place of indices.
fn refusal(name: &str, lines: &[u64], status: &Status) -> String {
    let (first, last) = (lines.first().copied().unwrap_or(0), lines.last().copied().unwrap_or(0));
    let refused = Failure::call(format!("publish {name}:{first}-{last}"))(status.clone()).to_string();
    let mut text = String::new();
    let mut rest = refused.as_str();
    while let Some((before, after)) = rest.split_once("events[") {
        text.push_str(before);
        let line = after
            .split_once(']')
            .and_then(|(index, after)| Some((lines.get(index.parse::<usize>().ok()?)?, after)));
        match line {
            Some((line, after)) => {
                text.push_str(&format!("line {line}"));
                rest = after;
            }
            None => {
                text.push_str("events[");
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn requests_are_bounded_in_events_and_bytes() {
        let mut waiting: VecDeque<Line> = (1..=300).map(|number| line(number, 10)).collect();
        let sizes: Vec<usize> = std::iter::from_fn(|| cut(&mut waiting, &PublishRequest::default(), 1))
            .map(|(request, _)| request.publish.expect("set").events.len())
            .collect();
        assert_eq!(sizes, [256, 44]);
        let mut waiting: VecDeque<Line> = [MAX_BYTES + 1, 600_000, 600_000].map(|size| line(1, size)).into();
        let count = std::iter::from_fn(|| cut(&mut waiting, &PublishRequest::default(), 1)).count();
        assert_eq!(count, 3);
    }

    #[test]
    fn refusals_name_lines() {
        let status = Status::new(Code::InvalidArgument, "events[1].id: must not be empty; events[x]");
        let text = refusal("f", &[7, 9], &status);
        assert_eq!(
            text,
            "publish f:7-9: line 9.id: must not be empty; events[x] (INVALID_ARGUMENT)"
        );
    }

    fn line(number: u64, encoded_len: usize) -> Line {
        Line {
            number,
            bytes: 1,
            encoded_len,
            event: Default::default(),
        }
    }
}
