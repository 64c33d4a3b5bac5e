//! `leadrelay ledger show`.

use std::io::Write;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::screen::age;
use super::{ConfigFile, Exit, Misused, wait_for};
use crate::app::{self, Intent, Known};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::lead_key::{Keyring, LeadKey};
use crate::domain::repeat::Record;
use crate::domain::route::{DestinationName, Offer};

#[derive(Subcommand)]
pub enum Command {
    /// Show what the ledger knows of one lead: where it was delivered, when, and with which actions and fields
    #[command(after_help = "Examples:\n  leadrelay ledger show 3f1c9a0b5d7e42868c1d20f4a6b8c0de\n  \
                            leadrelay ledger show --email ldashan@example.com --offer arraynetworks.ArrayLoadBalancervAPV")]
    Show(Show),
}

#[derive(Args)]
pub struct Show {
    /// The lead key, as logs, tables and dead letters name it: 32 hex digits
    #[arg(value_name = "LEADKEY", required_unless_present = "email", conflicts_with = "email")]
    key: Option<String>,
    /// The customer's address; only its keyed hash is looked up
    #[arg(long, requires = "offer")]
    email: Option<String>,
    /// The offer, as publisher.offer
    #[arg(long, requires = "email")]
    offer: Option<String>,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

/// Exits 1 if the ledger does not know the lead.
pub fn run(Command::Show(show): Command, config: &ConfigFile) -> anyhow::Result<Exit> {
    let config = config.load()?;
    let key = show.key(&config)?;
    let known = wait_for(app::ledger_look_up(&config, key))?;
    let nothing = known.records.is_empty() && known.intents.is_empty();
    let mut out = std::io::stdout().lock();
    if show.json {
        let records: Vec<_> = known.records.iter().map(as_json).collect();
        let intents: Vec<_> = known.intents.iter().map(intent_as_json).collect();
        writeln!(out, "{}", json!({ "lead_key": key.to_string(), "records": records, "intents": intents }))?;
    } else if nothing {
        writeln!(out, "{key}: never delivered")?;
    } else {
        out.write_all(as_text(key, &known, Clock::System.now()).as_bytes())?;
    }
    Ok(if nothing { Exit::Failed } else { Exit::Done })
}

impl Show {
    fn key(&self, config: &Config) -> Result<LeadKey, Misused> {
        match (&self.key, &self.email, &self.offer) {
            (Some(key), ..) => key.parse().map_err(|error| Misused(format!("{error}"))),
            (None, Some(email), Some(offer)) => {
                let offer = Offer::parse(offer).map_err(|error| Misused(format!("--offer is {error}")))?;
                Ok(Keyring::new(config.key_secret.expose().as_bytes()).lead_key(email, &offer))
            }
            (None, ..) => Err(Misused("name a lead key, or --email and --offer".into())),
        }
    }
}

fn as_text(key: LeadKey, Known { records, intents }: &Known, now: Timestamp) -> String {
    let mut text = format!("lead {key}\n");
    for (destination, record) in records {
        let actions = record.actions.iter().map(|(action, at)| format!("{action} at {at}"));
        let fields = record.fields.keys().map(|field| field.name());
        let marked = record.marked_for.map(|at| format!("\n  do not contact: withdrawn at {at}")).unwrap_or_default();
        text += &format!(
            "{destination}\n  delivered: {} ago, at {}\n  offer: {}\n  actions: {}\n  fields: {}\n  consent: {}{marked}\n",
            age(record.delivered_at, now),
            record.delivered_at,
            record.offer,
            actions.collect::<Vec<_>>().join(", "),
            fields.collect::<Vec<_>>().join(", "),
            record.granted_at,
        );
    }
    for (destination, Intent { generation, at, .. }) in intents {
        let replayed = if *generation > 0 { format!(", as replay {generation}") } else { String::new() };
        text += &format!(
            "{destination}\n  sent, and not answered: {} ago, at {at}{replayed}\n    look there whether it arrived\n",
            age(*at, now),
        );
    }
    text
}

fn intent_as_json((destination, intent): &(DestinationName, Intent)) -> serde_json::Value {
    json!({ "destination": destination.as_str(), "generation": intent.generation, "at": intent.at })
}

fn as_json((destination, record): &(DestinationName, Record)) -> serde_json::Value {
    let actions: serde_json::Map<_, _> =
        record.actions.iter().map(|(action, at)| (action.clone(), at.to_string().into())).collect();
    json!({
        "destination": destination.as_str(),
        "offer": record.offer,
        "actions": actions,
        "fields": record.fields.keys().map(|field| field.name()).collect::<Vec<_>>(),
        "delivered_at": record.delivered_at,
        "last_event_at": record.last_event_at,
        "granted_at": record.granted_at,
        "marked_for": record.marked_for,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::domain::event::CustomerField;
    use crate::domain::lead_key::{AddressKey, Digest, PersonKey};
    use crate::domain::repeat::FieldRecord;
    use crate::store::ledger::{Ask, Claiming, Ledger, Terms};
    use crate::store::sqlite::{LedgerReader, SqliteLedger};

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn keyring() -> Keyring {
        Keyring::new(b"a secret of the deployment")
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
    }

    #[test]
    fn a_record_is_told_for_people_and_for_scripts_without_its_digests() {
        let at = time("2026-11-20T10:00:00Z");
        let field = FieldRecord { digest: Digest([0xab; 8]), at };
        let record = Record {
            offer: "pub.offer".into(),
            person: PersonKey::from_bytes([7; 16]),
            actions: BTreeMap::from([("INS".into(), at), ("PLT".into(), at)]),
            fields: BTreeMap::from([(CustomerField::Email, field), (CustomerField::FirstName, field)]),
            delivered_at: at,
            last_event_at: at,
            granted_at: at,
            marked_for: Some(at),
        };
        let records = vec![(DestinationName::parse("contoso").unwrap(), record)];
        let known = Known { records, intents: Vec::new() };
        let text = as_text(LeadKey::from_bytes([1; 16]), &known, time("2026-11-22T12:00:00Z"));
        assert_eq!(
            text,
            "lead 01010101010101010101010101010101\ncontoso\n  delivered: 2d 2h ago, at 2026-11-20T10:00:00Z\n  \
             offer: pub.offer\n  actions: INS at 2026-11-20T10:00:00Z, PLT at 2026-11-20T10:00:00Z\n  \
             fields: FirstName, Email\n  consent: 2026-11-20T10:00:00Z\n  \
             do not contact: withdrawn at 2026-11-20T10:00:00Z\n"
        );
        let json = as_json(&known.records[0]);
        assert_eq!(json["actions"]["PLT"], "2026-11-20T10:00:00Z");
        assert_eq!(json["fields"], json!(["FirstName", "Email"]));
        assert!(!json.to_string().contains("abab") && !json.to_string().contains("0707"));
    }

    #[test]
    fn a_lead_that_may_have_been_sent_is_told_with_what_to_do() {
        // Only a ledger makes one.
        let path = tempfile::tempdir().expect("a folder");
        let known = runtime().block_on(async {
            let ledger = SqliteLedger::open(&path.path().join("l.db"), &keyring(), Arc::default()).expect("a ledger");
            ledger.take_over().await.expect("taken over");
            let (key, destination) = (LeadKey::from_bytes([1; 16]), DestinationName::parse("contoso").unwrap());
            let person = PersonKey::from_bytes([7; 16]);
            let address = AddressKey::from_bytes([7; 16]);
            let asks = vec![Ask { key, destination, person, address, granted_at: None }];
            let Claiming::Granted(claim) = ledger.claim(asks).await.expect("an answer").remove(0) else { panic!() };
            let intention = claim.intention(2, time("2026-11-20T10:00:00Z"));
            ledger.intend(vec![intention], Terms::default()).await.expect("committed");
            let intents = LedgerReader::open(&path.path().join("l.db")).and_then(|reader| reader.intents(key));
            Known { records: Vec::new(), intents: intents.expect("found") }
        });
        let text = as_text(LeadKey::from_bytes([1; 16]), &known, time("2026-11-22T12:00:00Z"));
        assert_eq!(
            text,
            "lead 01010101010101010101010101010101\ncontoso\n  sent, and not answered: 2d 2h ago, at \
             2026-11-20T10:00:00Z, as replay 2\n    look there whether it arrived\n"
        );
        let json = intent_as_json(&known.intents[0]);
        assert_eq!((&json["destination"], &json["generation"]), (&"contoso".into(), &2.into()));
    }
}
