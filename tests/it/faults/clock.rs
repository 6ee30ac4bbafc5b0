//! The wall clock is stepped by a day, forward and back: delays and timeouts stay the same, and no event is lost.

use std::fs;
use std::path::PathBuf;

use crate::crashes::assert_explained;
use crate::support::clients::Clients;
use crate::support::script::{exits, succeeds, waits_for};
use crate::support::torture::{report, rounds};
use crate::support::{Event, Hookbox, Running, github, until};

const DAY: i64 = 86_400;

/// hookbox under libfaketime: a file sets its wall clock. Monotonic clocks are not faked.
struct Clock {
    file: PathBuf,
    /// Seconds by which the clock is ahead.
    ahead: i64,
}

impl Clock {
    fn of(hookbox: &mut Running) -> Self {
        let file = hookbox.folder().join("clock");
        let library = fs::read_dir("/usr/lib")
            .unwrap()
            .flatten()
            .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
            .chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")])
            .find(|library| library.exists())
            .expect("this test needs libfaketime: scripts/install-test-needs");
        let variables = [
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        hookbox.under(&[&["env".to_owned()], &variables[..]].concat());
        let mut clock = Self { file, ahead: 0 };
        clock.jump(0);
        clock
    }

    fn jump(&mut self, by: i64) {
        self.ahead += by;
        let draft = self.file.with_extension("new");
        fs::write(&draft, format!("{:+}\n", self.ahead)).unwrap();
        fs::rename(draft, &self.file).unwrap();
    }

    fn now(&self) -> i64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap() + self.ahead * 1_000
    }
}

#[test]
fn clock_step_of_a_day_starts_no_burst_and_loses_nothing() {
    let mut hookbox = Hookbox::new()
        .handler("quick", succeeds())
        .handler_with("later", "events = [\"later\"]\nretry = { initial = \"1h\" }", exits(1))
        .handler_with("long", "events = [\"later\"]\ntimeout = \"1h\"", waits_for("long").then_succeeds())
        .expect_failures()
        .expect_warning("scheduled jobs are shifted")
        .prepare();
    let mut clock = Clock::of(&mut hookbox);
    hookbox.start_again();
    let clients = Clients::default();
    let waiting = hookbox.deliver(github::push().of_type("later"));
    let failed = || hookbox.job_of(&waiting, "later").failures == 1;
    until("the job to wait for its retry", || failed().then_some(()));
    until("the other job to run", || (hookbox.job_of(&waiting, "long").state == "running").then_some(()));
    let jumps = [DAY, -2 * DAY, DAY];
    let rounds = rounds(1);
    for by in (0..rounds).flat_map(|_| jumps) {
        clients.under_load(hookbox.hooks(), || {
            clock.jump(by);
            assert_waits_an_hour(&hookbox, &waiting, &clock);
            let enough = clients.acknowledged().len() + 20;
            until("more acknowledgements", || (clients.acknowledged().len() >= enough).then_some(()));
        });
        let event = hookbox.deliver(github::push());
        hookbox.wait_for(&event, "succeeded");
    }
    assert_eq!(hookbox.job_of(&waiting, "long").state, "running", "its timeout of an hour has not passed");
    assert!(failed(), "the job was not retried early");
    hookbox.open_gate("long");
    until("it to succeed", || (hookbox.job_of(&waiting, "long").state == "succeeded").then_some(()));
    until("every job but one to finish", || {
        let open = "SELECT count(*) FROM jobs WHERE state IN ('pending', 'running')";
        (hookbox.inbox.number(open) == 1).then_some(())
    });
    assert_eq!(hookbox.inbox.number("SELECT count(*) FROM attempts WHERE number > 1"), 0, "no job ran twice");
    assert_explained(&hookbox, "quick");
    clients.assert_kept(&hookbox.inbox);
    assert!(hookbox.stop().success());
    report(12, "the clock is stepped by a day or two, forward and back", jumps.len() * rounds, &clients);
}

/// By the current wall clock.
fn assert_waits_an_hour(hookbox: &Running, event: &Event, clock: &Clock) {
    until("its schedule to be shifted", || {
        let left = hookbox.job_of(event, "later").run_at - clock.now();
        (3_000_000..=4_000_000).contains(&left).then_some(())
    });
}
