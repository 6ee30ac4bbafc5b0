//! Values as text or markup: times, durations, numbers, sizes, states, text from outside.
//!
//! Text from outside is escaped by the templates. Characters that control how other text is displayed are spelled out.

use std::time::Duration;

use maud::{Markup, html};

use crate::inbox::reader::COUNT_LIMIT;
use crate::model::request::stored_headers;
use crate::support::humanize;
use crate::support::secret::MASK;
use crate::support::time::Millis;

pub(crate) use crate::support::humanize::{count, relative as age, shown_lines, span};

/// Text from outside, on one line.
pub(crate) fn shown(text: &str) -> String {
    humanize::shown(text).into_owned()
}

pub(crate) fn event_type(text: &str) -> String {
    if text.is_empty() { "(no type)".to_owned() } else { shown(text) }
}

/// `2026-01-31 12:00:00Z`
pub(crate) fn instant(at: Millis) -> String {
    let text = at.to_rfc3339();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{}Z", seconds.replacen('T', " ", 1)),
        None => text,
    }
}

/// The age, and the time itself.
pub(crate) fn when(at: Millis, now: Millis) -> Markup {
    html! {
        time datetime=(at.to_rfc3339()) title=(instant(at)) data-age { (age(at, now)) }
        " " time.instant datetime=(at.to_rfc3339()) data-instant { (instant(at)) }
    }
}

/// The age, with the time as its title.
pub(crate) fn ago(at: Millis, now: Millis) -> Markup {
    html! { time datetime=(at.to_rfc3339()) title=(instant(at)) data-age { (age(at, now)) } }
}

/// `1.24 s`, `12 ms`, `3 min 20 s`.
pub(crate) fn duration(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{:.2} s", span.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A duration as in the configuration: `5m`, `6h`.
pub(crate) fn configured(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// `1,234`
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that stops at a limit.
pub(crate) fn counted(number: i64) -> String {
    if number >= COUNT_LIMIT { format!("{}+", grouped(COUNT_LIMIT)) } else { grouped(number) }
}

/// `812 B`, `14.2 KiB`
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [(i64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {name}", grouped(tenths / 10), tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// Stored headers as a list of names and values.
pub(crate) fn header_list(json: &str) -> Markup {
    html! {
        dl.headers {
            @for (name, value) in stored_headers(json) {
                dt { (shown(&name)) }
                dd { @if value == MASK { span.masked { "*** " span.muted { "(masked)" } } } @else { (shown(&value)) } }
            }
        }
    }
}

/// A state as a badge: a word, a shape and a colour.
pub(crate) fn badge(word: &str) -> Markup {
    html! { span class={ "badge " (word) } { (shape(word)) (word) } }
}

/// Hidden from screen readers.
fn shape(word: &str) -> Markup {
    let lines = match word {
        "succeeded" | "accepting" | "accepted" | "done" => "M3.5 8.5l3 3 6-7",
        "dead" => "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2L1.5 10.8V5.2zM5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6",
        "failed" | "timeout" | "broken" | "lost" | "refused" => "M4 4l8 8M12 4l-8 8",
        "running" => "M5 3.2v9.6l7.6-4.8z",
        "pending" | "deferred" | "starved" => "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 4.6V8l2.4 1.8",
        "paused" | "stopped" | "stopping" => "M5.5 3.5v9M10.5 3.5v9",
        "skipped" => "M3.5 3.5L8 8l-4.5 4.5M8 3.5L12.5 8 8 12.5",
        _ => "M3 8h10",
    };
    html! { svg.shape viewBox="0 0 16 16" aria-hidden="true" focusable="false" { path d=(lines); } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_short() {
        assert_eq!(
            (grouped(1_234_567), grouped(12), grouped(-1234)),
            ("1,234,567".into(), "12".into(), "-1,234".into())
        );
        assert_eq!((counted(99_999), counted(100_000)), ("99,999".into(), "100,000+".into()));
        assert_eq!((count(1, "job"), count(2000, "job")), ("1 job".into(), "2,000 jobs".into()));
        assert_eq!((size(812), size(14_543), size(26_214_400)), ("812 B".into(), "14.2 KiB".into(), "25.0 MiB".into()));
        let took = |millis| duration(Duration::from_millis(millis));
        assert_eq!((took(12), took(1240), took(200_000)), ("12 ms".into(), "1.24 s".into(), "3 min 20 s".into()));
        assert_eq!(instant(Millis(1_769_860_800_007)), "2026-01-31 12:00:00Z");
    }

    #[test]
    fn text_from_outside_is_escaped() {
        assert_eq!(shown("a\u{202e}b\u{7}\n"), "a\\u{202e}b\\u{7}\\n");
        assert_eq!(shown_lines("a\n\tb\u{200b}"), "a\n\tb\\u{200b}");
        let page = html! { (shown("<script>alert(1)</script>\"'&")) }.into_string();
        assert!(!page.contains('<') && !page.contains('"'), "{page}");
    }

    #[test]
    fn ages_are_past_or_future() {
        let now = Millis(10_000_000);
        assert_eq!((age(Millis(0), now), age(Millis(17_200_000), now)), ("2 h ago".into(), "in 2 h".into()));
        assert_eq!(age(now, now), "just now");
    }
}
