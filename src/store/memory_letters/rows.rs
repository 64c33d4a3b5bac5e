//! The rows, as collections.

use std::collections::BTreeMap;
use std::convert::Infallible;

use jiff::Timestamp;

use crate::domain::dead_letter::{State, StateName};
use crate::domain::lead_key::DeadId;
use crate::domain::route::OfferPattern;
use crate::store::dead_letters::{
    Act, Aspect, Deed, Edit, Entry, Filter, Group, Kept, Letter, Members, Place, Plan, PlanId, PlanState, Selection,
};
use crate::store::letters::{Member, Rows};

#[derive(Debug, Default)]
pub(super) struct Store {
    pub letters: BTreeMap<DeadId, Kept>,
    /// Of letters that are gone.
    deeds: Vec<(DeadId, Deed)>,
    plans: BTreeMap<PlanId, Planned>,
    plans_made: u64,
}

/// A plan and its letters, in their order.
type Planned = (Plan, Vec<(DeadId, Member)>);

impl Store {
    fn fitting<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Entry> {
        self.letters.values().map(|kept| &kept.entry).filter(|entry| fits(filter, entry))
    }

    pub fn list(&self, filter: &Filter, after: Option<Place>, limit: usize) -> Vec<Entry> {
        let beyond = |entry: &&Entry| after.is_none_or(|after| entry.place() < after);
        let mut found: Vec<Entry> = self.fitting(filter).filter(beyond).cloned().collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.place()));
        found.truncate(limit);
        found
    }

    pub fn count(&self, filter: &Filter, by: &[Aspect]) -> Vec<Group> {
        let mut groups: BTreeMap<Vec<Option<String>>, Group> = BTreeMap::new();
        for entry in self.fitting(filter) {
            let values: Vec<_> = by.iter().map(|aspect| value(*aspect, entry)).collect();
            let at = entry.facts.dead_at;
            let new = || Group { values: values.clone(), count: 0, oldest: at, latest: at };
            let group = groups.entry(values.clone()).or_insert_with(new);
            group.count += 1;
            (group.oldest, group.latest) = (group.oldest.min(at), group.latest.max(at));
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }

    pub fn plans(&self, limit: usize) -> Vec<Plan> {
        self.plans.values().rev().take(limit).map(|(plan, members)| counted(plan, members)).collect()
    }
}

fn fits(filter: &Filter, entry: &Entry) -> bool {
    let Filter { state, cause, destination, offer, lead, address, since, before } = filter;
    let facts = &entry.facts;
    let offer_fits = |pattern: &OfferPattern| match (pattern, &facts.offer) {
        (OfferPattern::Any, _) => true,
        (OfferPattern::Exact(exact), Some(offer)) => offer == exact,
        (OfferPattern::Publisher(publisher), Some(offer)) => publisher_of(offer) == publisher,
        (OfferPattern::Exact(_) | OfferPattern::Publisher(_), None) => false,
    };
    state.is_none_or(|state| entry.state.name() == state)
        && cause.is_none_or(|cause| facts.cause == cause)
        && (destination.is_none() || facts.destination == *destination)
        && offer.as_ref().is_none_or(offer_fits)
        && (lead.is_none() || facts.lead == *lead)
        && (address.is_none() || facts.address == *address)
        && since.is_none_or(|since| facts.dead_at >= since)
        && before.is_none_or(|before| facts.dead_at < before)
}

fn publisher_of(offer: &str) -> &str {
    offer.split_once('.').map_or(offer, |(publisher, _)| publisher)
}

fn value(aspect: Aspect, entry: &Entry) -> Option<String> {
    let facts = &entry.facts;
    match aspect {
        Aspect::State => Some(entry.state.name().as_str().to_owned()),
        Aspect::Cause => Some(facts.cause.name().to_owned()),
        Aspect::Destination => facts.destination.as_ref().map(|name| name.as_str().to_owned()),
        Aspect::Offer => facts.offer.clone(),
        Aspect::Publisher => facts.offer.as_deref().map(|offer| publisher_of(offer).to_owned()),
    }
}

fn counted(plan: &Plan, members: &[(DeadId, Member)]) -> Plan {
    let mut counts = Members::default();
    for (_, member) in members {
        *counts.count_of(*member) += 1;
    }
    Plan { members: counts, ..plan.clone() }
}

impl Rows for Store {
    type Fault = Infallible;

    fn entry(&self, id: DeadId) -> Result<Option<Entry>, Infallible> {
        Ok(self.letters.get(&id).map(|kept| kept.entry.clone()))
    }

    fn kept(&self, id: DeadId) -> Result<Option<Kept>, Infallible> {
        Ok(self.letters.get(&id).cloned())
    }

    fn insert(&mut self, letter: &Letter, at: Timestamp) -> Result<(), Infallible> {
        let Letter { id, facts, attempts, message } = letter.clone();
        let generation = facts.generation;
        let entry = Entry { id, facts, state: State::Dead, generation, version: 1, changed_at: at, ending: None };
        self.letters.insert(id, Kept { entry, attempts, message, original: None, history: Vec::new() });
        Ok(())
    }

    fn put(&mut self, before: &Entry, after: &Entry) -> Result<(), Infallible> {
        if let Some(kept) = self.letters.get_mut(&before.id).filter(|kept| kept.entry.version == before.version) {
            kept.entry = after.clone();
        }
        Ok(())
    }

    fn put_body(&mut self, edit: &Edit) -> Result<(), Infallible> {
        if let Some(kept) = self.letters.get_mut(&edit.id) {
            let before = std::mem::replace(&mut kept.message.body, edit.body.clone());
            kept.original.get_or_insert(before);
        }
        Ok(())
    }

    fn delete(&mut self, id: DeadId) -> Result<bool, Infallible> {
        Ok(self.letters.remove(&id).is_some())
    }

    fn write_down(&mut self, id: DeadId, deed: &Deed) -> Result<(), Infallible> {
        match self.letters.get_mut(&id) {
            Some(kept) => kept.history.push(deed.clone()),
            None => self.deeds.push((id, deed.clone())),
        }
        Ok(())
    }

    fn delete_old_deeds_of_nobody(&mut self, before: Timestamp) -> Result<(), Infallible> {
        self.deeds.retain(|(_, deed)| deed.act.at >= before);
        Ok(())
    }

    fn settled_before(&self, before: Timestamp, limit: usize) -> Result<Vec<DeadId>, Infallible> {
        let settled = |entry: &&Entry| {
            matches!(entry.state.name(), StateName::Replayed | StateName::Discarded) && entry.changed_at < before
        };
        let mut found: Vec<&Entry> = self.letters.values().map(|kept| &kept.entry).filter(settled).collect();
        found.sort_by_key(|entry| entry.changed_at);
        Ok(found.into_iter().take(limit).map(|entry| entry.id).collect())
    }

    fn insert_plan(&mut self, terms: &str, made: &Act) -> Result<PlanId, Infallible> {
        self.plans_made += 1;
        let id = PlanId(self.plans_made);
        let (terms, made, members) = (terms.to_owned(), made.clone(), Members::default());
        let plan = Plan { id, state: PlanState::Running, changed: made.clone(), made, terms, owner: None, members };
        self.plans.insert(id, (plan, Vec::new()));
        Ok(id)
    }

    fn insert_members(&mut self, plan: PlanId, selection: &Selection) -> Result<(), Infallible> {
        let mut frozen: Vec<&Entry> = match selection {
            Selection::Filter(filter) => self.fitting(filter).collect(),
            Selection::Ids(ids) => {
                self.letters.values().map(|kept| &kept.entry).filter(|e| ids.contains(&e.id)).collect()
            }
        };
        frozen.retain(|entry| entry.state == State::Dead);
        frozen.sort_by_key(|entry| entry.place());
        let members = frozen.into_iter().map(|entry| (entry.id, Member::Waiting)).collect();
        if let Some((_, held)) = self.plans.get_mut(&plan) {
            *held = members;
        }
        Ok(())
    }

    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Infallible> {
        Ok(self.plans.get(&id).map(|(plan, members)| counted(plan, members)))
    }

    fn put_plan(&mut self, plan: &Plan) -> Result<(), Infallible> {
        if let Some((held, _)) = self.plans.get_mut(&plan.id) {
            *held = plan.clone();
        }
        Ok(())
    }

    fn delete_plans_ended_before(&mut self, before: Timestamp) -> Result<(), Infallible> {
        let ended = |plan: &Plan| matches!(plan.state, PlanState::Done | PlanState::Cancelled);
        self.plans.retain(|_, (plan, _)| !ended(plan) || plan.changed.at >= before);
        Ok(())
    }

    fn members(&self, plan: PlanId, taken: bool, limit: usize) -> Result<Vec<DeadId>, Infallible> {
        let wanted = |member: &Member| match member {
            Member::Waiting => !taken,
            Member::Taken { .. } => taken,
            Member::Published { .. } | Member::PassedOver | Member::Ended { .. } => false,
        };
        let members = self.plans.get(&plan).into_iter().flat_map(|(_, members)| members);
        Ok(members.filter(|(_, member)| wanted(member)).take(limit).map(|(id, _)| *id).collect())
    }

    fn plans_of(&self, letter: DeadId) -> Result<Vec<(PlanId, Member)>, Infallible> {
        let in_plan = |(id, (_, members)): (&PlanId, &Planned)| {
            members.iter().find(|(held, _)| *held == letter).map(|(_, member)| (*id, *member))
        };
        Ok(self.plans.iter().filter_map(in_plan).collect())
    }

    fn put_member(&mut self, plan: PlanId, letter: DeadId, member: Member) -> Result<(), Infallible> {
        let members = self.plans.get_mut(&plan).into_iter().flat_map(|(_, members)| members);
        for (_, held) in members.filter(|(id, _)| *id == letter) {
            *held = member;
        }
        Ok(())
    }
}
