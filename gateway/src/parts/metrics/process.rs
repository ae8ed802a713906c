//! What the operating system knows of this process, under the names that Prometheus clients share.
//! Leaves out what cannot be read (only Linux has `/proc`) instead of making it up.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::text::MetricsPage;

/// What this process has used so far, and has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time, user and system.
    pub processor: Duration,
    /// Memory that is in use; 0 where that cannot be read.
    pub memory_bytes: u64,
}

/// What this process has used so far.
pub(super) fn used() -> Used {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Used { processor: processor_time(), memory_bytes: field(&status, "VmRSS:").unwrap_or(0) * 1024 }
}

fn processor_time() -> Duration {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or(0))
}

/// Writes the process's figures.
pub(super) fn write(page: &mut MetricsPage) {
    page.counter(
        "process_cpu_seconds_total",
        "Processor time of this process, user and system, in seconds.",
        processor_time().as_secs_f64(),
    );
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let kibibytes = |name| field(&status, name).map(|value| value * 1024);
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory that is in use, in bytes.", kibibytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Memory that is mapped, in bytes.", kibibytes("VmSize:")),
            ("process_threads", "Threads of this process.", field(&status, "Threads:")),
        ] {
            if let Some(value) = value {
                page.gauge(name, help, value);
            }
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // Without the one that is being read.
        let open = files.count().saturating_sub(1);
        page.gauge("process_open_fds", "Open files and connections.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        page.gauge("process_max_fds", "Most files and connections that may be open.", most);
    }
    if let Some(started) = start_seconds() {
        page.gauge(
            "process_start_time_seconds",
            "When this process started, in seconds since 1970.",
            started,
        );
    }
}

/// The number after a name in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the process started: ticks since the machine's start, and when that was.
fn start_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold anything; the start is the 22nd.
    let ticks: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let whole = fs::read_to_string("/proc/stat").ok()?;
    let boot: u32 = whole.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let ticks_per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(f64::from(boot) + f64::from(ticks) / f64::from(ticks_per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_started_a_while_ago_and_uses_memory() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let started = start_seconds().unwrap();
        // The machine's start is only known to the second.
        assert!(started < now + 1.5 && started > now - 86_400.0, "{started} {now}");
        let mut page = MetricsPage::default();
        write(&mut page);
        let text = page.finish();
        for name in ["cpu_seconds_total", "resident_memory_bytes", "threads", "open_fds", "max_fds"] {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name}: {text}");
        }
    }

    #[test]
    fn a_field_is_the_number_after_its_name() {
        assert_eq!(field("Name:\tx\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(field("Name:\tx\n", "VmRSS:"), None);
    }
}
