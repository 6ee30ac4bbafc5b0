//! How an event is had again elsewhere: commands that send it to a hookbox in development, run a handler on it, or post it
//! to any address.
//!
//! What came with the event comes in, lines for a shell go out. Whatever came from outside stands in quotes that nothing
//! in it can end; what would not be one line, or was masked, is left out.

use maud::{Markup, html};

use crate::inbox::reader::{Event, EventDetail};
use crate::model::request::stored_headers;
use crate::support::secret::MASK;

/// Headers that belong to one connection, or that whoever sends makes anew.
const OF_THE_WAY: [&str; 12] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "accept-encoding",
    "accept",
    "expect",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

pub(super) fn section(detail: &EventDetail) -> Markup {
    let headers = detail.headers.as_ref().map(|headers| stored_headers(headers.get())).unwrap_or_default();
    let lines = [
        ("again-send", "To a hookbox, signed afresh", send(&detail.event)),
        ("again-run", "To a handler, in the foreground", run(detail)),
        ("again-curl", "To any address, with the headers as they came", curl(&detail.event, &headers)),
    ];
    html! {
        details.again {
            summary { "Have it again elsewhere" }
            p.muted { "In the folder of hookbox.toml:" }
            @for (id, label, line) in lines {
                p.again-label id={ (id) "-label" } { (label) }
                div.copyable {
                    code id=(id) tabindex="0" aria-labelledby={ (id) "-label" } { (line) }
                    button.small type="button" data-copy=(id) aria-label={ "Copy: " (label) } hidden { "Copy" }
                }
            }
        }
    }
}

fn send(event: &Event) -> String {
    let with =
        |name: &str, value: &str| if is_line(value) { format!(" --{name}={}", quoted(value)) } else { String::new() };
    let event_type = if event.event_type.is_empty() { String::new() } else { with("type", &event.event_type) };
    let id = with("id", &event.event_id);
    format!("hookbox events body '#{}' | hookbox send {} --data -{event_type}{id}", event.seq, quoted(&event.source))
}

fn run(detail: &EventDetail) -> String {
    let handler = detail.jobs.first().map_or_else(|| "HANDLER".to_owned(), |ledger| quoted(&ledger.job.handler));
    format!("hookbox run {handler} '#{}'", detail.event.seq)
}

fn curl(event: &Event, headers: &[(String, String)]) -> String {
    let is_of_the_event = |(name, value): &&(String, String)| {
        value != MASK && !value.is_empty() && is_line(value) && is_name(name) && !OF_THE_WAY.contains(&name.as_str())
    };
    let headers = headers.iter().filter(is_of_the_event);
    let headers: String = headers.map(|(name, value)| format!(" -H {}", quoted(&format!("{name}: {value}")))).collect();
    format!("hookbox events body '#{}' | curl --data-binary @-{headers} http://127.0.0.1:3000/", event.seq)
}

/// A word of a shell. Only a quote can end what it begins.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What a terminal takes as it stands: no control, nothing that changes how other text is shown.
fn is_line(text: &str) -> bool {
    crate::support::humanize::shown(text) == text
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::EventState;
    use crate::support::time::Millis;

    fn event(source: &str, id: &str, event_type: &str) -> Event {
        Event {
            seq: 7,
            source: source.into(),
            event_id: id.into(),
            event_type: event_type.into(),
            received_at: Millis(0),
            deliveries: 1,
            body_bytes: 0,
            body_sha256: vec![],
            state: EventState::Unmatched,
        }
    }

    #[test]
    fn nothing_from_outside_ends_its_quotes() {
        assert_eq!(quoted("'; rm -rf / #$(id)`id`\\"), r"''\''; rm -rf / #$(id)`id`\'");
        assert_eq!((quoted("a-b.c"), quoted("")), ("a-b.c".into(), "''".into()));
        assert_eq!(
            send(&event("github", "-x y", "push")),
            "hookbox events body '#7' | hookbox send github --data - --type=push --id='-x y'"
        );
        assert_eq!(
            send(&event("github", "a\u{1b}[31m", "")),
            "hookbox events body '#7' | hookbox send github --data -"
        );
    }

    #[test]
    fn headers_that_are_masked_or_of_the_way_are_left_out() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            header("host", "a"),
            header("authorization", MASK),
            header("x-github-event", "push"),
            header("x-odd", "it's"),
            header("x-empty", ""),
            header("x-long", "a\nb"),
        ];
        assert_eq!(
            curl(&event("github", "1", ""), &headers),
            "hookbox events body '#7' | curl --data-binary @- -H 'x-github-event: push' -H 'x-odd: it'\\''s' http://127.0.0.1:3000/"
        );
    }
}
