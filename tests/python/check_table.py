#!/usr/bin/env python3
"""Prints every row of a table as a JSON line. A table that does not exist has none."""

import argparse
import json
import os

import outside


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--connection", default=os.environ.get("LEADRELAY_TEST_AZURITE"), help="connection string")
    arguments.add_argument("--table", default="MarketplaceLeads")
    options = arguments.parse_args()
    for row in outside.rows(options.connection, options.table):
        print(json.dumps(row, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
