//! Leads, and what a lane does with them, for the tests of the ledger.

#![allow(dead_code, reason = "each test binary uses its part")]

use jiff::Timestamp;
use leadrelay::domain::event::{Consent, Customer, CustomerField, Event};
use leadrelay::domain::lead::{Lead, Purpose};
use leadrelay::domain::lead_key::{Digest, Keyring, PersonKey};
use leadrelay::domain::order::{Order, Ordered, Reason};
use leadrelay::domain::repeat::{Record, Write, recorded};
use leadrelay::domain::route::{DestinationName, Offer};
use leadrelay::store::ledger::{Ask, Claim, Claiming, Delivered, Ledger, LedgerError, Recorded, Withdrawal};

pub const EMAIL: &str = "canary.ldashan@example.com";

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).expect("a time")
}

pub fn keyring() -> Keyring {
    Keyring::new(b"a secret of the deployment")
}

pub fn destination(name: &str) -> DestinationName {
    DestinationName::parse(name).expect("a name")
}

/// A lead whose event and consent are of this second.
pub fn lead(email: &str, second: i64) -> Lead {
    let customer = Customer {
        first_name: "Canaryfirst".into(),
        last_name: "Canarylast".into(),
        email: email.into(),
        phone: "+8613800canary".into(),
        ..Customer::default()
    };
    let event = Event {
        id: None,
        occurred_at: at(second),
        source: "AzureMarketplace".into(),
        action: "INS".into(),
        offer: Offer::parse("arraynetworks.ArrayLoadBalancervAPV").expect("an offer"),
        offer_display_name: String::new(),
        publisher_display_name: String::new(),
        description: String::new(),
        consent: Consent { granted: true, at: at(second), agreement: String::new() },
        customer,
    };
    Lead::new(&keyring(), event, destination("contoso"), Purpose::Deliver)
}

pub fn digests(lead: &Lead) -> Vec<(CustomerField, Digest)> {
    lead.digests(&keyring())
}

pub fn ask(lead: &Lead) -> Ask {
    let granted_at = (lead.purpose == Purpose::Deliver).then_some(lead.event.consent.at);
    Ask { key: lead.key, destination: lead.destination.clone(), person: lead.person, address: lead.address, granted_at }
}

pub async fn claim(ledger: &dyn Ledger, lead: &Lead) -> Claiming {
    let mut claiming = ledger.claim(vec![ask(lead)]).await.expect("the ledger answers");
    assert_eq!(claiming.len(), 1);
    claiming.remove(0)
}

pub async fn granted(ledger: &dyn Ledger, lead: &Lead) -> Claim {
    match claim(ledger, lead).await {
        Claiming::Granted(claim) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

/// The record of a first delivery.
pub fn first_record(lead: &Lead) -> Record {
    recorded(None, lead, &digests(lead), &Write::Create, at(100))
}

pub async fn record(ledger: &dyn Ledger, claim: Claim, record: Record) -> Result<Recorded, LedgerError> {
    let mut recorded = ledger.record([Delivered { claim, record }].into()).await?;
    assert_eq!(recorded.len(), 1);
    Ok(recorded.remove(0))
}

/// Claims, sends and records a lead for the first time.
pub async fn deliver(ledger: &dyn Ledger, lead: &Lead) -> Recorded {
    let claim = granted(ledger, lead).await;
    record(ledger, claim, first_record(lead)).await.expect("the ledger commits")
}

pub fn withdrawal(person: PersonKey, second: i64) -> Withdrawal {
    Withdrawal { person, at: at(second) }
}

/// What an operator orders at this second.
pub fn order(name: &str, what: Ordered, second: i64) -> Order {
    let reason =
        if what == Ordered::Resume { Reason::default() } else { Reason::parse("its key changes").expect("a reason") };
    Order { destination: destination(name), what, reason, by: "dashan@ops-1".into(), at: at(second) }
}
