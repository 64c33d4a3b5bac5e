use lapin::BasicProperties;
use lapin::protocol::basic::parse_properties;
use lapin::types::AMQPValue;
use proptest::prelude::*;

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u32).to_be_bytes();
    [&[kind, 0, 1], &size[..], payload, &[0xCE]].concat()
}

fn sized(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes(), content].concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

/// A content header with these flags and properties.
fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    frame(HEADER, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], &flags.to_be_bytes()[..], properties].concat())
}

const HEADERS: u16 = 1 << 13;

/// One header `a` of arrays in arrays, so many.
fn nested(levels: usize) -> Vec<u8> {
    let sizes = (0..levels).map(|level| ((levels - 1 - level) * 5) as u32);
    let value: Vec<u8> = sizes.flat_map(|size| [vec![b'A'], size.to_be_bytes().to_vec()].concat()).collect();
    header(HEADERS, &sized(&[b"\x01a", &value[..]].concat()))
}

fn sieved(bytes: &[u8]) -> Vec<u8> {
    let mut sieve = Sieve::default();
    sieve.fill(bytes).unwrap();
    sieve.drain(usize::MAX).to_vec()
}

/// As lapin reads it.
fn parsed(frame: &[u8]) -> Result<BasicProperties, String> {
    let properties = &frame[FRAME_HEAD + 12..frame.len() - FRAME_END];
    parse_properties(properties).map(|(_, properties)| properties).map_err(|error| error.to_string())
}

fn depth(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::FieldArray(items) => 1 + items.as_slice().iter().map(depth).max().unwrap_or(0),
        AMQPValue::FieldTable(table) => 1 + table.inner().values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn depth_of_header(frame: &[u8]) -> usize {
    let properties = parsed(frame).unwrap();
    properties.headers().as_ref().unwrap().inner().values().map(depth).max().unwrap()
}

#[test]
fn the_deepest_header_that_a_frame_can_hold_is_read_without_harm() {
    let deepest = nested(26_000);
    assert!((130_000..131_072).contains(&deepest.len()));
    assert_eq!(depth_of_header(&sieved(&deepest)), DEPTH_MAX);
}

#[test]
fn what_is_nested_no_deeper_than_allowed_stays_as_it_is() {
    assert_eq!(sieved(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
    let deeper = sieved(&nested(DEPTH_MAX + 1));
    let changed = nested(DEPTH_MAX + 1).iter().zip(&deeper).filter(|(before, after)| before != after).count();
    assert_eq!((changed, depth_of_header(&deeper)), (1, DEPTH_MAX));
}

#[test]
fn short_strings_that_are_not_text_become_text_wherever_a_producer_may_write_them() {
    let bad = short(b"ab\xFF\xC3\xA9");
    let texts = PROPERTIES.iter().enumerate().filter(|(_, property)| matches!(property, Property::Text));
    for (place, _) in texts {
        let frame = header(1 << (15 - place), &bad);
        assert!(parsed(&frame).is_err(), "lapin has learnt to read it: property {place}");
        assert!(parsed(&sieved(&frame)).is_ok(), "property {place}");
    }
    let name = header(HEADERS, &sized(&[&bad[..], b"V"].concat()));
    assert!(parsed(&name).is_err(), "lapin has learnt to read it");
    let names = parsed(&sieved(&name)).unwrap().headers().as_ref().unwrap().inner().keys().next().unwrap().to_string();
    assert_eq!(names, "ab???");
    let nested = sized(&[&short(b"t")[..], b"F", &sized(&[&bad[..], b"V"].concat())].concat());
    assert!(parsed(&sieved(&header(HEADERS, &nested))).is_ok());
}

#[test]
fn routing_keys_that_are_not_text_become_text() {
    let strings = [short(b"leads"), short(b"k\xFF")].concat();
    let deliver = frame(METHOD, &[&[0, 60, 0, 60, 1, b'c', 0, 0, 0, 0, 0, 0, 0, 7, 0], &strings[..]].concat());
    assert!(sieved(&deliver).ends_with(b"k?\xCE"));
    let returned = frame(METHOD, &[&[0, 60, 0, 50, 1, 56], &short(b"NO_ROUTE")[..], &strings].concat());
    assert!(sieved(&returned).ends_with(b"k?\xCE"));
    let other = frame(METHOD, &[&[0, 60, 0, 51], &strings[..]].concat());
    assert_eq!(sieved(&other), other);
}

#[test]
fn a_method_or_a_header_too_large_to_be_true_is_an_error_and_a_body_of_any_size_passes() {
    let head = |kind: u8| [&[kind, 0, 1], &u32::MAX.to_be_bytes()[..]].concat();
    assert!(Sieve::default().fill(&head(HEADER)).is_err());
    assert!(Sieve::default().fill(&head(METHOD)).is_err());
    assert_eq!(sieved(&head(3)), head(3));
}

/// Frames of every type, with whatever inside: also what no broker would send.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let table = proptest::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| header(HEADERS, &sized(&bytes)));
    let any = (0..9_u8, proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, bytes)| frame(kind, &bytes));
    prop_oneof![table, any, (0..40_usize).prop_map(nested)]
}

proptest! {
    #[test]
    fn bytes_come_out_as_many_as_went_in_however_they_are_cut(
        frames in proptest::collection::vec(any_frame(), 0..6),
        cuts in proptest::collection::vec(1..50_usize, 1..20),
    ) {
        let bytes = frames.concat();
        let at_once = sieved(&bytes);
        prop_assert_eq!(at_once.len(), bytes.len());
        let (mut sieve, mut rest, mut out) = (Sieve::default(), &bytes[..], Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            sieve.fill(now).unwrap();
            out.extend_from_slice(sieve.drain(cut / 2));
            rest = later;
        }
        out.extend_from_slice(sieve.drain(usize::MAX));
        prop_assert_eq!(out, at_once);
    }

    #[test]
    fn whatever_lapin_can_read_it_reads_the_same_afterwards(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let frame = header(HEADERS, &sized(&bytes));
        if let Ok(before) = parsed(&frame) {
            prop_assert_eq!(parsed(&sieved(&frame)).unwrap(), before);
        }
    }
}
