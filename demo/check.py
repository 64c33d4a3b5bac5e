#!/usr/bin/env python3
"""Reads back from outside what became of every event, with nothing of leadrelay's own code.

`rows` waits for so many rows in the first table and prints how many there are; `queued` prints how many
messages are ready; `wait` returns when the queues are empty and every lead is where it belongs (or at the deadline);
`report` prints it all, and fails if a lead is missing, doubled, or came out otherwise than it should.
"""

import argparse
import sys
import textwrap
import time
from collections import Counter

import outside
import samples
from checker import judge, read

WIDTH = 44  # what is left of 80 columns beside the name


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", choices=["rows", "queued", "wait", "report"])
    arguments.add_argument("--amqp")
    arguments.add_argument("--prefix")
    arguments.add_argument("--connection", required=True, help="of the table service")
    arguments.add_argument("--table", action="append", required=True, help="destination=table; repeatable")
    arguments.add_argument("--bulk", help="what publish.py has confirmed")
    arguments.add_argument("--at-least", type=int, default=1, help="rows to wait for")
    arguments.add_argument("--seconds", type=float, default=90, help="how long to wait")
    options = arguments.parse_args()
    tables = dict(table.split("=", 1) for table in options.table)

    if options.command == "rows":
        table = next(iter(tables.values()))
        reached = wait_for(options.seconds, 0, lambda: outside.count_rows(options.connection, table) >= options.at_least)
        print(f"{outside.count_rows(options.connection, table):,}")
        sys.exit(0 if reached else 1)

    broker = outside.connect(options.amqp)
    if options.command == "queued":
        print(f"{View(options, tables, broker).queued:,}")
        return
    bulk = read([options.bulk])
    if options.command == "wait":
        reached = wait_for(options.seconds, 1, lambda: shown(View(options, tables, broker)).settled(bulk))
        sys.exit(0 if reached else 1)
    sys.exit(0 if report(View(options, tables, broker, with_letters=True), bulk) else 1)


def wait_for(seconds, pause, condition):
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def shown(view):
    """Tells somebody who watches how far it is, on a line that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r  {view.queued:>6,} messages queued, {len(view.all_rows()):>6,} rows ", end="\r", file=sys.stderr)
    return view


class View:
    """Tables and queues at one moment."""

    def __init__(self, options, tables, broker, with_letters=False):
        self.rows = {name: outside.rows(options.connection, table) for name, table in tables.items()}
        self.by_lead = {}
        for name, rows in self.rows.items():
            for row in rows:
                self.by_lead.setdefault(outside.lead_of_row(row), []).append((name, row))
        working = outside.working_queues(options.prefix, tables)
        dead = f"{options.prefix}.dead"
        self.queued = sum(outside.depths(broker, working).values())
        self.dead = outside.depths(broker, [dead])[dead]
        # Looking at a message counts as a delivery of it: once, at the end, is enough.
        self.letters, self.waiting = {}, []
        if with_letters:
            for letter in outside.messages(broker, dead):
                self.letters.setdefault(letter["digest"], []).append(letter)
            self.waiting = [message for queue in working for message in outside.messages(broker, queue)]

    def all_rows(self):
        return [row for rows in self.rows.values() for row in rows]

    def settled(self, bulk):
        """Whether nothing is left to do, as far as tables and depths can tell. Letters are judged later."""
        named = samples.read()
        return (
            self.queued == 0
            and self.dead >= sum("dead" in sample.expect for sample in named)
            and judge(bulk, self.all_rows(), [], []).good()
            and all("dead" in sample.expect or agrees(sample, self) for sample in named)
        )


def agrees(sample, view):
    """Whether a sample came out as it should."""
    expect = sample.expect
    letters = view.letters.get(sample.digest, [])
    if "dead" in expect:
        return any(
            reason_of(letter) == expect["dead"] and detail_of(letter).startswith(expect.get("at", ""))
            for letter in letters
        )
    found = view.by_lead.get(sample.lead(), [])
    if letters or "nothing" in expect:
        return not letters and not found
    if len(found) != 1:
        return False
    (destination, row) = found[0]
    return (
        destination == expect["row"]
        and outside.actions_of_row(row) == expect["journey"]
        and row["Stage"] == expect.get("stage", row["Stage"])
    )


def reason_of(letter):
    return str(letter["headers"].get("x-leadrelay-reason", "no reason"))


def detail_of(letter):
    return str(letter["headers"].get("x-leadrelay-detail", ""))


def became(sample, view, earlier):
    """What became of a sample, as found, in a few words. `earlier`: (lead, action) of those before it."""
    if letters := view.letters.get(sample.digest):
        return ": ".join(filter(None, [reason_of(letters[0]), detail_of(letters[0])]))
    if any(message["digest"] == sample.digest for message in view.waiting):
        return "still queued"
    if "dead" in sample.expect:
        return "MISSING: no dead letter"
    found = view.by_lead.get(sample.lead(), [])
    if len(found) > 1:
        return f"DOUBLED: {len(found)} rows"
    if not found:
        return "MISSING: no row" if sample.granted else "not delivered, as they wished"
    (destination, row) = found[0]
    if not sample.granted:
        marked = row["Stage"] == "do-not-contact"
        return "their row now says do-not-contact" if marked else "overtaken by the later consent"
    if (sample.lead(), sample.action) in earlier:
        return "same row, nothing new"
    if any(lead == sample.lead() for lead, _ in earlier):
        return f"same row, journey {', '.join(outside.actions_of_row(row))}"
    return f"row in {destination}, {row['Stage']}"


def fitting(words):
    return ("\n" + " " * (79 - WIDTH)).join(textwrap.wrap(words, WIDTH))


def report(view, bulk):
    named = samples.read()
    good = True
    earlier = set()
    title = None
    for sample in named:
        right = agrees(sample, view)
        good &= right
        if title != (title := "Dead letters" if "dead" in sample.expect else "Sample events"):
            print(f"\n{title}")
        words = became(sample, view, earlier)
        print(f"  {'✓' if right else '✗'} {sample.name:<30} {fitting(words)}")
        if "dead" not in sample.expect and sample.granted:
            earlier.add((sample.lead(), sample.action))

    known = {sample.digest for sample in named}
    strangers = [letter for letters in view.letters.values() for letter in letters if letter["digest"] not in known]
    judgement = judge(bulk, view.all_rows(), strangers, view.waiting)
    leads = {event["lead"] for event in bulk}
    rows = Counter(name for lead in leads for name, _ in view.by_lead.get(lead, []))
    print(f"\n{len(bulk):,} generated events, of {len(leads):,} leads")
    for name, count in sorted(rows.items()):
        print(f"  {count:>6,}  rows in {name}")
    print(f"  {len(judgement.lost):>6,}  events missing")
    print(f"  {len(judgement.doubled):>6,}  leads doubled")
    for what, count in (("dead letters", len(strangers)), ("events still queued", view.queued)):
        if count:
            print(f"  {count:>6,}  {what}")
    return good and judgement.good() and not strangers and not view.queued


if __name__ == "__main__":
    main()
