"""A seeded generator of valid consent events: the same seed gives the same events, to the byte."""

import json
import random
from datetime import datetime, timedelta, timezone

from outside import digest, lead_of

ACTIONS = ["INS", "PLT", "Create", "StartTestDrive"]
SOURCES = ["AzureMarketplace", "AzurePortal", "TestDrive", "SPZA"]
NAMES = [("Dashan", "Liang"), ("大山", "梁"), ("Zoë", "Müller"), ("Søren", "Østergård"), ("Ана", "Петрова"), ("", "")]
START = datetime(2026, 3, 1, tzinfo=timezone.utc)


def event(number, person, offer, action, source, seed=0):
    """One event. Its time grows with its number, so that later ones are later; a seed has people of its own."""
    first, last = NAMES[person % len(NAMES)]
    at = (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "EventId": f"generated-{seed}-{number}",
        "OccurredAt": at,
        "Source": source,
        "Action": action,
        "Offer": offer,
        "Consent": {"Granted": True, "At": at},
        "CustomerInfo": {
            "FirstName": first,
            "LastName": last,
            "Email": f"person-{person}@seed-{seed}.example",
            "Country": "CN",
            "Company": f"Company {person}",
        },
    }


def generate(count, seed, offers, repeats=0.1, additions=0.05):
    """`count` events: a share repeats an earlier one as it was, a share adds an action to an earlier lead."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        kind = chance.random()
        if made and kind < repeats:
            yield chance.choice(made)
            continue
        if made and kind < repeats + additions:
            earlier = chance.choice(made)
            person = int(earlier["CustomerInfo"]["Email"].split("@")[0].split("-")[1])
            offer, source = earlier["Offer"], earlier["Source"]
        else:
            person, offer, source = number, offers[number % len(offers)], chance.choice(SOURCES)
        made.append(event(number, person, offer, chance.choice(ACTIONS), source, seed))
        yield made[-1]


def body_of(event):
    return json.dumps(event, ensure_ascii=False).encode()


def confirmation(event):
    """What the checker needs to know of an event that the broker has confirmed."""
    return {
        "id": event["EventId"],
        "lead": lead_of(event["CustomerInfo"]["Email"], event["Offer"]),
        "action": event["Action"],
        "digest": digest(body_of(event)),
    }
