//! How things look on a screen: colours only where a person looks, ages as people say them, columns that line up.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::config::{Problem, Severity};
pub use crate::office::replay::grouped;

/// Whether to colour (`NO_COLOR`: no-color.org), and how wide a line may be.
#[derive(Clone, Copy)]
pub struct Paint {
    colours: bool,
    /// None where nobody looks.
    width: Option<usize>,
}

impl Paint {
    pub fn of(terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = terminal.then(terminal_width);
        Self { colours: terminal && !unwanted, width }
    }

    pub fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    pub fn width(self) -> Option<usize> {
        self.width
    }

    /// Breaks what is too wide at words; what follows the first line is indented by so much.
    pub fn wrapped(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let indent = " ".repeat(indent);
        let options = textwrap::Options::new(width.max(40)).subsequent_indent(&indent);
        // Names and commands are to be copied whole.
        textwrap::fill(text, options.break_words(false).word_splitter(textwrap::WordSplitter::NoHyphenation))
    }

    fn colour(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn good(self, text: &str) -> String {
        self.colour("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.colour("31", text)
    }

    pub fn doubtful(self, text: &str) -> String {
        self.colour("33", text)
    }

    pub fn aside(self, text: &str) -> String {
        self.colour("2", text)
    }
}

/// Columns to write in; eighty where there is no terminal.
pub fn terminal_width() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { 80 } else { told.clamp(60, 120) }
}

/// Lines to write in; twenty-four where there is no terminal.
pub fn terminal_height() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_row));
    if told == 0 { 24 } else { told.max(8) }
}

/// `leadrelay.toml:3: error: broker.url is missing`, and the mend on a line of its own.
pub fn problem(problem: &Problem, paint: Paint) -> String {
    let severity = match problem.severity {
        Severity::Error => paint.bad("error"),
        Severity::Warning => paint.doubtful("warning"),
    };
    let subject = match (problem.key.as_str(), problem.place.variable()) {
        ("", None) => "the file",
        ("", Some(_)) => "the variable",
        (key, _) => key,
    };
    let told = paint.wrapped(&format!("{}: {severity}: {subject} {}", problem.place, problem.what), 4);
    told + &mend(&problem.mend, 4, paint)
}

/// What to do, on a line of its own; nothing where there is nothing to say.
pub fn mend(mend: &str, indent: usize, paint: Paint) -> String {
    if mend.is_empty() {
        return String::new();
    }
    let text = format!("{}{mend}", " ".repeat(indent));
    format!("\n{}", paint.aside(&paint.wrapped(&text, indent)))
}

/// `1 event`, `2 events`.
pub fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Whatever people and programs wrote cannot speak to the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Progress on long work, as indicatif's template says. Hidden by indicatif itself where standard error is no terminal.
pub fn progress(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// `in 4m`, or `now`.
pub fn until(at: Timestamp, now: Timestamp) -> String {
    if at <= now { "now".to_owned() } else { format!("in {}", age(now, at)) }
}

/// How long ago, in the two largest units that say something: `12s`, `4m`, `3h 20m`, `9d 1h`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3_600 % 24, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_as_people_say_them() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let check = |since: &str, expected: &str| assert_eq!(age(since.parse().unwrap(), now), expected, "{since}");
        check("2026-11-22T12:00:05Z", "0s");
        check("2026-11-22T11:59:18Z", "42s");
        check("2026-11-22T11:55:10Z", "4m");
        check("2026-11-22T08:39:00Z", "3h 21m");
        check("2026-11-13T10:59:00Z", "9d 1h");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let check = |number, expected: &str| assert_eq!(grouped(number), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(12_345_678, "12,345,678");
    }

    #[test]
    fn what_is_due_is_told_as_people_say_it() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let check = |at: &str, expected: &str| assert_eq!(until(at.parse().unwrap(), now), expected, "{at}");
        check("2026-11-22T11:59:59Z", "now");
        check("2026-11-22T12:00:00Z", "now");
        check("2026-11-22T12:00:09Z", "in 9s");
        check("2026-11-22T17:30:00Z", "in 5h 30m");
    }
}
