//! What is listed, counted and found: every statement walks one index, from where its answer begins.

use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::columns::{COLUMNS, Time, entry, number, time};
use crate::domain::dead_letter::StateName;
use crate::domain::lead_key::DeadId;
use crate::domain::route::OfferPattern;
use crate::store::dead_letters::{Aspect, Entry, Filter, Group, Place};
use crate::store::sqlite::fault::Fault;

/// A statement's conditions and what stands for their question marks.
#[derive(Default)]
pub(super) struct Conditions<'a> {
    terms: Vec<&'static str>,
    pub values: Vec<Box<dyn ToSql + 'a>>,
}

impl<'a> Conditions<'a> {
    /// `None`: of every state.
    pub fn of(filter: &'a Filter, state: Option<StateName>) -> Self {
        let mut conditions = Self::default();
        match state {
            Some(state) => conditions.add("state = ?", state.as_str()),
            None => conditions.terms.push("state IN ('dead', 'replaying', 'replayed', 'discarded')"),
        }
        if let Some(lead) = &filter.lead {
            conditions.add("lead = ?", lead.as_bytes());
        }
        if let Some(address) = &filter.address {
            conditions.add("address = ?", address.as_bytes());
        }
        match &filter.offer {
            Some(OfferPattern::Exact(offer)) => conditions.add("offer = ?", offer),
            Some(OfferPattern::Publisher(publisher)) => conditions.add("publisher = ?", publisher),
            Some(OfferPattern::Any) | None => {}
        }
        if let Some(destination) = &filter.destination {
            conditions.add("destination = ?", destination.as_str());
        }
        if let Some(cause) = filter.cause {
            conditions.add("cause = ?", cause.name());
        }
        if let Some(since) = filter.since {
            conditions.add("dead_at >= ?", Time(since));
        }
        if let Some(before) = filter.before {
            conditions.add("dead_at < ?", Time(before));
        }
        conditions
    }

    fn add(&mut self, term: &'static str, value: impl ToSql + 'a) {
        self.terms.push(term);
        self.values.push(Box::new(value));
    }

    pub fn and_beyond(mut self, place: Option<&'a Place>) -> Self {
        if let Some(Place { dead_at, id }) = place {
            self.add("(dead_at, id) < (?, ?)", Time(*dead_at));
            self.values.push(Box::new(id.as_bytes()));
        }
        self
    }

    pub fn sql(&self) -> String {
        self.terms.join(" AND ")
    }

    pub fn values(&self) -> impl rusqlite::Params {
        params_from_iter(self.values.iter())
    }
}

/// The index of what narrows most, so that it does not hang on statistics that nobody has gathered.
pub(super) fn index_for(filter: &Filter) -> &'static str {
    match filter {
        Filter { lead: Some(_), .. } => "letters_by_lead",
        Filter { address: Some(_), .. } => "letters_by_address",
        Filter { offer: Some(OfferPattern::Exact(_)), .. } => "letters_by_offer",
        Filter { offer: Some(OfferPattern::Publisher(_)), .. } => "letters_by_publisher",
        Filter { destination: Some(_), .. } => "letters_by_destination",
        Filter { cause: Some(_), .. } => "letters_by_cause",
        Filter { .. } => "letters_by_age",
    }
}

pub(super) fn page_sql(filter: &Filter, conditions: &Conditions<'_>) -> String {
    let (index, conditions) = (index_for(filter), conditions.sql());
    format!(
        "SELECT {COLUMNS} FROM letters INDEXED BY {index} WHERE {conditions} ORDER BY dead_at DESC, id DESC LIMIT ?"
    )
}

pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Entry>, Fault> {
    let states = filter.state.map_or_else(|| StateName::ALL.to_vec(), |state| vec![state]);
    let mut found = Vec::new();
    for state in states {
        let mut conditions = Conditions::of(filter, Some(state)).and_beyond(after);
        let sql = page_sql(filter, &conditions);
        conditions.values.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut select = connection.prepare_cached(&sql)?;
        let mut rows = select.query(conditions.values())?;
        while let Some(row) = rows.next()? {
            found.push(entry(row)?);
        }
    }
    // Each state's is in order: what is to be merged is a page or four.
    found.sort_by_key(|entry| std::cmp::Reverse(entry.place()));
    found.truncate(limit);
    Ok(found)
}

fn column(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::State => "state",
        Aspect::Cause => "cause",
        Aspect::Destination => "destination",
        Aspect::Offer => "offer",
        Aspect::Publisher => "publisher",
    }
}

pub(super) fn count_sql(filter: &Filter, by: &[Aspect], conditions: &Conditions<'_>) -> String {
    let columns: Vec<_> = by.iter().map(|aspect| column(*aspect)).collect();
    let columns = columns.join(", ");
    let (comma, group) = if by.is_empty() { ("", String::new()) } else { (", ", format!("GROUP BY {columns}")) };
    let index = match (index_for(filter), by) {
        // Nothing narrows: by the index that has the most of what is counted by in it.
        ("letters_by_age", by) if by.contains(&Aspect::Offer) => "letters_by_offer",
        ("letters_by_age", by) if by.contains(&Aspect::Publisher) => "letters_by_publisher",
        (index, _) => index,
    };
    let conditions = conditions.sql();
    format!(
        "SELECT count(*), min(dead_at), max(dead_at){comma}{columns} FROM letters INDEXED BY {index} \
         WHERE {conditions} {group} ORDER BY 1 DESC{comma}{columns}"
    )
}

pub(super) fn count(connection: &Connection, filter: &Filter, by: &[Aspect]) -> Result<Vec<Group>, Fault> {
    let conditions = Conditions::of(filter, filter.state);
    let mut select = connection.prepare_cached(&count_sql(filter, by, &conditions))?;
    let mut rows = select.query(conditions.values())?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        // Without groups, none is one of nothing.
        let count = number(row.get(0)?)?;
        if count > 0 {
            let values = (0..by.len()).map(|n| row.get(n + 3)).collect::<Result<_, _>>()?;
            groups.push(Group { values, count, oldest: time(row.get(1)?)?, latest: time(row.get(2)?)? });
        }
    }
    Ok(groups)
}

/// By the first digits of an id, in hexadecimal.
pub(super) fn find(connection: &Connection, beginning: &str, limit: usize) -> Result<Vec<DeadId>, Fault> {
    let bound = |digit: &str| {
        let mut bytes = [0; 16];
        let digits = format!("{beginning}{}", digit.repeat(32_usize.saturating_sub(beginning.len())));
        hex::decode_to_slice(digits, &mut bytes).is_ok().then_some(bytes)
    };
    let (Some(first), Some(last)) = (bound("0"), bound("f")) else { return Ok(Vec::new()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select =
        connection.prepare_cached("SELECT id FROM letters WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3")?;
    let mut rows = select.query(params![first, last, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(DeadId::from_bytes(row.get(0)?));
    }
    Ok(found)
}
