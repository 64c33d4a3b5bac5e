#!/usr/bin/env python3
"""Prints every lead of a sandbox as a JSON line, as checker.py reads rows. Asks by REST, as anybody would.

Journey and offer must be mapped to Journey__c and Offer__c.
"""

import argparse
import json
import urllib.parse
import urllib.request

KEY = "Leadrelay_Key__c"
FIELDS = ["Email", KEY, "Offer__c", "Journey__c"]


def call(url, token=None, form=None):
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, body)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def leads(base, fields=FIELDS):
    form = {"grant_type": "client_credentials", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    token = call(f"{base}/services/oauth2/token", form=form)["access_token"]
    query = f"SELECT {', '.join(fields)} FROM Lead"
    path = "/services/data/v60.0/query?" + urllib.parse.urlencode({"q": query})
    while path:
        page = call(base + path, token)
        yield from page["records"]
        path = page.get("nextRecordsUrl")


def row_of(lead):
    """The journey is `time action source; …`."""
    steps = [step.split() for step in (lead["Journey__c"] or "").split(";") if step.strip()]
    journey = [{"at": step[0], "action": step[1]} for step in steps]
    return {
        "Email": lead["Email"],
        "ProductId": lead["Offer__c"],
        "Journey": json.dumps(journey),
        "RowKey": lead[KEY],
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", required=True, help="the sandbox")
    for lead in leads(arguments.parse_args().url):
        print(json.dumps(row_of(lead), ensure_ascii=False))


if __name__ == "__main__":
    main()
