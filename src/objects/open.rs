//! From an URL and its options to a store; all faults are told together.

use std::{path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    prefix::PrefixStore,
};
use url::Url;

use super::{Inner, Objects, local};
use crate::error::{Error, Fault, Reason, Result};

/// Where the store is.
#[derive(Clone)]
pub struct Options {
    /// `file:///path`, `s3://bucket/path`, `gs://bucket/path`, `az://container/path`.
    pub url: String,
    /// As the crate `object_store` names them, with their secrets.
    pub options: Vec<(String, String)>,
}

/// What a call may take altogether, with its repetitions.
const PATIENCE: Duration = Duration::from_secs(30);
const REPETITIONS: usize = 4;

impl Objects {
    /// A directory as a store.
    pub fn in_directory(directory: PathBuf) -> Result<Self> {
        let absolute = std::path::absolute(&directory).map_err(|error| {
            let rule = format!("{} is no path: {error}", directory.display());
            Error::fault(Reason::RequestInvalid, "snapshots.store", rule)
        })?;
        let store = local::open(&absolute).map_err(|error| refused(&[url_fault(error)]))?;
        let place = absolute.display().to_string();
        Ok(Self::of(store, Some(absolute), place))
    }

    /// Asks nothing of the store: it need not be reachable yet.
    pub fn open(options: &Options) -> Result<Self> {
        let url = Url::parse(&options.url).map_err(|error| refused(&[url_fault(error)]))?;
        let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !is_bare || url.fragment().is_some() {
            let rule = "has no user, query or fragment: credentials stand in snapshots.options";
            return Err(refused(&[Fault::new("snapshots.store", rule)]));
        }
        let known = ObjectStoreScheme::parse(&url).map_err(|error| refused(&[url_fault(error)]))?;
        let (store, prefix) = match known {
            (ObjectStoreScheme::Local, _) => return in_file_url(&url, options),
            (ObjectStoreScheme::AmazonS3, prefix) => (s3(options)?, prefix),
            (ObjectStoreScheme::GoogleCloudStorage, prefix) => (google(options)?, prefix),
            (ObjectStoreScheme::MicrosoftAzure, prefix) => (azure(options)?, prefix),
            _ => return Err(refused(&[url_fault("begins with file:, s3:, gs: or az:")])),
        };
        Ok(Self::of(PrefixStore::new(store, prefix), None, options.url.clone()))
    }

    fn of(store: PrefixStore<Arc<dyn ObjectStore>>, directory: Option<PathBuf>, place: String) -> Self {
        Self(Arc::new(Inner {
            store,
            directory,
            place,
        }))
    }
}

fn in_file_url(url: &Url, options: &Options) -> Result<Objects> {
    let unknown = options.options.iter().map(|(name, _)| unknown(name));
    let faults: Vec<Fault> = unknown.collect();
    match url.to_file_path() {
        Ok(path) if faults.is_empty() => Objects::in_directory(path),
        Ok(_) => Err(refused(&faults)),
        Err(()) => Err(refused(&[url_fault(
            "is no path of this machine; such is file:///path",
        )])),
    }
}

fn s3(options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new().with_url(&options.url).with_retry(retry());
    for (key, value) in known::<AmazonS3ConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(unusable)?))
}

fn google(options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_url(&options.url)
        .with_retry(retry());
    for (key, value) in known::<GoogleConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(unusable)?))
}

fn azure(options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new().with_url(&options.url).with_retry(retry());
    for (key, value) in known::<AzureConfigKey>(options)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(unusable)?))
}

/// The options by their keys, or a fault for each that no such store has.
fn known<K: std::str::FromStr>(options: &Options) -> Result<Vec<(K, String)>> {
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for (name, value) in &options.options {
        match name.parse() {
            Ok(key) => keys.push((key, value.clone())),
            Err(_) => faults.push(unknown(name)),
        }
    }
    match faults.is_empty() {
        true => Ok(keys),
        false => Err(refused(&faults)),
    }
}

fn unknown(name: &str) -> Fault {
    let rule = "is no option of this kind of store; docs/state.md tells where they are listed";
    Fault::new(format!("snapshots.options.{name}"), rule)
}

fn unusable(error: object_store::Error) -> Error {
    let rule = format!("cannot be used with these options: {error}");
    refused(&[Fault::new("snapshots.store", rule)])
}

fn url_fault(cause: impl std::fmt::Display) -> Fault {
    let rule = format!("must be an URL such as s3://bucket/path or file:///path: {cause}");
    Fault::new("snapshots.store", rule)
}

fn refused(faults: &[Fault]) -> Error {
    Error::faults(Reason::RequestInvalid, faults.to_vec())
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: REPETITIONS,
        retry_timeout: PATIENCE,
    }
}
