"""The named events of events.jsonl: how each is sent, and which lead it speaks of."""

import json
import pathlib

from outside import digest, lead_of

FILE = pathlib.Path(__file__).with_name("events.jsonl")


class Sample:
    def __init__(self, line):
        self.name = line["sample"]
        self.by = line.get("by", "pika")
        self.headers = line.get("headers")
        self.content_type = line.get("content_type", "application/json")
        self.expect = line["expect"]
        # Not all are JSON, that being the point of some.
        if "hex" in line:
            self.body = bytes.fromhex(line["hex"])
        elif "raw" in line:
            self.body = line["raw"].encode()
        else:
            self.body = json.dumps(line["body"], ensure_ascii=False).encode()
        self.digest = digest(self.body)
        self.event = line.get("body", {}).get("data") or line.get("body", {})
        joined = self.event.get("LeadSource", "-|")
        self.offer = self.event.get("Offer") or joined.split("|", 1)[1]
        self.action = self.event.get("Action") or joined.split("|", 1)[0].split("-", 1)[1]
        self.routing_key = line.get("routing_key", self.offer)
        self.granted = self.event.get("Consent", {}).get("Granted") is not False

    def lead(self):
        """Only of a sample that is valid."""
        return lead_of(self.event["CustomerInfo"]["Email"], self.offer)


def read():
    return [Sample(json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]
