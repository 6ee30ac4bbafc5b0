#!/usr/bin/env python3
"""An application that receives events from hookbox and verifies their signatures.

The request is a POST with the body of the event and Hookbox-* headers, signed by Standard Webhooks. Answers 200 when the
work is done, 410 if the event can never succeed, 503 with Retry-After to be called later, 401 without a valid signature.

    [handlers.app]
    mode = "http"
    url = "http://127.0.0.1:3000/"
    secret = { env = "APP_SIGNING_SECRET" }

By hand: APP_SIGNING_SECRET="whsec_$(openssl rand -base64 32)" handlers/receiver.py 3000
"""

import base64
import hashlib
import hmac
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["APP_SIGNING_SECRET"].removeprefix("whsec_"))
TOLERANCE = 300  # seconds


def is_genuine(headers, body):
    """Checks the signature by https://www.standardwebhooks.com, as any of its libraries does."""
    message, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE:
        return False
    signed = f"{message}.{sent_at}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    # There are several signatures while secrets rotate. One match is enough.
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split(" "))


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True  # otherwise an answer in two packets takes 40 ms

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.headers, body):
            return self.answer(401, "not genuine")
        # The same for every attempt of an event. If it is known, the work is already done.
        print(self.headers["hookbox-event-type"], self.headers["webhook-id"], len(body), "bytes", flush=True)
        return self.answer(200, "done")

    def answer(self, status, words):
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
