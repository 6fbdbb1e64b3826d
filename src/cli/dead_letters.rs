//! `tidings dead-letters`: list, show, redrive and discard what groups gave up.

mod moving;
mod selecting;

use clap::Subcommand;

use self::selecting::{Matching, Moving};
use super::{
    client::Client,
    event::Received,
    failure::{Failure, Result},
    output::Output,
    table::{Pairs, Table},
    words,
};
use crate::proto::tidings::v1::{
    DeadLetter, GetDeadLetterRequest, ListDeadLettersRequest, ListGroupsRequest, ReadEvent,
};

#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Lists a group's dead letters, newest first
    List {
        #[arg(long)]
        group: String,
        #[command(flatten)]
        matching: Matching,
        /// At most so many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max: Option<u32>,
    },
    /// Shows a dead letter: where it lay, why it was given up, what became of it
    Show {
        id: String,
        /// The group; default: whichever has it
        #[arg(long)]
        group: Option<String>,
        /// With its event
        #[arg(long)]
        payload: bool,
    },
    /// Delivers dead letters to the group again, each with what waits with it
    Redrive {
        #[command(flatten)]
        moving: Moving,
        /// Why, for those who look later
        #[arg(long)]
        reason: Option<String>,
    },
    /// Gives dead letters up
    Discard {
        #[command(flatten)]
        moving: Moving,
        /// Why, for those who look later
        #[arg(long, required_unless_present = "dry_run")]
        reason: Option<String>,
    },
}

pub(super) async fn run(command: DeadLettersCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        DeadLettersCommand::List { group, matching, max } => {
            let request = ListDeadLettersRequest {
                group,
                matching: Some(matching.filter()),
                page_size: 1_000,
                page_token: String::new(),
            };
            list(request, max, client, output).await
        }
        DeadLettersCommand::Show { id, group, payload } => {
            let request = GetDeadLetterRequest {
                group: group.unwrap_or_default(),
                id,
                include_event: payload,
            };
            show(request, client, output).await
        }
        DeadLettersCommand::Redrive { moving, reason } => {
            moving::redrive(moving.redrive(reason.unwrap_or_default())?, client, output).await
        }
        DeadLettersCommand::Discard { moving, reason } => {
            moving::discard(moving.discard(reason.unwrap_or_default())?, client, output).await
        }
    }
}

async fn list(request: ListDeadLettersRequest, max: Option<u32>, client: &Client, output: &mut Output) -> Result<()> {
    let most = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let failed = Failure::call(format!("list dead letters of group {}", request.group));
    let (mut request, mut letters) = (request, Vec::new());
    loop {
        let page = client.dead_letters().list_dead_letters(request.clone()).await;
        let page = page.map_err(&failed)?.into_inner();
        letters.extend(page.dead_letters);
        if page.next_page_token.is_empty() || letters.len() >= most {
            break;
        }
        request.page_token = page.next_page_token;
    }
    letters.truncate(most);
    output.rows(&table(&letters), &letters)
}

/// A line for each letter.
fn table(letters: &[DeadLetter]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "TIME",
        "EVENT",
        "REASON",
        ">ATTEMPTS",
        "STATE",
        "BEHIND",
        "DETAIL",
    ]);
    for letter in letters {
        table.row([
            letter.id.clone(),
            words::time(letter.dead_letter_time.as_ref()),
            letter.position.as_ref().map(words::position).unwrap_or_default(),
            reason(letter),
            letter.attempts.to_string(),
            state(letter),
            or_dash(&letter.behind),
            words::one_line(&letter.detail, 60),
        ]);
    }
    table
}

async fn show(request: GetDeadLetterRequest, client: &Client, output: &mut Output) -> Result<()> {
    let letter = match request.group.is_empty() {
        true => find(request, client).await?,
        false => {
            let what = format!("show dead letter {} of group {}", request.id, request.group);
            let found = client.dead_letters().get_dead_letter(request).await;
            found
                .map_err(Failure::call(what))?
                .into_inner()
                .dead_letter
                .unwrap_or_default()
        }
    };
    let mut text = text(&letter);
    if let Some(event) = letter.event.clone() {
        let received = Received::from(ReadEvent {
            position: letter.position.clone(),
            key: letter.key.clone(),
            event: Some(event),
            fault: letter.fault.clone(),
            ..ReadEvent::default()
        });
        text.push_str(&format!("\n{}", received.text()));
    }
    output.one(text, &letter)
}

/// Asks each group that there is.
async fn find(request: GetDeadLetterRequest, client: &Client) -> Result<DeadLetter> {
    let what = format!("show dead letter {}", request.id);
    let failed = Failure::call(what.clone());
    let mut page_token = String::new();
    loop {
        let listing = ListGroupsRequest {
            page_size: 1_000,
            page_token,
        };
        let page = client
            .offsets()
            .list_groups(listing)
            .await
            .map_err(&failed)?
            .into_inner();
        for group in page.groups {
            let request = GetDeadLetterRequest {
                group: group.name,
                ..request.clone()
            };
            match client.dead_letters().get_dead_letter(request).await {
                Ok(found) => return Ok(found.into_inner().dead_letter.unwrap_or_default()),
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(failed(status)),
            }
        }
        if page.next_page_token.is_empty() {
            return Err(Failure::NotFound(format!(
                "{what}: no group has it; of a group that was deleted, name it"
            )));
        }
        page_token = page.next_page_token;
    }
}

fn text(letter: &DeadLetter) -> String {
    let key = letter
        .key
        .as_ref()
        .map(|key| String::from_utf8_lossy(key).escape_debug().to_string());
    let fault = letter
        .fault
        .as_ref()
        .map(|fault| format!("{}: {}", fault.field, fault.rule));
    Pairs(&[
        ("dead letter", letter.id.clone()),
        ("group", letter.group.clone()),
        (
            "event",
            letter.position.as_ref().map(words::position).unwrap_or_default(),
        ),
        ("key", words::or_dash(key)),
        ("published", words::time(letter.log_time.as_ref())),
        ("given up", words::time(letter.dead_letter_time.as_ref())),
        ("reason", reason(letter)),
        ("detail", or_dash(&words::one_line(&letter.detail, usize::MAX))),
        ("attempts", letter.attempts.to_string()),
        ("failures", letter.failures.to_string()),
        ("first failure", words::time(letter.first_failure_time.as_ref())),
        ("last failure", words::time(letter.last_failure_time.as_ref())),
        ("client", or_dash(&letter.client_id)),
        ("behind", or_dash(&letter.behind)),
        ("before that", or_dash(&letter.parent)),
        ("state", state(letter)),
        ("since", words::time(letter.state_time.as_ref())),
        ("by", or_dash(&letter.state_by)),
        ("because", or_dash(&words::one_line(&letter.state_reason, usize::MAX))),
        ("redrive", or_dash(&letter.redrive_id)),
        ("fault", words::or_dash(fault)),
    ])
    .to_string()
}

/// `TOO_LARGE` as `too large`.
fn reason(letter: &DeadLetter) -> String {
    plain(letter.reason().as_str_name(), "DEAD_LETTER_REASON_")
}

fn state(letter: &DeadLetter) -> String {
    plain(letter.state().as_str_name(), "DEAD_LETTER_STATE_")
}

fn plain(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

fn or_dash(text: &str) -> String {
    words::or_dash(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tidings::v1::{DeadLetterReason, DeadLetterState};

    #[test]
    fn a_dead_letter_is_shown_in_words() {
        let letter = DeadLetter {
            id: "00000000000000ab".to_owned(),
            reason: DeadLetterReason::TooLarge.into(),
            state: DeadLetterState::Parked.into(),
            detail: "a\nb".to_owned(),
            ..DeadLetter::default()
        };
        let text = text(&letter);
        assert!(text.starts_with("dead letter    00000000000000ab\n"), "{text}");
        assert!(
            text.contains("\nreason         too large\ndetail         a b\n"),
            "{text}"
        );
        assert!(text.contains("\nstate          parked\n"), "{text}");
        let row = table(&[letter]).to_string();
        assert!(row.ends_with(" too large         0  parked  -       a b\n"), "{row}");
    }
}
