//! The Lead as this org has it: which fields there are, and what fits into them. Names are known in any case.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Id,
    Text,
    TextArea,
    Email,
    Phone,
    Url,
    Picklist,
    Boolean,
    Integer,
    Currency,
    DateTime,
}

/// Who may write a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Writable,
    ReadOnly,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    /// In UTF-16 code units, as Salesforce's strings are; 0 where it means nothing.
    pub length: usize,
    pub access: Access,
    /// The name of its input in a Web-to-Lead form.
    pub form_name: Option<String>,
    pub external_id: Option<ExternalId>,
}

/// How values of the external-id field are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalId {
    pub unique: bool,
    /// Whether `ABC` and `abc` are two values. Salesforce asks this of unique fields only; others always do.
    pub case_sensitive: bool,
}

impl Field {
    fn new(name: &str, label: &str, kind: Kind, length: usize, access: Access, form_name: &str) -> Self {
        let form_name = (!form_name.is_empty()).then(|| form_name.to_owned());
        Self { name: name.into(), label: label.into(), kind, length, access, form_name, external_id: None }
    }

    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }
}

/// A custom text field: `Name__c` and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomField {
    pub name: String,
    pub length: usize,
}

impl std::str::FromStr for CustomField {
    type Err = String;

    /// `Region__c` or `Region__c:40`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, length) = text.split_once(':').unwrap_or((text, "255"));
        let stem = name.strip_suffix("__c").unwrap_or_default();
        let well_formed = stem.starts_with(|c: char| c.is_ascii_alphabetic())
            && stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 43;
        if !well_formed {
            return Err(format!("{name} is not a custom field's name, such as Region__c"));
        }
        match length.parse() {
            Ok(length) if (1..=255).contains(&length) => Ok(Self { name: name.to_owned(), length }),
            _ => Err(format!("{length} is not a text field's length, 1 to 255")),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Schema {
    fields: Vec<Field>,
}

/// Name, label, kind, length, input in a Web-to-Lead form.
const WRITABLE: [(&str, &str, Kind, usize, &str); 25] = [
    ("LastName", "Last Name", Kind::Text, 80, "last_name"),
    ("FirstName", "First Name", Kind::Text, 40, "first_name"),
    ("Salutation", "Salutation", Kind::Picklist, 40, "salutation"),
    ("Title", "Title", Kind::Text, 128, "title"),
    ("Company", "Company", Kind::Text, 255, "company"),
    ("Street", "Street", Kind::TextArea, 255, "street"),
    ("City", "City", Kind::Text, 40, "city"),
    ("State", "State/Province", Kind::Text, 80, "state"),
    ("PostalCode", "Zip/Postal Code", Kind::Text, 20, "zip"),
    ("Country", "Country", Kind::Text, 80, "country"),
    ("Phone", "Phone", Kind::Phone, 40, "phone"),
    ("MobilePhone", "Mobile Phone", Kind::Phone, 40, "mobile"),
    ("Fax", "Fax", Kind::Phone, 40, "fax"),
    ("Email", "Email", Kind::Email, 80, "email"),
    ("Website", "Website", Kind::Url, 255, "URL"),
    ("Description", "Description", Kind::TextArea, 32_000, "description"),
    ("LeadSource", "Lead Source", Kind::Picklist, 255, "lead_source"),
    ("Status", "Status", Kind::Picklist, 255, ""),
    ("Industry", "Industry", Kind::Picklist, 40, "industry"),
    ("Rating", "Rating", Kind::Picklist, 40, "rating"),
    ("AnnualRevenue", "Annual Revenue", Kind::Currency, 0, "revenue"),
    ("NumberOfEmployees", "Employees", Kind::Integer, 0, "employees"),
    ("HasOptedOutOfEmail", "Email Opt Out", Kind::Boolean, 0, "emailOptOut"),
    ("HasOptedOutOfFax", "Fax Opt Out", Kind::Boolean, 0, "faxOptOut"),
    ("DoNotCall", "Do Not Call", Kind::Boolean, 0, "doNotCall"),
];

const READ_ONLY: [(&str, &str, Kind, usize); 9] = [
    ("Id", "Lead ID", Kind::Id, 18),
    ("Name", "Full Name", Kind::Text, 203),
    ("IsConverted", "Converted", Kind::Boolean, 0),
    ("IsDeleted", "Deleted", Kind::Boolean, 0),
    ("OwnerId", "Owner ID", Kind::Id, 18),
    ("CreatedById", "Created By ID", Kind::Id, 18),
    ("CreatedDate", "Created Date", Kind::DateTime, 0),
    ("LastModifiedDate", "Last Modified Date", Kind::DateTime, 0),
    ("SystemModstamp", "System Modstamp", Kind::DateTime, 0),
];

impl Schema {
    /// Salesforce's own fields, the external-id field, and further custom fields.
    pub fn new(external: &CustomField, external_id: ExternalId, custom: &[CustomField]) -> Self {
        let read_only = READ_ONLY
            .iter()
            .map(|(name, label, kind, length)| Field::new(name, label, *kind, *length, Access::ReadOnly, ""));
        let writable = WRITABLE
            .iter()
            .map(|(name, label, kind, length, form)| Field::new(name, label, *kind, *length, Access::Writable, form));
        let mut fields: Vec<Field> = read_only.chain(writable).collect();
        for (number, custom) in std::iter::once(external).chain(custom).enumerate() {
            if fields.iter().any(|field| field.name.eq_ignore_ascii_case(&custom.name)) {
                continue;
            }
            let label = custom.name.trim_end_matches("__c").replace('_', " ");
            let mut field =
                Field::new(&custom.name, &label, Kind::Text, custom.length, Access::Writable, &form_id(number));
            field.external_id = (number == 0).then_some(external_id);
            fields.push(field);
        }
        Self { fields }
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// By which leads are upserted.
    pub fn external(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.external_id.is_some())
    }

    /// The field of an input in a Web-to-Lead form. Orgs with picklists of countries say `country_code`.
    pub fn form_field(&self, input: &str) -> Option<&Field> {
        let input = match input {
            "state_code" => "state",
            "country_code" => "country",
            "url" => "URL",
            input => input,
        };
        self.fields.iter().find(|field| field.form_name.as_deref() == Some(input))
    }
}

/// Web-to-Lead forms name custom fields by their ids.
fn form_id(number: usize) -> String {
    format!("00N5g00000{:05}", number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let external = CustomField { name: "Leadrelay_Key__c".into(), length: 64 };
        let external_id = ExternalId { unique: true, case_sensitive: false };
        Schema::new(&external, external_id, &["Region__c:40".parse().unwrap()])
    }

    #[test]
    fn fields_are_known_by_their_names_in_any_case() {
        let schema = schema();
        for (asked, found) in [("lastname", "LastName"), ("LEADRELAY_KEY__C", "Leadrelay_Key__c"), ("id", "Id")] {
            assert_eq!(schema.field(asked).unwrap().name, found);
        }
        assert_eq!(schema.field("Last_Name"), None);
        assert_eq!(schema.external().unwrap().name, "Leadrelay_Key__c");
    }

    #[test]
    fn custom_fields_have_the_ids_that_web_to_lead_forms_call_them_by() {
        let schema = schema();
        assert_eq!(schema.form_field("00N5g0000000002").unwrap().name, "Region__c");
        assert_eq!(schema.form_field("country_code").unwrap().name, "Country");
        assert_eq!(schema.form_field("Region__c"), None);
    }

    #[test]
    fn a_custom_field_is_written_as_its_name_and_its_length() {
        let check = |text: &str, expected: Option<(&str, usize)>| {
            let read = text.parse::<CustomField>().ok();
            assert_eq!(read.as_ref().map(|field| (field.name.as_str(), field.length)), expected, "{text}");
        };
        check("Region__c", Some(("Region__c", 255)));
        check("Region__c:40", Some(("Region__c", 40)));
        check("Region__c:0", None);
        check("Region__c:256", None);
        check("Region", None);
        check("__c", None);
        check("9Region__c", None);
    }
}
