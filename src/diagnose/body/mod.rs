//! Bodies that would have matched: something rewrote the body on its way, or the sender signed another form of it.

mod json;

use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::percent_decode;

use self::json::{Escapes, Spacing};
use super::probe::{Finding, Probe, ProbeResult};
use super::reverify::replace_bytes;
use crate::config::Source;
use crate::support::secret::Secret;

struct BodyForm {
    make: fn(&[u8]) -> Option<Vec<u8>>,
    what: &'static str,
    is_json: bool,
}

const fn form(what: &'static str, make: fn(&[u8]) -> Option<Vec<u8>>) -> BodyForm {
    BodyForm { make, what, is_json: false }
}

const fn json(what: &'static str, make: fn(&[u8]) -> Option<Vec<u8>>) -> BodyForm {
    BodyForm { make, what, is_json: true }
}

const FORMS: &[BodyForm] = &[
    form("without the newline at its end", |body| {
        body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest).to_vec())
    }),
    form("with a newline at its end", |body| Some([body, b"\n"].concat())),
    form("with CRLF at its end", |body| Some([body, b"\r\n"].concat())),
    form("without white space around it", |body| Some(body.trim_ascii().to_vec())),
    form("with LF instead of CRLF", |body| Some(replace_bytes(body, b"\r\n", b"\n"))),
    form("with CRLF instead of LF", |body| Some(replace_bytes(&replace_bytes(body, b"\r\n", b"\n"), b"\n", b"\r\n"))),
    form("without the byte order mark", |body| body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec)),
    form("decoded from a form", |body| Some(decoded(body))),
    form("as the form field `payload` alone", |body| field(body, b"payload")),
    form("as UTF-8 instead of Latin-1", latin1),
    form("left out", |_| Some(Vec::new())),
    json("as JSON without white space", |body| json::rewritten(body, Spacing::None, Escapes::Unchanged)),
    json("as JSON with a space after each comma and colon", |body| {
        json::rewritten(body, Spacing::Spaces, Escapes::Unchanged)
    }),
    json("as JSON indented by two", |body| json::rewritten(body, Spacing::Indented(2), Escapes::Unchanged)),
    json("as JSON indented by four", |body| json::rewritten(body, Spacing::Indented(4), Escapes::Unchanged)),
    json("as JSON with non-ASCII characters escaped", |body| json::rewritten(body, Spacing::None, Escapes::Ascii)),
    json("as JSON with spaces and non-ASCII characters escaped", |body| {
        json::rewritten(body, Spacing::Spaces, Escapes::Ascii)
    }),
    json("as JSON with escaped slashes", |body| json::rewritten(body, Spacing::None, Escapes::Slashes)),
    json("as JSON with escaped slashes and non-ASCII characters escaped", |body| {
        json::rewritten(body, Spacing::None, Escapes::SlashesAndAscii)
    }),
    json("as JSON with its keys sorted", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::None, Escapes::Unchanged)
    }),
    json("as JSON with its keys sorted, and spaces", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Spaces, Escapes::Unchanged)
    }),
    json("as JSON with its keys sorted, spaces and non-ASCII characters escaped", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Spaces, Escapes::Ascii)
    }),
    json("as JSON with its keys sorted, indented by two", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Indented(2), Escapes::Unchanged)
    }),
];

pub(super) fn other_bodies(probe: &Probe<'_>) -> Vec<Finding> {
    let received = probe.refused.body.as_slice();
    let own = &probe.source.secrets[..];
    let others: Vec<Secret> =
        probe.sources.iter().map(Arc::as_ref).flat_map(|source: &Source| source.secrets.clone()).collect();
    for (secrets, whose) in [(own, ""), (&others, ", with another source's secret")] {
        for form in FORMS {
            let Some(body) = (form.make)(received).filter(|body| body != received) else { continue };
            let result = probe.check_changed(|request| request.body = Bytes::from(body), secrets);
            // A handshake does not count: it may be answered without a signature.
            if matches!(result, ProbeResult::Matches | ProbeResult::MatchesExcept(_)) {
                return vec![Finding::new(format!("It matches with its body {}{whose}.", form.what), change(form))];
            }
        }
    }
    Vec::new()
}

fn change(form: &BodyForm) -> String {
    let culprit = if form.is_json { "parses and re-serialises bodies" } else { "rewrites bodies" };
    format!(
        "Something between the sender and hookbox {culprit}. Make it forward the exact bytes. A sender of your own must \
         sign the bytes that it sends."
    )
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

fn field(body: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut pairs = body.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).map(decoded)
}

fn latin1(body: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(body).ok()?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
