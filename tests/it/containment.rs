//! Containment: what a handler may use, and that nothing of it is left after hookbox has stopped it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use crate::support::script::{sh, succeeds};
use crate::support::torture::{report_count, rounds};
use crate::support::{Hookbox, Running, github, until, until_within};

const PATIENCE: Duration = Duration::from_secs(60);

/// Processes in the folder of the test, and zombies that hookbox should have reaped.
fn left_of(hookbox: &Running) -> Vec<String> {
    let here = hookbox.folder().canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let seen = processes.filter_map(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let is_zombie = fields[0] == "Z" && fields[1] == hookbox.id().to_string();
        let is_here = fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == here);
        let is_hookbox = process.file_name().to_str() == Some(&hookbox.id().to_string());
        (is_zombie || is_here && !is_hookbox).then_some(stat)
    });
    seen.collect()
}

#[test]
fn time_limit_kills_the_whole_process_tree() {
    let script = sh(r#"trap '' TERM
        sh -c 'trap "" TERM; sh -c "trap \"\" TERM; sleep 600; :" & sleep 600; :' &
        setsid sh -c 'trap "" TERM; sleep 600; :' &
        sh -c 'setsid sh -c "sleep 600 & sleep 600; :" & exit' &
        env -i /bin/sleep 600 &
        i=0; while [ $i -lt 200 ]; do sleep 600 & i=$((i+1)); done
        echo > started
        wait; sleep 600; :"#);
    let hookbox = Hookbox::new()
        .dispatch("workers = 1")
        .handler_with("tree", "timeout = \"3s\"\nevents = [\"push\"]\nretry = { attempts = 1 }", script)
        .handler_with("next", "events = [\"ping\"]", succeeds())
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push());
    until("the tree to start", || hookbox.folder().join("started").exists().then_some(()));
    assert!(left_of(&hookbox).len() > 200);
    let next = hookbox.deliver(github::push().of_type("ping"));
    hookbox.wait_for(&next, "succeeded");
    assert_eq!(hookbox.attempts(&event), ["timeout"]);
    until_within(PATIENCE, "all processes to be gone", || left_of(&hookbox).is_empty().then_some(()));
    report_count(8, "a time limit on 200 processes that ignore TERM and escape", 1, 2);
}

#[test]
fn process_left_running_stays_and_becomes_no_zombie() {
    let hookbox = Hookbox::new().handler("daemon", sh("setsid sh -c 'sleep 1; > stayed' & exit 0")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    until("the process to end", || hookbox.folder().join("stayed").exists().then_some(()));
    until_within(PATIENCE, "the orphan to be reaped", || left_of(&hookbox).is_empty().then_some(()));
}

#[test]
fn after_kill_9_no_job_runs_twice_at_the_same_time() {
    // If an earlier attempt of the job is still running, the script reports it.
    let script = sh(r#"lock="records/lock-$HOOKBOX_EVENT_ID"
        (set -C; echo $$ > "$lock") 2>/dev/null || for pid in $(cat "$lock" "$lock".*); do
            state=$(cut -d')' -f2 "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f2)
            case "$state" in ''|Z|X) ;; *) echo "$HOOKBOX_EVENT_ID $pid $state" >> records/overlap;; esac
        done
        [ "$HOOKBOX_ATTEMPT" -gt 1 ] && exit 0
        case "$HOOKBOX_EVENT_ID" in
            *0) setsid sleep 600 & ;;
            *1) env -i /bin/sleep 600 & ;;
            *2) sh -c 'setsid sleep 600 & echo $! > "$0"; exit' "$lock.late" & ;;
            *3) echo > "$lock.late"; echo > "$lock.ready"; exec env -i /bin/sh -c "trap '' TERM; while :; do sleep 1; done" ;;
            *) sleep 600 & ;;
        esac
        echo $! > "$lock.child"; echo > "$lock.ready"; wait; sleep 600"#);
    let mut hookbox = Hookbox::new()
        .handler_with("work", "concurrency = 8", script)
        .expect_warning("were running when hookbox was killed")
        .expect_warning("left behind by lost attempts")
        .start();
    let rounds = rounds(1);
    for round in 0..rounds {
        let ids: Vec<String> = (0..8).map(|number| format!("overlap-{round}-{number}")).collect();
        let events: Vec<_> = ids.iter().map(|id| hookbox.deliver(github::push().with_id(id))).collect();
        for id in &ids {
            let ready = hookbox.folder().join(format!("records/lock-{id}.ready"));
            until("the handlers to start", || ready.exists().then_some(()));
        }
        hookbox.kill();
        hookbox.start_again();
        hookbox.inbox.writer().execute("UPDATE jobs SET run_at = 0 WHERE state = 'pending'", []).unwrap();
        for event in &events {
            hookbox.wait_for(event, "succeeded");
        }
    }
    let overlap = fs::read_to_string(hookbox.folder().join("records/overlap")).unwrap_or_default();
    assert_eq!(overlap, "");
    until_within(PATIENCE, "all processes to be gone", || left_of(&hookbox).is_empty().then_some(()));
    report_count(7, "kill -9 while eight handlers sleep: none is there twice", rounds, 8 * rounds);
}

#[test]
fn misbehaving_handler_is_bounded() {
    let peak = |hookbox: &Running| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", hookbox.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    };
    let hookbox = Hookbox::new()
        .handler_with("flood", "events = ['flood']", sh("printf head; head -c 1073741824 /dev/zero; printf tail"))
        .handler_with("good", "events = ['good']", sh("cat > /dev/null"))
        .handler_with("deaf", "events = ['deaf']", sh("exit 0"))
        .handler_with("closed", "events = ['closed']", sh("exec 0<&-; sleep 0.2; exit 0"))
        .handler_with("holding", "events = ['holding']", sh("sleep 5 & exit 0"))
        .start();
    let large = vec![b' '; 10 << 20];
    let body = [br#"{"a":1}"#.to_vec(), large].concat();
    // Receiving and passing on a body of this size takes memory that is not the fault of the handlers.
    for _ in 0..2 {
        let event = hookbox.deliver(github::push().of_type("good").with_body(body.clone()));
        hookbox.wait_long_for(120, &event, "succeeded");
    }
    let before = peak(&hookbox);
    for (kind, body) in
        [("deaf", body.clone()), ("closed", body), ("holding", b"{}".to_vec()), ("flood", b"{}".to_vec())]
    {
        let event = hookbox.deliver(github::push().of_type(kind).with_body(body));
        hookbox.wait_long_for(120, &event, "succeeded");
    }
    let grown = peak(&hookbox) - before;
    assert!(grown < 64, "memory grew by {grown} MiB");
    let zeros = |count: usize| vec![0; count];
    let kept = hookbox.inbox.rows(
        "SELECT a.stdout, a.stdout_bytes FROM attempts a JOIN jobs ON jobs.id = job_id WHERE handler = 'flood'",
        [],
        |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u64>(1)?)),
    );
    let expected = [b"head".to_vec(), zeros(16 * 1024 - 8), b"tail".to_vec()].concat();
    assert!(kept == [(expected, (1 << 30) + 8)], "the head or the tail is not exact");
    report_count(9, "1 GiB of output, 10 MiB of input not read, a held stdout", 4, 6);
}

#[test]
fn limits_apply_to_each_process_and_are_noted() {
    let limits = "limits = { memory = \"64MiB\", cpu_time = \"1s\", open_files = 20 }\nretry = { attempts = 1 }";
    let hookbox = Hookbox::new()
        .handler_with("shown", &format!("{limits}\nevents = ['ping']"), sh("cat /proc/self/limits; pwd -P"))
        .handler_with("spin", &format!("{limits}\nevents = ['push']"), sh("while :; do :; done"))
        .expect_failures()
        .start();
    let event = hookbox.deliver(github::push().of_type("ping"));
    hookbox.wait_for(&event, "succeeded");
    let shown = hookbox.inbox.texts("SELECT CAST(stdout AS TEXT) FROM attempts").remove(0);
    let limit = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(limit("Max data size"), "67108864 67108864");
    assert_eq!(limit("Max cpu time"), "1 2");
    assert_eq!(limit("Max open files"), "20 20");
    assert_eq!(shown.lines().last(), hookbox.folder().canonicalize().unwrap().to_str());
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let note = hookbox.ledger(&event)[0].note.clone().unwrap_or_default();
    assert!(note.contains("limits.cpu_time, 1 s"), "{note}");
}

#[test]
fn handler_inherits_the_original_file_limit_and_no_descriptor() {
    let hookbox = Hookbox::new().handler("shown", sh("ulimit -Sn; ls /proc/self/fd | wc -l")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    let shown = hookbox.inbox.texts("SELECT CAST(stdout AS TEXT) FROM attempts");
    assert_eq!(shown, [format!("{own}\n4\n")]);
}

#[test]
fn umask_applies_to_files_of_the_handler() {
    let hookbox = Hookbox::new().handler_with("make", "umask = \"027\"", sh("> made; mkdir folder")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let mode = |name: &str| fs::metadata(hookbox.folder().join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("made"), mode("folder")), (0o640, 0o750));
}

#[test]
fn handler_with_user_runs_as_that_user() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let script = sh(
        "id -u; id -g; id -G; echo \"$HOME $USER $LOGNAME\"; echo '{\"note\":\"heard\"}' > \"$HOOKBOX_RESULT\"; ls -ld \"${HOOKBOX_RESULT%/*}\" | cut -c1-10",
    );
    let hookbox = Hookbox::new().handler_with("other", "user = \"nobody\"\numask = \"077\"", script);
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(hookbox.folder(), open.clone()).unwrap();
    let hookbox = hookbox.start();
    fs::set_permissions(hookbox.folder().join("ledger"), open).unwrap();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let shown = hookbox.inbox.texts("SELECT CAST(stdout AS TEXT) FROM attempts").remove(0);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534"]);
    assert!(lines[3].ends_with(" nobody nobody"), "{shown}");
    assert_eq!(lines[4], "drwx------");
    assert_eq!(hookbox.ledger(&event)[0].note.as_deref(), Some("heard"));
}

#[test]
fn unknown_user_is_a_configuration_error() {
    let done = Hookbox::new().handler_with("other", "user = \"no-such-user\"", succeeds()).refuse_to_start();
    assert_eq!(done.status, Some(2), "{done:?}");
    assert!(done.stderr.contains("handlers.other.user"), "{done:?}");
}
