//! The rows, as statements. All run inside a transaction.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::columns::{COLUMNS, Time, act, entry, number, text, until};
use super::search::{Conditions, index_for};
use crate::domain::dead_letter::{Ending, StateName, read_attempts, write_attempts};
use crate::domain::envelope::Message;
use crate::domain::envelope_json;
use crate::domain::lead_key::DeadId;
use crate::domain::reply::Code;
use crate::store::dead_letters::{
    Act, Deed, Edit, Entry, Filter, Kept, Letter, Members, Plan, PlanId, PlanState, Selection, What,
};
use crate::store::letters::{Member, Rows};
use crate::store::sqlite::fault::Fault;

/// The tables, inside a transaction.
pub(super) struct Tables<'a>(pub &'a Connection);

impl Rows for Tables<'_> {
    type Fault = Fault;

    fn entry(&self, id: DeadId) -> Result<Option<Entry>, Fault> {
        let mut select = self.0.prepare_cached(&format!("SELECT {COLUMNS} FROM letters WHERE id = ?1"))?;
        let mut rows = select.query([id.as_bytes()])?;
        rows.next()?.map(entry).transpose()
    }

    fn kept(&self, id: DeadId) -> Result<Option<Kept>, Fault> {
        let Some(entry) = self.entry(id)? else { return Ok(None) };
        let select = "SELECT attempts, properties, body, original FROM contents WHERE letter = ?1";
        let mut select = self.0.prepare_cached(select)?;
        let mut rows = select.query([id.as_bytes()])?;
        let row = rows.next()?.ok_or(Fault::Damaged)?;
        let properties = serde_json::from_str(text(row, 1)?).ok().and_then(envelope_json::from_json);
        let body: Vec<u8> = row.get(2)?;
        let message = Message { body: body.into(), properties: properties.ok_or(Fault::Damaged)? };
        let original = row.get::<_, Option<Vec<u8>>>(3)?.map(Into::into);
        let attempts = read_attempts(text(row, 0)?);
        Ok(Some(Kept { entry, attempts, message, original, history: self.history(id)? }))
    }

    fn insert(&mut self, letter: &Letter, at: Timestamp) -> Result<(), Fault> {
        let Letter { id, facts, attempts, message } = letter;
        let insert =
            "INSERT INTO letters (id, state, generation, version, changed_at, cause, detail, class, code, status,
            destination, publisher, offer, lead, address, trace_id, attempts, first_received, dead_at, died_generation,
            replay_of, size) VALUES (?1, 'dead', ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
            ?17, ?2, ?18, ?19)";
        let mut insert = self.0.prepare_cached(insert)?;
        insert.execute(params![
            id.as_bytes(),
            facts.generation,
            Time(at),
            facts.cause.name(),
            facts.detail,
            facts.class.map(|class| class.as_str()),
            facts.code.as_ref().map(Code::as_str),
            facts.code.as_ref().and_then(Code::http_status),
            facts.destination.as_ref().map(|name| name.as_str()),
            facts.offer.as_deref().map(publisher),
            facts.offer,
            facts.lead.as_ref().map(|lead| lead.as_bytes()),
            facts.address.as_ref().map(|address| address.as_bytes()),
            facts.trace_id,
            facts.attempts,
            facts.first_received.map(Time),
            Time(facts.dead_at),
            facts.replay_of.as_ref().map(|id| id.as_bytes()),
            facts.size as i64,
        ])?;
        let insert = "INSERT INTO contents (letter, attempts, properties, body) VALUES (?1, ?2, ?3, ?4)";
        let properties = envelope_json::to_json(&message.properties).to_string();
        let values = params![id.as_bytes(), write_attempts(attempts), properties, &message.body[..]];
        self.0.prepare_cached(insert)?.execute(values)?;
        Ok(())
    }

    fn put(&mut self, before: &Entry, after: &Entry) -> Result<(), Fault> {
        let update = "UPDATE letters SET state = ?1, until = ?2, generation = ?3, version = ?4, changed_at = ?5,
            ending = ?6, publisher = ?7, offer = ?8, lead = ?9, address = ?10, size = ?11
            WHERE id = ?12 AND version = ?13 AND state = ?14";
        let changed = self.0.prepare_cached(update)?.execute(params![
            after.state.name().as_str(),
            until(after.state),
            after.generation,
            after.version as i64,
            Time(after.changed_at),
            after.ending.map(|ending| ending.as_str()),
            after.facts.offer.as_deref().map(publisher),
            after.facts.offer,
            after.facts.lead.as_ref().map(|lead| lead.as_bytes()),
            after.facts.address.as_ref().map(|address| address.as_bytes()),
            after.facts.size as i64,
            before.id.as_bytes(),
            before.version as i64,
            before.state.name().as_str(),
        ])?;
        // It was read in this transaction, which alone may write.
        if changed == 1 { Ok(()) } else { Err(Fault::Damaged) }
    }

    fn put_body(&mut self, edit: &Edit) -> Result<(), Fault> {
        let update = "UPDATE contents SET original = coalesce(original, body), body = ?1 WHERE letter = ?2";
        self.0.prepare_cached(update)?.execute(params![&edit.body[..], edit.id.as_bytes()])?;
        Ok(())
    }

    fn delete(&mut self, id: DeadId) -> Result<bool, Fault> {
        for delete in ["DELETE FROM contents WHERE letter = ?1", "DELETE FROM deeds WHERE letter = ?1"] {
            self.0.prepare_cached(delete)?.execute([id.as_bytes()])?;
        }
        Ok(self.0.prepare_cached("DELETE FROM letters WHERE id = ?1")?.execute([id.as_bytes()])? > 0)
    }

    fn write_down(&mut self, id: DeadId, Deed { act, what }: &Deed) -> Result<(), Fault> {
        let insert = "INSERT INTO deeds (letter, at, who, what, why) VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![id.as_bytes(), Time(act.at), act.who, what.name(), act.why];
        self.0.prepare_cached(insert)?.execute(values)?;
        Ok(())
    }

    fn delete_old_deeds_of_nobody(&mut self, before: Timestamp) -> Result<(), Fault> {
        self.0.execute("DELETE FROM deeds WHERE what = 'removed' AND at < ?1", [Time(before)])?;
        Ok(())
    }

    fn settled_before(&self, before: Timestamp, limit: usize) -> Result<Vec<DeadId>, Fault> {
        let select = "SELECT id FROM letters INDEXED BY letters_settled
            WHERE state IN ('replayed', 'discarded') AND changed_at < ?1 ORDER BY changed_at LIMIT ?2";
        self.ids(select, params![Time(before), at_most(limit)])
    }

    fn insert_plan(&mut self, terms: &str, made: &Act) -> Result<PlanId, Fault> {
        let insert =
            "INSERT INTO plans (state, terms, made_at, made_who, made_why, changed_at, changed_who, changed_why)
            VALUES ('running', ?1, ?2, ?3, ?4, ?2, ?3, ?4)";
        self.0.execute(insert, params![terms, Time(made.at), made.who, made.why])?;
        Ok(PlanId(number(self.0.last_insert_rowid())?))
    }

    fn insert_members(&mut self, plan: PlanId, selection: &Selection) -> Result<(), Fault> {
        match selection {
            Selection::Filter(filter) => self.freeze_filter(plan, filter),
            Selection::Ids(ids) => self.freeze_ids(plan, ids),
        }
    }

    fn plan(&self, id: PlanId) -> Result<Option<Plan>, Fault> {
        let mut select = self.0.prepare_cached(&format!("{SELECT_PLAN} WHERE id = ?1"))?;
        let mut rows = select.query([id.0 as i64])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        self.plan_of(row).map(Some)
    }

    fn put_plan(&mut self, plan: &Plan) -> Result<(), Fault> {
        let update = "UPDATE plans SET state = ?1, paused_why = ?2, owner = ?3, owned_until = ?4, changed_at = ?5,
            changed_who = ?6, changed_why = ?7 WHERE id = ?8";
        let why = if let PlanState::Paused(why) = &plan.state { Some(why) } else { None };
        let (owner, until) = plan.owner.as_ref().map(|(owner, until)| (owner, Time(*until))).unzip();
        let Act { at, who, why: changed_why } = &plan.changed;
        let values = params![plan.state.name(), why, owner, until, Time(*at), who, changed_why, plan.id.0 as i64];
        self.0.prepare_cached(update)?.execute(values)?;
        Ok(())
    }

    fn delete_plans_ended_before(&mut self, before: Timestamp) -> Result<(), Fault> {
        let ended = "FROM plans WHERE state IN ('done', 'cancelled') AND changed_at < ?1";
        self.0.execute(&format!("DELETE FROM members WHERE plan IN (SELECT id {ended})"), [Time(before)])?;
        self.0.execute(&format!("DELETE {ended}"), [Time(before)])?;
        Ok(())
    }

    fn members(&self, plan: PlanId, taken: bool, limit: usize) -> Result<Vec<DeadId>, Fault> {
        let state = if taken { "taken" } else { "waiting" };
        let select = "SELECT letter FROM members WHERE plan = ?1 AND state = ?2 ORDER BY n LIMIT ?3";
        self.ids(select, params![plan.0 as i64, state, at_most(limit)])
    }

    fn plans_of(&self, letter: DeadId) -> Result<Vec<(PlanId, Member)>, Fault> {
        let select = "SELECT plan, state, generation FROM members WHERE letter = ?1 ORDER BY plan";
        let mut select = self.0.prepare_cached(select)?;
        let mut rows = select.query([letter.as_bytes()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push((PlanId(number(row.get(0)?)?), member(text(row, 1)?, row.get(2)?)?));
        }
        Ok(found)
    }

    fn put_member(&mut self, plan: PlanId, letter: DeadId, member: Member) -> Result<(), Fault> {
        let (state, generation) = state_of(member);
        let update = "UPDATE members SET state = ?1, generation = ?2 WHERE letter = ?3 AND plan = ?4";
        self.0.prepare_cached(update)?.execute(params![state, generation, letter.as_bytes(), plan.0 as i64])?;
        Ok(())
    }
}

const SELECT_PLAN: &str = "SELECT id, state, paused_why, terms, owner, owned_until, made_at, made_who, made_why,
    changed_at, changed_who, changed_why FROM plans";

impl Tables<'_> {
    fn ids(&self, select: &str, values: impl rusqlite::Params) -> Result<Vec<DeadId>, Fault> {
        let mut select = self.0.prepare_cached(select)?;
        let mut rows = select.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(DeadId::from_bytes(row.get(0)?));
        }
        Ok(found)
    }

    fn history(&self, id: DeadId) -> Result<Vec<Deed>, Fault> {
        let mut select = self.0.prepare_cached("SELECT at, who, why, what FROM deeds WHERE letter = ?1 ORDER BY n")?;
        let mut rows = select.query([id.as_bytes()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Deed { act: act(row, 0)?, what: What::parse(text(row, 3)?).ok_or(Fault::Damaged)? });
        }
        Ok(found)
    }

    /// Where nothing but state and age narrows, this takes as long as the letters are many: once a plan.
    fn freeze_filter(&self, plan: PlanId, filter: &Filter) -> Result<(), Fault> {
        let wanted = matches!(filter.state, None | Some(StateName::Dead));
        let conditions = Conditions::of(filter, Some(StateName::Dead));
        let (index, sql) = (index_for(filter), conditions.sql());
        let insert = format!(
            "INSERT INTO members (plan, letter, state) SELECT {}, id, 'waiting' FROM letters INDEXED BY {index}
            WHERE {sql} ORDER BY dead_at, id",
            plan.0
        );
        if wanted {
            self.0.execute(&insert, conditions.values())?;
        }
        Ok(())
    }

    fn freeze_ids(&self, plan: PlanId, ids: &[DeadId]) -> Result<(), Fault> {
        let mut dead = Vec::new();
        for id in ids {
            dead.extend(self.entry(*id)?.filter(|entry| entry.state.name() == StateName::Dead));
        }
        dead.sort_by_key(Entry::place);
        dead.dedup_by_key(|entry| entry.id);
        let insert = "INSERT INTO members (plan, letter, state) VALUES (?1, ?2, 'waiting')";
        let mut insert = self.0.prepare_cached(insert)?;
        for entry in dead {
            insert.execute(params![plan.0 as i64, entry.id.as_bytes()])?;
        }
        Ok(())
    }

    fn plan_of(&self, row: &Row<'_>) -> Result<Plan, Fault> {
        let id = PlanId(number(row.get(0)?)?);
        let state = match (text(row, 1)?, row.get::<_, Option<String>>(2)?) {
            ("running", _) => PlanState::Running,
            ("paused", why) => PlanState::Paused(why.unwrap_or_default()),
            ("done", _) => PlanState::Done,
            ("cancelled", _) => PlanState::Cancelled,
            _ => return Err(Fault::Damaged),
        };
        let until = row.get::<_, Option<_>>(5)?.map(super::columns::time).transpose()?;
        let owner = row.get::<_, Option<String>>(4)?.zip(until);
        let (made, changed) = (act(row, 6)?, act(row, 9)?);
        Ok(Plan { id, state, terms: row.get(3)?, owner, made, changed, members: self.count_members(id)? })
    }

    fn count_members(&self, plan: PlanId) -> Result<Members, Fault> {
        let select = "SELECT state, count(*) FROM members WHERE plan = ?1 GROUP BY state";
        let mut select = self.0.prepare_cached(select)?;
        let mut rows = select.query([plan.0 as i64])?;
        let mut members = Members::default();
        while let Some(row) = rows.next()? {
            *members.count_of(member(text(row, 0)?, Some(0))?) = number(row.get(1)?)?;
        }
        Ok(members)
    }

    pub fn plans(&self, limit: usize) -> Result<Vec<Plan>, Fault> {
        let mut select = self.0.prepare_cached(&format!("{SELECT_PLAN} ORDER BY id DESC LIMIT ?1"))?;
        let mut rows = select.query([at_most(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(self.plan_of(row)?);
        }
        Ok(found)
    }
}

/// A member's state and generation, as they are kept.
fn state_of(member: Member) -> (&'static str, Option<u32>) {
    match member {
        Member::Waiting => ("waiting", None),
        Member::Taken { generation } => ("taken", Some(generation)),
        Member::Published { generation } => ("published", Some(generation)),
        Member::PassedOver => ("passed_over", None),
        Member::Ended { generation, ending } => (ending.as_str(), Some(generation)),
    }
}

fn member(state: &str, generation: Option<u32>) -> Result<Member, Fault> {
    let generation = || generation.ok_or(Fault::Damaged);
    Ok(match state {
        "waiting" => Member::Waiting,
        "passed_over" => Member::PassedOver,
        "taken" => Member::Taken { generation: generation()? },
        "published" => Member::Published { generation: generation()? },
        other => {
            let ending = Ending::parse(other).ok_or(Fault::Damaged)?;
            Member::Ended { generation: generation()?, ending }
        }
    })
}

fn publisher(offer: &str) -> &str {
    offer.split_once('.').map_or(offer, |(publisher, _)| publisher)
}

fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
