//! Tenants: each has what is its own by name, and on topics that tenants share its own events, whoever tries what.

mod intrusion;
mod quotas;
mod received;
mod shown;

use serde_json::Value;
use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{
        Position, PublishRequest, ReadEvent, ReadRequest, publisher_service_client::PublisherServiceClient,
        read_response::Frame, subscriber_service_client::SubscriberServiceClient,
    },
};
use tonic::{Code, Status};

use crate::{
    auth::{Shown, token_of},
    harness::{
        Server,
        clients::{ORDERS, order, text},
        status::refused,
        within,
    },
    policies::{audited, denied, read, shown as with_token, with_admin},
};

/// Two tenants, `acme` and `beta`, each with a token of its name, who may do everything that policies can allow; and an administrator.
fn config(more: &str) -> String {
    let tenant = |name: &str| format!("{}tenant = \"{name}\"\n", token_of(name, name));
    let all = "verbs = [\"publish\", \"subscribe\", \"read\", \"reset\", \"dead-letter\", \"topics\", \"state\", \"command\", \"admin\"]";
    format!(
        "{}{}{}[[auth.policies]]\nprincipals = [\"token:acme\", \"token:beta\"]\n{all}\ntopics = [\"**\"]\ngroups = [\"**\"]\n\
         checkpoints = [\"**\"]\n[tenants]\ntopics = \"{{tenant}}.**\"\ngroups = \"{{tenant}}.**\"\ncheckpoints = \"{{tenant}}.**\"\n\
         [[tenants.shared]]\ntopics = [\"io.shop.**\"]\nattribute = \"tenantid\"\nbody = \"owner.tenant\"\n{more}",
        with_admin(""),
        tenant("acme"),
        tenant("beta"),
    )
}

async fn server() -> Server {
    Server::start_with(&config("")).await
}

async fn publish(channel: Shown, topic: &str, events: Vec<CloudEvent>) -> Result<Vec<Position>, Status> {
    let request = PublishRequest {
        topic: topic.to_owned(),
        events,
        ..Default::default()
    };
    let mut client = PublisherServiceClient::new(channel);
    let answer = within("a publish", client.publish(request)).await?.into_inner();
    Ok(answer
        .results
        .into_iter()
        .filter_map(|result| result.position)
        .collect())
}

/// What a topic has for whoever asks, by id.
async fn events(channel: Shown, topic: &str) -> Vec<ReadEvent> {
    let request = ReadRequest {
        topics: vec![topic.to_owned()],
        ..Default::default()
    };
    let mut client = SubscriberServiceClient::new(channel);
    let mut stream = within("a read", client.read(request))
        .await
        .expect("a stream")
        .into_inner();
    let mut found = Vec::new();
    while let Some(message) = within("a frame", stream.message()).await.expect("no error") {
        if let Some(Frame::ReadEvents(read)) = message.frame {
            found.extend(read.events);
        }
    }
    found.sort_by_key(|event| event.event.as_ref().expect("an event").id.clone());
    found
}

fn with(mut event: CloudEvent, name: &str, value: &str) -> CloudEvent {
    event.attributes.insert(name.to_owned(), text(value));
    event
}

fn with_json(event: CloudEvent, json: &str) -> CloudEvent {
    CloudEvent {
        data: Some(Data::TextData(json.to_owned())),
        ..with(event, "datacontenttype", "application/json")
    }
}

#[tokio::test]
async fn on_a_shared_topic_a_tenant_publishes_as_itself_and_receives_its_own() {
    let server = server().await;
    let [admin, acme, beta] = ["root", "acme", "beta"].map(|token| with_token(&server, token));
    publish(
        acme.clone(),
        "",
        vec![order("a1", "7"), with(order("a2", "acme/8"), "tenantid", "acme")],
    )
    .await
    .expect("its own");
    publish(beta.clone(), "", vec![order("b1", "7")])
        .await
        .expect("its own");
    publish(
        admin.clone(),
        "",
        vec![with(order("b2", "9"), "tenantid", "beta"), order("n", "9")],
    )
    .await
    .expect("anybody's");
    let got = events(acme.clone(), ORDERS).await;
    let told = |event: &ReadEvent| {
        let key = String::from_utf8_lossy(event.key.as_deref().unwrap_or_default()).into_owned();
        let event = event.event.as_ref().expect("an event");
        (event.id.clone(), event.attributes.get("tenantid").cloned(), key)
    };
    let own = |id: &str, key: &str| (id.to_owned(), Some(text("acme")), key.to_owned());
    assert_eq!(
        got.iter().map(told).collect::<Vec<_>>(),
        [own("a1", "acme/7"), own("a2", "acme/8")]
    );
    assert_eq!(read(beta, &["**"]).await.expect("its own"), ["b1", "b2"]);
    assert_eq!(
        read(admin, &[ORDERS]).await.expect("all"),
        ["a1", "a2", "b1", "b2", "n"]
    );
}

#[tokio::test]
async fn whoever_says_another_tenants_name_is_refused_and_that_is_written_down() {
    let server = server().await;
    let acme = with_token(&server, "acme");
    let deletes_all = CloudEvent {
        r#type: "io.shop.orders.deletedAll".to_owned(),
        ..order("d", "1")
    };
    for (event, field) in [
        (with(order("1", "1"), "tenantid", "beta"), "attributes.tenantid"),
        (with(order("1", "1"), "tenantid", "none"), "attributes.tenantid"),
        (
            with_json(order("1", "1"), r#"{"owner":{"tenant":"beta"}}"#),
            "data.owner.tenant",
        ),
        (deletes_all, "type"),
    ] {
        let told = denied(publish(acme.clone(), "", vec![order("0", "1"), event]).await);
        assert!(
            told.contains(&format!("events[1].{field}")) && !told.contains("beta"),
            "{told}"
        );
    }
    let fine = with_json(order("2", "1"), r#"{"owner":{"tenant":"acme"}}"#);
    publish(acme.clone(), "", vec![fine]).await.expect("its own");
    assert_eq!(read(acme, &[ORDERS]).await.expect("its own"), ["2"]);
    let told = audited(&server, "tidings.access.denied", 4).await;
    let is_acme = |event: &Value| {
        event["by"] == "token:acme" && event["reason"].as_str().is_some_and(|why| why.contains("publish"))
    };
    assert!(told.iter().all(is_acme), "{told:?}");
}

#[tokio::test]
async fn topics_of_a_tenant_are_had_by_nobody_else_whatever_policies_say() {
    let server = server().await;
    let [admin, acme, beta] = ["root", "acme", "beta"].map(|token| with_token(&server, token));
    for (channel, topic) in [(&acme, "acme.x"), (&beta, "beta.x"), (&admin, "common")] {
        publish(channel.clone(), topic, vec![order(topic, "1")])
            .await
            .expect("published");
    }
    assert_eq!(read(acme.clone(), &["**"]).await.expect("its own"), ["acme.x"]);
    assert_eq!(
        read(acme.clone(), &["*.x", "re:.*"]).await.expect("its own"),
        ["acme.x"]
    );
    let mut told = Vec::new();
    for topic in [
        "beta.x",
        "beta.none",
        "common",
        "none",
        "tidings.audit",
        "tidings.groups",
    ] {
        let tried = [
            denied(publish(acme.clone(), topic, vec![order("1", "1")]).await),
            denied(read(acme.clone(), &[topic]).await),
        ];
        told.push(tried.map(|text| text.replace(topic, "TOPIC")));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "what is there is told: {told:?}");
    assert_eq!(read(admin, &["**"]).await.expect("all"), ["acme.x", "beta.x", "common"]);
}

#[tokio::test]
async fn a_route_leads_each_tenant_to_its_own_topic() {
    let route = "[[routes]]\ntype = \"re:Payment.*\"\ntopic = \"{tenant}.payments\"\n";
    let server = Server::start_with(&config(route)).await;
    let payment = |id: &str| CloudEvent {
        r#type: "PaymentMade".to_owned(),
        ..order(id, "1")
    };
    for tenant in ["acme", "beta"] {
        let placed = publish(with_token(&server, tenant), "", vec![payment(tenant)])
            .await
            .expect("published");
        assert_eq!(placed[0].topic, format!("{tenant}.payments"));
    }
    let status = refused(
        publish(with_token(&server, "root"), "", vec![payment("1")]).await,
        Code::InvalidArgument,
        "EVENT_INVALID",
    );
    assert!(
        status.message().contains("events[0].type") && status.message().contains("no tenant"),
        "{status}"
    );
}

/// Readers of the log would take the data for the event, with whatever tenant it says.
#[tokio::test]
async fn an_event_whose_data_is_said_to_be_an_event_is_refused() {
    let server = server().await;
    let within = r#"{"specversion":"1.0","id":"x","source":"/","type":"io.shop.orders.deletedAll","tenantid":"beta"}"#;
    for content_type in [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON; charset=utf-8",
        "application/cloudevents-batch+json",
        "application/cloudevents",
    ] {
        for token in ["acme", "root"] {
            let event = with(with_json(order("1", "1"), within), "datacontenttype", content_type);
            let published = publish(with_token(&server, token), "", vec![event]).await;
            let status = refused(published, Code::InvalidArgument, "EVENT_INVALID");
            assert!(
                status.message().contains("events[0].attributes.datacontenttype"),
                "{status}"
            );
        }
    }
}
