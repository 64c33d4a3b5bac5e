//! Which rows are read back, and what each of them says.

use jiff::Timestamp;
use serde_json::Value;

use super::batch::percent_encoded;
use super::client::comparison;
use super::entity::{self, Columns};
use crate::domain::event::{Customer, CustomerField};
use crate::domain::found::{Description, FoundLead, Selection};
use crate::domain::route::{Offer, OfferPattern};

/// "A query … can return a maximum of 1,000 items at one time":
/// <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>.
const PAGE_MAX: usize = 1_000;

const COLUMNS: &str = "RowKey,Timestamp,LeadSource,ProductId,PublisherDisplayName,OfferDisplayName,CreatedTime,\
                       Description,CustomerInfo,FirstName,LastName,Email,Phone,Country,Company,Title,Journey,Stage,\
                       ConsentWithdrawnAt";

/// The query's parameters.
pub fn query(wanted: &Selection, at_most: usize) -> String {
    let filter = filter(wanted);
    let filter = if filter.is_empty() { filter } else { format!("&$filter={}", percent_encoded(&filter)) };
    format!("$select={COLUMNS}&$top={}{filter}", at_most.clamp(1, PAGE_MAX))
}

fn filter(wanted: &Selection) -> String {
    let mut all = Vec::new();
    match &wanted.offer {
        Some(OfferPattern::Exact(offer)) => {
            let offer = Offer::parse(offer).map(|offer| entity::partition_key(&offer)).unwrap_or_default();
            all.push(comparison("PartitionKey", "eq", &offer));
        }
        Some(OfferPattern::Publisher(publisher)) => {
            let publisher = entity::escaped(publisher);
            all.push(comparison("PartitionKey", "ge", &format!("{publisher}.")));
            // `/` follows the dot.
            all.push(comparison("PartitionKey", "lt", &format!("{publisher}/")));
        }
        Some(OfferPattern::Any) | None => {}
    }
    if let Some(key) = &wanted.key {
        all.push(comparison("RowKey", "ge", key.as_str()));
        // `g` follows the last hexadecimal digit.
        all.push(comparison("RowKey", "lt", &format!("{}g", key.as_str())));
    }
    all.extend(wanted.stage.map(|stage| comparison("Stage", "eq", stage.as_str())));
    all.extend(wanted.since.map(|since| format!("Timestamp ge datetime'{since:.7}'")));
    all.join(" and ")
}

pub fn found(row: &Columns) -> FoundLead {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = |name: &str| text(name).parse::<Timestamp>().ok();
    let held = entity::read(row);
    // A row that the marketplace wrote itself has no columns for the customer.
    let info: Columns = serde_json::from_str(&text("CustomerInfo")).unwrap_or_default();
    let mut customer = Customer::default();
    for field in CustomerField::ALL {
        let value = match held.value(field) {
            "" => info.get(field.name()).and_then(Value::as_str).unwrap_or_default(),
            value => value,
        };
        customer.set(field, value.to_owned());
    }
    FoundLead {
        key: text("RowKey"),
        record: None,
        stage: text("Stage"),
        customer,
        description: Description(held.description.0),
        offer: held.offer,
        offer_name: held.offer_display_name,
        publisher_name: held.publisher_display_name,
        journey: held.journey,
        withdrawn_at: held.withdrawn_at,
        created_at: time("CreatedTime"),
        changed_at: time("Timestamp"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::found::KeyPrefix;
    use crate::domain::journey::Stage;

    #[test]
    fn what_is_asked_for_is_a_filter_of_the_service() {
        let all = Selection {
            key: KeyPrefix::parse("00ff").ok(),
            offer: OfferPattern::parse("o'brien/x.*").ok(),
            stage: Some(Stage::DoNotContact),
            since: "2026-11-22T03:04:05Z".parse().ok(),
        };
        assert_eq!(
            filter(&all),
            "PartitionKey ge 'o''brien~2fx.' and PartitionKey lt 'o''brien~2fx/' and RowKey ge '00ff' and RowKey lt \
             '00ffg' and Stage eq 'do-not-contact' and Timestamp ge datetime'2026-11-22T03:04:05.0000000Z'"
        );
        let exact = Selection { offer: OfferPattern::parse("a.b?").ok(), ..Selection::default() };
        assert_eq!(filter(&exact), "PartitionKey eq 'a.b~3f'");
        assert!(query(&Selection::default(), 5_000).ends_with("Title,Journey,Stage,ConsentWithdrawnAt&$top=1000"));
    }

    #[test]
    fn a_row_of_the_marketplace_itself_is_read_by_its_customer_info() {
        let row = json!({
            "RowKey": "x", "ProductId": "contoso.balancer", "CustomerInfo": "{\"Email\":\"a@example.com\"}",
            "CreatedTime": "2026-11-22T03:04:05Z", "Timestamp": "2026-11-22T03:04:06.1234567Z",
        });
        let lead = found(row.as_object().expect("an object"));
        assert_eq!((lead.customer.email.as_str(), lead.offer.as_str()), ("a@example.com", "contoso.balancer"));
        assert_eq!(lead.changed_at, "2026-11-22T03:04:06.1234567Z".parse().ok());
        assert_eq!((lead.stage.as_str(), lead.journey.len()), ("", 0));
    }
}
