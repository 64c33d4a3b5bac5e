//! Whether a text is an email address, as [`super::schema`] says it as a pattern.

use std::borrow::Cow;

use email_address::{EmailAddress, Options};

/// Spaces around it have been taken away.
///
/// The grammar is the library's, for ASCII. Beyond, any character may stand where a letter may (RFC 6531), and counts as
/// one: the library takes some for letters and others not, and counts their bytes.
pub fn is_address(text: &str) -> bool {
    EmailAddress::parse_with_options(&in_ascii(text), Options::default().without_display_text()).is_ok()
}

fn in_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let letter = |c: char| if c.is_ascii() || c.is_whitespace() || c.is_control() { c } else { 'x' };
    Cow::Owned(text.chars().map(letter).collect())
}
