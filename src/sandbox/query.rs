//! `/query`: leads by what they hold.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::lead_id::LeadId;
use super::org::{Lead, Org};
use super::refusal::Refusal;
use super::rest::one;
use super::schema::{Field, Kind};
use super::soql::{Condition, Letter, Literal, Order, Query, Select, Test, parse};
use super::state::State;

/// Records in an answer, within these, as `Sforce-Query-Options: batchSize=…` asks; the rest is asked for by
/// `nextRecordsUrl`.
const PAGE_MIN: usize = 200;
const PAGE: usize = 2_000;

pub fn run(state: &State, call: &Call) -> Result<Answer, Vec<Refusal>> {
    let text = call.query.get("q").map(String::as_str).unwrap_or_default();
    page(state, call, text, 0).map_err(one)
}

/// The next page of a query: its locator names the query and how much of it has been read.
pub fn next(state: &State, call: &Call, locator: &str) -> Result<Answer, Vec<Refusal>> {
    let read = || {
        let (text, from) = locator.rsplit_once('-')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        Some((text, from.parse().ok()?))
    };
    let unknown = || Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (text, from) = read().ok_or_else(|| one(unknown()))?;
    page(state, call, &text, from).map_err(one)
}

fn page(state: &State, call: &Call, text: &str, from: usize) -> Result<Answer, Refusal> {
    let query = parse(text)?;
    let org = &state.org;
    let fields = fields(org, &query)?;
    let leads = select(org, &query)?;
    let total = leads.len();
    if query.select == Select::Count {
        return Ok(Answer::json(200, json!({ "totalSize": total, "done": true, "records": [] })));
    }
    let version = call.version_name();
    let shown = leads.into_iter().skip(from).take(page_size(call));
    let records: Vec<Value> = shown.map(|lead| org.show(lead, fields.iter().copied(), &version)).collect();
    let read = from + records.len();
    let mut body = json!({ "totalSize": total, "done": read >= total, "records": records });
    if read < total {
        let locator = URL_SAFE_NO_PAD.encode(text);
        body["nextRecordsUrl"] = format!("/services/data/{version}/query/{locator}-{read}").into();
    }
    Ok(Answer::json(200, body))
}

fn page_size(call: &Call) -> usize {
    let options = call.headers.get("sforce-query-options").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = options.split(',').find_map(|option| option.trim().strip_prefix("batchSize=")?.parse().ok());
    asked.unwrap_or(PAGE).clamp(PAGE_MIN, PAGE)
}

fn fields<'a>(org: &'a Org, query: &Query) -> Result<Vec<&'a Field>, Refusal> {
    if !query.from.eq_ignore_ascii_case("Lead") {
        return Err(Refusal::new("INVALID_TYPE", format!("sObject type '{}' is not supported.", query.from)));
    }
    match &query.select {
        Select::Count => Ok(Vec::new()),
        Select::Fields(names) => names.iter().map(|name| column(org, name)).collect(),
    }
}

fn column<'a>(org: &'a Org, name: &str) -> Result<&'a Field, Refusal> {
    org.schema.field(name).ok_or_else(|| {
        let message = format!(
            "No such column '{name}' on entity 'Lead'. If you are attempting to use a custom field, be sure to append \
             the '__c' after the custom field name."
        );
        Refusal::new("INVALID_FIELD", message)
    })
}

/// The leads that meet every condition, in order.
fn select<'a>(org: &'a Org, query: &Query) -> Result<Vec<&'a Lead>, Refusal> {
    let conditions = query.conditions.iter().map(|condition| Ok((filter(org, condition)?, condition)));
    let conditions: Vec<_> = conditions.collect::<Result<_, Refusal>>()?;
    let order = query.order.iter().map(|order| Ok((column(org, &order.field)?, order)));
    let order: Vec<_> = order.collect::<Result<_, Refusal>>()?;
    let holds = |lead: &&Lead| conditions.iter().all(|(field, condition)| holds(org, lead, field, condition));
    let mut leads: Vec<&Lead> = org.leads().filter(holds).collect();
    leads.sort_by(|a, b| {
        let by = order.iter().map(|(field, order)| compare(&org.value(a, field), &org.value(b, field), order));
        by.fold(Ordering::Equal, Ordering::then)
    });
    Ok(leads.into_iter().skip(query.offset).take(query.limit.unwrap_or(usize::MAX)).collect())
}

/// The condition's field, if it can be compared with these literals.
fn filter<'a>(org: &'a Org, condition: &Condition) -> Result<&'a Field, Refusal> {
    let field = column(org, &condition.field)?;
    let name = &field.name;
    if name == "Description" {
        return Err(Refusal::new("INVALID_FIELD", format!("field '{name}' can not be filtered in a query call")));
    }
    let fits = |literal: &Literal| match (literal, field.kind) {
        (Literal::Null, _) | (Literal::Boolean(_), Kind::Boolean) => true,
        (Literal::Number(_), Kind::Integer | Kind::Currency) | (Literal::Time(_), Kind::DateTime) => true,
        (Literal::Text(_), Kind::Boolean | Kind::Integer | Kind::Currency | Kind::DateTime) => false,
        (Literal::Text(_), _) => true,
        (Literal::Number(_) | Literal::Boolean(_) | Literal::Time(_), _) => false,
    };
    // "The LIKE operator is supported for string fields only", picklists among them; ids and booleans have no order.
    let is_fit = match &condition.test {
        Test::Among(literals) | Test::NotAmong(literals) => literals.iter().all(fits),
        Test::Compared(_, literal) => fits(literal) && !matches!(field.kind, Kind::Boolean | Kind::Id),
        Test::Like(_) => {
            !matches!(field.kind, Kind::Boolean | Kind::Integer | Kind::Currency | Kind::DateTime | Kind::Id)
        }
    };
    if is_fit {
        return Ok(field);
    }
    let message = format!("value of filter criterion for field '{name}' is of another type than the field");
    Err(Refusal::new("INVALID_FIELD", message))
}

fn holds(org: &Org, lead: &Lead, field: &Field, condition: &Condition) -> bool {
    let value = org.value(lead, field);
    let external = field.external_id.filter(|external| !external.unique || external.case_sensitive);
    let equals = |literal: &Literal| match (literal, &value) {
        (Literal::Null, value) => value.is_null(),
        (Literal::Boolean(literal), Value::Bool(value)) => literal == value,
        (Literal::Number(literal), Value::Number(value)) => value.as_f64() == Some(*literal),
        (Literal::Text(text), _) if field.name == "Id" => text.parse() == Ok::<LeadId, _>(lead.id),
        (Literal::Text(text), Value::String(value)) if external.is_some() => text == value,
        // SOQL ignores case.
        (Literal::Text(text), Value::String(value)) => text.to_lowercase() == value.to_lowercase(),
        _ => false,
    };
    match &condition.test {
        Test::Among(literals) => literals.iter().any(equals),
        Test::NotAmong(literals) => !literals.iter().any(equals),
        Test::Compared(sides, literal) => side(&value, literal).is_some_and(|side| sides.contains(&side)),
        Test::Like(letters) => match &value {
            Value::String(value) => is_like(&value.to_lowercase().chars().collect::<Vec<_>>(), letters),
            _ => false,
        },
    }
}

/// On which side of a literal a value is; of one that is not there, on none.
fn side(value: &Value, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::String(value), Literal::Text(text)) => Some(value.to_lowercase().cmp(&text.to_lowercase())),
        (Value::String(value), Literal::Time(time)) => {
            let at = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", value).ok()?.to_timestamp().ok()?;
            Some(at.cmp(time))
        }
        (Value::Number(value), Literal::Number(number)) => value.as_f64()?.partial_cmp(number),
        _ => None,
    }
}

/// Whether a text, in small letters, has the form that LIKE asks for.
fn is_like(text: &[char], letters: &[Letter]) -> bool {
    match (letters.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((Letter::Any, rest)), _) => (0..=text.len()).any(|from| is_like(&text[from..], rest)),
        (Some((Letter::One, rest)), Some((_, after))) => is_like(after, rest),
        (Some((Letter::Is(c), rest)), Some((first, after))) => {
            c.to_lowercase().eq(std::iter::once(*first)) && is_like(after, rest)
        }
        (Some(_), None) => false,
    }
}

fn compare(a: &Value, b: &Value, order: &Order) -> Ordering {
    let direction = |ordering: Ordering| if order.descending { ordering.reverse() } else { ordering };
    let nulls = |ordering: Ordering| if order.nulls_last { ordering.reverse() } else { ordering };
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => nulls(Ordering::Less),
        (_, Value::Null) => nulls(Ordering::Greater),
        (Value::String(a), Value::String(b)) => direction(a.to_lowercase().cmp(&b.to_lowercase())),
        (Value::Bool(a), Value::Bool(b)) => direction(a.cmp(b)),
        (a, b) => direction(a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)),
    }
}
