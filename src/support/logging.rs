//! Formats log lines, as text or as JSON. Log lines never contain a secret, a signature or a body.

use std::io::{IsTerminal, Write};

use env_logger::{Builder, Env};
use log::LevelFilter;

use crate::support::sanitize::shown;
use crate::support::time::Millis;

/// The environment variable that filters lines: `debug`, `hookbox::receiver=debug`.
pub const FILTER_VARIABLE: &str = "HOOKBOX_LOG";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// `2026-01-31T12:00:00.000Z INFO  hooks on http://127.0.0.1:8080`
    #[default]
    Text,
    /// One JSON object per line: `at`, `level`, `module`, `message`.
    Json,
}

/// Starts logging to stderr. The environment variable overrides the level.
pub fn start(format: LineFormat, level: LevelFilter) {
    let mut builder = Builder::new();
    builder.filter_level(level).filter_module("actix", level.min(LevelFilter::Warn));
    // Logs malformed requests as errors, so anyone could fill the log.
    builder.filter_module("actix_http", LevelFilter::Off);
    builder.parse_env(Env::new().filter(FILTER_VARIABLE));
    builder.target(env_logger::Target::Stderr);
    match format {
        LineFormat::Text => {
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
        LineFormat::Json => builder.format(|line, record| {
            if is_noise(record) {
                return Ok(());
            }
            let entry = serde_json::json!({
                "at": Millis::now().to_rfc3339(),
                "level": record.level().as_str().to_ascii_lowercase(),
                "module": record.target(),
                "message": record.args().to_string(),
            });
            writeln!(line, "{entry}")
        }),
    };
    if builder.try_init().is_err() {
        log::debug!("logging was already started");
    }
}

/// The accepting thread of a stopping server logs that its workers are gone.
fn is_noise(record: &log::Record<'_>) -> bool {
    record.target() == "actix_server::accept" && record.args().as_str() == Some("No workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_forge_a_log_line() {
        assert_eq!(shown("a\nb\x1b[31m é \u{202e}c"), "a\\nb\\u{1b}[31m é \\u{202e}c");
    }
}
