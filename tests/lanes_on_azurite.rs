//! The worker on a broker in memory and a real Azurite, behind a proxy that does harm: whom the harm costs what.

mod support;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::broker::Queue;
use leadrelay::destination::Destination;
use leadrelay::destination::azure_table::Settings;
use leadrelay::domain::retry::Tier;
use leadrelay::domain::route::DestinationName;
use leadrelay::steps::Steps;
use tokio::time::Instant;

use support::azure::Azurite;
use support::fault_proxy::{Fault, Seen};
use support::world::{Event, Life, World};
use tokio::sync::Notify;

const OFFER: &str = "contoso.appliance";
const MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    world: World,
    azurite: Azurite,
}

impl Scene {
    /// With so many leads in the inbox, and short pauses.
    async fn new(leads: usize) -> Self {
        let mut world = World::new(&["contoso"]);
        let health = &mut world.settings.health;
        (health.pause_first, health.pause_max) = (Duration::from_millis(50), Duration::from_millis(200));
        health.rejecting_probe = Duration::from_millis(200);
        let scene = Self { world, azurite: Azurite::new().await };
        scene.put(0..leads);
        scene
    }

    fn put(&self, leads: Range<usize>) {
        for n in leads {
            self.world.put(&Event::new(&format!("lead{n}@canary.example"), OFFER));
        }
    }

    async fn start(&self) -> Life {
        self.start_with(self.azurite.own_settings()).await
    }

    async fn start_with(&self, settings: Settings) -> Life {
        let table: Arc<dyn Destination> = Arc::new(self.azurite.open(settings));
        let destinations = vec![(DestinationName::parse("contoso").unwrap(), table, self.world.policy)];
        self.world.launch(Arc::new(self.world.broker.clone()), destinations, Steps::default()).await
    }

    async fn until_rows(&self, count: usize) {
        let end = Instant::now() + MINUTE;
        while self.azurite.rows().await.len() < count {
            assert!(Instant::now() < end, "only {} rows", self.azurite.rows().await.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn key(&self, lead: usize) -> String {
        self.world.key(&format!("lead{lead}@canary.example"), OFFER).to_string()
    }
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + MINUTE;
    while !reached() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault::json(status, format!("{{\"odata.error\":{{\"code\":\"{code}\"}}}}"))
}

fn names(seen: &Seen, key: &str) -> bool {
    seen.target.contains(key) || seen.text().contains(key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fails_its_batch_costs_its_ninety_nine_neighbours_one_round_and_itself_all_of_its_attempts() {
    let mut scene = Scene::new(0).await;
    scene.world.settings.limits.attempts = 3;
    let culprit = scene.key(42);
    let (key, held) = (culprit.clone(), Arc::new(Notify::new()));
    let (mut first, gate) = (true, Arc::clone(&held));
    scene.azurite.proxy.set(move |seen| match std::mem::take(&mut first) {
        true => Fault::pass_after(&gate),
        false if names(seen, &key) => Fault::status(500),
        false => Fault::Pass,
    });
    let life = scene.start_with(Settings { in_flight_max: 1, ..scene.azurite.own_settings() }).await;
    // While one is under way the others gather: they go as one batch.
    scene.put(100..101);
    until("the first is under way", || !scene.azurite.proxy.requests().is_empty()).await;
    scene.put(0..100);
    until("all have arrived", || life.metric("leadrelay_in_flight") == 101.0).await;
    held.notify_one();
    let retried = |tier| scene.world.broker.messages(&Queue::Retry(tier));
    until("the first round fails for all", || !retried(Tier::S5).is_empty()).await;
    scene.until_rows(100).await;
    // The second round is over, and the culprit is found.
    until("the culprit alone waits for its third", || retried(Tier::S30).len() == 1).await;
    assert_eq!(scene.azurite.rows().await.iter().filter(|row| row["RowKey"] == culprit.as_str()).count(), 0);
    scene.azurite.proxy.requests();
    until("it has exhausted its attempts", || !scene.world.dead().is_empty()).await;
    assert!(scene.azurite.proxy.requests().iter().all(|seen| names(seen, &culprit)), "only it was sent again");
    assert_eq!(scene.world.dead_reasons(), [("attempts_exhausted".to_owned(), "http_500".to_owned())]);
    assert_eq!(scene.azurite.rows().await.len(), 100);
    scene.world.settle_within(MINUTE).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_account_key_charges_nobody_and_once_mended_all_are_delivered() {
    let scene = Scene::new(250).await;
    scene.azurite.proxy.set(|_| refusal(403, "AuthenticationFailed"));
    let life = scene.start().await;
    let mut refused = 0;
    until("it was refused eight times", || {
        refused += scene.azurite.proxy.requests().len();
        refused >= 8
    })
    .await;
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    scene.azurite.proxy.heal();
    scene.until_rows(250).await;
    scene.world.settle_within(MINUTE).await;
    assert_eq!(life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    assert_eq!(scene.world.dead_reasons(), []);
    assert_eq!(scene.azurite.rows().await.len(), 250);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_refuses_everything_with_one_code_pauses_the_lane_and_kills_nothing() {
    let scene = Scene::new(60).await;
    let life = scene.start().await;
    scene.until_rows(60).await;
    scene.azurite.proxy.set(|_| refusal(400, "PropertyNameInvalid"));
    scene.put(60..300);
    let rejecting = "leadrelay_lane_state{destination=\"contoso\",state=\"rejecting\"}";
    until("the lane is rejecting", || life.metric(rejecting) == 1.0).await;
    scene.azurite.proxy.requests();
    let mut probes = 0;
    until("it has probed five times", || {
        probes += scene.azurite.proxy.requests().len();
        probes >= 5
    })
    .await;
    assert_eq!(scene.world.dead_reasons(), []);
    scene.azurite.proxy.heal();
    scene.until_rows(300).await;
    scene.world.settle_within(MINUTE).await;
    assert_eq!(scene.world.dead_reasons(), []);
    life.stop().await;
}
