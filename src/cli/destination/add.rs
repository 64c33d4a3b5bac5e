//! `leadrelay destination add`: what was copied is recognised, tried, and only then written.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{as_text as trial_as_text, ask};
use crate::app::{self, Candidate, Trial, Wanted, Written};
use crate::cli::screen::{Paint, count};
use crate::cli::{ConfigFile, Exit, Misused, tell, wait_for};
use crate::config;
use crate::connect::form::{self, Form};
use crate::connect::paste::{self, Pasted};
use crate::connect::snippet::{self, Auth, Kind};
use crate::connect::{Unusable, organisation, storage};
use crate::domain::route::{DestinationName, OfferPattern};

#[derive(Args)]
#[command(after_help = "What was copied is asked for on a terminal, without showing it where it is a secret; --from \
                        takes it from a file, or from standard input with -. Secrets are never arguments: every \
                        process of the machine could read them there.\n\n\
                        Before anything is written the destination is tried with a test lead, as by `destination \
                        test`. Then the secret goes into a file of mode 0600, and the tables into \
                        destinations.d/NAME.toml, if the configuration includes such files; else they are printed.\n\n\
                        Examples:\n  leadrelay destination add\n  \
                        leadrelay destination add contoso --from connection.txt --offer 'contoso.*'\n  \
                        leadrelay destination add contoso-form --from form.html\n  \
                        leadrelay destination add contoso-org --from secret.txt --client-id 3MVG9… \
                        --instance-url https://contoso.my.salesforce.com")]
pub struct Add {
    /// What it is to be called: [destinations.NAME]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// A file with what was copied: a connection string, an oid, a generated form, an app's secret or private key
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
    /// The offers that go there: publisher.offer, publisher.* or *
    #[arg(long, value_name = "PATTERN")]
    offer: Option<String>,
    /// Azure Table: which Azure the account is in, where the connection string does not say it
    #[arg(long, value_enum)]
    cloud: Option<Cloud>,
    /// Azure Table: another name than MarketplaceLeads
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Web-to-Lead: the form's action, where only an oid is given
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Salesforce REST: My Domain
    #[arg(long, value_name = "URL")]
    instance_url: Option<String>,
    /// Salesforce REST: the field of Lead that holds the lead key
    #[arg(long, value_name = "FIELD", default_value = EXTERNAL_ID)]
    external_id_field: String,
    /// Salesforce REST: the external client app's consumer key
    #[arg(long, value_name = "KEY")]
    client_id: Option<String>,
    /// Salesforce REST with a private key: as whom the app works
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Salesforce REST with a private key: `https://test.salesforce.com` for a sandbox org
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// In the place of what an earlier `add` wrote under this name
    #[arg(long)]
    replace: bool,
    /// Write it without having tried it
    #[arg(long)]
    no_test: bool,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Cloud {
    Public,
    China,
}

const EXTERNAL_ID: &str = "Leadrelay_Key__c";

/// What was recognised.
struct Found {
    kind: Kind,
    secret: Option<SecretString>,
    remarks: Vec<String>,
    /// The storage account's cloud was taken for granted.
    cloud_is_guessed: bool,
}

impl Found {
    fn new(kind: Kind, secret: Option<SecretString>, remarks: Vec<String>) -> Self {
        Self { kind, secret, remarks, cloud_is_guessed: false }
    }
}

/// Exits 64 for what is wrong with what was pasted, 1 or 69 for what the destination says to it.
pub fn add(add: Add, file: &ConfigFile) -> anyhow::Result<Exit> {
    let person = add.from.is_none() && std::io::stdin().is_terminal();
    let name = name(&add, person)?;
    let found = if person { asked(&add)? } else { recognised(&add, &pasted(&add)?)? };
    let offer = offer(&add, person)?;
    let wanted = Wanted { name, kind: found.kind, secret: found.secret, offer, replace: add.replace };
    let candidate = candidate(file, &wanted)?;
    let trial = match add.no_test {
        true => None,
        false => Some(wait_for(app::destination_test(&candidate.config, &wanted.name))?),
    };
    let passed = trial.as_ref().is_none_or(Trial::passed);
    let written = if passed { Some(candidate.write(&wanted)?) } else { None };
    let story = Story {
        wanted: &wanted,
        remarks: &found.remarks,
        cloud_is_guessed: found.cloud_is_guessed,
        trial: trial.as_ref(),
        written: written.as_ref(),
    };
    let mut out = std::io::stdout().lock();
    let text = if add.json { format!("{}\n", story.as_json()) } else { story.as_text(Paint::stdout()) };
    out.write_all(text.as_bytes())?;
    Ok(match &trial {
        Some(trial) if !trial.passed() && trial.unreachable() => Exit::Unreachable,
        Some(trial) if !trial.passed() => Exit::Failed,
        Some(_) | None => Exit::Done,
    })
}

fn candidate(file: &ConfigFile, wanted: &Wanted) -> anyhow::Result<Candidate> {
    let candidate = app::candidate(&file.0, wanted).map_err(|problems| {
        tell(&problems);
        Misused(format!("the configuration cannot take the destination: {}", count(problems.len(), "problem")))
    })?;
    if let Some(there) = candidate.in_the_way().filter(|_| !wanted.replace) {
        let name = &wanted.name;
        return Err(Misused(format!(
            "{} is there already: choose another name than {name}, or --replace",
            there.display()
        ))
        .into());
    }
    Ok(candidate)
}

fn name(add: &Add, person: bool) -> anyhow::Result<DestinationName> {
    let name = match &add.name {
        Some(name) => name.clone(),
        None if person => ask::line("What shall the destination be called? (a-z, 0-9, - and _) ")?,
        None => {
            return Err(Misused("how shall the destination be called? leadrelay destination add NAME".into()).into());
        }
    };
    Ok(DestinationName::parse(&name).map_err(|illegal| Misused(illegal.to_string()))?)
}

fn offer(add: &Add, person: bool) -> anyhow::Result<Option<OfferPattern>> {
    let offer = match &add.offer {
        Some(offer) => offer.clone(),
        None if person => ask::line("Which offers go there? (publisher.*, publisher.offer or *; Enter for none yet) ")?,
        None => String::new(),
    };
    match offer.as_str() {
        "" => Ok(None),
        offer => Ok(Some(OfferPattern::parse(offer).map_err(|illegal| Misused(format!("--offer is {illegal}")))?)),
    }
}

fn pasted(add: &Add) -> anyhow::Result<String> {
    let from = add.from.as_deref().unwrap_or("-");
    let read = if from == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(from) };
    Ok(read.map_err(|error| {
        Misused(format!("failed to read {}: {error}", if from == "-" { "standard input" } else { from }))
    })?)
}

/// By what it looks like, and by what the arguments say beside it.
fn recognised(add: &Add, text: &str) -> Result<Found, Misused> {
    if let Some(instance_url) = &add.instance_url {
        let client_id = add.client_id.clone();
        let app = App {
            instance_url: instance_url.trim().to_owned(),
            external_id_field: add.external_id_field.clone(),
            client_id: client_id.ok_or_else(|| Misused("give the app's consumer key as --client-id".into()))?,
            username: add.username.clone(),
            audience: add.audience.clone(),
        };
        return org(app, text);
    }
    match paste::recognise(text).map_err(refused)? {
        Pasted::Storage => table(add, text, add.cloud.map(Into::into)),
        Pasted::Form => {
            let found = form::recognise(text).map_err(refused)?;
            let form = Form { endpoint: add.endpoint.clone().unwrap_or(found.value.endpoint), ..found.value };
            Ok(Found::new(Kind::WebToLead(form), None, found.remarks))
        }
        Pasted::Oid => {
            let missing = "an oid alone does not say where to post: give the form's action as --endpoint, or paste the whole form";
            form_of(text, add.endpoint.clone().ok_or_else(|| Misused(missing.into()))?)
        }
        Pasted::PrivateKey => {
            Err(Misused("a private key is for Salesforce REST: give --instance-url, --client-id and --username".into()))
        }
    }
}

fn table(add: &Add, text: &str, cloud: Option<config::Cloud>) -> Result<Found, Misused> {
    let found = storage::recognise(text, cloud).map_err(refused)?;
    let kind = Kind::AzureTable { table: add.table.clone() };
    let cloud_is_guessed = !found.value.cloud_is_said;
    Ok(Found { cloud_is_guessed, ..Found::new(kind, Some(found.value.connection_string), found.remarks) })
}

fn form_of(oid: &str, endpoint: String) -> Result<Found, Misused> {
    let found = organisation::recognise(oid).map_err(refused)?;
    let form = Form { oid: found.value, endpoint, ..Form::default() };
    Ok(Found::new(Kind::WebToLead(form), None, found.remarks))
}

/// An external client app, its secret aside.
struct App {
    instance_url: String,
    external_id_field: String,
    client_id: String,
    username: Option<String>,
    audience: Option<String>,
}

fn org(app: App, secret: &str) -> Result<Found, Misused> {
    let App { instance_url, external_id_field, client_id, username, audience } = app;
    let (secret, auth, remarks) = if secret.trim_start().starts_with("-----BEGIN") {
        let username = username.ok_or_else(|| Misused("a private key needs --username beside it".into()))?;
        (secret.to_owned(), Auth::JwtBearer { client_id, username, audience }, Vec::new())
    } else {
        let (secret, remarks) = paste::line(secret);
        if secret.is_empty() || secret.contains(char::is_whitespace) {
            return Err(Misused("the consumer secret is one word: copy it again from the external client app".into()));
        }
        (secret, Auth::ClientCredentials { client_id }, remarks)
    };
    Ok(Found::new(Kind::Salesforce { instance_url, external_id_field, auth }, Some(secret.into()), remarks))
}

fn refused(unusable: Unusable) -> Misused {
    Misused(unusable.to_string())
}

/// What a person on a terminal has copied.
fn asked(add: &Add) -> anyhow::Result<Found> {
    if add.instance_url.is_some() {
        return asked_for_org(add);
    }
    let kinds = [
        "Azure Table, by a storage account's connection string",
        "Salesforce Web-to-Lead, by an oid or the generated form",
        "Salesforce REST, by an external client app",
    ];
    match ask::choice("Where do the leads go?", &kinds)? {
        0 => asked_for_table(add),
        1 => {
            let text = ask::line_or_form("Paste the oid, or the whole generated form: ")?;
            if paste::recognise(&text).map_err(refused)? == Pasted::Oid && add.endpoint.is_none() {
                // What is wrong with it is told before more is asked.
                organisation::recognise(&text).map_err(refused)?;
                return Ok(form_of(&text, ask::line("The address that the form posts to (its action): ")?)?);
            }
            Ok(recognised(add, &text)?)
        }
        _ => asked_for_org(add),
    }
}

fn asked_for_table(add: &Add) -> anyhow::Result<Found> {
    let text = ask::secret("Paste the connection string (it does not show), and press Enter: ")?;
    let found = table(add, text.expose_secret(), add.cloud.map(Into::into))?;
    let in_china =
        found.cloud_is_guessed && ask::yes("It does not say which Azure it is of. Is the account in Azure China?")?;
    match (in_china, found.cloud_is_guessed) {
        (true, _) => Ok(table(add, text.expose_secret(), Some(config::Cloud::China))?),
        (false, _) => Ok(Found { cloud_is_guessed: false, ..found }),
    }
}

fn asked_for_org(add: &Add) -> anyhow::Result<Found> {
    let or_ask = |given: &Option<String>, question: &str| given.clone().map_or_else(|| ask::line(question), Ok);
    let instance_url = or_ask(&add.instance_url, "My Domain (https://YOURS.my.salesforce.com): ")?;
    let external_id_field = ask::line_or("The field of Lead that holds the lead key?", &add.external_id_field)?;
    let client_id = or_ask(&add.client_id, "The external client app's consumer key: ")?;
    let username =
        or_ask(&add.username, "As whom the app works (Enter: by its consumer secret, not by a private key): ")?;
    let secret = if username.is_empty() {
        ask::secret("Paste the consumer secret (it does not show), and press Enter: ")?
    } else {
        std::fs::read_to_string(ask::line("The file with the private key, in PEM: ")?)?.into()
    };
    let username = Some(username).filter(|username| !username.is_empty());
    let app = App { instance_url, external_id_field, client_id, username, audience: add.audience.clone() };
    Ok(org(app, secret.expose_secret())?)
}

impl From<Cloud> for config::Cloud {
    fn from(cloud: Cloud) -> Self {
        match cloud {
            Cloud::Public => Self::Public,
            Cloud::China => Self::China,
        }
    }
}

/// What is told in the end.
struct Story<'a> {
    wanted: &'a Wanted,
    remarks: &'a [String],
    cloud_is_guessed: bool,
    trial: Option<&'a Trial>,
    written: Option<&'a Written>,
}

impl Story<'_> {
    fn as_text(&self, paint: Paint) -> String {
        let Wanted { name, kind, offer, .. } = self.wanted;
        let mut text = format!("{name}: {}\n", kind.name());
        let mut say = |line: &str| text.push_str(&(paint.wrapped(&format!("  {line}"), 4) + "\n"));
        self.remarks.iter().for_each(|remark| say(remark));
        let tried = self.trial.map(|trial| trial_as_text(name, trial, paint));
        tried.iter().flat_map(|tried| tried.lines().skip(1)).for_each(|line| say(line.trim_start()));
        let Some(written) = self.written else {
            self.hint().iter().for_each(|hint| say(hint));
            say(&paint.bad("nothing was written"));
            return text;
        };
        for file in &written.files {
            say(&format!("{} {}", paint.good("wrote"), file.display()));
        }
        if written.root_only {
            say("only root may read its secret: give the file to the user that runs leadrelay (chown)");
        }
        if let Some(tables) = &written.tables {
            text.push_str(&format!("\nAdd this to the configuration:\n\n{tables}"));
        }
        if offer.is_none() {
            let route = snippet::route(name, &OfferPattern::Publisher("PUBLISHER".into()));
            text.push_str(&format!("\nNo lead goes there yet. Add a route to the configuration:\n\n{route}"));
        }
        text + "\nThen: leadrelay config check && systemctl reload leadrelay (or SIGHUP)\n"
    }

    /// What an address that is not there may mean.
    fn hint(&self) -> Option<&'static str> {
        let nowhere =
            self.trial.and_then(|trial| trial.sent.code()).is_some_and(|code| code.as_str() == "no_such_host");
        (self.cloud_is_guessed && nowhere).then_some(
            "the connection string names no EndpointSuffix, so the account was looked for in public Azure; if it is in \
             Azure China, say --cloud china",
        )
    }

    fn as_json(&self) -> serde_json::Value {
        let files = self.written.map(|written| &written.files);
        json!({
            "destination": self.wanted.name.as_str(),
            "kind": self.wanted.kind.name(),
            "ok": self.written.is_some(),
            "remarks": self.remarks,
            "hint": self.hint(),
            "test": self.trial.map(|trial| super::as_json(&self.wanted.name, trial)),
            "files": files.map(|files| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>()),
            "tables": self.written.and_then(|written| written.tables.as_deref()),
        })
    }
}
