//! What a failure means: try again, stand by, or a person must look, and what that person can do.
//!
//! No text of ours names the user or the password; the broker's own texts are used only for arguments of queues.

use std::future::Future;
use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::AMQPError;
use tokio::time::timeout;

use crate::broker::BrokerError;

/// The longest that the broker may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// Every wait for the broker has an end: lapin's futures may never resolve once a connection has gone (measured).
pub(super) async fn answered<T>(asked: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| explain(&error)),
        Err(_) => Err(BrokerError::Unreachable("the broker does not answer".into())),
    }
}

pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    protocol_error(error).map(AMQPError::get_id)
}

fn protocol_error(error: &lapin::Error) -> Option<&AMQPError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error),
        _ => None,
    }
}

/// What a failed operation on a channel means.
pub(super) fn explain(error: &lapin::Error) -> BrokerError {
    let Some(protocol) = protocol_error(error) else { return BrokerError::Unreachable(error.to_string()) };
    let text = protocol.get_message().as_str();
    let object = quoted(text).unwrap_or("the queues");
    match protocol.get_id() {
        ACCESS_REFUSED => BrokerError::Refused(format!(
            "the broker denies access to {object}: grant the user of broker.url configure, write and read on it \
             (rabbitmqctl set_permissions)"
        )),
        NOT_FOUND => BrokerError::Missing(object.to_owned()),
        RESOURCE_LOCKED => BrokerError::Owned(object.to_owned()),
        PRECONDITION_FAILED => BrokerError::Topology(mismatch(text)),
        _ => BrokerError::Unreachable(format!("{} ({})", reply_name(text), protocol.get_id())),
    }
}

/// What a failed handshake means.
pub(super) fn explain_handshake(error: &lapin::Error, vhost: &str) -> BrokerError {
    match code(error) {
        Some(ACCESS_REFUSED) => BrokerError::Refused(
            "the broker refuses the user name or the password of broker.url: mend them there, or add the user \
             (rabbitmqctl add_user)"
                .into(),
        ),
        Some(NOT_ALLOWED) => BrokerError::Refused(format!(
            "the virtual host `{vhost}` does not exist or is closed to the user of broker.url: mend the end of \
             broker.url, or create it (rabbitmqctl add_vhost) and grant permissions (rabbitmqctl set_permissions)"
        )),
        None => BrokerError::Unreachable(format!(
            "it broke off the handshake: is that the port of AMQP, with TLS or without as broker.url says? ({error})"
        )),
        Some(_) => explain(error),
    }
}

/// `PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'leads.consent' in vhost '/': received the
/// value '100' of type 'signedint' but current is the value '50' of type 'signedint'`, in our words.
pub(super) fn mismatch(text: &str) -> String {
    let quotes: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let found = || text.split_once("but current is ").map(|(_, found)| found);
    let wanted = || text.split_once("received ").and_then(|(_, rest)| rest.split_once(" but current is "));
    match (quotes.as_slice(), wanted(), found()) {
        ([argument, object, ..], Some((wanted, _)), Some(found)) if text.contains("inequivalent arg") => {
            format!("{object}: {argument} is {}, wanted {}", value_in(found), value_in(wanted))
        }
        _ => text.to_owned(),
    }
}

/// `the value '100' of type 'signedint'` or `none`.
fn value_in(text: &str) -> &str {
    match quoted(text) {
        Some("") => "empty",
        Some(value) => value,
        None => text,
    }
}

fn quoted(text: &str) -> Option<&str> {
    text.split('\'').nth(1)
}

/// `CONNECTION_FORCED` of `CONNECTION_FORCED - broker forced connection closure…`.
fn reply_name(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// lapin's futures may never resolve once a connection has gone (measured).
    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_broker_has_an_end() {
        let began = tokio::time::Instant::now();
        let error = answered(std::future::pending::<lapin::Result<()>>()).await.expect_err("nobody answers");
        assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
        assert_eq!(began.elapsed(), ANSWER_TIMEOUT);
    }

    #[test]
    fn a_mismatch_names_the_queue_the_argument_and_both_values() {
        let said = |current: &str, received: &str| {
            mismatch(&format!(
                "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'leads.consent' in vhost '/': \
                 received {received} but current is {current}"
            ))
        };
        let value = |value: &str| format!("the value '{value}' of type 'longstr'");
        assert_eq!(said(&value("a"), &value("b")), "leads.consent: x-dead-letter-exchange is a, wanted b");
        assert_eq!(said("none", &value("")), "leads.consent: x-dead-letter-exchange is none, wanted empty");
    }
}
