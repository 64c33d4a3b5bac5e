//! Publishing a message of the test's own, past leadrelay.

use std::io::Write;
use std::process::{Command, Stdio};

use super::process::{Rig, service};

const SCRIPT: &str = "
import sys, pika
url, queue, message_id = sys.argv[1:4]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.confirm_delivery()
properties = pika.BasicProperties(message_id=message_id, delivery_mode=2)
channel.basic_publish('', queue, sys.stdin.buffer.read(), properties, mandatory=True)
connection.close()
";

pub fn publish_raw(rig: &Rig, queue: &str, body: &str, message_id: &str) {
    let mut python = Command::new(service("LEADRELAY_TEST_PYTHON"));
    let mut child =
        python.args(["-c", SCRIPT, &rig.amqp_url, queue, message_id]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
