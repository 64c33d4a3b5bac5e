//! A configuration is read from a file, from those that it includes, and from the environment; every problem is told with
//! the place where it was written.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use leadrelay::config::{Config, Kind, Problem, Sources, Store};
use leadrelay::domain::route::Offer;
use tempfile::TempDir;

const MAIN: &str = r#"include = ["destinations.d/*.toml"]
[broker]
url = "amqp://guest:guest@127.0.0.1:5672/%2f"
[store]
url = "sqlite:ledger.db"
[identity]
key_secret = "0123456789abcdef"
"#;

fn destination(name: &str) -> String {
    format!(
        "[destinations.{name}]\nkind = \"azure-table\"\nconnection_string = \"UseDevelopmentStorage=true\"\n\
         [[routes]]\noffer = \"{name}.*\"\ndestination = \"{name}\"\n"
    )
}

/// A folder with these files.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let main = self.path("leadrelay.toml");
        let text = std::fs::read_to_string(&main).unwrap();
        let told = |problems: Vec<Problem>| problems.iter().map(|problem| self.without(problem)).collect();
        read(&main, &text, environment).map_err(told)
    }

    fn without(&self, problem: &Problem) -> String {
        problem.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn read(main: &Path, text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sources = Sources { main, text, beside: &[], environment: environment.collect() };
    Config::read(sources, &leadrelay::app::judge)
}

#[test]
fn included_files_are_one_configuration_with_the_first() {
    let (alpha, beta) = (destination("alpha"), destination("beta"));
    let folder = Folder::new(&[
        ("leadrelay.toml", MAIN),
        ("destinations.d/alpha.toml", &alpha),
        ("destinations.d/beta.toml", &beta),
        ("destinations.d/.beta.toml.swp", "not TOML"),
        ("destinations.d/beta.secret", "not TOML"),
        ("destinations.d/old/gamma.toml", "not TOML"),
    ]);
    let config = folder.read(&[]).unwrap();
    assert_eq!(config.destinations.len(), 2);
    for name in ["alpha", "beta"] {
        let offer = Offer::parse(&format!("{name}.x")).unwrap();
        assert_eq!(config.routes.find(&offer).map(|found| found.as_str()), Some(name));
    }
    let would_be_read = |file: &str| config.include[0].matches(&folder.path(file));
    assert!(would_be_read("destinations.d/new.toml"));
    assert!(!would_be_read("destinations.d/new.secret") && !would_be_read("new.toml"));
}

#[test]
fn paths_count_from_the_folder_of_the_file_that_names_them() {
    let included = destination("alpha").replace("\"UseDevelopmentStorage=true\"", "{ file = \"alpha.secret\" }");
    let folder = Folder::new(&[
        ("leadrelay.toml", MAIN),
        ("destinations.d/alpha.toml", &included),
        ("destinations.d/alpha.secret", "UseDevelopmentStorage=true\n"),
    ]);
    let config = folder.read(&[("LEADRELAY__STORE__URL", "sqlite:elsewhere/ledger.db")]).unwrap();
    assert_eq!(config.store, Store::Sqlite(folder.path("elsewhere/ledger.db")));
}

#[test]
fn problems_of_all_files_and_of_the_environment_are_told_at_once_each_with_its_place() {
    let alpha = destination("alpha").replace("UseDevelopmentStorage=true", "AccountName=canary");
    let beta = destination("beta").replace("kind", "color = 1\nkind") + "[http]\nlisten = \"127.0.0.1:1\"\n";
    let folder = Folder::new(&[
        ("leadrelay.toml", &MAIN.replace("[store]", "prefix = \"amq.x\"\n[http]\nlisten = \"127.0.0.1:2\"\n[store]")),
        ("destinations.d/alpha.toml", &alpha),
        ("destinations.d/beta.toml", &(beta + "[destinations.alpha]\nkind = \"azure-table\"\n")),
    ]);
    let environment = [("LEADRELAY__WORKER__PREFETCH", "many"), ("LEADRELAY__HTTP__LISTN", "127.0.0.1:3")];
    let expected = [
        "leadrelay.toml:4: broker.prefix is no beginning of a queue's name; write 1 to 64 of A-Z a-z 0-9 - _ and ., not beginning with amq.",
        "destinations.d/alpha.toml:3: destinations.alpha.connection_string the connection string holds no AccountKey",
        "destinations.d/beta.toml:2: destinations.beta.color is not a key that we know; known here: batch_max, in_flight_max, on_repeat, timeout, allow_plaintext, kind, table, connection_string",
        "destinations.d/beta.toml:9: http.listen was set before, at leadrelay.toml:6; keep one of the two",
        "destinations.d/beta.toml:11: destinations.alpha.kind was set before, at destinations.d/alpha.toml:2; keep one of the two",
        "LEADRELAY__HTTP__LISTN: http.listn is not a key that we know; did you mean listen?",
        "LEADRELAY__WORKER__PREFETCH: worker.prefetch is a text, expected an integer",
    ];
    let told = folder.read(&environment).unwrap_err();
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        let told = told.replace(&folder.0.path().display().to_string(), "").replace("at /", "at ");
        match expected.split_once(" the connection string ") {
            Some((place, _)) => assert!(told.starts_with(place) && !told.contains("canary"), "{told}"),
            None => assert_eq!(told, expected),
        }
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_wherever_it_is_and_nothing_is_guessed_from_the_rest() {
    let folder = Folder::new(&[
        ("leadrelay.toml", MAIN),
        ("destinations.d/alpha.toml", "[destinations.alpha\n"),
        ("destinations.d/beta.toml", "x = \n"),
    ]);
    let told = folder.read(&[]).unwrap_err();
    assert!(told.iter().any(|told| told.starts_with("destinations.d/alpha.toml:1: is not TOML here: ")), "{told:#?}");
    assert!(told.iter().any(|told| told.starts_with("destinations.d/beta.toml:1: is not TOML here: ")), "{told:#?}");
    assert!(told.iter().all(|told| told.contains("is not TOML here")), "{told:#?}");
}

#[test]
fn an_included_file_that_is_not_there_or_includes_itself_is_told() {
    let main = MAIN.replace("\"destinations.d/*.toml\"", "\"one.toml\", \"two.toml\", \"none/*.toml\", 7");
    let one = format!("include = \"x.toml\"\n{}", destination("alpha"));
    let folder = Folder::new(&[("leadrelay.toml", &main), ("one.toml", &one)]);
    let told = folder.read(&[]).unwrap_err();
    assert_eq!(
        told,
        [
            "leadrelay.toml:1: include is a TOML integer, expected strings: [\"…\", \"…\"]",
            "leadrelay.toml:1: include names a file that is not there; write it, or take its name out",
            "one.toml:1: include stands in an included file; name all files in the first one",
        ]
    );
}

#[test]
fn a_variable_overrides_a_key_whatever_its_type_and_its_name() {
    let text = format!(
        "{MAIN}{}{}",
        destination("contoso-table"),
        "[destinations.org__1]\nkind = \"salesforce\"\ninstance_url = \"https://a.my.salesforce.com\"\n\
         external_id_field = \"Leadrelay_Key__c\"\nauth = { kind = \"client-credentials\", client_id = \"x\", \
         client_secret = { env = \"NO_SUCH\" } }\nfields = { Stage__c = \"stage\", Channel__c = { value = \"a\" } }\n"
    );
    let folder = Folder::new(&[("leadrelay.toml", &text), ("secret", "from a file\n")]);
    let config = folder.read(&[
        ("LEADRELAY__INCLUDE", "none/*.toml"),
        ("LEADRELAY__HTTP__LISTEN", "[::1]:80"),
        ("LEADRELAY__WORKER__PREFETCH", "8000"),
        ("LEADRELAY__RETRY__AGE", "3d"),
        ("LEADRELAY__DESTINATIONS__CONTOSO_TABLE__TABLE", "Other"),
        ("LEADRELAY__DESTINATIONS__CONTOSO_TABLE__ALLOW_PLAINTEXT", "true"),
        ("LEADRELAY__DESTINATIONS__ORG__1__AUTH__CLIENT_SECRET__FILE", "secret"),
        ("LEADRELAY__DESTINATIONS__ORG__1__FIELDS__STAGE__C", "journey"),
        ("LEADRELAY__DESTINATIONS__ORG__1__FIELDS__CHANNEL__C__VALUE", "b"),
        ("LEADRELAY__ROUTES", "[{ offer = \"*\", destination = \"org__1\" }]"),
        ("LEADRELAY_CONFIG", "not an override"),
    ]);
    let config = config.unwrap_or_else(|told| panic!("{told:#?}"));
    assert_eq!(config.http.listen.to_string(), "[::1]:80");
    assert_eq!((config.worker.prefetch, config.retry.age.as_secs()), (8_000, 3 * 86_400));
    assert!(config.destination("contoso-table").unwrap().allow_plaintext);
    let Kind::AzureTable(table) = &config.destination("contoso-table").unwrap().kind else { panic!() };
    assert_eq!(table.table, "Other");
    let Kind::Salesforce(org) = &config.destination("org__1").unwrap().kind else { panic!() };
    let leadrelay::config::SalesforceAuth::ClientCredentials { client_secret, .. } = &org.auth else { panic!() };
    assert_eq!(client_secret.expose(), "from a file");
    let fields = format!("{:?}", org.fields);
    assert!(fields.contains("Of(Journey)") && fields.contains("Constant(\"b\")"), "{fields}");
    let found = config.routes.find(&Offer::parse("contoso-table.x").unwrap());
    assert_eq!(found.map(|name| name.as_str()), Some("org__1"));
}

#[test]
fn a_variable_that_overrides_nothing_is_told_by_its_name_and_never_by_its_value() {
    let text = format!("{MAIN}{}{}", destination("a-b"), destination("a_b"));
    let folder = Folder::new(&[("leadrelay.toml", &text)]);
    let wrong = [
        ("LEADRELAY__", "canary"),
        ("LEADRELAY__DESTINATIONS__A_B__TABLE", "canary"),
        ("LEADRELAY__DESTINATIONS__C__TABLE", "canary"),
        ("LEADRELAY__HTTP", "canary"),
        ("LEADRELAY__LOG__LEVEL", "canary"),
        ("LEADRELAY__ROUTES", "canary"),
        ("LEADRELAY__SHUTDOWN__GRACE", ""),
    ];
    let expected = [
        "LEADRELAY__: names no key; write it as LEADRELAY__HTTP__LISTEN, for http.listen",
        "LEADRELAY__DESTINATIONS__A_B__TABLE: destinations is not told apart; a-b and a_b are alike to an environment variable: write it in the file",
        "LEADRELAY__DESTINATIONS__C__TABLE: destinations has nothing of this name in the files; write it in a file first; there are: a-b, a_b",
        "LEADRELAY__HTTP: http is a text, expected a table: [http]",
        "LEADRELAY__LOG__LEVEL: log.level is none of the words that it can be; write \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
        "LEADRELAY__ROUTES: routes is no list as TOML writes it; write it as [{ offer = \"publisher.*\", destination = \"name\" }], or [\"destinations.d/*.toml\"]",
        "LEADRELAY__SHUTDOWN__GRACE: shutdown.grace is not a duration; write it as \"20s\", \"5m\" or \"7d\"",
    ];
    assert_eq!(folder.read(&wrong).unwrap_err(), expected);
}
