//! How many of something clients may cause in a second.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits;
use crate::metrics::Posted;

/// A rate; a second's worth may come at once.
#[derive(Debug)]
pub(super) struct Allowance {
    per_second: u32,
    state: Mutex<Option<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// Allows so many in a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            state: Mutex::default(),
        }
    }

    /// Takes one; `false` where none is left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.unwrap_or(State {
            left: most,
            at: now,
        });
        let gained = now.saturating_duration_since(known.at).as_secs_f64() * most;
        let left = (known.left + gained).min(most);
        let taken = left >= 1.0;
        *state = Some(State {
            left: if taken { left - 1.0 } else { left },
            at: now,
        });
        taken
    }
}

/// How many posts players may send: in all, and one network of them a part.
#[derive(Debug)]
pub(super) struct Posts {
    all: Allowance,
    /// `None` where all players come from one address.
    senders: Option<Senders>,
}

impl Posts {
    /// Allows what [`limits`] say in all and of each sender.
    pub(super) fn by_sender() -> Self {
        Self {
            senders: Some(Senders::new()),
            ..Self::of_all()
        }
    }

    /// Allows what [`limits`] say in all, to one sender too: a balancer that ends connections.
    pub(super) fn of_all() -> Self {
        Self {
            all: Allowance::new(limits::REPORTS_PER_SECOND),
            senders: None,
        }
    }

    /// Takes one post in. What its sender may not send costs the others nothing.
    ///
    /// # Errors
    /// [`Posted::Sender`] or [`Posted::Rate`] where none is left.
    pub(super) fn take(&self, sender: Option<IpAddr>, now: Instant) -> Result<(), Posted> {
        let senders = self.senders.as_ref();
        if senders.is_some_and(|senders| !senders.take(sender, now)) {
            return Err(Posted::Sender);
        }
        match self.all.take(now) {
            true => Ok(()),
            false => Err(Posted::Rate),
        }
    }
}

/// The parts of the senders, in buckets that a hash of chance picks, so that nothing is remembered
/// of an address and nobody can choose whose bucket he empties.
#[derive(Debug)]
struct Senders {
    buckets: Vec<Allowance>,
    hasher: RandomState,
}

impl Senders {
    fn new() -> Self {
        let bucket = || Allowance::new(limits::REPORTS_PER_SENDER_PER_SECOND);
        let buckets = std::iter::repeat_with(bucket).take(limits::REPORT_BUCKETS);
        Self {
            buckets: buckets.collect(),
            hasher: RandomState::new(),
        }
    }

    fn take(&self, sender: Option<IpAddr>, now: Instant) -> bool {
        let [high, low, ..] = self.hasher.hash_one(sender.map(sender_of)).to_be_bytes();
        let index = usize::from(u16::from_be_bytes([high, low])) % limits::REPORT_BUCKETS;
        let bucket = self.buckets.get(index);
        bucket.is_some_and(|bucket| bucket.take(now))
    }
}

/// Who counts as one: an IPv4 address, or the /48 that an IPv6 site is given, so that it cannot
/// take the parts of as many as it has networks.
fn sender_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_s_worth_is_allowed_at_once_and_then_the_rate() {
        let allowance = Allowance::new(100);
        let start = Instant::now();
        let burst = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(burst, 100);
        let later = start + Duration::from_millis(100);
        let more = (0..1000).filter(|_| allowance.take(later)).count();
        assert!((9..=10).contains(&more), "{more}");
    }

    #[test]
    fn one_sender_cannot_use_up_what_all_may_post() {
        let posts = Posts::by_sender();
        let now = Instant::now();
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let taken = |sender| {
            (0..2000)
                .filter(|_| posts.take(sender, now).is_ok())
                .count()
        };
        let share = usize::try_from(limits::REPORTS_PER_SENDER_PER_SECOND).unwrap();
        let all = usize::try_from(limits::REPORTS_PER_SECOND).unwrap();
        assert_eq!(taken(address("2001:db8::1")), share);
        assert_eq!(taken(address("2001:db8:0:9::2")), 0, "the same /48");
        assert_eq!(posts.take(address("2001:db8::1"), now), Err(Posted::Sender));
        // By chance two of them may share a bucket, but not all.
        let others = (0..=255).map(|last| address(&format!("192.0.2.{last}")));
        let others = others
            .filter(|other| posts.take(*other, now).is_ok())
            .count();
        assert!(others > 200, "{others} of 256");
        let rest: usize = (0..=255)
            .map(|last| taken(address(&format!("198.51.100.{last}"))))
            .sum();
        assert_eq!(share + others + rest, all, "and all of them have a bound");
        let later = now + Duration::from_secs(1);
        assert_eq!(posts.take(address("2001:db8::1"), later), Ok(()));
    }

    #[test]
    fn posts_without_an_address_share_one_part() {
        let posts = Posts::by_sender();
        let now = Instant::now();
        let taken = (0..2000).filter(|_| posts.take(None, now).is_ok()).count();
        assert_eq!(
            u32::try_from(taken),
            Ok(limits::REPORTS_PER_SENDER_PER_SECOND)
        );
    }

    #[test]
    fn a_balancer_may_send_what_all_may() {
        let posts = Posts::of_all();
        let now = Instant::now();
        let balancer = Some("192.0.2.1".parse::<IpAddr>().unwrap());
        let taken = (0..2000).filter(|_| posts.take(balancer, now).is_ok());
        assert_eq!(u32::try_from(taken.count()), Ok(limits::REPORTS_PER_SECOND));
        assert_eq!(posts.take(balancer, now), Err(Posted::Rate));
    }
}
