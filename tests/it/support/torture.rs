//! Fault injection in a short form for every run and a long one for `make torture`, and the table that it prints.

use std::io::Write as _;

use super::clients::Clients;

/// How often to inject a fault: `few` times, or as `make torture` sets it.
pub fn rounds(few: usize) -> usize {
    std::env::var("HOOKBOX_TORTURE_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}

/// Whether `make torture` runs.
pub fn is_long() -> bool {
    std::env::var_os("HOOKBOX_TORTURE_ROUNDS").is_some()
}

/// Adds a row to the table, from a test that found nothing lost.
pub fn report(row: u32, fault: &str, injected: usize, clients: &Clients) {
    report_count(row, fault, injected, clients.acknowledged().len());
}

/// Adds a row with the number of acknowledged events.
pub fn report_count(row: u32, fault: &str, injected: usize, acknowledged: usize) {
    assert!(injected > 0, "row {row}: {fault}: nothing was injected");
    if let Some(file) = std::env::var_os("HOOKBOX_TORTURE_TABLE") {
        let mut table = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(table, "{row:2} | {fault:58} | {injected:8} | {acknowledged:12} |    0").unwrap();
    }
}
