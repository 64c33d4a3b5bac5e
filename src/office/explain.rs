//! What a reason means, in the words of whoever has to act on it. The long form is `docs/operating.md`.

use crate::domain::dead_letter::{Cause, StateName};

/// The rule that made a letter dead.
pub fn rule(cause: Cause) -> &'static str {
    match cause {
        Cause::Malformed => "it is not a consent event; the detail names each fault by JSON pointer",
        Cause::HeadersTooLarge => "its headers are over 64 KiB, and could not be published again",
        Cause::Panicked => "reading it made leadrelay panic: a defect of ours",
        Cause::Poison => "it came back 20 times unsettled: it may be what ends the worker",
        Cause::Unroutable => "no route covers its offer",
        Cause::Rejected => "the destination refused this lead, and accepts others",
        Cause::AttemptsExhausted => "as many attempts as retry.attempts allows failed",
        Cause::Expired => "it was older than retry.age, waiting not counted, when an attempt failed",
        Cause::Unknown => {
            "it was sent, or may have been, to a destination that cannot tell a repeat, and nothing told how it ended"
        }
        Cause::CrashedWorker => {
            "the broker gave it up at its delivery limit: whoever had it went away without an answer, each time"
        }
        Cause::ExpiredInQueue => {
            "the broker's clock ran out on it before a worker had it: an expiration of its producer, or a policy"
        }
        Cause::Foreign => "it was put into the dead queue by somebody else",
    }
}

/// What to do next.
pub fn next(cause: Cause) -> &'static str {
    match cause {
        Cause::Malformed => "mend the producer; try an event with: leadrelay event check FILE",
        Cause::HeadersTooLarge => "mend the producer, then let it send the event again",
        Cause::Panicked | Cause::Poison => "report it with the dead-id; it can be replayed on a version that is mended",
        Cause::Unroutable => {
            "add a route for its offer, then replay it; leadrelay event explain FILE tells what becomes of it"
        }
        Cause::Rejected => "look the code up at the destination, mend the lead or the destination, then replay it",
        Cause::AttemptsExhausted | Cause::Expired => {
            "look at the destination: leadrelay destination test NAME; then replay it"
        }
        Cause::Unknown => "look for the lead at the destination; if it is not there, replay it; if it is, discard this",
        Cause::CrashedWorker => "look for crashes in the worker's log; report it with the dead-id; replay it alone",
        Cause::ExpiredInQueue => "replay it, and take the expiration away: topology check, the producer's properties",
        Cause::Foreign => "ask who publishes to the dead queue; if it is an event, replay it; if not, discard it",
    }
}

/// What a state means for whoever looks at it.
pub fn state(state: StateName) -> &'static str {
    match state {
        StateName::Dead => "it waits for a person",
        StateName::Replaying => "somebody is replaying it",
        StateName::Replayed => "it is an event again; should it die once more, that is another letter",
        StateName::Discarded => "nobody will replay it; leadrelay dead undo takes that back",
    }
}

/// The page of the operations guide.
pub fn runbook(cause: Cause) -> String {
    format!("docs/operating.md#{}", cause.name())
}
