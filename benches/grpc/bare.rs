//! The floor: a tonic server of the same proto that has no bus and no log. What it sends was built before.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    Result,
    event::{self, BATCH, TOPIC},
    load::Load,
};
use tidings::proto::tidings::v1::{
    Deliveries, Delivery, Position, PublishRequest, PublishResponse, PublishResult, PublishStreamRequest,
    PublishStreamResponse, ReadEvent, ReadEvents, ReadRequest, ReadResponse, SubscribeRequest, SubscribeResponse,
    publish_stream_response,
    publisher_service_server::{PublisherService, PublisherServiceServer},
    read_response, subscribe_request, subscribe_response,
    subscriber_service_server::{SubscriberService, SubscriberServiceServer},
};

/// This program's argument to be this server.
pub(crate) const ARGUMENT: &str = "bare-server";
/// Reading this topic lets those who follow have the stock of `Load::Read`.
pub(crate) const GO: &str = "go";

#[derive(Clone)]
struct Bare(Arc<Stock>);

/// What will be sent.
struct Stock {
    read: Mutex<VecDeque<ReadResponse>>,
    deliver: Mutex<VecDeque<SubscribeResponse>>,
    /// Readers that follow: messages that they may send. None to begin with.
    may_follow: Semaphore,
}

/// With the settings of the real server.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!(
        "{}",
        serde_json::json!({ "message": "listening", "address": listener.local_addr()?.to_string() })
    );
    let bare = Bare(Arc::new(Stock {
        read: Mutex::default(),
        deliver: Mutex::default(),
        may_follow: Semaphore::const_new(0),
    }));
    Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(PublisherServiceServer::new(bare.clone()))
        .add_service(SubscriberServiceServer::new(bare))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl PublisherService for Bare {
    type PublishStreamStream = BoxStream<'static, Result<PublishStreamResponse, Status>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        Ok(Response::new(positions(&request.into_inner())))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let answer = |request: Result<PublishStreamRequest, Status>| {
            let request = request?;
            let response = positions(&request.publish.unwrap_or_default());
            Ok(PublishStreamResponse {
                sequence: request.sequence,
                result: Some(publish_stream_response::Result::Response(response)),
            })
        };
        Ok(Response::new(request.into_inner().map(answer).boxed()))
    }
}

#[tonic::async_trait]
impl SubscriberService for Bare {
    type SubscribeStream = BoxStream<'static, Result<SubscribeResponse, Status>>;
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let state = (self.clone(), request.into_inner(), AtomicI64::new(0));
        let messages = stream::unfold(state, |(bare, mut frames, credit)| async {
            while credit.load(Ordering::Relaxed) <= 0 {
                let frame = frames.message().await.ok()??.frame?;
                credit.fetch_add(granted(&frame), Ordering::Relaxed);
            }
            let message = lock(&bare.0.deliver).pop_front();
            let Some(message) = message else {
                // The other streams have the rest.
                return std::future::pending().await;
            };
            credit.fetch_sub(BATCH.cast_signed(), Ordering::Relaxed);
            Some((Ok(message), (bare, frames, credit)))
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let mut request = request.into_inner();
        if request.follow {
            let messages = stream::unfold(self.clone(), |bare| async {
                bare.0.may_follow.acquire().await.ok()?.forget();
                let message = lock(&bare.0.read).pop_front()?;
                Some((Ok(message), bare))
            });
            return Ok(Response::new(messages.boxed()));
        }
        let topic = request.topics.pop().unwrap_or_default();
        if topic == GO {
            self.0.may_follow.add_permits(lock(&self.0.read).len());
            return Ok(Response::new(stream::empty().boxed()));
        }
        let is_stock = |load: Load| topic == load.name();
        if let Some(load) = Load::ALL.into_iter().find(|load| is_stock(*load)) {
            self.0.fill(load);
            return Ok(Response::new(stream::empty().boxed()));
        }
        let messages = stream::unfold(self.clone(), |bare| async {
            let message = lock(&bare.0.read).pop_front()?;
            Some((Ok(message), bare))
        });
        Ok(Response::new(messages.boxed()))
    }
}

impl Stock {
    fn fill(&self, load: Load) {
        let starts = (0..load.events()).step_by(usize::try_from(BATCH).unwrap_or(1));
        match load {
            Load::Read => *lock(&self.read) = starts.map(read_events).collect(),
            Load::Group => *lock(&self.deliver) = starts.map(deliveries).collect(),
            Load::PublishStream | Load::Unary => {}
        }
    }
}

fn granted(frame: &subscribe_request::Frame) -> i64 {
    match frame {
        subscribe_request::Frame::Open(open) => open.credit.map_or(0, |credit| credit.events),
        subscribe_request::Frame::Ack(ack) => {
            let count: u64 = ack.ranges.iter().map(|range| range.last - range.first + 1).sum();
            count.cast_signed()
        }
        _ => 0,
    }
}

fn positions(request: &PublishRequest) -> PublishResponse {
    let result = |offset: i64| PublishResult {
        position: Some(position(offset)),
        duplicate: false,
    };
    PublishResponse {
        results: (0..request.events.len() as u64)
            .map(|index| result(index.cast_signed()))
            .collect(),
    }
}

fn position(offset: i64) -> Position {
    Position {
        topic: TOPIC.to_owned(),
        partition: 0,
        offset: offset + 1_000_000,
    }
}

fn read_events(first: u64) -> ReadResponse {
    let one = |number: u64| ReadEvent {
        position: Some(position(number.cast_signed())),
        key: Some(format!("order-{number:012}").into()),
        log_time: Some(log_time()),
        event: Some(event::event(number)),
        fault: None,
    };
    let events = (first..first + BATCH).map(one).collect();
    ReadResponse {
        frame: Some(read_response::Frame::ReadEvents(ReadEvents { events })),
    }
}

fn deliveries(first: u64) -> SubscribeResponse {
    let one = |number: u64| Delivery {
        id: (1 << 40) + number,
        position: Some(position(number.cast_signed())),
        key: Some(format!("order-{number:012}").into()),
        attempt: 1,
        log_time: Some(log_time()),
        event: Some(event::event(number)),
        size: 1_200,
        ..Delivery::default()
    };
    let deliveries = (first..first + BATCH).map(one).collect();
    SubscribeResponse {
        frame: Some(subscribe_response::Frame::Deliveries(Deliveries { deliveries })),
    }
}

fn log_time() -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: 1_747_869_141,
        nanos: 677_000_000,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
