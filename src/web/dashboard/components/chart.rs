//! The deliveries of one source over 24 hours, as an SVG chart and as a table.
//!
//! The chart has a text description with the same numbers. The table is collapsed.

use maud::{Markup, html};

use super::format::{grouped, instant, shown};
use crate::inbox::reader::{HourCounts, SourceDay};
use crate::support::time::{HOUR_MS, Millis};

/// Sizes in units of the SVG.
const HEIGHT: i64 = 72;
const HOUR_WIDTH: i64 = 12;
const BAR_WIDTH: i64 = 9;

/// `number` distinguishes the charts of a page.
pub(crate) fn svg(day: &SourceDay, number: usize) -> Markup {
    let scale = peak(day).max(1);
    let (title, about) = (format!("chart-{number}-title"), format!("chart-{number}-about"));
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (HOUR_WIDTH * 24) " " (HEIGHT + 2) } preserveAspectRatio="none" role="img"
                aria-labelledby={ (title) " " (about) } {
                title id=(title) { "Deliveries to " (shown(&day.source)) " in the last 24 hours" }
                desc id=(about) { (description(day)) }
                line.chart-base x1="0" x2=(HOUR_WIDTH * 24) y1=(HEIGHT + 1) y2=(HEIGHT + 1) {}
                @for (index, hour) in (0..).zip(&day.hours) { (bar(index, hour, scale, day.since)) }
            }
            div.chart-ends aria-hidden="true" { span { "24 h ago" } span { "peak " (grouped(peak(day))) "/h" } span { "now" } }
        }
    }
}

/// Newest hour first.
pub(crate) fn table(day: &SourceDay) -> Markup {
    html! {
        details.numbers {
            summary { "Numbers by hour" }
            table.plain {
                caption.visually-hidden { "Deliveries to " (shown(&day.source)) " by hour, UTC" }
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

/// The largest number of deliveries in an hour.
fn peak(day: &SourceDay) -> i64 {
    day.hours.iter().map(|hour| hour.accepted + hour.duplicate + hour.refused).max().unwrap_or(0)
}

fn description(day: &SourceDay) -> String {
    let HourCounts { accepted, duplicate, refused } = day.total();
    format!(
        "{} accepted, {} duplicate, {} refused; at most {} deliveries in one hour.",
        grouped(accepted),
        grouped(duplicate),
        grouped(refused),
        grouped(peak(day))
    )
}

fn bar(index: i64, hour: &HourCounts, scale: i64, since: Millis) -> Markup {
    let parts = [("accepted", hour.accepted), ("duplicate", hour.duplicate), ("refused", hour.refused)];
    let mut y = HEIGHT;
    let rects: Vec<_> = parts
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| {
            // Small numbers stay visible.
            let height = (number * HEIGHT / scale).clamp(2, HEIGHT);
            y = (y - height).max(0);
            (name, y, height)
        })
        .collect();
    let at = clock(Millis(since.0 + index * HOUR_MS));
    html! {
        g.bar {
            title { (at) ": " (grouped(hour.accepted)) " accepted, " (grouped(hour.duplicate)) " duplicate, " (grouped(hour.refused)) " refused" }
            rect.bar-back x=(index * HOUR_WIDTH) y="0" width=(HOUR_WIDTH) height=(HEIGHT) {}
            @for (name, y, height) in rects {
                rect class={ "bar-" (name) } x=(index * HOUR_WIDTH + 1) y=(y) width=(BAR_WIDTH) height=(height) {}
            }
        }
    }
}

/// `2026-01-31 14:00`
fn clock(at: Millis) -> String {
    let text = instant(at);
    let (day, time) = text.split_once(' ').unwrap_or(("", &text));
    format!("{day} {}", time.get(..5).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_is_shown_as_chart_description_and_table() {
        let mut hours = [HourCounts::default(); 24];
        hours[23] = HourCounts { accepted: 100, duplicate: 1, refused: 0 };
        let one = SourceDay { source: "a<b".into(), since: Millis(0), hours };
        let page = svg(&one, 3).into_string();
        assert!(page.contains("a&lt;b") && !page.contains("a<b"));
        assert!(page.contains("100 accepted, 1 duplicate, 0 refused; at most 101 deliveries in one hour."));
        assert_eq!(page.matches("class=\"bar-accepted\"").count(), 1);
        assert!(page.contains("1970-01-01 23:00: 100 accepted"));
        assert_eq!(table(&one).into_string().matches("<tr>").count(), 25);
    }
}
