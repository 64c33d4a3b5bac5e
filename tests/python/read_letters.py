#!/usr/bin/env python3
"""Prints every letter of a dead-letter office as a JSON line, in the form of read_queues.py. A file that is not there has none."""

import argparse
import json
import os
import sqlite3

import outside

LETTERS = "SELECT body, properties, state, cause, ending FROM letters JOIN contents ON letter = id ORDER BY dead_at, id"


def plain(value):
    """A header as pika would read it."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "table":
        return {name: plain(member) for name, member in inner.items()}
    return [plain(item) for item in inner] if kind == "list" else inner


def letters(path):
    if not os.path.exists(path):
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    for body, properties, state, cause, ending in connection.execute(LETTERS):
        properties = json.loads(properties)
        headers = {name: plain(value) for name, value in properties.get("headers", {}).items()}
        yield {
            "queue": "office",
            "message_id": properties.get("message_id"),
            "headers": headers,
            "digest": outside.digest(body),
            "body": body.decode(errors="replace"),
            "state": state,
            "reason": cause,
            "ending": ending,
        }
    connection.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", help="the SQLite file")
    for letter in letters(arguments.parse_args().file):
        print(json.dumps(letter, ensure_ascii=False))


if __name__ == "__main__":
    main()
