//! `prune`: deletes everything older than `keep_payloads`, `keep_events` and `keep_keys` now, and shrinks the file.
//!
//! `serve` does the same continuously in small steps. Both can run at the same time.

use std::io::{self, Write as _};

use bytesize::ByteSize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, remark};
use crate::inbox::operator::{DiskUsage, InboxFile, Pruned};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    /// Only print how much would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &PruneArgs, global: &Global) -> Result<(), Failure> {
    let summary = global.summary()?;
    let invalid = || Failure::usage("`[inbox]` is invalid, so nothing was deleted");
    let keep = summary.keep.ok_or_else(|| invalid().hint("`hookbox check` shows the errors"))?;
    let mut file = InboxFile::open(&summary.inbox)?;
    let now = Millis::now();
    let due = progress::spinner("searching for expired rows", || file.count_expired(&keep, now))?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        writeln!(out, "would delete {}", describe(&due))?;
        remark_dead_jobs(&due);
        return Ok(out.flush()?);
    }
    let before = file.disk_usage()?;
    let total = |pruned: &Pruned| pruned.events + pruned.payloads + pruned.keys;
    let mut counter = Counter::new(total(&due));
    let pruned = file.prune(&keep, now, |pruned| counter.set(total(pruned)))?;
    drop(counter);
    progress::spinner("shrinking the file", || file.return_free_pages())?;
    writeln!(out, "deleted {}", describe(&pruned))?;
    remark_dead_jobs(&pruned);
    remark_disk_usage(before, file.disk_usage()?);
    Ok(out.flush()?)
}

fn describe(pruned: &Pruned) -> String {
    let [events, bodies, ids] = [(pruned.events, "event"), (pruned.payloads, "body"), (pruned.keys, "id")]
        .map(|(number, noun)| count(number, noun).replace("bodys", "bodies"));
    format!("{events}, {bodies} of newer events, and {ids} of already deleted events")
}

fn remark_dead_jobs(pruned: &Pruned) {
    if pruned.dead > 0 {
        remark(format!("this includes {}, which can then no longer be retried", count(pruned.dead, "dead job")));
    }
}

fn remark_disk_usage(before: DiskUsage, after: DiskUsage) {
    if after.bytes < before.bytes {
        remark(format!("the file shrank by {}", ByteSize(before.bytes - after.bytes)));
    }
    if !after.gives_back && after.free_bytes > 0 {
        remark(format!(
            "{} of the file are unused and cannot be released: it was created without auto_vacuum\n\
             hint: stop hookbox, run `hookbox backup NEW`, and replace the inbox with NEW",
            ByteSize(after.free_bytes)
        ));
    }
}
