//! `leadrelay destination add`, with the real program, a real table and the sandbox: what publishers paste, and what is
//! wrong with it.

#[allow(dead_code, reason = "each test binary uses a part")]
mod program;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use program::{Ended, Program};
use serde_json::Value;
use support::org::Org;
use support::process::service;

const MAIN: &str = "include = [\"destinations.d/*.toml\"]\n[broker]\nurl = \"amqp://guest:guest@127.0.0.1:1/%2f\"\n\
                    [store]\nurl = \"sqlite:ledger.db\"\n[identity]\nkey_secret = \"0123456789abcdef\"\n";

fn program() -> Program {
    let program = Program::new();
    program.write("leadrelay.toml", MAIN);
    program
}

fn add(program: &Program, arguments: &[&str], pasted: &str) -> Ended {
    let ended = program.run_with(&[&["destination", "add"], arguments].concat(), &[], pasted);
    let key = pasted.split("AccountKey=").nth(1).and_then(|rest| rest.split([';', '\n']).next()).unwrap_or("canary");
    assert!(!ended.out.contains(key) && !ended.err.contains(key), "{}{}", ended.out, ended.err);
    ended
}

fn exists(program: &Program, file: &str) -> bool {
    program.folder.path().join(file).exists()
}

fn read(program: &Program, file: &str) -> String {
    std::fs::read_to_string(program.folder.path().join(file)).unwrap()
}

/// A table that nobody else has.
fn table() -> String {
    static TABLES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("Add{}x{}", std::process::id(), TABLES.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn a_connection_string_as_it_is_copied_is_tried_and_written_where_only_we_may_read_it() {
    let (program, table) = (program(), table());
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let pasted = format!("export AZURE_STORAGE_CONNECTION_STRING=\"{azurite}\"\r\n");
    let ended = add(&program, &["contoso", "--from", "-", "--offer", "contoso.*", "--table", &table], &pasted);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
    for told in ["line break at its end", "name of a variable", "read back, and taken out again", "contoso.secret"] {
        assert!(ended.out.contains(told), "{told}: {}", ended.out);
    }
    assert_eq!(read(&program, "destinations.d/contoso.secret"), format!("{azurite}\n"));
    let mode = |file: &str| std::fs::metadata(program.folder.path().join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("destinations.d/contoso.secret"), 0o600);
    let checked = program.run(&["config", "check"]);
    assert_eq!((checked.code, checked.out.as_str()), (0, "leadrelay.toml is sound (1 destination, 0 warnings)\n"));
    let listed = program.run(&["destination", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((&listed["destination"], &listed["kind"]), (&"contoso".into(), &"azure-table".into()));
    assert_eq!(listed["offers"], serde_json::json!(["contoso.*"]));
    assert!(azurite.contains(listed["at"].as_str().unwrap()));
    assert_eq!(program.run(&["destination", "test", "contoso"]).code, 0);

    let again = add(&program, &["contoso", "--from", "-"], &azurite);
    assert_eq!((again.code, again.out.as_str()), (64, ""));
    assert!(again.err.contains("is there already") || again.err.contains("was set before"), "{}", again.err);
    let replaced = add(
        &program,
        &["contoso", "--replace", "--from", "-", "--offer", "other.*", "--json", "--table", &table],
        &azurite,
    );
    assert_eq!(replaced.code, 0, "{}{}", replaced.out, replaced.err);
    let told: Value = serde_json::from_str(&replaced.out).unwrap();
    assert_eq!((&told["ok"], &told["test"]["removed"]), (&true.into(), &true.into()));
    assert!(read(&program, "destinations.d/contoso.toml").contains("offer = \"other.*\""));
}

#[test]
fn what_the_destination_refuses_is_not_written() {
    let program = program();
    let azurite = service("LEADRELAY_TEST_AZURITE").replace("AccountKey=", "AccountKey=AAAA");
    let refused = add(&program, &["contoso", "--from", "-", "--table", &table()], &azurite);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    for told in ["AuthorizationFailure", "was it cut off?", "nothing was written"] {
        assert!(refused.out.contains(told), "{told}: {}", refused.out);
    }
    let key = "AAAA".repeat(21) + "AA==";
    let nowhere = format!("AccountName=nosuchaccount;AccountKey={key};EndpointSuffix=core.screens.net");
    let ended = add(&program, &["contoso", "--from", "-"], &nowhere);
    assert_eq!(ended.code, 69, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("core.screens.net, a slip") && ended.out.contains("--cloud china"), "{}", ended.out);
    let ended = add(
        &program,
        &["contoso", "--from", "-", "--cloud", "china", "--json"],
        &format!("AccountName=nosuchaccount;AccountKey={key}"),
    );
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["ok"], &told["hint"]), (69, &false.into(), &Value::Null));
    assert!(told["remarks"][0].as_str().unwrap().contains("EndpointSuffix=core.chinacloudapi.cn"), "{told}");
    assert!(!exists(&program, "destinations.d"), "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_form_tells_all_that_a_destination_needs_and_an_oid_needs_an_address() {
    let org = Org::new().await;
    let endpoint = format!("http://{}/servlet/servlet.WebToLead?encoding=UTF-8", org.proxy.address());
    let form = format!(
        "<META HTTP-EQUIV=\"Content-type\" CONTENT=\"text/html; charset=UTF-8\">\n\n\
         <form action=\"{}&amp;orgId=00D5g0000000001\" method=\"POST\">\n\n\
         <input type=hidden name=\"oid\" value=\"00D5g0000000001\">\n\
         Journey:<textarea id=\"00N5g000001aaaa\" name=\"00N5g000001aaaa\"></textarea>\n</form>",
        endpoint
    );
    tokio::task::block_in_place(|| {
        let program = program();
        let captcha = form.replace("</form>", "<div class=\"g-recaptcha\"></div></form>");
        let refused = add(&program, &["form", "--from", "-"], &captcha);
        assert_eq!((refused.code, refused.out.as_str()), (64, ""));
        assert!(refused.err.contains("Require reCAPTCHA Verification"), "{}", refused.err);
        let misspelt =
            add(&program, &["form", "--from", "-"], &form.replace("\"00D5g0000000001\"", "\"00D5g0000000001EAB\""));
        assert!(misspelt.code == 64 && misspelt.err.contains("misspelt"), "{}", misspelt.err);
        assert_eq!(org.count(), 0);

        let ended = add(&program, &["form", "--from", "-"], &form);
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert!(ended.out.contains("[[routes]]") && ended.out.contains("No lead goes there yet"), "{}", ended.out);
        let written = read(&program, "destinations.d/form.toml");
        assert!(written.contains(&format!("{endpoint}&orgId=00D5g0000000001")), "{written}");
        assert!(written.contains("# 00N5g000001aaaa = \"journey\"  # Journey"), "{written}");
        assert_eq!(org.count(), 1, "the test lead: it cannot be taken out again");

        let alone = add(&program, &["oid", "--from", "-"], "00d5g0000000001eaa\n");
        assert!(alone.code == 64 && alone.err.contains("--endpoint"), "{}", alone.err);
        let ended =
            add(&program, &["oid", "--from", "-", "--endpoint", &endpoint, "--offer", "a.b"], "00D5g0000000001EAA\r\n");
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert!(read(&program, "destinations.d/oid.toml").contains("oid = \"00D5g0000000001\""));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_client_app_is_connected_by_its_secret() {
    let org = Org::new().await;
    let instance = format!("http://{}", org.proxy.address());
    tokio::task::block_in_place(|| {
        let program = program();
        program.write("copied.txt", "sandbox-secret\n");
        let arguments = ["org", "--instance-url", &instance, "--client-id", "sandbox-client", "--offer", "*"];
        let refused = add(&program, &[&arguments[..], &["--from", "-"]].concat(), "canary-secret");
        assert!(refused.code == 1 && refused.out.contains("invalid_client"), "{}{}", refused.out, refused.err);
        let ended = add(&program, &[&arguments[..], &["--from", "copied.txt"]].concat(), "");
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        assert_eq!(read(&program, "destinations.d/org.secret"), "sandbox-secret\n");
        assert_eq!(program.run(&["config", "check"]).code, 0);
        assert_eq!(org.count(), 0, "the test lead was taken out again");
    });
}

#[test]
fn what_no_file_would_be_read_of_is_printed_and_what_else_is_wrong_is_told_first() {
    let program = Program::new();
    program.write("leadrelay.toml", &MAIN.replace("include = [\"destinations.d/*.toml\"]\n", ""));
    let arguments = ["contoso", "--from", "-", "--no-test", "--offer", "contoso.*"];
    let ended = add(&program, &arguments, "UseDevelopmentStorage=true");
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.contains("connection_string = { file = \"contoso.secret\" }"), "{}", ended.out);
    assert!(exists(&program, "contoso.secret") && !exists(&program, "destinations.d"));

    program.write(".killed.secret.new", "UseDevelop");
    let after_a_kill = ["killed", "--from", "-", "--no-test", "--offer", "contoso.*"];
    let ended = add(&program, &after_a_kill, "UseDevelopmentStorage=true");
    assert_eq!(ended.code, 0, "what a killed run left half written stands in nobody's way: {}", ended.err);
    assert_eq!(read(&program, "killed.secret"), "UseDevelopmentStorage=true\n");
    assert!(!exists(&program, ".killed.secret.new"));

    program.write("leadrelay.toml", &MAIN.replace("[store]", "[stor]"));
    let ended = add(&program, &["second", "--from", "-", "--no-test"], "UseDevelopmentStorage=true");
    assert_eq!((ended.code, ended.out.as_str()), (64, ""));
    assert!(ended.err.contains("stor is not a key") && ended.err.contains("store.url is missing"), "{}", ended.err);
    let check = |arguments: &[&str], pasted: &str, told: &str| {
        let ended = add(&program, arguments, pasted);
        assert!(
            ended.code == 64 && ended.out.is_empty() && ended.err.contains(told),
            "{told}: {}{}",
            ended.out,
            ended.err
        );
    };
    check(&["Contoso", "--from", "-"], "x", "a destination's name is");
    check(&["--from", "-"], "x", "destination add NAME");
    check(&["a", "--from", "no-such-file"], "", "no-such-file");
    check(&["a", "--from", "-"], "", "nothing was pasted");
    check(&["a", "--from", "-", "--offer", "nodot"], "UseDevelopmentStorage=true", "offer pattern");
    check(&["a", "--from", "-"], "-----BEGIN PRIVATE KEY-----", "--instance-url");
    check(&["a", "--from", "-", "--instance-url", "https://a.my.salesforce.com"], "x", "--client-id");
}

/// What a person on a terminal sees who answers so.
fn at_terminal(folder: &Path, steps: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let output = Command::new(service("LEADRELAY_TEST_PYTHON"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/at_terminal.py"))
        .arg(serde_json::to_string(steps).unwrap())
        .arg(env!("CARGO_BIN_EXE_leadrelay"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap_or(-1), shown + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_person_is_asked_for_what_is_missing_and_a_secret_does_not_show() {
    let (program, table) = (program(), table());
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let steps = [
        ("called?", "contoso\r"),
        ("> ", "1\r"),
        ("does not show", &format!("{azurite}\r")),
        ("Which offers", "contoso.*\r"),
    ];
    let (code, shown) = at_terminal(program.folder.path(), &steps, &["destination", "add", "--table", &table]);
    assert_eq!(code, 0, "{shown}");
    let key = azurite.split("AccountKey=").nth(1).unwrap().split(';').next().unwrap();
    assert!(!shown.contains(key) && shown.contains("taken out again"), "{shown}");
    assert_eq!(read(&program, "destinations.d/contoso.secret"), format!("{azurite}\n"));
    let steps = [("> ", "1\r"), ("does not show", "canary\u{3}")];
    let (code, shown) = at_terminal(program.folder.path(), &steps, &["destination", "add", "stopped"]);
    assert!(code == 1 && shown.contains("interrupted: nothing was written") && !shown.contains("canary"), "{shown}");
    let steps = [
        ("called?", "form\r"),
        ("> ", "2\r"),
        ("Paste the oid", "00D5g0000000001\r"),
        ("its action", "https://contoso.my.salesforce.com/servlet/servlet.WebToLead\r"),
        ("Which offers", "\r"),
    ];
    let (code, shown) = at_terminal(program.folder.path(), &steps, &["destination", "add", "--no-test"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Add a route"), "{shown}");
    let long = shown.lines().find(|line| line.trim_end().chars().count() > 110);
    assert_eq!(long, None, "{shown}");
}
