//! What operators do with dead letters. Every act is by somebody, for a reason, and is written down.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::lines;
use crate::clock::Clock;
use crate::domain::dead_letter::StateName;
use crate::domain::lead_key::{AddressKey, DeadId, Keyring};
use crate::store::dead_letters::{
    Act, Aspect, Changed, DeadLetters, Entry, Filter, Group, Kept, LettersError, Order, Place, TakenIn, Wish,
};

/// One operator's place at the office.
pub struct Desk {
    pub letters: Arc<dyn DeadLetters>,
    pub keyring: Keyring,
    pub clock: Clock,
    /// Whoever sits here.
    pub who: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error(transparent)]
    Store(#[from] LettersError),
    #[error("no dead-id begins with {0:?}")]
    NoSuchLetter(String),
    #[error("several dead-ids begin with {0:?}: give more of it")]
    Ambiguous(String),
    #[error("line {line}: {what}; nothing of it and of what follows was taken in")]
    BadLine { line: usize, what: &'static str },
}

/// How many letters stand in each state, of which kinds the dead ones are, and how many are new.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    pub states: Vec<Group>,
    /// By reason and destination.
    pub dead: Vec<Group>,
    pub dead_within_an_hour: u64,
    pub dead_within_a_day: u64,
}

/// What became of letters that were brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub new: usize,
    /// Here already, and left as they are.
    pub known: usize,
    /// Replayed or discarded where they come from.
    pub settled: usize,
}

/// Letters that are read or written at once.
pub(super) const BATCH: usize = 200;

impl Desk {
    pub fn act(&self, why: &str) -> Act {
        Act { at: self.clock.now(), who: self.who.clone(), why: why.to_owned() }
    }

    /// The key under which an address is found. The address itself goes nowhere.
    pub fn address(&self, email: &str) -> AddressKey {
        self.keyring.address_key(email)
    }

    pub async fn list(&self, filter: Filter, after: Option<Place>, limit: usize) -> Result<Vec<Entry>, DeskError> {
        Ok(self.letters.list(filter, after, limit).await?)
    }

    pub async fn count(&self, filter: Filter, by: Vec<Aspect>) -> Result<Vec<Group>, DeskError> {
        Ok(self.letters.count(filter, by).await?)
    }

    pub async fn stats(&self) -> Result<Stats, DeskError> {
        let dead = Filter { state: Some(StateName::Dead), ..Filter::default() };
        let within = async |span: SignedDuration| {
            let since = self.clock.now().checked_sub(span).unwrap_or(Timestamp::MIN);
            let filter = Filter { since: Some(since), ..dead.clone() };
            let groups = self.letters.count(filter, vec![]).await?;
            Ok::<u64, LettersError>(groups.iter().map(|group| group.count).sum())
        };
        Ok(Stats {
            states: self.letters.count(Filter::default(), vec![Aspect::State]).await?,
            dead: self.letters.count(dead.clone(), vec![Aspect::Cause, Aspect::Destination]).await?,
            dead_within_an_hour: within(SignedDuration::from_hours(1)).await?,
            dead_within_a_day: within(SignedDuration::from_hours(24)).await?,
        })
    }

    /// The one letter whose id begins so.
    pub async fn find(&self, beginning: &str) -> Result<DeadId, DeskError> {
        let beginning = beginning.to_lowercase();
        match self.letters.find(beginning.clone(), 2).await?.as_slice() {
            [id] => Ok(*id),
            [] => Err(DeskError::NoSuchLetter(beginning)),
            _ => Err(DeskError::Ambiguous(beginning)),
        }
    }

    /// The whole letter. What is personal in it is for [`super::mask`] to hide, or for [`Self::reveal`] to answer for.
    pub async fn read(&self, beginning: &str) -> Result<Kept, DeskError> {
        let id = self.find(beginning).await?;
        let kept = self.letters.read(vec![id]).await?.pop().flatten();
        kept.ok_or_else(|| DeskError::NoSuchLetter(id.to_string()))
    }

    /// Writes down that this operator sees what is personal in these letters. Nothing is shown before it is written.
    pub async fn reveal(&self, ids: Vec<DeadId>, why: &str) -> Result<(), DeskError> {
        Ok(self.letters.reveal(ids, self.act(why)).await?)
    }

    /// Discards letters, or takes that back: each as it stands now, unless somebody else is quicker.
    pub async fn change(&self, beginnings: &[String], wish: Wish, why: &str) -> Result<Vec<Changed>, DeskError> {
        let mut ids = Vec::with_capacity(beginnings.len());
        for beginning in beginnings {
            ids.push(self.find(beginning).await?);
        }
        let mut orders = Vec::with_capacity(ids.len());
        for (id, kept) in ids.iter().zip(self.letters.read(ids.clone()).await?) {
            let kept = kept.ok_or_else(|| DeskError::NoSuchLetter(id.to_string()))?;
            orders.push(Order { id: *id, version: kept.entry.version, wish });
        }
        Ok(self.letters.change(orders, self.act(why)).await?)
    }

    /// Hands every letter that fits to `take`, whole, a batch at a time, the latest first; each is a reveal.
    pub async fn export<E: From<DeskError>>(
        &self,
        filter: Filter,
        why: &str,
        mut take: impl FnMut(&Kept) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (mut after, mut exported) = (None, 0);
        loop {
            let page = self.list(filter.clone(), after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(exported) };
            after = Some(last.place());
            let ids: Vec<DeadId> = page.iter().map(|entry| entry.id).collect();
            self.reveal(ids.clone(), why).await?;
            for kept in self.letters.read(ids).await.map_err(DeskError::from)?.iter().flatten() {
                take(kept)?;
                exported += 1;
            }
        }
    }

    /// Takes in exported letters. What is here already stays as it is, so that doing it twice does nothing more.
    pub async fn import(&self, lines: impl Iterator<Item = String>) -> Result<Imported, DeskError> {
        let mut imported = Imported::default();
        let mut batch = Vec::new();
        for (number, line) in lines.enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let read = lines::read(&line, &self.keyring, self.clock.now());
            match read.map_err(|what| DeskError::BadLine { line: number + 1, what })? {
                (letter, StateName::Dead | StateName::Replaying) => batch.push(letter),
                (_, StateName::Replayed | StateName::Discarded) => imported.settled += 1,
            }
            if batch.len() == BATCH {
                self.import_batch(std::mem::take(&mut batch), &mut imported).await?;
            }
        }
        self.import_batch(batch, &mut imported).await?;
        Ok(imported)
    }

    async fn import_batch(
        &self,
        batch: Vec<crate::store::dead_letters::Letter>,
        imported: &mut Imported,
    ) -> Result<(), DeskError> {
        let here = self.letters.read(batch.iter().map(|letter| letter.id).collect()).await?;
        let (new, known): (Vec<_>, Vec<_>) = batch.into_iter().zip(here).partition(|(_, here)| here.is_none());
        imported.known += known.len();
        let new = new.into_iter().map(|(letter, _)| letter).collect();
        for taken in self.letters.take_in(new, self.act("imported")).await? {
            match taken {
                TakenIn::New => imported.new += 1,
                TakenIn::Same | TakenIn::Reopened => imported.known += 1,
            }
        }
        Ok(())
    }
}
