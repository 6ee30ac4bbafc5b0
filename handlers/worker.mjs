#!/usr/bin/env node
// A worker: a long-running process that handles one job after the other. Node 18 or later, nothing to install.
//
// Reads each job as a line of JSON from stdin and answers with a line of JSON on stdout. Logs go to stderr.
//
//     [handlers.greet]
//     mode = "worker"
//     command = ["handlers/worker.mjs"]
//
// By hand: echo '{"id":1,"attempt":1,"source":"github","type":"push","headers":{},"body":"{}"}' | handlers/worker.mjs

import { createInterface } from "node:readline";

// Your work. Return nothing on success, throw for a retry, or return an answer.
async function handle(job, body) {
  console.error(`${job.type} of ${body.length} bytes from ${job.source}`);
  if (job.type === "busy") return { retry_after: "5m" };
  if (job.type === "nonsense") return { dead: "this can never work" };
  if (job.type === "failing") throw new Error("the database is down");
}

// stdout is for answers only, so output logged by mistake goes to stderr.
console.log = console.info = console.error;

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const job = JSON.parse(line);
  if ("hookbox" in job) continue;
  let answer;
  try {
    const body = "body_base64" in job ? Buffer.from(job.body_base64, "base64") : Buffer.from(job.body);
    answer = (await handle(job, body)) ?? { ok: true };
  } catch (error) {
    console.error(`job ${job.id}:`, error);
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify({ id: job.id, ...answer }) + "\n");
}
