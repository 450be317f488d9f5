//! The name of a session in tables and in Redis. Pure.

use crate::session::holdout::Arm;

/// Who a request belongs to, by the best name there is: session id, CMCD `sid`, or client.
///
/// It is a truncated keyed hash, whose lowest bit is the arm, so that whoever can name a session
/// knows how it plays. The next bit tells whether a signed id stands behind it: anybody can make up
/// as many of the others as he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(pub [u8; 16]);

const HOLDOUT: u128 = 1;
const SIGNED: u128 = 2;

impl Who {
    /// Makes the name of a session with a signed id of its hash.
    #[must_use]
    pub fn signed(hash: [u8; 16], arm: Arm) -> Self {
        let Self(name) = Self::claimed(hash, arm);
        Self((u128::from_be_bytes(name) | SIGNED).to_be_bytes())
    }

    /// Makes the name of a session that nothing vouches for of its hash.
    #[must_use]
    pub fn claimed(hash: [u8; 16], arm: Arm) -> Self {
        let bits = u128::from_be_bytes(hash) & !(HOLDOUT | SIGNED);
        let arm = match arm {
            Arm::Hinted => 0,
            Arm::Holdout => HOLDOUT,
        };
        Self((bits | arm).to_be_bytes())
    }

    /// Whether a signed id stands behind the session.
    #[must_use]
    pub fn is_signed(self) -> bool {
        u128::from_be_bytes(self.0) & SIGNED != 0
    }

    /// How the session plays.
    #[must_use]
    pub fn arm(self) -> Arm {
        match u128::from_be_bytes(self.0) & HOLDOUT {
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
    fn a_name_tells_the_arm_and_what_stands_behind_it_and_shows_its_beginning() {
        for (arm, hash) in [(Arm::Hinted, 0xab), (Arm::Holdout, 0xa8)] {
            let (signed, claimed) = (Who::signed([hash; 16], arm), Who::claimed([hash; 16], arm));
            assert_eq!((signed.arm(), claimed.arm()), (arm, arm));
            assert_eq!((signed.is_signed(), claimed.is_signed()), (true, false));
            assert_eq!(signed.short(), format!("{hash:02x}").repeat(6));
            assert_eq!(claimed.short(), signed.short());
        }
        assert_eq!(Who::claimed([0; 16], Arm::Hinted).short(), "000000000000");
    }
}
