//! A record as bytes: small, because there are millions, and exact to the nanosecond.
//!
//! The person is not among them: it is a column, for the index. Times are kept as the distance in seconds from the
//! last event, which mostly is nothing, and their nanoseconds.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::event::CustomerField;
use crate::domain::lead_key::{Digest, PersonKey};
use crate::domain::repeat::{FieldRecord, Record};

/// The first byte: another layout of the bytes gets another number.
const LAYOUT: u8 = 1;

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut out = Writer { bytes: Vec::with_capacity(192), base: 0 };
    out.bytes.push(LAYOUT);
    out.time(record.last_event_at);
    out.base = record.last_event_at.as_second();
    out.time(record.delivered_at);
    out.time(record.granted_at);
    match record.marked_for {
        None => out.bytes.push(0),
        Some(at) => {
            out.bytes.push(1);
            out.time(at);
        }
    }
    out.text(&record.offer);
    out.number(record.actions.len() as u64);
    for (action, at) in &record.actions {
        out.text(action);
        out.time(*at);
    }
    out.number(record.fields.len() as u64);
    for (field, held) in &record.fields {
        out.bytes.push(field_number(*field));
        out.bytes.extend(held.digest.0);
        out.time(held.at);
    }
    out.bytes
}

/// `None`: these are not the bytes of a record.
pub(super) fn decode(person: PersonKey, bytes: &[u8]) -> Option<Record> {
    let mut from = Reader { bytes, base: 0 };
    if from.byte()? != LAYOUT {
        return None;
    }
    let last_event_at = from.time()?;
    from.base = last_event_at.as_second();
    let delivered_at = from.time()?;
    let granted_at = from.time()?;
    let marked_for = match from.byte()? {
        0 => None,
        1 => Some(from.time()?),
        _ => return None,
    };
    let offer = from.text()?;
    let mut actions = BTreeMap::new();
    for _ in 0..from.number()? {
        actions.insert(from.text()?, from.time()?);
    }
    let mut fields = BTreeMap::new();
    for _ in 0..from.number()? {
        let number = from.byte()?;
        let field = CustomerField::ALL.into_iter().find(|field| field_number(*field) == number)?;
        let digest = Digest(*from.take(8)?.first_chunk()?);
        fields.insert(field, FieldRecord { digest, at: from.time()? });
    }
    from.bytes.is_empty().then_some(Record {
        offer,
        person,
        actions,
        fields,
        delivered_at,
        last_event_at,
        granted_at,
        marked_for,
    })
}

/// Numbers on disk: they never change.
fn field_number(field: CustomerField) -> u8 {
    match field {
        CustomerField::FirstName => 1,
        CustomerField::LastName => 2,
        CustomerField::Email => 3,
        CustomerField::Phone => 4,
        CustomerField::Country => 5,
        CustomerField::Company => 6,
        CustomerField::Title => 7,
    }
}

struct Writer {
    bytes: Vec<u8>,
    base: i64,
}

impl Writer {
    /// Seven bits a byte, the lowest first, the high bit set on all but the last.
    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Zigzag, so that small numbers of either sign are short.
    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    fn time(&mut self, at: Timestamp) {
        self.signed(at.as_second() - self.base);
        self.signed(at.subsec_nanosecond().into());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    base: i64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn time(&mut self) -> Option<Timestamp> {
        let second = self.base.checked_add(self.signed()?)?;
        Timestamp::new(second, self.signed()?.try_into().ok()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?.try_into().ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any time that there is, and, more often, times near each other.
    fn time() -> impl Strategy<Value = Timestamp> {
        let seconds = prop_oneof![
            1 => Timestamp::MIN.as_second() + 1..Timestamp::MAX.as_second(),
            2 => 1_790_000_000..1_790_001_000i64,
        ];
        let nanoseconds = prop_oneof![Just(0), -999_999_999..=999_999_999];
        (seconds, nanoseconds).prop_filter_map("no such time", |(s, n)| Timestamp::new(s, n).ok())
    }

    prop_compose! {
        fn record()(
            offer in ".{0,60}",
            person in any::<[u8; 16]>(),
            actions in prop::collection::btree_map(".{0,20}", time(), 0..6),
            fields in prop::collection::btree_map(prop::sample::select(&CustomerField::ALL[..]),
                (any::<[u8; 8]>(), time()).prop_map(|(digest, at)| FieldRecord { digest: Digest(digest), at }), 0..=7),
            (delivered_at, last_event_at, granted_at) in (time(), time(), time()),
            marked_for in prop::option::of(time()),
        ) -> Record {
            let person = PersonKey::from_bytes(person);
            Record { offer, person, actions, fields, delivered_at, last_event_at, granted_at, marked_for }
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_back_as_it_was(record in record()) {
            prop_assert_eq!(decode(record.person, &encode(&record)), Some(record));
        }

        #[test]
        fn a_record_cut_short_or_lengthened_is_none(record in record(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&record);
            prop_assert_eq!(decode(record.person, &bytes[..cut.index(bytes.len())]), None);
            bytes.push(0);
            prop_assert_eq!(decode(record.person, &bytes), None);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(PersonKey::from_bytes([0; 16]), &bytes);
            let _ = decode(PersonKey::from_bytes([0; 16]), &[&[LAYOUT], &bytes[..]].concat());
        }
    }

    #[test]
    fn the_bytes_on_disk_never_change() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let record = Record {
            offer: "a.b".into(),
            person: PersonKey::from_bytes([7; 16]),
            actions: BTreeMap::from([("INS".into(), at(1_000))]),
            fields: BTreeMap::from([(CustomerField::Email, FieldRecord { digest: Digest([9; 8]), at: at(1_000) })]),
            delivered_at: Timestamp::new(1_002, 5).expect("a time"),
            last_event_at: at(1_000),
            granted_at: at(999),
            marked_for: Some(at(1_003)),
        };
        assert_eq!(
            hex::encode(encode(&record)),
            "01d00f00040a010001060003612e620103494e530000010309090909090909090000"
        );
    }
}
