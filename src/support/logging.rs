//! Log lines: readable ones for people, JSON for machines. Never a secret, a signature or a body.
//!
//! Rooms log through the `log` facade; this is the only place that decides how a line looks.

use std::io::{IsTerminal, Write};

use env_logger::{Builder, Env};
use log::LevelFilter;

use crate::support::sanitize::shown;
use crate::support::time::Millis;

/// The environment variable that filters lines: `debug`, `hookbox::receiver=debug`.
pub const FILTER_VARIABLE: &str = "HOOKBOX_LOG";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `2026-01-31T12:00:00.000Z INFO  hooks on http://127.0.0.1:8080`
    #[default]
    Text,
    /// One JSON object per line: `at`, `level`, `room`, `message`.
    Json,
}

/// Sends log lines of this level and above to stderr from now on, unless the environment says otherwise.
pub fn start(format: Format, level: LevelFilter) {
    let mut builder = Builder::new();
    builder.filter_level(level).filter_module("actix", level.min(LevelFilter::Warn));
    // Its errors are what strangers send: anybody could fill the log.
    builder.filter_module("actix_http", LevelFilter::Off);
    builder.parse_env(Env::new().filter(FILTER_VARIABLE));
    builder.target(env_logger::Target::Stderr);
    match format {
        Format::Text => {
            let bold = std::io::stderr().is_terminal();
            builder.format(move |line, record| {
                if is_noise(record) {
                    return Ok(());
                }
                let style = line.default_level_style(record.level());
                let (on, off) = if bold {
                    (style.render().to_string(), style.render_reset().to_string())
                } else {
                    Default::default()
                };
                writeln!(
                    line,
                    "{} {on}{:<5}{off} {}",
                    Millis::now().to_rfc3339(),
                    record.level(),
                    shown(&record.args().to_string())
                )
            })
        }
        Format::Json => builder.format(|line, record| {
            if is_noise(record) {
                return Ok(());
            }
            let entry = serde_json::json!({
                "at": Millis::now().to_rfc3339(),
                "level": record.level().as_str().to_ascii_lowercase(),
                "room": record.target(),
                "message": record.args().to_string(),
            });
            writeln!(line, "{entry}")
        }),
    };
    if builder.try_init().is_err() {
        log::debug!("log lines had been set up before");
    }
}

/// The accepting thread of a server that stops sees its workers go first, which is as it should be.
fn is_noise(record: &log::Record<'_>) -> bool {
    record.target() == "actix_server::accept" && record.args().as_str() == Some("No workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_outside_forges_no_line_and_steers_no_terminal() {
        assert_eq!(shown("a\nb\x1b[31m é \u{202e}c"), "a\\nb\\u{1b}[31m é \\u{202e}c");
    }
}
