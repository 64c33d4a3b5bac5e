//! The crash test: stop after (and before) every step of every path, restart, and find nothing lost and nothing
//! delivered twice.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadrelay::destination::memory::{Call, Fault};
use leadrelay::domain::reply::{Code, Quick, Reply};
use leadrelay::steps::{Edge, Passing, Step, Steps};
use support::world::{Event, Life, World, raw};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";

/// What happens to the worker's work, so that every step is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Path {
    /// First deliveries, duplicates, merges, dead letters.
    Deliver,
    /// Grants and withdrawals, before and after.
    Withdraw,
    /// One lead fails every batch it is in; requests are slow, so that claims must be renewed.
    SplitSlowly,
    /// The destination asks for a pause: leads wait.
    Pause,
    /// The ledger stays away until everything is handed back.
    LedgerGone,
    /// The worker is asked to stop in the middle.
    Stop,
}

impl Path {
    const ALL: [Self; 6] =
        [Self::Deliver, Self::Withdraw, Self::SplitSlowly, Self::Pause, Self::LedgerGone, Self::Stop];

    fn world(self) -> World {
        let world = World::new(&["contoso"]);
        let contoso = world.destination("contoso");
        let start = Instant::now();
        match self {
            Self::Deliver => {}
            Self::Withdraw => contoso.set_latency(Duration::from_millis(50)),
            Self::SplitSlowly => {
                let bad = world.key("lead3@example.com", OFFER);
                contoso.set_latency(Duration::from_secs(8));
                contoso.set_script(move |call| fails_for(call, bad, start, Duration::from_secs(120)));
            }
            Self::Pause => contoso.set_script(move |_| throttled(start)),
            Self::LedgerGone | Self::Stop => contoso.set_latency(Duration::from_millis(1_500)),
        }
        for event in self.events() {
            world.broker.put(event);
        }
        world
    }

    fn events(self) -> Vec<leadrelay::domain::envelope::Message> {
        let lead = |n: u32| Event::new(&format!("lead{n}@example.com"), OFFER);
        let mut events: Vec<_> = (0..6).map(|n| lead(n).message()).collect();
        match self {
            Self::Deliver => {
                events.extend((0..3).map(|n| lead(n).message()));
                events.extend((0..3).map(|n| lead(n).set("/Action", "Create").at(5).message()));
                events.push(raw("not json"));
                events.push(Event::new("x@example.com", "nobody.knows").message());
            }
            Self::Withdraw => {
                events.push(lead(0).at(10).withdrawn().message());
                events.push(lead(9).at(10).withdrawn().message());
                events.push(lead(9).at(5).message());
                events.push(lead(1).at(10).withdrawn().message());
                events.push(lead(1).at(20).message());
            }
            Self::SplitSlowly | Self::Pause | Self::LedgerGone | Self::Stop => {}
        }
        events
    }

    /// What happens to the worker from outside while it works.
    async fn disturb(self, world: &World) {
        if self == Self::LedgerGone {
            tokio::time::sleep(Duration::from_millis(700)).await;
            world.ledger.fail(true);
            tokio::time::sleep(Duration::from_secs(100)).await;
            world.ledger.fail(false);
        }
    }
}

fn fails_for(call: &Call, bad: leadrelay::domain::lead_key::LeadKey, start: Instant, during: Duration) -> Fault {
    if call.keys.contains(&bad) && start.elapsed() < during {
        Fault::Whole(Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless })
    } else {
        Fault::Nothing
    }
}

fn throttled(start: Instant) -> Fault {
    if start.elapsed() < Duration::from_secs(30) {
        let retry_after = Some(Duration::from_secs(10));
        Fault::Whole(Reply::Throttled { code: Code::known("http_429"), retry_after })
    } else {
        Fault::Nothing
    }
}

/// What is left of a world when all is settled: what every reader would see, whatever happened on the way.
#[derive(Debug, PartialEq)]
struct Remains {
    leads: BTreeMap<String, String>,
    dead: BTreeSet<Vec<u8>>,
}

fn remains(world: &World, when: &str) -> Remains {
    let contoso = world.destination("contoso");
    contoso.assert_no_lead_was_created_twice();
    assert_eq!(world.broker.dropped(), 0, "{when}");
    let lead = |(key, held): (_, leadrelay::destination::memory::Holding)| {
        let stage = if held.lead.withdrawn_at.is_some() { "do-not-contact" } else { "contact" };
        let actions: Vec<_> = held.lead.journey.iter().map(|step| step.action.clone()).collect();
        (format!("{key:?}"), format!("{stage} {actions:?}"))
    };
    Remains {
        leads: contoso.holdings().into_iter().map(lead).collect(),
        dead: world.dead().into_iter().map(|letter| letter.body.to_vec()).collect(),
    }
}

type Passes = Arc<Mutex<HashMap<(Step, Edge), u32>>>;

/// Counts every pass, and crashes at the `nth` of one of them.
fn watched(passes: &Passes, crash: Option<(Step, Edge, u32)>) -> Steps {
    let passes = Arc::clone(passes);
    Steps::watched(Box::new(move |Passing { step, edge, .. }| {
        let mut passes = passes.lock().unwrap();
        let count = passes.entry((step, edge)).or_default();
        *count += 1;
        crash == Some((step, edge, *count))
    }))
}

/// One run: a life that may crash, and, if it did or was stopped, another that finishes.
async fn run(path: Path, crash: Option<(Step, Edge, u32)>) -> (Remains, Passes) {
    let world = path.world();
    let passes = Passes::default();
    let steps = watched(&passes, crash);
    let life = world.start_watched(steps.clone()).await;
    let crashed = async { steps.crashed().await };
    let work = async {
        if path == Path::Stop {
            tokio::time::sleep(Duration::from_millis(700)).await;
        } else {
            path.disturb(&world).await;
            world.settle().await;
        }
    };
    let life = tokio::select! {
        () = crashed => Err(life),
        () = work => Ok(life),
    };
    match life {
        Err(life) => life.kill(&world.broker).await,
        Ok(life) => stop_or_crash(life, &steps, &world).await,
    }
    world.ledger.fail(false);
    let second = world.start().await;
    world.settle().await;
    second.stop().await;
    (remains(&world, &format!("{path:?} {crash:?}")), passes)
}

async fn stop_or_crash(life: Life, steps: &Steps, world: &World) {
    let handle = life.kill_handle();
    let crashed = tokio::select! {
        _ = life.stop() => false,
        () = steps.crashed() => true,
    };
    if crashed {
        handle.kill(&world.broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_of_any_path_loses_nothing_and_delivers_nothing_twice() {
    let mut never_passed: BTreeSet<&str> = Step::ALL.iter().map(|step| step.name()).collect();
    let mut crashes = 0;
    for path in Path::ALL {
        let (expected, passes) = run(path, None).await;
        let passes = passes.lock().unwrap().clone();
        for ((step, edge), count) in passes {
            never_passed.remove(step.name());
            for nth in BTreeSet::from([1, count.div_ceil(2), count]) {
                let (remains, _) = run(path, Some((step, edge, nth))).await;
                assert_eq!(remains, expected, "{path:?}, crashed {edge:?} {} the {nth}th time", step.name());
                crashes += 1;
            }
        }
    }
    assert!(never_passed.is_empty(), "no path passes these steps: {never_passed:?}");
    println!("{crashes} crashes");
}
