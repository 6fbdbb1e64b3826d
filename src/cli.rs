//! The command line: a client of the served API, and nothing else.
//!
//! Results go to stdout, talk goes to stderr, failures become an exit status.

pub mod arguments;
mod publish;
mod subscribe;
mod read;
mod topics;
mod groups;
mod resets;
mod replays;
mod dead_letters;
mod snapshots;
mod restore;
mod checkpoints;
mod commands;
mod info;
mod bench;
mod client;
mod tls;
mod event;
mod json;
mod table;
mod words;
mod progress;
pub mod output;
pub mod failure;
pub mod stop;

use self::{
    arguments::{ClientCommand, Global},
    client::Client,
    failure::Result,
    output::Output,
};

/// Runs one command against a server. What it printed before it failed is printed.
pub async fn run(command: ClientCommand, global: &Global) -> Result<()> {
    let mut output = Output::stdout(global.output);
    let done = dispatch(command, global, &mut output).await;
    output.flush().and(done)
}

/// What can be refused without a server is refused before one is called.
async fn dispatch(command: ClientCommand, global: &Global, output: &mut Output) -> Result<()> {
    let connect = async || Client::connect(global).await;
    match command {
        ClientCommand::Publish(publish) => {
            let work = publish.prepare()?;
            work.run(&connect().await?, output).await
        }
        ClientCommand::Read(read) => {
            let request = read.prepare();
            read::run(request, &connect().await?, output).await
        }
        ClientCommand::Subscribe(subscribe) => subscribe::run(subscribe, &connect().await?, output).await,
        ClientCommand::Topics(command) => topics::run(command, &connect().await?, output).await,
        ClientCommand::Groups(command) => groups::run(command, &connect().await?, output).await,
        ClientCommand::Resets(command) => resets::run(command, &connect().await?, output).await,
        ClientCommand::Replays(command) => replays::run(command, &connect().await?, output).await,
        ClientCommand::DeadLetters(command) => dead_letters::run(command, &connect().await?, output).await,
        ClientCommand::Snapshots(command) => snapshots::run(command, &connect().await?, output).await,
        ClientCommand::Restore(restore) => {
            let request = restore.prepare();
            restore::run(request, &connect().await?, output).await
        }
        ClientCommand::Checkpoints(command) => checkpoints::run(command, &connect().await?, output).await,
        ClientCommand::Commands(command) => {
            let request = command.prepare()?;
            commands::run(request, &connect().await?, output).await
        }
        ClientCommand::Info => info::run(&connect().await?, output).await,
        ClientCommand::Bench(command) => bench::run(command, &connect().await?, output).await,
    }
}

#[cfg(test)]
mod tests;
