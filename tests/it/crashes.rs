//! After `kill -9` every acknowledged event is stored once and every job finishes. The clients record what was
//! acknowledged outside the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::clients::Clients;
use crate::support::delivery::Delivery;
use crate::support::script::{sh, waits_for};
use crate::support::torture::{report, rounds};
use crate::support::{Event, Hookbox, Running, github, until, until_within};

#[test]
fn every_200_survives_kill_9_under_load_and_every_job_ends() {
    let script = sh("case $HOOKBOX_EVENT_ID in *7) if [ \"$HOOKBOX_ATTEMPT\" = 1 ]; then exit 1; fi;; esac");
    let mut hookbox = Hookbox::new()
        .handler("work", script)
        .expect_failures()
        .allow_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
        .start();
    let clients = Clients::default();
    let rounds = rounds(4);
    for round in 1..=rounds {
        clients.under_load(hookbox.hooks(), || {
            let enough = clients.acknowledged().len() + 25 * round.min(40);
            until("more acknowledgements", || (clients.acknowledged().len() >= enough).then_some(()));
            hookbox.kill();
        });
        hookbox.start_again();
        clients.assert_kept(&hookbox.inbox);
    }
    for delivery in clients.unclear() {
        hookbox.deliver(delivery);
    }
    until_within(Duration::from_secs(120), "every job to end", || {
        let open = "SELECT count(*) FROM jobs WHERE state IN ('pending', 'running')";
        (hookbox.inbox.number(open) == 0).then_some(())
    });
    clients.assert_kept(&hookbox.inbox);
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM jobs"), hookbox.inbox.number("SELECT count(*) FROM events"));
    hookbox.inbox.assert_sound();
    assert_explained(&hookbox, "work");
    assert!(hookbox.stop().success());
    clients.assert_kept(&hookbox.inbox);
    report(1, "kill -9 under load, at random", rounds, &clients);
    report(6, "the same with handlers that fail: every run explained", rounds, &clients);
}

#[test]
fn checks_notice_a_missing_event_and_an_unrecorded_start() {
    let hookbox = Hookbox::new().handler("work", sh("exit 0")).start();
    let clients = Clients::default();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_explained(&hookbox, "work");
    clients.assert_kept(&hookbox.inbox);
    clients.note("never-sent");
    clients.assert_kept(&hookbox.inbox);
    clients.acknowledge("never-sent");
    assert_eq!(clients.missing(&hookbox.inbox).len(), 1);
    std::fs::write(hookbox.folder().join("ledger/work"), format!("{} 1\n{} 2\n", event.id, event.id)).unwrap();
    let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| assert_explained(&hookbox, "work")));
    assert!(noticed.is_err());
}

#[test]
fn lost_attempt_is_retried_after_five_seconds() {
    let script = sh("if [ \"$HOOKBOX_ATTEMPT\" = 1 ]; then kill -KILL $PPID; fi");
    let mut hookbox =
        Hookbox::new().handler("deadly", script).expect_warning("running when hookbox was killed").start();
    let event = die_under(&mut hookbox, Some(github::push()));
    hookbox.start_again();
    let job = hookbox.job(&event);
    assert_eq!((job.state.as_str(), job.lost, job.failures), ("pending", 1, 0));
    assert_eq!(hookbox.attempts(&event), ["lost"]);
    hookbox.wait_for(&event, "succeeded");
    let ledger = hookbox.ledger(&event);
    assert_eq!(hookbox.attempts(&event), ["lost", "exit 0"]);
    let pause = ledger[1].started_at - ledger[0].finished_at.unwrap();
    assert!((5000..15_000).contains(&pause), "it came again after {pause} ms");
    assert_eq!(hookbox.job(&event).lost, 0, "a finished attempt resets the count");
}

#[test]
fn third_lost_attempt_in_a_row_makes_the_job_dead() {
    let mut hookbox = Hookbox::new()
        .handler("deadly", sh("kill -KILL $PPID"))
        .expect_warning("running when hookbox was killed")
        .start();
    let event = die_under(&mut hookbox, Some(github::push()));
    for lost in 1..=2 {
        hookbox.start_again();
        let job = hookbox.job(&event);
        assert_eq!((job.state.as_str(), job.lost), ("pending", lost));
        let lost_at = hookbox.ledger(&event).last().unwrap().finished_at.unwrap();
        assert_eq!(job.run_at - lost_at, 5000 * lost, "the delay grows by five seconds");
        // Shortens the delay: hookbox notices changes by other programs.
        hookbox.inbox.writer().execute("UPDATE jobs SET run_at = 0", []).unwrap();
        die_under(&mut hookbox, None);
    }
    hookbox.start_again();
    let job = hookbox.job(&event);
    assert_eq!(job.state, "dead");
    assert!(job.reason.as_deref().is_some_and(|reason| reason.starts_with("poison")), "{job:?}");
    assert_eq!(hookbox.attempts(&event), ["lost"; 3]);
}

#[test]
fn suspect_jobs_run_one_at_a_time() {
    let script = waits_for("$HOOKBOX_EVENT_ID.$HOOKBOX_ATTEMPT").then_succeeds();
    let mut hookbox = Hookbox::new()
        .handler_with("work", "concurrency = 4", script)
        .expect_warning("running when hookbox was killed")
        .allow_warning("left behind by lost attempts")
        .start();
    let events: Vec<Event> = (0..3).map(|_| hookbox.deliver(github::push())).collect();
    events.iter().for_each(|event| hookbox.wait_for(event, "running"));
    hookbox.kill();
    hookbox.kill_handlers();
    hookbox.start_again();
    hookbox.inbox.writer().execute("UPDATE jobs SET run_at = 0", []).unwrap();
    let mut waiting: Vec<&Event> = events.iter().collect();
    while !waiting.is_empty() {
        let runs = |event: &&Event| hookbox.inbox.state("github", &event.id).as_deref() == Some("running");
        let place = until("one of them to run", || waiting.iter().position(runs));
        let event = waiting.remove(place);
        // Other jobs finish meanwhile, and each time hookbox claims further ones.
        let other = hookbox.deliver(github::push());
        hookbox.open_gate(&format!("{}.1", other.id));
        hookbox.wait_for(&other, "succeeded");
        hookbox.open_gate(&format!("{}.2", event.id));
        hookbox.wait_for(event, "succeeded");
    }
    let overlapping = "SELECT count(*) FROM attempts a JOIN attempts b ON a.job_id < b.job_id \
                       WHERE a.number = 2 AND b.number = 2 \
                       AND a.started_at < b.finished_at AND b.started_at < a.finished_at";
    assert_eq!(hookbox.inbox.number(overlapping), 0);
}

#[test]
fn job_waits_for_processes_of_its_lost_attempt() {
    let script = sh(concat!(
        "mkdir records/alone || { echo overlap >> records/overlaps; exit 0; }\n",
        "trap 'rmdir records/alone' EXIT",
    ))
    .then(waits_for("$HOOKBOX_ATTEMPT"))
    .then_succeeds();
    let mut hookbox = Hookbox::new()
        .handler("work", script)
        .expect_warning("running when hookbox was killed")
        .expect_warning("left behind by lost attempts")
        .start();
    let event = hookbox.deliver(github::push());
    until("the handler to work", || hookbox.folder().join("records/alone").exists().then_some(()));
    hookbox.kill();
    hookbox.start_again();
    std::fs::remove_dir(hookbox.folder().join("records/alone")).ok();
    hookbox.inbox.writer().execute("UPDATE jobs SET run_at = 0", []).unwrap();
    hookbox.open_gate("2");
    hookbox.wait_for(&event, "succeeded");
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let mut open = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(open.write(true), nonblocking);
    assert!(open.open(hookbox.folder().join("gates/1")).is_err(), "the first attempt is still waiting at its gate");
}

/// Sends the delivery, if any, and waits until hookbox has died.
fn die_under(hookbox: &mut Running, delivery: Option<Delivery>) -> Event {
    let event = delivery.map_or_else(
        || Event { source: String::new(), id: String::new() },
        |delivery| {
            // The response may be lost: the handler kills hookbox as soon as it runs.
            hookbox.try_send(&delivery).ok();
            Event { source: delivery.source, id: delivery.id }
        },
    );
    assert!(!hookbox.wait_for_end().success());
    event
}

/// Every start recorded by a handler is one row of `attempts`, and no job ran again after it had succeeded.
pub fn assert_explained(hookbox: &Running, handler: &str) {
    let recorded: BTreeMap<String, Option<String>> = hookbox
        .inbox
        .rows(
            "SELECT event_id || ' ' || number, status FROM attempts JOIN jobs ON jobs.id = job_id \
             JOIN events ON seq = event_seq WHERE handler = ?",
            [handler],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .into_iter()
        .collect();
    let mut seen = BTreeSet::new();
    for start in hookbox.starts(handler) {
        assert!(recorded.contains_key(&start), "a start without an attempt: {start}");
        assert!(seen.insert(start.clone()), "an attempt started twice: {start}");
    }
    for (attempt, ending) in &recorded {
        assert!(
            seen.contains(attempt) || ending.as_deref() == Some("lost"),
            "{attempt} is {ending:?} but never started"
        );
    }
    let again = "SELECT count(*) FROM attempts a WHERE status = 'succeeded' \
                 AND EXISTS (SELECT 1 FROM attempts b WHERE b.job_id = a.job_id AND b.number > a.number)";
    assert_eq!(hookbox.inbox.number(again), 0, "a job ran again after it had succeeded");
}
