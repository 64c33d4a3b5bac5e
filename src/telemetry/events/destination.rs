//! What the destinations' adapters tell. How each send ended is the lane's to tell.

use crate::domain::lead_key::LeadKey;
use crate::domain::reply::Code;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

impl Telemetry {
    pub fn table_created(&self, table: &str) {
        tracing::info!(table, "created the table, which was not there");
    }

    pub fn table_not_creatable(&self, table: &str, code: &Code) {
        tracing::error!(
            table,
            code = code.as_str(),
            "the table does not exist, and these credentials may not create it: create a table of this name in the \
             storage account, or give an account key; leads wait until then"
        );
    }

    pub fn secrets_read_again(&self, destination: &DestinationName) {
        let destination = destination.as_str();
        tracing::info!(
            destination,
            "the credentials were refused; their files hold others by now, which are used from here on"
        );
    }

    pub fn secret_unreadable(&self, destination: &DestinationName, key: &str, why: &str) {
        let destination = destination.as_str();
        tracing::error!(destination, key, why, "the credentials were refused, and their file is of no use");
    }

    /// The destination holds no longer texts. The fields' names say what was cut, never what it said.
    pub fn texts_cut(&self, destination: &DestinationName, lead: LeadKey, fields: &[&'static str]) {
        if !fields.is_empty() {
            let destination = destination.as_str();
            for field in fields {
                self.metrics.texts_cut.with_label_values(&[destination, field]).inc();
            }
            tracing::warn!(destination, %lead, ?fields, "cut texts that the destination cannot hold");
        }
    }

    /// API calls that the org has used, and how many it has.
    pub fn api_calls(&self, destination: &DestinationName, used: u64, limit: u64) {
        let set = |gauge: &prometheus::IntGaugeVec, value: u64| {
            gauge.with_label_values(&[destination.as_str()]).set(value.try_into().unwrap_or(i64::MAX));
        };
        set(&self.metrics.api_calls_used, used);
        set(&self.metrics.api_calls_limit, limit);
    }

    pub fn api_calls_braked(&self, destination: &DestinationName, used: u64, limit: u64, max: u8) {
        let destination = destination.as_str();
        tracing::warn!(
            destination,
            used,
            limit,
            max,
            "the org has used so many of its API calls that leads wait, and its other integrations keep their share"
        );
    }

    /// Names of fields that we write, from the configuration; never what stands in them.
    pub fn fields_refused(&self, destination: &DestinationName, code: &Code, fields: &[&str]) {
        tracing::warn!(
            destination = destination.as_str(),
            code = code.as_str(),
            ?fields,
            "fields of a lead were refused"
        );
    }
}
