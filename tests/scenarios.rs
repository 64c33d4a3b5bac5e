//! The worker on memory adapters and a paused clock: what becomes of messages.

mod support;

use std::time::Duration;

use leadrelay::destination::memory::Fault;
use leadrelay::domain::repeat::{OnRepeat, RepeatPolicy};
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::worker::Ended;
use support::world::{Event, World, raw};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";

fn rejected() -> Reply {
    Reply::Rejected(Code::known("PropertyValueTooLarge"))
}

fn transient() -> Reply {
    Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless }
}

#[tokio::test(start_paused = true)]
async fn a_first_event_is_delivered_and_an_identical_one_is_a_duplicate() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    world.put(&Event::new("a@example.com", OFFER));
    world.settle().await;
    world.put(&Event::new(" A@Example.com ", "Contoso.Appliance"));
    world.settle().await;
    assert_eq!(world.held("contoso", "a@example.com", OFFER).unwrap().touched, 1);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"delivered\"}"), 1.0);
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"duplicate\"}"), 1.0);
    assert_eq!(life.stop().await, Ended::Stopped);
    assert_eq!(world.broker.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_brings_an_action_or_a_field_updates_the_one_lead() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    world.put(&Event::new("a@example.com", OFFER));
    world.settle().await;
    world.put(&Event::new("a@example.com", OFFER).set("/Action", "Create").at(1));
    world.settle().await;
    world.put(&Event::new("a@example.com", OFFER).set("/CustomerInfo/Phone", "123").at(2));
    world.settle().await;
    let held = world.held("contoso", "a@example.com", OFFER).unwrap();
    assert_eq!((held.created, held.touched, held.lead.journey.len()), (1, 3, 2));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn with_drop_a_repeat_is_a_duplicate_whatever_it_brings() {
    let mut world = World::new(&["contoso"]);
    world.policy = RepeatPolicy { on_repeat: OnRepeat::Drop, ..world.policy };
    let life = world.start().await;
    world.put(&Event::new("a@example.com", OFFER));
    world.settle().await;
    world.put(&Event::new("a@example.com", OFFER).set("/Action", "Create").at(1));
    world.settle().await;
    assert_eq!(world.held("contoso", "a@example.com", OFFER).unwrap().touched, 1);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_events_of_one_key_at_once_make_one_lead_and_never_meet_at_the_destination() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_millis(200));
    for _ in 0..3 {
        world.put(&Event::new("a@example.com", OFFER));
        world.put(&Event::new("a@example.com", OFFER).set("/Action", "PLT"));
    }
    let life = world.start().await;
    world.settle().await;
    let held = world.held("contoso", "a@example.com", OFFER).unwrap();
    assert_eq!((held.created, held.touched), (1, 2));
    world.destination("contoso").assert_no_lead_was_created_twice();
    let retried = life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}");
    assert_eq!(retried, 0.0, "the others wait in the lane for the one that is under way");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_is_dead_lettered_with_its_reason() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    world.broker.put(raw("not json"));
    world.put(&Event::new("a@example.com", "nobody.knows"));
    world.put(&Event::new("not an address", OFFER));
    world.settle().await;
    let reasons: Vec<String> = world.dead_reasons().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["malformed", "unroutable", "malformed"]);
    let details: Vec<String> = world.dead_reasons().into_iter().map(|(_, detail)| detail).collect();
    assert!(details[2].contains("/CustomerInfo/Email"), "{details:?}");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_lead_is_retried_with_growing_delays_and_exhausts_its_attempts() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").poison(world.key("bad@example.com", OFFER));
    let life = world.start().await;
    for n in 0..99 {
        world.put(&Event::new(&format!("good{n}@example.com"), OFFER));
    }
    world.put(&Event::new("bad@example.com", OFFER));
    // The first round fails for all; the second finds the culprit.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.destination("contoso").holdings().len(), 99);
    world.settle().await;
    assert_eq!(world.dead_reasons(), [("attempts_exhausted".to_owned(), "poisoned".to_owned())]);
    assert_eq!(world.destination("contoso").holdings().len(), 99);
    life.stop().await;
}

/// In an outage each request more is one too many: only what fails again is worth a search for a culprit.
#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_not_split_before_its_second_round() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(transient()));
    let life = world.start().await;
    for n in 0..100 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    let sent = || world.destination("contoso").calls().iter().map(|call| call.keys.len()).sum::<usize>();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(sent(), 100, "each lead once");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(sent() > 200, "the second round halves");
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 100);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_lead_dies_and_its_neighbours_live() {
    let world = World::new(&["contoso"]);
    let bad = world.key("bad@example.com", OFFER);
    world.destination("contoso").set_fault(Fault::One(bad, rejected()));
    let life = world.start().await;
    for n in 0..50 {
        world.put(&Event::new(&format!("good{n}@example.com"), OFFER));
    }
    world.put(&Event::new("bad@example.com", OFFER));
    world.settle().await;
    assert_eq!(world.dead_reasons(), [("rejected".to_owned(), "PropertyValueTooLarge".to_owned())]);
    assert_eq!(world.destination("contoso").holdings().len(), 50);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rejected_by_everybody_is_not_rejected() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(rejected()));
    let life = world.start().await;
    for n in 0..1_000 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(life.metric("leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}"), 1.0);
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(world.destination("contoso").holdings().len(), 1_000);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_for_nine_days_charge_nobody_and_kill_nothing() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(Reply::Credentials(Code::known("AuthenticationFailed"))));
    let life = world.start().await;
    for n in 0..300 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    tokio::time::sleep(Duration::from_secs(9 * 24 * 3_600)).await;
    world.destination("contoso").heal();
    world.settle_within(Duration::from_secs(3_600)).await;
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(world.destination("contoso").holdings().len(), 300);
    for fate in ["retried", "handed_back"] {
        let settled = format!("leadrelay_settled_total{{destination=\"contoso\",fate=\"{fate}\"}}");
        assert_eq!(life.metric(&settled), 0.0, "{fate}");
    }
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_eight_days_is_no_older_for_it() {
    let world = World::new(&["contoso"]);
    let mended_at = Instant::now() + Duration::from_secs(8 * 24 * 3_600);
    let mut probed = false;
    world.destination("contoso").set_script(move |call| match call.at < mended_at {
        true => Fault::Whole(Reply::Credentials(Code::known("AuthenticationFailed"))),
        // The probe succeeds; the rest fail once more, and are charged for it.
        false if probed && call.at < mended_at + Duration::from_secs(600) => Fault::Whole(transient()),
        false => {
            probed = true;
            Fault::Nothing
        }
    });
    let life = world.start().await;
    for n in 0..5 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    world.settle().await;
    assert!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}") > 0.0);
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(world.destination("contoso").holdings().len(), 5);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_never_answers_does_not_slow_another() {
    let world = World::new(&["contoso", "fabrikam"]);
    world.destination("contoso").set_fault(Fault::HangsForEver);
    let life = world.start().await;
    for n in 0..3_000 {
        world.put(&Event::new(&format!("lead{n}@example.com"), "contoso.x"));
        world.put(&Event::new(&format!("lead{n}@example.com"), "fabrikam.x"));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.destination("fabrikam").holdings().len(), 3_000);
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 3_000);
    assert_eq!(world.dead_reasons(), []);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_for_and_costs_nobody_his_attempts() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_fault(Fault::Whole(transient()));
    let life = world.start().await;
    for n in 0..2_000 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3_600)).await;
    world.destination("contoso").heal();
    world.settle().await;
    assert_eq!(world.dead_reasons(), []);
    assert_eq!(world.destination("contoso").holdings().len(), 2_000);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_suppresses_what_was_granted_before_and_marks_what_was_delivered() {
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    world.put(&Event::new("a@example.com", OFFER).at(0));
    world.put(&Event::new("a@example.com", "contoso.second").at(0));
    world.settle().await;
    world.put(&Event::new("a@example.com", OFFER).at(10).withdrawn());
    world.settle().await;
    for offer in [OFFER, "contoso.second"] {
        assert!(world.held("contoso", "a@example.com", offer).unwrap().lead.withdrawn_at.is_some(), "{offer}");
    }
    world.put(&Event::new("a@example.com", "contoso.third").at(5));
    world.settle().await;
    assert!(world.held("contoso", "a@example.com", "contoso.third").is_none());
    world.put(&Event::new("a@example.com", OFFER).at(20));
    world.settle().await;
    assert!(world.held("contoso", "a@example.com", OFFER).unwrap().lead.withdrawn_at.is_none(), "lifted");
    assert_eq!(world.dead_reasons(), []);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_a_producer_forges_is_an_ordinary_withdrawal() {
    use leadrelay::domain::envelope::{self, HeaderValue};
    let world = World::new(&["contoso"]);
    let life = world.start().await;
    let mut message = Event::new("a@example.com", OFFER).withdrawn().message();
    let forged = HeaderValue::Text(format!("contoso:{}", "0".repeat(32)));
    message.properties.headers.insert(envelope::MARK.to_owned(), forged);
    world.broker.put(message);
    world.settle().await;
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"\",fate=\"suppressed\"}"), 1.0);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_settles_or_hands_back_everything() {
    let world = World::new(&["contoso"]);
    world.destination("contoso").set_latency(Duration::from_secs(3));
    for n in 0..5_000 {
        world.put(&Event::new(&format!("lead{n}@example.com"), OFFER));
    }
    let life = world.start().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(life.stop().await, Ended::Stopped);
    assert_eq!(world.broker.held(), 0);
    assert_eq!(world.broker.dropped(), 0);
    let left = world.broker.messages(&leadrelay::broker::Queue::Inbox).len();
    assert_eq!(left + world.destination("contoso").holdings().len(), 5_000);
    world.destination("contoso").set_latency(Duration::ZERO);
    let life = world.start().await;
    world.settle().await;
    assert_eq!(world.destination("contoso").holdings().len(), 5_000);
    life.stop().await;
}
