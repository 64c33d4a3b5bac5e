//! The calls about intents: both commit, and both only in their own epoch.

use rusqlite::Connection;

use super::fault::Fault;
use super::intent_rows as rows;
use super::owner::Owner;
use super::writer::Call;
use crate::store::intents::{self, Back, Met};
use crate::store::ledger::{Intended, Intention, Terms};

pub(super) struct IntendSends {
    pub intentions: Vec<Intention>,
    pub terms: Terms,
}

impl Call<Owner> for IntendSends {
    type Done = Vec<Intended>;
    type Answer = Vec<Intended>;
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.intentions.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<Vec<Intended>, Fault> {
        check_epoch(&self.intentions, connection, owner)?;
        self.intentions.iter().map(|intention| intend(connection, intention, self.terms)).collect()
    }

    fn conclude(self, intended: Vec<Intended>, _: &mut Owner) -> Vec<Intended> {
        intended
    }
}

fn intend(connection: &Connection, intention: &Intention, terms: Terms) -> Result<Intended, Fault> {
    let Intention { key, destination, at, .. } = intention;
    let standing = rows::intent(connection, *key, destination)?;
    let intent = match intents::meet(standing.as_ref(), intention, terms.on_unknown) {
        Met::Ours => return Ok(Intended::Done),
        Met::Barred => return Ok(Intended::SentBefore),
        Met::Free(intent) => intent,
    };
    if let Some(max) = terms.daily_max {
        let posts = rows::posts_of_a_day(connection, destination, *at)?;
        if posts.used >= max.into() {
            let first = posts.first.unwrap_or(intents::hour(*at));
            return Ok(Intended::DayIsFull { frees_at: intents::frees_at(first, *at) });
        }
    }
    rows::put_intent(connection, *key, destination, &intent)?;
    rows::count_post(connection, destination, *at)?;
    Ok(Intended::Done)
}

pub(super) struct RetractIntents(pub Vec<Intention>);

impl Call<Owner> for RetractIntents {
    type Done = ();
    type Answer = ();
    const WRITES: bool = true;

    fn rows(&self) -> usize {
        self.0.len()
    }

    fn run(&self, connection: &Connection, owner: &Owner) -> Result<(), Fault> {
        check_epoch(&self.0, connection, owner)?;
        for intention in &self.0 {
            let Intention { key, destination, at, .. } = intention;
            let standing = rows::intent(connection, *key, destination)?;
            match intents::take_back(standing.as_ref(), intention) {
                Back::Untouched => continue,
                Back::Gone => rows::drop_intent(connection, *key, destination)?,
                Back::Earlier(earlier) => rows::put_intent(connection, *key, destination, &earlier)?,
            }
            rows::uncount_post(connection, destination, *at)?;
        }
        Ok(())
    }

    fn conclude(self, (): (), _: &mut Owner) {}
}

fn check_epoch(intentions: &[Intention], connection: &Connection, owner: &Owner) -> Result<(), Fault> {
    let epoch = owner.epoch(connection)?;
    match intentions.iter().all(|intention| intention.holder.epoch == epoch) {
        true => Ok(()),
        false => Err(Fault::Superseded),
    }
}
