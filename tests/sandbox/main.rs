//! The sandbox over HTTP: each form of answer, each limit, each fault.

#![allow(clippy::disallowed_methods, reason = "a client that shares no code with leadrelay's")]

mod client;
mod basics;
mod rest;
mod faults;
mod control;
