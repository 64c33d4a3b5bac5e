//! The real program, the real broker, and the sandbox's REST: killed again and again while it works, and every lead
//! stands there once.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use leadrelay::sandbox::{Options, Sandbox};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use support::process::{Rig, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

/// Answers are slow enough to be killed in, and some are lost after the records were written.
const FAULTS: [&str; 3] =
    ["collections:slow=20ms", "collections:drop-after:share=0.05", "collections:status=503:share=0.05"];

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_at_random_leave_each_of_five_thousand_leads_in_salesforce_once() {
    let seed = rand::random();
    println!("seed {seed}");
    let options = Options {
        seed,
        custom_fields: ["Offer__c", "Journey__c"].map(|field| field.parse().unwrap()).into(),
        faults: FAULTS.map(|fault| fault.parse().unwrap()).into(),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    tokio::task::block_in_place(|| kill_and_check(&sandbox, seed));
}

fn kill_and_check(sandbox: &Sandbox, seed: u64) {
    let rig = Rig::new("org");
    rig.configure_salesforce(&sandbox.url());
    let mut chance = SmallRng::seed_from_u64(seed);
    for kill in 0..20 {
        rig.publish(kill, 300);
        let written = || sandbox.counters().records;
        // Fewer than the leads that each publish brings.
        let enough = written() + chance.random_range(1..230);
        let worker = rig.start(&[]);
        wait_until(MINUTE, "it writes", || written() >= enough);
        std::thread::park_timeout(Duration::from_millis(chance.random_range(0..50)));
        worker.kill();
    }
    println!("{} leads after the last kill", sandbox.leads().len());
    let worker = rig.start(&[]);
    rig.wait_until_drained(2 * MINUTE);
    let metrics = worker.metrics();
    assert_eq!(worker.stop().code(), Some(0));
    sandbox.clear_faults();
    let verdict = rig.check_org(&sandbox.url());
    println!("{verdict}");
    let leads = sandbox.leads();
    let keys: BTreeSet<_> = leads.iter().map(|lead| lead["Leadrelay_Key__c"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), leads.len(), "an external id stands twice");
    assert!(leads.len() >= 5_000, "{}", leads.len());
    assert_eq!((&verdict["unconfirmed"], &verdict["fates"]["queued"]), (&0.into(), &serde_json::Value::Null));
    // publish.py adds two broken ones a call.
    let malformed = |letter: &serde_json::Value| letter["headers"]["x-leadrelay-reason"] == "malformed";
    let innocent: Vec<_> = rig.dead().into_iter().filter(|letter| !malformed(letter)).collect();
    assert!(innocent.is_empty(), "{innocent:#?}");
    rig.assert_no_canary_sang(&metrics);
}
