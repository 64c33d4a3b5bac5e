#!/usr/bin/env python3
"""Deletes the exchange and the queues of one prefix, for a broker that others use too."""

import argparse

import outside


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", required=True, help="AMQP URL")
    arguments.add_argument("--prefix", required=True)
    arguments.add_argument("--destinations", default="contoso-table,fabrikam-table", help="comma-separated")
    options = arguments.parse_args()
    connection = outside.connect(options.url)
    channel = connection.channel()
    # Sources before their targets, so that nothing is dead-lettered into a void. Unknown names are no error.
    queues = outside.working_queues(options.prefix, options.destinations.split(","))
    for queue in [*queues, f"{options.prefix}.dead"]:
        channel.queue_delete(queue)
    channel.exchange_delete(options.prefix)
    connection.close()


if __name__ == "__main__":
    main()
