//! `leadrelay lead`, with the real program, a real table and the sandbox.

#[allow(dead_code, reason = "each test binary uses a part")]
mod program;
mod support;

use std::process::{Command, Stdio};

use leadrelay::destination::Destination;
use leadrelay::domain::found::Selection;
use leadrelay::domain::lead::Lead;
use leadrelay::domain::route::Offer;
use program::Program;
use serde_json::Value;
use support::azure::{self, Azurite};
use support::org::{self, Org};
use support::process::service;

const REST: &str = "[broker]\nurl = \"amqp://guest:guest@127.0.0.1:1/%2f\"\n[store]\nurl = \"sqlite:ledger.db\"\n\
                    [identity]\nkey_secret = \"0123456789abcdef\"\n[[routes]]\noffer = \"*\"\ndestination = \"contoso\"\n\
                    [destinations.contoso]\n";

fn program(destination: &str) -> Program {
    let program = Program::new();
    program.write("leadrelay.toml", &format!("{REST}{destination}"));
    program
}

fn with_table(azurite: &Azurite) -> Program {
    let text = service("LEADRELAY_TEST_AZURITE");
    program(&format!("kind = \"azure-table\"\nconnection_string = \"{text}\"\ntable = \"{}\"\n", azurite.table))
}

fn with_org(org: &Org) -> Program {
    program(&format!(
        "kind = \"salesforce\"\ninstance_url = \"http://{}\"\nexternal_id_field = \"Leadrelay_Key__c\"\n\
         [destinations.contoso.auth]\nkind = \"client-credentials\"\nclient_id = \"sandbox-client\"\n\
         client_secret = \"sandbox-secret\"\n",
        org.proxy.address()
    ))
}

/// What the command prints, which must be as JSON lines.
fn lines(program: &Program, arguments: &[&str]) -> Vec<Value> {
    let ended = program.run(&[&["lead"], arguments].concat());
    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.out, ended.err);
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(found: &[Value]) -> Vec<String> {
    let mut keys: Vec<_> = found.iter().map(|lead| lead["lead_key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys
}

fn of_offer(mut lead: Lead, offer: &str) -> Lead {
    lead.event.offer = Offer::parse(offer).unwrap();
    lead
}

/// What narrows a list, on leads of four offers of which the second is asked for by name.
fn check_the_selection(program: &Program, offers: [&str; 4], leads: &[Lead], plt: &Lead) {
    let list = |arguments: &[&str]| keys(&lines(program, &[&["list", "contoso", "--json"], arguments].concat()));
    let key = |lead: &Lead| lead.key.to_string();
    assert_eq!(list(&["--offer", offers[1]]), [key(&leads[1])], "only the offer itself");
    let mut of_contoso = vec![key(&leads[1]), key(&leads[2])];
    of_contoso.sort();
    assert_eq!(list(&["--offer", "CONTOSO.*"]), of_contoso, "and not contoso-x, nor contosox");
    assert_eq!(list(&["--stage", "contact-me"]), [key(plt)]);
    assert_eq!(list(&["--since", "1h"]).len(), leads.len());
    assert_eq!(list(&["--since", "2100-01-01T00:00:00Z"]).len(), 0);
    assert_eq!(list(&["--offer", "contoso.*", "--stage", "trial"]).len(), 0);
    let shown = program.run(&["lead", "show", "contoso", &key(plt)[..12]]);
    assert!(shown.code == 0 && shown.out.contains(&key(plt)) && shown.out.contains("PLT"), "{}", shown.out);
    assert!(!shown.out.contains("canary"), "{}", shown.out);
    let revealed = program.run(&["lead", "show", "contoso", &key(plt), "--reveal"]);
    assert!(revealed.out.contains("@") && revealed.out.contains("canary"), "{}", revealed.out);
    let missing = program.run(&["lead", "show", "contoso", "00000000000000000000000000000000"]);
    assert!(missing.code == 1 && missing.err.contains("holds no lead"), "{}", missing.err);
}

const OFFERS: [&str; 4] = ["other.offer", "contoso.o'brien_50%", "contoso.oxbrienx50x", "contoso-x.y"];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_back_by_what_narrows_it() {
    let azurite = Azurite::new().await;
    let mut plt = azure::lead(azure::event("canary", "PLT", 0));
    plt.event.customer.email = "canary@example.com".into();
    let mut leads: Vec<Lead> =
        azure::leads(4).into_iter().zip(OFFERS).map(|(lead, offer)| of_offer(lead, offer)).collect();
    leads.push(plt.clone());
    for lead in &leads {
        let sent = azure::create(&azurite.destination(), std::slice::from_ref(lead)).await;
        assert_eq!(sent, azure::each(azure::CREATED, 1));
    }
    tokio::task::block_in_place(|| check_the_selection(&with_table(&azurite), OFFERS, &leads, &plt));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_is_read_back_by_what_narrows_it() {
    let org = Org::new().await;
    let plt = org::lead(org::event("canary", "PLT", 0));
    let mut leads: Vec<Lead> =
        org::leads(4).into_iter().zip(OFFERS).map(|(lead, offer)| of_offer(lead, offer)).collect();
    leads.push(plt.clone());
    assert_eq!(org::deliver(org.destination(), &leads).await, org::each(org::CREATED, 5));
    tokio::task::block_in_place(|| {
        let program = with_org(&org);
        check_the_selection(&program, OFFERS, &leads, &plt);
        let shown = lines(&program, &["show", "contoso", &plt.key.to_string(), "--json", "--reveal"]);
        assert_eq!(shown[0]["record"], org.lead(&plt).unwrap()["Id"]);
        assert_eq!(shown[0]["offer"], "arraynetworks.ArrayLoadBalancervAPV");
        assert_eq!(shown[0]["customer"]["Email"], "canary@canary.example");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_followed_and_a_list_says_that_there_are_more() {
    let azurite = Azurite::new().await;
    let leads = azure::leads(1_050);
    for batch in leads.chunks(100) {
        assert_eq!(azure::create(&azurite.destination(), batch).await, azure::each(azure::CREATED, batch.len()));
    }
    let mut expected: Vec<_> = leads.iter().map(|lead| lead.key.to_string()).collect();
    expected.sort();
    tokio::task::block_in_place(|| {
        let program = with_table(&azurite);
        assert_eq!(keys(&lines(&program, &["export", "contoso", "--format", "jsonl"])), expected);
        let listed = program.run(&["lead", "list", "contoso"]);
        assert!(listed.out.contains("\n50 leads\nthere are more:"), "{}", listed.out);
        let all = program.run(&["lead", "list", "contoso", "--limit", "1000", "--offer", "nobody.*"]);
        assert_eq!((all.code, all.out.as_str()), (0, "0 leads\n"));
    });
    let org = Org::new().await;
    let leads = org::leads(600);
    for batch in leads.chunks(200) {
        assert_eq!(org::deliver(org.destination(), batch).await, org::each(org::CREATED, batch.len()));
    }
    let destination = org.destination();
    let inspect = destination.inspect().unwrap();
    let first = inspect.page(&Selection::default(), 1, None).await.unwrap();
    assert_eq!((first.leads.len(), first.next.is_some()), (200, true), "as few as Salesforce gives");
    tokio::task::block_in_place(|| {
        let exported = lines(&with_org(&org), &["export", "contoso", "--format", "jsonl"]);
        assert_eq!(keys(&exported).len(), 600);
        assert!(org.calls().contains("1 other"), "a second page was asked for: {}", org.calls());
    });
}

/// The cells of CSV, as an independent reader has them.
fn cells(csv: &str) -> Vec<Vec<String>> {
    let script = "import csv, io, json, sys\n\
                  print(json.dumps(list(csv.reader(io.TextIOWrapper(sys.stdin.buffer, 'utf-8', newline='')))))";
    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"))
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), csv.as_bytes()).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_masked_and_nothing_in_it_is_run_by_a_spreadsheet() {
    let azurite = Azurite::new().await;
    let mut lead = azure::lead(azure::event("canary", "INS", 0));
    let customer = &mut lead.event.customer;
    customer.email = "canary@example.com".into();
    customer.first_name = "=HYPERLINK(\"http://canary.example\";\"canary\")".into();
    customer.last_name = "李,小明".into();
    customer.phone = "+86 canary".into();
    customer.title = "\tcanary".into();
    customer.company = "@canary\r\n=1".into();
    assert_eq!(azure::create(&azurite.destination(), &[lead]).await, azure::each(azure::CREATED, 1));
    tokio::task::block_in_place(|| {
        let program = with_table(&azurite);
        for arguments in [&["list", "contoso"][..], &["list", "contoso", "--json"], &["export", "contoso"]] {
            let masked = program.run(&[&["lead"], arguments].concat());
            assert_eq!(masked.code, 0, "{}", masked.err);
            assert!(!masked.out.contains("canary") && masked.out.contains("interest"), "{}", masked.out);
        }
        let exported = program.run(&["lead", "export", "contoso", "--reveal"]);
        let rows = cells(&exported.out);
        assert_eq!((rows.len(), rows[0].len(), rows[1].len()), (2, 19, 19), "{rows:?}");
        let cell = |head: &str| rows[1][rows[0].iter().position(|other| other == head).unwrap()].as_str();
        assert_eq!(cell("first_name"), "'=HYPERLINK(\"http://canary.example\";\"canary\")");
        assert_eq!((cell("last_name"), cell("phone")), ("李,小明", "'+86 canary"));
        assert_eq!((cell("title"), cell("company")), ("'\tcanary", "'@canary\r\n=1"));
        assert_eq!(cell("email"), "canary@example.com");
        let listed = program.run(&["lead", "list", "contoso", "--reveal"]);
        assert!(!listed.out.contains(['\t', '\r']) && listed.out.lines().count() == 3, "{}", listed.out);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_plainly() {
    let form =
        program("kind = \"salesforce-web-to-lead\"\noid = \"00D5g0000000001\"\nendpoint = \"https://a.example/x\"\n");
    let ended = form.run(&["lead", "list", "contoso"]);
    assert_eq!((ended.code, ended.out.as_str()), (64, ""));
    assert!(ended.err.contains("contoso cannot be read: a form only takes leads"), "{}", ended.err);
    let unknown = form.run(&["lead", "list", "nobody"]);
    assert!(unknown.code == 64 && unknown.err.contains("there is no destination nobody"), "{}", unknown.err);
    let azurite = Azurite::new().await;
    let none = tokio::task::block_in_place(|| with_table(&azurite).run(&["lead", "list", "contoso"]));
    assert_eq!((none.code, none.out.as_str()), (0, "0 leads\n"), "the first lead makes the table: {}", none.err);
    let text = service("LEADRELAY_TEST_AZURITE").replace("AccountKey=", "AccountKey=AAAA");
    let refused = program(&format!("kind = \"azure-table\"\nconnection_string = \"{text}\"\n"));
    let ended = refused.run(&["lead", "export", "contoso"]);
    assert!(ended.code == 1 && ended.err.contains("failed to read contoso: AuthorizationFailure"), "{}", ended.err);
    let nobody = program(
        "kind = \"salesforce\"\ninstance_url = \"http://127.0.0.1:1\"\nexternal_id_field = \"K__c\"\n\
                          [destinations.contoso.auth]\nkind = \"client-credentials\"\nclient_id = \"a\"\nclient_secret = \"b\"\n",
    );
    let ended = nobody.run(&["lead", "list", "contoso"]);
    assert!(ended.code == 69 && ended.err.contains("not_connected"), "{} {}", ended.code, ended.err);
    for wrong in [&["--stage", "x"][..], &["--offer", "x"], &["--since", "x"], &["--limit", "0"]] {
        assert_eq!(nobody.run(&[&["lead", "list", "contoso"], wrong].concat()).code, 64, "{wrong:?}");
    }
}
