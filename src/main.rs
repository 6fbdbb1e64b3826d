//! The program: parse the command line, call one function.

use std::{panic, path::Path, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use tidings::{
    cli::{
        self,
        arguments::{Arguments, Command, ConfigCommand, Format, LogCommand, Serve, Sources},
        failure::{Failure, Result},
        output::{Output, tell},
        stop,
    },
    config::{self, Config, ConfigFault, Override},
    server,
};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let done = match Arguments::try_parse() {
        Ok(arguments) => run(arguments),
        Err(refused) => return refuse(&refused),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(format!("tidings: {failure}"));
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Serve(command) => serve(command),
        Command::Client(command) => runtime()?.block_on(cli::run(command, &arguments.global)),

        Command::Config(command) => configuration(command),
        Command::Log(LogCommand::Verify { data }) => verify(&data, arguments.global.output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tidings", &mut script);
            print(String::from_utf8_lossy(&script))
        }
    }
}

fn serve(command: Serve) -> Result<()> {
    let config = load(command.sources)?;
    let levels = server::log_to_stderr(&config).map_err(|error| Failure::local("serve", error))?;
    panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    runtime()?.block_on(async {
        let stop = stop::on_signal()?;
        let served = server::run(config, levels, stop.cancelled_owned()).await;
        served.map_err(|error| Failure::local("serve", error))
    })
}

/// Ends well only if nothing is damaged.
fn verify(directory: &Path, format: Format) -> Result<()> {
    let report = server::verify_log(directory).map_err(|error| Failure::local("log verify", error))?;
    match format {
        Format::Text => print(&report)?,
        Format::Json => {
            let json = serde_json::to_string(&report).map_err(|error| Failure::local("log verify", error))?;
            print(json)?;
        }
    }
    match report.is_sound() {
        true => Ok(()),
        false => Err(Failure::local("log verify", "the log is damaged")),
    }
}

fn configuration(command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Default => print(config::DEFAULT),
        ConfigCommand::Show(sources) => print(load(sources)?.show()),
        ConfigCommand::Check { file } => {
            Config::load(Some(&file), config::environment(), []).map_err(|faults| faulty(&faults))?;
            tell(format!("{}: no faults", file.display()));
            Ok(())
        }
    }
}

fn load(sources: Sources) -> Result<Config> {
    let flags = [
        ("--data", "log.embedded.directory", sources.data),
        (
            "--kafka",
            "log.backend",
            sources.kafka.as_ref().map(|_| "kafka".to_owned()),
        ),
        ("--kafka", "log.kafka.bootstrap_servers", sources.kafka),
        ("--listen", "server.listen", sources.listen),
    ];
    let set = |(flag, key, value): (_, _, Option<String>)| value.map(|value| Override { flag, key, value });
    let overrides = flags.into_iter().filter_map(set);
    Config::load(sources.config.as_deref(), config::environment(), overrides).map_err(|faults| faulty(&faults))
}

fn faulty(faults: &[ConfigFault]) -> Failure {
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    Failure::Local(format!("the configuration is faulty{}", lines.concat()))
}

fn runtime() -> Result<Runtime> {
    Runtime::new().map_err(|error| Failure::local("start", error))
}

/// Help and version are what was asked for; all else is bad usage.
fn refuse(refused: &clap::Error) -> ExitCode {
    let asked_for = !refused.use_stderr();
    // Clap prints help to stdout and faults to stderr; if nobody listens, nobody needs it.
    let _ = refused.print();
    if asked_for {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(64)
    }
}

fn print(text: impl std::fmt::Display) -> Result<()> {
    let mut output = Output::stdout(Format::Text);
    output.text(text)?;
    output.flush()
}
