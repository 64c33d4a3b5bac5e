//! What every destination that updates answers: a table in memory and a real one, asked the same.

use leadrelay::destination::memory::MemoryDestination;
use leadrelay::domain::event::CustomerField;
use leadrelay::domain::lead::Lead;
use leadrelay::domain::repeat::{Additions, Write};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::azure::*;

const ACTIONS: [&str; 5] = ["INS", "PLT", "DNC", "Create", "StartTestDrive"];

/// An order about one of three people, within a few seconds, so that orders meet.
fn order(random: &mut SmallRng, person: usize) -> (Lead, Write) {
    let second = random.random_range(0..6);
    let mut event = event(&format!("person{person}"), ACTIONS[random.random_range(0..5)], second);
    event.customer.phone = ["", "1", "2", "3"][random.random_range(0..4)].into();
    event.customer.title = ["", "CTO"][random.random_range(0..2)].into();
    let additions = Additions {
        action: true,
        fields: if random.random_bool(0.5) { vec![CustomerField::Phone] } else { Vec::new() },
        lifts_mark: random.random_bool(0.2),
    };
    let write = match random.random_range(0..10) {
        0..5 => Write::Create,
        5..8 => Write::Merge(additions),
        _ => Write::Mark { withdrawn_at: at(second) },
    };
    (lead(event), write)
}

#[tokio::test]
async fn a_table_in_memory_and_a_real_one_answer_alike_and_hold_the_same() {
    let azurite = Azurite::new().await;
    let (table, memory) = (azurite.destination(), MemoryDestination::like_a_table());
    let seed = rand::random();
    let mut random = SmallRng::seed_from_u64(seed);
    for step in 0..60 {
        let people = random.random_range(1..4);
        let orders: Vec<_> = (0..people).map(|person| order(&mut random, person)).collect();
        let orders: Vec<_> = orders.iter().map(|(lead, write)| (lead, write.clone())).collect();
        let (real, other) = (send(&table, &orders).await, send(&memory, &orders).await);
        assert_eq!(real, other, "seed {seed}, step {step}, {orders:?}");
    }
    memory.assert_no_lead_was_created_twice();
    let held = memory.holdings();
    for row in azurite.rows().await {
        let key = row["RowKey"].as_str().expect("a key").parse().expect("a lead key");
        let lead = &held[&key].lead;
        assert_eq!(row["Stage"], lead.stage().as_str(), "seed {seed}");
        for field in CustomerField::ALL {
            assert_eq!(row[field.name()], lead.value(field), "seed {seed}");
        }
        let actions: Vec<_> = lead.journey.iter().map(|step| format!("\"{}\"", step.action)).collect();
        assert!(actions.iter().all(|action| row["Journey"].as_str().is_some_and(|journey| journey.contains(action))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_in_memory_fails_on_order_and_remembers_what_it_was_asked() {
    use leadrelay::destination::memory::Fault;
    use leadrelay::destination::{Destination, Outcome};
    use leadrelay::domain::reply::{Code, Reply};
    use std::time::Duration;
    let memory = MemoryDestination::like_a_table();
    let leads = leads(5);
    let rejected = Reply::Rejected(Code::known("wrong"));
    memory.poison(leads[2].key);
    assert!(matches!(create(&memory, &leads).await, Outcome::Whole(Reply::Transient { .. })));
    assert_eq!(create(&memory, &leads[..2]).await, each(CREATED, 2));
    memory.set_fault(Fault::One(leads[3].key, rejected.clone()));
    let expected = Outcome::Each(vec![CREATED, rejected, CREATED]);
    assert_eq!(create(&memory, &leads[2..]).await, expected);
    memory.set_fault(Fault::AnswerLost(Reply::Unknown(Code::known("lost"))));
    assert!(matches!(create(&memory, &leads[3..4]).await, Outcome::Whole(Reply::Unknown(_))));
    memory.heal();
    assert_eq!(create(&memory, &leads).await, each(ALREADY, 5));
    memory.set_fault(Fault::TimesOut);
    let before = tokio::time::Instant::now();
    assert!(matches!(create(&memory, &leads).await, Outcome::Whole(Reply::Transient { .. })));
    assert_eq!(before.elapsed(), memory.limits().send_timeout);
    memory.heal();
    memory.set_latency(Duration::from_millis(200));
    let twice = futures_util::future::join(create(&memory, &leads[..1]), create(&memory, &leads[..1])).await;
    assert_eq!(twice, (each(ALREADY, 1), each(ALREADY, 1)));
    assert_eq!(memory.running_max(), 2);
    assert_eq!(memory.calls().len(), 8);
    assert_eq!(memory.breaches(), [format!("{} was in flight twice", leads[0].key)]);
    assert!(memory.holdings().values().all(|held| (held.created, held.touched) == (1, 1)));
}
