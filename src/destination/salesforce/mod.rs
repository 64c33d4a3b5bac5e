//! Salesforce.

pub mod rest;
