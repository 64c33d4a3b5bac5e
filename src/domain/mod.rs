//! What leadrelay knows and decides, as values: no I/O, no clock, no randomness, no waiting.
//!
//! In reading order: a message's envelope, the event in it, its identity, its route; what a repeat brings,
//! what a destination replied, what becomes of the message, and of one that is dead.

pub mod envelope;
pub mod envelope_json;
pub mod event;
pub mod lead_key;
pub mod route;
pub mod lead;
pub mod journey;
pub mod found;
pub mod mapping;
pub mod repeat;
pub mod reply;
pub mod retry;
pub mod order;
pub mod health;
pub mod allowance;
pub mod verdict;
pub mod fate;
pub mod dead_letter;
pub mod replay;
