#!/usr/bin/env python3
"""Tries what a broker's user may do with leadrelay's exchanges and queues, and prints it as a JSON object.

usage: permissions.py URL PREFIX

Every attempt has a connection of its own: a refusal closes the channel, and some of them more.
"""

import json
import sys

import pika
from pika.exceptions import AMQPError, UnroutableError


def attempts(prefix):
    inbox, fates = f"{prefix}.consent", f"{prefix}.fates"
    none = pika.BasicProperties(delivery_mode=2)

    def publish(exchange, key):
        def attempt(channel):
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, b"{}", none, mandatory=True)

        return attempt

    def consume(queue):
        def attempt(channel):
            tag = channel.basic_consume(queue, lambda *_: None)
            channel.basic_cancel(tag)

        return attempt

    return {
        "publish to the exchange": publish(prefix, "contoso.x"),
        "publish to the inbox": publish("", inbox),
        "publish to another queue": publish("", f"{prefix}.dead"),
        "publish a fate": publish(fates, "delivered.x"),
        "publish to a foreign exchange": publish("amq.topic", "x"),
        "declare the exchange": lambda channel: channel.exchange_declare(prefix, "topic", durable=True),
        "declare a queue of the prefix": lambda channel: channel.queue_declare(f"{prefix}.wait.x", durable=True, arguments={"x-queue-type": "quorum"}),
        "declare a foreign queue": lambda channel: channel.queue_declare("foreign", durable=True),
        "bind to the exchange": lambda channel: channel.queue_bind(inbox, prefix, "#"),
        "get from the inbox": lambda channel: channel.basic_get(inbox),
        "consume the inbox": consume(inbox),
        "consume the dead letters": consume(f"{prefix}.dead"),
        "purge the inbox": lambda channel: channel.queue_purge(inbox),
        "delete a queue": lambda channel: channel.queue_delete(f"{prefix}.wait.x"),
        "delete the exchange of fates": lambda channel: channel.exchange_delete(fates),
    }


def main():
    url, prefix = sys.argv[1:3]
    found = {}
    for name, attempt in attempts(prefix).items():
        connection = pika.BlockingConnection(pika.URLParameters(url))
        try:
            attempt(connection.channel())
            found[name] = "may"
        except UnroutableError:
            found[name] = "may"  # nobody listens, which is no matter of permissions
        except AMQPError as error:
            code = getattr(error, "reply_code", None)
            found[name] = "may not" if code == 403 else repr(error)
        if connection.is_open:
            connection.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
