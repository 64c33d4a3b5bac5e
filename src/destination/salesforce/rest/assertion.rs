//! Signed assertions (JWT, RS256), made with the TLS stack's own RSA: no second crypto provider, no further dependency.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use serde::Serialize;

/// A private RSA key. Does not print.
#[derive(Clone)]
pub struct SigningKey(Arc<dyn rustls::sign::SigningKey>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no RSA private key in PEM (PKCS #8 or PKCS #1), unencrypted and of at least 2048 bits")]
pub struct NotAnRsaKey;

/// <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm>.
#[derive(Serialize)]
pub struct Claims<'a> {
    pub iss: &'a str,
    pub sub: &'a str,
    pub aud: &'a str,
    /// Seconds since 1970.
    pub exp: i64,
}

impl SigningKey {
    pub fn from_pem(pem: &str) -> Result<Self, NotAnRsaKey> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| NotAnRsaKey)?;
        let key = any_supported_type(&der).map_err(|_| NotAnRsaKey)?;
        key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or(NotAnRsaKey)?;
        Ok(Self(key))
    }

    pub fn assertion(&self, claims: &Claims<'_>) -> Option<SecretString> {
        let claims = serde_json::to_vec(claims).ok()?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims));
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rsa_key_is_refused_without_being_printed() {
        for text in ["", "canary", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----"] {
            let error = SigningKey::from_pem(text).expect_err("no key");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
