//! Where log lines go and how they look: each that a request causes carries the request's id.
//! Never logs anything itself, but a panic.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::observe::traces::with_request;
use crate::start::config::{LogFormat, Settings};

/// Starts logging to standard error; a second call changes nothing.
pub fn start(settings: &Settings) {
    let filter = EnvFilter::try_new(&settings.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => lines.event_format(text(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => lines.json().event_format(json()).try_init(),
    };
    // Only tests start it twice, in one process.
    if started.is_ok() && settings.log_format == LogFormat::Json {
        log_panics();
    }
}

/// Says why the program ends, in JSON if that is what standard error is made of.
pub fn give_up(format: LogFormat, why: &str) {
    match format {
        LogFormat::Text => eprintln!("farerush: {why}"),
        LogFormat::Json => tracing::error!("{why}"),
    }
}

/// A panic's usual text is no JSON, and would break whatever reads the lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(
            place = panic.location().map(tracing::field::display),
            thread = thread.name(),
            backtrace = %std::backtrace::Backtrace::capture(),
            "a thread panicked: {}",
            panic.payload_as_str().unwrap_or("no text")
        );
    }));
}

fn text(colours: bool) -> WithRequest<format::Format> {
    WithRequest { line: format::format().with_target(false).with_ansi(colours), is_json: false }
}

fn json() -> WithRequest<format::Format<format::Json>> {
    WithRequest { line: format::format().json().flatten_event(true), is_json: true }
}

/// A format with the ids of the request that causes a line at the line's end.
struct WithRequest<F> {
    line: F,
    is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.line.format_event(context, Writer::new(&mut line), event)?;
        with_request(|request_id, trace_id| add_ids(&mut line, self.is_json, request_id, trace_id));
        writer.write_str(&line)
    }
}

/// An id holds nothing that would have to be escaped: only then the front took it over from the client.
fn add_ids(line: &mut String, is_json: bool, request_id: &str, trace_id: Option<&str>) {
    let (end, before, between, after) =
        if is_json { ("}\n", ",\"", "\":\"", "\"") } else { ("\n", " ", "=", "") };
    let Some(rest) = line.strip_suffix(end) else { return };
    line.truncate(rest.len());
    let mut add =
        |name: &str, id: &str| [before, name, between, id, after].iter().for_each(|part| line.push_str(part));
    add("request_id", request_id);
    if let Some(trace_id) = trace_id {
        add("trace_id", trace_id);
    }
    line.push_str(end);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;
    use warp::http::HeaderValue;

    use super::*;
    use crate::observe::traces::Scope;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn log_in_a_request() {
        let mut scope = Some(Scope::new(HeaderValue::from_static("client-7"), None));
        Scope::within(&mut scope, || {
            tracing::warn!(number = 7, text = "a \"quoted\"\nline", "it did not go well");
        });
        tracing::warn!("nobody's");
    }

    #[test]
    fn a_json_line_is_one_object_with_the_request_s_id() {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(lines.clone()).json().event_format(json()).finish();
        tracing::subscriber::with_default(subscriber, log_in_a_request);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let parsed: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), 2, "{text}");
        assert_eq!(parsed[0]["request_id"], "client-7");
        assert_eq!(parsed[0]["message"], "it did not go well");
        assert_eq!((&parsed[0]["level"], &parsed[0]["number"]), (&"WARN".into(), &7.into()));
        assert_eq!(parsed[0]["text"], "a \"quoted\"\nline");
        assert_eq!(parsed[0]["target"], "farerush::start::logging::tests");
        assert!(parsed[0]["timestamp"].is_string(), "{text}");
        assert!(parsed[1].get("request_id").is_none(), "{text}");
    }

    #[test]
    fn a_text_line_ends_with_the_request_s_id() {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(lines.clone()).event_format(text(false)).finish();
        tracing::subscriber::with_default(subscriber, log_in_a_request);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert!(text.contains("it did not go well") && text.contains(" request_id=client-7\n"), "{text}");
        assert!(text.ends_with("nobody's\n"), "{text}");
    }
}
