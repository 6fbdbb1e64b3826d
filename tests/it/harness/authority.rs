//! Certificates for tests: an authority, and whom it signs for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// An authority, and the files of who it signs for.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    directory: TempDir,
}

/// A certificate and its key, as files.
pub(crate) struct Signed {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
            directory: TempDir::with_prefix("tidings-test-").expect("make a directory"),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.written("ca.crt", &self.pem)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn written(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("write a file");
        path
    }

    pub(crate) fn sign(&self, name: &str) -> Signed {
        self.sign_for(name, &["localhost", "127.0.0.1"])
    }

    /// For these names: hosts, or URIs, which have a scheme.
    pub(crate) fn sign_for(&self, name: &str, names: &[&str]) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let mut params =
            CertificateParams::new(hosts.into_iter().map(str::to_owned).collect::<Vec<_>>()).expect("parameters");
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.try_into().expect("a URI")));
        params.subject_alt_names.extend(uris);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signed {
            certificate: self.written(&format!("{name}.crt"), &certificate.pem()),
            key: self.written(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// What a client believes that trusts this authority.
    pub(crate) fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem))
    }
}

impl Signed {
    pub(crate) fn config(&self) -> String {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    }

    pub(crate) fn identity(&self) -> Identity {
        let read = |path| fs::read(path).expect("a file");
        Identity::from_pem(read(&self.certificate), read(&self.key))
    }
}
