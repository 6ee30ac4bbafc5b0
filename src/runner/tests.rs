//! Real small processes: every way to start, run and end; then handlers/README.md and its examples.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::output::{CapturedOutput, OUTPUT_TAIL_BYTES};
use super::*;
use crate::config::{self, HandlerFilter};
use crate::retry::{HandlerDirectives, RetryPolicy};

/// An attempt and its working directory.
pub(super) struct Try {
    attempt: AttemptInput,
    folder: tempfile::TempDir,
}

impl std::ops::Deref for Try {
    type Target = AttemptInput;

    fn deref(&self) -> &AttemptInput {
        &self.attempt
    }
}

impl std::ops::DerefMut for Try {
    fn deref_mut(&mut self) -> &mut AttemptInput {
        &mut self.attempt
    }
}

impl Try {
    pub(super) fn handler_mut(&mut self) -> &mut config::Handler {
        Arc::get_mut(&mut self.attempt.handler).unwrap()
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.attempt.body = body.into();
        self
    }

    fn limit(mut self, limit: Duration) -> Self {
        self.handler_mut().timeout = limit;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs to the end and checks that nothing is left in the results folder.
    fn run(&self) -> AttemptOutput {
        self.run_with(&CancelToken::new().unwrap())
    }

    fn run_with(&self, cancel: &CancelToken) -> AttemptOutput {
        let ended =
            run(&self.attempt, &HandlerResources::new(self.attempt.results.clone(), AttemptPurpose::Job), cancel);
        let left = fs::read_dir(&self.attempt.results).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| !process::pid_record::is_record(&name.to_string_lossy())).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert!(ended.finished_at >= ended.started_at);
        ended
    }

    /// Runs until the handler has written to the FIFO `ready`, then calls `act`.
    fn run_and_then(&self, act: impl FnOnce(&CancelToken) + Send) -> AttemptOutput {
        let ready = self.path("ready");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &ready,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let cancel = CancelToken::new().unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| self.run_with(&cancel));
            fs::read(ready).unwrap();
            act(&cancel);
            running.join().unwrap()
        })
    }
}

pub(super) fn attempt(command: &[&str]) -> Try {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    let policy = RetryPolicy {
        attempts: 25,
        initial: Duration::from_secs(3),
        max: Duration::from_secs(60),
        jitter: 0.1,
        dead_exit_codes: vec![65],
    };
    let handler = config::Handler {
        name: "deploy".into(),
        filter: HandlerFilter { sources: None, events: vec!["*".to_owned()], conditions: Vec::new() },
        mode: config::Mode::Command,
        command: command.iter().copied().map(String::from).collect(),
        cwd: folder.path().to_owned(),
        env: Vec::new(),
        timeout: Duration::from_secs(60),
        ordering: None,
        rate_limit: None,
        concurrency: 4,
        policy,
        respond: None,
        process: config::ProcessSettings::default(),
    };
    let attempt = AttemptInput {
        handler: Arc::new(handler),
        job_id: 7,
        number: 2,
        replays: 1,
        source: "github".to_owned(),
        event_id: "72d3162e".to_owned(),
        event_type: "push".to_owned(),
        received_at: Millis(1_769_860_800_007),
        content_type: Some("application/json".to_owned()),
        headers: r#"{"X-GitHub-Event":"push","X-Hub-Signature-256":"sha256=1"}"#.to_owned(),
        private_headers: ["x-hub-signature-256".to_owned()].into(),
        body: Vec::new(),
        results,
        purpose: AttemptPurpose::Job,
    };
    Try { attempt, folder }
}

/// A handler in one line of shell.
fn shell(script: &str) -> Try {
    attempt(&["sh", "-c", script])
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 253) as u8).collect()
}

fn text(captured: &CapturedOutput) -> &str {
    std::str::from_utf8(&captured.kept).unwrap().trim()
}

/// The state of a process in `/proc`; `None` once it is reaped.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Orphans are reaped by init, at a time of its choice.
fn is_live(pid: &str) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

#[test]
fn stdin_is_the_body_byte_for_byte() {
    for body in [Vec::new(), b"{\"a\":1}".to_vec(), b"\0\xff\xfe\n\r\0".to_vec(), bytes(65_536), bytes(1_000_000)] {
        let ended = shell("cat > seen").body(body.clone());
        assert_eq!(ended.run().exit, AttemptExit::Exited(0));
        assert!(fs::read(ended.path("seen")).unwrap() == body, "{} bytes", body.len());
    }
}

#[test]
fn output_is_counted_and_kept_head_and_tail() {
    let body = bytes(1 << 20);
    let ended = shell("tee /dev/stderr").body(body.clone()).run();
    assert_eq!(ended.exit, AttemptExit::Exited(0));
    for captured in [ended.stdout, ended.stderr] {
        assert_eq!(captured.total, 1 << 20);
        assert!(captured.kept == [&body[..OUTPUT_HEAD_BYTES], &body[body.len() - OUTPUT_TAIL_BYTES..]].concat());
    }
    let quiet = shell("printf out; printf err >&2; exit 3").run();
    assert_eq!((quiet.exit.clone(), text(&quiet.stdout), text(&quiet.stderr)), (AttemptExit::Exited(3), "out", "err"));
    assert_eq!((quiet.stdout.total, quiet.stderr.total, quiet.note()), (3, 3, None));
}

#[test]
fn body_need_not_be_read() {
    for script in ["exit 0", "exec 0<&-; echo still here", "head -c 10 > /dev/null"] {
        assert_eq!(shell(script).body(bytes(10 << 20)).run().exit, AttemptExit::Exited(0), "{script}");
    }
}

#[test]
fn every_kind_of_exit_is_distinguished() {
    assert_eq!(shell("exit 0").run().exit, AttemptExit::Exited(0));
    assert_eq!(shell("exit 255").run().exit, AttemptExit::Exited(255));
    assert_eq!(shell("kill -SEGV $$").run().exit, AttemptExit::Signaled(11));
    assert_eq!(shell("kill -KILL $$").run().exit, AttemptExit::Signaled(9));
    assert_eq!(shell("no-such-command").run().exit, AttemptExit::Exited(127));
}

#[test]
fn handler_with_closed_output_is_waited_for() {
    let ended = shell("exec >&- 2>&-; read line; echo $line > seen; exit 4").body("read\n");
    assert_eq!(ended.run().exit, AttemptExit::Exited(4));
    assert_eq!(fs::read_to_string(ended.path("seen")).unwrap(), "read\n");
}

#[test]
fn background_child_with_open_output_is_not_waited_for() {
    let ended = shell("sleep 1000 & echo $! $$").run();
    assert_eq!(ended.exit, AttemptExit::Exited(0));
    let (child, leader) = text(&ended.stdout).split_once(' ').unwrap();
    assert_eq!(state(leader), None, "a zombie");
    assert!(is_live(child), "a process that the handler left running is not killed");
    let child = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn background_child_that_writes_forever_is_not_waited_for() {
    let ended = shell("yes & yes >&2 & echo over").run();
    assert_eq!(ended.exit, AttemptExit::Exited(0));
    assert!(ended.stdout.kept.windows(4).any(|line| line == b"over") || ended.stdout.total > OUTPUT_KEPT_BYTES as u64);
}

#[test]
fn time_limit_kills_a_group_that_ignores_sigterm() {
    let script = "trap '' TERM; sleep 60 & sh -c 'trap \"\" TERM; sleep 60; :' & echo $$ $!; wait; sleep 60; wait";
    let limit = Duration::from_millis(200);
    let started = Instant::now();
    let ended = shell(script).limit(limit).run();
    assert_eq!(ended.exit, AttemptExit::TimedOut);
    assert!(started.elapsed() >= limit + KILL_GRACE, "killed too early");
    assert!(ended.note().unwrap().contains("was killed"));
    let (leader, child) = text(&ended.stdout).split_once(' ').unwrap();
    assert_eq!(state(leader), None, "a zombie");
    assert!(!is_live(child));
}

#[test]
fn time_limit_kills_processes_that_left_group_session_or_environment() {
    for escape in [
        "setsid sleep 61",
        "env -i sleep 61",
        "sh -c 'setsid sleep 61 & exit'",
        "sh -c 'sh -c \"sleep 61 & exit\" & exit'",
        "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'",
    ] {
        let tried = shell(&format!("{escape} & echo > started; wait; sleep 62")).limit(Duration::from_millis(300));
        let ended = tried.run();
        assert_eq!(
            (&ended.exit, tried.path("started").exists()),
            (&AttemptExit::TimedOut, true),
            "{escape}: {ended:?}"
        );
        let in_folder = |process: &process::proc_fs::ProcessInfo| {
            let folder = fs::read_link(format!("/proc/{}/cwd", process.pid));
            process.is_live && folder.is_ok_and(|folder| folder == tried.folder.path())
        };
        let left: Vec<_> = process::proc_fs::all().unwrap().into_iter().filter(in_folder).collect();
        assert_eq!(left, [], "{escape}");
    }
}

#[test]
fn handler_leads_a_session_with_default_signals() {
    let ended = shell("cut -d' ' -f5,6 /proc/$$/stat; echo $$; grep -E '^Sig(Blk|Ign)' /proc/self/status").run();
    let seen: Vec<&str> = text(&ended.stdout).split_whitespace().collect();
    assert_eq!((seen[0], seen[1]), (seen[2], seen[2]), "group and session");
    let signals = |index: usize| u64::from_str_radix(seen[index], 16).unwrap();
    // Signals 32 and 33 belong to the C library.
    assert_eq!((signals(4), signals(6) & !(3 << 31)), (0, 0), "{seen:?}");
}

#[test]
fn cwd_and_umask_of_a_handler_affect_no_other_thread() {
    let before = std::env::current_dir().unwrap();
    let mut tried = shell("umask; pwd -P; > made; stat -c %a made");
    tried.handler_mut().process.umask = Some(0o027);
    let folder = tried.folder.path().canonicalize().unwrap();
    assert_eq!(text(&tried.run().stdout), format!("0027\n{}\n640", folder.display()));
    assert_eq!(std::env::current_dir().unwrap(), before);
}

#[test]
fn children_may_clean_up_after_the_time_limit() {
    let script = "sh -c 'trap \"echo cleaned; echo cleaned > cleaned; exit\" TERM; echo $$; while :; do sleep 0.01; done' & wait";
    let tried = shell(script).limit(Duration::from_millis(300));
    let ended = tried.run();
    assert_eq!((&ended.exit, &ended.note()), (&AttemptExit::TimedOut, &None));
    assert_eq!(fs::read_to_string(tried.path("cleaned")).unwrap(), "cleaned\n");
    let (child, cleaned) = text(&ended.stdout).split_once('\n').unwrap();
    assert!(!is_live(child));
    assert_eq!(cleaned, "cleaned");
}

#[test]
fn skipped_handler_ends() {
    let ended = shell("echo > ready; sleep 1000").run_and_then(|cancel| cancel.stop(StopReason::Skipped));
    assert_eq!((&ended.exit, ended.note()), (&AttemptExit::Skipped, None));
}

#[test]
fn shutdown_waits_for_the_handler_until_the_kill() {
    let patient = shell("trap 'echo heard; exit 0' TERM; echo > ready; while :; do sleep 0.01; done");
    let ended = patient.run_and_then(|cancel| cancel.stop(StopReason::Shutdown));
    assert_eq!((ended.exit, text(&ended.stdout)), (AttemptExit::Stopped, "heard"));
    let stubborn = shell("trap '' TERM; echo $$; echo > ready; while :; do sleep 0.01; done");
    let ended = stubborn.run_and_then(|cancel| {
        cancel.stop(StopReason::Shutdown);
        cancel.kill();
    });
    assert_eq!(ended.exit, AttemptExit::Stopped);
    assert_eq!(state(text(&ended.stdout)), None, "a zombie");
}

#[test]
fn skip_during_shutdown_counts_as_skip() {
    let ended = shell("trap '' TERM; echo > ready; while :; do sleep 0.01; done").run_and_then(|cancel| {
        cancel.stop(StopReason::Shutdown);
        cancel.stop(StopReason::Skipped);
        cancel.kill();
    });
    assert_eq!(ended.exit, AttemptExit::Skipped);
}

#[test]
fn attempt_cancelled_before_its_start_never_runs() {
    let tried = shell("echo > ran");
    let cancel = CancelToken::new().unwrap();
    cancel.stop(StopReason::Shutdown);
    assert_eq!(tried.run_with(&cancel).exit, AttemptExit::Stopped);
    assert!(!tried.path("ran").exists());
}

#[test]
fn handler_gets_cwd_environment_and_three_descriptors() {
    let tried = shell("pwd -P; env -0; ls /proc/self/fd");
    let ended = tried.run();
    let seen = text(&ended.stdout);
    let (folder, rest) = seen.split_once('\n').unwrap();
    let (environment, descriptors) = rest.rsplit_once('\0').unwrap();
    assert_eq!(Path::new(folder).file_name(), tried.folder.path().file_name());
    let names: Vec<&str> = environment.split('\0').filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let by_the_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    for name in &names {
        let is_listed = environment::INHERITED.contains(name) || environment::EVENT_VARIABLES.contains(name);
        assert!(is_listed || by_the_shell.contains(name), "{name}");
    }
    assert!(environment::EVENT_VARIABLES.iter().all(|name| names.contains(name)), "{names:?}");
    let further = |number: &&str| !["0", "1", "2"].contains(number);
    assert_eq!(descriptors.split_whitespace().filter(further).count(), 1, "more than the listing: {descriptors}");
}

#[test]
fn result_file_gives_directives() {
    let say =
        |json: &str, status: u8| shell(&format!("printf '%s' '{json}' > \"$HOOKBOX_RESULT\"; exit {status}")).run();
    let later = say(r#"{"retry_after":"5m","note":"rate limited"}"#, 1);
    assert_eq!(
        (later.directives.retry_after, later.note().as_deref()),
        (Some(Duration::from_secs(300)), Some("rate limited"))
    );
    assert_eq!(say(r#"{"dead":"gone"}"#, 0).directives.dead.as_deref(), Some("gone"));
    let useless = say(r#"{"retry_after":"5m","note":"done"}"#, 0).note().unwrap();
    assert!(useless.starts_with("done; result file: `retry_after` counts only"), "{useless}");
    assert!(say("oops", 1).note().unwrap().contains("is not JSON"));
    assert_eq!(shell("ln -s /etc/passwd $HOOKBOX_RESULT").run().directives, HandlerDirectives::default());
    let pipe = shell("mkfifo $HOOKBOX_RESULT").run();
    assert!(pipe.note().unwrap().contains("not a regular file"));
}

#[test]
fn command_that_cannot_be_executed_is_explained() {
    let write = |tried: &Try, text: &str, mode| {
        let path = tried.path("tool");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let cases: [(&str, u32, &str); 6] = [
        ("#!/bin/sh\n", 0o644, "is not executable; hint: chmod +x"),
        ("echo hello\n", 0o755, "is not a program; hint: a script starts with a line such as #!/bin/sh"),
        ("", 0o755, "is not a program"),
        ("#!/no/such/sh -e\n", 0o755, "the interpreter `/no/such/sh` in the first line of"),
        ("#!/bin/sh\r\n", 0o755, "ends in a carriage return"),
        ("#!/etc/passwd\n", 0o755, "the interpreter `/etc/passwd` in the first line of"),
    ];
    for (text, mode, expected) in cases {
        let tried = attempt(&["./tool"]);
        write(&tried, text, mode);
        assert!(why(&tried).contains(expected), "{expected}: {}", why(&tried));
    }
    assert!(why(&attempt(&["/no/such/tool"])).starts_with("`/no/such/tool`: No such file"));
    assert!(why(&attempt(&["no-such-tool"])).starts_with("`no-such-tool` was not found in"));
    assert!(why(&attempt(&["/tmp"])).contains("is a directory"));
    assert!(why(&attempt(&["/etc/passwd/tool"])).contains("Not a directory"));
    assert!(why(&attempt(&[])).contains("the command is empty"));
    assert!(why(&attempt(&["true", "a\0b"])).contains("nul byte"));
    let mut homeless = attempt(&["true"]);
    homeless.handler_mut().cwd = "/no/such/folder".into();
    assert!(why(&homeless).starts_with("its directory `/no/such/folder`"));
    let mut large = attempt(&["true"]);
    large.handler_mut().command.push("x".repeat(200_000));
    assert!(why(&large).contains("longer than the system allows"));
}

/// The reason of a NotExecutable exit. A file just written may be busy: another test forked while it was open.
fn why(tried: &Try) -> String {
    loop {
        match tried.run().exit {
            AttemptExit::NotExecutable(why) => return why,
            AttemptExit::Starved(why) => assert!(why.contains("busy"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
#[test]
fn handlers_page_lists_every_variable_and_limit() {
    let page = include_str!("../../handlers/README.md");
    let rows: String = page.lines().filter(|line| line.starts_with("| `")).collect();
    for name in environment::EVENT_VARIABLES.iter().chain(&environment::INHERITED) {
        assert!(rows.contains(&format!("`{name}`")), "{name}");
    }
    let is_set =
        |name: &str| environment::EVENT_VARIABLES.contains(&name) || name == format!("{}=1", environment::DRY_RUN);
    for name in page.split('`').filter(|name| name.starts_with("HOOKBOX_")) {
        assert!(is_set(name), "{name} is not set");
    }
    for key in result_file::KEYS {
        assert!(rows.contains(&format!("| `{{\"{key}\":")), "{key}");
    }
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for limit in [
        format!("the first {} KiB and the last {} KiB", OUTPUT_HEAD_BYTES >> 10, OUTPUT_TAIL_BYTES >> 10),
        format!("at most {} KiB; a header", environment::MAX_HEADERS_BYTES >> 10),
        format!(
            "up to {} KiB, and the file may have {} KiB",
            result_file::MAX_TEXT_BYTES >> 10,
            result_file::MAX_RESULT_BYTES >> 10
        ),
        format!("at most {} days", result_file::MAX_RETRY_AFTER.as_secs() / (24 * 3600)),
        format!("not ended {} seconds later gets KILL", KILL_GRACE.as_secs()),
    ] {
        assert!(words.contains(&limit), "{limit}");
    }
}

#[test]
fn deployment_example_deploys_its_branch_only() {
    let example = example("deploy-on-push.sh");
    let deployed = |body: &str| {
        let ended = attempt(&[&example]).body(body).run();
        assert_eq!(ended.exit, AttemptExit::Exited(0), "{ended:?}");
        text(&ended.stdout).lines().next().unwrap().to_owned()
    };
    let push = |git_ref: &str, after: &str| format!(r#"{{"ref":"{git_ref}","after":"{after}"}}"#);
    assert_eq!(deployed(&push("refs/heads/main", "a1")), "deploying main at a1, attempt 2");
    assert_eq!(
        deployed("{\n  \"after\" : \"a1\",\n  \"ref\" : \"refs/heads/main\"\n}"),
        "deploying main at a1, attempt 2"
    );
    assert_eq!(deployed(&push("refs/heads/other", "a1")), "refs/heads/other is not refs/heads/main: nothing to deploy");
    assert_eq!(deployed(&push("refs/heads/main", "000")), "main was deleted: nothing to deploy");
    assert_eq!(
        deployed(r#"{"x":"\"ref\":\"refs/heads/main\""}"#),
        "no branch is not refs/heads/main: nothing to deploy"
    );
    let long = format!(r#"{{"ref":"refs/heads/main","after":"a1","x":"{}"}}"#, "x".repeat(3 << 20));
    assert_eq!(deployed(&long), "deploying main at a1, attempt 2");
}

#[test]
fn fulfilment_example_fulfils_once() {
    let mut tried = attempt(&[&example("stripe-fulfil.py")]);
    let event = |kind: &str, object: &str| format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#);
    let mut run = |body: &str, replays| {
        tried.attempt.body = body.into();
        tried.attempt.replays = replays;
        tried.run()
    };
    let paid = event("invoice.paid", r#"{"id":"in_1","amount_paid":4200}"#);
    let outputs = [0, 0, 1].map(|replays| {
        let ended = run(&paid, replays);
        assert_eq!(ended.exit, AttemptExit::Exited(0), "{ended:?}");
        text(&ended.stdout).rsplit_once(": ").unwrap().1.to_owned()
    });
    assert_eq!(outputs, ["fulfilled in_1", "fulfilled before, nothing to do", "fulfilled in_1"]);
    assert!(text(&run(&event("customer.created", "{}"), 0).stdout).ends_with("nothing to fulfil"));
    for garbage in ["not JSON", "[]", "{}", &event("invoice.paid", "7")] {
        let ended = run(garbage, 0);
        assert_eq!(ended.exit, AttemptExit::Exited(65), "{ended:?}");
        assert!(ended.directives.dead.unwrap().starts_with("not an event of Stripe"));
    }
}

#[test]
fn notification_example_reports_the_answer_of_the_chat() {
    let example = example("notify.mjs");
    let printed = attempt(&[&example]).body(r#"{"repository":{"full_name":"a/b"},"sender":{"login":"octocat"}}"#).run();
    assert_eq!(
        (printed.exit, text(&printed.stdout)),
        (AttemptExit::Exited(0), "github push a/b by octocat (72d3162e)")
    );
    let answered = |answer: &'static str| {
        let chat = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("NOTIFY_URL=http://{}/", chat.local_addr().unwrap());
        let chat = thread::spawn(move || {
            let (mut connection, _) = chat.accept().unwrap();
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            while !seen.ends_with(br#"{"text":"github push (72d3162e)"}"#) {
                let read = connection.read(&mut buffer).unwrap();
                assert!(read > 0);
                seen.extend_from_slice(&buffer[..read]);
            }
            write!(connection, "HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        });
        let ended = attempt(&["env", &address, &example]).body("not JSON").run();
        chat.join().unwrap();
        (ended.exit, ended.directives)
    };
    assert_eq!(answered("200 OK"), (AttemptExit::Exited(0), HandlerDirectives::default()));
    let (exit, said) = answered("429 Too Many Requests\r\nRetry-After: 7");
    assert_eq!((exit, said.retry_after), (AttemptExit::Exited(75), Some(Duration::from_secs(7))));
    let (exit, said) = answered("400 Bad Request");
    assert_eq!((exit, said.dead.is_some()), (AttemptExit::Exited(65), true));
    assert_eq!(answered("404 Not Found"), (AttemptExit::Exited(1), HandlerDirectives::default()));
    let gone = attempt(&["env", "NOTIFY_URL=http://127.0.0.1:1/", &example]).body("{}").run();
    assert_eq!(gone.exit, AttemptExit::Exited(1));
}

fn example(name: &str) -> String {
    format!("{}/handlers/{name}", env!("CARGO_MANIFEST_DIR"))
}
