//! With its ledger, whatever comes in whatever order, an org holds what a destination in memory holds.

use std::sync::Arc;

use leadrelay::destination::memory::MemoryDestination;
use leadrelay::destination::salesforce::rest::Settings;
use leadrelay::domain::lead::Lead;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::org::*;

const ACTIONS: [&str; 6] = ["INS", "PLT", "DNC", "Create", "StartTestDrive", "Brochure"];

/// An order about one of a few people.
fn order(random: &mut SmallRng, person: usize, second: i64) -> Lead {
    let person = format!("person{person}");
    if random.random_bool(0.25) {
        return mark(&person, second);
    }
    let mut event = event(&person, ACTIONS[random.random_range(0..ACTIONS.len())], second);
    event.customer.phone = ["", "1", "2", "3"][random.random_range(0..4)].into();
    event.customer.last_name = ["", "A", "B"][random.random_range(0..3)].into();
    lead(event)
}

async fn check(org: &Org, settings: impl Fn() -> Settings, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let memory = Arc::new(MemoryDestination::like_a_table());
    let (real, other) = (Desk::new(org.open(settings())).await, Desk::of(Arc::clone(&memory) as _).await);
    // No two at the same time: there the ledger's digests decide, and elsewhere the values.
    let mut seconds: Vec<i64> = (1..=80).collect();
    seconds.shuffle(&mut random);
    for (step, second) in seconds.into_iter().enumerate() {
        let order = [order(&mut random, step % 7, second)];
        let (real, other) = (real.deliver(&order).await, other.deliver(&order).await);
        assert_eq!(real, other, "seed {seed}, step {step}, {order:?}");
    }
    let held = memory.holdings();
    assert_eq!(org.count(), held.len(), "seed {seed}");
    for row in org.sandbox.leads() {
        let lead = &held[&row["Leadrelay_Key__c"].as_str().expect("a key").parse().expect("a lead key")].lead;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let told = format!("seed {seed}, {row}, {lead:?}");
        let silent = lead.stage().as_str() == "do-not-contact";
        assert_eq!((&row["DoNotCall"], &row["HasOptedOutOfEmail"]), (&silent.into(), &silent.into()), "{told}");
        for field in leadrelay::domain::event::CustomerField::ALL {
            assert_eq!(text(field.name()).replace("[not provided]", ""), lead.value(field), "{field:?}, {told}");
        }
        let journey = if row["Journey__c"].is_null() { text("Description") } else { text("Journey__c") };
        for step in &lead.journey {
            // A description tells when an action came to be known first; what is there already is not written again.
            assert!(row["Journey__c"].is_null() || journey.contains(&format!("{} {}", step.at, step.action)), "{told}");
            let words = journey.split([' ', ';', '\n']).filter(|word| *word == step.action).count();
            assert_eq!(words, 1, "{told}");
        }
        if row["Stage__c"].is_string() {
            assert_eq!(text("Stage__c"), lead.stage().as_str(), "{told}");
        }
        let step = lead.leading_step().expect("a step");
        assert_eq!(text("LeadSource"), format!("{}-{}|{}", step.source, step.action, lead.offer), "{told}");
    }
}

#[tokio::test]
async fn an_org_and_a_destination_in_memory_answer_alike_and_hold_the_same() {
    for _ in 0..15 {
        let seed = rand::random();
        let org = Org::with_fields().await;
        check(&org, || org.mapped(), seed).await;
        let org = Org::with_fields().await;
        check(&org, || org.settings(), seed).await;
    }
}
