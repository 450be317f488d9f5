//! The composition root.

use std::process::ExitCode;

use crate::config::Config;

/// Runs a node until it is told to end.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the node owns its configuration"
)]
pub fn run(config: Config) -> ExitCode {
    tracing::error!(
        node = config.server.node,
        "the node is not part of this build"
    );
    ExitCode::FAILURE
}
