//! Seam 2: the store. Of its two halves, the ledger is here; dead letters stay in the broker's `dead` queue.

pub mod ledger;
pub mod intents;
mod claims;
pub mod memory;
pub mod sqlite;
