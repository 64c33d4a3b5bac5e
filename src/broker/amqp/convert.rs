//! lapin's properties and field tables, and ours. Nothing is lost but what a republish must not carry, and nothing
//! that a producer writes can make it panic.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString};

use crate::domain::envelope::{HeaderValue, Headers, Properties};

/// How often a quorum queue has handed the message out before; absent on a first delivery from RabbitMQ 3.12 on.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// Marks a message within the window that it was published in. It means nothing to anybody else.
pub(super) const WINDOW_ID: &str = "x-leadrelay-window-id";

/// A property or header that AMQP cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is over 255 bytes long")]
pub(super) struct TooLong(&'static str);

/// The properties of a received message, and its delivery count.
pub(super) fn received(properties: &BasicProperties) -> (Properties, u64) {
    let text = |short: &Option<ShortString>| short.as_ref().map(|short| short.as_str().to_owned());
    let mut headers = properties.headers().as_ref().map(headers_of).unwrap_or_default();
    let delivery_count = headers.remove(DELIVERY_COUNT).and_then(|count| count.as_int()).unwrap_or(0);
    headers.remove(WINDOW_ID);
    let ours = Properties {
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        message_id: text(properties.message_id()),
        correlation_id: text(properties.correlation_id()),
        kind: text(properties.kind()),
        app_id: text(properties.app_id()),
        timestamp: *properties.timestamp(),
        headers,
    };
    (ours, u64::try_from(delivery_count).unwrap_or(0))
}

/// The properties of a message to publish: persistent, and marked with its place in the window.
pub(super) fn outgoing(properties: &Properties, window_id: u64) -> Result<BasicProperties, TooLong> {
    let mut headers = table_of(&properties.headers)?;
    headers.insert(WINDOW_ID.into(), AMQPValue::LongLongInt(window_id.cast_signed()));
    let mut theirs = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    if let Some(text) = short("content_type", &properties.content_type)? {
        theirs = theirs.with_content_type(text);
    }
    if let Some(text) = short("content_encoding", &properties.content_encoding)? {
        theirs = theirs.with_content_encoding(text);
    }
    if let Some(text) = short("message_id", &properties.message_id)? {
        theirs = theirs.with_message_id(text);
    }
    if let Some(text) = short("correlation_id", &properties.correlation_id)? {
        theirs = theirs.with_correlation_id(text);
    }
    if let Some(text) = short("type", &properties.kind)? {
        theirs = theirs.with_type(text);
    }
    if let Some(text) = short("app_id", &properties.app_id)? {
        theirs = theirs.with_app_id(text);
    }
    if let Some(seconds) = properties.timestamp {
        theirs = theirs.with_timestamp(seconds);
    }
    Ok(theirs)
}

/// Where a returned message stood in its window.
pub(super) fn window_id(properties: &BasicProperties) -> Option<u64> {
    match properties.headers().as_ref()?.inner().get(WINDOW_ID)? {
        AMQPValue::LongLongInt(id) => Some(id.cast_unsigned()),
        _ => None,
    }
}

fn short(name: &'static str, text: &Option<String>) -> Result<Option<ShortString>, TooLong> {
    text.as_ref().map(|text| ShortString::try_new(text.as_str()).map_err(|_| TooLong(name))).transpose()
}

fn headers_of(table: &FieldTable) -> Headers {
    table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), value_of(value))).collect()
}

/// By recursion: `sieve` has seen to it that nothing is nested deep.
fn value_of(value: &AMQPValue) -> HeaderValue {
    match value {
        AMQPValue::Void => HeaderValue::Null,
        AMQPValue::Boolean(bool) => HeaderValue::Bool(*bool),
        AMQPValue::ShortShortInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::ShortShortUInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::ShortInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::ShortUInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::LongInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::LongUInt(int) => HeaderValue::Int(i64::from(*int)),
        AMQPValue::LongLongInt(int) => HeaderValue::Int(*int),
        AMQPValue::Float(float) => HeaderValue::Float(f64::from(*float)),
        AMQPValue::Double(float) => HeaderValue::Float(*float),
        AMQPValue::DecimalValue(decimal) => HeaderValue::Decimal { scale: decimal.scale, value: decimal.value },
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str().to_owned()),
        AMQPValue::LongString(text) => text_or_bytes(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::Timestamp(seconds) => HeaderValue::Timestamp(*seconds),
        AMQPValue::FieldArray(items) => HeaderValue::List(items.as_slice().iter().map(value_of).collect()),
        AMQPValue::FieldTable(table) => HeaderValue::Table(headers_of(table)),
    }
}

/// AMQP's strings are bytes; most of them are text.
fn text_or_bytes(bytes: &[u8]) -> HeaderValue {
    match std::str::from_utf8(bytes) {
        Ok(text) => HeaderValue::Text(text.to_owned()),
        Err(_) => HeaderValue::Bytes(bytes.to_vec()),
    }
}

fn table_of(headers: &Headers) -> Result<FieldTable, TooLong> {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        let name = ShortString::try_new(name.as_str()).map_err(|_| TooLong("a header's name"))?;
        table.insert(name, field_of(value)?);
    }
    Ok(table)
}

fn field_of(value: &HeaderValue) -> Result<AMQPValue, TooLong> {
    Ok(match value {
        HeaderValue::Null => AMQPValue::Void,
        HeaderValue::Bool(bool) => AMQPValue::Boolean(*bool),
        HeaderValue::Int(int) => AMQPValue::LongLongInt(*int),
        HeaderValue::Float(float) => AMQPValue::Double(*float),
        HeaderValue::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value }),
        HeaderValue::Text(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
        HeaderValue::Bytes(bytes) => AMQPValue::ByteArray(ByteArray::from(bytes.as_slice())),
        HeaderValue::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        HeaderValue::List(items) => {
            AMQPValue::FieldArray(FieldArray::from(items.iter().map(field_of).collect::<Result<Vec<_>, _>>()?))
        }
        HeaderValue::Table(headers) => AMQPValue::FieldTable(table_of(headers)?),
    })
}
