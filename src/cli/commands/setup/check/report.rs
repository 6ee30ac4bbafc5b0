//! The result of `check`, as `check --json` prints it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::runs::RunRow;
use crate::config::{
    AlertChannel, AlertsConfig, Config, Durability, Handler, Mode, OrderingMode, Problem, ReplayGuard, Source,
};
use crate::diagnose;
use crate::providers::Algorithm;
use crate::support::net::network_fs;
use crate::support::net::tls::{Certificate, TlsFiles};
use crate::support::secret::Secret;
use crate::support::time::Millis;

/// Characters. Shorter secrets can be found by brute force.
pub(crate) const SHORTEST_SECRET: usize = 16;

#[derive(Debug, Serialize)]
pub(crate) struct CheckReport<'a> {
    pub(crate) file: String,
    pub(crate) errors: &'a [Problem],
    /// `None` if the configuration has errors.
    #[serde(flatten)]
    pub(crate) config: Option<CheckedConfig<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckedConfig<'a> {
    pub(crate) listen: String,
    pub(crate) admin: String,
    pub(crate) inbox: String,
    /// Why the inbox's disk is unsuitable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inbox_warning: Option<String>,
    pub(crate) durability: &'static str,
    pub(crate) alerts: Option<AlertsRow<'a>>,
    pub(crate) tls: Option<TlsRow>,
    pub(crate) sources: Vec<SourceRow<'a>>,
    pub(crate) handlers: Vec<HandlerRow<'a>>,
    pub(crate) runs: Vec<RunRow<'a>>,
}

/// `[alerts]` without the URL, which may contain a token.
#[derive(Debug, Serialize)]
pub(crate) struct AlertsRow<'a> {
    /// `None` if alerts are sent to a URL.
    command: Option<&'a [String]>,
    refusals_per_minute: u64,
    silence_s: BTreeMap<&'a str, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct TlsRow {
    cert: String,
    expires_at: Option<Millis>,
    /// Why clients reject the certificate, now or soon. Not an error, since `serve` serves it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceRow<'a> {
    #[serde(rename = "source")]
    pub(crate) name: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) path: &'a str,
    pub(crate) secrets: usize,
    pub(crate) tolerance_s: Option<u64>,
    #[serde(rename = "max_body_bytes")]
    pub(crate) max_body: u64,
    pub(crate) replay_guard: &'static str,
    /// What its ids identify: `event`, `object` or `none`.
    pub(crate) id_scope: &'static str,
    /// The response to a stored delivery, if it is not hookbox's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
    /// Locations of the id that the signature does not cover.
    pub(crate) unsigned_id: Vec<String>,
    /// The provider sends the secret itself instead of a signature.
    pub(crate) is_token: bool,
    /// Deliveries are not verified.
    pub(crate) unsigned: bool,
    /// HTTP methods of deliveries; empty for POST alone.
    methods: &'a [&'static str],
    /// The secret is so short that one delivery is enough to find it by brute force.
    pub(crate) guessable: bool,
    /// Why a secret is probably not the provider's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) suspicions: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HandlerRow<'a> {
    #[serde(rename = "handler")]
    pub(crate) name: &'a str,
    pub(crate) sources: Option<&'a [String]>,
    pub(crate) events: &'a [String],
    #[serde(rename = "where")]
    conditions: BTreeMap<&'a str, &'a [Value]>,
    pub(crate) mode: &'static str,
    /// Empty for HTTP handlers.
    pub(crate) command: &'a [String],
    /// Without the query.
    pub(crate) url: Option<&'a str>,
    /// Whether requests to the URL are signed.
    pub(crate) signed: Option<bool>,
    /// Parallel attempts, or worker processes.
    pub(crate) concurrency: usize,
    pub(crate) timeout_s: f64,
    pub(crate) attempts: u32,
    pub(crate) retries_span_s: f64,
    /// User, limits and isolation; left out if it runs as hookbox does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) contained: Option<String>,
    order_by: Option<String>,
    coalesce: Option<CoalesceRow>,
    /// For events without an ordering key: `alone` or `together`.
    missing: Option<String>,
    rate_limit: Option<String>,
    /// How long the provider waits for the handler's response.
    respond_timeout_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CoalesceRow {
    key: String,
    quiet_s: f64,
    max_s: f64,
}

impl<'a> CheckedConfig<'a> {
    pub(crate) fn new(config: &'a Config, runs: Vec<RunRow<'a>>) -> Self {
        let folder = config.file.parent().unwrap_or(Path::new("/"));
        Self {
            listen: config.server.listen.to_string(),
            admin: config.admin.listen.to_string(),
            inbox: config.inbox.path.display().to_string(),
            inbox_warning: network_fs::inbox_warning(&config.inbox.path),
            durability: match config.inbox.durability {
                Durability::Full => "full",
                Durability::Normal => "normal",
            },
            alerts: config.alerts.as_ref().map(AlertsRow::new),
            tls: config.server.tls.as_ref().map(TlsRow::new),
            sources: config.sources.iter().map(|source| SourceRow::new(source, folder)).collect(),
            handlers: config.handlers.iter().map(|handler| HandlerRow::new(handler)).collect(),
            runs,
        }
    }
}

impl<'a> AlertsRow<'a> {
    fn new(alerts: &'a AlertsConfig) -> Self {
        let command = match &alerts.channel {
            AlertChannel::Command { command, .. } => Some(command.as_slice()),
            AlertChannel::Url(_) => None,
        };
        let silence_s = alerts.silence.iter().map(|(source, span)| (source.as_ref(), span.as_secs())).collect();
        Self { command, refusals_per_minute: alerts.refusals_per_minute, silence_s }
    }
}

impl fmt::Display for AlertsRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command {
            Some(command) => write!(f, "to {}", command.join(" "))?,
            None => f.write_str("to the URL in alerts.url")?,
        }
        write!(f, ": dead jobs, broken handlers, {} refusals per minute, low disk space", self.refusals_per_minute)?;
        for (source, seconds) in &self.silence_s {
            write!(f, ", {source} silent for {}", humantime::format_duration(Duration::from_secs(*seconds)))?;
        }
        Ok(())
    }
}

impl TlsRow {
    fn new(files: &TlsFiles) -> Self {
        // None if the file changed since the configuration was read.
        let certificate = Certificate::read(files).ok();
        let certificate = certificate.as_ref();
        Self {
            cert: files.cert.display().to_string(),
            expires_at: certificate.and_then(Certificate::expires_at),
            warning: certificate.and_then(|certificate| certificate.warning(Millis::now())),
        }
    }
}

impl fmt::Display for TlsRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.expires_at.map(|at| format!(", valid until {}", at.to_rfc3339())).unwrap_or_default();
        write!(f, "{}{until}", self.cert)
    }
}

impl<'a> SourceRow<'a> {
    fn new(source: &'a Source, folder: &Path) -> Self {
        let signs_with_secret =
            source.scheme.template_signature().is_some_and(|signed| matches!(signed.algorithm, Algorithm::Hmac(_)));
        let has_short_secret = source.secrets.iter().any(|secret| secret.reveal().len() < SHORTEST_SECRET);
        Self {
            name: &source.name,
            provider: &source.provider,
            path: &source.path,
            secrets: source.secrets.len(),
            tolerance_s: source.scheme.tolerance.map(|span| span.as_secs()),
            max_body: source.max_body,
            replay_guard: match source.admission.replay_guard {
                ReplayGuard::Id => "id",
                ReplayGuard::IdAndBody => "id+body",
            },
            id_scope: source.scheme.event_id.scope.name(),
            answer: source.scheme.success_response.as_ref().map(ToString::to_string),
            unsigned_id: source.scheme.unsigned_id(),
            is_token: source.scheme.auth.is_token() && !source.admission.unsigned,
            unsigned: source.admission.unsigned,
            methods: &source.admission.methods,
            guessable: signs_with_secret && has_short_secret,
            suspicions: suspicions(source, folder),
        }
    }
}

fn suspicions(source: &Source, folder: &Path) -> Vec<String> {
    let suspicion = |kind: &'static str, secrets: &[Secret]| {
        let all = secrets.iter().enumerate();
        let found = all.filter_map(|(index, secret)| Some((index, diagnose::suspicion(secret.reveal(), folder)?)));
        let text = |(index, why): (usize, &str)| match secrets.len() {
            1 => format!("its {kind} {why}"),
            _ => format!("{kind} {} {why}", index + 1),
        };
        found.map(text).collect::<Vec<_>>()
    };
    let token = source.verify_token.as_slice();
    suspicion("secret", &source.secrets).into_iter().chain(suspicion("verify_token", token)).collect()
}

impl<'a> HandlerRow<'a> {
    fn new(handler: &'a Handler) -> Self {
        let conditions = handler.filter.conditions.iter();
        let http = match &handler.mode {
            Mode::Http(http) => Some(http),
            Mode::Command | Mode::Worker { .. } => None,
        };
        let ordering = handler.ordering.as_ref();
        let key = ordering.map(|ordering| ordering.key.to_string());
        let (order_by, coalesce) = match ordering.map(|ordering| ordering.mode) {
            None => (None, None),
            Some(OrderingMode::InOrder) => (key, None),
            Some(OrderingMode::Coalesce { quiet, max }) => {
                let [quiet_s, max_s] = [quiet, max].map(|span| span.as_secs_f64());
                (None, key.map(|key| CoalesceRow { key, quiet_s, max_s }))
            }
        };
        Self {
            name: &handler.name,
            sources: handler.filter.sources.as_deref(),
            events: &handler.filter.events,
            conditions: conditions.map(|(pointer, values)| (pointer.as_str(), values.as_slice())).collect(),
            mode: handler.mode.as_str(),
            command: &handler.command,
            url: http.map(|http| http.shown()),
            signed: http.map(|http| !http.secrets.is_empty()),
            concurrency: handler.concurrency,
            timeout_s: handler.timeout.as_secs_f64(),
            attempts: handler.policy.attempts,
            retries_span_s: handler.policy.span().as_secs_f64(),
            contained: Some(handler.process.to_string()).filter(|text| !text.is_empty()),
            order_by,
            coalesce,
            missing: ordering.map(|ordering| ordering.missing.to_string()),
            rate_limit: handler.rate_limit.map(|rate| rate.to_string()),
            respond_timeout_s: handler.respond.map(|timeout| timeout.as_secs_f64()),
        }
    }
}
