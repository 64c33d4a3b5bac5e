//! One send: look, plan, write; and where somebody made the same lead meanwhile, look and write once more.
//!
//! Looking first is what keeps a repeat from undoing a salesperson's edit, and it costs one call for a whole batch: of
//! a backlog that is redelivered, it is the only one.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Rest;
use super::client::{Intent, Item};
use super::codes::of_record;
use super::record::{self, Row, text_in};
use crate::destination::held::{Absorbed, Held};
use crate::destination::{Outcome, Parcel};
use crate::domain::lead::Lead;
use crate::domain::repeat::{Record, Write};
use crate::domain::reply::{Accepted, Code, Reply};

/// The first, and one after a race.
const ROUNDS: usize = 2;

/// In bytes. Salesforce takes 200 records of any size that a field can have; a proxy between may not.
const BODY_MAX: usize = 4 * 1024 * 1024;

pub struct Delivery<'a> {
    rest: &'a Rest,
    deadline: Instant,
    orders: Vec<Order<'a>>,
    /// Salesforce has answered for some of the records.
    written: bool,
}

struct Order<'a> {
    lead: Cow<'a, Lead>,
    write: &'a Write,
    record: Option<&'a Record>,
    key: String,
    /// The leads of this key that Salesforce holds: one at most, unless the field is not unique.
    rows: Vec<Row>,
    reply: Option<Reply>,
}

enum Plan {
    Nothing(Reply),
    Write(Row, Intent),
}

impl<'a> Delivery<'a> {
    pub fn new(rest: &'a Rest, parcels: &'a [Parcel<'_>], deadline: Instant) -> Self {
        let order = |parcel: &'a Parcel<'_>| {
            let (lead, cuts) = record::fitted(parcel.lead, &rest.shape);
            rest.telemetry.texts_cut(&parcel.lead.destination, parcel.lead.key, &cuts);
            let (write, record, key) = (parcel.write, parcel.claim.record(), parcel.lead.key.to_string());
            Order { lead, write, record, key, rows: Vec::new(), reply: None }
        };
        Self { rest, deadline, orders: parcels.iter().map(order).collect(), written: false }
    }

    pub async fn run(mut self) -> Outcome {
        for _ in 0..ROUNDS {
            if let Err(reply) = self.round().await {
                return self.failed(reply);
            }
            if self.orders.iter().all(|order| order.reply.is_some()) {
                break;
            }
        }
        // No race lasts: another field of the org's must be unique, and another lead has this one's value.
        self.done(&Reply::Rejected(Code::known("DUPLICATE_VALUE")))
    }

    async fn round(&mut self) -> Result<(), Reply> {
        self.rest.client.usage.brake()?;
        self.look().await?;
        // What was learned by looking counts for writing.
        self.rest.client.usage.brake()?;
        let (mut creates, mut updates) = (Vec::new(), Vec::new());
        for (index, order) in self.orders.iter_mut().enumerate().filter(|(_, order)| order.reply.is_none()) {
            match order.plan(self.rest) {
                Plan::Nothing(reply) => order.reply = Some(reply),
                Plan::Write(row, Intent::Create) => creates.push((index, row)),
                Plan::Write(row, Intent::Update) => updates.push((index, row)),
            }
        }
        self.write(creates, Intent::Create).await?;
        self.write(updates, Intent::Update).await
    }

    async fn look(&mut self) -> Result<(), Reply> {
        let due: Vec<_> = self.orders.iter_mut().filter(|order| order.reply.is_none()).collect();
        let keys: Vec<_> = due.iter().map(|order| order.key.clone()).collect();
        let external_id = &self.rest.shape.external_id;
        let fields = self.rest.read_fields();
        let found = self.rest.client.find(&fields, &keys, self.deadline).await?;
        let mut by_key: HashMap<String, Vec<Row>> = HashMap::new();
        for row in found {
            by_key.entry(text_in(&row, external_id).to_ascii_lowercase()).or_default().push(row);
        }
        for order in due {
            order.rows = by_key.remove(&order.key).unwrap_or_default();
        }
        Ok(())
    }

    async fn write(&mut self, due: Vec<(usize, Row)>, intent: Intent) -> Result<(), Reply> {
        let mut due = due.into_iter().peekable();
        while due.peek().is_some() {
            let (mut indices, mut rows, mut size) = (Vec::new(), Vec::new(), 0);
            while let Some((index, row)) = due.next_if(|(_, row)| size == 0 || size + weight(row) <= BODY_MAX) {
                size += weight(&row);
                indices.push(index);
                rows.push(row);
            }
            let items = self.rest.client.upsert(&rows, intent, self.deadline).await?;
            self.written = true;
            for (index, item) in indices.into_iter().zip(items) {
                self.orders[index].reply = self.rest.judge(item);
            }
        }
        Ok(())
    }

    fn done(self, otherwise: &Reply) -> Outcome {
        Outcome::Each(self.orders.into_iter().map(|order| order.reply.unwrap_or_else(|| otherwise.clone())).collect())
    }

    /// One answer for all, of whom nothing was applied. Where a part went through, what is left comes again, and then is
    /// a batch of its own: none of it is to blame yet.
    fn failed(self, reply: Reply) -> Outcome {
        if !self.written {
            return Outcome::Whole(reply);
        }
        let again = match reply {
            Reply::Rejected(code) | Reply::Credentials(code) => {
                Reply::Transient { code, quick: crate::domain::reply::Quick::Pointless }
            }
            other => other,
        };
        self.done(&again)
    }
}

impl Order<'_> {
    fn plan(&self, rest: &Rest) -> Plan {
        let already = Plan::Nothing(Reply::Accepted(Accepted::Already));
        match (self.rows.as_slice(), self.write) {
            ([], Write::Mark { .. }) => already,
            ([], Write::Create | Write::Merge(_)) => {
                let held = record::new(&self.lead, self.record);
                self.to_write(rest, record::columns(&rest.shape, &held, &self.lead), Intent::Create)
            }
            ([row], _) if row.get("IsConverted").and_then(Value::as_bool).unwrap_or_default() => already,
            ([row], write) => {
                let before = record::read(&rest.shape, row, &self.lead, write, self.record);
                let mut after = Held::clone(&before);
                match after.absorb(&self.lead, write) {
                    Absorbed::Nothing => already,
                    Absorbed::Something => {
                        let changes = record::changes(&rest.shape, row, (&before, &after), &self.lead);
                        if changes.is_empty() { already } else { self.to_write(rest, changes, Intent::Update) }
                    }
                }
            }
            // As Salesforce itself would answer: a person must say which of them it is.
            (_, _) => Plan::Nothing(Reply::Rejected(Code::known("DUPLICATE_EXTERNAL_ID"))),
        }
    }

    fn to_write(&self, rest: &Rest, mut row: Row, intent: Intent) -> Plan {
        row.insert("attributes".to_owned(), json!({ "type": "Lead" }));
        row.insert(rest.shape.external_id.clone(), self.key.as_str().into());
        Plan::Write(row, intent)
    }
}

impl Rest {
    /// What became of a record; none if it is to be tried once more.
    fn judge(&self, item: Item) -> Option<Reply> {
        match item {
            Item::Written { created: true } => Some(Reply::Accepted(Accepted::Created)),
            Item::Written { created: false } => Some(Reply::Accepted(Accepted::Updated)),
            Item::Refused { code, fields } => {
                let reply = of_record(&code)?;
                self.client.refusals.of_record(&reply, &fields);
                Some(reply)
            }
        }
    }
}

/// About as many bytes as it takes in the body.
fn weight(row: &Row) -> usize {
    row.iter().map(|(name, value)| name.len() + value.as_str().map_or(8, str::len) + 8).sum()
}
