//! The keys of an issuer, from a file or from its server: at the start, then and again, and when somebody wants them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, Url, redirect};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::KeyRing,
    config::{Issuer, Keys},
    error::{Error, Reason, Result},
};

/// A file may be asked for more often than somebody else's server.
const PAUSE_OF_FILE: Duration = Duration::from_secs(1);
const PAUSE_OF_URL: Duration = Duration::from_secs(10);
/// How often a file is looked at: it is there, and costs nobody anything.
const LOOK: Duration = Duration::from_secs(2);
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 1024 * 1024;

/// The least time between two looks.
pub(super) fn pause(keys: &Keys) -> Duration {
    match keys {
        Keys::File(_) => PAUSE_OF_FILE,
        Keys::Url { .. } => PAUSE_OF_URL,
    }
}

/// Where keys come from.
pub(super) struct Source {
    issuer: String,
    place: Place,
    /// Between two looks that nobody asked for.
    refresh: Duration,
    pause: Duration,
}

enum Place {
    File(PathBuf),
    Server(Client, Url),
}

impl Source {
    pub(super) fn new(settings: &Issuer) -> Result<Self> {
        let (place, refresh) = match &settings.keys {
            Keys::File(path) => (Place::File(path.clone()), LOOK),
            Keys::Url { url, ca } => {
                let wrong = |key: &str, error: &dyn std::fmt::Display| {
                    let name = &settings.name;
                    Error::new(Reason::RequestInvalid, format!("{key} of the issuer {name}: {error}"))
                };
                let url = Url::parse(url).map_err(|error| wrong("keys_url", &error))?;
                let ca = ca.as_ref().map(std::fs::read).transpose();
                let ca = ca.map_err(|error| wrong("keys_ca", &error))?;
                let client = client(ca.as_deref()).map_err(|error| wrong("keys_ca", &error))?;
                (Place::Server(client, url), settings.refresh)
            }
        };
        Ok(Self {
            issuer: settings.name.clone(),
            place,
            refresh,
            pause: pause(&settings.keys),
        })
    }

    async fn load(&self) -> Result<Vec<u8>, String> {
        match &self.place {
            Place::File(path) => tokio::fs::read(path).await.map_err(|error| error.to_string()),
            Place::Server(client, url) => match timeout(PATIENCE, fetch(client, url)).await {
                Ok(fetched) => fetched,
                Err(_) => Err("no answer in time".to_owned()),
            },
        }
    }
}

/// It follows nobody elsewhere, and speaks with nobody in the clear.
fn client(ca: Option<&[u8]>) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .https_only(true)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(PATIENCE);
    match ca {
        Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem)?).build(),
        None => builder.build(),
    }
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, String> {
    let answer = client.get(url.clone()).send().await;
    let mut answer = answer
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| innermost(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| innermost(&error))? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(format!("the answer has more than {MOST_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// Keeps a ring up to date until `end`.
pub(super) async fn keep(source: Source, ring: Arc<KeyRing>, end: CancellationToken) {
    let keep = async {
        let (mut last, mut fault) = (Vec::new(), String::new());
        loop {
            match source.load().await {
                Ok(found) if found == last => ring.looked(),
                Ok(found) => {
                    let taken = ring.put(&found);
                    last = found;
                    tell(&source, &taken, &mut fault);
                }
                Err(error) => {
                    ring.looked();
                    tell(&source, &Err(error), &mut fault);
                }
            }
            // However much somebody wants them, the issuer is left alone for a while.
            sleep(source.pause).await;
            tokio::select! {
                () = ring.wanted() => {}
                () = sleep(source.refresh.saturating_sub(source.pause)) => {}
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = keep => {}
    }
}

/// The same fault is told once.
fn tell(source: &Source, taken: &Result<(), String>, fault: &mut String) {
    let issuer = &source.issuer;
    match taken {
        Ok(()) => tracing::info!(issuer, "the keys of the issuer {issuer} are as it says now"),
        Err(error) if error != fault => {
            tracing::error!(
                issuer,
                error,
                "no keys of the issuer {issuer}: {error}; those of before stay in force"
            );
        }
        Err(_) => {}
    }
    *fault = taken.as_ref().err().cloned().unwrap_or_default();
}
