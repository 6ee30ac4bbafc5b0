//! EVENT on the command line, found in the inbox, or a failure that says what it could have been.
//!
//! An ambiguous one is wrong usage: the candidates are listed by their seq, which is never ambiguous.

use crate::cli::failure::Failure;
use crate::cli::output::terminal::{instant, shown};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::{Event, LookupResult};

/// Most candidates that are listed.
const LISTED: usize = 10;

/// Finds the one event that is meant.
pub(crate) fn find(file: &InboxFile, wanted: &str) -> Result<Event, Failure> {
    match file.reader().lookup(wanted)? {
        LookupResult::Event(event) => Ok(*event),
        LookupResult::Several(events) => {
            let several = Failure::usage(format!("`{}` can be any of {} events", shown(wanted), events.len()));
            Err(events.iter().take(LISTED).fold(several, |failure, event| failure.hint(candidate(event))))
        }
        LookupResult::Deleted(keys) => {
            let told = keys.iter().map(|key| {
                format!("{}/{}, received {}", shown(&key.source), shown(&key.event_id), instant(key.received_at))
            });
            let told = told.collect::<Vec<_>>().join("; ");
            Err(Failure::failed(format!("the event has been pruned, only its key is left: {told}"))
                .hint("keys outlive events, so that a late duplicate is still known"))
        }
        LookupResult::Nothing => Err(Failure::failed(format!("there is no event `{}`", shown(wanted)))
            .hint("`hookbox events` lists them; EVENT is an event id, SOURCE/ID or '#SEQ'")),
    }
}

/// Finds all that are meant, in order and each once.
pub(crate) fn find_all(file: &InboxFile, wanted: &[String]) -> Result<Vec<Event>, Failure> {
    let mut events: Vec<Event> = Vec::new();
    for wanted in wanted {
        let event = find(file, wanted)?;
        if events.iter().all(|known| known.seq != event.seq) {
            events.push(event);
        }
    }
    Ok(events)
}

fn candidate(event: &Event) -> String {
    format!(
        "'#{}' is {}/{} {}, received {}",
        event.seq,
        shown(&event.source),
        shown(&event.event_id),
        shown(&event.event_type),
        instant(event.received_at)
    )
}
