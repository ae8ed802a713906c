//! What a request says of the trace it belongs to (W3C Trace Context), and which ones chance adds.
//! Never trusts it further than to follow it.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use warp::http::{HeaderMap, Uri};

/// Longest `tracestate` that is passed on, as the specification asks for at least, in bytes.
const STATE_BYTES_MAX: usize = 512;
/// Length of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;
/// Where a collector takes traces, below its address.
const TRACES_PATH: &str = "/v1/traces";

/// The span of whoever sent the request. What cannot be understood counts as not there.
pub(super) fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut all = headers.get_all("traceparent").iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (trace_id, span_id, flags) = parse(only.to_str().ok()?)?;
    let state = headers
        .get("tracestate")
        .filter(|state| state.len() <= STATE_BYTES_MAX)
        .and_then(|state| state.to_str().ok()?.parse::<TraceState>().ok())
        .unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// `<version>-<trace id>-<parent id>-<flags>` in lower-case hex; a version after 00 may add something.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, added) = text.split_at_checked(PARENT_BYTES)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let well_formed = known.bytes().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => byte == b'-',
        _ => is_hex(byte),
    });
    let version = known.get(..2)?;
    if !well_formed || version == "ff" || (version == "00" && !added.is_empty()) {
        return None;
    }
    if !added.is_empty() && !added.starts_with('-') {
        return None;
    }
    let trace_id = TraceId::from(u128::from_str_radix(known.get(3..35)?, 16).ok()?);
    let span_id = SpanId::from(u64::from_str_radix(known.get(36..52)?, 16).ok()?);
    let flags = u8::from_str_radix(known.get(53..55)?, 16).ok()?;
    if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
        return None;
    }
    Some((trace_id, span_id, TraceFlags::new(flags) & TraceFlags::SAMPLED))
}

/// Whether a trace with this id is among the `ratio` that is sampled; depends on nothing else.
pub(super) fn is_drawn(trace_id: TraceId, ratio: f64) -> bool {
    let bytes = trace_id.to_bytes();
    let low = bytes[8..].iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // 53 bits, so that the number is exact and below 1.
    ((low >> 11) as f64) / ((1_u64 << 53) as f64) < ratio
}

/// The address that spans are sent to, from the setting `otlp_endpoint`; a message if that cannot be one.
pub fn endpoint(text: &str) -> Result<String, String> {
    let example = "such as http://127.0.0.1:4318";
    let uri: Uri = text.parse().map_err(|_| format!("must be a URL, {example}"))?;
    let Some(authority) = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")))
    else {
        return Err(format!("must begin with http:// or https:// (OTLP over HTTP), {example}"));
    };
    if authority.as_str().contains('@') {
        return Err("must not hold a password; give the collector's token in the environment variable \
                    OTEL_EXPORTER_OTLP_HEADERS"
            .to_owned());
    }
    if uri.query().is_some() {
        return Err(format!("must not have a query, {example}"));
    }
    let base = text.trim_end_matches('/');
    Ok(if base.ends_with(TRACES_PATH) { base.to_owned() } else { format!("{base}{TRACES_PATH}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(parent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", parent.parse().unwrap());
        headers.insert("tracestate", "a=1,b=2".parse().unwrap());
        headers
    }

    #[test]
    fn a_well_formed_parent_is_followed() {
        let parent = parent(&headers(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).unwrap();
        assert_eq!(parent.trace_id().to_string(), TRACE);
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled() && parent.is_remote());
        assert_eq!(parent.trace_state().header(), "a=1,b=2");
        let unsampled = super::parent(&headers(&format!("00-{TRACE}-00f067aa0ba902b7-02"))).unwrap();
        assert!(!unsampled.is_sampled());
        assert!(super::parent(&headers(&format!("01-{TRACE}-00f067aa0ba902b7-01-more"))).is_some());
    }

    #[test]
    fn what_is_not_one_counts_as_not_there() {
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert!(parent(&headers(bad)).is_none(), "{bad}");
        }
        let mut twice = headers(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
        twice.append("traceparent", format!("00-{TRACE}-00f067aa0ba902b8-01").parse().unwrap());
        assert!(parent(&twice).is_none());
    }

    #[test]
    fn the_ratio_draws_all_none_or_about_its_share() {
        let drawn = |ratio| {
            (0..10_000_u128)
                .map(|number| TraceId::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
                .filter(|id| is_drawn(*id, ratio))
                .count()
        };
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 10_000));
        assert!((400..600).contains(&drawn(0.05)), "{}", drawn(0.05));
        assert!(is_drawn(TraceId::from(u128::MAX), 1.0));
    }

    #[test]
    fn an_endpoint_is_a_url_without_secrets() {
        for (given, sent_to) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("http://h/otlp", "http://h/otlp/v1/traces"),
            ("http://h:1/v1/traces", "http://h:1/v1/traces"),
        ] {
            assert_eq!(endpoint(given).as_deref(), Ok(sent_to));
        }
        for (given, expected) in [
            ("127.0.0.1:4318", "must begin with http://"),
            ("grpc://h:4317", "must begin with http://"),
            ("/v1/traces", "must begin with http://"),
            ("not a url", "must be a URL"),
            ("http://u:secret@h", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://h/?token=secret", "must not have a query"),
        ] {
            let message = endpoint(given).unwrap_err();
            assert!(message.contains(expected) && !message.contains("secret"), "{message}");
        }
    }
}
