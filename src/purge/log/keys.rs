//! Names of the purge log in Redis. Log and incarnation share a hash tag, and so a slot.
//!
//! ```text
//! {prefix}:{purge}:log            the purge log, a stream
//! {prefix}:{purge}:incarnation    which log it is
//! {prefix}:nodes                  names of nodes by the time of their last heartbeat
//! {prefix}:node:<node>            the heartbeat of a node
//! ```

pub(super) fn log(prefix: &str) -> String {
    format!("{prefix}:{{purge}}:log")
}

pub(super) fn incarnation(prefix: &str) -> String {
    format!("{prefix}:{{purge}}:incarnation")
}

pub(super) fn nodes(prefix: &str) -> String {
    format!("{prefix}:nodes")
}

pub(super) fn node(prefix: &str, node: &str) -> String {
    format!("{prefix}:node:{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_and_incarnation_share_a_slot() {
        assert!(log("pop").contains("{purge}") && incarnation("pop").contains("{purge}"));
    }
}
