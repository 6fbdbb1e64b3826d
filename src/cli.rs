//! The command line: a client of the served API, and nothing else.
//!
//! Results go to stdout, talk goes to stderr, failures become an exit status.

pub mod arguments;
mod publish;
mod subscribe;
mod read;
mod topics;
mod groups;
mod info;
mod bench;
mod client;
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
    let client = Client::connect(global).await?;
    let mut output = Output::stdout(global.output);
    let done = dispatch(command, &client, &mut output).await;
    output.flush().and(done)
}

async fn dispatch(command: ClientCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        ClientCommand::Publish(publish) => publish::run(*publish, client, output).await,
        ClientCommand::Subscribe(subscribe) => subscribe::run(subscribe, client, output).await,
        ClientCommand::Read(read) => read::run(read, client, output).await,
        ClientCommand::Topics(command) => topics::run(command, client, output).await,
        ClientCommand::Groups(command) => groups::run(command, client, output).await,
        ClientCommand::Info => info::run(client, output).await,
        ClientCommand::Bench(command) => bench::run(command, client, output).await,
    }
}
