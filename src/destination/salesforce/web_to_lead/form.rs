//! A lead as a Web-to-Lead form: the marketplace's own inputs, and those of the configuration.
//!
//! A form makes a new lead and changes none: it tells all that is known of this one, what came before it included.

use crate::destination::held::{Held, Stage};
use crate::destination::salesforce::rest::journey;
use crate::destination::salesforce::rest::record::{self, NOT_PROVIDED, cut};
use crate::domain::event::CustomerField;
use crate::domain::lead::Lead;
use crate::domain::mapping::{LeadValue, MappedValue, Mapping};
use crate::domain::repeat::Record;

/// Checkboxes of the form; a lead whose only action is do-not-contact has them set.
const OPT_OUTS: [&str; 2] = ["doNotCall", "emailOptOut"];

const DESCRIPTION: &str = "description";
const LEAD_SOURCE: &str = "lead_source";

#[derive(Clone, Debug)]
pub struct Shape {
    pub oid: String,
    pub mappings: Vec<Mapping>,
}

/// Inputs in their order, and the names of what was cut. Not `Debug`: it is a person's data.
pub struct Form {
    pub inputs: Vec<(String, String)>,
    pub cuts: Vec<&'static str>,
}

/// In UTF-16 units. A custom field has at most this, if it is no text area:
/// <https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_lead.htm>.
fn length(input: &str) -> usize {
    match input {
        "first_name" | "phone" => 40,
        "last_name" | "email" | "country" => 80,
        "title" => 128,
        DESCRIPTION => 32_000,
        _ => 255,
    }
}

impl Shape {
    fn mapped(&self, input: &str) -> Option<&MappedValue> {
        self.mappings.iter().find(|mapping| mapping.field == input).map(|mapping| &mapping.value)
    }

    fn has_field_for(&self, value: LeadValue) -> bool {
        self.mappings.iter().any(|mapping| mapping.value == MappedValue::Of(value))
    }

    /// The form of this lead; `record` is what was posted of it before.
    pub fn form(&self, lead: &Lead, record: Option<&Record>) -> Form {
        let held = record::new(lead, record);
        let mut form = Form { inputs: Vec::new(), cuts: Vec::new() };
        form.put("oid", &self.oid, "oid");
        form.put("encoding", "UTF-8", "encoding");
        let mut told = Vec::new();
        for field in CustomerField::ALL {
            let (input, value) = (input_of(field), lead.event.customer.get(field).trim());
            if field == CustomerField::Email && cut(value, length(input)).len() < value.len() {
                // Half an address is somebody else's.
                told.push(format!("leadrelay: too long for the email field: {value}"));
                form.cuts.push(field.name());
                form.put(input, "", field.name());
                continue;
            }
            let required = matches!(field, CustomerField::LastName | CustomerField::Company);
            form.put(input, if value.is_empty() && required { NOT_PROVIDED } else { value }, field.name());
        }
        if self.mapped(LEAD_SOURCE).is_none() {
            form.put(LEAD_SOURCE, &lead.source_line(), "LeadSource");
        }
        if self.mapped(DESCRIPTION).is_none() {
            self.describe(&mut form, told, &held, lead);
        }
        if held.stage() == Stage::DoNotContact {
            form.inputs.extend(OPT_OUTS.map(|input| (input.to_owned(), "1".to_owned())));
        }
        for Mapping { field, value } in &self.mappings {
            match value {
                MappedValue::Constant(text) => form.put(field, text, "mapped"),
                MappedValue::Of(value) => form.put(field, &record::ours(*value, &held, lead), "mapped"),
            }
        }
        form
    }

    /// What no field takes is told in words, below what the event says; of the two, that is what is cut.
    fn describe(&self, form: &mut Form, mut told: Vec<String>, held: &Held, lead: &Lead) {
        if !self.has_field_for(LeadValue::Stage) {
            told.push(format!("leadrelay: stage: {}", held.stage().as_str()));
        }
        if !self.has_field_for(LeadValue::Journey) {
            told.extend(journey::lines(None, held));
        }
        let told = told.join("\n");
        let told = cut(&told, length(DESCRIPTION) / 2);
        let room = length(DESCRIPTION) - told.encode_utf16().count() - 1;
        let description = lead.event.description.trim();
        let fit = cut(description, room);
        if fit.len() < description.len() {
            form.cuts.push("Description");
        }
        form.put(DESCRIPTION, format!("{fit}\n{told}").trim(), "Description");
    }
}

impl Form {
    /// `name` is what a log and a metric call it.
    fn put(&mut self, input: &str, value: &str, name: &'static str) {
        let fit = cut(value, length(input));
        if fit.len() < value.len() {
            self.cuts.push(name);
        }
        self.inputs.push((input.to_owned(), fit.trim_end().to_owned()));
    }

    /// As `application/x-www-form-urlencoded`, in UTF-8.
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.inputs).finish()
    }
}

fn input_of(field: CustomerField) -> &'static str {
    match field {
        CustomerField::FirstName => "first_name",
        CustomerField::LastName => "last_name",
        CustomerField::Email => "email",
        CustomerField::Phone => "phone",
        CustomerField::Country => "country",
        CustomerField::Company => "company",
        CustomerField::Title => "title",
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
