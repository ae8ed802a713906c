//! The request that this thread is working on at the moment, so that what is logged meanwhile carries its id.
//! Never allocates and never waits: a request is moved in for one poll and out again.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use farerush_engine::actor::Stamps;
use farerush_persistence::store::Statements;
use warp::http::HeaderValue;
use warp::http::header::HeaderName;

use super::watched::Watched;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A request's id, and what watches it; held by the future that answers it.
#[derive(Debug)]
pub struct Scope {
    id: HeaderValue,
    watched: Option<Box<Watched>>,
    came: Option<Instant>,
}

impl Scope {
    /// The scope of a request with this id.
    pub fn new(id: HeaderValue, watched: Option<Box<Watched>>) -> Self {
        Self { id, watched, came: None }
    }

    /// Says when the newest bytes came that were read of it.
    pub fn note_came(&mut self, came: Option<Instant>) {
        self.came = came;
    }

    /// Does a piece of a request's work. What it logs carries the request's id.
    pub fn within<T>(scope: &mut Option<Self>, work: impl FnOnce() -> T) -> T {
        let _moved = Moved::into_place(scope);
        work()
    }

    /// The request is answered: its response gets the id, and whoever watches learns how it ended.
    pub fn end<B>(self, name: HeaderName, response: &mut warp::http::Response<B>) {
        if let Some(watched) = self.watched {
            watched.answered(response.status(), response.headers());
        }
        response.headers_mut().insert(name, self.id);
    }
}

/// Puts a scope in place, and back where it came from when dropped, even by a panic.
struct Moved<'a>(&'a mut Option<Scope>);

impl<'a> Moved<'a> {
    fn into_place(scope: &'a mut Option<Scope>) -> Self {
        swap(scope);
        Self(scope)
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        swap(self.0);
    }
}

fn swap(scope: &mut Option<Scope>) {
    // A thread that is ending, or logging about itself, has no request.
    let _ = CURRENT.try_with(|current| {
        if let Ok(mut current) = current.try_borrow_mut() {
            std::mem::swap(&mut *current, scope);
        }
    });
}

/// Where the steps of the current request are to be marked; `None` if it is not traced.
pub fn stamps() -> Option<Arc<Stamps>> {
    CURRENT.with_borrow(|current| current.as_ref()?.watched.as_ref()?.stamps())
}

/// Where the statements of the current request are to be written down; `None` if it is not traced.
pub fn statements() -> Option<Arc<Statements>> {
    CURRENT.with_borrow_mut(|current| current.as_mut()?.watched.as_mut()?.statements())
}

/// When the current request came, as far as it has; `None` if that is not known.
pub fn came() -> Option<Instant> {
    CURRENT.with_borrow(|current| current.as_ref()?.came)
}

/// Notes with which code the current request is refused.
pub fn note_code(code: &'static str) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(watched) = current.as_mut().and_then(|scope| scope.watched.as_mut()) {
            watched.note_code(code);
        }
    });
}

/// Shows the id of the current request, and of its trace, if there is one.
pub(crate) fn with_request(show: impl FnOnce(&str, Option<&str>)) {
    let _ = CURRENT.try_with(|current| {
        if let Ok(current) = current.try_borrow()
            && let Some(scope) = current.as_ref()
            && let Ok(id) = scope.id.to_str()
        {
            show(id, scope.watched.as_ref().and_then(|watched| watched.trace_id()));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_now() -> Option<String> {
        let mut now = None;
        with_request(|id, _| now = Some(id.to_owned()));
        now
    }

    #[test]
    fn a_request_is_current_only_while_it_is_worked_on() {
        let mut outer = Some(Scope::new(HeaderValue::from_static("outer"), None));
        let mut inner = Some(Scope::new(HeaderValue::from_static("inner"), None));
        Scope::within(&mut outer, || {
            assert_eq!(id_now().as_deref(), Some("outer"));
            Scope::within(&mut inner, || assert_eq!(id_now().as_deref(), Some("inner")));
            assert_eq!(id_now().as_deref(), Some("outer"));
        });
        assert_eq!(id_now(), None);
        assert!(outer.is_some() && inner.is_some());
    }

    #[test]
    fn a_panic_does_not_leave_it_behind() {
        let mut scope = Some(Scope::new(HeaderValue::from_static("x"), None));
        let work = std::panic::AssertUnwindSafe(|| Scope::within(&mut scope, || panic!("on purpose")));
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(id_now(), None);
        assert!(scope.is_some());
    }

    #[test]
    fn a_request_that_nobody_watches_has_no_stamps() {
        let mut scope = Some(Scope::new(HeaderValue::from_static("x"), None));
        Scope::within(&mut scope, || {
            assert!(stamps().is_none());
            note_code("SOLD_OUT");
        });
        let mut response = warp::reply::Response::default();
        scope.unwrap().end(HeaderName::from_static("x-request-id"), &mut response);
        assert_eq!(response.headers()["x-request-id"], "x");
    }
}
