#!/usr/bin/env python3
"""Puts dead letters of six reasons straight into a dead queue, as a worker or the broker would have written them, and
prints one JSON line for each once the queue holds them all: what publish.py prints, and the reason and destination."""

import argparse
import json
import random
import sys
import time
from datetime import datetime, timedelta, timezone

import pika

import events
import outside

OFFERS = ["contoso.loadbalancer", "contoso.firewall"]
DESTINATION = "contoso-table"
# Reason, share, whether it had been sent to a destination.
REASONS = [
    ("rejected", 0.30, True),
    ("expired", 0.25, True),
    ("attempts_exhausted", 0.20, True),
    ("unroutable", 0.15, False),
    ("crashed_worker", 0.09, False),
    ("malformed", 0.01, False),
]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True, help="AMQP URL")
    arguments.add_argument("--prefix", default="leads")
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    queue = f"{options.prefix}.dead"
    connection = outside.connect(options.url)
    channel = connection.channel()
    lines = []
    for body, properties, line in letters(options):
        channel.basic_publish("", queue, body, properties, mandatory=True)
        lines.append(json.dumps(line, ensure_ascii=False))
    patience = time.monotonic() + 60
    while outside.depths(connection, [queue])[queue] < options.count:
        if time.monotonic() > patience:
            sys.exit("bury.py: the queue does not hold them all")
        time.sleep(0.05)
    connection.close()
    print("\n".join(lines))


def letters(options):
    chance = random.Random(options.seed)
    now = datetime.now(timezone.utc)
    reasons = [(reason, sent) for reason, share, sent in REASONS for _ in range(round(share * options.count))]
    chance.shuffle(reasons)
    made = events.generate(options.count, options.seed, OFFERS, repeats=0, additions=0.02)
    for number, (event, (reason, sent)) in enumerate(zip(made, reasons, strict=True)):
        died = now - timedelta(seconds=options.count - number)
        line = events.confirmation(event) | {"reason": reason, "destination": DESTINATION if sent else None}
        body = events.body_of(event)
        if reason == "malformed":
            # Nobody knows whether there is consent: it can only die again.
            body = json.dumps({name: value for name, value in event.items() if name != "Consent"}).encode()
            line |= {"lead": None, "action": None, "digest": outside.digest(body)}
        yield body, properties(line, died, f"{options.prefix}.consent"), line


def properties(line, died, inbox):
    """The broker writes where it gave a message up; a worker writes why."""
    if line["reason"] == "crashed_worker":
        death = {"reason": "delivery_limit", "queue": inbox, "count": 1, "time": died, "exchange": ""}
        headers = {"x-death": [death]}
    else:
        headers = {
            "x-leadrelay-reason": line["reason"],
            "x-leadrelay-detail": "PropertyValueTooLarge" if line["destination"] else "/",
            "x-leadrelay-attempt": 12 if line["destination"] else 0,
            "x-leadrelay-first-received": (died - timedelta(days=8)).isoformat(),
            "x-leadrelay-dead-at": died.isoformat(),
        }
        if line["destination"]:
            headers["x-leadrelay-destination"] = line["destination"]
    return pika.BasicProperties(message_id=line["id"], headers=headers, delivery_mode=2)


if __name__ == "__main__":
    main()
