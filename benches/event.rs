//! What one event costs between the wire and the log: nanoseconds per operation, the least of several runs.
//!
//! `cargo bench --bench event`

#![expect(clippy::print_stdout, reason = "figures are this program's output")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tidings::{
    convention::{self, routes::Routes},
    event::{Draft, Event, json},
    log::{LogTime, Record, TopicPartition},
    name::Topic,
    proto::{
        event::{from_proto, to_proto},
        io::cloudevents::v1::{
            CloudEvent,
            cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
        },
    },
};

const BATCH: usize = 1000;
const RUNS: usize = 200;

fn main() {
    for (name, event) in [("json text", wire_event(true)), ("binary", wire_event(false))] {
        let checked = from_proto(event.clone()).expect("a valid event");
        let record = logged(&checked);
        let partition = partition();
        let routes = Routes::new(Vec::new()).expect("no routes are valid");
        let text = json::to_json(&checked);
        println!("{name}: {} bytes as a record", record.size());
        measure("from_proto (with check)", || event.clone(), from_proto);
        measure("check", || draft(&checked), Draft::check);
        measure("encode", || (), |()| convention::encode(&checked));
        measure(
            "check + encode",
            || draft(&checked),
            |draft| draft.check().map(|event| convention::encode(&event)),
        );
        measure("route", || (), |()| routes.resolve(&checked, (None, None), None));
        measure(
            "decode",
            || record.clone(),
            |record| convention::decode(&partition, &record),
        );
        measure("to_proto", || convention::decode(&partition, &record).event, to_proto);
        measure(
            "decode + to_proto",
            || record.clone(),
            |record| to_proto(convention::decode(&partition, &record).event),
        );
        measure("from_json", || (), |()| json::from_json(&text));
        measure("to_json", || (), |()| json::to_json(&checked));
    }
}

/// Times `work` alone: what `prepare` makes and what `work` gives are made and dropped outside.
fn measure<I, O>(name: &str, prepare: impl Fn() -> I, work: impl Fn(I) -> O) {
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let inputs: Vec<I> = (0..BATCH).map(|_| prepare()).collect();
        let mut outputs = Vec::with_capacity(BATCH);
        let start = Instant::now();
        for input in inputs {
            outputs.push(black_box(work(input)));
        }
        least = least.min(start.elapsed());
    }
    println!("  {name:<24} {:>6} ns", least.as_nanos() / BATCH as u128);
}

/// An event of about 1 KiB with the attributes that most have.
fn wire_event(is_text: bool) -> CloudEvent {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(780));
    let string = |text: &str| Attr::CeString(text.to_owned());
    let time = prost_types::Timestamp {
        seconds: 1_747_869_141,
        nanos: 677_647_000,
    };
    let attributes = [
        ("subject", string("01964b05-552a-7c4b-9184-6857e7f3dc5f")),
        ("time", Attr::CeTimestamp(time)),
        (
            "datacontenttype",
            string(if is_text {
                "application/json"
            } else {
                "application/octet-stream"
            }),
        ),
        ("host", string("01964b05-552a-7c4b-9184-6857e7f3dc5f")),
    ];
    CloudEvent {
        id: "0196e40b-7e19-7de6-a918-a7b97abdf09f".into(),
        source: "https://github.com/shop/orders".into(),
        spec_version: "1.0".into(),
        r#type: "io.shop.orders.created".into(),
        attributes: attributes
            .map(|(name, attr)| (name.to_owned(), CloudEventAttributeValue { attr: Some(attr) }))
            .into(),
        data: Some(if is_text {
            Data::TextData(text)
        } else {
            Data::BinaryData(text.into())
        }),
    }
}

/// The event, unchecked again, sharing its bytes.
fn draft(event: &Event) -> Draft {
    Draft {
        id: event.id().clone(),
        source: event.source().clone(),
        spec_version: bytestring::ByteString::from_static("1.0"),
        ty: event.ty().clone(),
        attributes: event.attributes().to_vec(),
        data: event.data().clone(),
    }
}

/// The event as a record whose headers are a slice of a larger buffer, as a log reads them.
fn logged(event: &Event) -> Record {
    let encoded = convention::encode(event);
    Record {
        offset: 1,
        time: LogTime(0),
        key: Some(Bytes::from_static(b"01964b05-552a-7c4b-9184-6857e7f3dc5f")),
        value: encoded.value,
        headers: encoded.headers,
    }
}

fn partition() -> TopicPartition {
    TopicPartition {
        topic: Topic::new("io.shop.orders.resource").expect("a valid name"),
        partition: 0,
    }
}
