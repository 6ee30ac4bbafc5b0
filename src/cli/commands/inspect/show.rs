//! `events show`: an event with its headers, jobs, attempts and output, but without its body.

use std::io::{self, Write};

use crate::cli::args::find_events;
use crate::cli::failure::Failure;
use crate::cli::output::list::print_json;
use crate::cli::output::terminal::{count, grouped, instant, relative, shown, shown_lines, span};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::{Attempt, Event, EventDetail, Job, JobDetail};
use crate::model::request::stored_headers;
use crate::runner::{OUTPUT_HEAD_BYTES, OUTPUT_KEPT_BYTES};
use crate::support::time::Millis;

/// Length of the beginning of cut output (`schema.sql`, `attempts.stdout`).
const HEAD_BYTES: usize = OUTPUT_HEAD_BYTES;

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Event id, SOURCE/ID, or '#SEQ' (quoted, since # starts a shell comment)
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ShowArgs, file: &InboxFile) -> Result<(), Failure> {
    let mut details = Vec::new();
    for event in find_events(file, &args.events)? {
        // None if the event was pruned in the meantime.
        details.extend(file.reader().event_detail(event.seq)?);
    }
    if args.json {
        return print_json(&details);
    }
    let mut out = io::stdout().lock();
    for (index, detail) in details.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        print(&mut out, detail, Millis::now())?;
    }
    Ok(out.flush()?)
}

fn print(out: &mut impl Write, detail: &EventDetail, now: Millis) -> io::Result<()> {
    let event = &detail.event;
    let content_type = detail.content_type.as_deref().unwrap_or("no content type");
    let received = format!("{}, {}", event.received_at.to_rfc3339(), relative(event.received_at, now));
    writeln!(out, "event #{}: {}", event.seq, event.state)?;
    writeln!(out, "  source      {}", shown(&event.source))?;
    writeln!(out, "  type        {}", shown(&event.event_type))?;
    writeln!(out, "  event id    {}", shown(&event.event_id))?;
    writeln!(out, "  received    {received}, {}", deliveries(event))?;
    match &detail.headers {
        None => writeln!(out, "  body        {} bytes, no longer stored", event.body_bytes)?,
        Some(headers) => {
            writeln!(out, "  body        {} bytes, {}", event.body_bytes, shown(content_type))?;
            writeln!(out, "              to print it: hookbox events body '#{}'", event.seq)?;
            print_headers(out, headers.get())?;
        }
    }
    if detail.jobs.is_empty() {
        writeln!(out, "no handler matched")?;
    }
    for JobDetail { job, attempts } in &detail.jobs {
        print_job(out, job, now)?;
        for attempt in attempts {
            print_attempt(out, attempt)?;
        }
    }
    Ok(())
}

fn deliveries(event: &Event) -> String {
    match (event.deliveries, event.deviating_deliveries) {
        (1, _) => "delivered once".to_owned(),
        (more, 0) => format!("delivered {more} times"),
        (more, deviating) => format!("delivered {more} times, {deviating} with another body that was not stored"),
    }
}

pub(crate) fn print_headers(out: &mut impl Write, json: &str) -> io::Result<()> {
    for (index, (name, value)) in stored_headers(json).iter().enumerate() {
        let label = if index == 0 { "headers" } else { "" };
        writeln!(out, "  {label:<10}  {}: {}", shown(name), shown(value))?;
    }
    Ok(())
}

fn print_job(out: &mut impl Write, job: &Job, now: Millis) -> io::Result<()> {
    let when = super::jobs::when(job, now);
    let separator = if when.is_empty() { "" } else { ", " };
    write!(out, "job for {}: {}{separator}{when}", shown(&job.handler), job.state)?;
    if let Some(key) = job.order_key.as_deref().filter(|_| job.blocked == 1) {
        write!(out, ", which has the same ordering key ({})", shown(key))?;
    }
    if job.replays > 0 {
        write!(out, ", replays: {}", job.replays)?;
    }
    if let Some(reason) = &job.reason {
        write!(out, ": {}", shown(reason))?;
    }
    writeln!(out)
}

fn print_attempt(out: &mut impl Write, attempt: &Attempt) -> io::Result<()> {
    write!(out, "  attempt {}: {}, ", attempt.number, instant(attempt.started_at))?;
    match (attempt.status, attempt.finished_at) {
        (Some(status), Some(finished_at)) => {
            write!(out, "{status} after {}", span(finished_at.since(attempt.started_at)))?;
        }
        _ => write!(out, "running")?,
    }
    if let Some(code) = attempt.exit_code {
        write!(out, ", exit status {code}")?;
    }
    if let Some(status) = attempt.http_status {
        write!(out, ", HTTP status {status}")?;
    }
    if let Some(signal) = attempt.signal {
        write!(out, ", signal {signal}")?;
    }
    writeln!(out)?;
    if let Some(note) = &attempt.note {
        writeln!(out, "    note: {}", shown(note))?;
    }
    let stdout = if attempt.http_status.is_some() { "response" } else { "stdout" };
    print_output(out, stdout, attempt.stdout.as_deref(), attempt.stdout_bytes)?;
    print_output(out, "stderr", attempt.stderr.as_deref(), attempt.stderr_bytes)
}

fn print_output(out: &mut impl Write, name: &str, kept: Option<&[u8]>, written: i64) -> io::Result<()> {
    let written = usize::try_from(written).unwrap_or(0);
    if written == 0 {
        return Ok(());
    }
    writeln!(out, "    {name}, {}:", count(written, "byte"))?;
    match kept {
        None => writeln!(out, "      (no longer stored)"),
        Some(kept) if kept.len() < written => {
            // Head and tail of a command's output are stored, but only the beginning of a URL's response.
            let head = if kept.len() > OUTPUT_KEPT_BYTES { kept.len() } else { HEAD_BYTES.min(kept.len()) };
            let (head, tail) = kept.split_at(head);
            print_lines(out, head)?;
            writeln!(out, "      ({} bytes omitted)", grouped(written - kept.len()))?;
            print_lines(out, tail)
        }
        Some(kept) => print_lines(out, kept),
    }
}

fn print_lines(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for line in String::from_utf8_lossy(bytes).lines() {
        writeln!(out, "      | {}", shown_lines(line))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(kept: Option<&[u8]>, written: i64) -> String {
        let mut out = Vec::new();
        print_output(&mut out, "stderr", kept, written).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn output_is_shown_by_line_without_control_characters() {
        assert_eq!(printed(Some(b""), 0), "");
        assert_eq!(
            printed(Some(b"a\x1b[2J\nb\xff"), 8),
            "    stderr, 8 bytes:\n      | a\\u{1b}[2J\n      | b\u{fffd}\n"
        );
        assert_eq!(printed(None, 8), "    stderr, 8 bytes:\n      (no longer stored)\n");
        let kept = [vec![b'h'; HEAD_BYTES], b"tail".to_vec()].concat();
        let shown = printed(Some(&kept), 10_000);
        assert!(shown.contains("h\n      (5,900 bytes omitted)\n      | tail\n"), "{shown}");
    }
}
