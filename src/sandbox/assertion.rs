//! Signed assertions (JWT, RS256), verified by the certificate or key that the client's owner has uploaded.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use webpki::{EndEntityCert, RawPublicKeyEntity};

/// A PEM certificate, or a PEM public key.
#[derive(Clone, Debug)]
pub enum ClientKey {
    Certificate(CertificateDer<'static>),
    Key(SubjectPublicKeyInfoDer<'static>),
}

impl ClientKey {
    pub fn from_pem(pem: &str) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
        let certificate = certificate.filter(|der| EndEntityCert::try_from(der).is_ok()).map(Self::Certificate);
        let key = || SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok();
        let key = || key().filter(|der| RawPublicKeyEntity::try_from(der).is_ok()).map(Self::Key);
        certificate.or_else(key)
    }

    pub fn verifies(&self, parts: &Parts<'_>) -> bool {
        let algorithm = webpki::ring::RSA_PKCS1_2048_8192_SHA256;
        let (message, signature) = (parts.signed.as_bytes(), parts.signature.as_slice());
        let verified = match self {
            Self::Certificate(der) => EndEntityCert::try_from(der)
                .and_then(|certificate| certificate.verify_signature(algorithm, message, signature)),
            Self::Key(der) => {
                RawPublicKeyEntity::try_from(der).and_then(|key| key.verify_signature(algorithm, message, signature))
            }
        };
        parts.is_rs256 && verified.is_ok()
    }
}

/// An assertion, taken apart and not yet believed.
pub struct Parts<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    is_rs256: bool,
    pub claims: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl<'a> Parts<'a> {
    pub fn split(assertion: &'a str) -> Option<Self> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        Some(Self {
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            is_rs256: header.alg == "RS256",
            claims: URL_SAFE_NO_PAD.decode(claims).ok()?,
        })
    }
}
