//! Which part of its life a node is in: starting, serving, draining, closing or ending.
//!
//! The admin listener tells readiness from it, and the listeners close by it; who moves it on is
//! the composition root, and an operator who asks for a drain. [`duress`] says whether it has more
//! to do than it can.

pub mod duress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Which part of its life a node is in.
#[derive(Debug)]
pub struct Life {
    serving: AtomicBool,
    draining: AtomicBool,
    closing: watch::Sender<bool>,
    ending: watch::Sender<bool>,
}

impl Life {
    /// Begins: not serving yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            serving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            closing: watch::Sender::new(false),
            ending: watch::Sender::new(false),
        })
    }

    /// Whether the listeners run.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    /// Whether the node is on its way out, or was asked to be out of the way.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Stops advertising readiness; the node goes on serving.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Undoes [`Life::drain`], unless the listeners have closed.
    pub fn return_to_service(&self) {
        let closing = *self.closing.borrow();
        self.draining.store(closing, Ordering::Release);
    }

    /// Turns true when the client listeners are to close.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Turns true when nothing is left to watch: the admin listener closes last.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// The listeners run from now on.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// Has the client listeners close.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Has the admin listener close.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_node_is_not_closed_yet() {
        let life = Life::new();
        life.serve();
        life.drain();
        assert!(life.is_serving() && life.is_draining());
        assert!(!*life.closing().borrow());
        life.close();
        assert!(*life.closing().borrow());
    }
}
