//! One round: claim a batch, intend it where that is needed, send it, record what was accepted. It answers with a finding for every lead and settles
//! nothing: whether a failure is charged depends on the lane's health when the round ends.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::mark_message;
use super::ledger_watch::answered;
use super::progress::{Plan, Progress};
use super::splitting::Splitting;
use super::{Item, Shop};
use crate::broker::Outgoing;
use crate::destination::{Destination, Limits, Outcome, Parcel};
use crate::domain::lead::Purpose;
use crate::domain::repeat::{self, RepeatPolicy};
use crate::domain::reply::{Code, Quick, Reply};
use crate::domain::route::DestinationName;
use crate::domain::verdict::Finding;
use crate::schedule::schedule;
use crate::steps::Step;
use crate::store::ledger::{Ask, Claim, Claiming, Delivered, Recorded, Standing};

/// What rounds of one lane share.
pub struct Sender {
    pub shop: Arc<Shop>,
    pub name: DestinationName,
    pub destination: Arc<dyn Destination>,
    pub limits: Limits,
    pub policy: RepeatPolicy,
    /// The lane is closed: only then is a batch split, and a request repeated at once.
    pub closed: AtomicBool,
    /// An operator has paused the lane: what of a batch has not gone out waits.
    pub paused: AtomicBool,
    /// An operator has called the rejections of some leads right: then no lead is rejected for its neighbours.
    pub accepting: AtomicBool,
    /// So many rounds may be sending at once.
    sending: Semaphore,
}

/// A lead and what was found of it.
pub struct Found {
    pub item: Item,
    pub finding: Finding,
    /// To be published before the lead's message is acknowledged.
    pub companion: Option<Box<Outgoing>>,
}

pub struct RoundEnd {
    pub found: Vec<Found>,
    pub started: Instant,
    /// It was a lead that probed a paused lane.
    pub probe: bool,
}

impl Sender {
    pub fn new(
        shop: Arc<Shop>,
        name: DestinationName,
        destination: Arc<dyn Destination>,
        policy: RepeatPolicy,
    ) -> Self {
        let limits = destination.limits();
        let (closed, paused, accepting) = (AtomicBool::new(true), AtomicBool::new(false), AtomicBool::new(false));
        let sending = Semaphore::new(limits.in_flight_max);
        Self { shop, name, destination, limits, policy, closed, paused, accepting, sending }
    }

    /// Interrupted, it answers that it was, for every lead: none of them is charged anything.
    pub async fn round(self: Arc<Self>, items: Vec<Item>, probe: bool) -> RoundEnd {
        // Not when it claimed: a success of the round whose turn it waited for says nothing of what it was answered.
        let turn_came = OnceLock::new();
        let work = AssertUnwindSafe(self.work(&items, probe, &turn_came)).catch_unwind();
        let findings = match self.shop.stop.halt.run_until_cancelled(work).await {
            None => Vec::new(),
            Some(Ok(findings)) => findings,
            Some(Err(_)) => {
                self.shop.telemetry.panicked("a round", None);
                let reply = Reply::Transient { code: Code::known("panic"), quick: Quick::Pointless };
                items.iter().map(|_| (Finding::Replied(reply.clone()), None)).collect()
            }
        };
        let interrupted = std::iter::repeat_with(|| (Finding::Interrupted, None));
        let findings = findings.into_iter().chain(interrupted);
        let found =
            items.into_iter().zip(findings).map(|(item, (finding, companion))| Found { item, finding, companion });
        let found = found.collect();
        RoundEnd { found, started: turn_came.into_inner().unwrap_or_else(Instant::now), probe }
    }

    async fn work(
        &self,
        items: &[Item],
        probe: bool,
        turn_came: &OnceLock<Instant>,
    ) -> Vec<(Finding, Option<Box<Outgoing>>)> {
        let mut progress = self.claim(items).await;
        let turn = self.sending.acquire().await;
        turn_came.get_or_init(Instant::now);
        if probe || self.closed.load(Ordering::Relaxed) {
            // In its turn, and not before: an intent that is not followed by its send bars the lead if we end here.
            self.intend(items, &mut progress).await;
            self.send(items, &mut progress).await;
        } else {
            self.shut_out(&mut progress).await;
        }
        drop(turn);
        self.record(items, &mut progress).await;
        let answer = |progress| match progress {
            Progress::Known(finding) => (finding, None),
            Progress::Owed(finding, companion) => (finding, companion),
            Progress::Confirmed { .. } | Progress::Ready { .. } | Progress::Answered { .. } => {
                (Finding::Interrupted, None)
            }
        };
        progress.into_iter().map(answer).collect()
    }

    /// The lane was paused while the round waited for its turn.
    async fn shut_out(&self, progress: &mut [Progress]) {
        for progress in progress.iter_mut().filter(|progress| matches!(progress, Progress::Ready { .. })) {
            self.give_up(progress, Finding::LaneShut).await;
        }
    }

    /// Claims every lead, and decides what each brings.
    async fn claim(&self, items: &[Item]) -> Vec<Progress> {
        let asks = |item: &Item| Ask {
            key: item.lead.key,
            destination: self.name.clone(),
            person: item.lead.person,
            address: item.lead.address,
            granted_at: (item.lead.purpose == Purpose::Deliver).then_some(item.lead.event.consent.at),
        };
        // Asked once: a channel that closes meanwhile must not shift the answers onto other leads.
        let live: Vec<bool> = items.iter().map(|item| !item.unsettled.is_stale()).collect();
        let live_items = items.iter().zip(&live).filter(|(_, live)| **live);
        let asks: Vec<Ask> = live_items.map(|(item, _)| asks(item)).collect();
        let (ledger, halt) = (&self.shop.ledger, &self.shop.stop.halt);
        let claimings = self.shop.each_while_down(Step::Claim, halt, asks, |asks| ledger.claim(asks)).await;
        let mut claimings = claimings.into_iter();
        let mut duplicates = Vec::new();
        let mut progress = Vec::with_capacity(items.len());
        for (item, live) in items.iter().zip(live) {
            progress.push(match live.then(|| claimings.next()).flatten() {
                None => Progress::Known(Finding::Interrupted),
                Some(Err(finding)) => Progress::Known(finding),
                Some(Ok(Claiming::InHand)) => Progress::Known(Finding::ClaimedElsewhere),
                Some(Ok(Claiming::Withdrawn)) => Progress::Known(Finding::Withdrawn),
                Some(Ok(Claiming::Granted(claim))) => self.assess(item, claim, &mut duplicates),
            });
        }
        self.release(duplicates).await;
        progress
    }

    fn assess(&self, item: &Item, claim: Claim, duplicates: &mut Vec<Claim>) -> Progress {
        let digests = item.lead.digests(&self.shop.keyring);
        match repeat::assess(claim.record(), &item.lead, &digests, self.policy, self.shop.clock.now()) {
            Some(write) => Progress::Ready { claim, plan: Plan { write, digests, intention: None } },
            None => match claim.record().and_then(|record| repeat::confirmed(record, &item.lead, &digests)) {
                Some(record) => Progress::Confirmed { claim, record },
                None => {
                    let unmarked = repeat::leaves_unmarked(claim.record(), &item.lead, self.policy);
                    duplicates.push(claim);
                    Progress::Known(if unmarked { self.unmarkable(item) } else { Finding::Duplicate })
                }
            },
        }
    }

    fn unmarkable(&self, item: &Item) -> Finding {
        self.shop.telemetry.unmarked(&self.name, item.lead.key);
        Finding::Unmarkable
    }

    /// Sends what is ready, splitting a batch that failed as a whole until the culprit stands alone.
    async fn send(&self, items: &[Item], progress: &mut [Progress]) {
        let ready = |(_, progress): &(usize, &Progress)| matches!(progress, Progress::Ready { .. });
        let all: Vec<usize> = progress.iter().enumerate().filter(ready).map(|(index, _)| index).collect();
        let fuse = self.shop.settings.health.reject_fuse;
        let mut splitting =
            Splitting::new(all.len(), (!self.accepting.load(Ordering::Relaxed)).then_some(fuse as usize));
        let mut parts = vec![all];
        while let Some(part) = parts.pop() {
            let part = self.renew(part, progress).await;
            if part.is_empty() {
                continue;
            }
            let outcome = self.send_part(items, progress, &part).await;
            let again = part.iter().any(|&index| items[index].envelope.attempt > 0);
            let closed = self.closed.load(Ordering::Relaxed);
            let replies = match outcome {
                Outcome::Whole(reply) if splitting.splits(&reply, part.len(), again, closed) => {
                    splitting.failed();
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([right.to_vec(), left.to_vec()]);
                    continue;
                }
                Outcome::Whole(reply) => vec![reply; part.len()],
                Outcome::Each(replies) => replies,
            };
            splitting.saw(&replies);
            for (index, reply) in part.into_iter().zip(replies) {
                self.shop.telemetry.replied(&self.name, &reply);
                progress[index].answer(reply);
            }
        }
    }

    /// Sends one part of the batch, and once more within the second where that may help.
    async fn send_part(&self, items: &[Item], progress: &[Progress], part: &[usize]) -> Outcome {
        let parcels: Vec<Parcel<'_>> = part.iter().filter_map(|&index| progress[index].parcel(&items[index])).collect();
        let outcome = self.send_once(&parcels).await;
        if !self.closed.load(Ordering::Relaxed) || !outcome.is_worth_repeating() {
            return outcome;
        }
        let pause = schedule(Duration::from_millis(100), Duration::from_secs(1)).next().unwrap_or_default();
        tokio::time::sleep(pause).await;
        let covered = parcels.iter().all(|parcel| parcel.claim.covers(self.limits.send_timeout, Instant::now()));
        if covered && self.may_send() { self.send_once(&parcels).await } else { outcome }
    }

    async fn send_once(&self, parcels: &[Parcel<'_>]) -> Outcome {
        let started = Instant::now();
        let send = AssertUnwindSafe(self.destination.send(parcels)).catch_unwind();
        let send = tokio::time::timeout(self.limits.send_timeout + Duration::from_secs(1), send);
        let outcome = match self.shop.steps.around(Step::Send, send).await {
            Ok(Ok(Outcome::Each(replies))) if replies.len() == parcels.len() => Outcome::Each(replies),
            Ok(Ok(Outcome::Whole(reply))) if !reply.is_accepted() => Outcome::Whole(reply),
            Ok(Ok(_)) => self.unanswered("protocol"),
            Ok(Err(_)) => {
                self.shop.telemetry.panicked("sending", parcels.first().map(|parcel| parcel.lead.key));
                self.unanswered("panic")
            }
            Err(_) => self.unanswered("timeout"),
        };
        self.shop.telemetry.sent(&self.name, parcels.len(), started.elapsed());
        outcome
    }

    /// It may have been sent.
    fn unanswered(&self, code: &'static str) -> Outcome {
        let code = Code::known(code);
        Outcome::Whole(match self.limits.idempotent {
            true => Reply::Transient { code, quick: Quick::Pointless },
            false => Reply::Unknown(code),
        })
    }

    /// The consuming connection is up and was heard lately: otherwise another worker may own the ledger by now.
    fn may_send(&self) -> bool {
        self.shop.broker.link().borrow().consuming
    }

    /// No send starts with a claim that could end before it, or that was not checked against the ledger lately.
    async fn renew(&self, part: Vec<usize>, progress: &mut [Progress]) -> Vec<usize> {
        let paused = self.paused.load(Ordering::Relaxed).then_some(Finding::LaneShut);
        if let Some(finding) = paused.or((!self.may_send()).then_some(Finding::Interrupted)) {
            for index in part {
                self.give_up(&mut progress[index], finding.clone()).await;
            }
            return Vec::new();
        }
        let now = Instant::now();
        let stale = |&index: &usize| !progress[index].covers(self.limits.send_timeout, now);
        let stale: Vec<usize> = part.iter().copied().filter(stale).collect();
        if stale.is_empty() {
            return part;
        }
        let (mut plans, mut claims) = (Vec::new(), Vec::new());
        for &index in &stale {
            let taken = std::mem::replace(&mut progress[index], Progress::Known(Finding::ClaimedElsewhere));
            if let Progress::Ready { claim, plan } = taken {
                plans.push((index, plan));
                claims.push(claim);
            }
        }
        // Not tried again: what a failed call did with the claims is not known, and they are cheap to make anew.
        let renewed = self.shop.steps.around(Step::Renew, answered(self.shop.ledger.renew(claims))).await;
        let renewed = renewed.unwrap_or_else(|error| {
            self.shop.ledger_state.failed(&error, &self.shop.telemetry);
            Vec::new()
        });
        let mut renewed = renewed.into_iter();
        for (index, plan) in plans {
            match renewed.next().flatten() {
                Some(claim) => progress[index] = Progress::Ready { claim, plan },
                None => self.never_sent(&mut progress[index], plan).await,
            }
        }
        part.into_iter().filter(|&index| matches!(progress[index], Progress::Ready { .. })).collect()
    }

    /// Records what was accepted, and releases what was not.
    async fn record(&self, items: &[Item], progress: &mut [Progress]) {
        self.take_back(progress).await;
        let (mut accepted, mut deliveries, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (index, slot) in progress.iter_mut().enumerate() {
            *slot = match std::mem::replace(slot, Progress::Known(Finding::Interrupted)) {
                Progress::Answered { claim, plan: Plan { write, digests, .. }, reply } if reply.is_accepted() => {
                    let lead = &items[index].lead;
                    let record = repeat::recorded(claim.record(), lead, &digests, &write, self.shop.clock.now());
                    deliveries.push(Delivered { claim, record });
                    accepted.push(index);
                    Progress::Known(Finding::Replied(reply))
                }
                Progress::Answered { claim, reply, .. } => {
                    refused.push(claim);
                    Progress::Known(Finding::Replied(reply.under(self.limits.on_unknown)))
                }
                Progress::Confirmed { claim, record } => {
                    deliveries.push(Delivered { claim, record });
                    accepted.push(index);
                    Progress::Known(Finding::Duplicate)
                }
                other => other,
            };
        }
        self.release(refused).await;
        let recorded = self.commit(deliveries).await;
        for (place, index) in accepted.into_iter().enumerate() {
            progress[index].recorded(recorded.get(place), |at| self.mark(&items[index], at));
        }
    }

    async fn commit(&self, deliveries: Vec<Delivered>) -> Vec<Recorded> {
        if deliveries.is_empty() {
            return Vec::new();
        }
        let deliveries: Arc<[Delivered]> = deliveries.into();
        let record = || self.shop.ledger.record(Arc::clone(&deliveries));
        self.shop.while_down(Step::Record, &self.shop.stop.halt, record).await.unwrap_or_default()
    }

    fn mark(&self, item: &Item, at: jiff::Timestamp) -> Option<Outgoing> {
        let offer = item.lead.event.offer.written().to_owned();
        let standing = Standing { key: item.lead.key, destination: self.name.clone(), offer };
        mark_message(&self.shop.keyring, &item.lead.event, &standing, (at, self.shop.clock.now()))
    }

    pub(super) async fn release(&self, claims: Vec<Claim>) {
        if !claims.is_empty() {
            self.shop.steps.around(Step::Release, self.shop.ledger.release(claims)).await;
        }
    }

    async fn give_up(&self, progress: &mut Progress, finding: Finding) {
        if let Progress::Ready { claim, plan } = std::mem::replace(progress, Progress::Known(finding)) {
            self.never_sent(progress, plan).await;
            self.release(vec![claim]).await;
        }
    }
}

impl Outcome {
    fn is_worth_repeating(&self) -> bool {
        matches!(self, Self::Whole(Reply::Transient { quick: Quick::Worthwhile, .. }))
    }
}
