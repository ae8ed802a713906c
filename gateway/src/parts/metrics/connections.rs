//! Counts connections: the listener clones its service for each connection, so that the clones are the connections.
//! Never looks at a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tower_service::Service;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Connections {
    accepted: AtomicU64,
    closed: AtomicU64,
}

impl Connections {
    /// Connections accepted so far, and those of them that are open.
    pub(super) fn counts(&self) -> (u64, u64) {
        let closed = self.closed.load(Ordering::Acquire);
        let accepted = self.accepted.load(Ordering::Acquire);
        (accepted, accepted.saturating_sub(closed))
    }
}

/// A service whose clones are counted as connections; the one it is cloned from is not.
#[derive(Debug)]
pub struct PerConnection<S> {
    inner: S,
    counts: Arc<Connections>,
    is_connection: bool,
}

impl<S> PerConnection<S> {
    pub(super) fn new(inner: S, counts: Arc<Connections>) -> Self {
        Self { inner, counts, is_connection: false }
    }
}

impl<S: Clone> Clone for PerConnection<S> {
    fn clone(&self) -> Self {
        self.counts.accepted.fetch_add(1, Ordering::AcqRel);
        Self { inner: self.inner.clone(), counts: self.counts.clone(), is_connection: true }
    }
}

impl<S> Drop for PerConnection<S> {
    fn drop(&mut self) {
        if self.is_connection {
            self.counts.closed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl<S: Service<R>, R> Service<R> for PerConnection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_its_service_is_dropped() {
        let counts = Arc::new(Connections::default());
        let listener = PerConnection::new((), counts.clone());
        let (first, second) = (listener.clone(), listener.clone());
        assert_eq!(counts.counts(), (2, 2));
        drop(first);
        assert_eq!(counts.counts(), (2, 1));
        drop((second, listener));
        assert_eq!(counts.counts(), (2, 0));
    }
}
