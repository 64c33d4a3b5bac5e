#!/usr/bin/env python3
"""Says of every letter that bury.py made whether it was replayed once, by one plan, and no faster than was allowed.

It reads the office's file, with no command of leadrelay's, and fails if a letter is missing, was replayed never or more
than once, or was won by two plans.
"""

import argparse
import json
import sqlite3
import sys
from collections import Counter

import outside
from checker import read

LETTERS = """SELECT hex(id), state, generation, died_generation, cause, body FROM letters JOIN contents ON letter = id"""
DEEDS = "SELECT hex(letter), at, who, what, why FROM deeds ORDER BY n"
WINDOW = 5  # seconds


def judge(buried, letters, deeds, rate):
    """Faults, as text. A malformed letter dies again, as another letter of the next generation; no other does."""
    faults = []
    first, again = Counter(), Counter()
    by_letter = {}
    for deed in deeds:
        by_letter.setdefault(deed["letter"], []).append(deed)
    for letter in letters:
        if letter["died_generation"] > 0:
            again[letter["digest"]] += 1
            continue
        first[letter["digest"]] += 1
        faults += faults_of(letter, by_letter.get(letter["letter"], []))
    for line in buried:
        malformed = line["reason"] == "malformed"
        if first[line["digest"]] != 1:
            faults.append(f"{line['id']} is {first[line['digest']]} letters")
        if again[line["digest"]] != int(malformed):
            faults.append(f"{line['id']}, {line['reason']}, died again {again[line['digest']]} times")
    if len(letters) != len(buried) + sum(again.values()):
        faults.append(f"there are {len(letters)} letters of {len(buried)}")
    return [*faults, *too_fast(deeds, rate)]


def faults_of(letter, deeds):
    name = f"{letter['letter']}, {letter['cause']}"
    if (letter["state"], letter["generation"]) != ("replayed", 1):
        yield f"{name} is {letter['state']} in generation {letter['generation']}"
    done = Counter(deed["what"] for deed in deeds)
    # Its end tells that it was published, too, should whoever published it be killed before saying so.
    if done["published"] > 1 or not done["taken"]:
        yield f"{name} was taken {done['taken']} times and published {done['published']} times"
    wanted = {"dead"} if letter["cause"] == "malformed" else {"delivered", "duplicate"}
    ends = [what for what in done.elements() if what in {"delivered", "duplicate", "suppressed", "unmarked", "dead"}]
    if len(ends) != 1 or not wanted.issuperset(ends):
        yield f"{name} ended as {ends}"
    winners = {deed["why"] for deed in deeds if deed["what"] in {"taken", "published"}}
    if len(winners) != 1:
        yield f"{name} was won by {sorted(winners)}"


def too_fast(deeds, rate):
    """What is taken is published at once. A budget that was saved up may be spent on top, but not more than a second's."""
    taken = {}
    for deed in deeds:
        if deed["what"] == "taken":
            taken.setdefault(deed["why"], Counter())[deed["at"] // 1_000_000] += 1
    for plan, seconds in taken.items():
        most = max(sum(seconds[at + n] for n in range(WINDOW)) for at in seconds)
        if most > rate * (WINDOW + 1):
            yield f"{plan} published {most} in {WINDOW} s"


def read_office(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    names = ["letter", "state", "generation", "died_generation", "cause"]
    letters = [
        dict(zip(names, row, strict=True)) | {"digest": outside.digest(body)}
        for *row, body in connection.execute(LETTERS)
    ]
    deeds = [
        dict(zip(["letter", "at", "who", "what", "why"], row, strict=True)) for row in connection.execute(DEEDS)
    ]
    connection.close()
    return letters, deeds


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--buried", required=True, help="output of bury.py")
    arguments.add_argument("--office", required=True, help="the SQLite file")
    arguments.add_argument("--rate", type=int, required=True, help="letters a second that a plan was allowed")
    options = arguments.parse_args()
    letters, deeds = read_office(options.office)
    buried = read([options.buried])
    if not buried:
        sys.exit("check_replays.py: nothing was buried: there is nothing to check")
    faults = judge(buried, letters, deeds, options.rate)
    taken = Counter(deed["why"] for deed in deeds if deed["what"] == "taken")
    told = {"faults": faults[:20], "count": len(faults), "taken": taken, "again": taken.total() - len(buried)}
    print(json.dumps(told))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
