//! `tidings dead-letters redrive` and `discard`: the call, and what it did.

use super::{plain, table};
use crate::{
    cli::{
        client::Client,
        failure::{Failure, Result},
        output::{Output, tell},
        table::Table,
    },
    proto::tidings::v1::{DeadLetter, DeadLetterResult, DiscardDeadLettersRequest, RedriveDeadLettersRequest},
};

pub(super) async fn redrive(request: RedriveDeadLettersRequest, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("redrive dead letters of group {}", request.group);
    let is_trial = request.validate_only;
    let answer = client.dead_letters().redrive_dead_letters(request).await;
    let answer = answer.map_err(Failure::call(&what))?.into_inner();
    if is_trial {
        show_sample(
            &format!("would redrive {}", letters(answer.count)),
            &answer.sample,
            output,
        )?;
    } else {
        show_results(&answer.results, output)?;
        let id = &answer.redrive_id;
        tell(format!("redrives {} as {id}", letters(answer.count)));
    }
    some(answer.count, &what)
}

pub(super) async fn discard(request: DiscardDeadLettersRequest, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("discard dead letters of group {}", request.group);
    let is_trial = request.validate_only;
    let answer = client.dead_letters().discard_dead_letters(request).await;
    let answer = answer.map_err(Failure::call(&what))?.into_inner();
    let freed = match answer.freed_count {
        0 => String::new(),
        freed => format!(", redrives {} that waited behind them", letters(freed)),
    };
    if is_trial {
        let text = format!("would discard {}{freed}", letters(answer.count));
        show_sample(&text, &answer.sample, output)?;
    } else {
        show_results(&answer.results, output)?;
        tell(format!("discarded {}{freed}", letters(answer.count)));
    }
    some(answer.count, &what)
}

fn show_sample(text: &str, sample: &[DeadLetter], output: &mut Output) -> Result<()> {
    tell(text);
    output.rows(&table(sample), sample)
}

fn show_results(results: &[DeadLetterResult], output: &mut Output) -> Result<()> {
    let mut table = Table::new(&["ID", "OUTCOME"]);
    for result in results {
        let outcome = plain(result.outcome().as_str_name(), "DEAD_LETTER_OUTCOME_");
        table.row([result.id.clone(), outcome]);
    }
    output.rows(&table, results)
}

fn some(count: i64, what: &str) -> Result<()> {
    match count {
        0 => Err(Failure::NotFound(format!("{what}: none that was meant is parked"))),
        _ => Ok(()),
    }
}

/// `1 letter`, `2 letters`
fn letters(count: i64) -> String {
    match count {
        1 => "1 letter".to_owned(),
        count => format!("{count} letters"),
    }
}
