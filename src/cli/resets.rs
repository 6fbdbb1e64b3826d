//! `tidings resets`: plan, apply, undo, list and show.

mod show;
mod target;

use clap::{Args, Subcommand};

use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
    words,
};
use crate::proto::tidings::v1::{
    ApplyResetRequest, GetResetPlanRequest, GetResetRequest, ListResetsRequest, PlanResetRequest, Reset, Target,
    TopicPartition, UndoResetRequest,
};

#[derive(Debug, Subcommand)]
pub enum ResetsCommand {
    /// Shows what a reset would do, and keeps the plan for an hour; nothing is moved
    Plan(Plan),
    /// Applies a plan to the group, which may be running
    Apply {
        /// As `resets plan` prints it
        plan: String,
        /// Why; it is kept with the reset
        #[arg(long)]
        reason: String,
        /// Makes the command repeatable: the same id is applied once
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
    /// Puts a group back where it stood before its last reset; what was acked since stays acked
    Undo {
        reset: String,
        /// Why; it is kept with the reset
        #[arg(long)]
        reason: String,
        /// Show the plan, and move nothing
        #[arg(long)]
        dry_run: bool,
        /// Makes the command repeatable: the same id is applied once
        #[arg(long, default_value = "", hide_default_value = true)]
        request_id: String,
    },
    /// Lists resets, newest first
    List {
        /// Only those of this group
        #[arg(long, default_value = "", hide_default_value = true)]
        group: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        max: u64,
    },
    /// Shows a reset: why, by whom, and what it did to each partition
    Show { reset: String },
}

#[derive(Debug, Args)]
pub struct Plan {
    group: String,
    /// Where to: earliest, latest, a time (2026-01-31T12:00:00Z), +N or -N events, group:NAME or
    /// snapshot:NAME (where that stands), undo:RESET_ID, or positions: TOPIC/PARTITION/OFFSET, several with commas
    #[arg(long, value_name = "TARGET", value_parser = target::parse, allow_hyphen_values = true)]
    to: Target,
    /// Only this topic; may be given several times. A group that does not exist is created with these
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only this partition; may be given several times
    #[arg(long = "partition", value_name = "TOPIC/PARTITION", value_parser = words::parse_partition)]
    partitions: Vec<TopicPartition>,
    /// Why
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(command: ResetsCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        ResetsCommand::Plan(plan) => self::plan(plan, client, output).await,
        ResetsCommand::Apply {
            plan,
            reason,
            request_id,
        } => apply(plan, (reason, request_id), client, output).await,
        ResetsCommand::Undo {
            reset,
            reason,
            dry_run,
            request_id,
        } => {
            let request = UndoResetRequest {
                reset_id: reset,
                reason,
                validate_only: dry_run,
                request_id,
            };
            undo(request, client, output).await
        }
        ResetsCommand::List { group, max } => list(group, max, client, output).await,
        ResetsCommand::Show { reset } => show(reset, client, output).await,
    }
}

async fn plan(plan: Plan, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("plan a reset of group {}", plan.group);
    let request = PlanResetRequest {
        group: plan.group,
        topics: plan.topics,
        partitions: plan.partitions,
        target: Some(plan.to),
        reason: plan.reason,
    };
    let answer = client.offsets().plan_reset(request).await;
    let plan = answer
        .map_err(Failure::call(what))?
        .into_inner()
        .plan
        .unwrap_or_default();
    output.one(show::plan(&plan), &plan)?;
    tell(format!(
        "nothing is moved yet; to apply: tidings resets apply {} --reason …",
        plan.id
    ));
    Ok(())
}

/// The hash is that of the plan that the id names: it is what was seen.
async fn apply(id: String, (reason, request_id): (String, String), client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("apply plan {id}");
    let plan = client
        .offsets()
        .get_reset_plan(GetResetPlanRequest { plan_id: id.clone() })
        .await;
    let plan = plan
        .map_err(Failure::call(&what))?
        .into_inner()
        .plan
        .unwrap_or_default();
    let request = ApplyResetRequest {
        plan_id: id,
        hash: plan.hash,
        reason,
        request_id,
    };
    let answer = client.offsets().apply_reset(request).await;
    let reset = answer
        .map_err(Failure::call(what))?
        .into_inner()
        .reset
        .unwrap_or_default();
    show_done(&reset, output)
}

async fn undo(request: UndoResetRequest, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("undo reset {}", request.reset_id);
    let answer = client.offsets().undo_reset(request).await;
    let answer = answer.map_err(Failure::call(what))?.into_inner();
    match answer.reset {
        Some(reset) => show_done(&reset, output),
        None => {
            let plan = answer.plan.unwrap_or_default();
            output.one(show::plan(&plan), &plan)?;
            tell(format!(
                "nothing is moved yet; to apply: tidings resets apply {} --reason …",
                plan.id
            ));
            Ok(())
        }
    }
}

async fn list(group: String, max: u64, client: &Client, output: &mut Output) -> Result<()> {
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    let mut request = ListResetsRequest {
        group,
        page_size: i32::try_from(max.min(1_000)).unwrap_or(1_000),
        page_token: String::new(),
    };
    let mut resets = Vec::new();
    while resets.len() < most {
        let page = client.offsets().list_resets(request.clone()).await;
        let page = page.map_err(Failure::call("list resets"))?.into_inner();
        resets.extend(page.resets);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    resets.truncate(most);
    output.rows(&show::table(&resets), &resets)
}

async fn show(reset_id: String, client: &Client, output: &mut Output) -> Result<()> {
    let what = format!("show reset {reset_id}");
    let answer = client.offsets().get_reset(GetResetRequest { reset_id }).await;
    let reset = answer
        .map_err(Failure::call(what))?
        .into_inner()
        .reset
        .unwrap_or_default();
    output.one(show::reset(&reset), &reset)
}

fn show_done(reset: &Reset, output: &mut Output) -> Result<()> {
    output.one(show::reset(reset), reset)?;
    tell(format!("to take it back: tidings resets undo {} --reason …", reset.id));
    Ok(())
}
