//! `leadrelay sandbox salesforce`.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::screen::Paint;
use super::{Exit, Misused};
use crate::app::sandbox::{
    self, CustomField, DuplicateRule, ExternalId, Fault, Options, Sandbox, Settings, StartError,
};
use crate::app::sandbox::{TooLong, WebToLeadSettings};
use crate::clock::Clock;

#[derive(Subcommand)]
pub enum Command {
    /// Serve Web-to-Lead and REST as Salesforce does, from memory, to try and to rehearse failures
    #[command(after_help = EXAMPLES)]
    Salesforce(Box<Salesforce>),
}

const EXAMPLES: &str = "Examples:
  leadrelay sandbox salesforce
  leadrelay sandbox salesforce --tls --cert-out sandbox.pem
  leadrelay sandbox salesforce --fault web-to-lead:drop-after:share=0.1 --fault collections:status=503:next=3
  leadrelay sandbox salesforce --external-id Leadrelay_Key__c:32 --field Region__c:40 --require Phone
  leadrelay sandbox salesforce --duplicate-rule block --api-quota 100 --web-to-lead-limit 20

A fault is KIND:WHAT[:next=N | :share=0-1]. Kinds: any, web-to-lead, token, collections, rest.
What: status=N[:code=CODE][:header=NAME=VALUE][:done][:body=TEXT], slow=250ms, drop-before, drop-after,
half-body, lock[:keys=A,B]. The page at / shows how to set them while it runs.";

#[derive(Args)]
pub struct Salesforce {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089")]
    listen: SocketAddr,
    /// Serve https, under a self-signed certificate made on the spot
    #[arg(long)]
    tls: bool,
    /// Where to write that certificate, for clients to trust
    #[arg(long, value_name = "FILE", requires = "tls", default_value = "leadrelay-sandbox.pem")]
    cert_out: PathBuf,
    /// The organisation's id, in 15 characters
    #[arg(long, default_value_t = Settings::default().oid)]
    oid: String,
    #[arg(long, value_name = "ID", default_value_t = Settings::default().client_id, help_heading = "Tokens")]
    client_id: String,
    #[arg(long, value_name = "SECRET", default_value_t = Settings::default().client_secret, help_heading = "Tokens")]
    client_secret: String,
    /// Verify signed assertions by this RSA certificate or public key (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Tokens")]
    client_key: Option<PathBuf>,
    /// Whose name assertions bear
    #[arg(long, value_name = "NAME", default_value_t = Settings::default().username, help_heading = "Tokens")]
    username: String,
    /// A session idle for so many seconds ends
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().session_seconds, help_heading = "Tokens")]
    session: u64,
    /// The external-id field, and its length
    #[arg(long, value_name = "NAME__c[:LENGTH]", default_value = "Leadrelay_Key__c:64", help_heading = "Fields")]
    external_id: CustomField,
    /// Let several leads have one external id
    #[arg(long, help_heading = "Fields")]
    not_unique: bool,
    /// Tell ABC and abc apart
    #[arg(long, help_heading = "Fields")]
    case_sensitive: bool,
    /// A further text field; may be repeated
    #[arg(long = "field", value_name = "NAME__c[:LENGTH]", help_heading = "Fields")]
    fields: Vec<CustomField>,
    /// A field that a new lead must have, beside LastName and Company; may be repeated
    #[arg(long = "require", value_name = "FIELD", help_heading = "Fields")]
    required: Vec<String>,
    /// What happens to a lead whose email another has
    #[arg(long, value_enum, default_value = "off", help_heading = "Rules and limits")]
    duplicate_rule: DuplicateRuleWord,
    /// API calls in 24 hours
    #[arg(long, value_name = "CALLS", default_value_t = Settings::default().api_daily, help_heading = "Rules and limits")]
    api_quota: u64,
    /// Leads that the org has room for
    #[arg(long, value_name = "LEADS", default_value_t = Settings::default().storage, help_heading = "Rules and limits")]
    storage: usize,
    /// Web-to-Lead: leads in 24 hours; what comes beyond is pending
    #[arg(long, value_name = "LEADS", default_value = "500", help_heading = "Rules and limits")]
    web_to_lead_limit: usize,
    /// Web-to-Lead: how many may be pending; what comes beyond is rejected
    #[arg(long, value_name = "LEADS", default_value = "50000", help_heading = "Rules and limits")]
    pending_limit: usize,
    /// Web-to-Lead: what becomes of a post with too long a value
    #[arg(long, value_enum, default_value = "drop", help_heading = "Rules and limits")]
    too_long: TooLongWord,
    /// Web-to-Lead: require a reCAPTCHA, so that every post is accepted and dropped
    #[arg(long, help_heading = "Rules and limits")]
    captcha: bool,
    /// What goes wrong; may be repeated
    #[arg(long = "fault", value_name = "FAULT", help_heading = "Faults")]
    faults: Vec<Fault>,
    /// Decides which requests a share of faults hits; printed if it is not given
    #[arg(long, value_name = "NUMBER", help_heading = "Faults")]
    seed: Option<u64>,
    /// Print one JSON object once it listens
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DuplicateRuleWord {
    /// Nothing
    Off,
    /// Refused, unless the caller says allowSave
    Alert,
    /// Refused
    Block,
}

#[derive(Clone, Copy, ValueEnum)]
enum TooLongWord {
    /// Accepted, and no lead is made
    Drop,
    Reject,
    Cut,
}

pub fn run(command: Command) -> anyhow::Result<Exit> {
    let Command::Salesforce(arguments) = command;
    let options = arguments.options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (seed, has_key) = (options.seed, options.client_key.is_some());
    let served = runtime.block_on(sandbox::run(options, |sandbox| arguments.announce(sandbox, seed, has_key)));
    served.map(|()| Exit::Done).map_err(|error| match error.downcast::<StartError>() {
        Ok(error @ (StartError::Settings(_) | StartError::ClientKey)) => Misused(error.to_string()).into(),
        Ok(error) => error.into(),
        Err(error) => error,
    })
}

impl Salesforce {
    fn options(&self) -> anyhow::Result<Options> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|error| Misused(format!("failed to read {}: {error}", path.display())))
        };
        Ok(Options {
            listen: self.listen,
            tls: self.tls,
            clock: Clock::System,
            seed: self.seed.unwrap_or_else(|| rand::random::<u32>().into()),
            external_field: self.external_id.clone(),
            external_id: ExternalId { unique: !self.not_unique, case_sensitive: self.case_sensitive },
            custom_fields: self.fields.clone(),
            client_key: self.client_key.as_ref().map(read).transpose()?,
            settings: self.settings(),
            faults: self.faults.clone(),
        })
    }

    fn settings(&self) -> Settings {
        Settings {
            oid: self.oid.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            username: self.username.clone(),
            session_seconds: self.session,
            api_daily: self.api_quota,
            storage: self.storage,
            required: self.required.clone(),
            duplicate_rule: match self.duplicate_rule {
                DuplicateRuleWord::Off => DuplicateRule::Off,
                DuplicateRuleWord::Alert => DuplicateRule::Alert,
                DuplicateRuleWord::Block => DuplicateRule::Block,
            },
            web_to_lead: WebToLeadSettings {
                daily: self.web_to_lead_limit,
                pending: self.pending_limit,
                too_long: match self.too_long {
                    TooLongWord::Drop => TooLong::Drop,
                    TooLongWord::Reject => TooLong::Reject,
                    TooLongWord::Cut => TooLong::Cut,
                },
                captcha: self.captcha,
                ..Settings::default().web_to_lead
            },
        }
    }

    /// Says what is served, and what to write into leadrelay.toml.
    fn announce(&self, sandbox: &Sandbox, seed: u64, has_key: bool) -> anyhow::Result<()> {
        let certificate = match sandbox.certificate() {
            None => None,
            Some(pem) => {
                let path = std::path::absolute(&self.cert_out)?;
                fs::write(&path, pem).with_context(|| format!("failed to write {}", path.display()))?;
                Some(path)
            }
        };
        let mut out = std::io::stdout().lock();
        let url = sandbox.url();
        if self.json {
            let certificate = certificate.as_deref().map(Path::display).map(|path| path.to_string());
            writeln!(out, "{}", json!({ "url": url, "seed": seed, "certificate": certificate }))?;
        } else {
            write!(out, "{}", self.welcome(&url, seed, has_key, certificate.as_deref()))?;
        }
        if !sandbox.address().ip().is_loopback() {
            let paint = Paint::stdout();
            eprintln!("{}: whoever reaches this port can read every lead in it", paint.doubtful("warning"));
        }
        Ok(out.flush()?)
    }

    fn welcome(&self, url: &str, seed: u64, has_key: bool, certificate: Option<&Path>) -> String {
        let paint = Paint::stdout();
        let Self { oid, client_id, client_secret, external_id, .. } = self;
        let external = &external_id.name;
        let mut text = format!(
            "{title}\n  {url}/                 leads, posts and faults, for the browser\n  \
             {url}/servlet/servlet.WebToLead\n  {url}/services/oauth2/token\n  {url}/services/data/\n",
            title = paint.good("Salesforce, rehearsed, listens"),
        );
        text += &format!("seed {seed}\n");
        for fault in &self.faults {
            text += &format!("fault {fault}\n");
        }
        if let Some(path) = certificate {
            let path = path.display();
            text += &format!("certificate {path}: run the worker with SSL_CERT_FILE={path}\n");
        }
        let key = match has_key {
            true => "# or, signed: kind = \"jwt-bearer\", private_key = { file = \"client.key\" } and username\n",
            false => "",
        };
        text += &format!(
            "\nFor leadrelay.toml, by form:\n\n\
             [destinations.sandbox-form]\nkind = \"salesforce-web-to-lead\"\n\
             endpoint = \"{url}/servlet/servlet.WebToLead\"\noid = \"{oid}\"\n\n\
             or by REST:\n\n\
             [destinations.sandbox-rest]\nkind = \"salesforce\"\ninstance_url = \"{url}\"\n\
             external_id_field = \"{external}\"\n[destinations.sandbox-rest.auth]\nkind = \"client-credentials\"\n\
             client_id = \"{client_id}\"\nclient_secret = \"{client_secret}\"\n{key}\n\
             and a route:\n\n[[routes]]\noffer = \"*\"\ndestination = \"sandbox-rest\"\n\n{aside}\n",
            aside = paint.aside("It keeps everything in memory. Ctrl-C ends it."),
        );
        text
    }
}
