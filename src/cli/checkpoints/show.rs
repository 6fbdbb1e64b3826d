//! Checkpoints as people read them.

use super::positions;
use crate::{
    cli::{
        table::{Pairs, Table},
        words,
    },
    proto::tidings::v1::Checkpoint,
};

/// Of many positions, people see the first.
const MOST: usize = 120;

pub(super) fn table(checkpoints: &[Checkpoint]) -> Table {
    let columns = ["NAME", ">GENERATION", "TIME", ">SIZE", "GROUP", "BY", "STANDS AT"];
    let mut table = Table::new(&columns);
    for one in checkpoints {
        let at = match one.damaged {
            true => "damaged".to_owned(),
            false => words::one_line(&positions(&one.positions), MOST),
        };
        table.row([
            one.name.clone(),
            one.generation.to_string(),
            words::time(one.create_time.as_ref()),
            words::size_or(one.size, "0"),
            or_none(&one.group),
            one.principal.clone(),
            at,
        ]);
    }
    table
}

pub(super) fn checkpoint(one: &Checkpoint) -> String {
    let group = match one.group.as_str() {
        "" => "-".to_owned(),
        group => format!("{group}, epoch {}", one.group_epoch),
    };
    let mut labels: Vec<String> = one.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort();
    let hash: String = one.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let pairs = Pairs(&[
        ("checkpoint", one.name.clone()),
        ("generation", one.generation.to_string()),
        ("stored", words::time(one.create_time.as_ref())),
        ("by", one.principal.clone()),
        ("bytes", one.size.to_string()),
        ("sha256", hash),
        ("content type", or_none(&words::one_line(&one.content_type, MOST))),
        ("labels", or_none(&words::one_line(&labels.join(" "), MOST))),
        ("group", group),
    ])
    .to_string();
    let mut table = Table::new(&["TOPIC", ">PARTITION", ">NEXT"]);
    for at in &one.positions {
        table.row([at.topic.clone(), at.partition.to_string(), at.offset.to_string()]);
    }
    format!("{pairs}\n{table}")
}

fn or_none(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}
