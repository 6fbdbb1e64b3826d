//! The section `[tls]`.

use std::path::PathBuf;

use super::reader::Reader;

/// `[tls]`: the files that TLS of the listener takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client: Option<ClientTls>,
}

/// How clients show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    pub ca: PathBuf,
    pub auth: ClientAuth,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    Required,
    Optional,
}

/// `None` = connections are not encrypted.
pub(super) fn read(reader: &mut Reader) -> Option<Tls> {
    let [certificate, key, ca] =
        ["tls.certificate", "tls.key", "tls.client_ca"].map(|key| reader.optional::<PathBuf>(key));
    let auth = reader.take("tls.client_auth");
    reader.demand(
        "tls.certificate",
        certificate.is_none() || key.is_some(),
        "needs tls.key",
    );
    reader.demand(
        "tls.key",
        key.is_none() || certificate.is_some(),
        "needs tls.certificate",
    );
    let has_both = certificate.is_some() && key.is_some();
    reader.demand(
        "tls.client_ca",
        ca.is_none() || has_both,
        "needs tls.certificate and tls.key",
    );
    Some(Tls {
        certificate: certificate?,
        key: key?,
        client: ca.map(|ca| ClientTls { ca, auth }),
    })
}

impl Tls {
    /// Whether nobody gets in who has not shown who they are.
    pub(super) fn knows_clients(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.auth == ClientAuth::Required)
    }
}
