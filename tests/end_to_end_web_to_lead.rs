//! The real program, the real broker, and Web-to-Lead of the sandbox, which cannot tell a repeat: killed before and after
//! every step of a post. Either no lead is posted twice, or none is missing, as `on_unknown` says.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use leadrelay::sandbox::{Fate, Options, Sandbox};
use leadrelay::steps::Step;
use support::process::Rig;

const MINUTE: Duration = Duration::from_secs(60);

/// What a post passes, from the claim to the acknowledgement, and how often in a life of twenty events before the kill:
/// so often that others are at every other step. A retraction needs a definite no.
const STEPS: [(Step, u32); 8] = [
    (Step::Claim, 4),
    (Step::Intend, 4),
    (Step::Send, 4),
    (Step::Record, 4),
    (Step::Retract, 2),
    (Step::Release, 1),
    (Step::Publish, 1),
    (Step::Ack, 2),
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_of_a_post_no_lead_is_posted_twice_and_each_is_made_or_dead_as_unknown() {
    let sandbox = sandbox().await;
    tokio::task::block_in_place(|| {
        let rig = killed_at_each_step(&sandbox, "dead-letter");
        let (made, dead) = (made(&sandbox), dead(&rig));
        let twice: Vec<_> = made.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "posted twice: {twice:?}");
        let missing: Vec<_> =
            confirmed(&rig).into_iter().filter(|lead| !made.contains_key(lead) && !dead.contains(lead)).collect();
        assert!(missing.is_empty(), "neither made nor dead: {missing:?}");
        println!(
            "{} made, {} dead as unknown, {} of them made",
            made.len(),
            dead.len(),
            dead.iter().filter(|lead| made.contains_key(*lead)).count()
        );
        // The kill after a send makes one of each kind for certain: it was made, and nobody recorded so.
        assert!(dead.iter().any(|lead| made.contains_key(lead)), "no post was in doubt: {dead:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_of_a_post_with_resend_every_lead_is_made_and_none_is_dead() {
    let sandbox = sandbox().await;
    tokio::task::block_in_place(|| {
        let rig = killed_at_each_step(&sandbox, "resend");
        let made = made(&sandbox);
        let missing: Vec<_> = confirmed(&rig).into_iter().filter(|lead| !made.contains_key(lead)).collect();
        assert!(missing.is_empty(), "not among the posts: {missing:?}");
        assert_eq!(dead(&rig), BTreeSet::new());
        let twice = made.values().filter(|times| **times > 1).count();
        println!("{} made, {twice} of them twice or more", made.len());
        assert!(twice > 0, "no post was in doubt");
    });
}

async fn sandbox() -> Sandbox {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    sandbox.set(|org| org.web_to_lead.daily = 100_000);
    sandbox
}

/// One life a step and edge, each with work of its own; then one that finishes.
fn killed_at_each_step(sandbox: &Sandbox, on_unknown: &str) -> Rig {
    let rig = Rig::new(&format!("form{}", on_unknown.replace('-', "")));
    rig.configure_web_to_lead(&sandbox.web_to_lead_url(), on_unknown);
    let edges = STEPS.into_iter().flat_map(|step| ["before", "after"].map(|edge| (step, edge)));
    for (number, ((step, nth), edge)) in (0..).zip(edges) {
        rig.publish(number, 20);
        // So slow that several are under way at once.
        sandbox.fault("web-to-lead:slow=30ms".parse().unwrap());
        if step == Step::Retract {
            sandbox.fault("web-to-lead:status=503:next=3".parse().unwrap());
        }
        let place = format!("{}.{edge}:{nth}", step.name());
        let mut worker = rig.start(&[("LEADRELAY_CRASH_AT", &place)]);
        let crashed = worker.wait(MINUTE);
        assert!(crashed.is_some_and(|status| !status.success()), "it did not crash at {place}");
        sandbox.clear_faults();
    }
    let worker = rig.start(&[]);
    rig.wait_until_drained(2 * MINUTE);
    let metrics = worker.metrics();
    assert_eq!(worker.stop().code(), Some(0));
    assert_eq!(rig.queued(), "");
    rig.assert_no_canary_sang(&metrics);
    rig
}

/// How often each lead was made, by its address: posts that were answered with a definite no are none.
fn made(sandbox: &Sandbox) -> BTreeMap<String, u32> {
    let mut made = BTreeMap::new();
    for post in sandbox.posts().iter().filter(|post| matches!(post.fate, Fate::Created(_))) {
        *made.entry(post.form["email"].clone()).or_insert(0) += 1;
    }
    made
}

/// The addresses of all leads whose events the broker confirmed.
fn confirmed(rig: &Rig) -> BTreeSet<String> {
    let lines = fs::read_to_string(rig.path("confirmed.jsonl")).unwrap();
    let events = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    // The address, a space, the offer.
    let leads = events.filter_map(|event| Some(event["lead"].as_str()?.split(' ').next()?.to_owned()));
    leads.collect()
}

/// The addresses of the leads that are dead, all of them as unknown; what is malformed has none.
fn dead(rig: &Rig) -> BTreeSet<String> {
    let reason = |letter: &serde_json::Value| letter["headers"]["x-leadrelay-reason"].clone();
    let letters = rig.dead().into_iter().filter(|letter| reason(letter) != "malformed");
    let address = |letter: serde_json::Value| {
        assert_eq!(reason(&letter), "unknown", "{}", letter["headers"]);
        let event: serde_json::Value = serde_json::from_str(letter["body"].as_str().unwrap()).unwrap();
        event["CustomerInfo"]["Email"].as_str().unwrap().to_owned()
    };
    letters.map(address).collect()
}
