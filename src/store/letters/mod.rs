//! What the calls of [`DeadLetters`](super::dead_letters::DeadLetters) do, for every adapter: each is written here once,
//! over rows that the adapter keeps, and runs inside one transaction of it.

use jiff::Timestamp;

use super::dead_letters::{
    Act, Changed, Deed, Edit, Edited, Entry, Kept, Letter, Members, Order, Owning, Plan, PlanId, PlanState, Selection,
    TakenIn, What, Wish,
};
use crate::domain::dead_letter::{Change, Ending, Standing, State};
use crate::domain::lead_key::DeadId;

pub(in crate::store) mod plans;

/// The rows that an adapter keeps, inside a transaction.
pub(in crate::store) trait Rows {
    type Fault;

    fn entry(&self, id: DeadId) -> Result<Option<Entry>, Self::Fault>;
    fn kept(&self, id: DeadId) -> Result<Option<Kept>, Self::Fault>;
    fn insert(&mut self, letter: &Letter, at: Timestamp) -> Result<(), Self::Fault>;
    /// Compares and swaps: `before` is what was read in this transaction.
    fn put(&mut self, before: &Entry, after: &Entry) -> Result<(), Self::Fault>;
    fn put_body(&mut self, edit: &Edit) -> Result<(), Self::Fault>;
    /// The letter, all of it, with its history.
    fn delete(&mut self, id: DeadId) -> Result<bool, Self::Fault>;
    fn write_down(&mut self, id: DeadId, deed: &Deed) -> Result<(), Self::Fault>;
    fn delete_old_deeds_of_nobody(&mut self, before: Timestamp) -> Result<(), Self::Fault>;
    /// Replayed and discarded since before then.
    fn settled_before(&self, before: Timestamp, limit: usize) -> Result<Vec<DeadId>, Self::Fault>;

    fn insert_plan(&mut self, terms: &str, made: &Act) -> Result<PlanId, Self::Fault>;
    fn insert_members(&mut self, plan: PlanId, selection: &Selection) -> Result<(), Self::Fault>;
    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Self::Fault>;
    fn put_plan(&mut self, plan: &Plan) -> Result<(), Self::Fault>;
    fn delete_plans_ended_before(&mut self, before: Timestamp) -> Result<(), Self::Fault>;
    /// Those that wait, or those that were taken, in their order.
    fn members(&self, plan: PlanId, taken: bool, limit: usize) -> Result<Vec<DeadId>, Self::Fault>;
    /// Every plan that the letter is in.
    fn plans_of(&self, letter: DeadId) -> Result<Vec<(PlanId, Member)>, Self::Fault>;
    fn put_member(&mut self, plan: PlanId, letter: DeadId, member: Member) -> Result<(), Self::Fault>;
}

/// What has become of a letter in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Member {
    Waiting,
    Taken {
        generation: u32,
    },
    Published {
        generation: u32,
    },
    /// Dead no more when its turn came.
    PassedOver,
    Ended {
        generation: u32,
        ending: Ending,
    },
}

impl Members {
    /// The count that such a member belongs to.
    pub(in crate::store) fn count_of(&mut self, member: Member) -> &mut u64 {
        match member {
            Member::Waiting => &mut self.waiting,
            Member::Taken { .. } => &mut self.taken,
            Member::Published { .. } => &mut self.published,
            Member::PassedOver => &mut self.passed_over,
            Member::Ended { ending: Ending::Delivered, .. } => &mut self.delivered,
            Member::Ended { ending: Ending::Duplicate, .. } => &mut self.duplicate,
            Member::Ended { ending: Ending::Suppressed, .. } => &mut self.suppressed,
            Member::Ended { ending: Ending::Unmarked, .. } => &mut self.unmarked,
            Member::Ended { ending: Ending::Dead, .. } => &mut self.dead,
        }
    }
}

impl Entry {
    fn standing(&self) -> Standing {
        Standing { state: self.state, generation: self.generation }
    }

    /// The entry as a change makes it; `None`: that may not happen to it.
    fn after(&self, change: Change, at: Timestamp) -> Option<Self> {
        let Standing { state, generation } = self.standing().after(change, at)?;
        let ending = if matches!(change, Change::Take { .. }) { None } else { self.ending };
        Some(Self { state, generation, version: self.version + 1, changed_at: at, ending, ..self.clone() })
    }
}

pub(in crate::store) fn take_in<R: Rows>(
    rows: &mut R,
    letters: &[Letter],
    act: &Act,
) -> Result<Vec<TakenIn>, R::Fault> {
    let mut answers = Vec::with_capacity(letters.len());
    for letter in letters {
        answers.push(match rows.entry(letter.id)? {
            None => {
                rows.insert(letter, act.at)?;
                TakenIn::New
            }
            Some(entry) => arrive_again(rows, &entry, act)?,
        });
    }
    Ok(answers)
}

fn arrive_again<R: Rows>(rows: &mut R, entry: &Entry, act: &Act) -> Result<TakenIn, R::Fault> {
    match entry.after(Change::Arrive, act.at) {
        Some(after) if after.state != entry.state => {
            rows.put(entry, &after)?;
            rows.write_down(entry.id, &deed(What::Reopened, act))?;
            Ok(TakenIn::Reopened)
        }
        Some(_) | None => Ok(TakenIn::Same),
    }
}

pub(in crate::store) fn change<R: Rows>(rows: &mut R, orders: &[Order], act: &Act) -> Result<Vec<Changed>, R::Fault> {
    let mut answers = Vec::with_capacity(orders.len());
    for order in orders {
        let Some(entry) = rows.entry(order.id)? else {
            answers.push(Changed::Absent);
            continue;
        };
        let after = entry.after(order.wish.change(), act.at).filter(|_| entry.version == order.version);
        answers.push(match after {
            None => Changed::Not(entry),
            Some(after) => {
                rows.put(&entry, &after)?;
                rows.write_down(order.id, &deed(order.wish.into(), act))?;
                Changed::Done(after)
            }
        });
    }
    Ok(answers)
}

pub(in crate::store) fn reveal<R: Rows>(rows: &mut R, ids: &[DeadId], act: &Act) -> Result<(), R::Fault> {
    ids.iter().try_for_each(|id| rows.write_down(*id, &deed(What::Revealed, act)))
}

/// `None`: a plan is gone that was just made.
pub(in crate::store) fn edit<R: Rows>(
    rows: &mut R,
    edit: &Edit,
    terms: &str,
    act: &Act,
) -> Result<Option<Edited>, R::Fault> {
    let Some(entry) = rows.entry(edit.id)? else { return Ok(Some(Edited::Absent)) };
    if entry.version != edit.version || entry.state != State::Dead {
        return Ok(Some(Edited::Not(entry)));
    }
    for (plan, member) in rows.plans_of(edit.id)? {
        if member == Member::Waiting && rows.plan(plan)?.is_some_and(|plan| is_running(&plan)) {
            return Ok(Some(Edited::Waits(plan)));
        }
    }
    let mut after = Entry { version: entry.version + 1, changed_at: act.at, ..entry.clone() };
    after.facts.offer.clone_from(&edit.offer);
    (after.facts.lead, after.facts.address) = (edit.lead, edit.address);
    after.facts.size = edit.body.len() as u64;
    rows.put(&entry, &after)?;
    rows.put_body(edit)?;
    rows.write_down(edit.id, &deed(What::Edited, act))?;
    Ok(plans::freeze(rows, &Selection::Ids(vec![edit.id]), terms, act)?.map(Edited::Done))
}

pub(in crate::store) fn remove<R: Rows>(rows: &mut R, ids: &[DeadId], act: &Act) -> Result<u64, R::Fault> {
    let mut removed = 0;
    for id in ids {
        if rows.delete(*id)? {
            rows.write_down(*id, &deed(What::Removed, act))?;
            removed += 1;
        }
    }
    Ok(removed)
}

pub(in crate::store) fn purge<R: Rows>(rows: &mut R, before: Timestamp, limit: usize) -> Result<u64, R::Fault> {
    let settled = rows.settled_before(before, limit)?;
    for id in &settled {
        rows.delete(*id)?;
    }
    rows.delete_old_deeds_of_nobody(before)?;
    rows.delete_plans_ended_before(before)?;
    Ok(settled.len() as u64)
}

fn deed(what: What, act: &Act) -> Deed {
    Deed { act: act.clone(), what }
}

impl From<Wish> for What {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::Discard => Self::Discarded,
            Wish::Undo => Self::Undone,
        }
    }
}

/// Whether the plan is this owner's to work on now.
fn is_owner(plan: &Plan, owning: &Owning) -> bool {
    matches!(&plan.owner, Some((owner, until)) if *owner == owning.owner && *until > owning.now)
}

fn is_running(plan: &Plan) -> bool {
    plan.state == PlanState::Running
}
