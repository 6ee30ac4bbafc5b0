//! W3C trace context (<https://www.w3.org/TR/trace-context/>) of a delivery, passed on to handlers and the log.
//!
//! Invalid headers are ignored.

/// Longest `tracestate` that is passed on: the minimum that the recommendation requires.
const MAX_STATE_BYTES: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent` as received: `00-TRACE-PARENT-FLAGS`, in lower-case hex.
    pub parent: String,
    /// `tracestate` as received.
    pub state: Option<String>,
}

impl TraceContext {
    /// `None` without a valid `traceparent`.
    #[must_use]
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let parent = parent.trim();
        let fields: Vec<&str> = parent.split('-').collect();
        let [version, trace, span, flags, rest @ ..] = &fields[..] else { return None };
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let is_hex = |field: &&str| field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_hex = [version, trace, span, flags].into_iter().all(is_hex);
        let is_set = |field: &str| field.bytes().any(|byte| byte != b'0');
        // Version 00 has exactly four fields, later ones may have more, and ff is invalid.
        let is_known = *version != "ff" && (rest.is_empty() || *version != "00");
        if !(lengths && is_hex && is_set(trace) && is_set(span) && is_known) {
            return None;
        }
        let is_state = |text: &&str| {
            (1..=MAX_STATE_BYTES).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        let state = state.map(str::trim).filter(is_state).map(ToOwned::to_owned);
        Some(Self { parent: parent.to_owned(), state })
    }

    /// Several `traceparent` headers are invalid.
    #[must_use]
    pub fn from_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let (mut parents, mut state) = (Vec::new(), None);
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("traceparent") {
                parents.push(value);
            } else if name.eq_ignore_ascii_case("tracestate") {
                state = Some(value);
            }
        }
        match parents[..] {
            [parent] => Self::parse(parent, state),
            _ => None,
        }
    }

    /// 32 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_trace_is_kept_as_received() {
        let trace = TraceContext::parse(PARENT, Some("congo=t61rcWkgMzE")).unwrap();
        assert_eq!((trace.parent.as_str(), trace.state.as_deref()), (PARENT, Some("congo=t61rcWkgMzE")));
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(TraceContext::parse(later, None).unwrap().parent, later);
    }

    #[test]
    fn several_traceparents_are_ignored() {
        let headers = [("Host", "a"), ("TraceParent", PARENT), ("tracestate", "a=b")];
        assert_eq!(TraceContext::from_headers(headers.into_iter()).unwrap().state.as_deref(), Some("a=b"));
        assert_eq!(TraceContext::from_headers(headers.into_iter().chain(headers)), None);
        assert_eq!(TraceContext::from_headers(std::iter::empty()), None);
    }

    #[test]
    fn invalid_headers_are_ignored() {
        for parent in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",
        ] {
            assert_eq!(TraceContext::parse(parent, None), None, "{parent:?}");
        }
        for state in ["", " ", "a=\u{1}", &"x".repeat(MAX_STATE_BYTES + 1)] {
            assert_eq!(TraceContext::parse(PARENT, Some(state)).unwrap().state, None, "{state:?}");
        }
    }
}
