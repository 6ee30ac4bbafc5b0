//! A day of deliveries as a picture and as a table: 24 bars of accepted, duplicate and refused.
//!
//! One source's hours come in, an inline SVG goes out with a sentence that says the same; the numbers themselves are in
//! a table beneath it, closed until someone opens it.

use maud::{Markup, html};

use super::words::{grouped, instant};
use crate::inbox::reader::{HourCounts, SourceDay};
use crate::support::time::{HOUR_MS, Millis};

/// Of the picture, in its own units.
const HEIGHT: i64 = 72;
const STEP: i64 = 12;
const BAR: i64 = 9;

/// The picture with its table; `number` tells charts on one page apart.
pub(super) fn day(day: &SourceDay, number: usize) -> Markup {
    let most = day.hours.iter().map(|hour| hour.accepted + hour.duplicate + hour.refused).max().unwrap_or(0).max(1);
    let (title, about) = (format!("chart-{number}-title"), format!("chart-{number}-about"));
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (STEP * 24) " " (HEIGHT + 2) } preserveAspectRatio="none" role="img"
                aria-labelledby={ (title) " " (about) } {
                title id=(title) { "Deliveries to " (super::words::shown(&day.source)) " in the last 24 hours" }
                desc id=(about) { (sentence(day)) }
                line.chart-base x1="0" x2=(STEP * 24) y1=(HEIGHT + 1) y2=(HEIGHT + 1) {}
                @for (index, hour) in (0..).zip(&day.hours) { (bar(index, hour, most, day.since)) }
            }
            div.chart-ends aria-hidden="true" { span { "24 h ago" } span { "peak " (grouped(most_of(day))) "/h" } span { "now" } }
        }
    }
}

/// The same as numbers, newest first.
pub(super) fn table(day: &SourceDay) -> Markup {
    html! {
        details.numbers {
            summary { "Numbers by hour" }
            table.plain {
                caption.visually-hidden { "Deliveries to " (super::words::shown(&day.source)) " by hour, UTC" }
                thead { tr {
                    th scope="col" { "HourCounts" }
                    th.number scope="col" { "Accepted" }
                    th.number scope="col" { "Duplicate" }
                    th.number scope="col" { "Refused" }
                } }
                tbody {
                    @for (index, hour) in (0..).zip(&day.hours).collect::<Vec<_>>().into_iter().rev() {
                        tr {
                            th scope="row" { (clock(Millis(day.since.0 + index * HOUR_MS))) }
                            td.number { (grouped(hour.accepted)) }
                            td.number { (grouped(hour.duplicate)) }
                            td.number { (grouped(hour.refused)) }
                        }
                    }
                }
            }
        }
    }
}

fn most_of(day: &SourceDay) -> i64 {
    day.hours.iter().map(|hour| hour.accepted + hour.duplicate + hour.refused).max().unwrap_or(0)
}

fn sentence(day: &SourceDay) -> String {
    let HourCounts { accepted, duplicate, refused } = day.total();
    format!(
        "{} accepted, {} duplicate, {} refused; at most {} deliveries in one hour.",
        grouped(accepted),
        grouped(duplicate),
        grouped(refused),
        grouped(most_of(day))
    )
}

fn bar(index: i64, hour: &HourCounts, most: i64, since: Millis) -> Markup {
    let parts = [("accepted", hour.accepted), ("duplicate", hour.duplicate), ("refused", hour.refused)];
    let mut y = HEIGHT;
    let rects: Vec<_> = parts
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| {
            // However few, what came is seen.
            let height = (number * HEIGHT / most).clamp(2, HEIGHT);
            y = (y - height).max(0);
            (name, y, height)
        })
        .collect();
    let at = clock(Millis(since.0 + index * HOUR_MS));
    html! {
        g.bar {
            title { (at) ": " (grouped(hour.accepted)) " accepted, " (grouped(hour.duplicate)) " duplicate, " (grouped(hour.refused)) " refused" }
            rect.bar-back x=(index * STEP) y="0" width=(STEP) height=(HEIGHT) {}
            @for (name, y, height) in rects {
                rect class={ "bar-" (name) } x=(index * STEP + 1) y=(y) width=(BAR) height=(height) {}
            }
        }
    }
}

/// `14:00Z`, with the day where it begins.
fn clock(at: Millis) -> String {
    let text = instant(at);
    let (day, time) = text.split_once(' ').unwrap_or(("", &text));
    format!("{day} {}", time.get(..5).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_told_in_a_picture_and_in_words() {
        let mut hours = [HourCounts::default(); 24];
        hours[23] = HourCounts { accepted: 100, duplicate: 1, refused: 0 };
        let one = SourceDay { source: "a<b".into(), since: Millis(0), hours };
        let page = day(&one, 3).into_string();
        assert!(page.contains("a&lt;b") && !page.contains("a<b"));
        assert!(page.contains("100 accepted, 1 duplicate, 0 refused; at most 101 deliveries in one hour."));
        assert_eq!(page.matches("class=\"bar-accepted\"").count(), 1);
        assert!(page.contains("1970-01-01 23:00: 100 accepted"));
        assert_eq!(table(&one).into_string().matches("<tr>").count(), 25);
    }
}
