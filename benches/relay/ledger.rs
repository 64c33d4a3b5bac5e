//! A ledger that holds millions of leads already: one is recorded by leadrelay itself, and the file is filled with its
//! like, under keys as scattered as hashes are.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use leadrelay::domain::event::CustomerField;
use leadrelay::domain::lead_key::{AddressKey, Digest, Keyring, LeadKey, PersonKey};
use leadrelay::domain::repeat::{FieldRecord, Record};
use leadrelay::domain::route::DestinationName;
use leadrelay::store::ledger::{Ask, Claiming, Delivered, Ledger};
use leadrelay::store::sqlite::SqliteLedger;
use leadrelay::telemetry::Telemetry;
use rusqlite::Connection;

use crate::worker::{KEY_SECRET, destination};

pub async fn fill(file: &Path, keys: u64) -> anyhow::Result<()> {
    record_one(file).await?;
    let connection = Connection::open(file)?;
    // It is thrown away if we fail.
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA temp_store = FILE")?;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO leads (lead, destination, person, record)
        SELECT randomblob(16), destination, randomblob(16), record FROM n, (SELECT * FROM leads LIMIT 1)";
    connection.execute(many, [i64::try_from(keys)?])?;
    // As of the leadrelay before this schema, which did not index as this one does: brought up, it gets its whole index.
    connection.execute_batch(
        "DROP TABLE lead_pages; CREATE TABLE lead_index (only INTEGER);
         CREATE TRIGGER a_lead_leaves_the_index_too AFTER DELETE ON leads BEGIN DELETE FROM lead_index; END;
         PRAGMA user_version = 5; PRAGMA wal_checkpoint(TRUNCATE)",
    )?;
    drop(connection);
    open(file).map(drop)
}

fn open(file: &Path) -> anyhow::Result<SqliteLedger> {
    Ok(SqliteLedger::open(file, &Keyring::new(KEY_SECRET.as_bytes()), Arc::new(Telemetry::new()))?)
}

async fn record_one(file: &Path) -> anyhow::Result<()> {
    let ledger = open(file)?;
    ledger.take_over().await?;
    let (key, person, at) = (LeadKey::from_bytes([1; 16]), PersonKey::from_bytes([1; 16]), Timestamp::UNIX_EPOCH);
    let (destination, address) = (DestinationName::parse(&destination(0))?, AddressKey::from_bytes([1; 16]));
    let ask = Ask { key, destination, person, address, granted_at: Some(at) };
    let Some(Claiming::Granted(claim)) = ledger.claim(vec![ask]).await?.pop() else {
        anyhow::bail!("an empty ledger grants every claim");
    };
    let fields = CustomerField::ALL.into_iter();
    let record = Record {
        offer: "publisher0.offer-of-the-catalogue-0".into(),
        person,
        actions: [("INS".into(), at)].into(),
        fields: fields.map(|field| (field, FieldRecord { digest: Digest([1; 8]), at })).collect(),
        delivered_at: at,
        last_event_at: at,
        granted_at: at,
        marked_for: None,
    };
    ledger.record([Delivered { claim, record }].into()).await.context("to record the first lead").map(drop)
}
