//! Bodies that would have matched: what came was rewritten on its way, or signed in another form than it was sent.
//!
//! From the bytes that came, forms are made that the provider may have signed; the verifier tells which.

use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::percent_decode;

use super::Finding;
use super::json::{self, Escapes, Spacing};
use super::probe::{Probe, ProbeResult};
use crate::config::Source;
use crate::support::secret::Secret;

/// A form of the body and its description.
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
    form("with LF for every CRLF", |body| Some(replaced(body, b"\r\n", b"\n"))),
    form("with CRLF for every LF", |body| Some(replaced(&replaced(body, b"\r\n", b"\n"), b"\n", b"\r\n"))),
    form("without the byte order mark before it", |body| body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec)),
    form("decoded from a form", |body| Some(decoded(body))),
    form("as the form field `payload` alone", |body| field(body, b"payload")),
    form("as UTF-8 for what was read as Latin-1", latin1),
    form("left out altogether", |_| Some(Vec::new())),
    json("as JSON without white space", |body| json::rewritten(body, Spacing::None, Escapes::AsTheyAre)),
    json("as JSON with a space after each comma and colon", |body| {
        json::rewritten(body, Spacing::Spaces, Escapes::AsTheyAre)
    }),
    json("as JSON indented by two", |body| json::rewritten(body, Spacing::Indented(2), Escapes::AsTheyAre)),
    json("as JSON indented by four", |body| json::rewritten(body, Spacing::Indented(4), Escapes::AsTheyAre)),
    json("as JSON with escapes for all but ASCII", |body| json::rewritten(body, Spacing::None, Escapes::Ascii)),
    json("as JSON with spaces and escapes for all but ASCII", |body| {
        json::rewritten(body, Spacing::Spaces, Escapes::Ascii)
    }),
    json("as JSON with escaped slashes", |body| json::rewritten(body, Spacing::None, Escapes::Slashes)),
    json("as JSON with escaped slashes and escapes for all but ASCII", |body| {
        json::rewritten(body, Spacing::None, Escapes::SlashesAndAscii)
    }),
    json("as JSON with its keys sorted", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::None, Escapes::AsTheyAre)
    }),
    json("as JSON with its keys sorted, and spaces", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Spaces, Escapes::AsTheyAre)
    }),
    json("as JSON with its keys sorted, spaces and escapes for all but ASCII", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Spaces, Escapes::Ascii)
    }),
    json("as JSON with its keys sorted, indented by two", |body| {
        json::rewritten(&json::sorted(body)?, Spacing::Indented(2), Escapes::AsTheyAre)
    }),
];

/// Another form of the body.
pub(super) fn otherwise_written(case: &Probe<'_>) -> Vec<Finding> {
    let came = case.refused.body.as_slice();
    let own = &case.source.secrets[..];
    let others: Vec<Secret> =
        case.sources.iter().map(Arc::as_ref).flat_map(|source: &Source| source.secrets.clone()).collect();
    for (secrets, whose) in [(own, ""), (&others, ", with another source's secret")] {
        for form in FORMS {
            let Some(body) = (form.make)(came).filter(|body| body != came) else { continue };
            let verdict = case.judged_as(|request| request.body = Bytes::from(body), secrets);
            // Another body may be a handshake, which proves nothing.
            if matches!(verdict, ProbeResult::Matches | ProbeResult::MatchesBut(_)) {
                return vec![Finding::new(format!("It matches with its body {}{whose}.", form.what), change(form))];
            }
        }
    }
    Vec::new()
}

fn change(form: &BodyForm) -> String {
    let culprit = if form.is_json { "parses and writes bodies anew" } else { "rewrites bodies" };
    format!(
        "Something between the sender and hookbox {culprit}: have it pass on the exact bytes; a sender of your own must sign \
         the bytes that it sends."
    )
}

pub(super) fn replaced(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(place) = rest.windows(old.len()).position(|window| window == old) {
        made.extend_from_slice(&rest[..place]);
        made.extend_from_slice(new);
        rest = &rest[place + old.len()..];
    }
    made.extend_from_slice(rest);
    made
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
