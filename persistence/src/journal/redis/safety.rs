//! Whether Redis still keeps what it confirms: its settings can change while it runs, and another server can stand behind
//! its name. Never trusts what was found on an earlier connection, nor for longer than a minute.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farerush_engine::journal::JournalError;
use parking_lot::Mutex;

use super::RedisJournal;
use super::check::{self, Findings};
use super::link::{Link, unavailable};

/// How often sentinels are asked though nothing is wrong.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_millis(500);

/// What was found last, and when and where it was looked for.
pub(super) struct Safety {
    findings: Mutex<Findings>,
    is_unsafe: AtomicBool,
    looked_at: Mutex<Instant>,
    /// Of the link for appends and of the one for claims: on which connection.
    append_looked_on: AtomicU64,
    watch_looked_on: AtomicU64,
}

impl Safety {
    /// What was found when the journal was opened; whoever opens it decides about the complaints.
    pub(super) fn new(findings: Findings) -> Self {
        findings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Self {
            is_unsafe: AtomicBool::new(!findings.complaints.is_empty()),
            findings: Mutex::new(findings),
            looked_at: Mutex::new(Instant::now()),
            append_looked_on: AtomicU64::new(0),
            watch_looked_on: AtomicU64::new(0),
        }
    }

    pub(super) fn findings(&self) -> Findings {
        self.findings.lock().clone()
    }

    pub(super) fn is_unsafe(&self) -> bool {
        self.is_unsafe.load(Ordering::Acquire)
    }

    fn note(&self, found: &Findings) {
        *self.looked_at.lock() = Instant::now();
        self.is_unsafe.store(!found.complaints.is_empty(), Ordering::Release);
        let before = std::mem::replace(&mut *self.findings.lock(), found.clone());
        if found.complaints != before.complaints {
            for complaint in &found.complaints {
                tracing::error!("Redis may lose what it confirms: {complaint}");
            }
            if found.complaints.is_empty() {
                tracing::info!("Redis is set up again so that it keeps what it confirms");
            }
        }
        for warning in found.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }
}

impl RedisJournal {
    /// Before anything is written that is to last: on a new connection it is looked first, and a server that would be
    /// refused at the start is refused now, until it is mended.
    pub(super) fn see_that_it_keeps(&self, link: &mut Link) -> Result<(), JournalError> {
        let is_refused = || self.options.refuse_unsafe && self.safety.is_unsafe();
        if link.generation()? > self.safety.append_looked_on.load(Ordering::Acquire) || is_refused() {
            self.look(link)?;
            self.safety.append_looked_on.store(link.generation()?, Ordering::Release);
        }
        if is_refused() {
            let why = self.safety.findings().complaints.join("; ");
            return Err(unavailable("append to a Redis that keeps what it confirms", why));
        }
        Ok(())
    }

    /// Looks when it is time, or on a new connection, though nothing is written.
    pub(super) fn look_now_and_then(&self, link: &mut Link) -> Result<(), JournalError> {
        self.look_for_another_primary(link);
        let is_due = self.safety.looked_at.lock().elapsed() >= self.options.check_every;
        if link.generation()? > self.safety.watch_looked_on.load(Ordering::Acquire) || is_due {
            self.look(link)?;
            self.safety.watch_looked_on.store(link.generation()?, Ordering::Release);
        }
        Ok(())
    }

    /// Sentinels are asked now and then though the connections are well: a primary that they have replaced may not know.
    fn look_for_another_primary(&self, link: &mut Link) {
        {
            let mut asked_at = self.primaries.asked_at.lock();
            if asked_at.elapsed() < SENTINELS_ASKED_EVERY {
                return;
            }
            *asked_at = Instant::now();
        }
        link.look_for_another();
    }

    fn look(&self, link: &mut Link) -> Result<(), JournalError> {
        self.safety.note(&check::look(link, self.options.wait_replicas)?);
        Ok(())
    }

    /// Why what this server confirms may not survive it, a sentence each, as of the last look; empty if it is set up well.
    pub fn complaints(&self) -> Vec<String> {
        self.safety.findings().complaints
    }

    /// What its promises do not cover, a sentence each: a fail-over to a replica that nobody waits for.
    pub fn warnings(&self) -> Vec<String> {
        self.safety.findings().warnings
    }

    /// Whether there is a complaint.
    pub fn is_unsafe(&self) -> bool {
        self.safety.is_unsafe()
    }

    /// Whether nothing is appended because of it.
    pub fn is_refused(&self) -> bool {
        self.options.refuse_unsafe && self.safety.is_unsafe()
    }
}
