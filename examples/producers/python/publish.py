#!/usr/bin/env python3
"""Publishes consent events so that none is lost: persistent, mandatory, and confirmed by the broker.

usage: AMQP_URL=amqp://… publish.py events.jsonl

Ends with 1 if an event was not confirmed. Publish those again, under the same EventId: the worker knows a repeat.
Needs pika.
"""

import json
import os
import sys

import pika
from pika.exceptions import NackError, UnroutableError


def publish(channel, exchange, event):
    """Returns what went wrong, or None: then the event is on disk, and leadrelay's."""
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=event["EventId"],
        app_id="example-producer",
    )
    body = json.dumps(event, ensure_ascii=False).encode()
    try:
        # After confirm_delivery this waits for the broker's word.
        channel.basic_publish(exchange, event["Offer"], body, properties, mandatory=True)
    except UnroutableError:
        return "returned: no queue is bound to the exchange"
    except NackError:
        return "refused: the queue is full"
    return None


def main():
    url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
    exchange = os.environ.get("EXCHANGE", "leads")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    confirmed = failed = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            problem = publish(channel, exchange, event)
            if problem:
                failed += 1
                print(f"{event['EventId']}: {problem}")
            else:
                confirmed += 1
    connection.close()
    print(f"{confirmed} confirmed, {failed} not")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
