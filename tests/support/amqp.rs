//! Publishing a message of the test's own, past leadrelay.

use std::io::Write;
use std::process::{Command, Stdio};

use super::process::{Rig, service};

const SCRIPT: &str = "
import json, sys, pika
url, queue, message_id, properties = sys.argv[1:5]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
properties = pika.BasicProperties(message_id=message_id, delivery_mode=2, **json.loads(properties))
channel.basic_publish('', queue, sys.stdin.buffer.read(), properties, mandatory=True)
connection.close()
";

pub fn publish_raw(rig: &Rig, queue: &str, body: &str, message_id: &str) {
    publish_with(rig, queue, body, message_id, "{}");
}

/// With more properties, as JSON.
pub fn publish_with(rig: &Rig, queue: &str, body: &str, message_id: &str, properties: &str) {
    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
    let mut child = python
        .args(["-c", SCRIPT, &rig.amqp_url, queue, message_id, properties])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

const TAKE_AND_RETURN: &str = "
import sys, pika
url, queue = sys.argv[1:3]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
for _ in range(110):
    method, _, _ = channel.basic_get(queue)
    if method is None:
        break
    channel.basic_nack(method.delivery_tag, requeue=True)
else:
    sys.exit('the broker has not given it up')
connection.close()
";

/// Takes the one message of a queue and hands it back until the broker gives it up, as workers do that crash on it.
pub fn crash_on_it(rig: &Rig, queue: &str) {
    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
    assert!(python.args(["-c", TAKE_AND_RETURN, &rig.amqp_url, queue]).status().unwrap().success());
}
