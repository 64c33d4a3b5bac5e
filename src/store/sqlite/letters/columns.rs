//! A row of `letters`, and the entry that it is.

use jiff::Timestamp;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Row, ToSql};

use crate::domain::dead_letter::{Cause, Ending, State};
use crate::domain::lead_key::{AddressKey, DeadId, LeadKey};
use crate::domain::reply::{Class, Code};
use crate::domain::route::DestinationName;
use crate::store::dead_letters::{Act, Entry, Facts};
use crate::store::sqlite::fault::Fault;

/// In the order in which [`entry`] reads them.
pub(super) const COLUMNS: &str = "id, state, until, generation, version, changed_at, ending, cause, detail, class, code, \
                                  status, destination, offer, lead, address, trace_id, attempts, first_received, dead_at, \
                                  died_generation, replay_of, size";

pub(super) fn entry(row: &Row<'_>) -> Result<Entry, Fault> {
    let facts = Facts {
        cause: Cause::parse(text(row, 7)?).ok_or(Fault::Damaged)?,
        detail: row.get(8)?,
        class: class(row, 9)?,
        code: code(row, 10)?,
        destination: destination(row, 12)?,
        offer: row.get(13)?,
        lead: row.get::<_, Option<_>>(14)?.map(LeadKey::from_bytes),
        address: row.get::<_, Option<_>>(15)?.map(AddressKey::from_bytes),
        trace_id: row.get(16)?,
        attempts: row.get(17)?,
        first_received: row.get::<_, Option<_>>(18)?.map(time).transpose()?,
        dead_at: time(row.get(19)?)?,
        generation: row.get(20)?,
        replay_of: row.get::<_, Option<_>>(21)?.map(DeadId::from_bytes),
        size: number(row.get(22)?)?,
    };
    let ending = row.get_ref(6)?.as_str_or_null().map_err(|_| Fault::Damaged)?;
    Ok(Entry {
        id: DeadId::from_bytes(row.get(0)?),
        facts,
        state: state(text(row, 1)?, row.get(2)?)?,
        generation: row.get(3)?,
        version: number(row.get(4)?)?,
        changed_at: time(row.get(5)?)?,
        ending: ending.map(|name| Ending::parse(name).ok_or(Fault::Damaged)).transpose()?,
    })
}

fn state(name: &str, until: Option<i64>) -> Result<State, Fault> {
    match (name, until) {
        ("dead", None) => Ok(State::Dead),
        ("replaying", Some(until)) => Ok(State::Replaying { until: time(until)? }),
        ("replayed", None) => Ok(State::Replayed),
        ("discarded", None) => Ok(State::Discarded),
        _ => Err(Fault::Damaged),
    }
}

/// The end of the lease, where there is one.
pub(super) fn until(state: State) -> Option<Time> {
    match state {
        State::Replaying { until } => Some(Time(until)),
        State::Dead | State::Replayed | State::Discarded => None,
    }
}

fn class(row: &Row<'_>, column: usize) -> Result<Option<Class>, Fault> {
    let Some(name) = row.get_ref(column)?.as_str_or_null().map_err(|_| Fault::Damaged)? else { return Ok(None) };
    Class::ALL.into_iter().find(|class| class.as_str() == name).map(Some).ok_or(Fault::Damaged)
}

fn code(row: &Row<'_>, column: usize) -> Result<Option<Code>, Fault> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(|_| Fault::Damaged)?.map(Code::foreign);
    let status: Option<u16> = row.get(column + 1)?;
    Ok(text.map(|code| code.answered(status)))
}

fn destination(row: &Row<'_>, column: usize) -> Result<Option<DestinationName>, Fault> {
    let name = row.get_ref(column)?.as_str_or_null().map_err(|_| Fault::Damaged)?;
    name.map(|name| DestinationName::parse(name).map_err(|_| Fault::Damaged)).transpose()
}

pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, Fault> {
    row.get_ref(column)?.as_str().map_err(|_| Fault::Damaged)
}

/// From this column on: at, who, why.
pub(super) fn act(row: &Row<'_>, column: usize) -> Result<Act, Fault> {
    Ok(Act { at: time(row.get(column)?)?, who: row.get(column + 1)?, why: row.get(column + 2)? })
}

pub(super) fn number(found: i64) -> Result<u64, Fault> {
    found.try_into().map_err(|_| Fault::Damaged)
}

pub(super) fn time(microsecond: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(microsecond).map_err(|_| Fault::Damaged)
}

/// A time as it is kept: microseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Time(pub Timestamp);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_microsecond().into())
    }
}
