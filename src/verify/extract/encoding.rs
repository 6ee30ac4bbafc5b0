//! Unpacks a body with `Content-Encoding` (RFC 9110, 8.4), up to a limit.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::model::request::Request;
use crate::verify::error::ExtractError;

/// The most bytes that an event of the inbox is unpacked to, for routing.
pub(super) const MAX_UNPACKED: u64 = 64 << 20;

/// A body that unpacks to more than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The unpacked body; `None` if the encoding is `identity` or unknown, or the body is not in this encoding.
pub(crate) fn unpack(body: &[u8], encoding: &str, limit: u64) -> Result<Option<Vec<u8>>, TooLarge> {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => bounded(MultiGzDecoder::new(body), limit),
        "deflate" => match bounded(ZlibDecoder::new(body), limit)? {
            // Some senders leave out the zlib header.
            None => bounded(DeflateDecoder::new(body), limit),
            found => Ok(found),
        },
        "br" => bounded(brotli_decompressor::Decompressor::new(body, 4096), limit),
        _ => Ok(None),
    }
}

/// The request with its body unpacked; `None` without `Content-Encoding`, or if the body is not in that encoding.
pub(crate) fn unpacked(request: &Request, limit: u64) -> Result<Option<Request>, ExtractError> {
    let Some(encoding) = request.headers.all("content-encoding").next() else { return Ok(None) };
    let encoding = String::from_utf8_lossy(encoding);
    match unpack(&request.body, &encoding, limit) {
        Ok(Some(body)) => Ok(Some(Request { body: body.into(), ..request.clone() })),
        Ok(None) => Ok(None),
        Err(TooLarge) => Err(ExtractError::UnpacksTooLarge(limit)),
    }
}

fn bounded(reader: impl Read, limit: u64) -> Result<Option<Vec<u8>>, TooLarge> {
    let mut unpacked = Vec::new();
    match reader.take(limit.saturating_add(1)).read_to_end(&mut unpacked) {
        Ok(length) if length as u64 > limit => Err(TooLarge),
        Ok(_) => Ok(Some(unpacked)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bombs_stop_at_the_limit() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = gzip.finish().unwrap();
        assert_eq!(unpack(&packed, "gzip", 1000), Err(TooLarge));
        assert_eq!(unpack(&packed, "GZIP", 1 << 20).unwrap().map(|body| body.len()), Some(1 << 20));
        assert_eq!(unpack(b"no gzip", "gzip", 1000), Ok(None));
        assert_eq!(unpack(b"x", "zstd", 1000), Ok(None));
        // "hi" as an uncompressed brotli block
        assert_eq!(unpack(&[0x8b, 0x00, 0x80, b'h', b'i', 0x03], "br", 10), Ok(Some(b"hi".to_vec())));
    }
}
