//! The worker on a broker in memory, and Web-to-Lead of the sandbox: an org that changes under it costs no lead anything,
//! and a post that is never answered is never made twice.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::destination::Destination;
use leadrelay::destination::http::HttpSettings;
use leadrelay::destination::salesforce::web_to_lead::{Settings, WebToLead};
use leadrelay::domain::allowance::{Daily, OnDailyLimit};
use leadrelay::domain::reply::OnUnknown;
use leadrelay::domain::route::DestinationName;
use leadrelay::sandbox::{Fate, Options, Sandbox};
use leadrelay::steps::Steps;
use leadrelay::telemetry::Telemetry;
use support::world::{Event, Life, World};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(180);
const LEADS: usize = 1_000;

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < end, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn org() -> Sandbox {
    let sandbox = Sandbox::start(Options::default()).await.expect("a sandbox");
    sandbox.set(|org| org.web_to_lead.daily = 100_000);
    sandbox
}

fn world() -> World {
    let mut world = World::new(&["contoso"]);
    world.policy.updates = false;
    let health = &mut world.settings.health;
    (health.pause_first, health.pause_max) = (Duration::from_millis(50), Duration::from_millis(200));
    health.rejecting_probe = Duration::from_millis(200);
    for n in 0..LEADS {
        world.put(&Event::new(&format!("lead{n}@canary.example"), "contoso.appliance"));
    }
    world
}

async fn start(world: &World, org: &Sandbox, on_unknown: OnUnknown) -> Life {
    let settings = Settings {
        oid: "00D5g0000000001".into(),
        endpoint: org.web_to_lead_url(),
        fields: Vec::new(),
        on_unknown,
        daily: Daily { limit: 500, on_limit: OnDailyLimit::Send },
        in_flight_max: 8,
        send_timeout: Duration::from_secs(15),
        http: HttpSettings::default(),
    };
    let form = WebToLead::new(settings, Arc::new(Telemetry::new())).expect("a destination");
    let form: Arc<dyn Destination> = Arc::new(form);
    let destinations = vec![(DestinationName::parse("contoso").unwrap(), form, world.policy)];
    world.launch(Arc::new(world.broker.clone()), destinations, Steps::default()).await
}

/// How often each lead was made, by its address.
fn made(org: &Sandbox) -> BTreeMap<String, u32> {
    let mut made = BTreeMap::new();
    for post in org.posts().iter().filter(|post| matches!(post.fate, Fate::Created(_))) {
        *made.entry(post.form["email"].clone()).or_insert(0) += 1;
    }
    made
}

fn settled(life: &Life, fate: &str) -> f64 {
    life.metric(&format!("leadrelay_settled_total{{destination=\"contoso\",fate=\"{fate}\"}}"))
}

async fn costs_nothing(breaks: impl FnOnce(&Sandbox), mends: impl FnOnce(&Sandbox)) {
    let (world, org) = (world(), org().await);
    breaks(&org);
    let life = start(&world, &org, OnUnknown::DeadLetter).await;
    let rejecting = "leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}";
    until("the lane rejects", || life.metric(rejecting) == 1.0).await;
    assert_eq!((made(&org).len(), world.dead().len()), (0, 0));
    mends(&org);
    until("all are settled", || settled(&life, "delivered") == LEADS as f64).await;
    let made = made(&org);
    assert_eq!((made.len(), made.values().max()), (LEADS, Some(&1)));
    assert_eq!((world.dead().len(), world.ledger.intents().len()), (0, 0));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_oid_costs_none_of_a_thousand_leads_anything() {
    let is = |oid: &'static str| move |org: &Sandbox| org.set(|settings| settings.oid = oid.into());
    costs_nothing(is("00D5g0000000002"), is("00D5g0000000001")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_suddenly_required_costs_none_of_a_thousand_leads_anything() {
    let require = |org: &Sandbox| org.set(|settings| settings.required = vec!["Phone".into()]);
    costs_nothing(require, |org| org.set(|settings| settings.required.clear())).await;
}

const TROUBLE: [&str; 4] = [
    "web-to-lead:drop-after:share=0.03",
    "web-to-lead:drop-before:share=0.03",
    "web-to-lead:status=503:share=0.05",
    "web-to-lead:status=200:share=0.02:body=<html>maintenance</html>",
];

#[tokio::test(flavor = "multi_thread")]
async fn in_all_sorts_of_trouble_no_lead_is_made_twice_and_each_is_made_or_dead_as_unknown() {
    let (world, org) = (world(), org().await);
    TROUBLE.iter().for_each(|fault| org.fault(fault.parse().expect("a fault")));
    let life = start(&world, &org, OnUnknown::DeadLetter).await;
    until("most are there", || made(&org).len() > 800).await;
    org.clear_faults();
    until("all are settled", || settled(&life, "delivered") + settled(&life, "dead") == LEADS as f64).await;
    let made = made(&org);
    assert_eq!(made.values().max(), Some(&1), "made twice");
    let dead: Vec<String> = world
        .dead()
        .iter()
        .map(|letter| {
            let event: serde_json::Value = serde_json::from_slice(&letter.body).unwrap();
            event["CustomerInfo"]["Email"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(world.dead_reasons().iter().all(|(reason, _)| reason == "unknown"), "{:?}", world.dead_reasons());
    let accounted: std::collections::BTreeSet<_> = made.keys().chain(&dead).collect();
    assert_eq!(accounted.len(), LEADS);
    assert_eq!(world.ledger.intents().len(), dead.len());
    println!("{} dead as unknown, {} of them made", dead.len(), dead.len() + made.len() - LEADS);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_resend_in_all_sorts_of_trouble_every_lead_is_made_and_none_is_dead() {
    let (world, org) = (world(), org().await);
    TROUBLE.iter().for_each(|fault| org.fault(fault.parse().expect("a fault")));
    let life = start(&world, &org, OnUnknown::Resend).await;
    until("most are there", || made(&org).len() > 800).await;
    org.clear_faults();
    until("all are settled", || settled(&life, "delivered") == LEADS as f64).await;
    let made = made(&org);
    assert_eq!((made.len(), world.dead().len(), world.ledger.intents().len()), (LEADS, 0, 0));
    println!("{} made twice or more", made.values().filter(|times| **times > 1).count());
    life.stop().await;
}
