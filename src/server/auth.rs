//! Who calls and what they may, as configured: built at the start, and again when its files change or SIGHUP asks for it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    signal::unix::Signal,
    sync::watch,
    task::spawn_blocking,
    time::{Interval, interval},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{keys, reload};
use crate::{
    auth::{
        self, Access, Auth, Digest, Identity, IssuerRules, KeyRing, Owner, Policies, Policy, Quota, Quotas, Tokens,
        Who, Wildcard,
    },
    config::{self, Config},
    error::{Error, Reason, Result},
    name::Tenancy,
};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// `None` = nobody has to say who they are. The configuration is followed until `stop`.
pub(super) fn open(config: &Config, tasks: &TaskTracker, stop: &CancellationToken) -> Result<Option<Auth>> {
    let Some(settings) = &config.auth else {
        return Ok(None);
    };
    let mut issuers = Issuers {
        tasks: tasks.clone(),
        stop: stop.clone(),
        tenancy: Arc::new(config.tenants.clone()),
        open: Vec::new(),
    };
    let (told, current) = watch::channel(Arc::new(issuers.access(settings)?));
    let following = Following {
        contents: contents(&config.files_of_auth()),
        config: config.clone(),
        issuers,
        told,
        wakes: (interval(LOOK), reload::hangup()?),
    };
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = following.follow() => {}
        }
    });
    Ok(Some(Auth::new(current)))
}

struct Following {
    config: Config,
    contents: Vec<Option<Vec<u8>>>,
    issuers: Issuers,
    told: watch::Sender<Arc<Access>>,
    wakes: (Interval, Signal),
}

impl Following {
    async fn follow(mut self) {
        loop {
            let (looks, hangup) = &mut self.wakes;
            let is_asked = tokio::select! {
                _ = looks.tick() => false,
                _ = hangup.recv() => true,
            };
            let files = self.config.files_of_auth();
            let found = spawn_blocking(move || contents(&files)).await.unwrap_or_default();
            if !is_asked && found == self.contents {
                continue;
            }
            // Also what is no good is told once.
            self.contents = found;
            match self.reload() {
                Ok(()) => tracing::info!("who may call, and what, is as the configuration says now"),
                Err(error) => {
                    tracing::error!(%error, "the configuration of who may call is no good; what was before stays in force");
                }
            }
        }
    }

    fn reload(&mut self) -> Result<()> {
        let config = self.config.again().map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Error::new(Reason::RequestInvalid, faults.join("; "))
        })?;
        let none = || {
            let text = "[auth] asks nobody who they are any more: that takes a new start";
            Error::new(Reason::RequestInvalid, text)
        };
        let access = self.issuers.access(config.auth.as_ref().ok_or_else(none)?)?;
        self.told.send_replace(Arc::new(access));
        let files = config.files_of_auth();
        // What the others had was read before they were: a change in between is seen next time.
        if files != self.config.files_of_auth() {
            self.contents = contents(&files);
        }
        self.config = config;
        Ok(())
    }
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Issuers whose keys are kept up to date; those that stay as they were keep what they have.
struct Issuers {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// As the bus has it, which takes it up at the start.
    tenancy: Arc<Tenancy>,
    open: Vec<Open>,
}

struct Open {
    settings: config::Issuer,
    issuer: Arc<auth::Issuer>,
    _ended_on_drop: DropGuard,
}

impl Issuers {
    fn access(&mut self, settings: &config::Auth) -> Result<Access> {
        Ok(Access {
            identity: self.identity(settings)?,
            policies: Policies::new(settings.policies.iter().map(policy), Arc::clone(&self.tenancy)),
            quotas: Quotas::new(settings.quotas.iter().map(quota)),
        })
    }

    fn identity(&mut self, settings: &config::Auth) -> Result<Identity> {
        let is_new = |settings: &&config::Issuer| self.open.iter().all(|known| known.settings != **settings);
        let new = settings
            .issuers
            .iter()
            .filter(is_new)
            .map(|settings| self.begin(settings));
        // First: where one cannot begin, all that are in force go on.
        let new: Vec<Open> = new.collect::<Result<_>>()?;
        self.open.extend(new);
        self.open.retain(|known| settings.issuers.contains(&known.settings));
        let tokens = settings.tokens.iter();
        Ok(Identity {
            tokens: Tokens::new(tokens.map(owner)),
            issuers: self.open.iter().map(|open| Arc::clone(&open.issuer)).collect(),
            certificates: settings.certificates,
            certificate_tenant: settings.certificate_tenant.clone(),
        })
    }

    fn begin(&self, settings: &config::Issuer) -> Result<Open> {
        let keys = Arc::new(KeyRing::new(keys::pause(&settings.keys)));
        let source = keys::Source::new(settings)?;
        let end = self.stop.child_token();
        self.tasks.spawn(keys::keep(source, Arc::clone(&keys), end.clone()));
        Ok(Open {
            issuer: Arc::new(auth::Issuer::new(rules(settings), keys)),
            settings: settings.clone(),
            _ended_on_drop: end.drop_guard(),
        })
    }
}

fn quota(settings: &config::Quota) -> Quota {
    let wildcards = |texts: &[String]| texts.iter().map(|text| Wildcard::new(text)).collect();
    Quota {
        who: match &settings.who {
            config::Who::Tenants(names) => Who::Tenants(wildcards(names)),
            config::Who::Principals(names) => Who::Principals(wildcards(names)),
        },
        publish_events_per_second: settings.publish_events_per_second,
        publish_bytes_per_second: settings.publish_bytes_per_second.map(|bytes| bytes.0 as f64),
        streams: settings
            .streams
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        outstanding_bytes: settings
            .outstanding_bytes
            .map(|bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX)),
        replay_events_per_second: settings.replay_events_per_second,
    }
}

fn owner(token: &config::Token) -> (Digest, Owner) {
    let owner = Owner {
        name: token.name.clone(),
        tenant: token.tenant.clone(),
    };
    (Digest(token.sha256), owner)
}

fn policy(settings: &config::Policy) -> Policy {
    let claim = |(path, wanted): &(String, String)| (path.clone(), Wildcard::new(wanted));
    Policy {
        principals: settings.principals.iter().map(|text| Wildcard::new(text)).collect(),
        claims: settings.claims.iter().map(claim).collect(),
        tenants: settings
            .tenants
            .as_ref()
            .map(|tenants| tenants.iter().map(|text| Wildcard::new(text)).collect()),
        verbs: settings.verbs.clone(),
        topics: settings.topics.clone(),
        groups: settings.groups.clone(),
        checkpoints: settings.checkpoints.clone(),
    }
}

fn rules(settings: &config::Issuer) -> IssuerRules {
    IssuerRules {
        name: settings.name.clone(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        algorithms: settings.algorithms.iter().map(algorithm).collect(),
        subject: settings.subject.clone(),
        tenant: settings.tenant.clone(),
        leeway: settings.leeway,
    }
}

fn algorithm(algorithm: &config::Algorithm) -> auth::Algorithm {
    match algorithm {
        config::Algorithm::Rs256 => auth::Algorithm::RS256,
        config::Algorithm::Rs384 => auth::Algorithm::RS384,
        config::Algorithm::Rs512 => auth::Algorithm::RS512,
        config::Algorithm::Ps256 => auth::Algorithm::PS256,
        config::Algorithm::Ps384 => auth::Algorithm::PS384,
        config::Algorithm::Ps512 => auth::Algorithm::PS512,
        config::Algorithm::Es256 => auth::Algorithm::ES256,
        config::Algorithm::Es384 => auth::Algorithm::ES384,
        config::Algorithm::EdDsa => auth::Algorithm::EdDSA,
    }
}
