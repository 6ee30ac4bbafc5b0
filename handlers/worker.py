#!/usr/bin/env python3
"""A worker: a long-running process that handles one job after the other.

Reads each job as a line of JSON from stdin and answers with a line of JSON on stdout. Logs go to stderr.

    [handlers.greet]
    mode = "worker"
    command = ["handlers/worker.py"]

By hand: echo '{"id":1,"attempt":1,"source":"github","type":"push","headers":{},"body":"{}"}' | handlers/worker.py
"""

import base64
import json
import sys


def handle(job, body):
    """Your work. Return nothing on success, raise for a retry, or return an answer.

    With `respond = true`: return {"ok": True, "response": {"body": "for the provider"}}
    """
    print(f"{job['type']} of {len(body)} bytes from {job['source']}", file=sys.stderr)
    if job["type"] == "busy":
        return {"retry_after": "5m"}
    if job["type"] == "nonsense":
        return {"dead": "this can never work"}
    if job["type"] == "failing":
        raise RuntimeError("the database is down")
    return None


def main():
    # stdout is for answers only, so output printed by mistake goes to stderr.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        if "hookbox" in job:
            continue
        try:
            body = base64.b64decode(job["body_base64"]) if "body_base64" in job else job["body"].encode()
            answer = handle(job, body) or {"ok": True}
        except Exception as error:
            print(f"job {job['id']}: {error!r}", file=sys.stderr)
            answer = {"error": repr(error)}
        answers.write(json.dumps({"id": job["id"], **answer}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
