//! The crash test: stop after (and before) every step of every path, restart, and find nothing lost and nothing
//! delivered twice; where the destination cannot tell a repeat, nothing sent twice, or nothing missing, as configured.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadrelay::destination::memory::{Call, Fault};
use leadrelay::domain::dead_letter::{Ending, State};
use leadrelay::domain::envelope::{self, HeaderValue, Message};
use leadrelay::domain::lead_key::LeadKey;
use leadrelay::domain::reply::{Code, OnUnknown, Quick, Reply};
use leadrelay::office::letter;
use leadrelay::steps::{Edge, Passing, Step, Steps};
use leadrelay::store::dead_letters::{Act, DeadLetters, Filter, Owning, Selection};
use support::world::{Event, Life, World, raw};
use tokio::time::Instant;

const OFFER: &str = "contoso.appliance";

/// What happens to the worker's work, so that every step is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// To a destination that cannot tell a repeat: accepted, rejected, refused for a while, never answered, repeated.
    Post(OnUnknown),
    /// Likewise, and the ledger stays away until everything is handed back.
    PostLedgerGone(OnUnknown),
    /// Likewise, and the worker is asked to stop in the middle.
    PostStop(OnUnknown),
    /// Dead letters are taken into the office, and some that were replayed come to their end.
    Office,
}

impl Path {
    const ALL: [Self; 13] = [
        Self::Deliver,
        Self::Withdraw,
        Self::SplitSlowly,
        Self::Pause,
        Self::LedgerGone,
        Self::Stop,
        Self::Post(OnUnknown::DeadLetter),
        Self::Post(OnUnknown::Resend),
        Self::PostLedgerGone(OnUnknown::DeadLetter),
        Self::PostLedgerGone(OnUnknown::Resend),
        Self::PostStop(OnUnknown::DeadLetter),
        Self::PostStop(OnUnknown::Resend),
        Self::Office,
    ];

    /// What becomes of a lead of unknown outcome, where the destination cannot tell a repeat.
    fn posts(self) -> Option<OnUnknown> {
        match self {
            Self::Post(on_unknown) | Self::PostLedgerGone(on_unknown) | Self::PostStop(on_unknown) => Some(on_unknown),
            _ => None,
        }
    }

    fn world(self) -> World {
        let mut world = match self.posts() {
            None => World::new(&["contoso"]),
            Some(on_unknown) => World::posting("contoso", on_unknown, None),
        };
        let contoso = Arc::clone(world.destination("contoso"));
        let start = Instant::now();
        match self {
            Self::Deliver => {}
            Self::Office => world.ingest = true,
            Self::Withdraw => contoso.set_latency(Duration::from_millis(50)),
            Self::SplitSlowly => {
                let bad = world.key("lead3@example.com", OFFER);
                contoso.set_latency(Duration::from_secs(8));
                contoso.set_script(move |call| fails_for(call, bad, start, Duration::from_secs(120)));
            }
            Self::Pause => contoso.set_script(move |_| throttled(start)),
            Self::Post(_) => {
                let leads = [3, 4, 5].map(|n| world.key(&format!("lead{n}@example.com"), OFFER));
                contoso.set_latency(Duration::from_millis(50));
                contoso.set_script(move |call| answers(call, leads, start));
            }
            Self::LedgerGone | Self::Stop | Self::PostLedgerGone(_) | Self::PostStop(_) => {
                contoso.set_latency(Duration::from_millis(1_500))
            }
        }
        for event in self.events() {
            world.broker.put(event);
        }
        world
    }

    fn events(self) -> Vec<Message> {
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
            Self::Post(_) => {
                events.extend((0..3).map(|n| lead(n).message()));
                events.push(lead(7).set("/Action", "DNC").message());
                events.push(lead(7).set("/Action", "PLT").at(5).message());
                events.push(lead(1).at(10).withdrawn().message());
                events.push(raw("not json"));
            }
            Self::Office => {
                events.push(raw("not json"));
                events.push(raw("not json either"));
                events.push(Event::new("x@example.com", "nobody.knows").message());
                events.extend((0..3).map(|n| replay(lead(10 + n).message())));
                events.push(replay(Event::new("y@example.com", "nobody.knows").message()));
            }
            Self::SplitSlowly | Self::Pause | Self::LedgerGone | Self::Stop => {}
            Self::PostLedgerGone(_) | Self::PostStop(_) => {}
        }
        events
    }

    /// What happens to the worker from outside while it works.
    async fn disturb(self, world: &World) {
        if matches!(self, Self::LedgerGone | Self::PostLedgerGone(_)) {
            tokio::time::sleep(Duration::from_millis(700)).await;
            world.ledger.fail(true);
            tokio::time::sleep(Duration::from_secs(100)).await;
            world.ledger.fail(false);
        }
    }
}

/// The event as the first replay of its letter.
fn replay(mut event: Message) -> Message {
    let id = World::new(&[]).keyring.dead_id(&event.body, None, 0);
    event.properties.headers.insert(envelope::REPLAY.into(), HeaderValue::Int(1));
    event.properties.headers.insert(envelope::DEAD_ID.into(), HeaderValue::Text(id.to_string()));
    event
}

/// The letters of which the events of [`Path::Office`] are replays stand taken by somebody who never came back.
async fn take_letters(world: &World) {
    for mut event in Path::Office.events() {
        if event.properties.headers.remove(envelope::REPLAY).is_some() {
            event.properties.headers.clear();
            let letter = letter::of(event, &world.keyring, world.clock.now());
            world.letters.take_in(vec![letter], act(world)).await.unwrap();
        }
    }
    let plan = world.letters.freeze(Selection::Filter(Filter::default()), String::new(), act(world)).await.unwrap();
    let (now, until) = (world.clock.now(), world.clock.now() + Duration::from_secs(60));
    let owning = Owning { plan: plan.id, owner: "somebody".into(), now, until };
    world.letters.own_plan(owning.clone()).await.unwrap().unwrap();
    assert_eq!(world.letters.take_next(owning, 9, act(world)).await.unwrap().unwrap().len(), 4);
}

fn act(world: &World) -> Act {
    Act::of_the_worker(world.clock.now())
}

fn fails_for(call: &Call, bad: LeadKey, start: Instant, during: Duration) -> Fault {
    if call.keys.contains(&bad) && start.elapsed() < during {
        Fault::Whole(Reply::Transient { code: Code::known("http_500"), quick: Quick::Pointless })
    } else {
        Fault::Nothing
    }
}

/// One is refused for a while, one is rejected, one arrives and is never answered.
fn answers(call: &Call, [refused, rejected, unanswered]: [LeadKey; 3], start: Instant) -> Fault {
    let code = Code::known("code");
    match call.keys[0] {
        key if key == rejected => Fault::Whole(Reply::Rejected(code)),
        key if key == refused && start.elapsed() < Duration::from_secs(20) => {
            Fault::Whole(Reply::Transient { code, quick: Quick::Pointless })
        }
        key if key == unanswered && start.elapsed() < Duration::from_secs(4) => Fault::AnswerLost(Reply::Unknown(code)),
        _ => Fault::Nothing,
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

fn remains(world: &World, path: Path, when: &str) -> Remains {
    if let Some(on_unknown) = path.posts() {
        return remains_of_posts(world, on_unknown, when);
    }
    if path == Path::Office {
        assert_every_replay_has_ended(world, when);
    }
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
        dead: match path {
            Path::Office => {
                assert_eq!(world.dead().len(), 0, "{when}");
                let dead = world.letters.all().into_iter().filter(|kept| kept.entry.state == State::Dead);
                dead.map(|kept| kept.message.body.to_vec()).collect()
            }
            _ => world.dead().into_iter().map(|letter| letter.body.to_vec()).collect(),
        },
    }
}

/// Each as it did; only whether a lead was delivered or had been so already may hang on a crash.
fn assert_every_replay_has_ended(world: &World, when: &str) {
    let replayed = world.letters.all().into_iter().filter(|kept| kept.entry.state != State::Dead);
    let mut ended: Vec<_> = replayed.map(|kept| (kept.entry.state, kept.entry.ending.expect(when))).collect();
    ended
        .iter_mut()
        .filter(|(_, ending)| *ending == Ending::Duplicate)
        .for_each(|(_, ending)| *ending = Ending::Delivered);
    ended.sort_by_key(|(_, ending)| *ending);
    let expected = [Ending::Delivered, Ending::Delivered, Ending::Delivered, Ending::Dead];
    assert_eq!(ended, expected.map(|ending| (State::Replayed, ending)), "{when}");
}

/// The destination counts every send that arrives. Once at most: each lead is there once, or dead, and neither nobody's.
/// Again: each is there, and nothing is dead for not being known to be.
fn remains_of_posts(world: &World, on_unknown: OnUnknown, when: &str) -> Remains {
    let contoso = world.destination("contoso");
    assert_eq!(contoso.breaches(), [""; 0], "{when}");
    assert_eq!(world.broker.dropped(), 0, "{when}");
    let mut leads: BTreeMap<String, String> = BTreeMap::new();
    for (key, holding) in contoso.holdings() {
        // One lead is created twice by design: first as do-not-contact, then with an action that may be heard.
        let most = if key == world.key("lead7@example.com", OFFER) { 2 } else { 1 };
        assert!(on_unknown == OnUnknown::Resend || holding.created <= most, "{when}: {key} {} times", holding.created);
        leads.insert(format!("{key:?}"), "accounted for".into());
    }
    let mut dead = BTreeSet::new();
    for letter in world.dead() {
        let reason = letter.properties.headers.get(envelope::REASON).and_then(HeaderValue::as_text);
        assert!(on_unknown == OnUnknown::DeadLetter || reason != Some("unknown"), "{when}");
        match serde_json::from_slice::<serde_json::Value>(&letter.body) {
            // Of a lead that would have been rejected a crash may hide that it was.
            Ok(event) if on_unknown == OnUnknown::DeadLetter => {
                let key = world.key(event["CustomerInfo"]["Email"].as_str().unwrap(), OFFER);
                leads.insert(format!("{key:?}"), "accounted for".into());
            }
            _ => drop(dead.insert(letter.body.to_vec())),
        }
    }
    // Withdrawn at about the time at which it is sent: delivered and left unmarked, or suppressed.
    leads.remove(&format!("{:?}", world.key("lead1@example.com", OFFER)));
    Remains { leads, dead }
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
    if path == Path::Office {
        take_letters(&world).await;
    }
    let passes = Passes::default();
    let steps = watched(&passes, crash);
    let life = world.start_watched(steps.clone()).await;
    let crashed = async { steps.crashed().await };
    let work = async {
        if matches!(path, Path::Stop | Path::PostStop(_)) {
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
    (remains(&world, path, &format!("{path:?} {crash:?}")), passes)
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
    // The steps of a replay are no worker's: `replays.rs` stops at each of them.
    let of_a_worker = |step: &&Step| !matches!(step, Step::Take | Step::MarkPublished | Step::GiveBack);
    let mut never_passed: BTreeSet<&str> = Step::ALL.iter().filter(of_a_worker).map(|step| step.name()).collect();
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
