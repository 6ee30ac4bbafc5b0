//! Values as people read them, in a terminal or on a page: ages, durations, counts.

use std::time::Duration;

pub use crate::support::sanitize::{shown, shown_lines};
use crate::support::time::Millis;

/// `3 min ago`, `in 2 h`, `just now`
#[must_use]
pub fn relative(at: Millis, now: Millis) -> String {
    match (now.since(at), at.since(now)) {
        (past, _) if past >= Duration::from_secs(1) => format!("{} ago", span(past)),
        (_, ahead) if ahead >= Duration::from_secs(1) => format!("in {}", span(ahead)),
        _ => "just now".to_owned(),
    }
}

/// A duration in its largest unit: `12 ms`, `3 min`.
#[must_use]
pub fn span(span: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let millis = span.as_millis();
    match UNITS.iter().find(|(length, _)| millis >= *length) {
        Some((length, unit)) => format!("{} {unit}", millis / length),
        None => format!("{millis} ms"),
    }
}

/// `1 job`, `2 jobs`, `1,234 jobs`
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// `1,234`
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_their_largest_unit() {
        let now = Millis(1_000_000_000);
        for (ago, expected) in [
            (0, "just now"),
            (999, "just now"),
            (-999, "just now"),
            (1000, "1 s ago"),
            (61_000, "1 min ago"),
            (-7_200_000, "in 2 h"),
            (3 * 86_400_000, "3 d ago"),
        ] {
            assert_eq!(relative(Millis(now.0 - ago), now), expected);
        }
        assert_eq!(span(Duration::from_millis(12)), "12 ms");
    }

    #[test]
    fn counts_have_plurals_and_grouped_digits() {
        assert_eq!(count(1, "job"), "1 job");
        assert_eq!(count(0, "job"), "0 jobs");
        assert_eq!(count(1_234_567, "job"), "1,234,567 jobs");
        assert_eq!(count(999, "event"), "999 events");
    }
}
