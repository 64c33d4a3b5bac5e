//! Logs: one line an event, as JSON for machines or pretty for people, to standard error.
//!
//! Personal data has two ways in that no event of ours opens: other crates (lapin prints every returned message with its
//! body, as a warning; reqwest prints addresses with their signatures), and panics (slicing a string prints the string).
//! Both are shut here: what matters of others, an event of ours tells.

use std::panic::PanicHookInfo;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    /// For people; coloured if `colours`.
    Pretty {
        colours: bool,
    },
}

/// From here on, events are logged. A second call changes nothing.
pub fn init(form: Form, level: Level) {
    let layer = match form {
        Form::Json => json(std::io::stderr).boxed(),
        Form::Pretty { colours } => {
            fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr).boxed()
        }
    };
    // An error only says that there is a subscriber already: a test's.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter(level))).try_init();
    std::panic::set_hook(Box::new(log_panic));
}

fn json<W>(writer: W) -> impl Layer<Registry>
where
    W: for<'w> fmt::MakeWriter<'w> + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer)
}

/// Ours as asked for; everybody else's only when something is wrong.
fn filter(level: Level) -> Targets {
    Targets::new().with_default(LevelFilter::OFF).with_target("leadrelay", level)
}

/// Where it happened, and its message only if that is written in the program: a formatted one may hold a lead's text.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload().downcast_ref::<&'static str>().copied().unwrap_or("(message withheld)");
    tracing::error!(place, message_of_panic = message, "panicked: this is a defect of leadrelay");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, events: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = json(move || writer.clone()).with_filter(filter(level));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_one_flat_json_object() {
        let line = logged(Level::INFO, || tracing::info!(lead = "ab12", "delivered"));
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&event["message"], &event["lead"], &event["level"]),
            (&"delivered".into(), &"ab12".into(), &"INFO".into())
        );
        assert!(event["timestamp"].is_string());
    }

    #[test]
    fn other_crates_are_never_heard_whatever_the_level() {
        for level in [Level::ERROR, Level::INFO, Level::TRACE] {
            let lines = logged(level, || {
                tracing::info!(target: "lapin::channel", "canary");
                tracing::error!(target: "lapin::channel", "canary");
                tracing::error!("ours");
            });
            assert!(!lines.contains("canary") && lines.contains("ours"), "{lines}");
        }
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_without_what_was_formatted_into_it() {
        let before = std::panic::take_hook();
        let lines = logged(Level::INFO, || {
            std::panic::set_hook(Box::new(log_panic));
            for text in ["canary", "é canary"] {
                let _ = std::panic::catch_unwind(|| panic!("{text}"));
            }
            let _ = std::panic::catch_unwind(|| panic!("written in the program"));
        });
        std::panic::set_hook(before);
        assert!(!lines.contains("canary"), "{lines}");
        assert_eq!((lines.matches("(message withheld)").count(), lines.matches("logs.rs:").count()), (2, 3), "{lines}");
        assert!(lines.contains("written in the program"));
    }
}
