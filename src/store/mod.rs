//! Seam 2: the store. Its two halves are the ledger, which holds no personal data, and the dead letters, which hold
//! nothing but.

pub mod ledger;
pub mod intents;
mod claims;
pub mod dead_letters;
mod letters;
pub mod memory;
pub mod memory_letters;
pub mod sqlite;
