//! The Azure Table destination against a real Azurite, behind a proxy that counts and does harm.

#[path = "../support/azure.rs"]
mod azure;
#[path = "../support/fault_proxy.rs"]
mod fault_proxy;

mod rows;
mod found_rows;
mod faults;
mod access;
mod entra;
mod conformance;
