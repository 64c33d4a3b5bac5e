//! What is told of the configuration's keys (the documents, the schema, the example) is what the reader does with them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use leadrelay::config::catalogue::{Form, Given, Group, Key, SAMPLES, Sample, forms, groups};
use leadrelay::config::{Config, Problem, Sources, keys, schema};
use serde_json::Value;

const EXAMPLE: &str = include_str!("../leadrelay.example.toml");

fn read(text: &str, variable: Option<(&str, &str)>) -> Result<Config, Vec<Problem>> {
    let environment = variable.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sources = Sources { main: Path::new(""), text, beside: &[], environment: environment.into_iter().collect() };
    Config::read(sources, &|_| Vec::new())
}

/// The samples in which a group stands.
fn samples(group: &str) -> Vec<&'static Sample> {
    let of = |sample: &&Sample| match group.strip_prefix("destinations.").map(|rest| rest.split_once(".auth.")) {
        None => true,
        Some(None) => group == format!("destinations.{}", sample.kind),
        Some(Some((kind, auth))) => sample.kind == kind && sample.auth == Some(auth),
    };
    SAMPLES.iter().filter(of).collect()
}

/// The key, from the root, in a sample.
fn path(group: &Group, key: &Key) -> String {
    let table = match group.name.strip_prefix("destinations.") {
        None => group.name.to_owned(),
        Some(rest) if rest.contains(".auth.") => "destinations.sample.auth".to_owned(),
        Some(_) => "destinations.sample".to_owned(),
    };
    if table.is_empty() { key.name.to_owned() } else { format!("{table}.{}", key.name) }
}

fn variable(path: &str) -> String {
    format!("LEADRELAY__{}", path.to_uppercase().replace('.', "__"))
}

#[test]
fn the_samples_are_sound_and_every_key_that_the_reader_asks_for_is_explained_and_no_other() {
    for sample in &SAMPLES {
        read(&sample.config(), None).unwrap_or_else(|problems| panic!("{problems:#?}"));
    }
    let asked: BTreeSet<(String, String)> = forms().into_keys().collect();
    let explained: BTreeSet<(String, String)> = keys::KEYS
        .iter()
        .flat_map(|(group, keys)| keys.iter().map(|key| ((*group).to_owned(), key.name.to_owned())))
        .collect();
    assert_eq!(asked, explained);
    assert!(groups().iter().map(|group| group.keys.len()).sum::<usize>() > 70);
}

#[test]
fn every_default_changes_nothing_where_it_is_written_out() {
    let mut checked = 0;
    for group in groups() {
        for key in &group.keys {
            let Given::Default(default) = key.given else { continue };
            for sample in samples(group.name) {
                let (text, path) = (sample.config(), path(&group, key));
                // A cloud is only asked for beside an account.
                if key.name == "cloud" && sample.auth.is_none() {
                    continue;
                }
                let plain = format!("{:?}", read(&text, None).unwrap());
                let written = read(&text, Some((&variable(&path), default.trim_matches('"'))));
                assert_eq!(format!("{:?}", written.unwrap()), plain, "{path} = {default}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_line_of_a_sample_is_needed_and_what_is_required_stands_in_it() {
    for sample in &SAMPLES {
        let text = sample.config();
        for line in text.lines() {
            let without = text.replace(&format!("{line}\n"), "");
            assert!(read(&without, None).is_err(), "{line} is not needed in\n{text}");
        }
        for group in groups().iter().filter(|group| samples(group.name).iter().any(|one| std::ptr::eq(*one, sample))) {
            for key in group.keys.iter().filter(|key| key.given == Given::Required) {
                let written = path(group, key).replace("routes.", "").replace("destinations.sample.", "");
                assert!(text.lines().any(|line| line.starts_with(&format!("{written} = "))), "{written}\n{text}");
            }
        }
    }
}

#[test]
fn every_key_that_has_a_type_has_a_variable_that_is_named_where_it_is_wrong() {
    let mut checked = 0;
    for group in groups() {
        for key in &group.keys {
            let typed =
                matches!(key.form, Form::Boolean | Form::Integer { .. } | Form::Duration { .. } | Form::Word(_));
            let path = path(&group, key);
            if group.name == "routes" || !typed || path == "destinations.sample.cloud" {
                continue;
            }
            let name = variable(&path);
            let problems = read(&samples(group.name)[0].config(), Some((&name, "canary"))).unwrap_err();
            let named = problems.iter().any(|problem| problem.place.variable() == Some(&name) && problem.key == path);
            assert!(named && problems.iter().all(|problem| !problem.to_string().contains("canary")), "{problems:#?}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn the_example_shows_every_key() {
    for group in groups() {
        for key in &group.keys {
            // A word of its own, as a key or in a comment.
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let shown = EXAMPLE.split(|c| !is_word(c)).any(|word| word == key.name);
            assert!(shown, "{} {} is not in the example", group.name, key.name);
        }
    }
}

/// `UPDATE=1 cargo test --test config_catalogue` writes it.
#[test]
fn the_table_of_settings_is_the_one_in_the_documents() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = (
        "<!-- settings: written by a test, `UPDATE=1 cargo test --test config_catalogue` -->\n",
        "<!-- end of the settings -->",
    );
    let (before, rest) = text.split_once(begin).expect("its beginning");
    let (table, after) = rest.split_once(end).expect("its end");
    let expected = tables();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(table, expected, "run it with UPDATE=1");
    }
}

fn tables() -> String {
    let mut text = String::new();
    for group in groups() {
        let title = match group.name.strip_prefix("destinations.").map(|rest| rest.split_once(".auth.")) {
            None if group.name.is_empty() => "At the top".to_owned(),
            None if group.name == "routes" => "`[[routes]]`".to_owned(),
            None => format!("`[{}]`", group.name),
            Some(None) => {
                format!("`[destinations.NAME]`, kind `\"{}\"`", group.name.trim_start_matches("destinations."))
            }
            Some(Some((kind, auth))) => format!("`[destinations.NAME.auth]` of `\"{kind}\"`, kind `\"{auth}\"`"),
        };
        write!(text, "\n### {title}\n\n| key | takes | where it is missing | what it is for |\n|---|---|---|---|\n")
            .unwrap();
        for key in &group.keys {
            let given = match key.given {
                Given::Required => "required".to_owned(),
                Given::Default(default) => format!("`{default}`"),
                Given::Else(words) => words.to_owned(),
            };
            let takes = match (&key.form, key.name) {
                (Form::Word(_), "kind") => format!("`\"{}\"`", group.name.rsplit('.').next().unwrap()),
                (form, _) => form.show(),
            };
            writeln!(text, "| `{}` | {takes} | {given} | {} |", key.name, key.about).unwrap();
        }
    }
    text + "\n"
}

/// As editors have it: the TOML as JSON.
fn as_json(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

#[test]
fn the_example_and_every_sample_are_valid_under_the_schema() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|text| is_toml(text)).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(
        uncommented.lines().filter(|line| line.starts_with('#')).count(),
        EXAMPLE.lines().filter(|line| line.starts_with('#')).count()
    );
    let samples = SAMPLES.iter().map(Sample::config);
    for text in samples.chain([EXAMPLE.to_owned(), uncommented]) {
        let errors: Vec<_> = validator.iter_errors(&as_json(&text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{text}");
    }
}

fn is_toml(text: &str) -> bool {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    text.starts_with('[') || text.split_once(" = ").is_some_and(|(key, _)| is_word(key))
}

#[test]
fn the_schema_refuses_the_keys_that_the_reader_refuses_and_takes_those_that_it_takes() {
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    let mut names: BTreeSet<&str> = groups().iter().flat_map(|group| group.keys.iter().map(|key| key.name)).collect();
    names.insert("surprise");
    let (mut taken, mut refused) = (0, 0);
    for sample in &SAMPLES {
        let whole = as_json(&sample.config());
        for table in ["", "/broker", "/http", "/log", "/routes/0", "/destinations/sample", "/destinations/sample/auth"]
        {
            let Some(present) = whole.pointer(table).and_then(Value::as_object) else { continue };
            for name in names.iter().filter(|name| !present.contains_key(**name)) {
                let mut json = whole.clone();
                json.pointer_mut(table).unwrap()[*name] = value_for(name);
                let text = toml_of(&json);
                let known = match read(&text, None) {
                    Ok(_) => true,
                    Err(problems) => problems.iter().all(|problem| !problem.what.contains("not a key that we know")),
                };
                // What is known and does not go with the rest, or not with this value, both may refuse.
                if known && read(&text, None).is_ok() {
                    assert!(validator.is_valid(&json), "{table} {name}\n{text}");
                    taken += 1;
                } else if !known {
                    assert!(!validator.is_valid(&json), "{table} {name}\n{text}");
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 50 && refused > 500, "{taken} {refused}");
}

/// One that the key takes, if it is one of ours.
fn value_for(name: &str) -> Value {
    let forms = forms();
    let (_, form) = forms.iter().find(|((_, known), _)| known == name).unzip();
    match form {
        Some(Form::Boolean) => true.into(),
        Some(Form::Integer { low, .. }) => (*low).into(),
        Some(Form::Duration { .. }) => "5s".into(),
        Some(Form::Word(words)) => words[0].into(),
        Some(Form::Texts) => serde_json::json!(["none/*.toml"]),
        Some(Form::Fields) => serde_json::json!({ "Stage__c": "stage" }),
        Some(Form::Text | Form::Secret | Form::Table | Form::Tables) | None => "x".into(),
    }
}

/// JSON of texts, numbers, truths, tables and lists of them is TOML, in inline tables.
fn toml_of(json: &Value) -> String {
    fn inline(json: &Value) -> String {
        match json {
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
                format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    let members = json.as_object().unwrap().iter();
    members.map(|(name, value)| format!("{name} = {}\n", inline(value))).collect()
}
