//! Leadrelay: consented marketplace leads, from RabbitMQ to the publishers' own tables and CRMs.
//!
//! In reading order: the decisions ([`domain`]), the three seams ([`broker`], [`store`], [`destination`]), and the
//! life of a message ([`worker`]), which is the page to read first; what becomes of dead letters ([`office`]).

pub mod domain;
pub mod worker;
pub mod broker;
pub mod store;
pub mod destination;
pub mod office;
pub mod telemetry;
pub mod config;
pub mod connect;
pub mod clock;
pub mod schedule;
pub mod steps;
pub mod sandbox;
pub mod app;
pub mod cli;
