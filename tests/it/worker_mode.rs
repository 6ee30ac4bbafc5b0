//! Worker mode: the protocol, the process pool, and every way in which a process can fail.

use std::collections::HashSet;
use std::fs;

use crate::support::delivery::Delivery;
use crate::support::script::{Script, sh};
use crate::support::{Event, Hookbox, Running, github, until};

/// A worker in Python that behaves as the type of the event says. Lines that it reads go to `records/heard`, pids to
/// `records/copies`.
fn worker() -> Script {
    python(
        r#"
import json, os, signal, sys, time
say = lambda text: (sys.stdout.write(text + "\n"), sys.stdout.flush())
note = lambda name, text: open("records/" + name, "a").write(text + "\n")
note("copies", str(os.getpid()))
for line in sys.stdin:
    note("heard", line.rstrip("\n"))
    job = json.loads(line)
    if "hookbox" in job: continue
    me = {"id": job["id"]}
    kind = job["type"]
    print("handling", kind, file=sys.stderr)
    first = job["attempt"] == 1
    if kind == "pid": say(json.dumps({**me, "ok": True, "note": str(os.getpid())}))
    elif kind == "ok": say(json.dumps({**me, "ok": True, "note": "sent 3 mails"}))
    elif kind == "error": say(json.dumps({**me, "error": "no route"}))
    elif kind == "later": say(json.dumps({**me, **({"retry_after": "10ms"} if job["attempt"] < 4 else {"ok": True})}))
    elif kind == "dead": say(json.dumps({**me, "dead": "no such customer"}))
    elif kind == "garbage": say("handling it" if first else json.dumps({**me, "ok": True}))
    elif kind == "other": say(json.dumps({"id": job["id"] + 1 if first else job["id"], "ok": True}))
    elif kind == "long": say("x" * 100000 if first else json.dumps({**me, "ok": True}))
    elif kind == "twice": say(json.dumps({**me, "ok": True}) + "\n" + json.dumps({**me, "ok": True}))
    elif kind == "exits" and first: sys.exit(0)
    elif kind == "crashes" and first: sys.stderr.write("x" * 20000 + "the end"); sys.stderr.flush(); os.kill(os.getpid(), 9)
    elif kind == "hangs" and first:
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note("children", str(os.getpid()))
        time.sleep(1000)
    elif kind == "chatter":
        say(json.dumps({**me, "ok": True})); sys.stderr.write("x" * 1000000); sys.stderr.flush(); note("chattered", "")
    elif kind == "unasked": say(json.dumps({**me, "ok": True})); time.sleep(0.05); say("by the way")
    else: say(json.dumps({**me, "ok": True}))
note("ended", str(os.getpid()))
"#,
    )
}

fn python(text: &str) -> Script {
    assert!(!text.contains('\''));
    sh(&format!("exec python3 -c '{text}'"))
}

fn hookbox(lines: &str) -> Hookbox {
    Hookbox::new().handler_with("work", &format!("mode = \"worker\"\n{lines}"), worker())
}

fn event(kind: &str) -> Delivery {
    Delivery::from("own").of_type(kind)
}

/// Delivers an event and waits for the state of its job. Returns the notes of its attempts.
fn done(hookbox: &Running, kind: &str, state: &str) -> (Event, Vec<String>) {
    let event = hookbox.deliver(event(kind));
    hookbox.wait_for(&event, state);
    let notes = hookbox.ledger(&event).into_iter().map(|attempt| attempt.note.unwrap_or_default()).collect();
    (event, notes)
}

fn endings(hookbox: &Running, event: &Event) -> Vec<String> {
    hookbox.ledger(event).into_iter().map(|attempt| attempt.ending.unwrap_or_default()).collect()
}

fn records(hookbox: &Running, name: &str) -> Vec<String> {
    let text = fs::read_to_string(hookbox.folder().join("records").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn stderr_of(hookbox: &Running, event: &Event) -> Vec<String> {
    let job = hookbox.job(event).id;
    let sql = "SELECT CAST(stderr AS TEXT) FROM attempts WHERE job_id = ? ORDER BY number";
    hookbox
        .inbox
        .rows(sql, [job], |row| row.get::<_, Option<String>>(0))
        .into_iter()
        .map(Option::unwrap_or_default)
        .collect()
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

#[test]
fn worker_gets_a_greeting_and_each_job_as_a_line() {
    let hookbox = hookbox("concurrency = 1").start();
    let push = github::push();
    let event = hookbox.deliver(&push);
    hookbox.wait_for(&event, "succeeded");
    let binary = hookbox.deliver(Delivery::from("own").of_type("ok").with_body(b"\xff\x00\n"));
    hookbox.wait_for(&binary, "succeeded");
    let heard = records(&hookbox, "heard");
    assert_eq!((heard.len(), heard[0].as_str()), (3, r#"{"hookbox":1}"#));
    let job: serde_json::Value = serde_json::from_str(&heard[1]).unwrap();
    let keys: Vec<&str> = job.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["id", "attempt", "source", "event_id", "type", "received_at", "idempotency_key", "headers", "body"];
    assert_eq!(keys.iter().collect::<HashSet<_>>(), expected.iter().collect::<HashSet<_>>());
    assert_eq!(
        (&job["source"], &job["event_id"], &job["type"]),
        (&"github".into(), &event.id.clone().into(), &"push".into())
    );
    assert_eq!(job["idempotency_key"], format!("github/{}/work", event.id));
    assert_eq!(job["body"].as_str().unwrap().as_bytes(), hookbox.inbox.body("github", &event.id));
    assert!(job["headers"]["X-GitHub-Event"] == "push" || job["headers"]["x-github-event"] == "push");
    assert!(!heard[1].to_lowercase().contains("x-hub-signature"), "{}", heard[1]);
    assert!(heard[2].contains(r#""body_base64":"/wAK""#), "{}", heard[2]);
    assert_eq!(records(&hookbox, "copies").len(), 1);
}

#[test]
fn processes_start_on_demand_up_to_concurrency() {
    let hookbox = hookbox("concurrency = 2").start();
    let one_by_one: HashSet<String> = (0..3).map(|_| done(&hookbox, "pid", "succeeded").1.remove(0)).collect();
    assert_eq!(one_by_one.len(), 1, "one process is enough");
    let events: Vec<Event> = (0..40).map(|_| hookbox.deliver(event("pid"))).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert!(records(&hookbox, "copies").len() <= 2);
}

#[test]
fn answer_decides_the_attempt() {
    let hookbox = hookbox("concurrency = 1").expect_failures().start();
    let (ok, notes) = done(&hookbox, "ok", "succeeded");
    assert_eq!((endings(&hookbox, &ok), notes), (vec!["succeeded".to_owned()], vec!["sent 3 mails".to_owned()]));
    assert_eq!(stderr_of(&hookbox, &ok), ["handling ok\n"]);
    let (error, notes) = done(&hookbox, "error", "dead");
    assert_eq!((endings(&hookbox, &error), notes), (vec!["failed".to_owned(); 5], vec!["no route".to_owned(); 5]));
    assert_eq!(hookbox.job(&error).reason.unwrap(), "failed 5 times, the last: no route");
    let (later, _) = done(&hookbox, "later", "succeeded");
    assert_eq!(endings(&hookbox, &later), ["deferred", "deferred", "deferred", "succeeded"]);
    assert_eq!(hookbox.job(&later).failures, 0);
    let (dead, _) = done(&hookbox, "dead", "dead");
    assert_eq!(
        (endings(&hookbox, &dead), hookbox.job(&dead).reason.unwrap()),
        (vec!["dead".to_owned()], "no such customer".to_owned())
    );
    assert_eq!(records(&hookbox, "copies").len(), 1, "none of that ends the process");
}

#[test]
fn invalid_answer_fails_the_attempt_and_replaces_the_process() {
    let hookbox = hookbox("concurrency = 1").expect_failures().start();
    let mut copies = 1;
    for (kind, why) in [
        ("garbage", "its answer `handling it` is not a JSON object; hint: logs go to stderr"),
        ("other", "it answered for job"),
        ("long", "its answer is longer than 65536 bytes"),
    ] {
        let (event, notes) = done(&hookbox, kind, "succeeded");
        assert_eq!(endings(&hookbox, &event), ["failed", "succeeded"], "{kind}");
        assert!(notes[0].contains(why), "{notes:?}");
        copies += 1;
        assert_eq!(records(&hookbox, "copies").len(), copies);
    }
    let (_, notes) = done(&hookbox, "twice", "succeeded");
    assert!(notes[0].contains("it wrote more than one line"), "{notes:?}");
    done(&hookbox, "ok", "succeeded");
    assert_eq!(records(&hookbox, "copies").len(), copies + 1);
}

#[test]
fn process_that_exits_during_a_job_has_failed() {
    let hookbox = hookbox("concurrency = 1").expect_failures().start();
    done(&hookbox, "ok", "succeeded");
    let (exits, notes) = done(&hookbox, "exits", "succeeded");
    assert_eq!(hookbox.attempts(&exits), ["exit 0", "succeeded"]);
    assert_eq!((endings(&hookbox, &exits)[0].as_str(), notes[0].as_str()), ("failed", "the worker died: exit 0"));
    let (crashes, _) = done(&hookbox, "crashes", "succeeded");
    assert_eq!(hookbox.attempts(&crashes)[0], "signal 9");
    let kept = &stderr_of(&hookbox, &crashes)[0];
    assert!(kept.starts_with("handling crashes\nxxx") && kept.ends_with("xxxthe end") && kept.len() == 16 * 1024);
}

#[test]
fn process_that_dies_while_idle_costs_no_attempt() {
    let hookbox =
        hookbox("concurrency = 1").allow_warning("worker process of handler `work` replaced: it ended").start();
    for _ in 0..3 {
        let pid = done(&hookbox, "pid", "succeeded").1.remove(0);
        let number = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
        until("the process to be dead", || is_gone(&pid).then_some(()));
        let (next, _) = done(&hookbox, "ok", "succeeded");
        assert_eq!(endings(&hookbox, &next), ["succeeded"]);
    }
}

#[test]
fn worker_that_cannot_start_pauses_its_handler() {
    let broken = Hookbox::new()
        .handler_with("work", "mode = \"worker\"\nconcurrency = 2", python("this is no Python"))
        .expect_warning("handler `work` paused: the worker ended before it took a job: exit 1")
        .start();
    let events: Vec<Event> = (0..5).map(|_| broken.deliver(event("ok"))).collect();
    until("the handler to pause", || {
        broken.json(&["status"])["handlers"][0]["reason"].as_str().filter(|why| why.contains("exit 1")).map(drop)
    });
    let mut tried = events.iter().filter(|event| endings(&broken, event).iter().any(|ending| ending == "broken"));
    assert!(stderr_of(&broken, tried.next().unwrap())[0].contains("SyntaxError"));
    assert!(events.iter().all(|event| broken.job(event).failures == 0));
    broken.install("work", &worker());
    events.iter().for_each(|event| broken.wait_for(event, "succeeded"));
}

#[test]
fn three_deaths_of_new_processes_pause_the_handler() {
    let hookbox = Hookbox::new()
        .handler_with(
            "work",
            "mode = \"worker\"\nconcurrency = 1\nretry = { attempts = 9, initial = \"1h\", max = \"1h\" }",
            python("input(); input(); raise SystemExit(3)"),
        )
        .expect_failures()
        .expect_warning(
            "handler `work` paused: new worker processes died on 3 different jobs in a row, the last: the worker died: exit 3",
        )
        .start();
    let events: Vec<Event> = (0..6).map(|_| hookbox.deliver(event("ok"))).collect();
    until("the handler to pause", || {
        hookbox.json(&["status"])["handlers"][0]["reason"]
            .as_str()
            .filter(|why| why.contains("new worker processes"))
            .map(drop)
    });
    assert_eq!(events.iter().map(|event| hookbox.job(event).failures).sum::<i64>(), 3);
}

#[test]
fn time_limit_kills_the_process_tree_of_a_worker() {
    let hookbox = hookbox("concurrency = 1\ntimeout = \"4s\"").expect_failures().start();
    let (hangs, _) = done(&hookbox, "hangs", "succeeded");
    assert_eq!(endings(&hookbox, &hangs), ["timeout", "succeeded"]);
    let left = records(&hookbox, "children");
    assert!(left.len() == 1 && is_gone(&left[0]), "its child is alive");
    assert!(is_gone(&records(&hookbox, "copies")[0]));
}

#[test]
fn job_that_is_never_read_times_out() {
    let hookbox = Hookbox::new()
        .handler_with(
            "work",
            "mode = \"worker\"\ntimeout = \"300ms\"\nretry = { attempts = 1 }",
            python("import time; time.sleep(1000)"),
        )
        .expect_failures()
        .start();
    let event = hookbox.deliver(event("ok").with_body(vec![b'x'; 4 << 20]));
    hookbox.wait_for(&event, "dead");
    assert_eq!(endings(&hookbox, &event), ["timeout"]);
}

#[test]
fn stderr_of_an_idle_process_is_discarded() {
    let hookbox = hookbox("concurrency = 1").start();
    let (chatter, _) = done(&hookbox, "chatter", "succeeded");
    until("stderr to be read", || (!records(&hookbox, "chattered").is_empty()).then_some(()));
    let (next, _) = done(&hookbox, "ok", "succeeded");
    assert!(stderr_of(&hookbox, &chatter)[0].starts_with("handling chatter\n"));
    assert_eq!(stderr_of(&hookbox, &next), ["handling ok\n"], "earlier output does not belong to it");
    assert_eq!(records(&hookbox, "copies").len(), 1);
}

#[test]
fn process_that_writes_while_idle_is_replaced() {
    let hookbox =
        hookbox("concurrency = 1").expect_warning("it wrote to stdout, or closed it, while it was idle").start();
    done(&hookbox, "unasked", "succeeded");
    hookbox.wait_for_log("while it was idle");
    let (next, _) = done(&hookbox, "ok", "succeeded");
    assert_eq!(endings(&hookbox, &next), ["succeeded"]);
    assert_eq!(records(&hookbox, "copies").len(), 2);
}

#[test]
fn process_is_replaced_after_max_jobs() {
    let hookbox = hookbox("concurrency = 1\nmax_jobs = 2").start();
    for _ in 0..5 {
        done(&hookbox, "ok", "succeeded");
    }
    assert_eq!(records(&hookbox, "copies").len(), 3);
    until("the first processes to end", || (records(&hookbox, "ended").len() == 2).then_some(()));
}

#[test]
fn reload_with_another_command_replaces_processes() {
    let hookbox = hookbox("concurrency = 1").start();
    let before = done(&hookbox, "pid", "succeeded").1.remove(0);
    hookbox.rewrite(|text| text.replace("[\"handlers/work\"]", "[\"handlers/work\", \"--now\"]"));
    hookbox.ok(&["reload"]);
    let after = until("a new process to get a job", || {
        Some(done(&hookbox, "pid", "succeeded").1.remove(0)).filter(|copy| *copy != before)
    });
    until("the old process to end", || is_gone(&before).then_some(()));
    assert_eq!(records(&hookbox, "ended"), [before]);
    hookbox.ok(&["reload"]);
    assert_eq!(done(&hookbox, "pid", "succeeded").1, [after], "the settings have not changed");
}

#[test]
fn skip_ends_the_process_that_has_the_job() {
    let hookbox = hookbox("concurrency = 1").start();
    let event = hookbox.deliver(event("hangs"));
    until("the job to be read", || records(&hookbox, "children").first().cloned());
    hookbox.ok(&["skip", &event.id]);
    hookbox.wait_for(&event, "skipped");
    until("the process to be gone", || is_gone(&records(&hookbox, "copies")[0]).then_some(()));
}

#[test]
fn shutdown_closes_stdin_and_leaves_no_process() {
    let mut hookbox = hookbox("concurrency = 2").start();
    let events: Vec<Event> = (0..10).map(|_| hookbox.deliver(event("ok"))).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "succeeded"));
    assert!(hookbox.stop().success());
    let copies = records(&hookbox, "copies");
    assert!(copies.iter().all(|pid| is_gone(pid)));
    assert_eq!(records(&hookbox, "ended").len(), copies.len(), "each could exit by itself");
}

#[test]
fn stubborn_process_is_killed_within_the_grace() {
    let stubborn = r#"
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("records/copies", "a").write(str(os.getpid()) + "\n")
input()
import json
print(json.dumps({"id": json.loads(input())["id"], "ok": True}), flush=True)
while True: time.sleep(1000)
"#;
    let mut hookbox = Hookbox::new()
        .dispatch("shutdown_grace = \"2s\"")
        .handler_with("work", "mode = \"worker\"", python(stubborn))
        .start();
    done(&hookbox, "ok", "succeeded");
    assert!(hookbox.stop().success());
    assert!(is_gone(&records(&hookbox, "copies")[0]));
    hookbox.inbox.assert_sound();
}

#[test]
fn processes_of_a_killed_hookbox_are_ended_first() {
    let stubborn = r#"
import json, os, sys, time
open("records/copies", "a").write(str(os.getpid()) + "\n")
for line in sys.stdin:
    job = json.loads(line)
    if "id" in job: print(json.dumps({"id": job["id"], "ok": True}), flush=True)
time.sleep(1000)
"#;
    let mut hookbox = Hookbox::new()
        .handler_with("work", "mode = \"worker\"", python(stubborn))
        .expect_warning("left behind by lost attempts")
        .start();
    assert_process_ends_after_kill(&mut hookbox);
}

fn assert_process_ends_after_kill(hookbox: &mut Running) {
    done(hookbox, "ok", "succeeded");
    hookbox.kill();
    let before = records(hookbox, "copies");
    assert!(!is_gone(&before[0]));
    hookbox.start_again();
    assert!(is_gone(&before[0]));
    done(hookbox, "ok", "succeeded");
}

#[test]
fn process_without_environment_does_not_outlive_a_killed_hookbox() {
    let stubborn = r#"
import json, os, sys, time
open("records/copies", "a").write(str(os.getpid()) + "\n")
assert "HOOKBOX_RESULT" not in os.environ and os.getsid(0) == os.getpid()
for line in sys.stdin:
    job = json.loads(line)
    if "id" in job: print(json.dumps({"id": job["id"], "ok": True}), flush=True)
time.sleep(1000)
"#;
    let script = sh(&format!("exec env -i PATH=\"$PATH\" setsid --wait python3 -c '{stubborn}'"));
    let mut hookbox = Hookbox::new()
        .handler_with("work", "mode = \"worker\"", script)
        .expect_warning("left behind by lost attempts")
        .start();
    assert_process_ends_after_kill(&mut hookbox);
}

#[test]
fn worker_examples_run_unchanged() {
    let root = env!("CARGO_MANIFEST_DIR");
    for example in ["worker.py", "worker.mjs", "worker.sh"] {
        let hookbox = Hookbox::new()
            .handler_with(
                "work",
                "mode = \"worker\"\nconcurrency = 1\nretry = { attempts = 2, initial = \"10ms\" }",
                sh(&format!("exec {root}/handlers/{example}")),
            )
            .expect_failures()
            .start();
        for kind in ["push", "pull"] {
            done(&hookbox, kind, "succeeded");
        }
        let odd = hookbox
            .deliver(event("odd").with_body("{\"id\":1,\"type\":\"busy\",\"x\":\"\u{2028}\\\"\u{85}\"}".as_bytes()));
        hookbox.wait_for(&odd, "succeeded");
        let (failing, notes) = done(&hookbox, "failing", "dead");
        assert!(notes[0].contains("the database is down"), "{example}: {notes:?}");
        assert!(!stderr_of(&hookbox, &failing)[0].is_empty());
        assert_eq!(hookbox.job(&done(&hookbox, "nonsense", "dead").0).reason.unwrap(), "this can never work");
        let busy = hookbox.deliver(event("busy"));
        until("it to be deferred", || (hookbox.job(&busy).deferrals == 1).then_some(()));
    }
}
