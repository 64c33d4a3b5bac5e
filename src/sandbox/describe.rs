//! What the API tells of itself: resources, limits, and the Lead's fields.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::schema::{Access, Field, Kind};
use super::state::State;

pub fn resources(call: &Call) -> Answer {
    let base = base(call);
    let names = ["sobjects", "query", "queryAll", "limits", "composite"];
    Answer::json(
        200,
        names.iter().map(|name| ((*name).to_owned(), format!("{base}/{name}").into())).collect::<Map<_, _>>().into(),
    )
}

pub fn limits(state: &State) -> Answer {
    let max_and_left = |max: u64, used: u64| json!({ "Max": max, "Remaining": max.saturating_sub(used) });
    let settings = &state.org.settings;
    // A lead takes 2 KB of the org's room.
    let megabytes = |leads: usize| (leads * 2 / 1_024) as u64;
    Answer::json(
        200,
        json!({
            "DailyApiRequests": max_and_left(settings.api_daily, state.quota.used),
            "DataStorageMB": max_and_left(megabytes(settings.storage), megabytes(state.org.leads().len())),
        }),
    )
}

pub fn global(call: &Call) -> Answer {
    Answer::json(200, json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [about(call)] }))
}

/// `/sobjects/Lead`.
pub fn basic(state: &State, call: &Call) -> Answer {
    let mut leads: Vec<_> = state.org.leads().collect();
    leads.sort_by_key(|lead| std::cmp::Reverse((lead.modified, lead.id)));
    let shown = ["Id", "Name"].map(|name| state.org.schema.field(name));
    let show = |lead| state.org.show(lead, shown.into_iter().flatten(), &call.version_name());
    let recent: Value = leads.into_iter().take(10).map(show).collect();
    Answer::json(200, json!({ "objectDescribe": about(call), "recentItems": recent }))
}

/// `/sobjects/Lead/describe`.
pub fn full(state: &State, call: &Call) -> Answer {
    let mut about = about(call);
    let required = &state.org.settings.required;
    let is_required = |field: &Field| {
        ["LastName", "Company"].contains(&field.name.as_str())
            || required.iter().any(|name| name.eq_ignore_ascii_case(&field.name))
    };
    about["fields"] = state.org.schema.fields().iter().map(|field| describe(field, is_required(field))).collect();
    about["childRelationships"] = json!([]);
    about["recordTypeInfos"] = json!([]);
    Answer::json(200, about)
}

fn base(call: &Call) -> String {
    format!("/services/data/{}", call.version_name())
}

fn about(call: &Call) -> Value {
    let url = format!("{}/sobjects/Lead", base(call));
    json!({
        "name": "Lead", "label": "Lead", "labelPlural": "Leads", "keyPrefix": "00Q", "custom": false,
        "createable": true, "updateable": true, "deletable": true, "queryable": true, "retrieveable": true,
        "searchable": false, "undeletable": false, "mergeable": false, "triggerable": true,
        "urls": { "sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}") },
    })
}

fn describe(field: &Field, required: bool) -> Value {
    let (kind, soap) = match field.kind {
        Kind::Id => ("id", "tns:ID"),
        Kind::Text => ("string", "xsd:string"),
        Kind::TextArea => ("textarea", "xsd:string"),
        Kind::Email => ("email", "xsd:string"),
        Kind::Phone => ("phone", "xsd:string"),
        Kind::Url => ("url", "xsd:string"),
        Kind::Picklist => ("picklist", "xsd:string"),
        Kind::Boolean => ("boolean", "xsd:boolean"),
        Kind::Integer => ("int", "xsd:int"),
        Kind::Currency => ("currency", "xsd:double"),
        Kind::DateTime => ("datetime", "xsd:dateTime"),
    };
    let writable = field.access == Access::Writable;
    let unique = field.external_id.is_some_and(|external| external.unique);
    json!({
        "name": field.name, "label": field.label, "type": kind, "soapType": soap,
        "length": field.length, "byteLength": field.length * 3,
        "custom": field.is_custom(), "createable": writable, "updateable": writable,
        "nillable": writable && !required && field.kind != Kind::Boolean,
        "defaultedOnCreate": field.kind == Kind::Boolean || !writable,
        "externalId": field.external_id.is_some(), "unique": unique,
        "caseSensitive": unique && field.external_id.is_some_and(|external| external.case_sensitive),
        "idLookup": field.external_id.is_some() || field.kind == Kind::Id || field.kind == Kind::Email,
        "filterable": field.name != "Description", "sortable": field.name != "Description",
        "picklistValues": [], "restrictedPicklist": false, "referenceTo": [],
    })
}
