//! Tidiness, as a test of the source text: layers, steps, reasons, and documents that agree with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `folder`, by its path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((relative(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).unwrap().into();
    path.to_str().unwrap().to_owned()
}

/// The file without its tests.
fn production<'a>(path: &str, text: &'a str) -> &'a str {
    if path.contains("/tests") || path.ends_with("_tests.rs") {
        return "";
    }
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{begin:?} is missing"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end:?} is missing")).0
}

/// The first column of a table, and the second.
fn rows(table: &str) -> BTreeMap<String, String> {
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    lines.map(cells).map(|cells| (cells[1].clone(), cells[2].clone())).collect()
}

#[test]
fn every_module_uses_only_what_the_architecture_allows_it() {
    let table = rows(between(&read("ARCHITECTURE.md"), "<!-- layers -->", "<!-- end of the layers -->"));
    let mut breaches = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in sources("src") {
        let module = path.trim_start_matches("src/").split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = table.get(&module).unwrap_or_else(|| panic!("{module} is not in the table of layers"));
        let allowed: Vec<&str> = allowed.split(", ").collect();
        for used in production(&path, &text).match_indices("crate::").map(|(at, _)| &text[at + "crate::".len()..]) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            let top = used.split("::").next().unwrap();
            let fits = |allowed: &&str| used == *allowed || used.starts_with(&format!("{allowed}::"));
            if top != module && !allowed.iter().any(fits) {
                breaches.push(format!("{path} uses {used}"));
            }
        }
        seen.insert(module);
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
    let listed: BTreeSet<String> = table.into_keys().collect();
    assert_eq!(listed, seen, "the table of layers names every module, and no other");
}

/// Calls of the seams that leave a trace outside the process, or an answer on which much depends.
const SEAM_CALLS: [&str; 13] = [
    "broker.consume(",
    "broker.publish(",
    "ledger.claim(",
    "ledger.intend(",
    "ledger.renew(",
    "ledger.record(",
    "ledger.retract(",
    "ledger.release(",
    "ledger.withdraw(",
    "destination.send(",
    "event::decode(",
    "office.record_endings(",
    "letters.take_in(",
];

/// Calls that change nothing, or that a crash cannot hurt: done again, they do the same.
const HARMLESS: [&str; 13] = [
    "broker.announce(",
    "broker.link(",
    "broker.depth(",
    "ledger.posted(",
    "ledger.orders(",
    "ledger.end_order(",
    "ledger.probe(",
    "ledger.wait_queues(",
    "ledger.remember_wait_queue(",
    "ledger.take_over(",
    "destination.limits(",
    "destination.group(",
    "letters.probe(",
];

#[test]
fn every_call_of_a_seam_stands_inside_a_step() {
    let mut unbracketed = Vec::new();
    let mut found = BTreeSet::new();
    for (path, text) in sources("src") {
        let passes_steps = ["src/worker/", "src/broker/settle.rs", "src/office/ingest.rs"];
        if !passes_steps.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let lines: Vec<&str> = production(&path, &text).lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let call = SEAM_CALLS.iter().find(|call| line.contains(*call));
            // The statement: this line, and the few before and after it in which a step may stand.
            let around = lines[number.saturating_sub(6)..(number + 6).min(lines.len())].join("\n");
            if let Some(call) = call {
                found.insert(*call);
                if !around.contains("Step::") {
                    unbracketed.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
            for seam in ["broker.", "ledger.", "destination.", "office.", "letters."] {
                for (at, _) in line.match_indices(seam) {
                    let call: String = line[at..].chars().take_while(|c| *c != '(').chain(['(']).collect();
                    let is_call = line[at..].contains('(')
                        && call[seam.len()..call.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
                    let is_known = SEAM_CALLS.contains(&call.as_str()) || HARMLESS.contains(&call.as_str());
                    let is_value = ["as_ref", "as_str", "borrow", "changed", "clone", "to_string"]
                        .iter()
                        .any(|method| call.ends_with(&format!(".{method}(")));
                    if is_call && !is_known && !is_value {
                        unbracketed
                            .push(format!("{path}:{}: {call} is neither a step nor known as harmless", number + 1));
                    }
                }
            }
        }
    }
    assert!(unbracketed.is_empty(), "{unbracketed:#?}");
    assert_eq!(found, BTreeSet::from(SEAM_CALLS), "each of the calls is found somewhere");
}

#[test]
fn nobody_but_the_settler_answers_the_broker() {
    for (path, text) in sources("src") {
        if path.starts_with("src/broker/") {
            continue;
        }
        for answer in [".ack(", ".nack(", "basic_ack", "basic_nack", "basic_reject"] {
            assert!(!production(&path, &text).contains(answer), "{path} answers the broker: {answer}");
        }
    }
}

#[test]
fn only_one_file_names_the_unmaintained_crate_and_only_one_folder_names_the_amqp_client() {
    for (path, text) in sources("src") {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        assert!(path == "src/schedule.rs" || !code.contains("use backoff"), "{path} names backoff");
        assert!(path.starts_with("src/broker/") || !code.contains("use lapin"), "{path} names lapin");
    }
}

/// What is asked of the AMQP client, but for publishes, whose whole window has an end.
const ASKED_OF_LAPIN: [&str; 12] = [
    "create_channel(",
    "basic_qos(",
    "basic_consume(",
    "basic_cancel(",
    "basic_ack(",
    "basic_nack(",
    "confirm_select(",
    "queue_declare(",
    "queue_bind(",
    "queue_delete(",
    "exchange_declare(",
    ".close(200",
];

/// Its futures may never resolve once a connection has gone.
#[test]
fn every_wait_for_the_amqp_client_has_an_end() {
    let mut endless = Vec::new();
    let mut found = BTreeSet::new();
    for (path, text) in sources("src/broker/amqp") {
        let lines: Vec<&str> = production(&path, &text).lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(asked) = ASKED_OF_LAPIN.iter().find(|asked| line.contains(*asked)) else { continue };
            found.insert(*asked);
            // The statement: asked here, and awaited on this line or the next.
            if !lines[number..(number + 2).min(lines.len())].join("\n").contains("answered(") {
                endless.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(endless.is_empty(), "{endless:#?}");
    assert_eq!(found, BTreeSet::from(ASKED_OF_LAPIN), "each of them is found somewhere");
}

#[test]
fn production_code_has_no_unwrap_no_todo_and_no_file_that_is_two() {
    let mut faults = Vec::new();
    for (path, text) in sources("src") {
        let text = production(&path, &text);
        for word in [".unwrap()", "TODO", "FIXME", "todo!(", "unimplemented!(", "println!("] {
            if text.contains(word) && !(word == "println!(" && (path.starts_with("src/cli/") || path == "src/main.rs"))
            {
                faults.push(format!("{path} has {word}"));
            }
        }
        let lines = text.lines().count();
        if lines > 400 {
            faults.push(format!("{path} has {lines} lines"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_module_begins_with_a_line_that_says_what_it_is_for() {
    for (path, text) in sources("src") {
        let tests = path.contains("tests");
        assert!(tests || text.starts_with("//! "), "{path} does not begin with //!");
    }
}

#[test]
fn every_dependency_has_its_reason_beside_it_and_stands_in_the_readme() {
    let manifest = read("Cargo.toml");
    let readme = read("README.md");
    let section = between(&manifest, "[dependencies]", "\n[dev-dependencies]");
    let mut reason = false;
    for line in section.lines() {
        if line.starts_with('#') {
            reason = true;
        } else if line.is_empty() || line.starts_with('[') {
            reason = false;
        } else if let Some((name, _)) = line.split_once(" = ") {
            assert!(reason, "{name} has no reason above it in Cargo.toml");
            assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README's table");
        }
    }
}

#[test]
fn every_metric_is_explained_in_the_guide() {
    let telemetry = leadrelay::telemetry::Telemetry::new();
    let guide = read("docs/watching.md");
    let source = read("src/telemetry/metrics.rs");
    let declared = source.split("make.").skip(1).filter_map(|call| call.split('"').nth(1));
    let declared: BTreeSet<String> = declared.map(|name| format!("leadrelay_{name}")).collect();
    assert!(declared.len() > 15, "found {declared:?}");
    for name in telemetry.metrics.names() {
        assert!(declared.contains(&name), "{name} is registered, and not found in the source");
    }
    for name in declared {
        assert!(guide.contains(&format!("`{name}`")), "{name} is not in docs/watching.md");
    }
}
