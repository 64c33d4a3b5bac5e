//! docs/connecting.md and docs/zh/connecting.md: their commands run, and what they say that the program says, it says.

#[allow(dead_code, reason = "each test binary uses a part")]
mod program;
mod support;

use std::path::Path;
use std::process::Command;

use program::Program;
use support::org::Org;
use support::process::service;

const GUIDES: [&str; 2] = [include_str!("../docs/connecting.md"), include_str!("../docs/zh/connecting.md")];

fn commands(guide: &str) -> Vec<&str> {
    let blocks = guide.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("$ ")).collect()
}

fn program() -> Program {
    let program = Program::new();
    program.write(
        "leadrelay.toml",
        "include = [\"destinations.d/*.toml\"]\n[broker]\nurl = \"amqp://guest:guest@127.0.0.1:1/%2f\"\n\
         [store]\nurl = \"sqlite:ledger.db\"\n[identity]\nkey_secret = \"0123456789abcdef\"\n",
    );
    program
}

fn form(endpoint: &str) -> String {
    format!("<form action=\"{endpoint}\"><input type=hidden name=\"oid\" value=\"00D5g0000000001\"></form>")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_guide_run_one_after_the_other_and_are_the_same_in_both_languages() {
    let org = Org::new().await;
    let address = format!("http://{}", org.proxy.address());
    let (english, chinese) = (commands(GUIDES[0]), commands(GUIDES[1]));
    assert_eq!(english, chinese);
    assert!(english.len() >= 8, "{english:#?}");
    tokio::task::block_in_place(|| {
        let program = program();
        program.write("connection.txt", &service("LEADRELAY_TEST_AZURITE"));
        program.write("secret.txt", "sandbox-secret\n");
        program.write("oid.txt", "00D5g0000000001\n");
        program.write("form.html", &form(&format!("{address}/servlet/servlet.WebToLead?encoding=UTF-8")));
        let binaries = Path::new(env!("CARGO_BIN_EXE_leadrelay")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
        for command in english {
            let command = command.replace("https://contoso.my.salesforce.com", &address);
            let command = command.replace("3MVG9ExampleConsumerKey", "sandbox-client");
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]).current_dir(program.folder.path()).env("PATH", &path);
            let ended = shell.env_remove("LEADRELAY_CONFIG").output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
            assert!(ended.status.success(), "{command}: {said}");
        }
        assert_eq!(org.count(), 2, "the two test leads of Web-to-Lead, which cannot be taken out again");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_the_guide_is_told_as_the_guide_says() {
    let org = Org::new().await;
    let address = format!("http://{}", org.proxy.address());
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let account = format!("AccountName=nosuchaccount;AccountKey={}AA==", "AAAA".repeat(21));
    let html = form(&format!("{address}/servlet/servlet.WebToLead?encoding=UTF-8"));
    let signed = "https://nosuchaccount.table.core.windows.net/?sv=1&sig=x";
    let endpoint = format!("{address}/servlet/servlet.WebToLead");
    tokio::task::block_in_place(|| {
        let program = program();
        let told = |arguments: &[&str], pasted: &str, code: i32, message: &str| {
            let arguments = [&["destination", "add", "a", "--from", "-"], arguments].concat();
            let ended = program.run_with(&arguments, &[], pasted);
            assert_eq!(ended.code, code, "{message}: {}{}", ended.out, ended.err);
            assert!((ended.out + &ended.err).contains(message), "{message}");
            for guide in GUIDES {
                assert!(guide.contains(&format!("`{message}`")), "{message} is not in the guide");
            }
            let written = std::fs::remove_dir_all(program.folder.path().join("destinations.d")).is_ok();
            assert_eq!(written, code == 0, "{message}");
        };
        let unasked = ["--no-test", "--offer", "*"];
        told(&unasked, &format!("{azurite}\n"), 0, "took off the line break at its end");
        told(&unasked, &format!("'{azurite}'"), 0, "took off the quotes around it");
        told(&unasked, &format!("CONNECTION_STRING={azurite}"), 0, "took off the name of a variable before it");
        told(&unasked, &azurite.replace(';', "；"), 0, "replaced full-width punctuation");
        told(&unasked, &signed.replace('&', "&amp;"), 0, "replaced &amp; by &");
        told(&unasked, signed, 0, "made a connection string of the signed URL");
        told(&[], &format!("{account};EndpointSuffix=core.screens.net"), 69, "replaced core.screens.net");
        told(&["--cloud", "china"], &account, 69, "added EndpointSuffix=core.chinacloudapi.cn");
        told(&[], &account, 69, "no_such_host");
        told(&["--no-test"], "AccountName=contoso;AccountKey=QUJD", 0, "was it cut off?");
        let oid = ["--no-test", "--endpoint", &endpoint];
        told(&oid, "00D5g0000000001EAA", 0, "cut its 18 characters to the 15 that forms have");
        told(&oid, "00dabcdeabcdefg2ha", 0, "gave it back its capitals");

        told(&[], &format!("{}AA==", "AAAA".repeat(21)), 64, "this is a storage account's key alone");
        let blobs = "https://nosuchaccount.blob.core.windows.net/?sv=1&ss=b&sig=x";
        told(&[], blobs, 64, "this signature is not for tables");
        let public = format!("{account};EndpointSuffix=core.windows.net");
        told(&["--cloud", "china"], &public, 64, "its EndpointSuffix is of another cloud than --cloud says");
        let misspelt = "is misspelt: its last three characters do not belong to the others";
        told(&oid, "00D5g0000000001EAB", 64, misspelt);
        told(&oid, "00D5g000000001", 64, "the oid has 14 characters");
        told(&[], &html.replace("</form>", "<div class=g-recaptcha></div></form>"), 64, "the form has reCAPTCHA");
        told(&[], "00D5g0000000001", 64, "an oid alone does not say where to post");

        told(&[], &azurite.replace("AccountKey=", "AccountKey=AAAA"), 1, "AuthorizationFailure");
        let app = ["--instance-url", &address, "--client-id", "sandbox-client"];
        told(&app, "wrong", 1, "invalid_client");
        let nobody = ["--instance-url", &address, "--client-id", "wrong"];
        told(&nobody, "sandbox-secret", 1, "invalid_client_id");
        let no_field = [&app[..], &["--external-id-field", "Other__c"]].concat();
        told(&no_field, "sandbox-secret", 1, "INVALID_FIELD");
        let refused = "common.exception.SalesforceGenericException";
        told(&[], &html.replace("00D5g0000000001", "00D5g0000000002"), 1, refused);
    });
}
