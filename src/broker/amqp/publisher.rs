//! Publishing, so that a confirm can be believed.
//!
//! lapin gives a confirm to the wrong publish when two tasks share a channel (77 of 4,000), and a returned message to
//! the wrong confirm even with one (measured). So one task publishes, in windows; no answer of a window is believed
//! before all of it is in; and what came back is known by an id that it carries.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, Supervised};
use super::convert;
use super::together::together;
use super::topology::{self, Names};
use super::trouble::{answered, code, explain};
use crate::broker::{BrokerError, Link, Outgoing, PublishError, Publishing, Queue};
use crate::domain::envelope::{self, Message, Properties};
use crate::domain::fate::Notice;
use crate::telemetry::Telemetry;

/// Larger windows bring nothing (measured).
const WINDOW_MAX: usize = 500;

/// How long a window may take, and how long a connection is waited for, not counting the time that the broker blocks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to open a channel.
const CHANNEL_PAUSE: Duration = Duration::from_millis(50);

/// Room for our own headers beside what [`envelope::HEADERS_MAX`] leaves to a producer's.
const HEADERS_MAX: usize = envelope::HEADERS_MAX + 16 * 1024;

/// Where a message is published to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Queue(Queue),
    /// Our exchange, as a producer would.
    Exchange {
        routing_key: String,
    },
    /// The exchange of fates, to which nobody need listen.
    Fates {
        routing_key: String,
    },
}

/// A message with its target.
#[derive(Clone)]
struct Letter {
    target: Target,
    message: Message,
}

struct Request {
    letters: Vec<Letter>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

type Outcome = Result<(), PublishError>;

/// Hands messages to the one task that publishes.
#[derive(Clone)]
pub(super) struct Publisher {
    requests: mpsc::Sender<Request>,
}

impl Publisher {
    /// The publisher, and the task's loop for the caller to run.
    pub fn new(
        (publishing, consuming): (Supervised, Supervised),
        names: Names,
        link: watch::Receiver<Link>,
        telemetry: Arc<Telemetry>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (requests, inbox) = mpsc::channel(1_024);
        let desk = Desk { publishing, consuming, names, link, telemetry, channel: None, next_id: 0 };
        (Self { requests }, desk.run(inbox))
    }

    pub async fn publish_to_queues(&self, outgoing: &[Outgoing]) -> Vec<Outcome> {
        let letter = |one: &Outgoing| Letter { target: Target::Queue(one.queue.clone()), message: one.message.clone() };
        self.publish(outgoing.iter().map(letter).collect()).await
    }

    pub async fn publish_to_exchange(&self, messages: &[(String, Message)]) -> Vec<Outcome> {
        let letter = |(routing_key, message): &(String, Message)| Letter {
            target: Target::Exchange { routing_key: routing_key.clone() },
            message: message.clone(),
        };
        self.publish(messages.iter().map(letter).collect()).await
    }

    pub async fn publish_fates(&self, notices: &[Notice]) -> Vec<Outcome> {
        let letter = |notice: &Notice| {
            let kind = Some("leadrelay.fate".to_owned());
            let properties = Properties { content_type: Some("application/json".into()), kind, ..Default::default() };
            let message = Message { body: notice.to_json().into(), properties };
            Letter { target: Target::Fates { routing_key: notice.routing_key() }, message }
        };
        self.publish(notices.iter().map(letter).collect()).await
    }

    async fn publish(&self, letters: Vec<Letter>) -> Vec<Outcome> {
        let count = letters.len();
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Request { letters, answer }).await;
        let outcomes = match sent {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        outcomes.unwrap_or_else(|| vec![Err(PublishError::Unconfirmed); count])
    }
}

/// The task that publishes, and its channel.
struct Desk {
    publishing: Supervised,
    /// Declares go over this one: on a blocked connection they would wait.
    consuming: Supervised,
    names: Names,
    link: watch::Receiver<Link>,
    telemetry: Arc<Telemetry>,
    channel: Option<Channel>,
    next_id: u64,
}

/// A window whose outcome is not known.
enum Abandoned {
    /// There was no connection to publish on.
    NoChannel,
    /// It took too long, or the channel closed, perhaps because of one message in it.
    Broken { why: String, culprit: PublishError },
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(first) = inbox.recv().await {
            let requests = gather(first, &mut inbox);
            let letters: Vec<&Letter> = requests.iter().flat_map(|request| &request.letters).collect();
            let mut outcomes = Vec::with_capacity(letters.len());
            for window in letters.chunks(WINDOW_MAX) {
                outcomes.extend(self.publish(window).await);
            }
            let mut outcomes = outcomes.into_iter();
            for request in requests {
                let theirs = outcomes.by_ref().take(request.letters.len()).collect();
                // Who no longer waits publishes again: a duplicate, never a loss.
                let _ = request.answer.send(theirs);
            }
        }
    }

    async fn publish(&mut self, window: &[&Letter]) -> Vec<Outcome> {
        let mut outcomes = match self.publish_window(window).await {
            Ok(outcomes) => outcomes,
            Err(Abandoned::NoChannel) => vec![Err(PublishError::Unconfirmed); window.len()],
            Err(Abandoned::Broken { why, .. }) => {
                self.telemetry.window_abandoned(window.len(), &why);
                self.publish_singly(window).await
            }
        };
        self.declare_and_publish_returned(window, &mut outcomes).await;
        outcomes
    }

    /// One message that the broker cannot bear must not hold up its neighbours.
    async fn publish_singly(&mut self, window: &[&Letter]) -> Vec<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        let mut outcomes = Vec::with_capacity(window.len());
        for letter in window {
            let mut outcome = Err(PublishError::Unconfirmed);
            // Twice, because the first may fail for another's sake: publishes that lapin had queued for the channel that
            // closed go out after it has, and the broker closes the connection for that (504, seen).
            for _ in 0..2 {
                if outcome == Err(PublishError::Unconfirmed) && Instant::now() < deadline {
                    outcome = self.publish_alone(letter).await;
                }
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn publish_alone(&mut self, letter: &Letter) -> Outcome {
        match self.publish_window(&[letter]).await {
            Ok(alone) => alone.into_iter().next().unwrap_or(Err(PublishError::Unconfirmed)),
            Err(Abandoned::NoChannel) => Err(PublishError::Unconfirmed),
            Err(Abandoned::Broken { culprit, .. }) => Err(culprit),
        }
    }

    /// A wait queue is declared at first need, which is when a message for it comes back.
    async fn declare_and_publish_returned(&mut self, window: &[&Letter], outcomes: &mut [Outcome]) {
        let returned = |(at, outcome): (usize, &Outcome)| match (&window[at].target, outcome) {
            (Target::Queue(queue @ Queue::Wait(_)), Err(PublishError::Returned)) => Some((at, queue.clone())),
            _ => None,
        };
        let returned: Vec<(usize, Queue)> = outcomes.iter().enumerate().filter_map(returned).collect();
        if returned.is_empty() {
            return;
        }
        let queues: HashSet<Queue> = returned.iter().map(|(_, queue)| queue.clone()).collect();
        let Ok(connection) = self.consuming.get(PATIENCE).await else { return };
        for queue in queues {
            let Ok(channel) = connection.channel().await else { return };
            if let Err(error) = topology::declare(&channel, &self.names, &queue).await {
                self.telemetry.declare_failed(&queue.to_string(), &error.to_string());
            }
        }
        let again: Vec<&Letter> = returned.iter().map(|(at, _)| window[*at]).collect();
        if let Ok(second) = self.publish_window(&again).await {
            for ((at, _), outcome) in returned.into_iter().zip(second) {
                outcomes[at] = outcome;
            }
        }
    }

    /// Publishes, and answers once every confirm and every return of the window is in.
    async fn publish_window(&mut self, window: &[&Letter]) -> Result<Vec<Outcome>, Abandoned> {
        let channel = self.channel().await?;
        let first_id = self.next_id;
        self.next_id += window.len() as u64;
        let names = self.names.clone();
        let outcome = tokio::select! {
            biased;
            outcomes = publish_on(&channel, &names, window, first_id) => outcomes,
            () = patience(self.link.clone()) => Err(timed_out()),
        };
        if outcome.is_err() {
            self.abandon_channel();
        }
        outcome
    }

    /// The channel, or a new one, as soon as there is a connection that bears one.
    async fn channel(&mut self) -> Result<Channel, Abandoned> {
        if let Some(channel) = self.channel.clone().filter(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let connection = self.publishing.get(left).await.map_err(|_| Abandoned::NoChannel)?;
            // Fails on a connection that is about to be lost; then `get` waits for the next.
            if let Ok(channel) = confirming_channel(&connection).await {
                self.channel = Some(channel.clone());
                return Ok(channel);
            }
            if left.is_zero() {
                return Err(Abandoned::NoChannel);
            }
            tokio::time::sleep(CHANNEL_PAUSE).await;
        }
    }

    /// What is still to come on it is answered to nobody: the next window has a channel of its own.
    fn abandon_channel(&mut self) {
        if let Some(channel) = self.channel.take() {
            tokio::spawn(async move { answered(channel.close(200, "abandoned".into())).await });
        }
    }
}

async fn confirming_channel(connection: &Connection) -> Result<Channel, BrokerError> {
    let channel = connection.channel().await?;
    answered(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// Requests that have come in meanwhile share a window.
fn gather(first: Request, inbox: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut count = first.letters.len();
    let mut requests = vec![first];
    while count < WINDOW_MAX {
        let Ok(next) = inbox.try_recv() else { break };
        // Nobody waits for it any more, and nothing of it was published.
        if !next.answer.is_closed() {
            count += next.letters.len();
            requests.push(next);
        }
    }
    requests
}

async fn publish_on(
    channel: &Channel,
    names: &Names,
    window: &[&Letter],
    first_id: u64,
) -> Result<Vec<Outcome>, Abandoned> {
    let sends = window.iter().zip(first_id..).map(|(letter, id)| send(channel, names, letter, id));
    let confirms = together(sends.collect()).await?;
    let mut returned = HashSet::new();
    let mut outcomes = Vec::with_capacity(window.len());
    for confirm in confirms {
        let Some(confirm) = confirm else {
            outcomes.push(Err(PublishError::Refused));
            continue;
        };
        let (outcome, came_back) = match confirm.await.map_err(|error| broken(&error))? {
            Confirmation::Ack(came_back) => (Ok(()), came_back),
            Confirmation::Nack(came_back) => (Err(PublishError::Refused), came_back),
            Confirmation::NotRequested => (Err(PublishError::Unconfirmed), None),
        };
        outcomes.push(outcome);
        // Whose it is, only its id can tell.
        returned.extend(came_back.and_then(|message| convert::window_id(&message.properties)));
    }
    for (outcome, id) in outcomes.iter_mut().zip(first_id..) {
        if returned.contains(&id) {
            *outcome = Err(PublishError::Returned);
        }
    }
    Ok(outcomes)
}

/// Answers once it is written; `None` for a message that cannot be sent. lapin takes number and frames of a publish together
/// when it is first polled, so that those that one task polls keep their confirms.
async fn send(
    channel: &Channel,
    names: &Names,
    letter: &Letter,
    id: u64,
) -> Result<Option<PublisherConfirm>, Abandoned> {
    let Some((exchange, key, properties)) = prepared(letter, names, id) else { return Ok(None) };
    let mandatory = !matches!(letter.target, Target::Fates { .. });
    let options = BasicPublishOptions { mandatory, immediate: false };
    let sent = channel.basic_publish(exchange.into(), key, options, &letter.message.body, properties).await;
    sent.map(Some).map_err(|error| broken(&error))
}

/// The exchange, the routing key and the properties; `None` for a message that AMQP cannot carry, or whose header
/// would not fit a frame, which closes the connection, for ever again.
fn prepared<'a>(
    letter: &Letter,
    names: &'a Names,
    id: u64,
) -> Option<(&'a str, lapin::types::ShortString, lapin::BasicProperties)> {
    let properties = &letter.message.properties;
    if envelope::size_of_headers(&properties.headers) > HEADERS_MAX {
        return None;
    }
    let (exchange, key) = match &letter.target {
        Target::Queue(queue) => ("", names.queue(queue)),
        Target::Exchange { routing_key } => (names.exchange(), routing_key.clone()),
        Target::Fates { routing_key } => (names.fates()?, routing_key.clone()),
    };
    let key = lapin::types::ShortString::try_new(key).ok()?;
    Some((exchange, key, convert::outgoing(properties, id).ok()?))
}

fn broken(error: &lapin::Error) -> Abandoned {
    let culprit = match code(error) {
        // No such exchange: nothing takes it, as with a return.
        Some(404) => PublishError::Returned,
        // Not permitted, or too large.
        Some(403 | 311 | 406) => PublishError::Refused,
        _ => PublishError::Unconfirmed,
    };
    Abandoned::Broken { why: explain(error).to_string(), culprit }
}

fn timed_out() -> Abandoned {
    Abandoned::Broken { why: "the broker did not confirm in time".into(), culprit: PublishError::Unconfirmed }
}

/// Ends after 30 s in which the broker did not block publishing. While it does, nothing that we wrote is even read.
async fn patience(mut link: watch::Receiver<Link>) {
    let mut left = PATIENCE;
    loop {
        let blocked = link.borrow_and_update().publishing == Publishing::Blocked;
        let since = Instant::now();
        if blocked {
            if link.changed().await.is_err() {
                return;
            }
        } else {
            match timeout(left, link.changed()).await {
                Ok(Ok(())) => left = left.saturating_sub(since.elapsed()),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_does_not_run_out_while_the_broker_blocks() {
        let open = Link { consuming: true, publishing: Publishing::Open };
        let link = watch::Sender::new(open);
        let began = Instant::now();
        let waiting = tokio::spawn(patience(link.subscribe()));
        tokio::time::sleep(Duration::from_secs(10)).await;
        link.send_replace(Link { publishing: Publishing::Blocked, ..open });
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        link.send_replace(open);
        waiting.await.expect("no panic");
        assert_eq!(began.elapsed().as_secs(), 3_630);
    }
}
