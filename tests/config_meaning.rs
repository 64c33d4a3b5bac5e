//! What a configuration means, and that the example is one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leadrelay::config::{
    Access, Address, AzureTable, Cloud, Config, Credential, Kind, LogFormat, LogLevel, SalesforceAuth, Severity,
    Sources, Store,
};
use leadrelay::domain::allowance::{Daily, OnDailyLimit};
use leadrelay::domain::mapping::{LeadValue, MappedValue};
use leadrelay::domain::repeat::{OnRepeat, Window};
use leadrelay::domain::reply::OnUnknown;
use leadrelay::domain::retry::Limits;
use leadrelay::domain::route::Offer;

const EXAMPLE: &str = include_str!("../leadrelay.example.toml");

/// The example takes its secret from a variable, which a test should not set for the others.
fn with_secret(text: &str) -> String {
    text.replace("{ env = \"LEADRELAY_KEY_SECRET\" }", "\"0123456789abcdef\"")
}

fn parse(text: &str) -> Config {
    let text = with_secret(text);
    let folder = tempfile::tempdir().unwrap();
    for file in ["fabrikam.secret", "tailspin.secret"] {
        let secret = folder.path().join(file);
        std::fs::write(&secret, "hush\n").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    Config::parse(&folder.path().join("leadrelay.toml"), &text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// The example with every commented key switched on.
fn uncommented() -> String {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_key = |text: &str| text.starts_with('[') || text.split_once(" = ").is_some_and(|(key, _)| is_word(key));
    let uncommented = |line: &'static str| line.strip_prefix("# ").filter(|text| is_key(text)).unwrap_or(line);
    EXAMPLE.lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_a_sound_configuration_and_its_comments_show_the_defaults() {
    let plain = parse(EXAMPLE);
    assert!(plain.warnings.is_empty());
    let mut all = parse(&uncommented());
    assert_eq!(all.destinations.len(), 4);
    assert_eq!(all.warnings.len(), 3, "the other destinations have no route");
    all.destinations.truncate(1);
    all.warnings.clear();
    let show = |config: &Config| {
        let text = format!("{config:#?}");
        // The places, and the folders of the files, differ.
        text.lines()
            .filter(|line| !line.contains("line: ") && !line.contains("leadrelay.toml"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(show(&plain).replace(&folder_of(&plain), ""), show(&all).replace(&folder_of(&all), ""));
}

fn table_of(kind: &Kind) -> &AzureTable {
    match kind {
        Kind::AzureTable(azure) => azure,
        other => panic!("{other:?}"),
    }
}

fn folder_of(config: &Config) -> String {
    let Store::Sqlite(path) = &config.store;
    path.parent().unwrap().display().to_string()
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = parse(EXAMPLE);
    assert_eq!(config.worker.prefetch, 4_000);
    assert_eq!(config.retry, Limits { attempts: 18, age: Duration::from_secs(7 * 24 * 3600) });
    assert_eq!((config.lanes.reject_fuse, config.lanes.intake_fuse), (20, 100));
    assert_eq!(config.grace, Duration::from_secs(20));
    assert_eq!(config.dedupe.window, Window::Forever);
    assert_eq!(config.broker.prefix, "leads");
    assert_eq!(config.http.listen, ([127, 0, 0, 1], 9464).into());
    assert_eq!((config.log.format, config.log.level), (LogFormat::Auto, LogLevel::Info));
    let destination = config.destination("contoso-table").unwrap();
    assert_eq!((destination.batch.max, destination.batch.in_flight_max), (100, 4));
    assert_eq!((destination.timeout, destination.on_repeat), (Duration::from_secs(15), OnRepeat::Merge));
    let Kind::AzureTable(azure) = &destination.kind else { panic!("{destination:?}") };
    assert_eq!(azure.table, "MarketplaceLeads");
    assert!(
        matches!(&azure.access, Access::ConnectionString(text) if text.value.expose() == "UseDevelopmentStorage=true")
    );
    assert!(config.routes.find(&Offer::parse("ArrayNetworks.x").unwrap()).is_some());
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = EXAMPLE
        .replace("# on_repeat = \"merge\"\n# How", "on_repeat = \"drop\"\n# How")
        .replace("# window = \"forever\"", "window = \"90d\"")
        .replace("# age = \"7d\"", "age = \"1h 30m\"")
        .replace("# level = \"info\"", "level = \"debug\"")
        .replace("# listen = \"127.0.0.1:9464\"", "listen = \"[::1]:80\"");
    let config = parse(&text);
    assert_eq!(config.dedupe.window, Window::For(Duration::from_secs(90 * 24 * 3600)));
    assert_eq!(config.destinations[0].on_repeat, OnRepeat::Drop);
    assert_eq!(config.retry.age, Duration::from_secs(5400));
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.http.listen.to_string(), "[::1]:80");
    let own = parse(&text.replace("connection_string =", "on_repeat = \"merge\"\nconnection_string ="));
    assert_eq!(
        own.destinations[0].on_repeat,
        OnRepeat::Merge,
        "a destination's own word counts before the general one"
    );
}

#[test]
fn a_table_may_be_reached_by_entra_id() {
    let config = parse(&uncommented().replace("\"public\" ", "\"china\" "));
    let azure = table_of(&config.destination("fabrikam-table").unwrap().kind);
    let Access::Entra { address, cloud, credential } = &azure.access else { panic!("{azure:?}") };
    assert_eq!((address, *cloud), (&Address::Account("fabrikamleads".into()), Cloud::China));
    let Credential::ClientSecret { client_secret, .. } = credential else { panic!("{credential:?}") };
    assert_eq!(client_secret.expose(), "hush");
    assert!(!format!("{config:?}").contains("hush"));
    assert!(!format!("{config:?}").contains("UseDevelopmentStorage"));
    assert!(!format!("{config:?}").contains("guest"));

    let managed = EXAMPLE.replace(
        "connection_string = \"UseDevelopmentStorage=true\"",
        "endpoint = \"http://127.0.0.1:10002/a\"\nauth = { kind = \"managed-identity\", token_endpoint = \"http://[::1]:1/\" }",
    );
    let kind = parse(&managed).destinations[0].kind.clone();
    let azure = table_of(&kind);
    let Access::Entra { address, credential, .. } = &azure.access else { panic!("{azure:?}") };
    assert_eq!(address, &Address::Endpoint("http://127.0.0.1:10002/a".into()));
    let Credential::ManagedIdentity { client_id: None, token_endpoint } = credential else { panic!("{credential:?}") };
    assert_eq!(token_endpoint.as_deref(), Some("http://[::1]:1/"));
}

#[test]
fn relative_paths_count_from_the_folder_of_the_file() {
    let text = EXAMPLE.replace("{ env = \"LEADRELAY_KEY_SECRET\" }", "\"0123456789abcdef\"");
    let store = |file: &str, text: &str| Config::parse(Path::new(file), text).unwrap().store;
    assert_eq!(store("/etc/leadrelay/leadrelay.toml", &text), Store::Sqlite("/etc/leadrelay/ledger.db".into()));
    assert_eq!(store("leadrelay.toml", &text), Store::Sqlite(PathBuf::from("ledger.db")));
    let absolute = text.replace("sqlite:ledger.db", "sqlite:/var/lib/leadrelay/ledger.db");
    assert_eq!(store("/etc/x.toml", &absolute), Store::Sqlite("/var/lib/leadrelay/ledger.db".into()));
}

#[test]
fn a_configuration_that_cannot_be_read_says_so() {
    let problems = leadrelay::app::configuration(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "no/such.toml:1: cannot be read: No such file or directory (os error 2); \
         write one, or name another with --config or LEADRELAY_CONFIG"
    );
}

#[test]
fn a_salesforce_org_is_read_with_its_defaults_and_either_way_to_a_token() {
    let config = parse(&uncommented());
    let destination = config.destination("tailspin-org").unwrap();
    assert_eq!((destination.batch.max, destination.batch.in_flight_max), (200, 4));
    let minimal = EXAMPLE.replace(
        "[[routes]]",
        r#"
        [destinations.tailspin-org]
        kind = "salesforce"
        instance_url = "https://tailspin.my.salesforce.com"
        external_id_field = "Leadrelay_Key__c"
        auth = { kind = "jwt-bearer", client_id = "id", username = "user", private_key = "PEM" }
        fields = { Journey__c = "journey", Channel__c = { value = "Marketplace" } }
        [[routes]]"#,
    );
    let config = parse(&minimal);
    let destination = config.destination("tailspin-org").unwrap();
    assert_eq!((destination.batch.max, destination.batch.in_flight_max), (200, 4));
    let Kind::Salesforce(org) = &destination.kind else { panic!("{destination:?}") };
    assert_eq!((org.api_version.as_str(), org.country_field.as_str(), org.api_usage_max), ("68.0", "Country", 95));
    assert_eq!((org.allow_duplicates, org.assign), (false, None));
    assert_eq!(org.fields.len(), 2);
    let SalesforceAuth::JwtBearer { audience, .. } = &org.auth else { panic!("{org:?}") };
    assert_eq!(audience, "https://login.salesforce.com");
    // What only the adapter can judge is told with the line of the key.
    let text = with_secret(&minimal);
    let sources = Sources { main: Path::new("x.toml"), text: &text, beside: &[], environment: Vec::new() };
    let problems = Config::read(sources, &leadrelay::app::judge).unwrap_err();
    let problems: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().contains("auth.private_key is no RSA private key"), "{}", problems[0]);
}

#[test]
fn a_web_to_lead_form_is_read_with_its_defaults_and_as_it_is_written() {
    let config = parse(&uncommented());
    let destination = config.destination("wingtip-form").unwrap();
    assert_eq!((destination.batch.max, destination.batch.in_flight_max), (1, 8));
    let Kind::WebToLead(form) = &destination.kind else { panic!("{destination:?}") };
    assert_eq!((form.oid.as_str(), form.on_unknown), ("00D5g0000000001", OnUnknown::DeadLetter));
    assert_eq!(form.daily, Daily { limit: 500, on_limit: OnDailyLimit::Send });
    let fields: Vec<_> = form.fields.iter().map(|mapping| (mapping.field.as_str(), &mapping.value)).collect();
    let constant = MappedValue::Constant("7015g000000abcd".into());
    let expected = [
        ("00N5g000001aaaa", &MappedValue::Of(LeadValue::Journey)),
        ("00N5g000001bbbb", &MappedValue::Of(LeadValue::Stage)),
        ("Campaign_ID", &constant),
    ];
    assert_eq!(fields, expected);
    let own = uncommented()
        .replace("\"00D5g0000000001\"", "\"00D5g0000000001EAA\"")
        .replace("on_unknown = \"dead-letter\"", "on_unknown = \"resend\"")
        .replace("daily_limit = 500", "daily_limit = 40")
        .replace("on_daily_limit = \"send\"", "on_daily_limit = \"wait\"");
    let Kind::WebToLead(form) = parse(&own).destination("wingtip-form").unwrap().kind.clone() else { panic!() };
    assert_eq!((form.oid.as_str(), form.on_unknown), ("00D5g0000000001EAA", OnUnknown::Resend));
    assert_eq!(form.daily, Daily { limit: 40, on_limit: OnDailyLimit::Wait });
}
