//! An issuer of tokens: its keys, what they sign, and its server.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::authority::Signed;

/// Signs tokens with a key of this name.
pub(crate) struct Signer {
    id: &'static str,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate().expect("a key");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a JWK");
        jwk.common.key_id = Some(id.to_owned());
        let jwk = serde_json::to_value(jwk).expect("JSON");
        Self { id, key, jwk }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.key).expect("a token")
    }

    /// A good token of this subject, for so long.
    pub(crate) fn token(&self, subject: &str, lifetime: Duration) -> String {
        self.sign(&claims(subject, lifetime))
    }
}

pub(crate) fn claims(subject: &str, lifetime: Duration) -> Value {
    let end = SystemTime::now() + lifetime;
    let end = end.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    json!({ "iss": "https://id.test", "aud": "bus", "sub": subject, "exp": end.as_secs_f64() })
}

/// A JWK set.
pub(crate) fn keys(signers: &[&Signer]) -> String {
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    json!({ "keys": keys }).to_string()
}

/// A server that answers every request with the same: keys, or a token.
pub(crate) struct Id {
    pub(crate) url: String,
    pub(crate) keys: Arc<Mutex<String>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Id {
    pub(crate) async fn serve(signed: &Signed, keys: String) -> Self {
        let certificate = CertificateDer::from_pem_file(&signed.certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&signed.key).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("good files")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!(
            "https://localhost:{}/keys",
            listener.local_addr().expect("an address").port()
        );
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let served = (Arc::clone(&keys), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 2_048];
                let _ = stream.read(&mut request).await;
                served.1.fetch_add(1, Ordering::SeqCst);
                let body = served.0.lock().expect("not poisoned").clone();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, keys, asked }
    }
}
