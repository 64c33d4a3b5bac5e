#!/usr/bin/env python3
"""Publishes the named events that pika sends; prints those that `leadrelay publish` is to send."""

import argparse
import sys

import samples
from publish import Publisher


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", help="AMQP URL")
    arguments.add_argument("--exchange")
    arguments.add_argument("--print-others", action="store_true", help="as JSON lines, and publish nothing")
    options = arguments.parse_args()
    if options.print_others:
        for sample in samples.read():
            if sample.by == "leadrelay publish":
                sys.stdout.buffer.write(sample.body + b"\n")
        return
    publisher = Publisher(options.url, options.exchange, patience=10)
    for number, sample in enumerate(samples.read()):
        if sample.by == "pika":
            publisher.publish(
                sample.routing_key, f"sample-{number}", sample.body, sample.headers, sample.content_type
            )


if __name__ == "__main__":
    main()
