//! A letter is mended: judged by the worker's own decoder and by [what may change](mend), kept beside what it was, and
//! replayed by a plan of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use super::desk::{Desk, DeskError};
use super::mask;
use super::replay::{forecast, terms};
use crate::domain::envelope::Message;
use crate::domain::event::mend::{self, Change, Closed, Mended, Unfit};
use crate::store::dead_letters::{Edit, Edited, Kept};

/// A letter with another body, which may be kept and replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Revised {
    /// As it would be.
    pub letter: Kept,
    pub mended: Mended,
}

/// The body as a person edits it. A letter may be dead because reading it panics.
pub fn draft(kept: &Kept) -> Result<String, Closed> {
    catch_unwind(AssertUnwindSafe(|| mend::draft(&kept.message))).unwrap_or(Err(Closed::Opaque))
}

/// The letter with this body; or why it is not taken.
pub fn revise(kept: &Kept, body: Bytes) -> Result<Revised, Unfit> {
    let message = Message { body, properties: kept.message.properties.clone() };
    let judge = || mend::mend(&kept.message, &message, forecast::known_since(kept));
    let mended = catch_unwind(AssertUnwindSafe(judge)).unwrap_or(Err(Unfit::Closed(Closed::Opaque)))?;
    Ok(Revised { letter: Kept { message, ..kept.clone() }, mended })
}

impl Desk {
    /// Keeps what was revised, as `kept` was seen, and makes the plan that replays it.
    pub async fn edit(&self, revised: Revised, terms: &terms::Kept, why: &str) -> Result<Edited, DeskError> {
        let Revised { letter, mended: Mended { event, changes } } = revised;
        let (email, offer) = (&event.customer.email, &event.offer);
        let edit = Edit {
            id: letter.entry.id,
            version: letter.entry.version,
            body: letter.message.body,
            offer: Some(offer.normalised().to_owned()),
            lead: Some(self.keyring.lead_key(email, offer)),
            address: Some(self.keyring.address_key(email)),
        };
        let act = self.act(&format!("{}: {why}", places(&changes)));
        Ok(self.letters.edit(edit, terms.write(), act).await?)
    }
}

/// For the history: where something changed, and nothing of what stands there.
fn places(changes: &[Change]) -> String {
    const TOLD: usize = 20;
    let told: Vec<String> = changes.iter().take(TOLD).map(|change| mask::pointer(&change.pointer)).collect();
    let beyond = changes.len().saturating_sub(TOLD);
    let beyond = if beyond > 0 { format!(" and {beyond} more") } else { String::new() };
    told.join(", ") + &beyond
}
