//! `prune`: what is too old by `keep_payloads`, `keep_events` and `keep_keys` is forgotten now, not bit by bit.
//!
//! Works beside `serve`, which does the same in small steps all the time; and gives back what has become free.

use std::io::{self, Write as _};

use bytesize::ByteSize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::output::progress::{self, Counter};
use crate::cli::output::terminal::{count, remark};
use crate::inbox::operator::{DiskUsage, InboxFile, Pruned};
use crate::support::time::Millis;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only tells how much
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let outline = global.outline()?;
    let wrong = || Failure::usage("[inbox] is not as it should be, so nothing is forgotten");
    let keep = outline.keep.ok_or_else(|| wrong().hint("`hookbox check` says what is wrong"))?;
    let mut file = InboxFile::open(&outline.inbox)?;
    let now = Millis::now();
    let due = progress::waiting("looking for what is too old", || file.count_expired(&keep, now))?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        writeln!(out, "would forget {}", told(&due))?;
        tell_of_the_dead(&due, true);
        return Ok(out.flush()?);
    }
    let before = file.disk_usage()?;
    let total = |pruned: &Pruned| pruned.events + pruned.payloads + pruned.keys;
    let mut counter = Counter::new(total(&due));
    let pruned = file.prune(&keep, now, |pruned| counter.reach(total(pruned)))?;
    drop(counter);
    progress::waiting("giving back free pages", || file.return_free_pages())?;
    writeln!(out, "forgot {}", told(&pruned))?;
    tell_of_the_dead(&pruned, false);
    tell_of_room(before, file.disk_usage()?);
    Ok(out.flush()?)
}

fn told(pruned: &Pruned) -> String {
    let [events, bodies, keys] = [(pruned.events, "event"), (pruned.payloads, "body"), (pruned.keys, "key")]
        .map(|(number, one)| count(number, one));
    format!("{events}, {} of events that stay, and {keys} of events that had gone", bodies.replace("bodys", "bodies"))
}

fn tell_of_the_dead(pruned: &Pruned, is_dry: bool) {
    if pruned.dead > 0 {
        let could = if is_dry { "could" } else { "can" };
        remark(format!("{} among them {could} then no longer be run again", count(pruned.dead, "dead job")));
    }
}

fn tell_of_room(before: DiskUsage, after: DiskUsage) {
    if after.bytes < before.bytes {
        remark(format!("the file shrinks by {}", ByteSize(before.bytes - after.bytes)));
    }
    if !after.gives_back && after.free_bytes > 0 {
        remark(format!(
            "{} of the file hold nothing and cannot be given back: it was made without auto_vacuum\n\
             hint: stop hookbox, `hookbox backup NEW`, and put NEW in the place of the inbox",
            ByteSize(after.free_bytes)
        ));
    }
}
