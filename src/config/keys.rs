//! What each key is for, and what stands in where it is missing.

/// What holds where a key is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It must be there.
    Required,
    /// As TOML writes it.
    Default(&'static str),
    /// Nothing, or what the words say.
    Else(&'static str),
}

use Given::{Default, Else, Required};

pub struct Explained {
    pub name: &'static str,
    pub given: Given,
    pub about: &'static str,
}

const fn key(name: &'static str, given: Given, about: &'static str) -> Explained {
    Explained { name, given, about }
}

const ON_REPEAT: Explained = key(
    "on_repeat",
    Else("as `dedupe.on_repeat`"),
    "What becomes of a repeat that brings something new, at this destination",
);
const TIMEOUT: Explained = key("timeout", Default("\"15s\""), "How long one send may take, all its requests together");
const ALLOW_PLAINTEXT: Explained = key(
    "allow_plaintext",
    Default("false"),
    "Whether personal data may go over `http://` to another machine than this one",
);
const IN_FLIGHT_MAX: Explained = key("in_flight_max", Default("4"), "Sends at once");
const KIND: Explained = key("kind", Required, "What the destination is");
const AUTH_KIND: Explained = key("kind", Required, "The way to a token");
const TOKEN_ENDPOINT: Explained =
    key("token_endpoint", Else("the cloud's own"), "Where tokens are fetched, if elsewhere: a proxy, or a test");

/// By group, in the order in which they are explained.
pub const KEYS: &[(&str, &[Explained])] = &[
    (
        "",
        &[key("include", Else("none"), "Files to read besides: `[\"destinations.d/*.toml\"]`. Not in included files")],
    ),
    (
        "broker",
        &[
            key("url", Required, "RabbitMQ: `amqp://user:password@host:5672/%2f`, or `amqps://`"),
            key("prefix", Default("\"leads\""), "Names the exchange, and begins the names of all queues"),
            key(
                "fates",
                Default("false"),
                "Whether what became of each event is told to the exchange `<prefix>.fates`",
            ),
        ],
    ),
    ("store", &[key("url", Required, "What has been delivered: `sqlite:ledger.db`. Keep this file, and back it up")]),
    (
        "office",
        &[
            key(
                "url",
                Else("beside the ledger: `ledger.letters.db`"),
                "The dead letters, which hold personal data: a file of their own",
            ),
            key(
                "ingest",
                Default("true"),
                "Whether dead letters are taken out of the queue; `false` leaves them there",
            ),
            key("retention", Default("\"30d\""), "What has been replayed or discarded is removed after this long"),
        ],
    ),
    (
        "identity",
        &[key(
            "key_secret",
            Required,
            "Leads are identified by keyed hashes under this secret, of 16 bytes or more. Changing it makes every lead a new one",
        )],
    ),
    ("http", &[key("listen", Default("\"127.0.0.1:9464\""), "Where `/metrics`, `/healthz` and `/readyz` are served")]),
    (
        "worker",
        &[key(
            "prefetch",
            Default("4000"),
            "Messages taken from the broker and not yet settled. With several destinations each holds at most a quarter",
        )],
    ),
    (
        "dedupe",
        &[
            key("on_repeat", Default("\"merge\""), "What becomes of a repeat that brings something new"),
            key("window", Default("\"forever\""), "How long a repeat is a repeat: `\"forever\"`, or 1m to 36500d"),
        ],
    ),
    (
        "retry",
        &[
            key("attempts", Default("18"), "After so many transient failures a lead is dead-lettered"),
            key("age", Default("\"7d\""), "Or after so long, the time aside that it waited for a paused destination"),
        ],
    ),
    (
        "lanes",
        &[
            key(
                "reject_fuse",
                Default("20"),
                "So many rejections in a row with one code are the destination's fault until proven otherwise",
            ),
            key("intake_fuse", Default("100"), "So many undecodable messages in a row pause the intake"),
        ],
    ),
    ("shutdown", &[key("grace", Default("\"20s\""), "How long what is in flight may take to finish at a stop")]),
    (
        "log",
        &[
            key("format", Default("\"auto\""), "`auto` is pretty on a terminal and JSON elsewhere"),
            key("level", Default("\"info\""), "What is told"),
        ],
    ),
    (
        "destinations.azure-table",
        &[
            KIND,
            key(
                "connection_string",
                Else("`account` and `auth`"),
                "As copied from the portal (Storage account, Access keys), in any of its forms",
            ),
            key("account", Else("`endpoint`"), "The storage account's name, where `auth` gives the token"),
            key("endpoint", Else("the account's, in `cloud`"), "The table endpoint, instead of `account`"),
            key("cloud", Default("\"public\""), "Which Azure, for `account` and `auth`"),
            key("table", Default("\"MarketplaceLeads\""), "The table's name; it is made if it is not there"),
            key("batch_max", Default("100"), "Leads in one send"),
            IN_FLIGHT_MAX,
            TIMEOUT,
            ON_REPEAT,
            ALLOW_PLAINTEXT,
        ],
    ),
    (
        "destinations.azure-table.auth.managed-identity",
        &[
            AUTH_KIND,
            key("client_id", Else("the machine's own identity"), "Of a user-assigned identity"),
            TOKEN_ENDPOINT,
        ],
    ),
    (
        "destinations.azure-table.auth.client-secret",
        &[
            AUTH_KIND,
            key("tenant", Required, "The directory of the app registration"),
            key("client_id", Required, "The app registration's id"),
            key("client_secret", Required, "A secret of the app registration"),
            TOKEN_ENDPOINT,
        ],
    ),
    (
        "destinations.salesforce",
        &[
            KIND,
            key("instance_url", Required, "My Domain: `https://YOURS.my.salesforce.com`"),
            key("external_id_field", Required, "On Lead: Text(64), External ID, Unique. It holds the lead key"),
            key("country_field", Default("\"Country\""), "`CountryCode` where the org has a picklist of countries"),
            key("api_version", Default("\"68.0\""), "Of the REST API, from 46.0 on"),
            key("fields", Else("none"), "The org's own fields: one of our values, or `{ value = \"…\" }`"),
            key("allow_duplicates", Default("false"), "Whether to save what an alerting duplicate rule objects to"),
            key("assign", Else("as the org does"), "Whether new leads go through the assignment rules"),
            key("api_usage_max", Default("95"), "Percent of the org's API calls of a day; from then on leads wait"),
            key("batch_max", Default("200"), "Leads in one send"),
            IN_FLIGHT_MAX,
            TIMEOUT,
            ON_REPEAT,
            ALLOW_PLAINTEXT,
        ],
    ),
    (
        "destinations.salesforce.auth.client-credentials",
        &[
            AUTH_KIND,
            key("client_id", Required, "The external client app's consumer key"),
            key("client_secret", Required, "The external client app's consumer secret"),
        ],
    ),
    (
        "destinations.salesforce.auth.jwt-bearer",
        &[
            AUTH_KIND,
            key("client_id", Required, "The external client app's consumer key"),
            key("username", Required, "As whom the app works"),
            key("private_key", Required, "PEM; the app holds its certificate"),
            key(
                "audience",
                Default("\"https://login.salesforce.com\""),
                "`https://test.salesforce.com` for a sandbox org",
            ),
        ],
    ),
    (
        "destinations.salesforce-web-to-lead",
        &[
            KIND,
            key("oid", Required, "The organisation's id: 15 or 18 characters"),
            key("endpoint", Required, "What the generated form posts to"),
            key("fields", Else("none"), "More inputs of the form: one of our values, or `{ value = \"…\" }`"),
            key("on_unknown", Default("\"dead-letter\""), "What becomes of a post that was never answered"),
            key("daily_limit", Default("500"), "What the org takes in 24 hours"),
            key("on_daily_limit", Default("\"send\""), "Beyond: the org keeps it for its next day, or it waits here"),
            key("batch_max", Default("1"), "A post is one lead"),
            key("in_flight_max", Default("8"), "Posts at once"),
            TIMEOUT,
            key("on_repeat", Else("`\"drop\"`"), "Web-to-Lead cannot change a lead, and drops repeats"),
            ALLOW_PLAINTEXT,
        ],
    ),
    (
        "routes",
        &[
            key("offer", Required, "`publisher.offer`, `publisher.*` or `*`; the most specific wins"),
            key("destination", Required, "The name of a destination"),
        ],
    ),
];
