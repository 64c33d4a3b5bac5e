//! The leads of the org and their rules: identity, duplicates, conversion, room. A pure state machine; time is an
//! argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::lead_id::{LeadId, USER};
use super::options::{DuplicateRule, Settings};
use super::record::{Purpose, Row, check};
use super::refusal::{Refusal, not_found};
use super::schema::{ExternalId, Field, Kind, Schema};

#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    pub id: LeadId,
    pub row: Row,
    pub converted: bool,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    WebToLead,
    Api,
}

/// Who writes, when, and whether they insist on a lead that an alerting rule would refuse.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    pub now: Timestamp,
    pub origin: Origin,
    pub allow_save: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    pub id: LeadId,
    pub created: bool,
}

/// How an upsert can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUpserted {
    /// Several leads have the value; nothing was written.
    Several(Vec<LeadId>),
    Refused(Vec<Refusal>),
}

#[derive(Debug)]
pub struct Org {
    pub schema: Schema,
    pub settings: Settings,
    leads: BTreeMap<LeadId, Lead>,
    by_external: Index,
    by_email: Index,
    last: u32,
}

type Index = HashMap<String, BTreeSet<LeadId>>;

impl Org {
    pub fn new(schema: Schema, settings: Settings) -> Self {
        let (by_external, by_email) = (Index::new(), Index::new());
        Self { schema, settings, leads: BTreeMap::new(), by_external, by_email, last: 0 }
    }

    pub fn leads(&self) -> impl ExactSizeIterator<Item = &Lead> {
        self.leads.values()
    }

    pub fn lead(&self, id: LeadId) -> Option<&Lead> {
        self.leads.get(&id)
    }

    pub fn create(&mut self, row: Row, writer: Writer) -> Result<LeadId, Vec<Refusal>> {
        let mut refusals = check(&self.schema, &self.settings.required, &row, Purpose::Create);
        // Web-to-Lead does not look at the syntax of emails.
        refusals.retain(|refusal| writer.origin == Origin::Api || refusal.code != "INVALID_EMAIL_ADDRESS");
        if !refusals.is_empty() {
            return Err(refusals);
        }
        if self.leads.len() >= self.settings.storage {
            return Err(vec![Refusal::new("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")]);
        }
        let id = LeadId(self.last + 1);
        self.guard(id, &row, writer.allow_save)?;
        self.last += 1;
        let row = row.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let Writer { now, origin, .. } = writer;
        self.put(Lead { id, row, converted: false, created: now, modified: now, origin });
        Ok(id)
    }

    pub fn update(&mut self, id: LeadId, row: Row, writer: Writer) -> Result<(), Vec<Refusal>> {
        let Some(lead) = self.leads.get(&id) else { return Err(vec![not_found()]) };
        if lead.converted {
            return Err(vec![Refusal::new("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")]);
        }
        let mut lead = lead.clone();
        let refusals = check(&self.schema, &self.settings.required, &row, Purpose::Update);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.guard(id, &row, writer.allow_save)?;
        for (name, value) in row {
            if value.is_null() {
                lead.row.remove(&name);
            } else {
                lead.row.insert(name, value);
            }
        }
        lead.modified = writer.now;
        self.put(lead);
        Ok(())
    }

    pub fn delete(&mut self, id: LeadId) -> Result<(), Vec<Refusal>> {
        self.take(id).map(drop).ok_or_else(|| vec![not_found()])
    }

    /// Makes the lead with this external id, or changes it.
    pub fn upsert(&mut self, value: &str, mut row: Row, writer: Writer) -> Result<Upserted, NotUpserted> {
        match self.with_external(value).as_slice() {
            [] => {
                if let Some(field) = self.schema.external() {
                    row.insert(field.name.clone(), value.into());
                }
                let created = self.create(row, writer).map(|id| Upserted { id, created: true });
                created.map_err(NotUpserted::Refused)
            }
            [id] => {
                let id = *id;
                let updated = self.update(id, row, writer).map(|()| Upserted { id, created: false });
                updated.map_err(NotUpserted::Refused)
            }
            several => Err(NotUpserted::Several(several.to_vec())),
        }
    }

    /// The leads with this external id.
    pub fn with_external(&self, value: &str) -> Vec<LeadId> {
        self.by_external.get(&self.fold(value)).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// The external id as it is told from others.
    pub fn fold(&self, value: &str) -> String {
        self.schema.external().map(|field| fold_external(field, value)).unwrap_or_default()
    }

    /// As a salesperson would: an account, a contact, and a lead that can no longer be changed.
    pub fn convert(&mut self, id: LeadId) -> bool {
        let lead = self.leads.get_mut(&id);
        lead.map(|lead| lead.converted = true).is_some()
    }

    /// As a whole, or not there.
    pub fn restore(&mut self, id: LeadId, before: Option<Lead>) {
        self.take(id);
        if let Some(lead) = before {
            self.put(lead);
        }
    }

    pub fn clear(&mut self) {
        self.leads.clear();
        self.by_external.clear();
        self.by_email.clear();
    }

    /// What forbids the lead `id` to hold these values beside the others: uniqueness, and the duplicate rule.
    fn guard(&self, id: LeadId, row: &Row, allow_save: bool) -> Result<(), Vec<Refusal>> {
        if let Some(field) = self.schema.external()
            && field.external_id.is_some_and(|external| external.unique)
            && let Some(value) = row.get(&field.name).and_then(Value::as_str)
            && let Some(other) = self.with_external(value).into_iter().find(|other| *other != id)
        {
            let message = format!("duplicate value found: {} duplicates value on record with id: {other}", field.name);
            return Err(vec![Refusal::new("DUPLICATE_VALUE", message)]);
        }
        let refuses = match self.settings.duplicate_rule {
            DuplicateRule::Off => false,
            DuplicateRule::Alert => !allow_save,
            DuplicateRule::Block => true,
        };
        let email = row.get("Email").and_then(Value::as_str).map(str::to_lowercase);
        let known = email.and_then(|email| self.by_email.get(&email));
        if refuses && known.is_some_and(|known| known.iter().any(|other| *other != id)) {
            let message = "You're creating a duplicate record. We recommend you use an existing record instead.";
            return Err(vec![Refusal::new("DUPLICATES_DETECTED", message)]);
        }
        Ok(())
    }

    fn put(&mut self, lead: Lead) {
        self.take(lead.id);
        let (external, email) = self.index_keys(&lead);
        if let Some(key) = external {
            self.by_external.entry(key).or_default().insert(lead.id);
        }
        if let Some(key) = email {
            self.by_email.entry(key).or_default().insert(lead.id);
        }
        self.leads.insert(lead.id, lead);
    }

    fn take(&mut self, id: LeadId) -> Option<Lead> {
        let lead = self.leads.remove(&id)?;
        let (external, email) = self.index_keys(&lead);
        for (index, key) in [(&mut self.by_external, external), (&mut self.by_email, email)] {
            if let Some(key) = key
                && let Some(ids) = index.get_mut(&key)
            {
                ids.remove(&id);
                if ids.is_empty() {
                    index.remove(&key);
                }
            }
        }
        Some(lead)
    }

    fn index_keys(&self, lead: &Lead) -> (Option<String>, Option<String>) {
        let text = |name: &str| lead.row.get(name).and_then(Value::as_str);
        let external = self.schema.external();
        let external = external.and_then(|field| text(&field.name).map(|value| fold_external(field, value)));
        (external, text("Email").map(str::to_lowercase))
    }

    /// What a reader sees in a field.
    pub fn value(&self, lead: &Lead, field: &Field) -> Value {
        let time = |time: Timestamp| Value::from(time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string());
        match field.name.as_str() {
            "Id" => lead.id.to_string().into(),
            "Name" => full_name(lead).into(),
            "IsConverted" => lead.converted.into(),
            "IsDeleted" => false.into(),
            "OwnerId" | "CreatedById" => USER.into(),
            "CreatedDate" => time(lead.created),
            "LastModifiedDate" | "SystemModstamp" => time(lead.modified),
            name => match (lead.row.get(name), field.kind) {
                (Some(value), _) => value.clone(),
                (None, Kind::Boolean) => false.into(),
                (None, _) if name == "Status" => "Open - Not Contacted".into(),
                (None, _) => Value::Null,
            },
        }
    }

    /// These fields of a lead, with the `attributes` that every record bears.
    pub fn show<'a>(&'a self, lead: &Lead, fields: impl Iterator<Item = &'a Field>, version: &str) -> Value {
        let url = format!("/services/data/{version}/sobjects/Lead/{}", lead.id);
        let attributes = ("attributes".to_owned(), json!({ "type": "Lead", "url": url }));
        let values = fields.map(|field| (field.name.clone(), self.value(lead, field)));
        Value::Object([attributes].into_iter().chain(values).collect())
    }
}

fn fold_external(field: &Field, value: &str) -> String {
    match field.external_id {
        Some(ExternalId { unique: true, case_sensitive: false }) => value.trim().to_lowercase(),
        _ => value.trim().to_owned(),
    }
}

fn full_name(lead: &Lead) -> String {
    let parts = ["Salutation", "FirstName", "LastName"].into_iter();
    let parts: Vec<&str> = parts.filter_map(|name| lead.row.get(name)?.as_str()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::schema::CustomField;
    use super::*;

    const KEY: &str = "Leadrelay_Key__c";

    fn org(unique: bool, case_sensitive: bool) -> Org {
        let external = CustomField { name: KEY.into(), length: 64 };
        Org::new(Schema::new(&external, ExternalId { unique, case_sensitive }, &[]), Settings::default())
    }

    fn writer() -> Writer {
        Writer { now: "2026-11-22T03:04:05Z".parse().unwrap(), origin: Origin::Api, allow_save: false }
    }

    fn row(values: Value) -> Row {
        let mut row: Row = serde_json::from_value(json!({ "LastName": "Liang", "Company": "Contoso" })).unwrap();
        row.extend(serde_json::from_value::<Row>(values).unwrap());
        row
    }

    fn codes<T: std::fmt::Debug>(result: Result<T, Vec<Refusal>>) -> Vec<&'static str> {
        result.map_or_else(|refusals| refusals.iter().map(|refusal| refusal.code).collect(), |_| Vec::new())
    }

    fn upsert(org: &mut Org, key: &str, values: Value) -> Result<Upserted, NotUpserted> {
        org.upsert(key, row(values), writer())
    }

    #[test]
    fn a_unique_external_id_has_one_lead_in_whatever_case_it_is_written() {
        let mut org = org(true, false);
        let first = upsert(&mut org, "abc", json!({})).unwrap();
        assert!(first.created);
        assert_eq!(upsert(&mut org, " ABC ", json!({ "Title": "CTO" })), Ok(Upserted { id: first.id, created: false }));
        assert_eq!(codes(org.create(row(json!({ KEY: "Abc" })), writer())), ["DUPLICATE_VALUE"]);
        let other = upsert(&mut org, "def", json!({})).unwrap();
        assert_eq!(codes(org.update(other.id, row(json!({ KEY: "abc" })), writer())), ["DUPLICATE_VALUE"]);
        assert_eq!(codes(org.update(first.id, row(json!({ KEY: "abc" })), writer())), [""; 0]);
    }

    #[test]
    fn a_case_sensitive_or_not_unique_external_id_tells_cases_apart() {
        for mut org in [org(true, true), org(false, false)] {
            let created = ["abc", "ABC"].map(|key| upsert(&mut org, key, json!({})).unwrap().created);
            assert_eq!(created, [true, true]);
        }
    }

    #[test]
    fn several_leads_with_one_key_are_left_as_they_are() {
        let mut org = org(false, false);
        let ids = [0, 1].map(|_| org.create(row(json!({ KEY: "abc" })), writer()).unwrap());
        let before: Vec<Lead> = org.leads().cloned().collect();
        assert_eq!(upsert(&mut org, "abc", json!({ "Title": "CTO" })), Err(NotUpserted::Several(ids.to_vec())));
        assert_eq!(org.leads().cloned().collect::<Vec<_>>(), before);
    }

    #[test]
    fn a_deleted_or_changed_lead_gives_its_key_back() {
        let mut org = org(true, false);
        let id = upsert(&mut org, "abc", json!({})).unwrap().id;
        org.update(id, row(json!({ KEY: "def" })), writer()).unwrap();
        assert!(org.with_external("abc").is_empty());
        org.delete(id).unwrap();
        assert!(upsert(&mut org, "def", json!({})).unwrap().created);
        assert_eq!(codes(org.delete(id)), ["NOT_FOUND"]);
    }

    #[test]
    fn a_duplicate_rule_looks_at_the_email_of_others() {
        let check = |rule: DuplicateRule, allow_save: bool, expected: &[&str]| {
            let mut org = org(true, false);
            org.settings.duplicate_rule = rule;
            let id = upsert(&mut org, "a", json!({ "Email": "a@b.example" })).unwrap().id;
            let writer = Writer { allow_save, ..writer() };
            let other = row(json!({ "Email": "A@B.example" }));
            assert_eq!(codes(org.create(other.clone(), writer)), expected, "{rule:?} {allow_save}");
            assert_eq!(codes(org.update(id, row(json!({ "Email": "a@b.example" })), writer)), [""; 0], "its own");
        };
        check(DuplicateRule::Off, false, &[]);
        check(DuplicateRule::Alert, false, &["DUPLICATES_DETECTED"]);
        check(DuplicateRule::Alert, true, &[]);
        check(DuplicateRule::Block, false, &["DUPLICATES_DETECTED"]);
        check(DuplicateRule::Block, true, &["DUPLICATES_DETECTED"]);
    }

    #[test]
    fn a_converted_lead_can_no_longer_be_changed() {
        let mut org = org(true, false);
        let id = upsert(&mut org, "abc", json!({})).unwrap().id;
        assert!(org.convert(id));
        assert_eq!(codes(org.update(id, row(json!({})), writer())), ["CANNOT_UPDATE_CONVERTED_LEAD"]);
        assert!(!org.convert(LeadId(99)));
    }

    #[test]
    fn an_org_has_room_for_so_many_leads() {
        let mut org = org(true, false);
        org.settings.storage = 1;
        upsert(&mut org, "abc", json!({})).unwrap();
        assert_eq!(codes(org.create(row(json!({})), writer())), ["STORAGE_LIMIT_EXCEEDED"]);
        assert!(upsert(&mut org, "abc", json!({ "Title": "CTO" })).is_ok(), "an update needs no room");
    }

    #[test]
    fn null_clears_a_field_and_what_is_left_out_stays() {
        let mut org = org(true, false);
        let id = upsert(&mut org, "abc", json!({ "Title": "CTO", "Phone": "1", "DoNotCall": true })).unwrap().id;
        org.update(id, row(json!({ "Title": null })), writer()).unwrap();
        let lead = org.lead(id).unwrap();
        let value = |name: &str| org.value(lead, org.schema.field(name).unwrap());
        assert_eq!(
            ["Title", "Phone", "DoNotCall", "HasOptedOutOfFax"].map(value),
            [Value::Null, "1".into(), true.into(), false.into()]
        );
        assert_eq!(value("CreatedDate"), "2026-11-22T03:04:05.000+0000");
    }
}
