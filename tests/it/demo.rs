//! `demo --once` on a scratch inbox.

use crate::support::Hookbox;

#[test]
fn demo_shows_every_kind_of_delivery_and_succeeds() {
    let hookbox = Hookbox::new();
    let done = hookbox.run(&["demo", "--once"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let shows = |words: &[&str]| done.stdout.lines().any(|line| words.iter().all(|word| line.contains(word)));
    for provider in ["github", "stripe", "shopify"] {
        assert!(shows(&[provider, "genuine", "200", "accepted"]), "{provider}:\n{}", done.stdout);
    }
    let kinds: [&[&str]; 6] = [
        &["again", "200", "duplicate"],
        &["forged", "401", "refused"],
        &["stale", "401", "refused"],
        &["succeeded", "handled"],
        &["failed, succeeded", "retried"],
        &["dead", "set aside"],
    ];
    for words in kinds {
        assert!(shows(words), "no line with {words:?}:\n{}", done.stdout);
    }
    let left: Vec<_> = std::fs::read_dir(hookbox.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "nothing is left in the current folder: {left:?}");
}

#[test]
fn two_demos_run_in_parallel() {
    let hookbox = Hookbox::new();
    std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| hookbox.run(&["demo", "--once"]))).collect();
        for demo in both {
            let done = demo.join().unwrap();
            assert_eq!(done.status, Some(0), "{done:?}");
        }
    });
}
