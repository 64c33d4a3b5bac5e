//! The command line as scripts and people meet it: help, exit codes, where what is written.

mod program;

use program::Program;
use serde_json::Value;

const COMMANDS: &[&[&str]] = &[
    &["run"],
    &["config", "check"],
    &["config", "example"],
    &["config", "schema"],
    &["topology", "apply"],
    &["topology", "check"],
    &["topology", "prune"],
    &["publish"],
    &["event", "check"],
    &["event", "explain"],
    &["destination", "add"],
    &["destination", "list"],
    &["destination", "test"],
    &["destination", "pause"],
    &["destination", "resume"],
    &["lead", "list"],
    &["lead", "show"],
    &["lead", "export"],
    &["retry", "list"],
    &["retry", "now"],
    &["status"],
    &["dead", "list"],
    &["dead", "show"],
    &["dead", "discard"],
    &["dead", "edit"],
    &["dead", "undo"],
    &["dead", "export"],
    &["dead", "import"],
    &["dead", "stats"],
    &["ledger", "show"],
    &["store", "backup"],
    &["store", "verify"],
    &["store", "restore"],
    &["forget"],
    &["sandbox", "salesforce"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_an_example_that_fits_eighty_columns() {
    let program = Program::new();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let ended = program.run(&[*command, &[flag]].concat());
            assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{command:?}");
            assert!(ended.out.contains("Example"), "{command:?}\n{}", ended.out);
            let example = format!("leadrelay {}", command.join(" "));
            assert!(ended.out.matches(&example).count() >= 2, "usage and example of {command:?}\n{}", ended.out);
            assert!(ended.out.contains("LEADRELAY_CONFIG"), "{command:?}");
            let long = ended.out.lines().find(|line| line.chars().count() > 80);
            assert_eq!(long, None, "{command:?}");
        }
    }
}

#[test]
fn the_help_names_every_command_and_the_exit_codes() {
    let ended = Program::new().run(&["--help"]);
    assert_eq!(ended.code, 0);
    for command in COMMANDS {
        assert!(ended.out.contains(&format!("\n  {} ", command[0])), "{command:?}");
    }
    let flowing = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flowing.contains("0 done, 1 failed, 64 usage or configuration, 69 something needed is unreachable"));
    let version = Program::new().run(&["--version"]);
    assert_eq!((version.code, version.out), (0, format!("leadrelay {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_exits_64_and_says_so_on_standard_error() {
    let program = Program::configured();
    let check = |arguments: &[&str]| {
        let ended = program.run(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "{arguments:?}");
    };
    for wrong in
        [&["nonsense"][..], &["run", "--fast"], &["event", "check"], &["publish"], &["completions", "dosshell"]]
    {
        check(wrong);
    }
    check(&["event", "check", "no-such-file.json"]);
    check(&["sandbox"]);
    check(&["sandbox", "salesforce", "--listen", "nowhere"]);
    check(&["sandbox", "salesforce", "--fault", "any:explode"]);
    check(&["sandbox", "salesforce", "--field", "Region"]);
    check(&["sandbox", "salesforce", "--oid", "short"]);
    check(&["sandbox", "salesforce", "--require", "Nonsense"]);
    check(&["sandbox", "salesforce", "--client-key", "no-such-file.pem"]);
    check(&["sandbox", "salesforce", "--cert-out", "file.pem"]);
    check(&["publish", "no-such-file.json"]);
    check(&["dead", "list", "--limit", "0"]);
    check(&["dead", "list", "--reason", "nonsense"]);
    check(&["dead", "list", "--state", "undead"]);
    check(&["dead", "list", "--by", "email"]);
    check(&["dead", "list", "--by", "reason,reason"]);
    check(&["dead", "list", "--offer", "nodot"]);
    check(&["dead", "list", "--since", "yesterday"]);
    check(&["dead", "list", "--after", "somewhere"]);
    check(&["dead", "show", "0123", "--reveal"]);
    check(&["dead", "discard", "0123"]);
    check(&["dead", "export"]);
    check(&["dead", "edit", "0123"]);
    check(&["dead", "edit", "0123", "--why", "x", "--set", "Title=CTO"]);
    check(&["dead", "import", "no-such-file.jsonl"]);
    check(&["forget", "--email", "nobody", "--why", "x", "--yes"]);
    check(&["forget", "--email", "a@b.cd", "--why", "of A@b.cd", "--yes"]);
    check(&["forget", "--why", "x", "--yes"]);
    check(&["ledger", "show"]);
    check(&["store", "backup"]);
    check(&["ledger", "show", "not-a-key"]);
    check(&["ledger", "show", "--email", "a@b.c"]);
    check(&["ledger", "show", "--email", "a@b.c", "--offer", "nodot"]);
    check(&["ledger", "show", "0123456789abcdef0123456789abcdef", "--email", "a@b.c", "--offer", "a.b"]);
}

#[test]
fn every_command_that_needs_a_configuration_tells_all_that_is_wrong_with_it_and_exits_64() {
    let program = Program::new();
    program.write("leadrelay.toml", "[broker]\nurl = \"http://canary\"\n[store]\n");
    let prints = |command: &[&str]| {
        matches!(
            command,
            ["event" | "sandbox" | "completions", ..] | ["config", "example" | "schema"] | ["destination", "add"]
        )
    };
    for command in COMMANDS.iter().copied().filter(|command| !prints(command)) {
        let rest: &[&str] = match command {
            ["publish"] => &["x.json"],
            ["destination", "pause"] => &["contoso", "--reason", "a test"],
            ["destination", "test" | "resume"] | ["lead", "list" | "export"] => &["contoso"],
            ["lead", "show"] => &["contoso", "0123"],
            ["dead", "show" | "undo"] => &["0123"],
            ["dead", "discard" | "edit"] => &["0123", "--why", "x"],
            ["dead", "export"] => &["--why", "x"],
            ["dead", "import"] => &["x.jsonl"],
            ["store", ..] => &["x"],
            ["forget"] => &["--email", "a@b.c", "--why", "x"],
            ["ledger", "show"] => &["0123456789abcdef0123456789abcdef"],
            _ => &[],
        };
        let ended = program.run(&[command, rest].concat());
        let said = ended.out + &ended.err;
        assert_eq!(ended.code, 64, "{command:?}");
        for told in ["leadrelay.toml:2: error: broker.url", "leadrelay.toml:3: error: store.url", "identity.key_secret"]
        {
            assert!(said.contains(told), "{command:?}: {said}");
        }
        assert!(!said.contains("canary") && !said.contains('\x1b'), "{command:?}: {said}");
    }
}

#[test]
fn config_check_tells_people_and_scripts() {
    let program = Program::configured();
    let sound = program.run(&["config", "check"]);
    assert_eq!((sound.code, sound.err.as_str()), (0, ""));
    assert_eq!(sound.out, "leadrelay.toml is sound (1 destination, 0 warnings)\n");

    let wrong = "[broker]\nurl = \"amqp://x\"\nprefx = \"a\"\n";
    let path = program.write("other.toml", wrong);
    let ended = program.run_with(&["config", "check", "--json"], &[("LEADRELAY_CONFIG", &path)], "");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["ok"]), (64, &Value::Bool(false)));
    let problem = told["problems"].as_array().unwrap().iter().find(|p| p["key"] == "broker.prefx").unwrap();
    assert_eq!((&problem["line"], &problem["mend"]), (&3.into(), &"did you mean prefix?".into()));
    assert_eq!(problem["severity"], "error");

    let named =
        program.run_with(&["config", "check", "--config", "leadrelay.toml"], &[("LEADRELAY_CONFIG", &path)], "");
    assert_eq!(named.code, 0, "what is typed counts before the environment");
}

#[test]
fn the_example_is_printed_as_it_is_shipped_and_the_schema_as_it_is() {
    let ended = Program::new().run(&["config", "example"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, include_str!("../leadrelay.example.toml")));
    let ended = Program::new().run(&["config", "schema"]);
    assert_eq!(ended.code, 0);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), leadrelay::config::schema::schema());
}

#[test]
fn a_variable_that_is_wrong_is_told_by_its_name() {
    let program = Program::configured();
    let wrong = [("LEADRELAY__WORKER__PREFETCH", std::path::Path::new("canary"))];
    let ended = program.run_with(&["config", "check"], &wrong, "");
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.out,
        "LEADRELAY__WORKER__PREFETCH: error: worker.prefetch is a text, expected an integer\n\
         leadrelay.toml cannot be used: 1 problem\n"
    );
    let ended = program.run_with(&["config", "check", "--json"], &wrong, "");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(told["problems"][0]["variable"], "LEADRELAY__WORKER__PREFETCH");
    assert_eq!(told["problems"][0]["file"], Value::Null);
}

#[test]
fn a_broker_that_is_not_there_exits_69_and_the_password_is_not_told() {
    let program = Program::configured();
    let configuration = std::fs::read_to_string(program.folder.path().join("leadrelay.toml")).unwrap();
    program.write("leadrelay.toml", &configuration.replace("guest:guest", "guest:canary"));
    let event = r#"{"Source": "a", "Action": "b", "Offer": "c.d", "Consent": {"Granted": true}, "CustomerInfo": {"Email": "a@b.c"}}"#;
    program.write("event.json", event);
    let check = |command: &[&str]| {
        let ended = program.run(command);
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{command:?}: {}", ended.err);
        assert!(ended.err.contains("unreachable") && !ended.err.contains("canary"), "{command:?}: {}", ended.err);
    };
    // Each gives the broker its time to come back; they wait for it together.
    std::thread::scope(|scope| {
        for command in [
            &["topology", "apply"][..],
            &["topology", "check"],
            &["publish", "event.json"],
            &["dead", "list", "--queue"],
        ] {
            scope.spawn(move || check(command));
        }
    });
}

#[test]
fn a_ledger_that_is_not_there_is_a_failure_and_is_not_made() {
    let program = Program::configured();
    let ended = program.run(&["ledger", "show", "0123456789abcdef0123456789abcdef"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("no ledger"), "{}", ended.err);
    assert!(!program.folder.path().join("ledger.db").exists());
}

#[test]
fn an_office_that_is_not_there_is_a_failure_and_is_not_made() {
    let program = Program::configured();
    for command in [&["dead", "list"][..], &["dead", "stats"], &["dead", "show", "0123"]] {
        let ended = program.run(command);
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{command:?}");
        assert!(ended.err.contains("no worker has run yet"), "{}", ended.err);
    }
    assert!(!program.folder.path().join("ledger.letters.db").exists());
}

#[test]
fn a_line_that_is_no_letter_is_named_and_what_came_before_it_is_taken_in() {
    let program = Program::configured();
    let line = r#"{"dead_id": "0123456789abcdef0123456789abcdef", "state": "dead", "dead_at": "2026-11-22T12:00:00Z",
        "properties": {}, "body": "canary"}"#;
    program.write("letters.jsonl", &format!("{}\n\n{{\"dead_id\": \"canary\"}}\n", line.replace('\n', "")));
    let ended = program.run(&["dead", "import", "letters.jsonl"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("line 3: has no dead_id") && !ended.err.contains("canary"), "{}", ended.err);
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = Program::new().run(&["completions", shell]);
        assert!(ended.code == 0 && ended.out.contains("topology"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_leadrelay"))
        .args(["event", "check", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    use std::io::Write;
    child.stdin.take().unwrap().write_all("{}\n".repeat(10_000).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn the_sandboxs_document_names_options_and_faults_that_there_are() {
    let text = include_str!("../docs/sandbox.md");
    let help = Program::new().run(&["sandbox", "salesforce", "--help"]).out;
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_option = |word: &&str| word.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let options: Vec<&str> = words.filter(is_option).collect();
    assert!(options.len() > 10, "{options:?}");
    for option in options {
        let option = option.strip_suffix('s').filter(|shorter| *shorter == "--field").unwrap_or(option);
        assert!(
            option == "--help" || help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
            "{option}"
        );
    }
    let faults: Vec<&str> = text.split("--fault ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    assert!(faults.len() > 1);
    for fault in faults {
        fault.parse::<leadrelay::sandbox::Fault>().unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
}
