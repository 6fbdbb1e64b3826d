//! How long the lags of 1,000 groups of 100 partitions take to list: groups that nobody serves, caught up and behind, asked for
//! the first time and again.

use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tonic::transport::Channel;

use crate::{Result, ground::Ground, process::Server, resets::plan, stream::fill};
use tidings::proto::tidings::v1::{ListGroupsRequest, offset_service_client::OffsetServiceClient, target::To};

const TOPIC: &str = "lists";
const PARTITIONS: i32 = 100;
const EVENTS: u64 = 10_000;
const GROUPS: usize = 1_000;
/// Groups that are created at the same time.
const AT_ONCE: usize = 8;
const TARGET: f64 = 2.0;

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    for (name, to) in [("caught up", To::Latest(())), ("behind", To::Earliest(()))] {
        let server = ground.server(&format!("lists-{}", name.replace(' ', "-"))).await?;
        fill(&server, TOPIC, PARTITIONS, EVENTS, EVENTS).await?;
        eprintln!("lists, {name}: {GROUPS} groups");
        stream::iter(0..GROUPS)
            .map(|number| create(server.channel(), number, to.clone()))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        for time in ["first", "again"] {
            let took = list(&server).await?;
            println!("lists            {name:<12} {time} s {took:.2}   target {TARGET:.0}");
        }
    }
    Ok(())
}

/// A group without streams, by a reset that creates it.
async fn create(channel: Channel, number: usize, to: To) -> Result<()> {
    let mut client = OffsetServiceClient::new(channel);
    let planned = plan(&mut client, &format!("group-{number}"), (&[TOPIC], to)).await?;
    client.apply_reset(planned).await?;
    Ok(())
}

async fn list(server: &Server) -> Result<f64> {
    let (mut client, started) = (OffsetServiceClient::new(server.channel()), Instant::now());
    let (mut count, mut token) = (0, String::new());
    loop {
        let request = ListGroupsRequest {
            page_token: token,
            ..ListGroupsRequest::default()
        };
        let page = client.list_groups(request).await?.into_inner();
        count += page.groups.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    match count {
        GROUPS => Ok(started.elapsed().as_secs_f64()),
        count => Err(format!("{count} groups are listed").into()),
    }
}
