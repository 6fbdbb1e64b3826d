//! The other end of a connection: its address, and the names in the certificate that it has shown.

use std::net::SocketAddr;

use rustls::ServerConnection;
use webpki::EndEntityCert;

use crate::grpc::Peer;

pub(super) fn unnamed(address: SocketAddr) -> Peer {
    Peer {
        address,
        uris: Vec::new(),
        hosts: Vec::new(),
    }
}

/// Of a connection that has begun: whatever certificate there is was verified.
pub(super) fn named(address: SocketAddr, connection: &ServerConnection) -> Peer {
    let shown = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(certificate) = shown.and_then(|shown| EndEntityCert::try_from(shown).ok()) else {
        return unnamed(address);
    };
    Peer {
        address,
        uris: certificate.valid_uri_names().map(str::to_owned).collect(),
        hosts: certificate.valid_dns_names().map(str::to_owned).collect(),
    }
}
