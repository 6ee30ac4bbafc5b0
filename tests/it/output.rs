//! Handler output: head and tail are stored, and output never blocks the handler.

use crate::support::script::{exits, sh};
use crate::support::{Hookbox, Running, github};

#[test]
fn short_output_is_stored_per_stream() {
    let script = sh("printf 'out\\000\\377\\n'; printf 'err' >&2");
    let hookbox = Hookbox::new().handler("print", script).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    assert_eq!(streams(&hookbox), [(b"out\0\xff\n".to_vec(), 6, b"err".to_vec(), 3)]);
}

#[test]
fn long_output_is_cut_to_head_and_tail() {
    let hookbox = Hookbox::new().handler("print", sh("seq 1 20000\nseq 1 3000 >&2")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let (out, err) = (numbers(20_000), numbers(3000));
    let (kept_out, kept_err) = (head_and_tail(&out), head_and_tail(&err));
    assert!(kept_out.len() == 16 * 1024 && kept_err.len() < 16 * 1024, "one is cut, the other is not");
    assert_eq!(streams(&hookbox), [(kept_out, length(&out), kept_err, length(&err))]);
}

#[test]
fn huge_output_is_drained() {
    let hookbox = Hookbox::new().handler("print", sh("head -c 67108864 /dev/zero")).start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "succeeded");
    let (out, total, ..) = streams(&hookbox).remove(0);
    assert_eq!((out, total), (vec![0; 16 * 1024], 64 << 20));
}

#[test]
fn output_of_first_and_last_five_attempts_is_kept() {
    let retry = r#"retry = { attempts = 14, initial = "1ms", max = "1ms", jitter = 0.0 }"#;
    let script = sh("printf %s \"$HOOKBOX_ATTEMPT\"").then(exits(1));
    let hookbox = Hookbox::new().handler_with("print", retry, script).expect_failures().start();
    let event = hookbox.deliver(github::push());
    hookbox.wait_for(&event, "dead");
    let kept: Vec<String> =
        hookbox.inbox.texts("SELECT CAST(coalesce(stdout, '') AS TEXT) FROM attempts ORDER BY number");
    assert_eq!(kept.len(), 14);
    for number in [1, 2, 3, 4, 5, 10, 11, 12, 13, 14] {
        assert_eq!(kept[number - 1], number.to_string(), "{kept:?}");
    }
    assert_eq!(kept[5..9], ["", "", "", ""], "{kept:?}");
    assert!(hookbox.inbox.number("SELECT min(stdout_bytes) FROM attempts") > 0, "still counted");
}

fn streams(hookbox: &Running) -> Vec<(Vec<u8>, i64, Vec<u8>, i64)> {
    hookbox.inbox.rows("SELECT stdout, stdout_bytes, stderr, stderr_bytes FROM attempts", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })
}

fn numbers(last: u32) -> Vec<u8> {
    (1..=last).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn length(text: &[u8]) -> i64 {
    i64::try_from(text.len()).unwrap()
}

fn head_and_tail(text: &[u8]) -> Vec<u8> {
    if text.len() <= 16 * 1024 {
        return text.to_vec();
    }
    [&text[..4096], &text[text.len() - 12 * 1024..]].concat()
}
