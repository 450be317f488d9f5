//! Whether hints help: arms of sessions, and the comparison that switches hints off. Pure.

/// How a session plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// With hints.
    Hinted,
    /// Without, to compare with.
    Holdout,
}

impl Arm {
    /// The name of this arm, as metrics and operators spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hinted => "hinted",
            Self::Holdout => "holdout",
        }
    }
}

/// Draws the arm of a session: of a hundred values of `chance`, `percent` hold out.
#[must_use]
pub fn draw(chance: u64, percent: u32) -> Arm {
    match chance % 100 < u64::from(percent) {
        true => Arm::Holdout,
        false => Arm::Hinted,
    }
}
