//! What comes to a tenant: by its groups, whoever works in them, by replays, and as state.

use std::collections::BTreeMap;

use tidings::proto::{
    io::cloudevents::v1::CloudEvent,
    tidings::v1::{
        CreateSnapshotRequest, GetGroupRequest, RestoreRequest, Start, StartReplayRequest,
        offset_service_client::OffsetServiceClient, replay_service_client::ReplayServiceClient,
        restore_response::Frame, start::At, state_service_client::StateServiceClient,
    },
};

use super::{config, publish, server};
use crate::{
    auth::Shown,
    harness::{
        Server,
        clients::{ORDERS, order},
        within,
    },
    policies::{
        groups::{Stream, open},
        shown,
    },
    state::Store,
};

/// One event of each tenant in turn, three of each, and one of nobody.
async fn publish_some(server: &Server) {
    for n in 0..3 {
        for tenant in ["acme", "beta"] {
            let event = order(&format!("{tenant}-{n}"), &n.to_string());
            publish(shown(server, tenant), "", vec![event])
                .await
                .expect("published");
        }
    }
    publish(shown(server, "root"), "", vec![order("nobody", "1")])
        .await
        .expect("published");
}

async fn some(stream: &mut Stream, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.extend(stream.events().await.expect("events"));
    }
    ids.sort();
    ids
}

#[tokio::test]
async fn a_tenants_group_has_its_events_only_whoever_works_in_it() {
    let server = server().await;
    publish_some(&server).await;
    let mut stream = Stream::open(shown(&server, "acme"), open("acme.g", &["io.shop.**"]))
        .await
        .expect("a stream");
    assert_eq!(some(&mut stream, 3).await, ["acme-0", "acme-1", "acme-2"]);
    drop(stream);
    let mut stream = Stream::open(shown(&server, "root"), open("acme.g", &[]))
        .await
        .expect("a stream");
    assert_eq!(some(&mut stream, 3).await, ["acme-0", "acme-1", "acme-2"]);
    let group = GetGroupRequest {
        group: "acme.g".to_owned(),
    };
    let mut offsets = OffsetServiceClient::new(shown(&server, "acme"));
    let found = offsets
        .get_group(group)
        .await
        .expect("its own")
        .into_inner()
        .group
        .expect("a group");
    assert_eq!(found.tenant, "acme");
}

#[tokio::test]
async fn a_replay_gives_a_tenant_its_own_events() {
    let server = server().await;
    publish_some(&server).await;
    let latest = tidings::proto::tidings::v1::Open {
        start: Some(Start {
            at: Some(At::Latest(())),
        }),
        ..open("acme.g", &["io.shop.**"])
    };
    let mut stream = Stream::open(shown(&server, "acme"), latest).await.expect("a stream");
    let replay = StartReplayRequest {
        group: "acme.g".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    ReplayServiceClient::new(shown(&server, "acme"))
        .start_replay(replay)
        .await
        .expect("a replay");
    assert_eq!(some(&mut stream, 3).await, ["acme-0", "acme-1", "acme-2"]);
}

/// The newest event of each key that somebody is shown, until it has caught up.
async fn restored(channel: Shown, since: Option<Start>) -> BTreeMap<String, String> {
    let request = RestoreRequest {
        topics: vec![ORDERS.to_owned()],
        since,
        ..Default::default()
    };
    let mut client = StateServiceClient::new(channel);
    let mut stream = within("a restore", client.restore(request))
        .await
        .expect("a stream")
        .into_inner();
    let mut states = BTreeMap::new();
    while let Some(message) = within("a frame", stream.message()).await.expect("no error") {
        if let Some(Frame::RestoreState(found)) = message.frame {
            states.extend(found.states.into_iter().map(|state| {
                let key = String::from_utf8_lossy(state.key.as_deref().unwrap_or_default()).into_owned();
                (key, state.event.map(|event| event.id).unwrap_or_default())
            }));
        }
    }
    states
}

fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter()
        .map(|(key, id)| ((*key).to_owned(), (*id).to_owned()))
        .collect()
}

#[tokio::test]
async fn nobody_sees_or_replaces_the_state_of_another() {
    let store = Store::new();
    let server = Server::start_with(&config(&store.config(""))).await;
    let [admin, acme, beta] = ["root", "acme", "beta"].map(|token| shown(&server, token));
    let of = |id: &str, happening: &str, key: &str| CloudEvent {
        r#type: format!("io.shop.orders.{happening}"),
        ..order(id, key)
    };
    publish(
        acme.clone(),
        "",
        vec![of("a1", "created", "7"), of("a2", "created", "8")],
    )
    .await
    .expect("published");
    publish(beta.clone(), "", vec![of("b1", "created", "7")])
        .await
        .expect("published");
    assert_eq!(
        restored(acme.clone(), None).await,
        pairs(&[("acme/7", "a1"), ("acme/8", "a2")])
    );
    let snapshot = CreateSnapshotRequest {
        topic: ORDERS.to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    StateServiceClient::new(admin.clone())
        .create_snapshot(snapshot)
        .await
        .expect("taken");
    let since = Some(Start {
        at: Some(At::Snapshot(ORDERS.to_owned())),
    });
    publish(
        beta.clone(),
        "",
        vec![of("b2", "deleted", "7"), of("b3", "created", "8")],
    )
    .await
    .expect("published");
    publish(acme.clone(), "", vec![of("a3", "deleted", "8")])
        .await
        .expect("published");
    assert_eq!(restored(acme.clone(), None).await, pairs(&[("acme/7", "a1")]));
    assert_eq!(restored(acme, since.clone()).await, pairs(&[("acme/8", "a3")]));
    assert_eq!(
        restored(beta, since).await,
        pairs(&[("beta/7", "b2"), ("beta/8", "b3")])
    );
    assert_eq!(
        restored(admin.clone(), None).await,
        pairs(&[("acme/7", "a1"), ("beta/8", "b3")])
    );
    // What an operator deletes for all is told to all.
    publish(admin, "", vec![of("o", "deletedAll", "0")])
        .await
        .expect("published");
    let told = crate::policies::read(shown(&server, "beta"), &[ORDERS]).await;
    assert_eq!(told.expect("its own"), ["b1", "b2", "b3", "o"]);
}
