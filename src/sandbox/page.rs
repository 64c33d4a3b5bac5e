//! The page at `/`: what a person wants to see, and how to change it. Everything on it is escaped; it runs no script.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use jiff::Timestamp;
use serde_json::Value;

use super::org::{Lead, Org, Origin};
use super::routes::Desk;
use super::state::State;
use super::web_to_lead::{Fate, Post};

/// Rows of a table; `/_sandbox/leads` and `/_sandbox/posts` have all.
const ROWS: usize = 50;

pub async fn page(Shared(desk): Shared<Arc<Desk>>, headers: HeaderMap) -> impl IntoResponse {
    let html = render(&desk.state(), &desk.url(&headers));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html))
}

pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn render(state: &State, url: &str) -> String {
    let mut html = String::from(HEAD);
    // Writing to a string cannot fail.
    let _ = write!(html, "<p>{}</p>", standing(state));
    let _ = write!(html, "<h2>Leads</h2>{}", leads(&state.org));
    let _ = write!(html, "<h2>Web-to-Lead posts</h2>{}", posts(state));
    let _ = write!(html, "<h2>Faults</h2>{}{}", faults(state), how_to(&escape(url)));
    let _ = write!(html, "<h2>Settings</h2><pre>{}</pre>", escape(&settings(state)));
    html.push_str("</main>\n");
    html
}

const HEAD: &str = r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>leadrelay sandbox: Salesforce</title>
<style>
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; white-space: nowrap; max-width: 24rem; overflow: hidden; text-overflow: ellipsis }
th { font-weight: 600 } .aside { opacity: .7 } .bad { color: #c33 } .good { color: #287d3c }
.scroll { overflow-x: auto }
pre { background: #8882; padding: .8rem; border-radius: .4rem; overflow-x: auto; font-size: 13px }
</style>
<main>
<h1>Salesforce, rehearsed</h1>
<p class="aside">This is leadrelay's sandbox. It keeps everything in memory and forgets it when it ends.
<a href="/">Look again</a>. As JSON: <a href="/_sandbox/leads">leads</a>, <a href="/_sandbox/posts">posts</a>,
<a href="/_sandbox/state">state</a>.</p>
"#;

fn standing(state: &State) -> String {
    let (settings, web_to_lead) = (&state.org.settings, &state.web_to_lead);
    format!(
        "Leads: <b>{}</b>. Web-to-Lead: <b>{}</b> posts received, {} of {} leads today, {} pending. \
         API: {} of {} calls used, {} sessions. The org's time is {}.",
        state.org.leads().len(),
        web_to_lead.received,
        web_to_lead.today,
        settings.web_to_lead.daily,
        web_to_lead.pending(),
        state.quota.used,
        settings.api_daily,
        state.sessions.live(),
        time(state.now()),
    )
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn table(heads: &[&str], rows: Vec<String>, total: usize, nothing: &str) -> String {
    if rows.is_empty() {
        return format!("<p class=\"aside\">{nothing}</p>");
    }
    let heads: String = heads.iter().map(|head| format!("<th>{head}")).collect();
    let shown = rows.len();
    let more = match total > shown {
        true => format!("<p class=\"aside\">The latest {shown} of {total}.</p>"),
        false => String::new(),
    };
    format!("<div class=\"scroll\"><table><tr>{heads}{}</table></div>{more}", rows.concat())
}

fn leads(org: &Org) -> String {
    let external = org.schema.external().map(|field| field.name.as_str()).unwrap_or_default();
    let row = |lead: &Lead| {
        let text = |name: &str| lead.row.get(name).and_then(Value::as_str).map(escape).unwrap_or_default();
        let name = format!("{} {}", text("FirstName"), text("LastName"));
        let origin = match (lead.origin, lead.converted) {
            (_, true) => "converted",
            (Origin::WebToLead, false) => "Web-to-Lead",
            (Origin::Api, false) => "API",
        };
        let cells = [
            lead.id.to_string(),
            name.trim().to_owned(),
            text("Company"),
            text("Email"),
            text(external),
            text("LeadSource"),
            origin.to_owned(),
            time(lead.modified),
        ];
        cells.into_iter().fold(String::from("<tr>"), |row, cell| row + "<td>" + &cell)
    };
    let mut all: Vec<&Lead> = org.leads().collect();
    let total = all.len();
    all.reverse();
    let rows = all.into_iter().take(ROWS).map(row).collect();
    let heads = ["Id", "Name", "Company", "Email", &escape(external), "Lead source", "By", "Changed"];
    table(&heads, rows, total, "None yet.")
}

fn posts(state: &State) -> String {
    let row = |post: &Post| {
        let text = |name: &str| post.form.get(name).map(|text| escape(text)).unwrap_or_default();
        let fate = match &post.fate {
            Fate::Created(id) => format!("<span class=\"good\">lead</span> {id}"),
            Fate::Pending => "pending until tomorrow".to_owned(),
            Fate::Dropped(why) => format!("<span class=\"bad\">accepted, no lead</span>: {}", escape(why)),
            Fate::Rejected(why) => format!("<span class=\"bad\">rejected</span>: {}", escape(why)),
            Fate::Faulted => "<span class=\"bad\">met a fault</span>".to_owned(),
        };
        let name = format!("{} {}", text("first_name"), text("last_name"));
        let cells =
            [post.number.to_string(), time(post.at), name.trim().to_owned(), text("company"), text("email"), fate];
        cells.into_iter().fold(String::from("<tr>"), |row, cell| row + "<td>" + &cell)
    };
    let posts = state.web_to_lead.posts();
    let total = posts.len();
    let latest: Vec<&Post> = posts.skip(total.saturating_sub(ROWS)).collect();
    let rows = latest.into_iter().rev().map(row).collect();
    table(&["No.", "At", "Name", "Company", "Email", "Became"], rows, total, "None yet.")
}

fn faults(state: &State) -> String {
    let faults = state.faults.all();
    let row = |fault: &super::faults::Fault| format!("<tr><td><code>{}</code>", escape(&fault.to_string()));
    table(&["On"], faults.iter().map(row).collect(), faults.len(), "None is on.")
        + &format!("<p class=\"aside\">{} requests and records were hit; seed {}.</p>", state.faults.hits, state.seed)
}

fn how_to(url: &str) -> String {
    let post = format!("curl -H 'Content-Type: application/json' {url}/_sandbox");
    format!(
        "<p>Set one, or change the org:</p><pre>\
         {post}/faults -d '{{&quot;fault&quot;: &quot;collections:status=503:next=3&quot;}}'\n\
         {post}/faults -d '{{&quot;fault&quot;: &quot;web-to-lead:drop-after:share=0.1&quot;}}'\n\
         curl -X DELETE {url}/_sandbox/faults\n\
         {post}/settings -X PATCH -d '{{&quot;required&quot;: [&quot;Phone&quot;]}}'\n\
         {post}/expire-tokens -X POST\n\
         {post}/usage -d '{{&quot;api&quot;: 99999}}'\n\
         {post}/convert -d '{{&quot;lead&quot;: &quot;…&quot;}}'\n\
         {post}/advance -d '{{&quot;by&quot;: &quot;24h&quot;}}'\n\
         {post}/reset -X POST</pre>\
         <p class=\"aside\">A fault is KIND:WHAT[:next=N | :share=0…1]. Kinds: any, web-to-lead, token, collections, rest. \
         What: status=N[:code=C][:header=NAME=VALUE][:done][:body=…], slow=250ms, drop-before, drop-after, half-body, \
         lock[:keys=A,B]. docs/sandbox.md tells all.</p>"
    )
}

fn settings(state: &State) -> String {
    serde_json::to_string_pretty(&state.org.settings).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_is_markup() {
        assert_eq!(escape("<b a=\"x\" b='y'>&amp;"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
    }
}
