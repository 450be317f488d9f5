//! The name of a session in tables and in Redis. Pure.

use crate::session::holdout::Arm;

/// Who a request belongs to, by the best name there is: session id, CMCD `sid`, or client.
///
/// It is a truncated keyed hash, whose lowest bit is the arm, so that whoever can name a session
/// knows how it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(pub [u8; 16]);

impl Who {
    /// Makes a name of a hash.
    #[must_use]
    pub fn new(hash: [u8; 16], arm: Arm) -> Self {
        let mut bits = u128::from_be_bytes(hash);
        bits = match arm {
            Arm::Hinted => bits & !1,
            Arm::Holdout => bits | 1,
        };
        Self(bits.to_be_bytes())
    }

    /// How the session plays.
    #[must_use]
    pub fn arm(self) -> Arm {
        match u128::from_be_bytes(self.0) & 1 {
            0 => Arm::Hinted,
            _ => Arm::Holdout,
        }
    }

    /// The beginning of the name in hexadecimal digits, for people.
    #[must_use]
    pub fn short(self) -> String {
        format!("{:012x}", u128::from_be_bytes(self.0) >> 80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_arm_and_shows_its_beginning() {
        for arm in [Arm::Hinted, Arm::Holdout] {
            assert_eq!(Who::new([0xab; 16], arm).arm(), arm);
            assert_eq!(Who::new([0xab; 16], arm).short(), "abababababab");
        }
        assert_eq!(Who::new([0; 16], Arm::Hinted).short(), "000000000000");
    }
}
