//! An event as it is printed: CloudEvents JSON for scripts, a headline and its data for people.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    failure::Result,
    output::{Output, tell},
    words,
};
use crate::{
    event::{Data, Event, json},
    proto::{
        event::from_proto,
        io::cloudevents::v1::{CloudEvent, cloud_event},
        tidings::v1::{DecodeFault, Delivery, KeyState, Position, ReadEvent},
    },
};

/// How much of data that is no text people see.
const PREVIEW_BYTES: usize = 48;
/// How much of data that is text people see.
const PREVIEW_CHARACTERS: usize = 2_000;

/// What came from the server, of Read or Subscribe.
pub(super) struct Received {
    position: Position,
    key: Option<bytes::Bytes>,
    event: CloudEvent,
    fault: Option<DecodeFault>,
}

impl From<ReadEvent> for Received {
    fn from(read: ReadEvent) -> Self {
        Self {
            position: read.position.unwrap_or_default(),
            key: read.key,
            event: read.event.unwrap_or_default(),
            fault: read.fault,
        }
    }
}

impl From<KeyState> for Received {
    fn from(state: KeyState) -> Self {
        Self {
            position: state.position.unwrap_or_default(),
            key: state.key,
            event: state.event.unwrap_or_default(),
            fault: state.fault,
        }
    }
}

impl From<Delivery> for Received {
    fn from(delivery: Delivery) -> Self {
        Self {
            position: delivery.position.unwrap_or_default(),
            key: delivery.key,
            event: delivery.event.unwrap_or_default(),
            fault: delivery.fault,
        }
    }
}

impl Received {
    /// Prints the event, and says on stderr where it is not well-formed.
    pub(super) fn print(self, output: &mut Output) -> Result<()> {
        if let Some(fault) = &self.fault {
            let place = words::position(&self.position);
            tell(format!(
                "{place}: not a well-formed event: {}: {}",
                fault.field, fault.rule
            ));
        }
        if output.is_json() {
            return output.bytes(&self.json());
        }
        output.text(self.text())
    }

    /// One line in the JSON event format.
    pub(super) fn json(self) -> Vec<u8> {
        match from_proto(self.event.clone()) {
            Ok(event) => json::to_json(&event),
            Err(_) => as_found(&self.event),
        }
    }

    /// `topic/partition/offset  type  source  subject`, and the data below.
    pub(super) fn text(self) -> String {
        let mut text = words::position(&self.position);
        if let Some(key) = &self.key {
            text.push_str(&format!("  [{}]", String::from_utf8_lossy(key).escape_debug()));
        }
        match from_proto(self.event.clone()) {
            Ok(event) => {
                text.push_str(&headline(&event));
                push_data(&mut text, &event);
            }
            Err(_) => text.push_str(&format!("\n    {}\n", String::from_utf8_lossy(&as_found(&self.event)))),
        }
        text
    }
}

fn headline(event: &Event) -> String {
    let mut line = format!("  {}  {}", event.ty(), event.source());
    for name in ["subject", "time"] {
        if let Some(value) = event.text_of(name) {
            line.push_str(&format!("  {value}"));
        }
    }
    line.push('\n');
    line
}

fn push_data(text: &mut String, event: &Event) {
    match event.data() {
        Data::None => {}
        Data::Text(data) => match data.char_indices().nth(PREVIEW_CHARACTERS) {
            None => push_lines(text, data),
            Some((end, _)) => {
                push_lines(text, &data[..end]);
                push_lines(text, &format!("... ({} bytes; --output json prints all)", data.len()));
            }
        },
        Data::Binary(data) | Data::Proto(data) => {
            let kind = event.text_of("dataschema").or_else(|| event.text_of("datacontenttype"));
            let kind = kind.map_or_else(String::new, |kind| format!(" of {kind}"));
            let mut line = format!("{} bytes{kind}:", data.len());
            for byte in data.iter().take(PREVIEW_BYTES) {
                let _ = write!(line, " {byte:02x}");
            }
            if data.len() > PREVIEW_BYTES {
                line.push_str(" ...");
            }
            push_lines(text, &line);
        }
    }
}

/// Indented, and without characters that a terminal would act on.
fn push_lines(text: &mut String, data: &str) {
    for line in data.lines() {
        text.push_str("    ");
        for c in line.chars() {
            match c {
                '\t' => text.push(c),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        text.push('\n');
    }
}

/// What there is of an event that breaks the rules: its members as text, its data in base64.
fn as_found(event: &CloudEvent) -> Vec<u8> {
    let mut members = serde_json::Map::new();
    for (name, value) in [
        ("specversion", &event.spec_version),
        ("id", &event.id),
        ("source", &event.source),
        ("type", &event.r#type),
    ] {
        members.insert(name.to_owned(), value.as_str().into());
    }
    let data = match &event.data {
        Some(cloud_event::Data::BinaryData(data)) => Some(STANDARD.encode(data)),
        Some(cloud_event::Data::TextData(data)) => Some(STANDARD.encode(data)),
        Some(cloud_event::Data::ProtoData(data)) => Some(STANDARD.encode(&data.value)),
        None => None,
    };
    if let Some(data) = data {
        members.insert("data_base64".to_owned(), data.into());
    }
    serde_json::Value::Object(members).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{arguments::Format, tests::Memory},
        proto::event::to_proto,
    };

    const LINE: &str = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"io.shop.orders.created","subject":"7","datacontenttype":"application/json","data":{"total":3}}"#;

    #[test]
    fn scripts_get_the_json_event_format() {
        let printed: serde_json::Value = serde_json::from_str(&print(Format::Json)).expect("json");
        assert_eq!(printed, serde_json::from_str::<serde_json::Value>(LINE).expect("json"));
    }

    #[test]
    fn people_get_a_headline_and_the_data() {
        let text = "orders/2/17  [7]  io.shop.orders.created  /shop  7\n    {\"total\":3}\n";
        assert_eq!(print(Format::Text), text);
    }

    #[test]
    fn people_see_the_beginning_of_long_data() {
        let mut output = String::new();
        let line = LINE.replace(r#"{"total":3}"#, &format!("{:?}", "ä".repeat(10_000)));
        push_data(&mut output, &json::from_json(line.as_bytes()).expect("an event"));
        assert!(
            output.ends_with("\n    ... (20002 bytes; --output json prints all)\n"),
            "{output}"
        );
        assert!(output.chars().count() < 2_100);
    }

    #[test]
    fn data_cannot_command_the_terminal() {
        let mut text = String::new();
        push_lines(&mut text, "a\u{1b}[2Jb\n\tc");
        assert_eq!(text, "    a\\u{1b}[2Jb\n    \tc\n");
    }

    #[test]
    fn an_event_that_breaks_the_rules_is_still_shown() {
        let mut received = received(LINE);
        received.event.id = String::new();
        received.event.data = Some(cloud_event::Data::BinaryData("x".into()));
        let text = String::from_utf8(received.json()).expect("text");
        assert!(text.contains(r#""data_base64":"eA==""#), "{text}");
    }

    fn print(format: Format) -> String {
        let memory = Memory::default();
        received(LINE).print(&mut memory.output(format)).expect("printed");
        memory.text()
    }

    fn received(line: &str) -> Received {
        let event = json::from_json(line.as_bytes()).expect("an event");
        Received {
            position: Position {
                topic: "orders".to_owned(),
                partition: 2,
                offset: 17,
            },
            key: Some("7".into()),
            event: to_proto(event),
            fault: None,
        }
    }
}
