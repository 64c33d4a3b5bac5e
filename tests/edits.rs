//! Letters that are mended and replayed, beside a worker in memory on a paused clock: what operators may count on, and a
//! kill at every step.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use leadrelay::broker::Queue;
use leadrelay::domain::dead_letter::{Ending, State};
use leadrelay::domain::envelope::Message;
use leadrelay::domain::event::mend::{Fixed, Unfit, with_text};
use leadrelay::domain::lead_key::DeadId;
use leadrelay::office::desk::Desk;
use leadrelay::office::edit::{Revised, revise};
use leadrelay::office::replay::lanes::{Lanes, OpenLane};
use leadrelay::office::replay::plans::Plan;
use leadrelay::office::replay::{Ended, Replayer, terms};
use leadrelay::office::{Edited, Kept, letter};
use leadrelay::steps::{Edge, Passing, Step, Steps};
use leadrelay::store::dead_letters::{Act, DeadLetters};
use serde_json::{Value, json};
use support::world::{Event, World};
use tokio_util::sync::CancellationToken;

const OFFER: &str = "contoso.appliance";
const EMAIL: &str = "canary@example.com";

struct Unseen;

#[async_trait]
impl Lanes for Unseen {
    async fn open(&self) -> Result<Vec<OpenLane>, String> {
        Err("nobody says".into())
    }
}

fn desk(world: &World, who: &str) -> Desk {
    let letters = Arc::new(world.letters.clone());
    Desk { letters, keyring: world.keyring.clone(), clock: world.clock, who: who.into() }
}

/// The phone is a number: malformed.
async fn malformed(world: &World) -> Kept {
    let message = Event::new(EMAIL, OFFER).set("/CustomerInfo/Phone", 4711).message();
    let letter = letter::of(message, &world.keyring, world.clock.now());
    let id = letter.id;
    world.letters.take_in(vec![letter], Act::of_the_worker(world.clock.now())).await.unwrap();
    read(world, id).await
}

async fn read(world: &World, id: DeadId) -> Kept {
    world.letters.read(vec![id]).await.unwrap().remove(0).unwrap()
}

fn body(kept: &Kept) -> Value {
    serde_json::from_slice(&kept.message.body).unwrap()
}

fn with_phone(kept: &Kept, phone: &str) -> Revised {
    let body = with_text(body(kept), "/CustomerInfo/Phone", phone).unwrap();
    revise(kept, body.to_string().into()).unwrap()
}

async fn replay(world: &World, plan: &Plan, who: &str, steps: Steps) -> Option<Ended> {
    let replayer = Replayer {
        letters: Arc::new(world.letters.clone()),
        broker: Arc::new(world.broker.clone()),
        lanes: Arc::new(Unseen),
        clock: world.clock,
        steps: steps.clone(),
        who: who.into(),
        owner: who.into(),
        prefix: "leads".into(),
    };
    let (stop, terms, mut tell) = (CancellationToken::new(), terms::Kept::default(), |_| {});
    tokio::select! {
        ended = replayer.run(plan.id, &terms, &stop, &mut tell) => Some(ended.unwrap()),
        () = steps.crashed() => None,
    }
}

async fn edited(desk: &Desk, revised: Revised) -> Edited {
    desk.edit(revised, &terms::Kept::default(), "it was a number").await.unwrap()
}

fn world() -> World {
    let mut world = World::new(&["contoso"]);
    world.ingest = true;
    world
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_mended_replayed_and_delivered_and_what_it_was_is_kept_and_nothing_personal_written_down() {
    let world = world();
    let before = malformed(&world).await;
    let life = world.start().await;
    let Edited::Done(plan) = edited(&desk(&world, "olga"), with_phone(&before, "4711")).await else { panic!() };
    assert!(matches!(replay(&world, &plan, "olga", Steps::default()).await, Some(Ended::Done(_))));
    world.settle().await;
    let after = read(&world, before.entry.id).await;
    assert_eq!((after.entry.state, after.entry.ending), (State::Replayed, Some(Ending::Delivered)));
    assert_eq!(
        (after.original.as_ref(), &body(&after)["CustomerInfo"]["Phone"]),
        (Some(&before.message.body), &json!("4711"))
    );
    assert!(world.held("contoso", EMAIL, OFFER).is_some());
    let deeds: Vec<_> = after.history.iter().map(|deed| (deed.what.name(), deed.act.why.as_str())).collect();
    assert_eq!(deeds[0], ("edited", "/CustomerInfo/Phone: it was a number"));
    assert_eq!(deeds.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["edited", "taken", "published", "delivered"]);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn consent_is_not_edited_whatever_else_is() {
    let world = world();
    let letter = malformed(&world).await;
    let mut changed = with_text(body(&letter), "/CustomerInfo/Phone", "4711").unwrap();
    changed["Consent"]["Granted"] = json!(false);
    let refused = revise(&letter, changed.to_string().into());
    assert_eq!(refused, Err(Unfit::Fixed(vec![Fixed::Consent])));
    // Nor by way of two edits: an edited letter is held to what it says now, which is what it said at first.
    let Edited::Done(_) = edited(&desk(&world, "olga"), with_phone(&letter, "4711")).await else { panic!() };
    let again = read(&world, letter.entry.id).await;
    assert_eq!(revise(&again, changed.to_string().into()), Err(Unfit::Fixed(vec![Fixed::Consent])));
}

#[tokio::test(start_paused = true)]
async fn of_two_operators_at_once_one_edits_and_replays_and_the_other_is_told() {
    let world = world();
    let letter = malformed(&world).await;
    let (olga, ivan) = (desk(&world, "olga"), desk(&world, "ivan"));
    let Edited::Done(plan) = edited(&olga, with_phone(&letter, "of olga")).await else { panic!() };
    assert!(matches!(edited(&ivan, with_phone(&letter, "of ivan")).await, Edited::Not(_)));
    let seen = read(&world, letter.entry.id).await;
    assert_eq!(edited(&ivan, with_phone(&seen, "of ivan")).await, Edited::Waits(plan.id));
    let life = world.start().await;
    replay(&world, &plan, "olga", Steps::default()).await;
    world.settle().await;
    let replayed = read(&world, letter.entry.id).await;
    assert!(matches!(edited(&ivan, with_phone(&replayed, "of ivan")).await, Edited::Not(_)));
    assert_eq!(body(&replayed)["CustomerInfo"]["Phone"], "of olga");
    world.destination("contoso").assert_no_lead_was_created_twice();
    life.stop().await;
}

fn crash_at(step: Step, edge: Edge) -> Steps {
    Steps::watched(Box::new(move |passing: Passing<'_>| (passing.step, passing.edge) == (step, edge)))
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_step_leaves_the_letter_dead_as_it_was_or_replayed_once() {
    let world = world();
    let letter = malformed(&world).await;
    // Before it is kept there is nothing of it; after that, the plan is there, and whoever finds it may go on with it.
    let Edited::Done(plan) = edited(&desk(&world, "olga"), with_phone(&letter, "4711")).await else { panic!() };
    let seen = read(&world, letter.entry.id).await;
    assert_eq!((seen.entry.state, seen.entry.generation, plan.members.waiting), (State::Dead, 0, 1));
    for step in [Step::Take, Step::Publish, Step::MarkPublished] {
        for edge in [Edge::Before, Edge::After] {
            let world = self::world();
            let letter = malformed(&world).await;
            let life = world.start().await;
            let Edited::Done(plan) = edited(&desk(&world, "olga"), with_phone(&letter, "4711")).await else { panic!() };
            assert!(replay(&world, &plan, "olga", crash_at(step, edge)).await.is_none(), "{step:?}");
            let ended = replay(&world, &plan, "ivan", Steps::default()).await;
            assert!(matches!(ended, Some(Ended::Done(_))), "{step:?} {edge:?}: {ended:?}");
            world.settle().await;
            let after = read(&world, letter.entry.id).await;
            assert_eq!((after.entry.state, after.entry.generation), (State::Replayed, 1), "{step:?} {edge:?}");
            assert_eq!(after.original, Some(letter.message.body));
            world.destination("contoso").assert_no_lead_was_created_twice();
            assert_eq!(world.destination("contoso").holdings().len(), 1, "{step:?} {edge:?}");
            assert_eq!(world.broker.messages(&Queue::Dead), Vec::<Message>::new());
            life.stop().await;
        }
    }
}
