//! The certificate that the sandbox makes for itself.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::StartError;

/// An acceptor, and the certificate (PEM) that clients must trust.
pub fn acceptor(address: IpAddr) -> Result<(TlsAcceptor, String), StartError> {
    let failed = |error: rcgen::Error| StartError::Certificate(error.to_string());
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "leadrelay sandbox");
    for address in [address, IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private))
        .map_err(|error| StartError::Certificate(error.to_string()))?;
    Ok((TlsAcceptor::from(Arc::new(config)), certificate.pem()))
}
