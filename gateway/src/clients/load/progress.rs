//! What is shown while a run goes on: a bar with live figures, or a plain line now and then where nobody watches.
//! Never measures.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::record::Recorder;
use super::report::{grouped, time};
use super::worker::Run;

/// How often the bar moves.
const REFRESH: Duration = Duration::from_millis(200);
/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how the run goes.
pub struct Progress {
    bar: Option<ProgressBar>,
    next_line: Option<Instant>,
    shown_at: Option<u64>,
}

impl Progress {
    /// For the standard error's terminal, if it is one; nothing if `quiet`.
    pub fn new(run: &Run, quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = (is_terminal && !quiet).then(|| {
            let length = run.end.saturating_duration_since(run.start).as_millis();
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let bar = ProgressBar::with_draw_target(u64::try_from(length).ok(), target);
            let style = ProgressStyle::with_template("{elapsed_precise} {bar:30.cyan/blue} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let next_line = (!is_terminal && !quiet).then(|| run.start + LINE_EVERY);
        Self { bar, next_line, shown_at: None }
    }

    /// Shows how the run goes until all threads have ended.
    pub fn watch<T>(
        &mut self,
        run: &Run,
        recorders: &[Arc<Mutex<Recorder>>],
        threads: &[std::thread::JoinHandle<T>],
    ) {
        while threads.iter().any(|thread| !thread.is_finished()) {
            let pause = if self.bar.is_some() { REFRESH } else { Duration::from_millis(50) };
            std::thread::sleep(
                pause.min(Duration::from_millis(20).max(run.end.saturating_duration_since(Instant::now()))),
            );
            self.show(run, recorders, Instant::now());
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, run: &Run, recorders: &[Arc<Mutex<Recorder>>], now: Instant) {
        let second = now.saturating_duration_since(run.counted_from).as_secs();
        let is_news = self.shown_at != Some(second) && second > 0;
        if let Some(bar) = &self.bar {
            let done = now.saturating_duration_since(run.start).as_millis();
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX).min(bar.length().unwrap_or(u64::MAX)));
            match (now < run.counted_from, now > run.end) {
                (true, _) => bar.set_message("warming up"),
                (_, true) => bar.set_message("waiting for the last answers"),
                _ if is_news => bar.set_message(figures(recorders, now)),
                _ => {}
            }
        } else if let Some(next) = self.next_line
            && now >= next
        {
            self.next_line = Some(now + LINE_EVERY);
            eprintln!(
                "{:>4} s  {}",
                now.saturating_duration_since(run.start).as_secs(),
                figures(recorders, now)
            );
        }
        if is_news {
            self.shown_at = Some(second);
        }
    }
}

/// The last whole second of all workers.
fn figures(recorders: &[Arc<Mutex<Recorder>>], now: Instant) -> String {
    let Ok(mut latency) = Histogram::<u32>::new(2) else { return String::new() };
    latency.auto(true);
    let (mut all, mut requests) = (0, 0);
    let mut outcomes = std::collections::BTreeMap::new();
    for recorder in recorders {
        let recorder = recorder.lock();
        all += recorder.requests();
        if let Some(second) = recorder.last_second(now) {
            requests += second.requests;
            // It grows as needed.
            let _ = latency.add(&second.latency);
            for (label, count) in recorder.outcomes(Some(second)) {
                *outcomes.entry(label).or_insert(0) += count;
            }
        }
    }
    let mut outcomes: Vec<(String, u64)> = outcomes.into_iter().collect();
    outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown: Vec<_> =
        outcomes.iter().take(3).map(|(label, count)| format!("{} {label}", grouped(*count))).collect();
    format!(
        "{}/s  p50 {}  p99 {}  ({})  {} so far",
        grouped(requests),
        time(latency.value_at_quantile(0.5)),
        time(latency.value_at_quantile(0.99)),
        shown.join(", "),
        grouped(all)
    )
}
