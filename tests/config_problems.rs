//! Everything that can be wrong with a configuration is told at once, each with its line and its mend, and no value.

use std::path::Path;

use leadrelay::config::{Config, Problem, Severity};

const SOUND: &str = r#"
[broker]
url = "amqp://guest:guest@127.0.0.1:5672/%2f"
[store]
url = "sqlite:ledger.db"
[identity]
key_secret = "0123456789abcdef"
[destinations.contoso-table]
kind = "azure-table"
connection_string = "UseDevelopmentStorage=true"
[[routes]]
offer = "arraynetworks.*"
destination = "contoso-table"
"#;

fn problems(text: &str) -> Vec<Problem> {
    let problems = Config::parse(Path::new("tests/configs/x.toml"), text).expect_err("it is wrong");
    assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    problems
}

fn told(problem: &Problem) -> String {
    problem.to_string().split_once(": ").expect("a place").1.to_owned()
}

#[test]
fn every_problem_is_told_at_once_with_its_line_and_its_mend() {
    let text = std::fs::read_to_string("tests/configs/everything_wrong.toml").unwrap();
    let mut expected: Vec<(usize, String)> = Vec::new();
    for (nth, line) in text.lines().enumerate().skip(1) {
        let remarks = line.split_once("#! ").map_or("", |(_, remarks)| remarks);
        expected.extend(
            remarks.split(" | ").filter(|remark| !remark.is_empty()).map(|remark| (nth + 1, remark.to_owned())),
        );
    }
    let mut found: Vec<_> =
        problems(&text).iter().map(|problem| (problem.place.line().unwrap(), told(problem))).collect();
    expected.sort();
    found.sort();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    assert!(found.len() > 40 && found.iter().all(|(_, told)| !told.contains("canary")));
}

#[test]
fn what_is_required_is_missed_even_in_an_empty_file() {
    let told: Vec<_> = problems("").iter().map(told).collect();
    assert_eq!(
        told,
        [
            "broker.url is missing; write url = \"amqp://user:password@host:5672/%2f\"",
            "store.url is missing; write url = \"sqlite:ledger.db\"",
            "identity.key_secret is missing; write key_secret = { env = \"LEADRELAY_KEY_SECRET\" }",
            "destinations is empty; write one: [destinations.NAME], or let `leadrelay destination add` write it",
            "routes is empty; write one: [[routes]] with an offer and a destination",
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_line_by_line_without_its_text() {
    let text = "[broker\nurl = 1\n[store]\nurl = \"canary\n[store]\nkey = \"a\" canary\n";
    let problems = problems(text);
    let lines: Vec<_> = problems.iter().map(|problem| problem.place.line().unwrap()).collect();
    assert_eq!(lines, [1, 4, 5, 6], "{problems:?}");
    for problem in &problems {
        assert!(told(problem).starts_with("is not TOML here: ") && !told(problem).contains("canary"), "{problem}");
    }
}

#[test]
fn wrong_shapes_are_problems_and_no_panics() {
    for wrong in [
        "broker = 1",
        "destinations = []",
        "destinations.x = 7",
        "routes = 1",
        "routes = [1]",
        "routes = {}",
        "broker.url = 1979-05-27",
        "worker.prefetch = 0xffffffffffff",
        "worker.prefetch = 1.5",
    ] {
        assert!(!problems(wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn an_address_that_is_no_amqp_address_is_told_without_it() {
    let text = SOUND.replace("amqp://guest:guest@", "http://guest:canary@");
    let told: Vec<_> = problems(&text).iter().map(Problem::to_string).collect();
    let expected =
        "tests/configs/x.toml:3: broker.url is no AMQP address; write url = \"amqp://user:password@host:5672/%2f\"";
    assert_eq!(told, [expected]);
}

#[test]
fn one_destination_may_have_the_whole_prefetch_and_several_a_quarter_each() {
    let second = SOUND.replace("contoso-table", "second").replace("offer = \"arraynetworks.*\"", "offer = \"*\"");
    let second = second.split_once("[destinations").unwrap().1;
    let with = |prefetch: u32, several: bool| {
        let more = if several { format!("\n[destinations{second}") } else { String::new() };
        Config::parse(Path::new("x.toml"), &format!("{SOUND}{more}\n[worker]\nprefetch = {prefetch}\n"))
    };
    assert_eq!(with(400, false).unwrap().lane_share(), 400);
    assert_eq!(with(399, false).unwrap_err().len(), 1);
    assert_eq!(with(1600, true).unwrap().lane_share(), 400);
    assert_eq!(with(1599, true).unwrap_err().len(), 2);
}

#[test]
fn a_warning_does_not_keep_us_from_starting() {
    let idle = SOUND
        .replace("[[routes]]", "[destinations.idle]\nkind = \"azure-table\"\nconnection_string = \"x\"\n[[routes]]");
    let warnings = Config::parse(Path::new("x.toml"), &idle).unwrap().warnings;
    let told: Vec<_> = warnings.iter().map(Problem::to_string).collect();
    let expected = "x.toml:11: warning: destinations.idle has no route; write one, or take the destination away";
    assert_eq!(told, [expected]);
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, "0123456789abcdef\n").unwrap();
    let text = SOUND.replace("\"0123456789abcdef\"", "{ file = \"key\" }");
    let warnings = |mode: u32| {
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).unwrap();
        let config = Config::parse(&folder.path().join("leadrelay.toml"), &text).unwrap();
        assert_eq!(config.key_secret.expose(), "0123456789abcdef");
        config.warnings.len()
    };
    assert_eq!((warnings(0o600), warnings(0o640), warnings(0o644)), (0, 0, 1));
}
