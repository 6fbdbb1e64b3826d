//! TLS to the server: whom we believe, and who we are.

use std::path::Path;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{
    arguments::Global,
    failure::{Failure, Result},
};

/// Without `--ca` the authorities are this machine's.
pub(super) fn config(global: &Global) -> Result<ClientTlsConfig> {
    let config = match &global.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca", ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match (&global.cert, &global.tls_key) {
        (None, None) => Ok(config),
        (Some(certificate), Some(key)) => {
            let identity = Identity::from_pem(read("--cert", certificate)?, read("--key", key)?);
            Ok(config.identity(identity))
        }
        (Some(_), None) => Err(Failure::usage("--cert needs its key: --key FILE")),
        (None, Some(_)) => Err(Failure::usage("--key needs its certificate: --cert FILE")),
    }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{flag} {}: {error}", path.display())))
}
