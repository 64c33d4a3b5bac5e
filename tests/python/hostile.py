#!/usr/bin/env python3
"""Publishes what no decent producer would, each with an event that is itself valid unless its name says otherwise.

Prints what publish.py prints, one JSON line a confirmed message. Some of it pika refuses to write: its bytes are made
here.
"""

import argparse
import json
import struct
import sys

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

import events
import outside

FRAME_MAX = 131_072


class Raw(pika.BasicProperties):
    """Properties as the bytes that go over the wire, beside the ones that pika writes."""

    def __init__(self, flags, encoded):
        super().__init__(delivery_mode=2)
        self.flags, self.encoded = flags, encoded

    def encode(self):
        return [struct.pack(">H", self.flags), self.encoded]


def short(text):
    return struct.pack("B", len(text)) + text


def table(fields):
    """A table of (name, encoded value)."""
    content = b"".join(short(name) + value for name, value in fields)
    return struct.pack(">I", len(content)) + content


def sized(kind, content):
    return kind + struct.pack(">I", len(content)) + content


def headers(*fields):
    # Headers, delivery mode and message id.
    return Raw(1 << 13 | 1 << 12 | 1 << 7, table(fields) + b"\x02" + short(b"hostile"))


def nested(levels, kind=b"A", name=b""):
    """Arrays in arrays, or tables in tables."""
    step = 5 + len(name)
    return b"".join(kind + struct.pack(">I", step * (levels - 1 - level)) + (name if level < levels - 1 else b"")
                    for level in range(levels))


def text(size):
    return sized(b"S", b"x" * size)


BAD = b"not\xff\xfetext"
OURS = ["attempt", "first-received", "waited", "reason", "detail", "destination", "replay", "dead-id", "lead-key",
        "mark", "window-id", "future"]
WRONG = [b"V", b"t\x01", b"l\x7f" + b"\xff" * 7, b"l\x80" + b"\0" * 7, b"d\x7f\xef" + b"\xff" * 6, b"D\xff" + b"\xff" * 4,
         b"T" + b"\xff" * 8, sized(b"S", b""), sized(b"S", b"9" * 400), sized(b"S", BAD), sized(b"x", BAD),
         sized(b"A", b"V" * 50), b"F" + table([(b"", b"V"), (b"a", nested(40))])]


def messages(prefix):
    """Name, properties, and where there is one a routing key of its own."""
    fits = FRAME_MAX - 64
    yield "arrays", headers((b"a", nested(fits // 5))), None
    yield "tables", headers((b"a", nested(fits // 7, b"F", b"\x01a"))), None
    yield "a thousand arrays", headers((b"a", nested(1000))), None
    yield "one large text", headers((b"a", text(fits - 10))), None
    yield "just too large for us", headers((b"a", text(66_000))), None
    yield "many voids", headers((b"a", sized(b"A", b"V" * (fits - 10)))), None
    yield "many names", headers(*((b"%d" % number, b"V") for number in range(15_000))), None
    yield "one name often", headers(*((b"same", b"V") for _ in range(15_000))), None
    yield "bad name", headers((BAD, b"V")), None
    yield "long bad name", headers((b"\xff" * 255, b"V")), None
    yield "bad value", headers((b"a", sized(b"S", BAD))), None
    for place in (15, 14, 10, 9, 7, 5, 3, 2):
        yield f"bad property {place}", Raw(1 << place, short(BAD)), None
    yield "bad routing key", headers(), BAD
    for number, value in enumerate(WRONG):
        yield f"ours, wrong {number}", headers(*((f"x-leadrelay-{name}".encode(), value) for name in OURS)), None
        yield f"any, wrong {number}", headers((b"a", value), (b"traceparent", value)), None
    yield "old", headers((b"x-leadrelay-first-received", sized(b"S", b"1970-01-01T00:00:00Z"))), None
    yield "in a minute", pika.BasicProperties(expiration="60000", delivery_mode=2, priority=255, user_id="guest"), None
    yield "malformed at once", pika.BasicProperties(expiration="0", delivery_mode=2), None
    yield "malformed soon", pika.BasicProperties(expiration="100", delivery_mode=2), None
    copied = {"CC": [f"{prefix}.aside"], "BCC": [f"{prefix}.aside"]}
    yield "malformed and copied", pika.BasicProperties(headers=copied, delivery_mode=2), None
    for queue in ("retry.5s", "consent", "dead"):
        death = {"count": 10**15, "reason": "expired", "queue": f"{prefix}.{queue}", "exchange": "", "routing-keys": []}
        forged = {"x-death": [death], "x-first-death-queue": f"{prefix}.{queue}", "x-first-death-reason": "expired"}
        yield f"died in {queue}", pika.BasicProperties(headers=forged, delivery_mode=2), None
        yield f"malformed, died in {queue}", pika.BasicProperties(headers=forged, delivery_mode=2), None


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True, help="AMQP URL")
    arguments.add_argument("--exchange", required=True)
    options = arguments.parse_args()
    channel = open_channel(options)
    channel.queue_declare(f"{options.exchange}.aside")
    for number, (name, properties, key) in enumerate(messages(options.exchange)):
        event = events.event(number, number, "contoso.loadbalancer", "INS", "AzureMarketplace", seed=666)
        body, confirmed = events.body_of(event), events.confirmation(event)
        if name.startswith("malformed"):
            body = b'{"hostile": %d' % number
            confirmed |= {"lead": None, "action": None, "digest": outside.digest(body)}
        exchange, key = (options.exchange, key) if key else ("", f"{options.exchange}.consent")
        try:
            channel.basic_publish(exchange, key, body, properties, mandatory=True)
        except (ConnectionClosedByBroker, ChannelClosedByBroker) as refusal:
            print(f"the broker refuses {name!r}: {refusal}", file=sys.stderr)
            channel = open_channel(options)
            continue
        print(json.dumps(confirmed | {"id": name}, ensure_ascii=False), flush=True)
    channel.connection.close()


def open_channel(options):
    channel = outside.connect(options.url).channel()
    channel.confirm_delivery()
    return channel


if __name__ == "__main__":
    main()
