//! The events, by the layer that tells them. Each takes what it needs and no more; none takes personal data.

mod broker;
mod store;
mod office;
mod destination;
mod worker;

pub use store::Kept;
