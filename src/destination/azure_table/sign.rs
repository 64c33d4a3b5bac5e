//! The two signatures: by the account's key, and one that somebody made before.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// An account's name and key, ready to sign. Prints nothing of the key.
#[derive(Clone)]
pub struct SharedKey {
    account: String,
    mac: Hmac<Sha256>,
}

/// What a request's signature speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub verb: &'a str,
    pub content_type: &'a str,
    /// As in `x-ms-date`.
    pub date: &'a str,
    /// Percent-encoded, exactly as sent.
    pub path: &'a str,
}

impl SharedKey {
    pub fn new(account: &str, key: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { account: account.to_owned(), mac }
    }

    /// The `Authorization` header.
    ///
    /// "StringToSign = VERB + "\n" + Content-MD5 + "\n" + Content-Type + "\n" + Date + "\n" + CanonicalizedResource":
    /// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#table-service-shared-key-authorization>.
    /// We send no MD5, and no `comp` parameter, the only one that the resource would hold.
    pub fn authorization(&self, request: Signed<'_>) -> String {
        let Signed { verb, content_type, date, path } = request;
        let text = format!("{verb}\n\n{content_type}\n{date}\n/{}{path}", self.account);
        let signature = self.mac.clone().chain_update(text).finalize().into_bytes();
        format!("SharedKey {}:{}", self.account, STANDARD.encode(signature))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({}, …)", self.account)
    }
}

impl PartialEq for SharedKey {
    fn eq(&self, other: &Self) -> bool {
        let probe = Signed { verb: "", content_type: "", date: "", path: "" };
        self.authorization(probe) == other.authorization(probe)
    }
}

/// A shared access signature: query parameters to send along. Does not print.
#[derive(Clone, Debug)]
pub struct Sas(SecretString);

impl Sas {
    pub fn new(token: String) -> Self {
        Self(token.into())
    }

    /// The parameters, without a leading `?`.
    pub fn query(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Sas {
    fn eq(&self, other: &Self) -> bool {
        self.query() == other.query()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`, `hashlib` and `base64`; the scheme is the one that Azurite accepts.
    #[test]
    fn signatures_are_those_that_another_implementation_computes() {
        let key =
            STANDARD.decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");
        let key = SharedKey::new("devstoreaccount1", &key.expect("Base64"));
        let check = |verb, content_type, path, expected: &str| {
            let date = "Sun, 22 Nov 2026 03:04:05 GMT";
            let authorization = key.authorization(Signed { verb, content_type, date, path });
            assert_eq!(authorization, format!("SharedKey devstoreaccount1:{expected}"));
        };
        check("GET", "", "/devstoreaccount1/Tables", "aMaAyNsFkg1JVbm3HMBvl824b/zqKAlTxZUHlG/saD8=");
        check(
            "POST",
            "multipart/mixed; boundary=batch_x",
            "/devstoreaccount1/$batch",
            "YLYQgLpvECwvm7z2b7BLnsqvFQbtNX5mHd97qOcoAY8=",
        );
        check(
            "MERGE",
            "application/json",
            "/Leads(PartitionKey='a.b',RowKey='O%27%27Brien%20%C3%A9')",
            "kXaZgVBpUqJGQgLHzbQJxLRq8qcp+iVUyDF/z9xxcBY=",
        );
    }

    #[test]
    fn neither_a_key_nor_a_signature_prints() {
        let key = SharedKey::new("account", b"canary-key");
        let sas = Sas::new("sv=1&sig=canary-sas".to_owned());
        assert!(!format!("{key:?} {sas:?}").contains("canary"));
    }
}
