//! Measures the SQLite ledger as a lane uses it: claims and records of fresh leads in batches of 100, several batches
//! in flight. `cargo run --release --example ledger_throughput -- [LEADS] [FILE]`

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use leadrelay::domain::event::CustomerField;
use leadrelay::domain::lead_key::{AddressKey, Digest, Keyring, LeadKey, PersonKey};
use leadrelay::domain::repeat::{FieldRecord, Record};
use leadrelay::domain::route::DestinationName;
use leadrelay::store::ledger::{Ask, Claim, Claiming, Delivered, Ledger};
use leadrelay::store::sqlite::SqliteLedger;
use leadrelay::telemetry::Telemetry;

const BATCH: u64 = 100;
const IN_FLIGHT: u64 = 4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let leads: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let file = arguments.next().map_or_else(|| PathBuf::from("throughput.db"), PathBuf::from);
    let telemetry = Arc::new(Telemetry::new());
    let ledger = Arc::new(SqliteLedger::open(&file, &Keyring::new(b"throughput"), telemetry)?);
    ledger.take_over().await?;
    let report = (leads / 10).max(BATCH * IN_FLIGHT);
    for from in (0..leads).step_by(report as usize) {
        let started = Instant::now();
        let lanes = (0..IN_FLIGHT).map(|lane| tokio::spawn(deliver(Arc::clone(&ledger), from, from + report, lane)));
        for lane in lanes.collect::<Vec<_>>() {
            lane.await??;
        }
        let rate = report as f64 / started.elapsed().as_secs_f64();
        println!("{:>10} leads  {rate:>9.0} leads/s", from + report);
    }
    Ok(())
}

async fn deliver(ledger: Arc<SqliteLedger>, from: u64, to: u64, lane: u64) -> anyhow::Result<()> {
    let destination = DestinationName::parse("contoso-table")?;
    for batch in (from / BATCH..to / BATCH).filter(|batch| batch % IN_FLIGHT == lane) {
        let ask = |number| {
            let key = scattered(number);
            let mut person = *key.as_bytes();
            person.rotate_left(3);
            Ask {
                key,
                person: PersonKey::from_bytes(person),
                address: AddressKey::from_bytes(person),
                destination: destination.clone(),
                granted_at: Some(Timestamp::UNIX_EPOCH),
            }
        };
        let claimed = ledger.claim((batch * BATCH..(batch + 1) * BATCH).map(ask).collect()).await?;
        let delivered = |claiming| match claiming {
            Claiming::Granted(claim) => Some(Delivered { record: record(&claim), claim }),
            Claiming::InHand | Claiming::Withdrawn => None,
        };
        ledger.record(claimed.into_iter().filter_map(delivered).collect()).await?;
    }
    Ok(())
}

/// As scattered as keyed hashes are.
fn scattered(number: u64) -> LeadKey {
    let mixed = (number ^ 1 << 60).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = mixed ^ (mixed >> 29);
    LeadKey::from_bytes((u128::from(mixed) << 64 | u128::from(mixed.rotate_left(17))).to_be_bytes())
}

fn record(claim: &Claim) -> Record {
    let at = Timestamp::UNIX_EPOCH;
    let mut person = *claim.key().as_bytes();
    person.rotate_left(3);
    let digest = Digest(*person.first_chunk().expect("16 bytes begin with 8"));
    Record {
        offer: "arraynetworks.ArrayLoadBalancervAPV".into(),
        person: PersonKey::from_bytes(person),
        actions: BTreeMap::from([("INS".into(), at)]),
        fields: CustomerField::ALL.into_iter().map(|field| (field, FieldRecord { digest, at })).collect(),
        delivered_at: at,
        last_event_at: at,
        granted_at: at,
        marked_for: None,
    }
}
