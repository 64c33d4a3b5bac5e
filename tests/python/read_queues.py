#!/usr/bin/env python3
"""Prints every ready message of some queues as a JSON line, and leaves it where it is.

Stop the worker first: what it holds cannot be seen, and each look counts as a delivery of the message that it looks at.
With --count it prints only how many there are, which counts as nothing. A queue that does not exist has none.
"""

import argparse
import json
import os

import outside


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default=os.environ.get("LEADRELAY_TEST_AMQP_URL"), help="AMQP URL")
    arguments.add_argument("--count", action="store_true")
    arguments.add_argument("queues", nargs="+")
    options = arguments.parse_args()
    connection = outside.connect(options.url)
    if options.count:
        print(sum(outside.depths(connection, options.queues).values()))
        return
    for queue in options.queues:
        for message in outside.messages(connection, queue):
            message["body"] = message["body"].decode(errors="replace")
            print(json.dumps(message, ensure_ascii=False, default=str))
    connection.close()


if __name__ == "__main__":
    main()
