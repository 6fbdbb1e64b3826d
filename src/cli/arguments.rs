//! The command line's grammar: flags, commands, and what each is for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    bench::BenchCommand, checkpoints::CheckpointsCommand, commands::CommandsCommand, dead_letters::DeadLettersCommand,
    groups::GroupsCommand, publish::Publish, read::Read, replays::ReplaysCommand, resets::ResetsCommand,
    restore::Restore, snapshots::SnapshotsCommand, subscribe::Subscribe, topics::TopicsCommand,
};

/// Tidings: an event bus. CloudEvents in and out over gRPC, on a durable log.
///
/// Exit status: 0 done, 1 failed, 2 not found or nothing matched, 64 bad usage.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, max_term_width = 120)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or behind its name.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The server: host:port or http://host:port
    #[arg(
        long,
        global = true,
        env = "TIDINGS_SERVER",
        default_value = "http://127.0.0.1:4480",
        value_name = "ADDRESS"
    )]
    pub server: String,
    /// The bearer token to send with each call
    #[arg(long, global = true, env = "TIDINGS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The authorities (PEM) that sign servers' certificates, in place of the machine's; with it the server is spoken to by TLS
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The client's certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The key of the client's certificate; behind `publish`, --key is the event's and this is --tls-key
    #[arg(long = "key", alias = "tls-key", global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Text for people, or one JSON object a line for scripts
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub output: Format,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the bus
    Serve(Serve),
    #[command(flatten)]
    Client(ClientCommand),
    /// Shows and checks configurations
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks through an embedded log's files
    #[command(subcommand)]
    Log(LogCommand),
    /// Prints a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Commands that call a server.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Publishes one event, or many from a file
    Publish(Box<Publish>),
    /// Receives a group's events: prints, then acks
    Subscribe(Subscribe),
    /// Prints events, without a group
    Read(Read),
    /// Topics: list, show, create, delete
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Groups: list, show
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Resets of groups: plan, apply, undo, list, show
    #[command(subcommand)]
    Resets(ResetsCommand),
    /// Replays of past events to groups: start, show, list, stop
    #[command(subcommand)]
    Replays(ReplaysCommand),
    /// Dead letters: list, show, redrive, discard
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Prints the state of topics, the newest event of each key, from a snapshot where there is one
    Restore(Restore),
    /// Snapshots of topics: create, list, show, delete
    #[command(subcommand)]
    Snapshots(SnapshotsCommand),
    /// States that clients keep: list, show, put, delete
    #[command(subcommand)]
    Checkpoints(CheckpointsCommand),
    /// Commands to services: send
    #[command(subcommand)]
    Commands(CommandsCommand),
    /// Tells what the server is and what its limits are
    Info,
    /// Measures throughput and latency against a running server
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub sources: Sources,
}

/// Where a configuration comes from, beside the environment.
#[derive(Debug, Args)]
pub struct Sources {
    /// The configuration file (TOML); `tidings config default` prints one with all keys
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory of the log [log.embedded.directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Stand on Apache Kafka, reached at these brokers: host:port, several with commas [log.kafka.bootstrap_servers]
    #[arg(long, value_name = "BROKERS", conflicts_with = "data")]
    pub kafka: Option<String>,
    /// The address that clients reach the bus at [server.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Says what is there, what is damaged, and what would be lost by cutting; changes nothing. No server may have it open
    Verify {
        /// The directory of the log
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every key with its meaning and default: the manual
    Default,
    /// Reports every fault of a configuration file, overlaid by the environment as `serve` would
    Check {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints what is in force, and where each value comes from
    Show(Sources),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn good_lines_are_taken() {
        for line in [
            "serve --data d --listen 127.0.0.1:0",
            "publish --type t --source s --key k --ext a=b --ext c=d",
            "publish --from - --output json",
            "--output json publish --from f --topic t",
            "subscribe --group g a b --max 3 --from latest --exec true --client-id c",
            "subscribe --server h:1 --group g a --from 2026-01-01T00:00:00Z",
            "read t --until latest --follow",
            "topics create t --partitions 3 --retention 7d --retention-bytes 1GiB --compact",
            "topics delete t --yes",
            "groups show g",
            "resets plan g --to -70 --topic t --partition t/0 --reason r",
            "resets plan g --to 2026-01-01T00:00:00Z --reason r",
            "resets apply p --reason r --request-id q",
            "resets undo p --reason r --dry-run",
            "resets list --group g --max 3",
            "resets show p",
            "replays start --group g --topic t --topic a.* --from t/0/5,t/1/7 --until 2026-01-01T00:00:00Z --reason r",
            "replays start --group g --filter true --rate 0.5 --reason r --request-id q --wait",
            "replays show p",
            "replays list --group g --max 3",
            "replays stop p --reason r",
            "dead-letters list --group g --topic t --why too-large --state parked --max 5",
            "dead-letters show 00000000000000ab --payload",
            "dead-letters redrive --group g a b --dry-run",
            "dead-letters discard --group g --all --from 2026-01-01T00:00:00Z --reason x --request-id r",
            "restore t 'a.*' --since 2026-01-01T00:00:00Z --follow --whole",
            "snapshots create t --reason r --request-id q",
            "snapshots list",
            "snapshots list t --max 3",
            "snapshots show t@00000000000000000000000000000000",
            "snapshots delete t@00000000000000000000000000000000 --reason r",
            "resets plan g --to snapshot:t --reason r",
            "subscribe --group g a --from checkpoint:c@2",
            "checkpoints list c --max 3",
            "checkpoints show c@3 --data -",
            "checkpoints put c --data - --at t/0/5,t/1/0 --group g --epoch 0 --expect 0 --label a=b --request-id r",
            "checkpoints delete c --reason r --expect 3",
            "commands send restore --group g --data {} --timeout 5m --reason r",
            "commands send version --instance i --type t.T --data @f",
            "subscribe --group g t --exec-command cat",
            "bench publish --unary --callers 4 --rate 100",
            "bench subscribe --group g --streams 2",
            "config check f",
            "completions bash",
            "info --token x",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn bad_lines_are_refused() {
        for line in [
            "",
            "nonsense",
            "publish",
            "publish --type t",
            "publish --from f --type t",
            "publish --type t --source s --ext a",
            "subscribe a",
            "subscribe --group g",
            "subscribe --group g t --max 0",
            "subscribe --group g t --from yesterday",
            "read",
            "read t --until earliest",
            "topics create t --partitions 0",
            "topics create t --retention 7",
            "bench publish --unary --streams 2",
            "restore",
            "restore t --since yesterday",
            "snapshots create",
            "snapshots delete t@00000000000000000000000000000000",
            "resets plan g --to now --reason r",
            "resets plan g --to latest",
            "resets apply p",
            "replays start --group g",
            "replays start --reason r",
            "replays start --group g --reason r --from yesterday",
            "replays start --group g --reason r --until earliest",
            "replays start --group g --reason r --rate fast",
            "replays start --group g --reason r --rate 0",
            "replays stop p",
            "dead-letters list",
            "dead-letters discard --group g a",
            "dead-letters list --group g --state lost",
            "checkpoints show c@0",
            "checkpoints put c",
            "checkpoints put c --data f --group g --at t/0/5",
            "checkpoints put c --data f --epoch 1",
            "checkpoints put c --data f --at t/0",
            "checkpoints put c --data f --label a",
            "checkpoints delete c",
            "commands send --group g",
            "commands send restore",
            "commands send restore --group g --instance i",
            "commands send restore --group g --type t.T",
            "commands send restore --group g --timeout soon",
            "info --output xml",
            "completions klingon",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_record_key_is_not_a_certificate_key() {
        let arguments = parse("--key tls.pem publish --type t --source s --key k").expect("good");
        assert_eq!(arguments.global.tls_key, Some("tls.pem".into()));
        let Command::Client(ClientCommand::Publish(publish)) = arguments.command else {
            panic!("not publish");
        };
        assert_eq!(publish.key.as_deref(), Some("k"));
        assert_eq!(
            parse("info --key tls.pem").expect("good").global.tls_key,
            Some("tls.pem".into())
        );
        assert_eq!(parse("publish --from f --key k").expect("good").global.tls_key, None);
    }

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["tidings"].into_iter().chain(line.split_whitespace()))
    }
}
