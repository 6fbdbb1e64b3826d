//! Configuration: defaults, overlaid by a file, the environment and flags; read once, all faults told together.
//!
//! `config/default.toml` is the manual and the defaults at once: it is the lowest layer. Each layer is flattened to key
//! paths, the topmost value of each key is read by its type, and what nobody reads is refused.
//!
//! ```text
//! default.toml < FILE < TIDINGS_SECTION__KEY < flags of serve ──▶ Reader ──▶ Config, or every fault
//! ```

mod sections;
mod delivery;
mod commands;
mod kafka;
mod snapshots;
mod checkpoints;
mod tls;
mod auth;
mod policies;
mod quotas;
mod tenants;
mod telemetry;
mod reader;
mod setting;
mod layer;
mod fault;
pub mod units;

use std::path::{Path, PathBuf};

pub use auth::{Algorithm, Auth, Issuer, Keys, Token};
pub use checkpoints::Checkpoints;
pub use commands::Commands;
pub use delivery::{Delivery, GroupRule, Retry};
pub use fault::{ConfigFault, Origin};
pub use kafka::Kafka;
pub use layer::Override;
pub use policies::Policy;
pub use quotas::{Quota, Who};
pub use reader::Effective;
pub use sections::{AfterDeadLetter, Backend, Embedded, Fsync, Limits, Log, RouteConfig, Server, Topics};
pub use snapshots::{Schedule, Snapshots};
pub use telemetry::{LogFormat, LogLevel, Otlp, OtlpProtocol, Secret, Telemetry};
pub use tls::{ClientAuth, ClientTls, Tls};

use self::{layer::Layer, reader::Reader};
use crate::name::Tenancy;

/// Every key with its meaning and default, as TOML.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// The whole configuration, valid.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub tls: Option<Tls>,
    /// `None` = nobody has to say who they are.
    pub auth: Option<Auth>,
    pub tenants: Tenancy,
    pub log: Log,
    pub routes: Vec<RouteConfig>,
    pub topics: Topics,
    pub delivery: Delivery,
    pub snapshots: Snapshots,
    pub checkpoints: Checkpoints,
    pub commands: Commands,
    pub limits: Limits,
    pub telemetry: Telemetry,
    effective: Vec<Effective>,
    sources: Sources,
}

/// Where a configuration was read from: a file, and what lies over it.
#[derive(Clone, Debug, Default)]
struct Sources {
    file: Option<PathBuf>,
    over: Layer,
}

impl Config {
    /// Reads all layers. `Err` has every fault, in the order of the file's lines, then the environment's, then the flags'.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: impl IntoIterator<Item = Override>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let mut over = layer::from_environment(environment);
        over.extend(layer::from_overrides(overrides));
        Self::from(Sources {
            file: file.map(Path::to_owned),
            over,
        })
    }

    /// Reads the same layers again, as they are now; of the environment and the flags, what they were.
    pub fn again(&self) -> Result<Self, Vec<ConfigFault>> {
        Self::from(self.sources.clone())
    }

    /// The files that say who may call: a change there is taken up while the server runs.
    pub fn files_of_auth(&self) -> Vec<PathBuf> {
        let more = self.auth.as_ref().and_then(|auth| auth.file.clone());
        self.sources.file.iter().cloned().chain(more).collect()
    }

    fn from(sources: Sources) -> Result<Self, Vec<ConfigFault>> {
        let (mut given, faults) = match sources.file.as_deref().map(layer::from_file) {
            None => (Layer::new(), Vec::new()),
            Some(Ok(layer)) => (layer, Vec::new()),
            Some(Err(faults)) => (Layer::new(), faults),
        };
        given.extend(sources.over.clone());
        let mut reader = Reader::new(defaults(), given);
        reader.faults = faults;
        Ok(Self {
            sources,
            ..Self::read(reader)?
        })
    }

    /// What is in force, as TOML, with the place that set each value; secrets are not shown.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = String::new();
        for Effective { key, value, origin } in &self.effective {
            let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
            if of != section {
                section = of.to_owned();
                let gap = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{gap}{}\n", header(of)));
            }
            let value = if is_secret(key) { "\"(secret)\"" } else { value };
            let line = match origin {
                Origin::Default => format!("{name} = {value}\n"),
                origin => format!("{name} = {value}  # {origin}\n"),
            };
            text.push_str(&line);
        }
        text
    }

    fn read(mut reader: Reader) -> Result<Self, Vec<ConfigFault>> {
        let server = sections::server(&mut reader);
        let tls = tls::read(&mut reader);
        let auth = auth::read(&mut reader, tls.as_ref().is_some_and(|tls| tls.client.is_some()));
        let is_closed = |tls: &Tls| auth.is_some() || tls.knows_clients();
        sections::doors(&mut reader, &server, tls.as_ref().is_some_and(is_closed));
        let log = sections::log(&mut reader);
        let mut config = Self {
            tenants: tenants::read(&mut reader, auth.as_ref()),
            routes: sections::routes(&mut reader),
            topics: sections::topics(&mut reader, log.backend),
            server,
            tls,
            auth,
            log,
            delivery: delivery::read(&mut reader),
            snapshots: snapshots::read(&mut reader),
            checkpoints: checkpoints::read(&mut reader),
            commands: commands::read(&mut reader),
            limits: sections::limits(&mut reader),
            telemetry: telemetry::read(&mut reader),
            effective: Vec::new(),
            sources: Sources::default(),
        };
        sections::capacities(&mut reader, &config.limits, &config.log);
        reader.refuse_the_rest();
        if reader.faults.is_empty() {
            config.effective = reader.effective;
            Ok(config)
        } else {
            reader.faults.sort();
            Err(reader.faults)
        }
    }
}

impl Default for Config {
    /// What `config/default.toml` says.
    fn default() -> Self {
        Self::read(Reader::new(defaults(), Layer::new())).expect("the defaults are valid; tested")
    }
}

/// The environment, for [`Config::load`]. Nobody else reads it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text)
}

fn defaults() -> Layer {
    layer::from_toml(DEFAULT, |_| Origin::Default).expect("default.toml is TOML; tested")
}

/// `routes[0]` is the first of `[[routes]]`; `auth.policies[0].claims` a table within one.
fn header(section: &str) -> String {
    match section.split_once('[') {
        Some((name, rest)) => match rest.split_once("].") {
            Some((_, within)) => format!("[{name}.{within}]"),
            None => format!("[[{name}]]"),
        },
        None => format!("[{section}]"),
    }
}

fn is_secret(key: &str) -> bool {
    // Who has a token is none; a digest hides itself.
    if key.starts_with("auth.tokens[") || key.starts_with("tokens[") {
        return false;
    }
    ["password", "secret", "token", "pem", "oauthbearer.config"]
        .iter()
        .any(|word| key.contains(word))
        || snapshots::is_secret(key)
        || telemetry::is_secret(key)
}

#[cfg(test)]
mod tests;
