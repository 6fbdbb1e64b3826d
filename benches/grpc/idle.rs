//! Memory: a server that does nothing, and one with 10,000 subscribed streams that get nothing.

use std::path::Path;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{Result, process::Server};
use tidings::proto::tidings::v1::{
    Credit, Open, SubscribeRequest, SubscribeResponse, subscribe_request::Frame,
    subscriber_service_client::SubscriberServiceClient,
};

const CONNECTIONS: usize = 10;
const STREAMS: usize = 1_000;

/// A stream held open from the client's side.
pub(crate) struct Held {
    _frames: mpsc::Sender<SubscribeRequest>,
    _messages: tonic::Streaming<SubscribeResponse>,
}

pub(crate) async fn measure(directory: &Path) -> Result<()> {
    let server = Server::tidings(&directory.join("idle")).await?;
    let before = server.rss()?;
    println!("idle             RSS {:.1} MB", before as f64 / 1e6);
    let mut held = Vec::with_capacity(CONNECTIONS * STREAMS);
    for number in 0..CONNECTIONS {
        eprintln!("idle streams: {}", held.len());
        let channel = server.new_channel().await?;
        for _ in 0..STREAMS {
            held.push(open(channel.clone(), format!("idle-{number}")).await?);
        }
    }
    let streams = server.rss()?.saturating_sub(before);
    println!(
        "idle             {} streams take {:.1} MB: {:.1} KB each",
        held.len(),
        streams as f64 / 1e6,
        streams as f64 / held.len() as f64 / 1e3
    );
    Ok(())
}

pub(crate) async fn open(channel: Channel, group: String) -> Result<Held> {
    open_on("idle", channel, group).await
}

pub(crate) async fn open_on(topic: &str, channel: Channel, group: String) -> Result<Held> {
    let (frames, receiver) = mpsc::channel(1);
    let open = Open {
        group,
        topics: vec![topic.to_owned()],
        credit: Some(Credit { events: 100, bytes: 0 }),
        ..Open::default()
    };
    frames
        .send(SubscribeRequest {
            frame: Some(Frame::Open(open)),
        })
        .await?;
    let mut client = SubscriberServiceClient::new(channel);
    let mut messages = client.subscribe(ReceiverStream::new(receiver)).await?.into_inner();
    messages.next().await.ok_or("the stream ended")??;
    Ok(Held {
        _frames: frames,
        _messages: messages,
    })
}
