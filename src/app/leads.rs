//! What a destination holds, read back page by page: nothing is kept but the page at hand.

use std::sync::Arc;

use super::parts;
use crate::config::Config;
use crate::domain::found::{FoundLead, Selection};
use crate::domain::reply::Reply;
use crate::domain::route::DestinationName;
use crate::telemetry::Telemetry;

/// Why reading ended before its end.
pub enum Unread {
    /// It cannot be read: why, and where to look.
    OnlyTakes(&'static str),
    Refused(Reply),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Unread {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether there are more than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    More,
}

/// Hands over each of the leads, `limit` at most, in the destination's own order.
pub async fn leads(
    config: &Config,
    name: &DestinationName,
    wanted: &Selection,
    limit: Option<usize>,
    mut each: impl FnMut(FoundLead) -> anyhow::Result<()>,
) -> Result<Rest, Unread> {
    let destinations = parts::destinations(config, &Arc::new(Telemetry::new()))?;
    let found = destinations.into_iter().find(|(known, ..)| known == name);
    let (_, destination, _) = found.ok_or_else(|| anyhow::anyhow!("there is no destination {name}"))?;
    let inspect = destination.inspect().map_err(Unread::OnlyTakes)?;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut next = None;
    loop {
        // One more than is wanted tells whether there are more.
        let page = inspect.page(wanted, left.saturating_add(1), next.as_deref()).await.map_err(Unread::Refused)?;
        for lead in page.leads.into_iter().filter(|lead| wanted.takes(lead)) {
            if left == 0 {
                return Ok(Rest::More);
            }
            left -= 1;
            each(lead)?;
        }
        next = page.next;
        if next.is_none() {
            return Ok(Rest::Nothing);
        }
    }
}
