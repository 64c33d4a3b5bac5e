#!/usr/bin/env python3
"""Says for every confirmed event what became of it, and fails if one is lost or a lead stands twice.

It looks only at what publish.py confirmed, at the rows, and at the messages in queues and dead letters,
all as JSON lines, with the worker stopped. It believes none of the worker's own counters.
"""

import argparse
import json
import sys
from collections import Counter

from outside import actions_of_row, lead_of_row


class Judgement:
    def __init__(self):
        self.fates = Counter()  # of events: delivered, dead, queued, LOST
        self.lost = []  # ids of events
        self.doubled = []  # leads with more than one row
        self.unconfirmed = []  # leads of rows that nobody confirmed: a publisher died before its confirm

    def good(self):
        return not self.lost and not self.doubled

    def as_dict(self):
        return {
            "fates": dict(self.fates),
            "lost": self.lost,
            "doubled": self.doubled,
            "unconfirmed": len(self.unconfirmed),
        }


def judge(confirmed, rows, letters, queued):
    """An event is delivered only if its action stands in its lead's journey: a row alone may be another's.

    A row that nobody can change (`Final`: a posted form) answers for every action of its lead: by design the others are
    dropped.
    """
    result = Judgement()
    standing = Counter(lead_of_row(row) for row in rows)
    final = {lead_of_row(row) for row in rows if row.get("Final")}
    journeys = {}
    for row in rows:
        journeys.setdefault(lead_of_row(row), set()).update(actions_of_row(row))
    dead = {message["digest"] for message in letters}
    waiting = {message["digest"] for message in queued}

    # A repeat is the first one's body again, and owes nothing of its own.
    for event in {event["digest"]: event for event in confirmed}.values():
        if event["action"] in journeys.get(event["lead"], ()) or event["lead"] in final:
            fate = "delivered"
        elif event["digest"] in dead:
            fate = "dead"
        elif event["digest"] in waiting:
            fate = "queued"
        else:
            fate = "LOST"
            result.lost.append(event["id"])
        result.fates[fate] += 1

    result.doubled = sorted(lead for lead, count in standing.items() if count > 1)
    result.unconfirmed = sorted(standing.keys() - {event["lead"] for event in confirmed})
    return result


def read(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            lines += [json.loads(line) for line in file if line.strip()]
    return lines


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--confirmed", nargs="+", required=True, help="output of publish.py")
    arguments.add_argument("--rows", nargs="*", default=[], help="output of check_table.py")
    arguments.add_argument("--dead", nargs="*", default=[], help="output of read_queues.py for the dead letters")
    arguments.add_argument("--queued", nargs="*", default=[], help="output of read_queues.py for all other queues")
    options = arguments.parse_args()
    confirmed = read(options.confirmed)
    if not confirmed:
        sys.exit("checker.py: no event was confirmed: there is nothing to check")
    result = judge(confirmed, read(options.rows), read(options.dead), read(options.queued))
    print(json.dumps(result.as_dict(), ensure_ascii=False))
    sys.exit(0 if result.good() else 1)


if __name__ == "__main__":
    main()
