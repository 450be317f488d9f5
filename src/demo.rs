//! The demonstration: a node with embedded defaults and a sample title.

use std::process::ExitCode;

/// Runs the demonstration on `port` until it is interrupted.
#[must_use]
pub fn run(port: u16) -> ExitCode {
    tracing::error!(port, "the demonstration is not part of this build");
    ExitCode::FAILURE
}
