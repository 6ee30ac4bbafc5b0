#!/usr/bin/env python3
"""Fulfils Stripe payments, exactly once per payment however often it runs. By hand:

    hookbox send --print stripe --type checkout.session.completed | handlers/stripe-fulfil.py

FULFIL_LEDGER   the SQLite file that records fulfilled payments, fulfilled.db by default

hookbox passes it on if the handler names it: env = ["FULFIL_LEDGER"]
"""

import json
import os
import sqlite3
import sys

PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded", "invoice.paid")


def say(**words):
    """Writes the result file for hookbox, and the same to stderr."""
    path = os.environ.get("HOOKBOX_RESULT")
    if path:
        with open(path, "w", encoding="utf-8") as result:
            json.dump(words, result)
    print(*(f"{key}: {value}" for key, value in words.items()), sep="\n", file=sys.stderr)


def never(reason):
    """The event can never succeed: hookbox marks the job dead."""
    say(dead=reason)
    sys.exit(65)


def later(pause, reason):
    """hookbox retries after the pause and counts no failure."""
    say(retry_after=pause, note=reason)
    sys.exit(75)


def read_event():
    try:
        event = json.loads(sys.stdin.buffer.read())
        return event["id"], event["type"], dict(event["data"]["object"])
    except (ValueError, KeyError, TypeError) as error:
        never(f"not an event of Stripe: {type(error).__name__}: {error}")


def fulfil(ledger, key, paid):
    """Ships the order. Here that is a row in the ledger itself, so both happen or neither.

    If shipping is a call to another service, pass the key as its idempotency key, and insert the row afterwards.
    """
    amount = paid.get("amount_total", paid.get("amount_paid"))
    row = (key, str(paid.get("id")), paid.get("customer"), amount, paid.get("currency"))
    ledger.execute("INSERT INTO fulfilled (key, object, customer, amount, currency) VALUES (?, ?, ?, ?, ?)", row)


def main():
    event_id, event_type, paid = read_event()
    if event_type not in PAID or paid.get("payment_status") == "unpaid":
        print(f"{event_type}: nothing to fulfil")
        return

    # The same for every attempt. A replay has another one, since the operator wants the work done again.
    key = os.environ.get("HOOKBOX_IDEMPOTENCY_KEY", event_id)
    ledger = sqlite3.connect(os.environ.get("FULFIL_LEDGER", "fulfilled.db"), timeout=5, isolation_level=None)
    try:
        ledger.execute(
            "CREATE TABLE IF NOT EXISTS fulfilled"
            " (key TEXT PRIMARY KEY, object TEXT NOT NULL, customer TEXT, amount INTEGER, currency TEXT)"
        )
        ledger.execute("BEGIN IMMEDIATE")
        if ledger.execute("SELECT 1 FROM fulfilled WHERE key = ?", (key,)).fetchone():
            print(f"{key}: fulfilled before, nothing to do")
        else:
            fulfil(ledger, key, paid)
            print(f"{key}: fulfilled {paid.get('id')}")
        ledger.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise  # a failure: hookbox retries with growing delays
        later("10s", f"the ledger is busy: {error}")
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
