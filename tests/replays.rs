//! Plans of replay, run beside a worker in memory on a paused clock: what operators may count on, and a stop at every step.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leadrelay::broker::Queue;
use leadrelay::broker::memory::Fault;
use leadrelay::destination::memory;
use leadrelay::domain::dead_letter::{Ending, State, StateName};
use leadrelay::domain::envelope::{self, HeaderValue, Message};
use leadrelay::domain::lead_key::DeadId;
use leadrelay::domain::replay::Terms;
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::domain::route::DestinationName;
use leadrelay::office::letter;
use leadrelay::office::replay::lanes::{self, Lanes, OpenLane};
use leadrelay::office::replay::plans::{Members, Plan, PlanState};
use leadrelay::office::replay::terms::Kept;
use leadrelay::office::replay::{Ended, LEASE, News, ReplayError, Replayer};
use leadrelay::steps::{Edge, Passing, Step, Steps};
use leadrelay::store::dead_letters::{Act, DeadLetters, Filter};
use leadrelay::telemetry::Telemetry;
use support::world::{Event, World};
use tokio_util::sync::CancellationToken;

const OFFER: &str = "contoso.appliance";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What the worker's own metrics tell, if there is a worker.
struct OfWorker(Option<Arc<Telemetry>>);

#[async_trait]
impl Lanes for OfWorker {
    async fn open(&self) -> Result<Vec<OpenLane>, String> {
        let telemetry = self.0.as_ref().ok_or("there is no worker")?;
        Ok(lanes::read(&telemetry.metrics.render()))
    }
}

fn replayer(world: &World, who: &str, telemetry: Option<&Arc<Telemetry>>) -> Replayer {
    Replayer {
        letters: Arc::new(world.letters.clone()),
        broker: Arc::new(world.broker.clone()),
        lanes: Arc::new(OfWorker(telemetry.cloned())),
        clock: world.clock,
        steps: Steps::default(),
        who: who.into(),
        owner: who.into(),
        prefix: "leads".into(),
    }
}

fn world() -> World {
    let mut world = World::new(&["contoso"]);
    world.ingest = true;
    world
}

fn email(n: u32) -> String {
    format!("lead{n}@example.com")
}

/// As it lies in the dead queue: expired, thirty days old.
fn dead_message(event: &Event, n: u32) -> Message {
    let mut message = event.message();
    message.properties.message_id = Some(format!("m{n}"));
    let text = |text: &str| HeaderValue::Text(text.into());
    message.properties.headers.extend([
        (envelope::REASON.to_owned(), text("expired")),
        (envelope::ATTEMPT.to_owned(), HeaderValue::Int(12)),
        (envelope::FIRST_RECEIVED.to_owned(), text("2026-10-16T12:00:00Z")),
        (envelope::DEAD_AT.to_owned(), text("2026-10-23T12:00:00Z")),
        (envelope::DESTINATION.to_owned(), text("contoso")),
        ("traceparent".to_owned(), text(TRACE)),
    ]);
    message
}

async fn take_in(world: &World, events: &[Event]) -> Vec<DeadId> {
    let letters = events.iter().enumerate();
    let letters: Vec<_> = letters
        .map(|(n, event)| letter::of(dead_message(event, n as u32), &world.keyring, world.clock.now()))
        .collect();
    let ids = letters.iter().map(|letter| letter.id).collect();
    world.letters.take_in(letters, Act::of_the_worker(world.clock.now())).await.unwrap();
    ids
}

/// So many letters, each of a lead of its own.
async fn dead(world: &World, count: u32) -> Vec<DeadId> {
    take_in(world, &(0..count).map(|n| Event::new(&email(n), OFFER)).collect::<Vec<_>>()).await
}

fn kept(terms: Terms) -> Kept {
    Kept { terms, destinations: vec![DestinationName::parse("contoso").unwrap()] }
}

async fn run(replayer: &Replayer, plan: &Plan, terms: Terms) -> Result<(Ended, Vec<News>), ReplayError> {
    let mut news = Vec::new();
    let stop = CancellationToken::new();
    let ended = replayer.run(plan.id, &kept(terms), &stop, &mut |one| news.push(one)).await?;
    Ok((ended, news))
}

async fn resume(world: &World, plan: &Plan) {
    let act = Act::of_the_worker(world.clock.now());
    world.letters.change_plan(plan.id, PlanState::Running, act).await.unwrap().expect("it may go on");
}

fn paused(ended: &Ended) -> &str {
    match ended {
        Ended::Paused(_, why) => why,
        other => panic!("{other:?}"),
    }
}

fn done(ended: &Ended) -> Members {
    match ended {
        Ended::Done(plan) => plan.members,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_expired_thirty_days_ago_is_replayed_with_its_trace_and_id_and_delivered() {
    let world = world();
    let ids = dead(&world, 1).await;
    let replayer = replayer(&world, "olga", None);
    let plan = replayer.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
    // Nobody consumes yet: what was published can be looked at.
    let short = Terms { canary_timeout: Duration::from_secs(1), ..Terms::default() };
    assert_eq!(done(&run(&replayer, &plan, short).await.unwrap().0), Members { published: 1, ..Members::default() });
    let published = world.broker.messages(&Queue::Inbox).remove(0);
    let header = |name: &str| published.properties.headers.get(name).cloned();
    let text = |text: &str| Some(HeaderValue::Text(text.into()));
    assert_eq!(published.properties.message_id.as_deref(), Some("m0"));
    assert_eq!((header("traceparent"), header(envelope::DEAD_ID)), (text(TRACE), text(&ids[0].to_string())));
    assert_eq!(header(envelope::REPLAY), Some(HeaderValue::Int(1)));
    assert_eq!(
        (header(envelope::ATTEMPT), header(envelope::FIRST_RECEIVED), header(envelope::REASON)),
        (None, None, None)
    );
    let life = world.start().await;
    world.settle().await;
    assert!(world.held("contoso", &email(0), OFFER).is_some());
    let letter = world.letters.read(ids).await.unwrap().remove(0).unwrap();
    assert_eq!((letter.entry.state, letter.entry.ending), (State::Replayed, Some(Ending::Delivered)));
    let plan = world.letters.plan(plan.id).await.unwrap().unwrap();
    assert_eq!(plan.members, Members { delivered: 1, ..Members::default() }, "told after the plan was done");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_worker_counts_plans_that_have_not_ended_and_the_new_fates_of_their_letters() {
    let world = world();
    let ids = dead(&world, 3).await;
    let life = world.start().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let told = async |state: &str, count: u32, delivered: &str| {
        // Longer than between two looks.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let metrics = life.telemetry.metrics.render();
        assert!(metrics.contains(&format!("leadrelay_office_plans{{state=\"{state}\"}} {count}\n")), "{metrics}");
        let ended = metrics.lines().find(|line| line.starts_with("leadrelay_replays_ended_total"));
        assert_eq!(ended.unwrap_or_default(), delivered);
    };
    told("running", 1, "").await;
    let act = Act::of_the_worker(world.clock.now());
    world.letters.change_plan(plan.id, PlanState::Paused("olga has lunch".into()), act).await.unwrap();
    told("paused", 1, "").await;
    resume(&world, &plan).await;
    run(&replayer, &plan, Terms::default()).await.unwrap();
    let delivered = "leadrelay_replays_ended_total{ending=\"delivered\"} 3";
    told("running", 0, delivered).await;
    told("paused", 0, delivered).await;
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_makes_no_consent_later_than_it_was() {
    let world = world();
    // The event has no time of its own, so that its consent is as old as its first receipt.
    let mut event = Event::new(&email(0), OFFER);
    event.0.as_object_mut().unwrap().remove("OccurredAt");
    let ids = take_in(&world, &[event]).await;
    let life = world.start().await;
    world.put(&Event::new(&email(0), OFFER).at(-10 * 86_400).withdrawn());
    world.settle().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let (ended, _) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert_eq!(done(&ended), Members { suppressed: 1, ..Members::default() });
    assert!(world.held("contoso", &email(0), OFFER).is_none());
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_replays_each_of_its_letters_once_after_its_canary_and_none_that_died_later() {
    let world = world();
    let ids = dead(&world, 300).await;
    let life = world.start().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let later = Event::new("later@example.com", OFFER);
    let later = letter::of(dead_message(&later, 999), &world.keyring, world.clock.now());
    world.letters.take_in(vec![later.clone()], Act::of_the_worker(world.clock.now())).await.unwrap();
    let began = world.clock.now();
    let (ended, news) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert_eq!(done(&ended), Members { delivered: 300, ..Members::default() });
    assert_eq!(news[..2], [News::Canary { published: 5 }, News::CanaryPassed], "{news:?}");
    let took = world.clock.now().duration_since(began).as_secs();
    assert!((8..20).contains(&took), "300 at 100 a second after a ramp took {took} s");
    world.settle().await;
    world.destination("contoso").assert_no_lead_was_created_twice();
    assert_eq!(world.destination("contoso").holdings().len(), 300);
    let left = world.letters.read(vec![later.id]).await.unwrap().remove(0).unwrap();
    assert_eq!(left.entry.state, State::Dead);
    // All again, by mistake: the letters are replayed, and there is nothing of them to replay.
    let all = world.letters.all().iter().map(|kept| kept.entry.id).collect();
    let again = replayer.freeze(all, &kept(Terms::default()), "").await.unwrap();
    assert_eq!(again.members, Members { waiting: 1, ..Members::default() });
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_replayed_twice_by_mistake_is_delivered_once() {
    let world = world();
    let ids = dead(&world, 8).await;
    let life = world.start().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    for ending in ["delivered", "duplicate"] {
        let plan = replayer.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
        let members = done(&run(&replayer, &plan, Terms::default()).await.unwrap().0);
        let told = BTreeMap::from([("delivered", members.delivered), ("duplicate", members.duplicate)]);
        assert_eq!(told[ending], 8, "{told:?}");
        // As an import, or a copy of the queue, would: the same letters come in again, and are dead again.
        dead(&world, 8).await;
    }
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_dies_again_pauses_the_plan_and_its_letters_name_what_they_replayed() {
    let world = world();
    let ids = dead(&world, 50).await;
    // One is accepted: a destination that rejects everything is doubted, and its rejections are held.
    let mut accepted = None;
    world.destination("contoso").set_script(move |call| match call.keys.as_slice() {
        [key] if accepted.get_or_insert(*key) == key => memory::Fault::Nothing,
        _ => memory::Fault::Whole(Reply::Rejected(Code::known("field_required"))),
    });
    let life = world.start().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let (ended, _) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert_eq!(paused(&ended), "4 of the last 5 died again, and the limit is 10%");
    world.settle().await;
    let plan = world.letters.plan(plan.id).await.unwrap().unwrap();
    assert_eq!(plan.members, Members { waiting: 45, delivered: 1, dead: 4, ..Members::default() });
    let all = world.letters.all();
    let again: Vec<_> = all.iter().filter_map(|kept| kept.entry.facts.replay_of).collect();
    let failed: Vec<_> = all.iter().filter(|kept| kept.entry.ending == Some(Ending::Dead)).collect();
    assert_eq!((again.len(), failed.len()), (4, 4));
    assert!(failed.iter().all(|kept| again.contains(&kept.entry.id) && kept.entry.state == State::Replayed));
    // Mended, and gone on with: what died again is a letter of its own, for a plan of its own.
    world.destination("contoso").heal();
    resume(&world, &plan).await;
    let members = done(&run(&replayer, &plan, Terms::default()).await.unwrap().0);
    assert_eq!(members, Members { delivered: 46, dead: 4, ..Members::default() });
    let filter = Filter { state: Some(StateName::Dead), ..Filter::default() };
    let left: Vec<_> = world.letters.list(filter, None, 100).await.unwrap().iter().map(|entry| entry.id).collect();
    let second = replayer.freeze(left, &kept(Terms::default()), "").await.unwrap();
    assert_eq!(done(&run(&replayer, &second, Terms::default()).await.unwrap().0).delivered, 4);
    let generations: Vec<_> = world
        .letters
        .all()
        .iter()
        .filter(|kept| kept.entry.facts.replay_of.is_some())
        .map(|kept| kept.entry.generation)
        .collect();
    assert_eq!(generations, [2; 4]);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_fails_in_the_middle_pauses_the_plan_before_much_is_lost() {
    let world = world();
    let ids = dead(&world, 2_000).await;
    let contoso = world.destination("contoso");
    let calls = Mutex::new(0);
    contoso.set_script(move |call| {
        let mut leads = calls.lock().unwrap();
        *leads += call.keys.len();
        let alternate = call.keys.len() == 1 && leads.is_multiple_of(2);
        if *leads > 400 && (call.keys.len() > 1 || alternate) {
            return memory::Fault::Whole(Reply::Rejected(Code::known("field_required")));
        }
        memory::Fault::Nothing
    });
    let life = world.start().await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let (ended, _) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert!(paused(&ended).contains("died again, and the limit is 10%"), "{ended:?}");
    world.settle().await;
    let plan = world.letters.plan(plan.id).await.unwrap().unwrap();
    assert!(plan.members.waiting > 1_000, "{:?}", plan.members);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_nobody_hears_of_stops_the_plan_and_says_what_it_waits_behind() {
    let world = world();
    let ids = dead(&world, 50).await;
    for n in 0..1_200 {
        world.put(&Event::new(&email(n), OFFER));
    }
    let replayer = replayer(&world, "olga", None);
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let began = world.clock.now();
    let (ended, news) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert_eq!(
        paused(&ended),
        "the canary: 0 came to their end, and of 5 nothing was heard for 120 s; behind 1,205 messages in leads.consent"
    );
    let took = world.clock.now().duration_since(began).as_secs();
    assert!((120..125).contains(&took), "{took} s");
    assert_eq!(news.iter().filter(|one| matches!(one, News::LanesUnseen(_))).count(), 1, "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_lane_pauses_the_plan_before_it_publishes_more() {
    let world = world();
    let ids = dead(&world, 50).await;
    world.destination("contoso").set_fault(memory::Fault::Whole(Reply::Credentials(Code::known("http_401"))));
    let life = world.start().await;
    world.put(&Event::new("other@example.com", OFFER));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let replayer = replayer(&world, "olga", Some(&life.telemetry));
    let plan = replayer.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let (ended, _) = run(&replayer, &plan, Terms::default()).await.unwrap();
    assert!(paused(&ended).starts_with("the lane of contoso is not closed but "), "{ended:?}");
    let plan = world.letters.plan(plan.id).await.unwrap().unwrap();
    assert_eq!(plan.members, Members { waiting: 50, ..Members::default() });
    world.destination("contoso").heal();
    life.hurry().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_on_one_plan_one_works_and_the_other_is_told_who() {
    let world = world();
    let ids = dead(&world, 300).await;
    let life = world.start().await;
    let (olga, ivan) =
        (replayer(&world, "olga", Some(&life.telemetry)), replayer(&world, "ivan", Some(&life.telemetry)));
    let plan = olga.freeze(ids, &kept(Terms { rate: 10, ..Terms::default() }), "").await.unwrap();
    let slow = Terms { rate: 10, ..Terms::default() };
    let (first, second) = tokio::join!(run(&olga, &plan, slow), run(&ivan, &plan, slow));
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(done(&won.unwrap().0).delivered, 300);
    assert!(matches!(lost, Err(ReplayError::Owned { .. })), "{lost:?}");
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_plans_of_the_same_letters_each_letter_is_replayed_by_one() {
    let world = world();
    let ids = dead(&world, 200).await;
    let life = world.start().await;
    let (olga, ivan) =
        (replayer(&world, "olga", Some(&life.telemetry)), replayer(&world, "ivan", Some(&life.telemetry)));
    let first = olga.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
    let second = ivan.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
    let (one, two) = tokio::join!(run(&olga, &first, Terms::default()), run(&ivan, &second, Terms::default()));
    let (one, two) = (done(&one.unwrap().0), done(&two.unwrap().0));
    assert_eq!((one.delivered + two.delivered, one.passed_over + two.passed_over), (200, 200), "{one:?} {two:?}");
    let letters = world.letters.read(ids).await.unwrap();
    assert!(letters.iter().flatten().all(|kept| kept.entry.generation == 1));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_paused_and_cancelled_by_anybody_and_interrupted_by_its_operator() {
    let world = world();
    let ids = dead(&world, 500).await;
    let life = world.start().await;
    let olga = replayer(&world, "olga", Some(&life.telemetry));
    let plan = olga.freeze(ids, &kept(Terms::default()), "").await.unwrap();
    let act = || Act { who: "ivan".into(), ..Act::of_the_worker(world.clock.now()) };
    let change = async |to: PlanState| {
        tokio::time::sleep(Duration::from_secs(4)).await;
        world.letters.change_plan(plan.id, to, act()).await.unwrap().unwrap();
    };
    let slow = Terms { rate: 10, ..Terms::default() };
    let (ended, ()) = tokio::join!(run(&olga, &plan, slow), change(PlanState::Paused("lunch".into())));
    assert!(matches!(ended.unwrap().0, Ended::Halted(Plan { state: PlanState::Paused(_), .. })));
    resume(&world, &plan).await;
    let stop = CancellationToken::new();
    let (kept, mut deaf) = (kept(slow), |_| {});
    let (ended, ()) = tokio::join!(olga.run(plan.id, &kept, &stop, &mut deaf), async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        stop.cancel();
    });
    assert_eq!(paused(&ended.unwrap()), "interrupted by olga");
    resume(&world, &plan).await;
    let (ended, ()) = tokio::join!(run(&olga, &plan, slow), change(PlanState::Cancelled));
    let Ended::Halted(plan) = ended.unwrap().0 else { panic!("it was cancelled") };
    assert_eq!((plan.state, plan.owner, plan.members.taken), (PlanState::Cancelled, None, 0));
    world.settle().await;
    let dead = world.letters.all().iter().filter(|kept| kept.entry.state == State::Dead).count() as u64;
    assert_eq!(dead, plan.members.waiting, "what it has not replayed stays dead");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_refuses_is_dead_as_before_and_what_it_does_not_confirm_is_published_again() {
    let world = world();
    let ids = dead(&world, 20).await;
    let olga = replayer(&world, "olga", None);
    let plan = olga.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
    for fault in [Fault::Refuse, Fault::Return] {
        world.broker.break_publishes(&Queue::Inbox, fault);
        let (ended, _) = run(&olga, &plan, Terms::default()).await.unwrap();
        assert!(paused(&ended).starts_with("the broker refused 5 letters, which are dead as before"), "{ended:?}");
        assert!(world.letters.all().iter().all(|kept| kept.entry.state == State::Dead && kept.entry.generation == 0));
        resume(&world, &plan).await;
    }
    for fault in [Fault::LoseConfirm, Fault::LoseMessage] {
        world.broker.break_publishes(&Queue::Inbox, fault);
        let (ended, _) = run(&olga, &plan, Terms::default()).await.unwrap();
        assert!(paused(&ended).starts_with("the broker did not confirm 5 letters"), "{ended:?}");
        resume(&world, &plan).await;
        tokio::time::sleep(Duration::try_from(LEASE).unwrap()).await;
    }
    world.broker.mend(&Queue::Inbox);
    let life = world.start().await;
    let ivan = replayer(&world, "ivan", Some(&life.telemetry));
    let members = done(&run(&ivan, &plan, Terms::default()).await.unwrap().0);
    assert_eq!((members.delivered + members.duplicate, members.passed_over), (20, 0), "{members:?}");
    world.settle().await;
    world.destination("contoso").assert_no_lead_was_created_twice();
    assert_eq!(world.destination("contoso").holdings().len(), 20);
    life.stop().await;
}

/// Which edge of which step was passed how often.
type Passes = Arc<Mutex<BTreeMap<(&'static str, bool), u32>>>;

fn watched(passes: &Passes, crash: Option<(Step, Edge, u32)>) -> Steps {
    let (passes, nth) = (Arc::clone(passes), AtomicU32::new(0));
    Steps::watched(Box::new(move |Passing { step, edge, .. }| {
        *passes.lock().unwrap().entry((step.name(), edge == Edge::After)).or_default() += 1;
        let here = crash.filter(|(at, of, _)| (*at, *of) == (step, edge));
        here.is_some_and(|(.., due)| nth.fetch_add(1, Ordering::SeqCst) + 1 == due)
    }))
}

/// The first operator may be killed; the second goes on with the plan.
async fn crash_and_go_on(crash: Option<(Step, Edge, u32)>) -> Passes {
    let world = world();
    let ids = dead(&world, 40).await;
    let life = world.start().await;
    let passes = Passes::default();
    let mut olga = replayer(&world, "olga", Some(&life.telemetry));
    olga.steps = watched(&passes, crash);
    let plan = olga.freeze(ids.clone(), &kept(Terms::default()), "").await.unwrap();
    let ended = tokio::select! {
        ended = run(&olga, &plan, Terms::default()) => Some(ended.unwrap().0),
        () = olga.steps.crashed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let ivan = replayer(&world, "ivan", Some(&life.telemetry));
            run(&ivan, &plan, Terms::default()).await.unwrap().0
        }
    };
    let members = done(&ended);
    assert_eq!(members.delivered + members.duplicate + members.passed_over, 40, "{crash:?}: {members:?}");
    world.settle().await;
    let letters = world.letters.read(ids).await.unwrap();
    for kept in letters.iter().flatten() {
        let entry = &kept.entry;
        assert_eq!((entry.state, entry.generation), (State::Replayed, 1), "{crash:?}");
        assert!(matches!(entry.ending, Some(Ending::Delivered | Ending::Duplicate)), "{crash:?}: {entry:?}");
    }
    world.destination("contoso").assert_no_lead_was_created_twice();
    assert_eq!(world.destination("contoso").holdings().len(), 40, "{crash:?}");
    life.stop().await;
    passes
}

#[tokio::test(start_paused = true)]
async fn a_kill_before_and_after_every_step_of_a_replay_loses_nothing_and_doubles_nothing() {
    let passes = crash_and_go_on(None).await;
    let passed = passes.lock().unwrap().clone();
    let mut crashes = 0;
    for step in [Step::Take, Step::Publish, Step::MarkPublished] {
        for edge in [Edge::Before, Edge::After] {
            let times = passed[&(step.name(), edge == Edge::After)];
            for nth in [1, 2, times] {
                crash_and_go_on(Some((step, edge, nth))).await;
                crashes += 1;
            }
        }
    }
    assert_eq!(crashes, 18);
}
