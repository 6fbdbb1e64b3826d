//! TLS of the listener: its files, read again when they change. Connections that are open keep what they began with.

use std::{io, path::Path, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{sync::watch, task::spawn_blocking, time::interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{ClientAuth, Tls},
    error::{Error, Reason, Result},
};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// How connections begin now.
pub(super) type Acceptor = watch::Receiver<TlsAcceptor>;

/// What lies in the files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Reads the files, which must be good, and what is to be done until `stop`: read them again when they change. Where they are
/// bad then, those of before stay.
pub(super) fn open(tls: Tls, stop: CancellationToken) -> Result<(Acceptor, impl Future<Output = ()> + Send)> {
    let contents = contents(&tls)?;
    let (acceptor, current) = watch::channel(acceptor(&tls, &contents)?);
    let follow = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow(tls, contents, acceptor) => {}
        }
    };
    Ok((current, follow))
}

async fn follow(tls: Tls, mut known: Contents, current: watch::Sender<TlsAcceptor>) {
    let (tls, mut looks) = (Arc::new(tls), interval(LOOK));
    let mut is_unreadable = false;
    loop {
        looks.tick().await;
        let files = Arc::clone(&tls);
        let read = spawn_blocking(move || contents(&files)).await;
        let found = match read.unwrap_or_else(|error| Err(Error::new(Reason::Internal, error.to_string()))) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut is_unreadable, true) {
                    tracing::error!(%error, "cannot read the files of TLS; those of before stay in force");
                }
                continue;
            }
        };
        is_unreadable = false;
        if found == known {
            continue;
        }
        match acceptor(&tls, &found) {
            Ok(acceptor) => {
                current.send_replace(acceptor);
                tracing::info!(certificate = %tls.certificate.display(), "the files of TLS have changed; new connections use them");
            }
            Err(error) => {
                tracing::error!(%error, "the files of TLS have changed and are no good; those of before stay in force")
            }
        }
        // Also what is no good is told once.
        known = found;
    }
}

fn contents(tls: &Tls) -> Result<Contents> {
    let ca = tls.client.as_ref().map(|client| read("tls.client_ca", &client.ca));
    Ok(Contents {
        certificate: read("tls.certificate", &tls.certificate)?,
        key: read("tls.key", &tls.key)?,
        client_ca: ca.transpose()?,
    })
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| bad(key, path, &error))
}

fn acceptor(tls: &Tls, contents: &Contents) -> Result<TlsAcceptor> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let broken = |error: rustls::Error| bad("tls.certificate", &tls.certificate, &error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let builder = match client_verifier(tls, contents, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates("tls.certificate", &tls.certificate, &contents.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| bad("tls.key", &tls.key, &error))?;
    // It is checked too that the key is that of the certificate.
    let mut config = builder.with_single_cert(chain, key).map_err(broken)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn client_verifier(
    tls: &Tls,
    contents: &Contents,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let (Some(client), Some(pem)) = (&tls.client, &contents.client_ca) else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.client_ca", &client.ca, pem)? {
        roots
            .add(certificate)
            .map_err(|error| bad("tls.client_ca", &client.ca, &error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match client.auth {
        ClientAuth::Required => verifier,
        ClientAuth::Optional => verifier.allow_unauthenticated(),
    };
    verifier
        .build()
        .map(Some)
        .map_err(|error| bad("tls.client_ca", &client.ca, &error))
}

fn certificates(key: &str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found.map_err(|error| bad(key, path, &error))? {
        found if found.is_empty() => {
            let none = io::Error::other("there is no certificate in it (PEM)");
            Err(bad(key, path, &none))
        }
        found => Ok(found),
    }
}

fn bad(key: &str, path: &Path, error: &dyn std::error::Error) -> Error {
    Error::new(Reason::RequestInvalid, format!("{key} = {}: {error}", path.display()))
}
