use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::event::{Consent, Customer, Event};
use crate::domain::lead::Purpose;
use crate::domain::lead_key::Keyring;
use crate::domain::route::{DestinationName, Offer};

const TABLE: &str = "https://leads1.table.core.windows.net/Leads";

fn object(value: Value) -> Columns {
    match value {
        Value::Object(columns) => columns,
        _ => unreachable!("an object"),
    }
}

/// A lead that says little but this.
fn titled(title: &str) -> Lead {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let event = Event {
        id: None,
        occurred_at: at,
        source: String::new(),
        action: String::new(),
        offer: Offer::parse("contoso.x").expect("an offer"),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: true, at, agreement: String::new() },
        customer: Customer { title: title.to_owned(), ..Customer::default() },
    };
    Lead::new(&Keyring::new(b"secret"), event, DestinationName::parse("table").expect("a name"), Purpose::Deliver)
}

fn transaction(place: Place<'_>, operations: &[Operation<'_>]) -> Vec<u8> {
    let mut transaction = Transaction::begin(operations.len());
    for operation in operations {
        assert!(transaction.push(place, operation).is_none(), "all fit into one");
    }
    assert_eq!(transaction.operations(), operations.len());
    transaction.into_body()
}

#[test]
fn a_transaction_is_written_as_the_service_documents_it() {
    let place = Place { table: TABLE, partition: "o'brien.é", row: "00ff" };
    let lead = titled("1");
    let operations = [
        Operation::Insert(&lead),
        Operation::Merge { changes: object(json!({ "Phone": "2" })), etag: "W/\"x\"".into() },
    ];
    let mut row = Vec::new();
    entity::write_row(&mut row, &lead, place);
    let row = String::from_utf8(row).expect("UTF-8");
    let expected = "--batch_leadrelay\r\n\
        Content-Type: multipart/mixed; boundary=changeset_leadrelay\r\n\r\n\
        --changeset_leadrelay\r\n\
        Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        POST https://leads1.table.core.windows.net/Leads HTTP/1.1\r\n\
        Content-Type: application/json\r\nAccept: application/json;odata=nometadata\r\n\
        Prefer: return-no-content\r\nDataServiceVersion: 3.0;\r\n\r\n\
        ROW\r\n\
        --changeset_leadrelay\r\n\
        Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        MERGE https://leads1.table.core.windows.net/Leads(PartitionKey='o%27%27brien.%C3%A9',RowKey='00ff') HTTP/1.1\r\n\
        Content-Type: application/json\r\nAccept: application/json;odata=nometadata\r\n\
        Prefer: return-no-content\r\nDataServiceVersion: 3.0;\r\nIf-Match: W/\"x\"\r\n\r\n\
        {\"Phone\":\"2\"}\r\n\
        --changeset_leadrelay--\r\n--batch_leadrelay--\r\n";
    let written = String::from_utf8(transaction(place, &operations)).expect("UTF-8");
    assert_eq!(written, expected.replace("ROW", &row));
}

#[test]
fn what_does_not_fit_begins_the_next_transaction() {
    let place = Place { table: TABLE, partition: "contoso.x", row: "00" };
    let push = |transaction: &mut Transaction, title: &str| transaction.push(place, &Operation::Insert(&titled(title)));
    let mut many = Transaction::begin(OPERATIONS_MAX);
    for _ in 0..OPERATIONS_MAX {
        assert!(push(&mut many, "x").is_none());
    }
    let next = push(&mut many, "the last").expect("a hundred are the most");
    assert_eq!((many.operations(), next.operations()), (OPERATIONS_MAX, 1));
    assert_eq!(parse(&many.into_body()).len(), OPERATIONS_MAX);
    assert_eq!(parse(&next.into_body())[0].1["Title"], "the last");

    let mut large = Transaction::begin(1);
    assert!(push(&mut large, &"x".repeat(SIZE_MAX)).is_none(), "one fits, whatever its size");
    let next = push(&mut large, "y").expect("it is full");
    assert_eq!((parse(&large.into_body()).len(), parse(&next.into_body()).len()), (1, 1));
}

fn answer(parts: &[&str]) -> Vec<u8> {
    let part = |part: &&str| {
        format!(
            "--changesetresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{part}\r\n"
        )
    };
    let parts: String = parts.iter().map(part).collect();
    format!("--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n{parts}--changesetresponse_1--\r\n--batchresponse_1--\r\n")
        .into_bytes()
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nETag: W/\"datetime'2026'\"\r\nDataServiceVersion: 3.0;\r\n\r\n";
const EXISTS: &str = "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n\r\n\
    {\"odata.error\":{\"code\":\"EntityAlreadyExists\",\"message\":{\"lang\":\"en-US\",\"value\":\"1:The specified \
    entity already exists.\\nRequestId:1\"}}}\r\n";

#[test]
fn an_answer_counts_as_applied_only_if_every_operation_says_so() {
    let failed = |status, code: Option<&str>| Answered::Failed { status, code: code.map(str::to_owned) };
    let check = |body: &[u8], operations, expected| assert_eq!(read(body, operations), expected);
    check(&answer(&[NO_CONTENT, NO_CONTENT]), 2, Answered::Applied);
    check(&answer(&[NO_CONTENT]), 2, Answered::Unreadable);
    check(&answer(&[NO_CONTENT, NO_CONTENT, NO_CONTENT]), 2, Answered::Unreadable);
    check(&answer(&[EXISTS]), 100, failed(409, Some("EntityAlreadyExists")));
    check(
        &answer(&["HTTP/1.1 412 Precondition Failed\r\nx-ms-error-code: UpdateConditionNotSatisfied\r\n\r\n"]),
        1,
        failed(412, Some("UpdateConditionNotSatisfied")),
    );
    check(&answer(&["HTTP/1.1 500 \r\n\r\n"]), 1, failed(500, None));
    check(&answer(&["HTTP/1.1 what\r\n\r\n"]), 1, Answered::Unreadable);
    check(b"", 1, Answered::Unreadable);
    check(b"<html>202</html>", 1, Answered::Unreadable);
    let half = answer(&[NO_CONTENT, NO_CONTENT]);
    check(&half[..half.len() / 2], 2, Answered::Unreadable);
}

#[test]
fn the_stray_boundary_that_azurite_leaves_does_not_confuse() {
    let mut stray = b"--batchresponse_1\r\n--changesetresponse_1\r\n".to_vec();
    stray.extend(answer(&[EXISTS]));
    let expected = Answered::Failed { status: 409, code: Some("EntityAlreadyExists".to_owned()) };
    assert_eq!(read(&stray, 1), expected);
}

/// Reads a transaction back, by its boundaries alone.
fn parse(body: &[u8]) -> Vec<(String, Value)> {
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    let inner = text.strip_prefix(HEAD).and_then(|text| text.strip_suffix(TAIL)).expect("a head and a tail");
    let parse = |part: &str| {
        let mut sections = part.split("\r\n\r\n").skip(1);
        let line = sections.next().expect("a request").lines().next().expect("its first line").to_owned();
        let body = sections.next().expect("a body").strip_suffix("\r\n").expect("a line break");
        (line, serde_json::from_str(body).expect("JSON"))
    };
    inner.split("--changeset_leadrelay\r\n").skip(1).map(parse).collect()
}

fn nasty() -> impl Strategy<Value = String> {
    let pieces =
        ["\r\n", "--changeset_leadrelay--", "--batch_leadrelay", "\nHTTP/1.1 500 x", "'", "\"", "é", "\u{0}", "x"];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_a_lead_says_the_parts_of_a_transaction_stay_apart(values in prop::collection::vec(nasty(), 1..8)) {
        let place = Place { table: TABLE, partition: "contoso.x", row: "00" };
        let leads: Vec<_> = values.iter().map(|value| titled(value)).collect();
        let operations: Vec<_> = leads.iter().map(Operation::Insert).collect();
        let read = parse(&transaction(place, &operations));
        prop_assert_eq!(read.len(), values.len());
        for ((line, body), value) in read.iter().zip(&values) {
            prop_assert_eq!(line, &format!("POST {TABLE} HTTP/1.1"));
            prop_assert_eq!(&body["Title"], value);
            prop_assert_eq!((&body["PartitionKey"], &body["RowKey"]), (&json!("contoso.x"), &json!("00")));
        }
    }

    #[test]
    fn no_answer_makes_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..64), tail in ".{0,16}") {
        let _ = read(&[&b"\nHTTP/1.1 "[..], &body, tail.as_bytes()].concat(), 1);
    }
}
