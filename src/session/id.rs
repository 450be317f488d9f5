//! Session ids: short, signed, without meaning to anyone else. Pure.
//!
//! ```text
//! byte   0      1..5        5..13   13..21
//!        form   minutes     nonce   signature     as 28 characters of base64url
//! ```
//!
//! The signature covers the other bytes and the site's name. What bears none of ours is no id: the
//! request is answered all the same, and counts for nobody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::clock::UnixMillis;
use crate::limits;
use crate::session::holdout::Arm;
use crate::session::secret::{Domain, Key, Keyring};
use crate::session::who::Who;

/// Bytes that are signed.
const BODY_BYTES: usize = 13;
/// Bytes of the signature: nobody guesses one of 2^64 to mislead the estimate of one session.
const SIGNATURE_BYTES: usize = 8;
const BYTES: usize = BODY_BYTES + SIGNATURE_BYTES;
/// Characters of an id in a path.
pub const TEXT_CHARS: usize = 28;

const _: () = assert!(BYTES * 4 == TEXT_CHARS * 3, "no bits are left over");

/// The form described above, in the upper bits of the first byte; the lowest is the arm.
const FORM: u8 = 0x10;
const HOLDOUT: u8 = 0x01;

const MINUTE: u64 = 60_000;

/// A session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId {
    /// Chance.
    pub nonce: u64,
    /// When it was made, to the minute.
    pub minted: UnixMillis,
    /// How the session plays.
    pub arm: Arm,
    /// What the session is known by in tables.
    pub who: Who,
    signature: [u8; SIGNATURE_BYTES],
}

impl SessionId {
    /// Makes an id of `site` and signs it.
    #[must_use]
    pub fn mint(key: &Key, site: &str, nonce: u64, arm: Arm, now: UnixMillis) -> Self {
        let minutes = u32::try_from(now.0 / MINUTE).unwrap_or(u32::MAX);
        let hash = key.hash(Domain::Id, &[site.as_bytes(), &body(arm, minutes, nonce)]);
        Self::of(arm, minutes, nonce, &hash)
    }

    /// The id as it stands in paths, without `~`.
    #[must_use]
    pub fn spell(&self) -> String {
        let minutes = u32::try_from(self.minted.0 / MINUTE).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&body(self.arm, minutes, self.nonce));
        bytes.extend_from_slice(&self.signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether this is one of the `percent` in a hundred sessions that chance picks, whatever
    /// their arm.
    #[must_use]
    pub fn is_among(&self, percent: u32) -> bool {
        self.nonce % 100 < u64::from(percent)
    }

    /// Reads an id of `site` back; `None` when it is forged, foreign or too old.
    #[must_use]
    pub fn read(ring: &Keyring, site: &str, text: &str, now: UnixMillis) -> Option<Self> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, signature) = bytes.split_first_chunk::<BODY_BYTES>()?;
        let [form, a, b, c, d, nonce @ ..] = *body;
        if form & !HOLDOUT != FORM {
            return None;
        }
        let arm = match form & HOLDOUT {
            0 => Arm::Hinted,
            _ => Arm::Holdout,
        };
        let minutes = u32::from_be_bytes([a, b, c, d]);
        let minted = UnixMillis(u64::from(minutes) * MINUTE);
        if now.since(minted) > limits::SESSION_ID_LIFE {
            return None;
        }
        let hash = ring.all().find_map(|key| {
            let hash = key.hash(Domain::Id, &[site.as_bytes(), body]);
            let (ours, _) = hash.split_first_chunk::<SIGNATURE_BYTES>()?;
            bool::from(ours.ct_eq(signature)).then_some(hash)
        })?;
        Some(Self::of(arm, minutes, u64::from_be_bytes(nonce), &hash))
    }

    /// One hash is both: its beginning is shown, its end is not.
    fn of(arm: Arm, minutes: u32, nonce: u64, hash: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _, who @ ..] = *hash;
        Self {
            nonce,
            minted: UnixMillis(u64::from(minutes) * MINUTE),
            arm,
            who: Who::signed(who, arm),
            signature: [a, b, c, d, e, f, g, h],
        }
    }
}

fn body(arm: Arm, minutes: u32, nonce: u64) -> [u8; BODY_BYTES] {
    let form = match arm {
        Arm::Hinted => FORM,
        Arm::Holdout => FORM | HOLDOUT,
    };
    let [a, b, c, d] = minutes.to_be_bytes();
    let [e, f, g, h, i, j, k, l] = nonce.to_be_bytes();
    [form, a, b, c, d, e, f, g, h, i, j, k, l]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, proptest};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_030_000);

    fn minted(arm: Arm) -> (Keyring, SessionId) {
        let ring = Keyring::new(b"secret");
        let id = SessionId::mint(ring.current(), "films", 7, arm, NOW);
        (ring, id)
    }

    #[test]
    fn an_id_comes_back_as_it_was_minted() {
        for arm in [Arm::Hinted, Arm::Holdout] {
            let (ring, id) = minted(arm);
            let text = id.spell();
            assert_eq!(text.len(), TEXT_CHARS);
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert!(text.chars().all(plain), "{text}");
            assert_eq!(SessionId::read(&ring, "films", &text, NOW), Some(id));
            assert_eq!((id.arm, id.who.arm()), (arm, arm));
            assert_eq!(id.minted, UnixMillis(1_800_000_000_000));
        }
    }

    #[test]
    fn what_is_not_ours_is_no_id() {
        let (ring, id) = minted(Arm::Hinted);
        let text = id.spell();
        let read = |ring: &Keyring, site: &str, text: &str| {
            SessionId::read(ring, site, text, NOW).is_some()
        };
        assert!(read(&ring, "films", &text));
        assert!(!read(&ring, "live", &text), "another site's");
        assert!(
            !read(&Keyring::new(b"other"), "films", &text),
            "another operator's"
        );
        assert!(!read(&ring, "films", text.get(1..).unwrap()), "truncated");
        assert!(!read(&ring, "films", &format!("{text}A")), "too long");
        assert!(!read(&ring, "films", &format!("{text}==")), "padded");
        assert!(!read(&ring, "films", ""), "empty");
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(!read(&ring, "films", &changed), "{changed}");
        }
    }

    #[test]
    fn chance_picks_among_sessions_by_what_stands_in_their_ids() {
        let (ring, id) = minted(Arm::Holdout);
        let read = SessionId::read(&ring, "films", &id.spell(), NOW).unwrap();
        for id in [id, read] {
            assert_eq!(
                [0, 7, 8, 100].map(|it| id.is_among(it)),
                [false, false, true, true]
            );
        }
    }

    #[test]
    fn an_id_ends_with_its_life() {
        let (ring, id) = minted(Arm::Hinted);
        let text = id.spell();
        let at = |now| SessionId::read(&ring, "films", &text, now).is_some();
        let end = id.minted.after(limits::SESSION_ID_LIFE);
        assert!(at(end));
        assert!(!at(end.after(Duration::from_millis(1))));
        assert!(
            at(NOW.before(Duration::from_secs(600))),
            "a clock that lags"
        );
    }

    #[test]
    fn an_id_outlives_the_secret_that_signed_it_and_keeps_its_name() {
        let (mut ring, id) = minted(Arm::Hinted);
        ring.replace(b"shared");
        assert_eq!(SessionId::read(&ring, "films", &id.spell(), NOW), Some(id));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_foreign_is_read(text in "[A-Za-z0-9_~=-]{0,40}") {
            let ring = Keyring::new(b"secret");
            assert_eq!(SessionId::read(&ring, "films", &text, NOW), None);
        }

        #[test]
        fn every_nonce_comes_back(nonce in any::<u64>(), minutes in 0..u32::MAX) {
            let ring = Keyring::new(b"secret");
            let now = UnixMillis(u64::from(minutes) * MINUTE);
            let id = SessionId::mint(ring.current(), "a", nonce, Arm::Holdout, now);
            assert_eq!(SessionId::read(&ring, "a", &id.spell(), now), Some(id));
        }
    }
}
