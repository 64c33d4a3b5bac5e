//! Whether the org is set up for us: the token, the object, the external-id field, and every field that we write.
//! Everything that is wrong is told at once, with its mend.

use serde_json::Value;

use super::Rest;
use super::record::{DESCRIPTION, OPT_OUTS};
use crate::domain::event::CustomerField;
use crate::domain::mapping::{LeadValue, MappedValue};
use crate::domain::reply::Reply;

/// What is wrong with a field, or with the object (then `field` is `Lead`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub field: String,
    pub what: &'static str,
    pub mend: String,
}

/// A lead key's length.
const KEY_LENGTH: u64 = 32;

impl Rest {
    /// `Err`: the org did not tell (credentials, permissions, an outage).
    pub async fn probe(&self) -> Result<Vec<Unfit>, Reply> {
        let about = self.client.describe(self.deadline()).await?;
        let mut unfit = Vec::new();
        self.check_object(&about, &mut unfit);
        self.check_external_id(&about, &mut unfit);
        let mut fields = self.shape.written();
        fields.sort_unstable();
        fields.dedup();
        for name in fields {
            self.check_field(&about, name, &mut unfit);
        }
        self.check_required(&about, &mut unfit);
        Ok(unfit)
    }

    fn check_object(&self, about: &Value, unfit: &mut Vec<Unfit>) {
        for (right, what) in [
            ("queryable", "cannot be read by the integration's user"),
            ("createable", "cannot be created by the integration's user"),
            ("updateable", "cannot be changed by the integration's user"),
        ] {
            if !is(about, right) {
                let mend = "give the user's permission set Read, Create and Edit on Lead".to_owned();
                unfit.push(Unfit { field: "Lead".into(), what, mend });
            }
        }
    }

    fn check_external_id(&self, about: &Value, unfit: &mut Vec<Unfit>) {
        let name = &self.shape.external_id;
        let mut tell = |what, mend: &str| unfit.push(Unfit { field: name.clone(), what, mend: mend.to_owned() });
        let make = "create it on Lead: Text(64), External ID, Unique; and give the integration's user Edit on it";
        let Some(field) = field(about, name) else { return tell("is not there, or not visible", make) };
        if !is(field, "externalId") {
            tell("is no external id", "edit the field and check External ID");
        }
        if !is(field, "unique") {
            tell("is not unique", "edit the field and check Unique: else one lead may come to stand there twice");
        }
        if !is(field, "createable") || !is(field, "updateable") {
            tell("cannot be written", "give the integration's user Edit on it, in field-level security");
        }
        if length(field).is_some_and(|length| length < KEY_LENGTH) {
            tell("is shorter than a lead key", "make it Text(64)");
        }
    }

    fn check_field(&self, about: &Value, name: &str, unfit: &mut Vec<Unfit>) {
        let mut tell = |what, mend: String| unfit.push(Unfit { field: name.to_owned(), what, mend });
        let visible = "give the integration's user Read and Edit on it, in field-level security";
        let Some(field) = field(about, name) else {
            let mend = match self.shape.mapped(name) {
                Some(_) => format!("{visible}; or create it; or take it out of [fields]"),
                None if name == self.shape.country => format!("{visible}; or name another as country_field"),
                None => visible.to_owned(),
            };
            return tell("is not there, or not visible", mend);
        };
        if !is(field, "createable") || !is(field, "updateable") {
            tell("cannot be written", visible.to_owned());
        }
        let kind = field.get("type").and_then(Value::as_str).unwrap_or_default();
        let texts = ["string", "textarea", "picklist", "combobox", "email", "phone", "url", "encryptedstring"];
        let takes = |kind: &str| match self.shape.mapped(name) {
            Some(MappedValue::Of(LeadValue::LastActionTime | LeadValue::ConsentTime)) => {
                kind == "datetime" || texts.contains(&kind)
            }
            Some(MappedValue::Of(_)) => texts.contains(&kind),
            Some(MappedValue::Constant(_)) => true,
            None => OPT_OUTS.contains(&name) || texts.contains(&kind),
        };
        if !takes(kind) {
            tell("does not hold text", "map it to a field of text, or for a time of date and time".to_owned());
        }
        if is(field, "restrictedPicklist") && !matches!(self.shape.mapped(name), Some(MappedValue::Constant(_))) {
            tell("takes only the values of its picklist", self.mend_of_picklist(name));
        }
        let ours = self.ours_at_most(name);
        if kind != "datetime" && length(field).is_some_and(|length| length > 0 && length < ours) {
            tell("is too short for what goes into it", format!("make it {ours} characters long, or map another"));
        }
    }

    fn mend_of_picklist(&self, name: &str) -> String {
        match name {
            _ if name == self.shape.country => "set country_field = \"CountryCode\"".to_owned(),
            _ => "uncheck \"Restrict picklist\", or put a constant of its values into [fields]".to_owned(),
        }
    }

    /// The longest text that we would put into a field.
    fn ours_at_most(&self, name: &str) -> u64 {
        match self.shape.mapped(name) {
            Some(MappedValue::Constant(text)) => text.encode_utf16().count() as u64,
            Some(MappedValue::Of(LeadValue::LeadKey)) => KEY_LENGTH,
            Some(MappedValue::Of(LeadValue::Stage)) => 14,
            Some(MappedValue::Of(LeadValue::Action | LeadValue::LastAction | LeadValue::Source)) => 40,
            Some(MappedValue::Of(LeadValue::LastActionTime | LeadValue::ConsentTime)) => 20,
            Some(MappedValue::Of(_)) => 255,
            None if name == "LeadSource" => 255,
            // Salesforce's own, of the lengths that we cut to.
            None => 0,
        }
    }

    fn check_required(&self, about: &Value, unfit: &mut Vec<Unfit>) {
        let filled = |name: &str| {
            let always = ["LastName", "Company", DESCRIPTION, "LeadSource", &self.shape.external_id];
            always.iter().any(|known| known.eq_ignore_ascii_case(name)) || self.shape.mapped(name).is_some()
        };
        for field in about.get("fields").and_then(Value::as_array).into_iter().flatten() {
            let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
            let required = is(field, "createable") && !is(field, "nillable") && !is(field, "defaultedOnCreate");
            if required && !filled(name) {
                let given = CustomerField::ALL.into_iter().any(|field| self.shape.customer_field(field) == name);
                let what = if given {
                    "is required, and not every customer gives it"
                } else {
                    "is required, and nothing fills it"
                };
                let mend = "make it optional, or fill it by [fields]".to_owned();
                unfit.push(Unfit { field: name.to_owned(), what, mend });
            }
        }
    }
}

fn field<'a>(about: &'a Value, name: &str) -> Option<&'a Value> {
    let named = |field: &&Value| {
        field.get("name").and_then(Value::as_str).is_some_and(|other| other.eq_ignore_ascii_case(name))
    };
    about.get("fields")?.as_array()?.iter().find(named)
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn length(field: &Value) -> Option<u64> {
    field.get("length")?.as_u64()
}
