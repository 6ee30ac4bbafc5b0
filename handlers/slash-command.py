#!/usr/bin/env python3
"""Answers a Slack slash command in its own words.

    [handlers.slash]
    sources = ["slack"]
    events = ["/deploy"]
    command = ["handlers/slash-command.py"]
    respond = true

What is printed is what Slack shows. It has to come within three seconds, so this only says that it has begun; the work
itself is for a second handler of the same event, without `respond`, which may take its time and be tried again.

By hand:  hookbox send --print slack --type /deploy | handlers/slash-command.py
          echo 'command=%2Fdeploy&text=main&user_name=ada' | handlers/slash-command.py
"""

import json
import sys
from urllib.parse import parse_qs

form = {name: values[0] for name, values in parse_qs(sys.stdin.read().strip()).items()}
branch = form.get("text", "").strip() or "main"
who = form.get("user_name", "somebody")

# An object is sent as application/json. Anything else would be text/plain, or what the result file names.
print(json.dumps({"response_type": "in_channel", "text": f"{who} deploys {branch}"}))
