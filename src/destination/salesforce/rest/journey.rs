//! A lead's journey as text that a salesperson can read, and that we can read back: a lead without a ledger record is
//! known by it.

use jiff::Timestamp;

use crate::destination::held::{Held, Step};

/// What every line of ours in a description begins with.
const MARK: &str = "leadrelay:";
/// In place of an action.
const WITHDRAWN: &str = "consent-withdrawn";
const GIVEN: &str = "consent-given";

/// What a text says of a lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    pub steps: Vec<Step>,
    pub withdrawn_at: Option<Timestamp>,
}

/// Actions and sources as one word each, so that a text of them can be read back.
pub fn word(text: &str) -> String {
    let legal = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    text.chars().map(legal).take(40).collect()
}

/// A text field's greatest length.
const FIELD_MAX: usize = 255;

/// For a field of its own: `2026-11-22T03:04:05Z INS AzureMarketplace; 2026-11-23T03:04:05Z PLT; …`. A withdrawal comes
/// first, a source that is the last one's again is left out, and of what is too long the oldest steps go, whole.
pub fn in_a_field(held: &Held) -> String {
    let withdrawn: Vec<String> = held.withdrawn_at.map(|at| format!("{at} {WITHDRAWN}")).into_iter().collect();
    let steps: Vec<&Step> = held.journey.iter().filter(|step| !step.action.is_empty()).collect();
    let mut text = String::new();
    for first in 0..=steps.len() {
        let mut source = "";
        let entries = steps[first..].iter().map(|step| {
            let again = std::mem::replace(&mut source, &step.source) == step.source;
            if again { format!("{} {}", step.at, step.action) } else { entry(step) }
        });
        text = withdrawn.iter().cloned().chain(entries).collect::<Vec<_>>().join("; ");
        if text.encode_utf16().count() <= FIELD_MAX {
            break;
        }
    }
    text
}

/// For the description: a line for each thing that `after` has and `before` has not.
pub fn lines(before: Option<&Held>, after: &Held) -> Vec<String> {
    let is_new = |step: &&Step| {
        let known = before.is_some_and(|before| before.journey.iter().any(|known| known.action == step.action));
        !step.action.is_empty() && !known
    };
    let mut lines: Vec<String> = after
        .journey
        .iter()
        .filter(is_new)
        .map(|step| format!("{MARK} {} ({})", entry(step), words(&step.action)))
        .collect();
    let withdrawn_before = before.and_then(|before| before.withdrawn_at);
    match (withdrawn_before, after.withdrawn_at) {
        (before, Some(at)) if before != Some(at) => lines.push(format!("{MARK} {at} {WITHDRAWN} (do not contact)")),
        (Some(_), None) => lines.push(format!("{MARK} {} {GIVEN} (may be contacted again)", after.granted_at)),
        (_, Some(_)) | (None, None) => {}
    }
    lines
}

fn entry(step: &Step) -> String {
    format!("{} {} {}", step.at, step.action, step.source).trim_end().to_owned()
}

fn words(action: &str) -> &'static str {
    match action {
        "INS" => "got the offer",
        "PLT" => "asked to be contacted",
        "DNC" => "asked not to be contacted",
        "Create" => "bought the offer",
        "StartTestDrive" => "started a test drive",
        _ => "in the marketplace",
    }
}

/// What either form says. People edit: what cannot be read is not there.
pub fn read(text: &str) -> Told {
    let of_line = |line: &str| line.trim().strip_prefix(MARK).map(str::to_owned);
    let mut entries: Vec<String> = text.lines().filter_map(of_line).collect();
    if entries.is_empty() {
        entries = text.split(';').map(str::to_owned).collect();
    }
    let (mut told, mut given_at, mut last_source) = (Told::default(), None, String::new());
    for entry in entries {
        let mut words = entry.split_whitespace();
        let Some(at) = words.next().and_then(|word| word.parse::<Timestamp>().ok()) else { continue };
        match words.next() {
            Some(WITHDRAWN) => told.withdrawn_at = told.withdrawn_at.max(Some(at)),
            Some(GIVEN) => given_at = given_at.max(Some(at)),
            Some(action) => {
                if let Some(source) = words.next().filter(|word| !word.starts_with('(')) {
                    source.clone_into(&mut last_source);
                }
                told.steps.push(Step { source: last_source.clone(), action: action.to_owned(), at });
            }
            None => {}
        }
    }
    told.withdrawn_at = told.withdrawn_at.filter(|withdrawn| Some(*withdrawn) >= given_at);
    told
}

/// The one step that `Source-Action|Offer` tells of, at a time that it does not tell.
pub fn read_source_line(text: &str, at: Timestamp) -> Option<Step> {
    let (step, _) = text.split_once('|')?;
    let (source, action) = step.rsplit_once('-')?;
    let is_word = |text: &str| !text.is_empty() && word(text) == text;
    (is_word(action) && is_word(source)).then(|| Step { source: source.to_owned(), action: action.to_owned(), at })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::destination::held::Text;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + second).expect("a time")
    }

    fn held(steps: &[(&str, i64)], withdrawn: Option<i64>) -> Held {
        let step = |(action, second): &(&str, i64)| Step {
            source: "AzurePortal".into(),
            action: (*action).into(),
            at: at(*second),
        };
        Held {
            offer: String::new(),
            offer_display_name: String::new(),
            publisher_display_name: String::new(),
            description: Text::default(),
            fields: BTreeMap::new(),
            journey: steps.iter().map(step).collect(),
            granted_at: at(50),
            withdrawn_at: withdrawn.map(at),
        }
    }

    #[test]
    fn what_is_written_in_either_form_is_read_back() {
        for lead in [held(&[("INS", 1)], None), held(&[("DNC", 1), ("PLT", 2), ("a_b", 3)], Some(60))] {
            let expected = Told { steps: lead.journey.clone(), withdrawn_at: lead.withdrawn_at };
            assert_eq!(read(&in_a_field(&lead)), expected);
            let text = format!("Campaigns: ; x\n{}\nCalled on Monday.", lines(None, &lead).join("\n"));
            assert_eq!(read(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_into_a_field_loses_its_oldest_steps_whole_and_never_a_withdrawal() {
        let actions: Vec<_> = (0..20).map(|number| (format!("Action{number}"), number)).collect();
        let steps: Vec<_> = actions.iter().map(|(action, second)| (action.as_str(), *second)).collect();
        let told = read(&in_a_field(&held(&steps, Some(60))));
        assert_eq!(told.withdrawn_at, Some(at(60)));
        assert!((5..20).contains(&told.steps.len()), "{told:?}");
        assert_eq!(told.steps.last().map(|step| step.action.as_str()), Some("Action19"));
    }

    #[test]
    fn a_description_gets_a_line_for_what_is_new_and_a_later_consent_undoes_a_withdrawal() {
        let first = held(&[("INS", 1)], None);
        let marked = held(&[("INS", 1)], Some(40));
        let lifted = held(&[("INS", 1), ("PLT", 50)], None);
        assert_eq!(lines(Some(&first), &first), Vec::<String>::new());
        let all = [lines(None, &first), lines(Some(&first), &marked), lines(Some(&marked), &lifted)].concat();
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(all[0].ends_with(" INS AzurePortal (got the offer)"), "{all:?}");
        assert_eq!(read(&all.join("\n")), Told { steps: lifted.journey, withdrawn_at: None });
    }

    #[test]
    fn nothing_is_read_where_nothing_of_ours_stands() {
        for text in ["", "Called; said 2026", "leadrelay:", "leadrelay: soon INS", "2026-11-22T03:04:05Z"] {
            assert_eq!(read(text), Told::default(), "{text}");
        }
        assert_eq!(word("a b;c(😀"), "a_b_c__");
    }

    #[test]
    fn a_source_line_tells_one_step() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let step = read_source_line(text, at(0));
            assert_eq!(step.as_ref().map(|step| (step.source.as_str(), step.action.as_str())), expected, "{text}");
        };
        check("AzureMarketplace-INS|contoso.balancer", Some(("AzureMarketplace", "INS")));
        check("AppSource-x-DNC|a.b|c", Some(("AppSource-x", "DNC")));
        check("Partner Referral", None);
        check("Web", None);
        check("-INS|a", None);
    }
}
