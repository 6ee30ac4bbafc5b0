#!/usr/bin/env python3
"""Answers a Slack slash command.

    [handlers.slash]
    sources = ["slack"]
    events = ["/deploy"]
    command = ["handlers/slash-command.py"]
    respond = true

Slack shows what this prints. It must answer within three seconds, so it only confirms the command. A second handler of
the same event, without `respond`, does the work: it may take longer and is retried.

By hand:  hookbox send --print slack --type /deploy | handlers/slash-command.py
          echo 'command=%2Fdeploy&text=main&user_name=ada' | handlers/slash-command.py
"""

import json
import sys
from urllib.parse import parse_qs

form = {name: values[0] for name, values in parse_qs(sys.stdin.read().strip()).items()}
branch = form.get("text", "").strip() or "main"
who = form.get("user_name", "somebody")

# A JSON object is sent as application/json. Other output is text/plain, unless the result file names a content type.
print(json.dumps({"response_type": "in_channel", "text": f"{who} deploys {branch}"}))
