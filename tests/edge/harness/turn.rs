//! Turns: a test that measures time or memory runs while no other test has a node.
//!
//! Every node holds a shared turn, unless it stands within an [`Alone`]. Nodes never wait for one
//! another, only for an `Alone` under way, so a test may start as many as it likes.

use std::sync::Mutex;
use std::time::Duration;

use super::eventually;

static NODES: Mutex<State> = Mutex::new(State {
    shared: 0,
    alone: false,
});

/// A measuring test waits for the longest of the others.
const PATIENCE: Duration = Duration::from_secs(900);

struct State {
    shared: usize,
    alone: bool,
}

/// No other test has a node while this lives.
pub(crate) struct Alone(());

/// A node runs while this lives.
pub(crate) struct Shared(());

/// Waits until no other test has a node.
pub(crate) async fn alone() -> Alone {
    eventually("the other tests are done", PATIENCE, || async {
        let mut state = NODES.lock().unwrap();
        let free = state.shared == 0 && !state.alone;
        state.alone |= free;
        free
    })
    .await;
    Alone(())
}

/// Waits until no test is alone.
pub(crate) async fn shared() -> Shared {
    eventually("the measuring test is done", PATIENCE, || async {
        let mut state = NODES.lock().unwrap();
        state.shared += usize::from(!state.alone);
        !state.alone
    })
    .await;
    Shared(())
}

impl Drop for Alone {
    fn drop(&mut self) {
        NODES.lock().unwrap().alone = false;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        NODES.lock().unwrap().shared -= 1;
    }
}
