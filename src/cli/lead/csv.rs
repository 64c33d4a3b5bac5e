//! Leads as CSV (RFC 4180), in which nothing that a customer typed is run by the spreadsheet that opens it.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::domain::event::CustomerField;
use crate::domain::found::FoundLead;

const HEADS: [&str; 19] = [
    "lead_key",
    "record",
    "offer",
    "offer_name",
    "publisher_name",
    "stage",
    "actions",
    "last_action_at",
    "withdrawn_at",
    "created_at",
    "changed_at",
    "first_name",
    "last_name",
    "email",
    "phone",
    "country",
    "company",
    "title",
    "description",
];

pub fn heads() -> String {
    HEADS.join(",") + "\r\n"
}

pub fn line(lead: &FoundLead) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let actions: Vec<_> = lead.journey.iter().map(|step| step.action.as_str()).collect();
    let mut cells = vec![
        lead.key.clone(),
        lead.record.clone().unwrap_or_default(),
        lead.offer.clone(),
        lead.offer_name.clone(),
        lead.publisher_name.clone(),
        lead.stage.clone(),
        actions.join(" "),
        time(lead.journey.last().map(|step| step.at)),
        time(lead.withdrawn_at),
        time(lead.created_at),
        time(lead.changed_at),
    ];
    cells.extend(CustomerField::ALL.map(|field| lead.customer.get(field).to_owned()));
    cells.push(lead.description.0.clone());
    cells.iter().map(|cell| quoted(&defused(cell)).into_owned()).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A spreadsheet takes what begins so for a formula, of which some run programs or send cells away:
/// <https://owasp.org/www-community/attacks/CSV_Injection>. An apostrophe before it makes it a text.
fn defused(cell: &str) -> Cow<'_, str> {
    let first = cell.trim_start_matches(' ').chars().next();
    match first {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => format!("'{cell}").into(),
        Some(_) | None => cell.into(),
    }
}

fn quoted(cell: &str) -> Cow<'_, str> {
    // Spreadsheets of other countries part cells at semicolons or tabs.
    let is_plain = !cell.contains(['"', ',', ';', '\t', '\r', '\n']) && cell.trim() == cell;
    if is_plain { cell.into() } else { format!("\"{}\"", cell.replace('"', "\"\"")).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_a_text_to_it_and_what_parts_cells_is_quoted() {
        let check = |cell: &str, expected: &str| assert_eq!(quoted(&defused(cell)), expected);
        check("Contoso", "Contoso");
        check("", "");
        check("=1+1", "'=1+1");
        check("+86 10 1234", "'+86 10 1234");
        check("-1", "'-1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "\"'\t=1\"");
        check("\r=1", "\"'\r=1\"");
        check("\n=1", "\"'\n=1\"");
        check("  =1", "'  =1");
        check("＝1", "'＝1");
        check("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        check("a,b", "\"a,b\"");
        check("a;=1", "\"a;=1\"");
        check("say \"hi\"", "\"say \"\"hi\"\"\"");
        check("two\nlines", "\"two\nlines\"");
        check("李小明", "李小明");
    }
}
