//! The short form of a promise's fault on every run, the long one in `make torture`, and the table that it prints.

use std::io::Write as _;

use super::clients::Clients;

/// How often a fault is made: a few times on every run; `make torture` says how often else.
pub fn rounds(few: usize) -> usize {
    std::env::var("HOOKBOX_TORTURE_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}

/// Whether this is the long form.
pub fn is_long() -> bool {
    std::env::var_os("HOOKBOX_TORTURE_ROUNDS").is_some()
}

/// A line of the table, from a test that has found nothing lost.
pub fn tell(row: u32, fault: &str, injected: usize, clients: &Clients) {
    tell_of(row, fault, injected, clients.acknowledged().len());
}

/// Likewise, with the number of events that had been acknowledged.
pub fn tell_of(row: u32, fault: &str, injected: usize, acknowledged: usize) {
    assert!(injected > 0, "row {row}: {fault}: nothing was injected");
    if let Some(file) = std::env::var_os("HOOKBOX_TORTURE_TABLE") {
        let mut table = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(table, "{row:2} | {fault:58} | {injected:8} | {acknowledged:12} |    0").unwrap();
    }
}
