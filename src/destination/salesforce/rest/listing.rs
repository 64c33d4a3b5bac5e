//! Which leads of an org are read back, and what each of them says.

use std::fmt::Write;

use super::journey;
use super::record::{self, NOT_PROVIDED, Row, Shape, text_in, time_in};
use crate::domain::event::{Customer, CustomerField};
use crate::domain::found::{Description, FoundLead, Selection};
use crate::domain::journey::Stage;
use crate::domain::mapping::LeadValue;
use crate::domain::route::OfferPattern;

/// Of leads with long descriptions, more would be a long answer.
pub const PAGE_MAX: usize = 500;

/// Leads with a lead key, the latest changed first.
pub fn soql(shape: &Shape, fields: &[&str], wanted: &Selection) -> String {
    let external_id = &shape.external_id;
    let mut soql = format!("SELECT {} FROM Lead WHERE {external_id} != null", fields.join(","));
    let mut and = |condition: String| write!(soql, " AND {condition}").expect("a string takes all that is written");
    if let Some(key) = &wanted.key {
        and(format!("{external_id} LIKE '{}%'", key.as_str()));
    }
    match &wanted.offer {
        Some(OfferPattern::Exact(offer)) => and(of_offer(shape, &pattern(offer))),
        Some(OfferPattern::Publisher(publisher)) => and(of_offer(shape, &format!("{}.%", pattern(publisher)))),
        Some(OfferPattern::Any) | None => {}
    }
    if let (Some(stage), Some(field)) = (wanted.stage, shape.field_of(LeadValue::Stage)) {
        and(format!("{field} = '{}'", stage.as_str()));
    }
    if let Some(since) = wanted.since {
        and(format!("LastModifiedDate >= {}", since.strftime("%Y-%m-%dT%H:%M:%SZ")));
    }
    soql + " ORDER BY LastModifiedDate DESC"
}

/// Where no field holds the offer, the lead's source ends with it: `Source-Action|Offer`.
fn of_offer(shape: &Shape, pattern: &str) -> String {
    let offer = shape.field_of(LeadValue::Offer).map(|field| format!("{field} LIKE '{pattern}'"));
    offer.unwrap_or_else(|| format!("{} LIKE '%|{pattern}'", record::LEAD_SOURCE))
}

/// As it stands in a text after LIKE:
/// <https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm>.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' | '%' | '_' => pattern.extend(['\\', c]),
            '\n' => pattern.push_str("\\n"),
            '\r' => pattern.push_str("\\r"),
            '\t' => pattern.push_str("\\t"),
            c => pattern.push(c),
        }
    }
    pattern
}

pub fn found(shape: &Shape, row: &Row) -> FoundLead {
    let of = |value| shape.field_of(value).map(|field| text_in(row, field).to_owned()).unwrap_or_default();
    let told = journey::read(text_in(row, shape.field_of(LeadValue::Journey).unwrap_or(record::DESCRIPTION)));
    let (created_at, changed_at) = (time_in(row, "CreatedDate"), time_in(row, "LastModifiedDate"));
    let source = match shape.field_of(LeadValue::LeadSource) {
        Some(field) => text_in(row, field),
        None => text_in(row, record::LEAD_SOURCE),
    };
    let mut steps = told.steps;
    if steps.is_empty() {
        steps.extend(created_at.and_then(|created_at| journey::read_source_line(source, created_at)));
    }
    let offer_in_source = || source.split_once('|').map(|(_, offer)| offer.to_owned()).unwrap_or_default();
    let computed = || if steps.is_empty() { "" } else { Stage::of(&steps, told.withdrawn_at.is_some()).as_str() };
    let mut customer = Customer::default();
    for field in CustomerField::ALL {
        let value = text_in(row, shape.customer_field(field));
        customer.set(field, if value == NOT_PROVIDED { String::new() } else { value.to_owned() });
    }
    FoundLead {
        key: text_in(row, &shape.external_id).to_owned(),
        record: Some(text_in(row, "Id").to_owned()),
        offer: Some(of(LeadValue::Offer)).filter(|offer| !offer.is_empty()).unwrap_or_else(offer_in_source),
        offer_name: of(LeadValue::OfferName),
        publisher_name: of(LeadValue::PublisherName),
        stage: Some(of(LeadValue::Stage)).filter(|stage| !stage.is_empty()).unwrap_or_else(|| computed().to_owned()),
        customer,
        description: Description(text_in(row, record::DESCRIPTION).to_owned()),
        journey: steps,
        withdrawn_at: told.withdrawn_at,
        created_at,
        changed_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::found::KeyPrefix;
    use crate::domain::mapping::{MappedValue, Mapping};

    fn shape(mapped: &[(&str, LeadValue)]) -> Shape {
        let mapping =
            |(field, value): &(&str, LeadValue)| Mapping { field: (*field).into(), value: MappedValue::Of(*value) };
        Shape {
            external_id: "Key__c".into(),
            country: "Country".into(),
            mappings: mapped.iter().map(mapping).collect(),
        }
    }

    #[test]
    fn what_is_asked_for_is_escaped_into_soql() {
        let wanted = Selection {
            key: KeyPrefix::parse("00ff").ok(),
            offer: OfferPattern::parse("o'brien.50%_a\\b").ok(),
            stage: Some(Stage::Trial),
            since: "2026-11-22T03:04:05.6Z".parse().ok(),
        };
        let begin = "SELECT Id FROM Lead WHERE Key__c != null AND Key__c LIKE '00ff%' AND ";
        let end = "LastModifiedDate >= 2026-11-22T03:04:05Z ORDER BY LastModifiedDate DESC";
        assert_eq!(
            soql(&shape(&[]), &["Id"], &wanted),
            format!("{begin}LeadSource LIKE '%|o\\'brien.50\\%\\_a\\\\b' AND {end}")
        );
        let mapped = shape(&[("Offer__c", LeadValue::Offer), ("Stage__c", LeadValue::Stage)]);
        assert_eq!(
            soql(&mapped, &["Id"], &wanted),
            format!("{begin}Offer__c LIKE 'o\\'brien.50\\%\\_a\\\\b' AND Stage__c = 'trial' AND {end}")
        );
        let publisher = Selection { offer: OfferPattern::parse("contoso.*").ok(), ..Selection::default() };
        assert!(soql(&shape(&[]), &["Id"], &publisher).contains("LeadSource LIKE '%|contoso.%'"));
    }
}
