#!/usr/bin/env python3
"""Reads back from outside what became of every event, with nothing of leadrelay's own code.

`standing` waits until so many leads stand at each destination, and prints how many there are; `queued` prints how many
messages are ready; `wait` returns when the queues are empty and every lead is where it belongs (or at the deadline);
`report` prints it all, and fails if a lead is missing, doubled, or came out otherwise than it should.
"""

import argparse
import sys
import textwrap
import time
from collections import Counter

import check_org
import outside
import samples
from checker import judge, read

WIDTH = 44  # what is left of 80 columns beside the name
FORMS_AT_ONCE = 8  # as `in_flight_max` says unasked: more cannot be in doubt after one death


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("command", choices=["standing", "queued", "wait", "report"])
    arguments.add_argument("--amqp")
    arguments.add_argument("--prefix")
    arguments.add_argument("--connection", required=True, help="of the table service")
    arguments.add_argument("--table", required=True, type=pair, help="destination=table")
    arguments.add_argument("--org", required=True, help="URL of the sandbox")
    arguments.add_argument("--rest", required=True, help="the destination that reaches it by REST")
    arguments.add_argument("--form", required=True, help="the destination that posts forms to it")
    arguments.add_argument("--bulk", help="what publish.py has confirmed")
    arguments.add_argument("--at-least", action="append", type=pair, default=[], help="destination=leads; repeatable")
    arguments.add_argument("--seconds", type=float, default=90, help="how long to wait")
    options = arguments.parse_args()

    if options.command == "standing":
        reached = wait_for(options.seconds, 0, lambda: enough(standing(options), options.at_least))
        print(", ".join(f"{len(rows):,} {noun(name, options)} in {name}" for name, rows in standing(options).items()))
        sys.exit(0 if reached else 1)

    broker = outside.connect(options.amqp)
    if options.command == "queued":
        print(f"{View(options, broker).queued:,}")
        return
    bulk = read([options.bulk])
    if options.command == "wait":
        reached = wait_for(options.seconds, 1, lambda: shown(View(options, broker)).settled(bulk))
        sys.exit(0 if reached else 1)
    sys.exit(0 if report(View(options, broker, with_letters=True), bulk) else 1)


def pair(text):
    name, value = text.split("=", 1)
    return name, value


def enough(rows, wanted):
    return all(len(rows[name]) >= int(count) for name, count in wanted)


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
        print(f"\r  {view.queued:>6,} messages queued, {len(view.all_rows()):>6,} leads ", end="\r", file=sys.stderr)
    return view


def standing(options):
    """The leads that stand at each destination, as rows. Of one org's, those without our key were posted as forms."""
    name, table = options.table
    rows = {name: outside.rows(options.connection, table), options.rest: [], options.form: []}
    for lead in check_org.leads(options.org, [*check_org.FIELDS, "Stage__c"]):
        posted = lead[check_org.KEY] is None
        row = check_org.row_of(lead) | {"Stage": lead["Stage__c"], "Final": posted}
        rows[options.form if posted else options.rest].append(row)
    return rows


def noun(name, options):
    return "rows" if name == options.table[0] else "leads"


class View:
    """Destinations and queues at one moment."""

    def __init__(self, options, broker, with_letters=False):
        self.options = options
        self.rows = standing(options)
        self.by_lead = {}
        for name, rows in self.rows.items():
            for row in rows:
                self.by_lead.setdefault(outside.lead_of_row(row), []).append((name, row))
        working = outside.working_queues(options.prefix, self.rows)
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
        """Whether nothing is left to do, as far as leads and depths can tell. Letters are judged later."""
        named = samples.read()
        spare = self.dead - sum("dead" in sample.expect for sample in named)
        judgement = judge(bulk, self.all_rows(), [], [])
        return (
            self.queued == 0
            # A form that was being posted when the worker died is a dead letter, whether it arrived or not.
            and spare >= len(judgement.lost)
            and not judgement.doubled
            and all("dead" in sample.expect or agrees(sample, self) for sample in named)
        )

    def in_doubt(self, letter):
        """A form that was perhaps posted: a person must look, since to post it again might double it."""
        headers = letter["headers"]
        return reason_of(letter) == "unknown" and headers.get("x-leadrelay-destination") == self.options.form


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
        return f"DOUBLED: it stands {len(found)} times"
    if not found:
        return "MISSING: it stands nowhere" if sample.granted else "not delivered, as they wished"
    (destination, row) = found[0]
    one = noun(destination, view.options).removesuffix("s")
    if not sample.granted:
        marked = row["Stage"] == "do-not-contact"
        return f"their {one} now says do-not-contact" if marked else "overtaken by the later consent"
    if (sample.lead(), sample.action) in earlier:
        return f"same {one}, nothing new"
    if any(lead == sample.lead() for lead, _ in earlier):
        if sample.action not in outside.actions_of_row(row):
            return "dropped: a posted form cannot be changed"
        return f"same {one}, journey {', '.join(outside.actions_of_row(row))}"
    return f"{one} in {destination}, {row['Stage']}"


def fitting(words):
    return ("\n" + " " * (79 - WIDTH)).join(textwrap.wrap(words, WIDTH))


def report(view, bulk):
    named = samples.read()
    good = report_samples(view, named)
    known = {sample.digest for sample in named}
    letters = [letter for letters in view.letters.values() for letter in letters if letter["digest"] not in known]
    doubtful = [letter for letter in letters if view.in_doubt(letter)]
    strangers = len(letters) - len(doubtful)
    judgement = judge(bulk, view.all_rows(), doubtful, view.waiting)

    of_lead = {event["digest"]: event["lead"] for event in bulk}
    leads = set(of_lead.values())
    counts = Counter(name for lead in leads for name, _ in view.by_lead.get(lead, []))
    print(f"\n{len(bulk):,} generated events, of {len(leads):,} leads")
    for name in view.rows:
        print(f"  {counts[name]:>6,}  {noun(name, view.options)} in {name}")
    print(f"  {len(judgement.lost):>6,}  events missing")
    print(f"  {len(judgement.doubled):>6,}  leads doubled")
    for what, count in (("dead letters", strangers), ("events still queued", view.queued)):
        if count:
            print(f"  {count:>6,}  {what}")
    # Leads and not letters: a repeat of one in doubt is a letter too.
    doubted = {of_lead[letter["digest"]] for letter in doubtful}
    if doubted:
        arrived = sum(lead in view.by_lead for lead in doubted)
        print(f"  {len(doubted):>6,}  leads for a person to look at: forms being posted when the worker died,")
        print(f"          dead-lettered as `unknown` and not posted again; {arrived} of them did arrive")
    if len(doubted) > FORMS_AT_ONCE:
        print(f"          of which there are more than the {FORMS_AT_ONCE} that are posted at once")
        return False
    return good and judgement.good() and not strangers and not view.queued


def report_samples(view, named):
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
    return good


if __name__ == "__main__":
    main()
