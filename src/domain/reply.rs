//! What a destination answered for one lead.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// A destination's error code, fit for a log, a metric and a header: at most 64 of `A-Z a-z 0-9 _ . -`. A code that
/// is not of this form is `other`: error texts repeat personal data.
#[derive(Clone, Debug)]
pub struct Code {
    text: Cow<'static, str>,
    /// The HTTP status that it came with. It tells nothing that decides: two codes are the same by their text.
    status: Option<u16>,
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Code {}

impl Hash for Code {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Code {
    pub const fn known(code: &'static str) -> Self {
        Self { text: Cow::Borrowed(code), status: None }
    }

    pub fn foreign(code: &str) -> Self {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if (1..=64).contains(&code.len()) && code.chars().all(legal) {
            Self { text: Cow::Owned(code.to_owned()), status: None }
        } else {
            Self::known("other")
        }
    }

    pub fn status(status: u16) -> Self {
        Self { text: Cow::Owned(format!("http_{status}")), status: Some(status) }
    }

    /// The same code, with the status that the destination answered.
    pub fn answered(mut self, status: impl Into<Option<u16>>) -> Self {
        self.status = status.into().or(self.status);
        self
    }

    pub fn http_status(&self) -> Option<u16> {
        self.status
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Accepted(Accepted),
    /// Permanent, and this lead's own fault.
    Rejected(Code),
    /// May succeed later.
    Transient {
        code: Code,
        quick: Quick,
    },
    /// The destination asks for a pause, with its own hint where it gave one.
    Throttled {
        code: Code,
        retry_after: Option<Duration>,
    },
    /// Credentials or configuration: the destination's fault, and no lead's.
    Credentials(Code),
    /// It may have been sent, and no answer came, from a destination that cannot tell a repeat.
    Unknown(Code),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    Created,
    Updated,
    /// It was there, and the event brought nothing new: nothing was written.
    Already,
}

/// What becomes of a lead that may have been sent to a destination that cannot tell a repeat, with no answer that says:
/// `on_unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// A person looks whether it is there: never twice.
    #[default]
    DeadLetter,
    /// It is sent again: perhaps twice, never not at all.
    Resend,
}

/// Whether one retry within the second may help: only if nothing was sent, or the answer was 503. Where the destination
/// cannot tell a repeat, only if nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quick {
    Worthwhile,
    Pointless,
}

/// How an attempt ended: the `class` label of `leadrelay_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Accepted,
    Rejected,
    Transient,
    Throttled,
    Credentials,
    Unknown,
}

impl Class {
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Rejected, Self::Transient, Self::Throttled, Self::Credentials, Self::Unknown];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Credentials => "credentials",
            Self::Unknown => "unknown",
        }
    }
}

impl Reply {
    pub fn class(&self) -> Class {
        match self {
            Self::Accepted(_) => Class::Accepted,
            Self::Rejected(_) => Class::Rejected,
            Self::Transient { .. } => Class::Transient,
            Self::Throttled { .. } => Class::Throttled,
            Self::Credentials(_) => Class::Credentials,
            Self::Unknown(_) => Class::Unknown,
        }
    }

    /// The code, where there is one.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Accepted(_) => None,
            Self::Rejected(code) | Self::Credentials(code) | Self::Unknown(code) => Some(code),
            Self::Transient { code, .. } | Self::Throttled { code, .. } => Some(code),
        }
    }

    /// What it means where this is to be done with what may have been sent: to be sent again, it may succeed later.
    pub fn under(self, on_unknown: OnUnknown) -> Self {
        match (self, on_unknown) {
            (Self::Unknown(code), OnUnknown::Resend) => Self::Transient { code, quick: Quick::Pointless },
            (reply, OnUnknown::Resend | OnUnknown::DeadLetter) => reply,
        }
    }

    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// Nobody was there, or no whole answer came.
    pub fn is_unreachable(&self) -> bool {
        let code = self.code().map(|code| code.as_str());
        matches!(code, Some("no_such_host" | "not_connected" | "tls_failed" | "timeout" | "connection_lost"))
    }
}
