//! The real program, the real broker, the real table: killed, frozen, blocked, and told by others what became of it.

mod support;

use std::time::Duration;

use leadrelay::steps::Step;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use support::amqp;
use support::fault_proxy::{Fault, FaultProxy};
use support::process::{Rig, service, split_endpoint, wait_until};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn twenty_kills_at_random_and_one_at_each_named_step_lose_nothing_and_double_nothing() {
    let rig = Rig::new("kills");
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    for kill in 0..20 {
        rig.publish(kill, 190);
        let worker = rig.start(&[]);
        std::thread::park_timeout(Duration::from_millis(chance.random_range(80..900)));
        worker.kill();
    }
    // What was in hand at so many kills is taken one at a time: let that be over.
    let worker = rig.start(&[]);
    rig.wait_until_drained(5 * MINUTE);
    assert_eq!(worker.stop().code(), Some(0));
    let steps = Step::ALL.into_iter().filter(|step| !only_in_trouble(*step));
    let edges = steps.flat_map(|step| ["before", "after"].map(|edge| format!("{}.{edge}", step.name())));
    for (number, place) in edges.enumerate() {
        rig.publish(100 + number as u32, 70);
        let inbox = format!("{}.consent", rig.prefix);
        amqp::publish_raw(&rig, &inbox, WITHDRAWAL, "a-withdrawal");
        amqp::publish_with(&rig, &inbox, WITHDRAWAL, "a-replay", REPLAY);
        let mut worker = rig.start(&[("LEADRELAY_CRASH_AT", &place)]);
        let crashed = worker.wait(MINUTE);
        assert!(crashed.is_some_and(|status| !status.success()), "it did not crash at {place}");
    }
    let worker = rig.start(&[]);
    rig.wait_until_drained(5 * MINUTE);
    let metrics = worker.metrics();
    assert_eq!(worker.stop().code(), Some(0));
    println!("{}", rig.check());
    let mut reasons = std::collections::BTreeMap::new();
    for letter in rig.dead() {
        *reasons.entry(letter["headers"]["x-leadrelay-reason"].to_string()).or_insert(0) += 1;
    }
    println!("dead letters: {reasons:?}");
    rig.assert_no_canary_sang(&metrics);
}

/// Steps that a healthy run to a table does not pass: `end_to_end_trouble.rs` passes the first two, and
/// `end_to_end_web_to_lead.rs` the next two; those of a replay stand in `replays.rs` and `crash.rs`.
fn only_in_trouble(step: Step) -> bool {
    let of_a_replay = matches!(step, Step::Take | Step::MarkPublished | Step::GiveBack | Step::RecordEndings);
    of_a_replay || matches!(step, Step::Renew | Step::HandBack | Step::Intend | Step::Retract)
}

const WITHDRAWAL: &str = r#"{ "Source": "AzureMarketplace", "Action": "INS", "Offer": "contoso.other",
    "Consent": { "Granted": false }, "CustomerInfo": { "Email": "canary@example.com" } }"#;

/// Of a letter that nobody has.
const REPLAY: &str =
    r#"{ "headers": { "x-leadrelay-replay": 1, "x-leadrelay-dead-id": "0123456789abcdef0123456789abcdef" } }"#;

#[test]
fn a_message_that_crashes_the_worker_ends_as_poison_and_takes_no_neighbour_with_it() {
    let rig = Rig::new("poison");
    rig.publish(1, 60);
    let poison = WITHDRAWAL.replace("canary@", "poison@");
    amqp::publish_raw(&rig, &format!("{}.consent", rig.prefix), &poison, "the-poison");
    rig.publish(2, 60);
    let poisoned = || rig.dead().iter().any(|letter| letter["headers"]["x-leadrelay-reason"] == "poison");
    let mut lives = 0;
    loop {
        let mut worker = rig.start(&[("LEADRELAY_CRASH_ON", "the-poison")]);
        lives += 1;
        assert!(lives < 40, "the poison still crashes the worker");
        if worker.wait(Duration::from_secs(if lives > 18 { 10 } else { 30 })).is_none() && poisoned() {
            rig.wait_until_drained(MINUTE);
            assert_eq!(worker.stop().code(), Some(0));
            break;
        }
    }
    let dead = rig.dead();
    let reasons: Vec<_> = dead.iter().map(|letter| letter["headers"]["x-leadrelay-reason"].as_str().unwrap()).collect();
    // publish.py adds two broken ones a call.
    assert_eq!(reasons.iter().filter(|reason| **reason == "poison").count(), 1, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| **reason == "malformed").count(), reasons.len() - 1, "{reasons:?}");
    rig.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_owner_sends_nothing_after_another_has_taken_over() {
    let rig = Rig::new("frozen");
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let (upstream, through) = split_endpoint(&azurite);
    let (first, second) = (FaultProxy::start(&upstream).await, FaultProxy::start(&upstream).await);
    rig.configure("first.toml", &through(first.address()));
    rig.configure("second.toml", &through(second.address()));
    // The destination is slow, so that the first owner is frozen with work in hand.
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = std::sync::Arc::clone(&gate);
    first.set(move |_| Fault::pass_after(&held));
    tokio::task::block_in_place(|| {
        rig.publish(1, 2_000);
        let frozen = rig.start_with("first.toml", &[]);
        wait_until(MINUTE, "the first owner sends", || !first.requests().is_empty());
        let standby = rig.start_with("second.toml", &[]);
        frozen.signal("STOP");
        let frozen_at = Instant::now();
        wait_until(MINUTE, "the standby takes over", || standby.is_ready());
        // What it sent until now, it sent as the owner; `requests` tells what came since it was last asked.
        first.requests();
        rig.wait_until_drained(2 * MINUTE);
        wait_until(MINUTE, "it was frozen for 40 s", || frozen_at.elapsed() >= Duration::from_secs(40));
        frozen.signal("CONT");
        wait_until(MINUTE, "the first stands by", || frozen.get("/readyz").is_some_and(|(status, _)| status == 503));
        // More work, so that an owner that did not know would have some.
        rig.publish(2, 500);
        rig.wait_until_drained(2 * MINUTE);
        assert_eq!(first.requests().len(), 0, "it sent under the old epoch");
        assert!(standby.is_ready());
        assert_eq!(standby.stop().code(), Some(0));
        drop(frozen);
        rig.check();
    });
}

/// Published by pika, read by azure-data-tables: the times are times to it, and every text is as it was given.
#[test]
fn a_reader_that_is_not_ours_finds_every_column_of_a_row() {
    let rig = Rig::new("columns");
    let event = include_str!("../examples/event.json").replace("arraynetworks.", "contoso.");
    amqp::publish_raw(&rig, &format!("{}.consent", rig.prefix), &event, "the-event");
    let worker = rig.start(&[]);
    wait_until(MINUTE, "the row is there", || !rig.rows().is_empty());
    assert_eq!(worker.stop().code(), Some(0));
    let [mut row] = <[_; 1]>::try_from(rig.rows()).unwrap();
    let columns = row.as_object_mut().unwrap();
    let key = columns.remove("RowKey").unwrap();
    assert!(key.as_str().is_some_and(|key| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit())));
    for (name, text) in [("CustomerInfo", CUSTOMER), ("Journey", JOURNEY)] {
        let held: serde_json::Value = serde_json::from_str(columns.remove(name).unwrap().as_str().unwrap()).unwrap();
        assert_eq!(held, serde_json::from_str::<serde_json::Value>(text).unwrap(), "{name}");
    }
    assert!(columns.remove("FieldTimes").is_some(), "which event gave which value");
    assert_eq!(row, serde_json::from_str::<serde_json::Value>(COLUMNS).unwrap());
}

const CUSTOMER: &str = r#"{ "FirstName": "Dashan", "LastName": "Liang", "Email": "ldashan@example.com",
    "Phone": "1234567890", "Country": "CN", "Company": "Contoso", "Title": "CTO" }"#;

const JOURNEY: &str = r#"[{ "source": "AzureMarketplace", "action": "INS", "at": "2026-11-22T03:04:05Z" }]"#;

const COLUMNS: &str = r#"{ "PartitionKey": "contoso.arrayloadbalancervapv",
    "LeadSource": "AzureMarketplace-INS|contoso.ArrayLoadBalancervAPV", "ActionCode": "INS",
    "ProductId": "contoso.ArrayLoadBalancervAPV", "PublisherDisplayName": "Array Networks",
    "OfferDisplayName": "Array vAPV load balancer", "Description": "",
    "CreatedTime": "2026-11-22 03:04:05+00:00", "FirstName": "Dashan", "LastName": "Liang",
    "Email": "ldashan@example.com", "Phone": "1234567890", "Country": "CN", "Company": "Contoso", "Title": "CTO",
    "FirstAction": "INS", "LastAction": "INS", "LastActionTime": "2026-11-22 03:04:05+00:00", "Stage": "interest",
    "ConsentGrantedAt": "2026-11-22T03:04:00Z", "ConsentWithdrawnAt": "" }"#;

#[test]
fn a_second_signal_hands_back_at_once_and_nothing_is_lost() {
    let rig = Rig::new("hurry");
    rig.publish(1, 1_500);
    let mut worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    worker.signal("TERM");
    worker.signal("INT");
    let status = worker.wait(MINUTE).expect("it stops");
    assert_eq!(status.code(), Some(0));
    let worker = rig.start(&[]);
    rig.wait_until_drained(MINUTE);
    assert_eq!(worker.stop().code(), Some(0));
    rig.check();
}
