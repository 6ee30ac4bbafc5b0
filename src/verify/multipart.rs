//! Fields of a `multipart/form-data` body (RFC 7578), as far as a provider's own deliveries go.
//!
//! Parts are found by the boundary that Content-Type names; files are fields like others. A body that is not as the
//! format asks ends there: what came before is what it holds.

use std::borrow::Cow;

use super::form::Pair;
use crate::model::request::Request;

/// Most parts that are looked at.
const MAX_PARTS: usize = 1000;

/// Name and value of each part, in order.
pub(super) fn pairs(request: &Request) -> Vec<Pair<'_>> {
    let written = request.headers.all("content-type").next().unwrap_or_default();
    let Some(boundary) = std::str::from_utf8(written).ok().and_then(|written| parameter(written, "boundary")) else {
        return Vec::new();
    };
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = match request.body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => match find(&request.body, delimiter.as_bytes()) {
            Some(place) => &request.body[place + delimiter.len()..],
            None => return Vec::new(),
        },
    };
    let mut pairs = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n".as_slice()).filter(|_| pairs.len() < MAX_PARTS) {
        let Some(end) = find(part, delimiter.as_bytes()) else { break };
        if let Some((name, value)) = read_part(&part[..end]) {
            pairs.push((Cow::Owned(name.into_bytes()), Cow::Borrowed(value)));
        }
        rest = &part[end + delimiter.len()..];
    }
    pairs
}

fn read_part(part: &[u8]) -> Option<(String, &[u8])> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let is_disposition = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("content-disposition");
    let (_, value) = head.split("\r\n").filter_map(|line| line.split_once(':')).find(is_disposition)?;
    Some((parameter(value, "name")?, &part[end + 4..]))
}

/// A parameter of a header's value: `; name="value"`.
fn parameter(written: &str, name: &str) -> Option<String> {
    let is_it = |(own, _): &(&str, &str)| own.trim().eq_ignore_ascii_case(name);
    let (_, value) = written.split(';').skip(1).filter_map(|part| part.split_once('=')).find(is_it)?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty() && value.len() <= 200).then(|| value.to_owned())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Headers;
    use crate::support::time::Millis;

    fn read(content_type: &str, body: &str) -> Vec<(String, String)> {
        let mut headers = Headers::default();
        headers.push("content-type", content_type.as_bytes());
        let request = Request {
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers,
            body: body.to_owned().into(),
            received_at: Millis(0),
        };
        let text = |bytes: &Cow<'_, [u8]>| String::from_utf8(bytes.to_vec()).unwrap();
        pairs(&request).iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn parts_are_read_in_order_and_what_is_broken_ends_it() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\":\r\n1}\r\n--xx\r\n\
            content-disposition: form-data; filename=f; name=file\r\nContent-Type: text/plain\r\n\r\n\r\n--xx--\r\n";
        let expected = [("json".to_owned(), "{\"a\":\r\n1}".to_owned()), ("file".to_owned(), String::new())];
        assert_eq!(read("multipart/form-data; boundary=xx", body), expected);
        assert_eq!(read("multipart/form-data; boundary=\"xx\"", &format!("preamble\r\n{body}")), expected);
        assert_eq!(read("multipart/form-data; boundary=xx", &body[..body.len() - 8]), expected[..1]);
        assert!(read("multipart/form-data", body).is_empty());
        assert!(read("multipart/form-data; boundary=yy", body).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read(body in "(--xx|\r\n|name=a|Content-Disposition: form-data; |:|;|\"|é){0,30}") {
            proptest::prop_assert!(read("multipart/form-data; boundary=xx", &body).len() <= body.len());
        }
    }
}
