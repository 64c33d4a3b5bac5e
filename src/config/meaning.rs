//! From the tables of the file to the configuration. A part that is wrong is noted and replaced by its default, so that
//! reading goes on to the next.

use std::collections::HashSet;
use std::time::Duration;

use super::destination::{self, Destination};
use super::files::Include;
use super::notes::Notes;
use super::section::{Placed, Section};
use super::spelling::nearest;
use super::{
    Broker, Config, Dedupe, Http, Judge, KEY_SECRET_MIN, Lanes, Log, LogFormat, LogLevel, Office, Part, Secret, Store,
    Worker,
};
use crate::domain::repeat::{OnRepeat, Window};
use crate::domain::retry::Limits;
use crate::domain::route::{DestinationName, OfferPattern, Routes};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub const REPEATS: [(&str, OnRepeat); 2] = [("merge", OnRepeat::Merge), ("drop", OnRepeat::Drop)];

/// `None` if something that is required is missing or wrong; that has been noted then. What only an adapter can tell of
/// a part, `judge` tells, also where another part is wrong.
pub fn of(mut root: Section<'_>, include: Vec<Include>, notes: &Notes, judge: Judge<'_>) -> Option<Config> {
    // Its files have been read; it is a key all the same.
    root.texts("include");
    let broker = broker(root.section("broker"));
    let store = store(root.section("store"));
    let office = office(root.section("office"), store.as_ref());
    let key_secret = identity(root.section("identity"));
    let http = http(root.section("http"));
    let prefetch = worker(root.section("worker"));
    let (on_repeat, dedupe) = dedupe(root.section("dedupe"));
    let retry = retry(root.section("retry"));
    let lanes = lanes(root.section("lanes"));
    let grace = shutdown(root.section("shutdown"));
    let log = log(root.section("log"));
    let (typed, destinations) = destinations(&mut root, on_repeat);
    let routes = routes(&mut root, &typed);
    check_shares(&root, &prefetch, &typed);
    root.finish();
    let parts = broker.iter().map(Part::Broker).chain(destinations.iter().map(Part::Destination));
    parts.flat_map(judge).for_each(|problem| notes.note(problem));
    Some(Config {
        include,
        broker: broker?,
        store: store?,
        office: office?,
        key_secret: key_secret?,
        http,
        worker: Worker { prefetch: prefetch.value as u16 },
        dedupe,
        retry,
        lanes,
        grace,
        log,
        destinations,
        routes,
        warnings: Vec::new(),
    })
}

fn broker(mut section: Section<'_>) -> Option<Broker> {
    let mend = "write url = \"amqp://user:password@host:5672/%2f\"";
    let missing = !section.has("url");
    let url = section.secret("url");
    if missing {
        section.missing("url", mend);
    }
    if let Some(url) = &url
        && !["amqp://", "amqps://"].iter().any(|scheme| url.value.expose().starts_with(scheme))
    {
        section.note(&url.place, "url", "is no AMQP address", mend);
    }
    let prefix = section.text("prefix");
    let legal = |text: &str| {
        let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=64).contains(&text.len()) && text.chars().all(character) && !text.starts_with("amq.")
    };
    if let Some(prefix) = prefix.as_ref().filter(|prefix| !legal(&prefix.value)) {
        let mend = "write 1 to 64 of A-Z a-z 0-9 - _ and ., not beginning with amq.";
        section.note(&prefix.place, "prefix", "is no beginning of a queue's name", mend);
    }
    let fates = section.boolean("fates").unwrap_or(false);
    section.finish();
    Some(Broker { url: url?, prefix: prefix.map_or_else(|| "leads".into(), |prefix| prefix.value), fates })
}

fn store(mut section: Section<'_>) -> Option<Store> {
    let mend = "write url = \"sqlite:ledger.db\"";
    let url = section.text("url");
    if url.is_none() {
        section.missing("url", mend);
    }
    let store = url.and_then(|url| store_url(&section, url, mend));
    section.finish();
    store.map(|store| store.value)
}

fn store_url(section: &Section<'_>, url: Placed<String>, mend: &str) -> Option<Placed<Store>> {
    match url.value.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() && !path.starts_with(':') => {
            let path = Placed { value: path.to_owned(), place: url.place.clone() };
            Some(Placed { value: Store::Sqlite(section.resolve(&path)), place: url.place })
        }
        _ => {
            section.note(&url.place, "url", "is no store that we know", mend);
            None
        }
    }
}

/// Letters hold personal data, and the ledger none: they are never kept in one file.
fn office(mut section: Section<'_>, ledger: Option<&Store>) -> Option<Office> {
    let mend = "write url = \"sqlite:ledger.letters.db\", or leave it out";
    let url = section.text("url").and_then(|url| store_url(&section, url, mend));
    if let Some(url) = url.as_ref().filter(|url| Some(&url.value) == ledger) {
        section.note(&url.place, "url", "is the ledger's file, which must hold no personal data", mend);
    }
    let beside = |Store::Sqlite(ledger): &Store| Store::Sqlite(ledger.with_extension("letters.db"));
    let store = url.map(|url| url.value).or_else(|| ledger.map(beside));
    let ingest = section.boolean("ingest").unwrap_or(true);
    let retention = section.duration("retention", 60 * MINUTE..=3_650 * DAY, 30 * DAY);
    section.finish();
    Some(Office { store: store?, ingest, retention })
}

fn identity(mut section: Section<'_>) -> Option<Secret> {
    let missing = !section.has("key_secret");
    let secret = section.secret("key_secret");
    if missing {
        section.missing("key_secret", "write key_secret = { env = \"LEADRELAY_KEY_SECRET\" }");
    }
    if let Some(secret) = &secret
        && secret.value.expose().len() < KEY_SECRET_MIN
    {
        let what = format!("is shorter than {KEY_SECRET_MIN} bytes");
        section.note(&secret.place, "key_secret", what, "make one with: openssl rand -hex 32");
    }
    section.finish();
    secret.map(|secret| secret.value)
}

fn http(mut section: Section<'_>) -> Http {
    let default = "127.0.0.1:9464";
    let listen = section.text("listen");
    let address = listen.as_ref().map_or(default, |listen| &listen.value).parse();
    if let (Some(listen), Err(_)) = (&listen, &address) {
        let mend = format!("write an IP address and a port: \"{default}\"");
        section.note(&listen.place, "listen", "is no address to listen on", mend);
    }
    section.finish();
    Http { listen: address.unwrap_or_else(|_| ([127, 0, 0, 1], 9464).into()) }
}

fn worker(mut section: Section<'_>) -> Placed<u32> {
    let prefetch = section.integer("prefetch", 1..=u16::MAX.into(), 4_000);
    section.finish();
    prefetch
}

fn dedupe(mut section: Section<'_>) -> (OnRepeat, Dedupe) {
    let on_repeat = section.choice("on_repeat", &REPEATS).unwrap_or_default();
    let window = section.text("window").filter(|window| window.value != "forever");
    let window = window.and_then(|window| section.duration_of("window", &window, MINUTE..=36_500 * DAY));
    section.finish();
    (on_repeat, Dedupe { window: window.map_or(Window::Forever, Window::For) })
}

fn retry(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let attempts = section.integer("attempts", 1..=1_000, default.attempts).value;
    let age = section.duration("age", MINUTE..=365 * DAY, default.age);
    section.finish();
    Limits { attempts, age }
}

fn lanes(mut section: Section<'_>) -> Lanes {
    let reject_fuse = section.integer("reject_fuse", 2..=10_000, 20).value;
    let intake_fuse = section.integer("intake_fuse", 2..=10_000, 100).value;
    section.finish();
    Lanes { reject_fuse, intake_fuse }
}

fn shutdown(mut section: Section<'_>) -> Duration {
    let grace = section.duration("grace", SECOND..=10 * MINUTE, 20 * SECOND);
    section.finish();
    grace
}

fn log(mut section: Section<'_>) -> Log {
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let format = section.choice("format", &formats).unwrap_or_default();
    let level = section.choice("level", &levels).unwrap_or_default();
    section.finish();
    Log { format, level }
}

/// What is known of a destination even if something else is wrong with it: a route to it is no problem of its own then.
struct Typed {
    name: Placed<String>,
    /// How many leads it may have in flight.
    in_flight: usize,
}

fn destinations(root: &mut Section<'_>, on_repeat: OnRepeat) -> (Vec<Typed>, Vec<Destination>) {
    let mut typed = Vec::new();
    let mut destinations = Vec::new();
    for (name, mut section) in root.sections("destinations") {
        let batch = destination::batch(&mut section);
        typed.push(Typed { name: name.clone(), in_flight: batch.max * batch.in_flight_max });
        destinations.extend(destination::of(&name, section, batch, on_repeat));
    }
    if typed.is_empty() {
        root.note(
            &root.place,
            "destinations",
            "is empty",
            "write one: [destinations.NAME], or let `leadrelay destination add` write it",
        );
    }
    (typed, destinations)
}

fn routes(root: &mut Section<'_>, typed: &[Typed]) -> Routes {
    let mut routes = Routes::default();
    let mut patterns = HashSet::new();
    let mut used = HashSet::new();
    let sections = root.list("routes");
    if sections.is_empty() {
        let mend = "write one: [[routes]] with an offer and a destination";
        root.note(&root.place, "routes", "is empty", mend);
    }
    let none = sections.is_empty();
    for mut section in sections {
        let pattern = offer_pattern(&mut section);
        if let Some(pattern) = pattern.as_ref().filter(|pattern| !patterns.insert(pattern.value.clone())) {
            section.note(&pattern.place, "offer", "is the same as in an earlier route", "keep one of the two");
        }
        if let Some(destination) = route_destination(&mut section, typed) {
            if let (Some(pattern), Ok(name)) = (pattern, DestinationName::parse(&destination)) {
                // A second route for a pattern has been noted: there will be no configuration to use it.
                let _ = routes.add(pattern.value, name);
            }
            used.insert(destination);
        }
        section.finish();
    }
    for Typed { name, .. } in typed.iter().filter(|typed| !none && !used.contains(&typed.name.value)) {
        let key = format!("destinations.{}", name.value);
        root.warn(&name.place, &key, "has no route", "write one, or take the destination away");
    }
    routes
}

fn offer_pattern(section: &mut Section<'_>) -> Option<Placed<OfferPattern>> {
    let mend = "write \"publisher.offer\", \"publisher.*\" or \"*\"";
    let missing = !section.has("offer");
    let Some(Placed { value, place }) = section.text("offer") else {
        if missing {
            section.missing("offer", mend);
        }
        return None;
    };
    match OfferPattern::parse(&value) {
        Ok(value) => Some(Placed { value, place }),
        Err(_) => {
            section.note(&place, "offer", "is no offer pattern", mend);
            None
        }
    }
}

fn route_destination(section: &mut Section<'_>, typed: &[Typed]) -> Option<String> {
    let known = || typed.iter().map(|typed| typed.name.value.as_str());
    let missing = !section.has("destination");
    let Some(Placed { value, place }) = section.text("destination") else {
        if missing {
            section.missing("destination", "write the name of one of the destinations");
        }
        return None;
    };
    if known().any(|name| name == value) {
        return Some(value);
    }
    let mend = match nearest(&value, known()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
    };
    section.note(&place, "destination", "is no destination of this file", mend);
    None
}

pub fn lane_share(prefetch: u16, destinations: usize) -> usize {
    usize::from(prefetch) / lane_divisor(destinations)
}

fn lane_divisor(destinations: usize) -> usize {
    if destinations > 1 { 4 } else { 1 }
}

/// A lane that may hold fewer messages than it can have in flight would never fill its batches.
fn check_shares(root: &Section<'_>, prefetch: &Placed<u32>, typed: &[Typed]) {
    let share = lane_share(prefetch.value as u16, typed.len());
    for Typed { name, in_flight } in typed.iter().filter(|typed| typed.in_flight > share) {
        let key = format!("destinations.{}", name.value);
        let what = format!(
            "may have {in_flight} leads in flight (batch_max × in_flight_max), but its share of worker.prefetch is {share}"
        );
        let mend = match in_flight * lane_divisor(typed.len()) {
            enough if enough <= usize::from(u16::MAX) => format!("set worker.prefetch to {enough} or more"),
            _ => "lower batch_max or in_flight_max".to_owned(),
        };
        root.note(&name.place, &key, what, mend);
    }
}
