//! What several test binaries share.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod amqp;
pub mod azure;
pub mod fault_proxy;
pub mod node;
pub mod org;
pub mod process;
pub mod sandbox_program;
pub mod world;
