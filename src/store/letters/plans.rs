//! The calls about plans of replay. A letter's lease ends with the lease of the plan's owner under which it was taken:
//! whoever owns the plan after that may take it again.

use jiff::Timestamp;

use super::{Member, Rows, deed, is_owner, is_running};
use crate::domain::dead_letter::{Change, Ending, State};
use crate::domain::lead_key::DeadId;
use crate::store::dead_letters::{Act, Ended, Kept, NotOwned, Owning, Plan, PlanId, PlanState, Selection, What};

pub(in crate::store) fn freeze<R: Rows>(
    rows: &mut R,
    selection: &Selection,
    terms: &str,
    act: &Act,
) -> Result<Option<Plan>, R::Fault> {
    let id = rows.insert_plan(terms, act)?;
    rows.insert_members(id, selection)?;
    rows.plan(id)
}

pub(in crate::store) fn own<R: Rows>(rows: &mut R, owning: &Owning) -> Result<Result<(), NotOwned>, R::Fault> {
    let Some(plan) = rows.plan(owning.plan)? else { return Ok(Err(NotOwned::Absent)) };
    if !is_running(&plan) {
        return Ok(Err(NotOwned::Halted(plan.state)));
    }
    if let Some((owner, until)) = &plan.owner
        && *owner != owning.owner
        && *until > owning.now
    {
        return Ok(Err(NotOwned::Owned(owner.clone(), *until)));
    }
    rows.put_plan(&Plan { owner: Some((owning.owner.clone(), owning.until)), ..plan })?;
    Ok(Ok(()))
}

pub(in crate::store) fn disown<R: Rows>(rows: &mut R, owning: &Owning) -> Result<(), R::Fault> {
    match rows.plan(owning.plan)? {
        Some(plan) if is_owner(&plan, owning) => rows.put_plan(&Plan { owner: None, ..plan }),
        Some(_) | None => Ok(()),
    }
}

pub(in crate::store) fn take_next<R: Rows>(
    rows: &mut R,
    owning: &Owning,
    limit: usize,
    act: &Act,
) -> Result<Result<Vec<Kept>, NotOwned>, R::Fault> {
    let Some(plan) = rows.plan(owning.plan)? else { return Ok(Err(NotOwned::Absent)) };
    if !is_running(&plan) {
        return Ok(Err(NotOwned::Halted(plan.state)));
    }
    let until = match plan.owner {
        Some((owner, until)) if owner == owning.owner && until > owning.now => until,
        Some((owner, until)) if until > owning.now => return Ok(Err(NotOwned::Owned(owner, until))),
        Some(_) | None => return Ok(Err(NotOwned::Lapsed)),
    };
    let mut taken = Vec::new();
    for id in rows.members(owning.plan, true, usize::MAX)? {
        if taken.len() < limit {
            taken.extend(retake(rows, (owning.plan, id), until, act)?);
        }
    }
    while taken.len() < limit {
        let next = rows.members(owning.plan, false, limit - taken.len())?;
        if next.is_empty() {
            break;
        }
        for id in next {
            taken.extend(take(rows, (owning.plan, id), until, act)?);
        }
    }
    Ok(Ok(taken))
}

/// What had been taken is ours if its lease is over. It is nobody's to replay if it is replaying no more.
fn retake<R: Rows>(
    rows: &mut R,
    (plan, id): (PlanId, DeadId),
    until: Timestamp,
    act: &Act,
) -> Result<Option<Kept>, R::Fault> {
    match rows.entry(id)?.map(|entry| entry.state) {
        Some(State::Replaying { until }) if until > act.at => Ok(None),
        Some(State::Replaying { .. }) => take(rows, (plan, id), until, act),
        Some(State::Dead | State::Replayed | State::Discarded) | None => {
            rows.put_member(plan, id, Member::PassedOver)?;
            Ok(None)
        }
    }
}

fn take<R: Rows>(
    rows: &mut R,
    (plan, id): (PlanId, DeadId),
    until: Timestamp,
    act: &Act,
) -> Result<Option<Kept>, R::Fault> {
    let entry = rows.entry(id)?;
    let taken = entry.as_ref().and_then(|entry| Some((entry, entry.after(Change::Take { until }, act.at)?)));
    let Some((before, after)) = taken else {
        rows.put_member(plan, id, Member::PassedOver)?;
        return Ok(None);
    };
    rows.put(before, &after)?;
    rows.write_down(id, &deed(What::Taken, act))?;
    rows.put_member(plan, id, Member::Taken { generation: after.generation })?;
    rows.kept(id)
}

pub(in crate::store) fn mark_published<R: Rows>(
    rows: &mut R,
    plan: PlanId,
    ids: &[DeadId],
    act: &Act,
) -> Result<(), R::Fault> {
    for id in ids {
        let Some(entry) = rows.entry(*id)? else { continue };
        if matches!(entry.state, State::Replaying { .. })
            && let Some(after) = entry.after(Change::Publish, act.at)
        {
            rows.put(&entry, &after)?;
            rows.write_down(*id, &deed(What::Published, act))?;
        }
        let ours = rows.plans_of(*id)?.into_iter().find(|(of, _)| *of == plan);
        if let Some((_, Member::Taken { generation })) = ours {
            rows.put_member(plan, *id, Member::Published { generation })?;
        }
    }
    Ok(())
}

/// Only by the owner, and within the lease: after it another may have published what we did not.
pub(in crate::store) fn give_back<R: Rows>(
    rows: &mut R,
    owning: &Owning,
    ids: &[DeadId],
    act: &Act,
) -> Result<(), R::Fault> {
    if !rows.plan(owning.plan)?.is_some_and(|plan| is_owner(&plan, owning)) {
        return Ok(());
    }
    for id in ids {
        let Some(entry) = rows.entry(*id)? else { continue };
        if let Some(after) = entry.after(Change::GiveBack, act.at) {
            rows.put(&entry, &after)?;
            rows.write_down(*id, &deed(What::GivenBack, act))?;
            rows.put_member(owning.plan, *id, Member::Waiting)?;
        }
    }
    Ok(())
}

pub(in crate::store) fn record_endings<R: Rows>(rows: &mut R, endings: &[Ended], act: &Act) -> Result<(), R::Fault> {
    for &Ended { id, generation, ending } in endings {
        let Some(entry) = rows.entry(id)?.filter(|entry| entry.generation == generation) else { continue };
        // A crash between a dead letter and its acknowledgement lets a message end twice: dead again, which is nothing
        // new, or it lives on.
        let is_new = match entry.ending {
            None => true,
            Some(Ending::Dead) => ending != Ending::Dead,
            Some(_) => false,
        };
        if !is_new {
            continue;
        }
        let published = match entry.state {
            State::Replaying { .. } => entry.after(Change::Publish, act.at),
            State::Dead | State::Replayed | State::Discarded => None,
        };
        let mut after = published.unwrap_or_else(|| entry.clone());
        after.ending = Some(ending);
        after.version = entry.version + 1;
        rows.put(&entry, &after)?;
        rows.write_down(id, &deed(What::Ended(ending), act))?;
        end_in_plans(rows, id, generation, ending)?;
    }
    Ok(())
}

/// In every plan that has published this generation of the letter, or may have.
fn end_in_plans<R: Rows>(rows: &mut R, id: DeadId, generation: u32, ending: Ending) -> Result<(), R::Fault> {
    for (plan, member) in rows.plans_of(id)? {
        match member {
            Member::Taken { generation: of }
            | Member::Published { generation: of }
            | Member::Ended { generation: of, .. }
                if of == generation =>
            {
                rows.put_member(plan, id, Member::Ended { generation, ending })?;
            }
            Member::Waiting
            | Member::PassedOver
            | Member::Taken { .. }
            | Member::Published { .. }
            | Member::Ended { .. } => {}
        }
    }
    Ok(())
}

pub(in crate::store) fn change_plan<R: Rows>(
    rows: &mut R,
    id: PlanId,
    to: &PlanState,
    act: &Act,
) -> Result<Option<Plan>, R::Fault> {
    let Some(plan) = rows.plan(id)?.filter(|plan| plan.state.may_become(to)) else { return Ok(None) };
    rows.put_plan(&Plan { state: to.clone(), changed: act.clone(), ..plan })?;
    rows.plan(id)
}
