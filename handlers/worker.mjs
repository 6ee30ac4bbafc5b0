#!/usr/bin/env node
// A worker: stays running and handles one job after the other. Node 18 or later, nothing to install.
//
// Takes: a job as a line of JSON on stdin. Says: how it went, as a line of JSON on stdout; logs go to stderr.
//
//     [handlers.greet]
//     mode = "worker"
//     command = ["handlers/worker.mjs"]
//
// By hand: echo '{"id":1,"attempt":1,"source":"github","type":"push","headers":{},"body":"{}"}' | handlers/worker.mjs

import { createInterface } from "node:readline";

// Your work. Return nothing when it is done; throw to be run again later; or return more to say.
async function handle(job, body) {
  console.error(`${job.type} of ${body.length} bytes from ${job.source}`);
  if (job.type === "busy") return { retry_after: "5m" };
  if (job.type === "nonsense") return { dead: "this can never work" };
  if (job.type === "failing") throw new Error("the database is down");
}

// Whatever logs to stdout by mistake goes to stderr: stdout is for answers alone.
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
