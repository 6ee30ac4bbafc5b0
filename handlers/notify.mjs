#!/usr/bin/env node
// Posts a message about an event to the incoming webhook of a chat (Slack, Mattermost and others). By hand:
//
//   hookbox send --print github --type push | handlers/notify.mjs
//
// NOTIFY_URL   URL of the incoming webhook. Without it, the message is only printed.
//
// hookbox passes it on if the handler names it: env = ["NOTIFY_URL"]
// A message may arrive twice, for example if the connection breaks before the answer: incoming webhooks take no
// idempotency key.

import { writeFileSync } from "node:fs";

const { HOOKBOX_SOURCE, HOOKBOX_EVENT_TYPE, HOOKBOX_EVENT_ID, HOOKBOX_RESULT, NOTIFY_URL } = process.env;

/** Writes the result file for hookbox, and the same to stderr. */
function say(words) {
  if (HOOKBOX_RESULT) writeFileSync(HOOKBOX_RESULT, JSON.stringify(words));
  console.error(words);
}

async function readBody() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** One line: where from, what, about what, by whom. Bodies that are not JSON still make one. */
function message(body) {
  let event = {};
  try {
    // GitHub's API creates webhooks that send a form: the JSON is in its field `payload`.
    event = JSON.parse(body.startsWith("payload=") ? new URLSearchParams(body).get("payload") : body) ?? {};
  } catch {
    // the type and id are enough
  }
  const about = event.repository?.full_name ?? event.project?.path_with_namespace ?? event.data?.object?.id;
  const by = event.sender?.login ?? event.user_username;
  const what = [HOOKBOX_SOURCE ?? "by hand", HOOKBOX_EVENT_TYPE || event.type || "event", about, by && `by ${by}`];
  return `${what.filter(Boolean).join(" ")} (${HOOKBOX_EVENT_ID ?? event.id ?? "no id"})`;
}

async function post(text) {
  const answer = await fetch(NOTIFY_URL, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text }),
    signal: AbortSignal.timeout(10_000),
  });
  const words = (await answer.text()).slice(0, 200);
  if (answer.ok) return 0;
  if (answer.status === 429 || answer.status === 503) {
    const seconds = Number.parseInt(answer.headers.get("Retry-After"), 10);
    say({ retry_after: `${Number.isNaN(seconds) ? 30 : seconds}s`, note: `the chat answered ${answer.status}` });
    return 75;
  }
  if ([400, 413, 422].includes(answer.status)) {
    say({ dead: `the chat does not take this message: ${answer.status} ${words}` });
    return 65;
  }
  console.error(`the chat answered ${answer.status} ${words}`);
  return 1;
}

const text = message(await readBody());
console.log(text);
if (NOTIFY_URL) {
  // An unreachable URL is a failure: hookbox retries with growing delays.
  process.exitCode = await post(text).catch((error) => {
    console.error(`the chat cannot be reached: ${error.cause?.message ?? error.message}`);
    return 1;
  });
}
