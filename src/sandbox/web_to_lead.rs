//! Web-to-Lead: what Salesforce makes of a posted form. Its answer tells little; what became of each post is kept here
//! for the one who rehearses. Pure; time is an argument.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::options::TooLong;
use super::org::{Org, Origin, Writer};
use super::record::{Row, length_of, misfit};
use super::refusal::Refusal;
use super::schema::Kind;

/// Posts that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 100_000;

pub type Form = BTreeMap<String, String>;

/// One post received, whatever became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Post {
    pub number: u64,
    pub at: Timestamp,
    pub form: Form,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// A lead, by its id.
    Created(String),
    /// Beyond the day's limit: becomes a lead tomorrow.
    Pending,
    /// Accepted, and no lead: Salesforce sends a mail to the administrator, and the caller learns nothing.
    Dropped(String),
    /// Answered as rejected.
    Rejected(String),
    /// Answered by a fault, before the org saw it.
    Faulted,
}

/// What the header `Is-Processed` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processed {
    Absent,
    True,
    Exception,
}

impl Processed {
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::True => Some("true"),
            Self::Exception => Some("true Exception:common.exception.SalesforceGenericException"),
        }
    }
}

#[derive(Debug)]
pub struct WebToLead {
    /// When the day of the limit ends.
    day_ends: Timestamp,
    /// Leads taken in since the day began.
    pub today: usize,
    pending: VecDeque<(u64, Row)>,
    posts: VecDeque<Post>,
    pub received: u64,
}

impl WebToLead {
    pub fn new(now: Timestamp) -> Self {
        let (pending, posts) = (VecDeque::new(), VecDeque::new());
        Self { day_ends: now + SignedDuration::from_hours(24), today: 0, pending, posts, received: 0 }
    }

    pub fn posts(&self) -> impl ExactSizeIterator<Item = &Post> {
        self.posts.iter()
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes a form in.
    pub fn post(&mut self, org: &mut Org, form: Form, now: Timestamp) -> Processed {
        self.pass_days(org, now);
        let fate = self.judge(org, &form, now);
        let accepted = if org.settings.web_to_lead.says_processed { Processed::True } else { Processed::Absent };
        let processed = match &fate {
            Fate::Created(_) | Fate::Pending | Fate::Dropped(_) => accepted,
            Fate::Rejected(_) | Fate::Faulted => Processed::Exception,
        };
        self.remember(form, fate, now);
        processed
    }

    /// Notes a form that a fault answered.
    pub fn faulted(&mut self, form: Form, now: Timestamp) {
        self.remember(form, Fate::Faulted, now);
    }

    /// What waits becomes leads when a new day begins, before that day's own.
    pub fn pass_days(&mut self, org: &mut Org, now: Timestamp) {
        while now >= self.day_ends {
            let began = self.day_ends;
            self.day_ends += SignedDuration::from_hours(24);
            self.today = 0;
            while self.today < org.settings.web_to_lead.daily
                && let Some((number, row)) = self.pending.pop_front()
            {
                self.today += 1;
                let fate = create(org, row, began);
                if let Some(post) = self.posts.iter_mut().find(|post| post.number == number) {
                    post.fate = fate;
                }
            }
            // Nothing happens in the days between: today begins now.
            if self.pending.is_empty() && now >= self.day_ends {
                self.today = 0;
                self.day_ends = now + SignedDuration::from_hours(24);
            }
        }
    }

    fn judge(&mut self, org: &mut Org, form: &Form, now: Timestamp) -> Fate {
        let settings = &org.settings.web_to_lead;
        if !settings.enabled || !is_org(form, &org.settings.oid) {
            return Fate::Rejected("Lead Capture Page: Not available".into());
        }
        let row = match read(org, form) {
            Ok(row) => row,
            Err(Unfit::Missing(name)) => return Fate::Rejected(format!("{name} is required")),
            Err(Unfit::TooLong(refusal)) if settings.too_long == TooLong::Reject => {
                return Fate::Rejected(refusal.code.into());
            }
            Err(Unfit::TooLong(refusal)) => return Fate::Dropped(refusal.code.into()),
        };
        if settings.captcha {
            return Fate::Dropped("reCAPTCHA".into());
        }
        if self.today < settings.daily {
            self.today += 1;
            return create(org, row, now);
        }
        if self.pending.len() < settings.pending {
            self.pending.push_back((self.received + 1, row));
            return Fate::Pending;
        }
        Fate::Rejected("the pending queue is full".into())
    }

    fn remember(&mut self, form: Form, fate: Fate, now: Timestamp) {
        self.received += 1;
        if self.posts.len() >= REMEMBERED {
            self.posts.pop_front();
        }
        self.posts.push_back(Post { number: self.received, at: now, form, fate });
    }
}

/// What is checked while the caller waits.
enum Unfit {
    Missing(String),
    TooLong(Refusal),
}

/// The form as a lead. What it does not know it ignores.
fn read(org: &Org, form: &Form) -> Result<Row, Unfit> {
    let mut row = Row::new();
    let cuts = org.settings.web_to_lead.too_long == TooLong::Cut;
    for (input, text) in form {
        let Some(field) = org.schema.form_field(input) else { continue };
        let text = text.trim();
        let value = match field.kind {
            Kind::Boolean => Value::Bool(matches!(text, "1" | "true" | "on")),
            Kind::Integer | Kind::Currency => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) => number.into(),
                Err(_) => continue,
            },
            _ if text.is_empty() => continue,
            _ if cuts => cut(text, field.length).into(),
            // Web-to-Lead does not look at the syntax of emails.
            _ => match misfit(field, text).filter(|refusal| refusal.code == "STRING_TOO_LONG") {
                Some(refusal) => return Err(Unfit::TooLong(refusal)),
                None => text.into(),
            },
        };
        row.insert(field.name.clone(), value);
    }
    let required = ["LastName", "Company"].into_iter().chain(org.settings.required.iter().map(String::as_str));
    match required.filter_map(|name| org.schema.field(name)).find(|field| !row.contains_key(&field.name)) {
        Some(field) => Err(Unfit::Missing(field.name.clone())),
        None => Ok(row),
    }
}

/// To so many UTF-16 code units, and no half character.
fn cut(text: &str, length: usize) -> String {
    let mut left = text.to_owned();
    while length_of(&left) > length {
        left.pop();
    }
    left
}

fn create(org: &mut Org, row: Row, now: Timestamp) -> Fate {
    // An alerting duplicate rule has nobody to alert here, and blocks.
    let writer = Writer { now, origin: Origin::WebToLead, allow_save: false };
    match org.create(row, writer) {
        Ok(id) => Fate::Created(id.to_string()),
        Err(refusals) => Fate::Dropped(refusals.first().map(|refusal| refusal.code).unwrap_or_default().into()),
    }
}

/// In 15 characters or 18.
fn is_org(form: &Form, oid: &str) -> bool {
    form.get("oid").is_some_and(|given| given.get(..15).unwrap_or(given) == oid && matches!(given.len(), 15 | 18))
}

#[cfg(test)]
mod tests {
    use super::super::options::{DuplicateRule, Settings};
    use super::super::schema::{CustomField, ExternalId, Schema};
    use super::*;

    struct Rehearsal {
        org: Org,
        web_to_lead: WebToLead,
        now: Timestamp,
    }

    fn rehearsal(change: impl FnOnce(&mut Settings)) -> Rehearsal {
        let external = CustomField { name: "Leadrelay_Key__c".into(), length: 64 };
        let schema = Schema::new(&external, ExternalId { unique: true, case_sensitive: false }, &[]);
        let mut settings = Settings::default();
        change(&mut settings);
        let now = "2026-11-22T03:04:05Z".parse().unwrap();
        Rehearsal { org: Org::new(schema, settings), web_to_lead: WebToLead::new(now), now }
    }

    impl Rehearsal {
        /// With these changes to a good form; an empty value leaves the input out.
        fn post(&mut self, changes: &[(&str, &str)]) -> (Processed, Fate) {
            let mut form: Form = [("oid", "00D5g0000000001"), ("last_name", "Liang"), ("company", "Contoso")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
            for (name, value) in changes {
                form.insert((*name).to_owned(), (*value).to_owned());
            }
            form.retain(|_, value| !value.is_empty());
            let processed = self.web_to_lead.post(&mut self.org, form, self.now);
            (processed, self.web_to_lead.posts().last().unwrap().fate.clone())
        }

        fn fates(&self) -> Vec<&Fate> {
            self.web_to_lead.posts().map(|post| &post.fate).collect()
        }
    }

    #[test]
    fn a_post_is_answered_and_becomes_what_salesforce_makes_of_it() {
        type Change = fn(&mut Settings);
        let check = |change: Change, form: &[(&str, &str)], processed: Processed, fate: &str| {
            let (answered, became) = rehearsal(change).post(form);
            assert_eq!(answered, processed, "{form:?}");
            assert!(format!("{became:?}").starts_with(fate), "{form:?}: {became:?}");
        };
        let none: Change = |_| {};
        let (long, too_long) = ("x".repeat(40), "x".repeat(41));
        check(none, &[], Processed::True, "Created");
        check(none, &[("oid", "00D5g0000000001EAA")], Processed::True, "Created");
        check(none, &[("first_name", &long)], Processed::True, "Created");
        check(none, &[("email", "nobody")], Processed::True, "Created");
        check(none, &[("nonsense", "x"), ("employees", "many")], Processed::True, "Created");
        check(none, &[("oid", "")], Processed::Exception, "Rejected(\"Lead Capture Page");
        check(none, &[("oid", "00D5g0000000002")], Processed::Exception, "Rejected(\"Lead Capture Page");
        check(none, &[("last_name", "")], Processed::Exception, "Rejected(\"LastName");
        check(none, &[("company", " ")], Processed::Exception, "Rejected(\"Company");
        check(|s| s.required = vec!["Phone".into()], &[], Processed::Exception, "Rejected(\"Phone");
        check(|s| s.required = vec!["Phone".into()], &[("phone", "1")], Processed::True, "Created");
        check(none, &[("first_name", &too_long)], Processed::True, "Dropped(\"STRING_TOO_LONG");
        check(
            |s| s.web_to_lead.too_long = TooLong::Reject,
            &[("first_name", &too_long)],
            Processed::Exception,
            "Rejected",
        );
        check(|s| s.web_to_lead.too_long = TooLong::Cut, &[("first_name", &too_long)], Processed::True, "Created");
        check(|s| s.web_to_lead.says_processed = false, &[], Processed::Absent, "Created");
        check(|s| s.web_to_lead.says_processed = false, &[("oid", "")], Processed::Exception, "Rejected");
        check(|s| s.web_to_lead.captcha = true, &[], Processed::True, "Dropped(\"reCAPTCHA");
        check(|s| s.web_to_lead.enabled = false, &[], Processed::Exception, "Rejected(\"Lead Capture Page");
        check(|s| s.storage = 0, &[], Processed::True, "Dropped(\"STORAGE_LIMIT_EXCEEDED");
    }

    #[test]
    fn inputs_become_fields() {
        let mut rehearsal = rehearsal(|_| {});
        rehearsal.post(&[
            ("first_name", "大山"),
            ("country_code", "CN"),
            ("zip", "100000"),
            ("mobile", "1"),
            ("doNotCall", "1"),
            ("lead_source", "AzureMarketplace-INS|contoso.loadbalancer"),
            ("00N5g0000000001", "abc"),
        ]);
        let lead = rehearsal.org.leads().next().unwrap();
        let value = |name: &str| lead.row.get(name).cloned().unwrap_or_default();
        assert_eq!(
            ["FirstName", "Country", "PostalCode", "MobilePhone", "LeadSource", "Leadrelay_Key__c"].map(value),
            ["大山", "CN", "100000", "1", "AzureMarketplace-INS|contoso.loadbalancer", "abc"]
        );
        assert_eq!(value("DoNotCall"), Value::Bool(true));
    }

    #[test]
    fn a_duplicate_rule_drops_the_lead_even_where_it_only_alerts() {
        for rule in [DuplicateRule::Alert, DuplicateRule::Block] {
            let mut rehearsal = rehearsal(|settings| settings.duplicate_rule = rule);
            rehearsal.post(&[("email", "a@b.example")]);
            let (processed, fate) = rehearsal.post(&[("email", "a@b.example")]);
            assert_eq!((processed, fate), (Processed::True, Fate::Dropped("DUPLICATES_DETECTED".into())));
        }
    }

    #[test]
    fn what_exceeds_the_day_is_pending_then_rejected_and_comes_first_the_next_day() {
        let mut rehearsal = rehearsal(|settings| {
            settings.web_to_lead.daily = 2;
            settings.web_to_lead.pending = 3;
        });
        let processed: Vec<Processed> = (0..6).map(|_| rehearsal.post(&[]).0).collect();
        assert_eq!(processed[..5], [Processed::True; 5]);
        assert_eq!(processed[5], Processed::Exception);
        assert_eq!((rehearsal.org.leads().len(), rehearsal.web_to_lead.pending()), (2, 3));

        rehearsal.now += SignedDuration::from_hours(24);
        let (_, fate) = rehearsal.post(&[]);
        assert_eq!(fate, Fate::Pending, "two of yesterday's have used the day up");
        assert_eq!((rehearsal.org.leads().len(), rehearsal.web_to_lead.pending()), (4, 2));
        assert!(matches!(rehearsal.fates()[2], Fate::Created(_)), "what was pending is told to be a lead now");

        rehearsal.now += SignedDuration::from_hours(72);
        rehearsal.post(&[]);
        assert_eq!((rehearsal.org.leads().len(), rehearsal.web_to_lead.pending()), (7, 0));
        assert_eq!(rehearsal.web_to_lead.received, 8);
    }

    #[test]
    fn a_cut_leaves_no_half_character() {
        assert_eq!(cut("ab😀", 3), "ab");
        assert_eq!(cut("ab😀", 4), "ab😀");
    }
}
