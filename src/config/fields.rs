//! `[destinations.NAME.fields]`: the destination's own fields, and what goes into each.
//!
//! A key is the field as the destination calls it; its value names one of ours (`"journey"`), or is a constant
//! (`{ value = "Marketplace" }`).

use std::collections::HashSet;

use super::section::{Placed, Section, Written};
use super::spelling::nearest;
use crate::domain::mapping::{LeadValue, MappedValue, Mapping};

/// In the order of the fields' names.
pub fn of(mut section: Section<'_>) -> Vec<Placed<Mapping>> {
    let mut seen = HashSet::new();
    let mut mappings = Vec::new();
    for (name, written) in section.take_all() {
        if !is_field_name(&name.value) {
            let mend = "write the field's API name, such as Journey__c";
            section.note(&name.place, &name.value, "is no name of a field", mend);
        } else if !seen.insert(name.value.to_ascii_lowercase()) {
            section.note(&name.place, &name.value, "is there twice, in another case", "keep one of the two");
        }
        if let Some(value) = value(&section, &name, written) {
            mappings.push(Placed { value: Mapping { field: name.value, value }, place: name.place });
        }
    }
    section.finish();
    mappings
}

/// API names, and the ids by which Web-to-Lead forms call custom fields.
pub fn is_field_name(name: &str) -> bool {
    (1..=80).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn value(section: &Section<'_>, name: &Placed<String>, written: Written<'_>) -> Option<MappedValue> {
    match written {
        Written::Text(text) => {
            let known = LeadValue::ALL.into_iter().find(|value| value.name() == text);
            if known.is_none() {
                let names = || LeadValue::ALL.into_iter().map(LeadValue::name);
                let all = names().collect::<Vec<_>>().join(", ");
                let meant = nearest(&text, names()).map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
                let mend = format!("{meant}known: {all}; a text of your own is {{ value = \"…\" }}");
                section.note(&name.place, &name.value, "names no value that we know", mend);
            }
            known.map(MappedValue::Of)
        }
        Written::Table(mut table) => {
            let constant = table.text("value");
            if constant.is_none() {
                table.missing("value", "write { value = \"…\" }");
            }
            table.finish();
            constant.map(|constant| MappedValue::Constant(constant.value))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::notes::Notes;
    use super::super::problem::Place;
    use super::super::tree;
    use super::*;

    fn read(text: &str) -> (Vec<Mapping>, Vec<String>) {
        let file = Path::new("x.toml");
        let notes = Notes::new(file);
        let table = tree::parse(file, text, &notes).expect("TOML");
        let mappings = of(Section::root(&table, Place::Line { file: file.into(), line: 1 }, &notes));
        let told = notes.into_problems().iter().map(ToString::to_string).collect();
        (mappings.into_iter().map(|mapping| mapping.value).collect(), told)
    }

    #[test]
    fn a_field_takes_one_of_our_values_or_a_constant() {
        for value in LeadValue::ALL {
            let (mappings, told) = read(&format!("X__c = \"{}\"", value.name()));
            assert_eq!(mappings, [Mapping { field: "X__c".into(), value: MappedValue::Of(value) }], "{told:?}");
        }
        let (mappings, told) = read("00N5g000001abcd = { value = \"Marketplace\" }");
        assert_eq!(mappings[0].value, MappedValue::Constant("Marketplace".into()), "{told:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_is_known() {
        let (mappings, told) =
            read("A__c = \"journy\"\nb = \"stage\"\nB = \"stage\"\n\"C c\" = { valu = \"canary\" }\nD = 1");
        assert_eq!(mappings.len(), 2);
        assert_eq!(told.len(), 6, "{told:#?}");
        assert!(
            told[0].contains("x.toml:1") && told[0].contains("did you mean journey? known: lead_key, "),
            "{told:#?}"
        );
        assert!(told.iter().all(|told| !told.contains("canary")), "{told:#?}");
    }
}
