//! The only identities that logs, tables, dead letters and operators see: keyed hashes under the deployment's
//! secret. A plain hash of an address falls to a dictionary; a keyed one does not.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::event::{CustomerField, Event};
use super::route::Offer;

/// HMAC-SHA256 of normalised email + offer, 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeadKey([u8; 16]);

/// HMAC-SHA256 of normalised email + publisher, 128 bits: the person that a withdrawal speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonKey([u8; 16]);

/// HMAC-SHA256 of a dead letter's body, message id and replay generation, 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadId([u8; 16]);

/// HMAC-SHA256 of a normalised email alone, 128 bits. Only dead letters are kept by it, and who is to be forgotten: whoever
/// asks for a person's letters need not know the offer, and a letter may have none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey([u8; 16]);

/// A short keyed digest of one customer field: enough to see a change, useless to anybody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Digest(pub [u8; 8]);

macro_rules! hex_key {
    ($name:ident) => {
        impl $name {
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 32];
                hex::encode_to_slice(self.0, &mut text).expect("32 hex digits hold 16 bytes");
                f.write_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NotAKey;

            fn from_str(text: &str) -> Result<Self, NotAKey> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAKey)?;
                Ok(Self(bytes))
            }
        }
    };
}
hex_key!(LeadKey);
hex_key!(PersonKey);
hex_key!(DeadId);
hex_key!(AddressKey);

#[derive(Debug, thiserror::Error)]
#[error("expected 32 hex digits")]
pub struct NotAKey;

/// The deployment's secret, ready to hash. Prints nothing of itself.
#[derive(Clone)]
pub struct Keyring(Hmac<Sha256>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(…)")
    }
}

impl Keyring {
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// `purpose` keeps the keys of different kinds apart; the parts are length-prefixed, so that no two lists of
    /// parts hash alike.
    fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn key(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        let [key @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.hash(purpose, parts);
        key
    }

    /// `email` is taken as typed and normalised here.
    pub fn lead_key(&self, email: &str, offer: &Offer) -> LeadKey {
        LeadKey(self.key("lead", &[normalise_email(email).as_bytes(), offer.normalised().as_bytes()]))
    }

    pub fn person_key(&self, email: &str, offer: &Offer) -> PersonKey {
        PersonKey(self.key("person", &[normalise_email(email).as_bytes(), offer.publisher().as_bytes()]))
    }

    /// `email` is taken as typed and normalised here.
    pub fn address_key(&self, email: &str) -> AddressKey {
        AddressKey(self.key("address", &[normalise_email(email).as_bytes()]))
    }

    pub fn field_digest(&self, field: CustomerField, value: &str) -> Digest {
        let [a, b, c, d, e, f, g, h, ..] = self.hash("field", &[field.name().as_bytes(), value.as_bytes()]);
        Digest([a, b, c, d, e, f, g, h])
    }

    /// The dead-id: of body, message id and replay generation, never of time, attempt or chance, so that a letter
    /// that arrives twice is the same letter.
    pub fn dead_id(&self, body: &[u8], message_id: Option<&str>, generation: u32) -> DeadId {
        let id = message_id.unwrap_or_default();
        DeadId(self.key("dead", &[body, id.as_bytes(), &generation.to_le_bytes()]))
    }

    /// Signs that we ourselves asked for a lead to be marked do-not-contact at `destination`: the header of such a
    /// message is worth nothing from a producer.
    pub fn mark_signature(&self, destination: &str, body: &[u8]) -> LeadKey {
        LeadKey(self.key("mark", &[destination.as_bytes(), body]))
    }

    /// Tells two secrets apart, and gives neither away.
    pub fn fingerprint(&self) -> String {
        hex::encode(self.hash("fingerprint", &[]))
    }

    /// The keys of one event, all at once: the address is normalised a single time.
    pub fn identify(&self, event: &Event) -> (LeadKey, PersonKey, AddressKey) {
        let email = normalise_email(&event.customer.email);
        let lead = self.key("lead", &[email.as_bytes(), event.offer.normalised().as_bytes()]);
        let person = self.key("person", &[email.as_bytes(), event.offer.publisher().as_bytes()]);
        let address = self.key("address", &[email.as_bytes()]);
        (LeadKey(lead), PersonKey(person), AddressKey(address))
    }
}

/// Trimmed, NFC, lower case, domain to ASCII by UTS 46. For the key only: what is delivered stays as typed.
pub fn normalise_email(email: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let email = email.trim();
    if email.is_ascii() {
        return email.to_ascii_lowercase();
    }
    let email = email.nfc().collect::<String>().to_lowercase();
    match email.rsplit_once('@') {
        Some((local, domain)) => match idna::domain_to_ascii(domain) {
            Ok(ascii) => format!("{local}@{ascii}"),
            Err(_) => email,
        },
        None => email,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(b"a secret of the deployment")
    }

    fn offer(text: &str) -> Offer {
        Offer::parse(text).expect("an offer")
    }

    #[test]
    fn one_mailbox_has_one_normal_form_however_it_is_typed() {
        let check = |typed: &str, normal: &str| assert_eq!(normalise_email(typed), normal, "{typed:?}");
        check("ldashan@example.com", "ldashan@example.com");
        check("LDashan@Example.COM", "ldashan@example.com");
        check("  ldashan@example.com\t\n", "ldashan@example.com");
        check("\u{a0}ldashan@example.com\u{3000}", "ldashan@example.com");
        check("info@BÜCHER.example", "info@xn--bcher-kva.example");
        check("info@bu\u{308}cher.example", "info@xn--bcher-kva.example");
        check("info@XN--BCHER-KVA.example", "info@xn--bcher-kva.example");
        check("INFO@ｅxample.com", "info@example.com");
        check("李@例子.公司", "李@xn--fsqu00a.xn--55qx5d");
        check("Jose\u{301}@example.com", "josé@example.com");
        check("JOSÉ@example.com", "josé@example.com");
        // What differs to a mail server differs to us.
        check("l.dashan+azure@example.com", "l.dashan+azure@example.com");
        // No domain that UTS 46 knows: still one form.
        check("É@-.example", "é@-.example");
        check("ÉCOLE", "école");
    }

    #[test]
    fn the_keys_never_change() {
        // Computed by Python's hmac, from the description alone.
        let (typed, offer) = (" LDashan@example.com", offer("ArrayNetworks.ArrayLoadBalancervAPV"));
        let keyring = keyring();
        assert_eq!(keyring.lead_key(typed, &offer).to_string(), "d3134b6fce4ccee2d1fa13aa76fb50fd");
        assert_eq!(keyring.person_key(typed, &offer).to_string(), "22326a57c9700769ad7be6dca4eeed3b");
        let phone = keyring.field_digest(CustomerField::Phone, "1234567890");
        assert_eq!(hex::encode(phone.0), "e7e0555976bcc08f");
        assert_eq!(keyring.fingerprint(), "6db50155e759ffe23cd1a8150bfa9b7d6e9a056d912adadb098a3a28d2351eb6");
    }

    #[test]
    fn keys_of_different_purpose_differ_even_of_the_same_parts() {
        let (keyring, offer) = (keyring(), offer("a.b"));
        let parts: &[&[u8]] = &[b"x", b"y"];
        let purposes = ["lead", "person", "address", "field", "dead", "mark", "fingerprint"];
        let hashes = purposes.map(|purpose| keyring.hash(purpose, parts));
        for (n, hash) in hashes.iter().enumerate() {
            assert!(!hashes[n + 1..].contains(hash), "{} is another's hash", purposes[n]);
        }
        assert_ne!(keyring.hash("lead", &[b"ab", b"c"]), keyring.hash("lead", &[b"a", b"bc"]));
        let lead = keyring.lead_key("x@example.com", &offer);
        assert_ne!(lead.as_bytes(), keyring.person_key("x@example.com", &offer).as_bytes());
        assert_ne!(lead, Keyring::new(b"another secret").lead_key("x@example.com", &offer));
    }

    #[test]
    fn a_person_is_one_at_all_offers_of_a_publisher_and_another_at_another() {
        let keyring = keyring();
        let person = |text| keyring.person_key("x@example.com", &offer(text));
        let lead = |text| keyring.lead_key("x@example.com", &offer(text));
        assert_eq!(person("a.one"), person("A.two"));
        assert_ne!(lead("a.one"), lead("a.two"));
        assert_eq!(lead("a.one"), lead("A.ONE"));
        assert_ne!(person("a.one"), person("b.one"));
    }

    #[test]
    fn a_dead_letter_is_itself_by_body_message_id_and_generation() {
        let keyring = keyring();
        let id = keyring.dead_id(b"body", Some("m1"), 0);
        assert_eq!(id, keyring.dead_id(b"body", Some("m1"), 0));
        for other in [
            keyring.dead_id(b"bodY", Some("m1"), 0),
            keyring.dead_id(b"body", Some("m2"), 0),
            keyring.dead_id(b"body", None, 0),
            keyring.dead_id(b"body", Some("m1"), 1),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_key_is_read_back_from_what_it_prints_and_from_nothing_else() {
        let key = keyring().lead_key("x@example.com", &offer("a.b"));
        assert_eq!(key.to_string().parse::<LeadKey>().expect("32 hex digits"), key);
        for text in ["", "d313", "d3134b6fce4ccee2d1fa13aa76fb50fg", "d3134b6fce4ccee2d1fa13aa76fb50fd00"] {
            assert!(text.parse::<LeadKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_secret_does_not_print() {
        assert_eq!(format!("{:?}", keyring()), "Keyring(…)");
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(email in "\\PC{0,12}@?\\PC{0,12}") {
            let once = normalise_email(&email);
            prop_assert_eq!(normalise_email(&once), once);
        }

        #[test]
        fn case_and_surrounding_space_are_nothing(email in "[a-zA-Zäöüéñ0-9.+]{1,10}@[a-zA-Z]{1,8}\\.[a-z]{2,3}") {
            let shouted = format!(" {} ", email.to_uppercase());
            prop_assert_eq!(normalise_email(&shouted), normalise_email(&email));
        }
    }
}
