//! Salesforce: by its REST API, or by Web-to-Lead.

pub mod rest;
pub mod web_to_lead;
