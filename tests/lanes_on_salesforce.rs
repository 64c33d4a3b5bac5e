//! The worker on a broker in memory and the sandbox: an org that changes under it costs no lead anything.

mod support;

use std::sync::Arc;
use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::destination::Destination;
use leadrelay::destination::salesforce::rest::Settings;
use leadrelay::domain::route::DestinationName;
use leadrelay::steps::Steps;
use tokio::time::Instant;

use support::org::Org;
use support::world::{Event, Life, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + MINUTE;
    while !reached() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start(world: &World, org: &Org) -> Life {
    start_with(world, org, org.settings()).await
}

async fn start_with(world: &World, org: &Org, settings: Settings) -> Life {
    let rest: Arc<dyn Destination> = Arc::new(org.open(settings));
    let destinations = vec![(DestinationName::parse("contoso").unwrap(), rest, world.policy)];
    world.launch(Arc::new(world.broker.clone()), destinations, Steps::default()).await
}

fn world() -> World {
    let mut world = World::new(&["contoso"]);
    let health = &mut world.settings.health;
    (health.pause_first, health.pause_max) = (Duration::from_millis(50), Duration::from_millis(200));
    health.rejecting_probe = Duration::from_millis(200);
    world
}

fn keys_once(org: &Org) -> usize {
    let leads = org.sandbox.leads();
    let keys: std::collections::BTreeSet<_> =
        leads.iter().map(|lead| lead["Leadrelay_Key__c"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys.len(), leads.len(), "a key stands twice");
    keys.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_suddenly_required_costs_none_of_a_thousand_leads_anything() {
    let (world, org) = (world(), Org::new().await);
    org.sandbox.set(|settings| settings.required = vec!["Phone".into()]);
    for n in 0..1_000 {
        world.put(&Event::new(&format!("lead{n}@canary.example"), "contoso.appliance"));
    }
    let life = start(&world, &org).await;
    let rejecting = "leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}";
    until("the lane rejects", || life.metric(rejecting) == 1.0).await;
    assert_eq!((org.count(), world.broker.messages(&Queue::Dead).len()), (0, 0));
    org.sandbox.set(|settings| settings.required.clear());
    until("all are delivered", || org.count() == 1_000).await;
    until("all are settled", || {
        life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"delivered\"}") == 1_000.0
    })
    .await;
    assert_eq!(keys_once(&org), 1_000);
    assert_eq!(world.broker.messages(&Queue::Dead).len(), 0);
    let _ = life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_calls_that_are_used_up_pause_the_lane_and_charge_nobody_until_there_are_more() {
    let (world, org) = (world(), Org::new().await);
    org.sandbox.use_quota(100_000);
    for n in 0..1_000 {
        world.put(&Event::new(&format!("lead{n}@canary.example"), "contoso.appliance"));
    }
    // No brake: it learns by being refused.
    let life = start_with(&world, &org, Settings { api_usage_max: 100, ..org.settings() }).await;
    until("the lane is throttled", || {
        life.metric("leadrelay_lane_state{destination=\"contoso\",state=\"throttled\"}") == 1.0
    })
    .await;
    assert_eq!((org.count(), world.broker.messages(&Queue::Dead).len()), (0, 0));
    org.sandbox.advance(jiff::SignedDuration::from_hours(24));
    let settled = |fate| life.metric(&format!("leadrelay_settled_total{{destination=\"contoso\",fate=\"{fate}\"}}"));
    until("all are settled", || settled("delivered") == 1_000.0).await;
    assert_eq!((settled("retried"), keys_once(&org)), (0.0, 1_000));
    assert_eq!(world.broker.messages(&Queue::Dead).len(), 0);
    let _ = life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_in_all_sorts_of_trouble_ends_with_every_lead_once() {
    let (world, org) = (world(), Org::new().await);
    let faults = [
        "collections:drop-after:share=0.2",
        "collections:half-body:share=0.1",
        "collections:status=503:share=0.1",
        "rest:status=500:share=0.1",
        "token:status=503:share=0.2",
        "any:lock:share=0.05",
    ];
    for fault in faults {
        org.sandbox.fault(fault.parse().expect("a fault"));
    }
    for n in 0..1_000 {
        world.put(&Event::new(&format!("lead{n}@canary.example"), "contoso.appliance"));
    }
    let life = start(&world, &org).await;
    until("most are there", || org.count() > 900).await;
    org.sandbox.expire_tokens();
    org.sandbox.clear_faults();
    until("all are delivered", || org.count() == 1_000).await;
    until("all are settled", || {
        life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"delivered\"}") == 1_000.0
    })
    .await;
    assert_eq!(keys_once(&org), 1_000);
    assert_eq!(world.broker.messages(&Queue::Dead).len(), 0);
    let _ = life.stop().await;
}
