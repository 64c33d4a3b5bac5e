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
            if self.pending.is_empty() && now >= self.day_ends {
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
