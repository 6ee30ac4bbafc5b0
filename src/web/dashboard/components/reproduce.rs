//! Shell commands that reproduce an event elsewhere: send it to a hookbox, run a handler on it, or post it to a URL.
//!
//! Text from outside is quoted so that it cannot end its quotes. Masked values, and values that are not one line, are left
//! out.

use maud::{Markup, html};

use crate::inbox::reader::{Event, EventDetail};
use crate::model::request::stored_headers;
use crate::support::secret::MASK;

/// Headers of the connection, or that the sender sets itself.
const CONNECTION_HEADERS: [&str; 12] = [
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

pub(crate) fn section(detail: &EventDetail) -> Markup {
    let headers = detail.headers.as_ref().map(|headers| stored_headers(headers.get())).unwrap_or_default();
    let lines = [
        ("reproduce-send", "Send to a hookbox, with a new signature", send(&detail.event)),
        ("reproduce-run", "Run a handler in the foreground", run(detail)),
        ("reproduce-curl", "Post to any URL, with the original headers", curl(&detail.event, &headers)),
    ];
    html! {
        details.reproduce {
            summary { "Reproduce elsewhere" }
            p.muted { "Run in the folder of hookbox.toml:" }
            @for (id, label, line) in lines {
                p.reproduce-label id={ (id) "-label" } { (label) }
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
    let handler = detail.jobs.first().map_or_else(|| "HANDLER".to_owned(), |detail| quoted(&detail.job.handler));
    format!("hookbox run {handler} '#{}'", detail.event.seq)
}

fn curl(event: &Event, headers: &[(String, String)]) -> String {
    let is_own_header = |(name, value): &&(String, String)| {
        value != MASK
            && !value.is_empty()
            && is_line(value)
            && is_name(name)
            && !CONNECTION_HEADERS.contains(&name.as_str())
    };
    let headers = headers.iter().filter(is_own_header);
    let headers: String = headers.map(|(name, value)| format!(" -H {}", quoted(&format!("{name}: {value}")))).collect();
    format!("hookbox events body '#{}' | curl --data-binary @-{headers} http://127.0.0.1:3000/", event.seq)
}

/// Quotes a word for the shell.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether the text is safe in a terminal: no control characters, and none that change how other text is displayed.
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
            deviating_deliveries: 0,
            body_bytes: 0,
            body_sha256: vec![],
            state: EventState::Unmatched,
        }
    }

    #[test]
    fn text_from_outside_cannot_end_its_quotes() {
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
    fn masked_and_connection_headers_are_left_out() {
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
