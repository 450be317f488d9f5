//! Whether hints help: arms of sessions, and the comparison that switches hints off. Pure.

/// How a session plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// With hints.
    Hinted,
    /// Without, to compare with.
    Holdout,
}
