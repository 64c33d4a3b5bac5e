#!/usr/bin/env python3
"""Publishes generated events, and prints one JSON line for each that the broker has confirmed.

An event whose confirm did not come (the broker was killed, say) is published again, under the same id,
for as long as --patience says: what was printed is what leadrelay owes.
"""

import argparse
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pika
from pika.exceptions import AMQPError

import events
import outside


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True, help="AMQP URL")
    arguments.add_argument("--exchange", default="leads")
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--offers", default="contoso.loadbalancer", help="comma-separated; events take turns")
    arguments.add_argument("--repeats", type=float, default=0.1, help="share of exact repeats")
    arguments.add_argument("--additions", type=float, default=0.05, help="share that adds an action to a lead")
    arguments.add_argument("--malformed", type=int, default=0, help="this many broken ones at the end")
    arguments.add_argument("--queue", help="straight to this queue, as one that was tried --attempts times before")
    arguments.add_argument("--attempts", type=int, default=0)
    arguments.add_argument("--connections", type=int, default=4, help="1 keeps the order")
    arguments.add_argument("--patience", type=float, default=60, help="seconds without a broker before giving up")
    options = arguments.parse_args()

    todo = messages(options)
    lock = threading.Lock()

    def work():
        publisher = Publisher(options.url, "" if options.queue else options.exchange, options.patience)
        while True:
            with lock:
                routing_key, body, confirmed = next(todo, (None, None, None))
            if body is None:
                return
            publisher.publish(routing_key, confirmed["id"], body, headers_of(options))
            with lock:
                print(json.dumps(confirmed, ensure_ascii=False), flush=True)

    with ThreadPoolExecutor(options.connections) as pool:
        for worker in [pool.submit(work) for _ in range(options.connections)]:
            worker.result()


def messages(options):
    """What to publish: routing key, body, and the line to print once it is confirmed."""
    offers = options.offers.split(",")
    for event in events.generate(options.count, options.seed, offers, options.repeats, options.additions):
        yield options.queue or event["Offer"], events.body_of(event), events.confirmation(event)
    for number in range(options.malformed):
        name = f"malformed-{options.seed}-{number}"
        body = b'{"EventId": "%s", "CustomerInfo": ' % name.encode()
        yield "malformed", body, {"id": name, "lead": None, "action": None, "digest": outside.digest(body)}


def headers_of(options):
    """What a worker stamps on what it puts into a retry queue."""
    if not options.queue:
        return None
    return {"x-leadrelay-attempt": options.attempts, "x-leadrelay-first-received": "2026-11-01T00:00:00Z"}


class Publisher:
    """One message at a time, persistent and mandatory, confirmed before the next."""

    def __init__(self, url, exchange, patience):
        self.url, self.exchange, self.patience = url, exchange, patience
        self.channel = None

    def publish(self, routing_key, message_id, body, headers=None, content_type="application/json"):
        properties = pika.BasicProperties(
            message_id=message_id, headers=headers, content_type=content_type, delivery_mode=2
        )
        deadline = time.monotonic() + self.patience
        while True:
            try:
                if self.channel is None:
                    self.channel = outside.connect(self.url).channel()
                    self.channel.confirm_delivery()
                # Raises if the message is nacked or returned, and if the connection ends first.
                self.channel.basic_publish(self.exchange, routing_key, body, properties, mandatory=True)
                return
            except (AMQPError, OSError):
                self.channel = None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


if __name__ == "__main__":
    main()
