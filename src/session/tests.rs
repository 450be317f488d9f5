//! The whole, alone and over a real `redis-server`.

use super::*;

#[test]
fn a_name_tells_the_arm_and_shows_its_beginning() {
    for arm in [Arm::Hinted, Arm::Holdout] {
        assert_eq!(Who::new([0xab; 16], arm).arm(), arm);
        assert_eq!(Who::new([0xab; 16], arm).short(), "abababababab");
    }
    assert_eq!(Who::new([0; 16], Arm::Hinted).short(), "000000000000");
}
