//! One send: plan, write, and where rows are found that were not expected, look and plan again.

use tokio::time::Instant;

use super::AzureTable;
use super::batch::{Operation, Place, Transaction};
use super::client::{Row, Trouble};
use super::entity::{self, Fitted};
use super::look_up::{Way, look_up};
use crate::destination::Outcome;
use crate::destination::held::{Absorbed, Held};
use crate::domain::lead::Lead;
use crate::domain::repeat::Write;
use crate::domain::reply::{Accepted, Quick, Reply};

/// Looking again more often than this means that somebody else writes the same rows all the time.
const ROUNDS: usize = 4;

pub struct Delivery<'a> {
    azure: &'a AzureTable,
    deadline: Instant,
    partition: String,
    orders: Vec<Order<'a>>,
    /// Something of this send stands in the table.
    written: bool,
}

struct Order<'a> {
    lead: Fitted<'a>,
    write: &'a Write,
    row_key: String,
    sight: Sight,
    reply: Option<Reply>,
}

/// What we know of a lead's row.
enum Sight {
    Unseen,
    Absent,
    Present { held: Box<Held>, etag: String },
}

impl<'a> Delivery<'a> {
    pub fn new(azure: &'a AzureTable, leads: impl Iterator<Item = (&'a Lead, &'a Write)>, deadline: Instant) -> Self {
        let order = |(lead, write): (&'a Lead, &'a Write)| {
            let (fitted, cuts) = entity::fitted(lead);
            azure.telemetry.texts_cut(&lead.destination, lead.key, &cuts);
            Order { row_key: entity::row_key(lead), lead: fitted, write, sight: Sight::Unseen, reply: None }
        };
        let orders: Vec<_> = leads.map(order).collect();
        let first = orders.first();
        let partition = first.map(|order| entity::partition_key(&order.lead.event.offer)).unwrap_or_default();
        Self { azure, deadline, partition, orders, written: false }
    }

    pub async fn run(mut self) -> Outcome {
        let mut round = self.first_look().await;
        for _ in 0..ROUNDS {
            if round.is_ok() {
                round = self.write().await;
            }
            round = match round {
                Ok(()) => return self.done(),
                Err(Trouble::Conflict) => {
                    self.azure.found_rows.expect(&self.partition);
                    self.look(|_| true).await
                }
                Err(Trouble::NoTable) => self.azure.create_table(self.deadline).await.map_err(Trouble::Failed),
                Err(Trouble::Failed(reply)) => return self.failed(reply),
            };
        }
        match round {
            Err(Trouble::Failed(reply)) => self.failed(reply),
            _ => self.failed(super::contended()),
        }
    }

    /// A change needs the row as it is. A first delivery does not, unless rows were found in this partition of late:
    /// then looking first saves a transaction that would fail.
    async fn first_look(&mut self) -> Result<(), Trouble> {
        let expected = self.azure.found_rows.expected(&self.partition);
        self.look(|order| expected || *order.write != Write::Create).await?;
        let found = self
            .orders
            .iter()
            .any(|order| *order.write == Write::Create && matches!(order.sight, Sight::Present { .. }));
        if expected && !found {
            self.azure.found_rows.forget(&self.partition);
        }
        Ok(())
    }

    /// Reads the rows of the orders that are due and wanted.
    async fn look(&mut self, wanted: impl Fn(&Order<'_>) -> bool) -> Result<(), Trouble> {
        let due: Vec<_> = self.orders.iter_mut().filter(|order| order.reply.is_none() && wanted(order)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let keys = due.iter().map(|order| order.row_key.clone()).collect();
        let known = self.azure.found_rows.way(&self.partition);
        let limits = (self.azure.limits.send_timeout / 5, self.deadline);
        let (mut rows, way) = look_up(&self.azure.client, &self.partition, keys, known, limits).await?;
        if (known, way) == (Way::Walk, Way::Singly) {
            self.azure.found_rows.too_long_to_walk(&self.partition);
        }
        for order in due {
            order.sight = rows.remove(&order.row_key).map_or(Sight::Absent, Sight::from);
        }
        Ok(())
    }

    /// Writes what is due, in as few transactions as its size allows.
    async fn write(&mut self) -> Result<(), Trouble> {
        for (transaction, due) in self.transactions() {
            self.azure.client.transact(transaction, self.deadline).await?;
            self.written = true;
            for index in due {
                let order = &mut self.orders[index];
                order.reply = Some(Reply::Accepted(order.sight.accepted()));
            }
        }
        Ok(())
    }

    /// What is due, and the orders in each transaction by their numbers. What adds nothing is answered.
    fn transactions(&mut self) -> Vec<(Transaction, Vec<usize>)> {
        let (table, count) = (self.azure.client.table_address(), self.orders.len());
        let mut transactions: Vec<(Transaction, Vec<usize>)> = Vec::new();
        for (index, order) in self.orders.iter_mut().enumerate().filter(|(_, order)| order.reply.is_none()) {
            let Some(operation) = order.plan() else {
                order.reply = Some(Reply::Accepted(Accepted::Already));
                continue;
            };
            let place = Place { table: &table, partition: &self.partition, row: &order.row_key };
            if transactions.is_empty() {
                transactions.push((Transaction::begin(count), Vec::with_capacity(count)));
            }
            let next = transactions.last_mut().and_then(|(transaction, _)| transaction.push(place, &operation));
            transactions.extend(next.map(|next| (next, Vec::new())));
            if let Some((_, due)) = transactions.last_mut() {
                due.push(index);
            }
        }
        transactions
    }

    fn done(self) -> Outcome {
        let untouched = || Reply::Accepted(Accepted::Already);
        Outcome::Each(self.orders.into_iter().map(|order| order.reply.unwrap_or_else(untouched)).collect())
    }

    /// Nothing was applied: one answer for all. Where a first transaction of several went through, what is left
    /// comes again, and then is a batch of its own: none of it is to blame yet.
    fn failed(self, reply: Reply) -> Outcome {
        if !self.written {
            return Outcome::Whole(reply);
        }
        let again = match reply {
            Reply::Rejected(code) | Reply::Credentials(code) => Reply::Transient { code, quick: Quick::Pointless },
            other => other,
        };
        Outcome::Each(self.orders.into_iter().map(|order| order.reply.unwrap_or_else(|| again.clone())).collect())
    }
}

impl Order<'_> {
    fn plan(&self) -> Option<Operation<'_>> {
        match (&self.sight, self.write) {
            (Sight::Unseen | Sight::Absent, Write::Mark { .. }) => None,
            (Sight::Unseen | Sight::Absent, Write::Create | Write::Merge(_)) => Some(Operation::Insert(&self.lead)),
            (Sight::Present { held, etag }, write) => {
                let mut after = Held::clone(held);
                match after.absorb(&self.lead, write) {
                    Absorbed::Nothing => None,
                    Absorbed::Something => {
                        Some(Operation::Merge { changes: entity::changes(held, &after), etag: etag.clone() })
                    }
                }
            }
        }
    }
}

impl Sight {
    fn accepted(&self) -> Accepted {
        match self {
            Self::Unseen | Self::Absent => Accepted::Created,
            Self::Present { .. } => Accepted::Updated,
        }
    }
}

impl From<Row> for Sight {
    fn from(row: Row) -> Self {
        Self::Present { held: Box::new(entity::read(&row.columns)), etag: row.etag }
    }
}
