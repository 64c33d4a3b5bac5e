//! The Salesforce REST destination against the sandbox, behind a proxy that counts and does harm.

#![allow(clippy::disallowed_methods, reason = "the sandbox is real")]

#[path = "../support/fault_proxy.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod fault_proxy;
#[path = "../support/org.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod org;

mod records;
mod repeats;
mod faults;
mod access;
mod canaries;
mod alike;
mod probe;
