//! What memory holds of a key, and how it stands: by age, by purges, and by the client's wishes.

use std::sync::{Arc, PoisonError};

use http::HeaderName;

use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::head::Head;
use crate::cache::marks::Mark;
use crate::cache::object::Object;
use crate::cache::stored::{Standing, Stored};
use crate::clock::{self, UnixMillis};
use crate::http::freshness;
use crate::http::wishes::Wishes;
use crate::key::Key;
use crate::purge::{Subject, Verdict};

impl Engine {
    /// Finds what memory holds for a request, and how it stands for it.
    ///
    /// The key of the request becomes that of the variant that it selects.
    pub(crate) fn locate(&self, ask: &mut Ask, now: UnixMillis) -> Option<Stored> {
        match self.memory().get(&ask.key) {
            Some(first) => match &first.head().selection {
                Some(selection) if !selection.suits(&ask.fields) => {
                    ask.key = ask.key.variant(selection.variant(&ask.fields));
                }
                _ => match self.found(ask, first, now) {
                    Some(stored) => return Some(stored),
                    // It was purged: other nodes may have put its successor beside it by now.
                    None => ask.key = self.slot(ask)?,
                },
            },
            None => ask.key = self.slot(ask)?,
        }
        let object = self.memory().get(&ask.key)?;
        let suits = object.head().suits(&ask.fields);
        suits.then(|| self.found(ask, object, now)).flatten()
    }

    /// Names the variant that a request selects of an object whose first variant is not in memory;
    /// `None` where none is known, or the first one is on its way and may be the right one.
    fn slot(&self, ask: &Ask) -> Option<Key> {
        let Some(flight) = self.flights().of(&ask.key) else {
            return self.variants().slot(&ask.key, &ask.fields);
        };
        let first = flight.landed()?;
        let head = first.head();
        let selection = head.selection.as_ref()?;
        let is_other = !selection.suits(&ask.fields);
        is_other.then(|| ask.key.variant(selection.variant(&ask.fields)))
    }

    fn found(&self, ask: &Ask, object: Arc<Object>, now: UnixMillis) -> Option<Stored> {
        let Some(stored) = self.stand(Arc::clone(&object), now) else {
            self.memory().remove_object(&object);
            return None;
        };
        let targets = &ask.source.site.caching.targeted;
        Some(heed(&ask.wishes, targets, stored, now))
    }

    /// Says how an object stands; `None` when a purge named it.
    pub(crate) fn stand(&self, object: Arc<Object>, now: UnixMillis) -> Option<Stored> {
        let version = self.purges().version();
        let head = object.head();
        let standing = if object.is_checked(version) {
            self.standing_by_age(&head, now)
        } else {
            let verdict = self.purges().verdict(head.subject());
            if verdict == Verdict::Valid {
                object.set_checked(version);
            }
            self.standing_by(verdict, &head, now)?
        };
        let is_outage = standing != Standing::Fresh
            && standing != Standing::Suspect
            && object.is_held_off(now)
            && head.may_stand_in(now);
        let standing = if is_outage {
            Standing::Outage
        } else {
            standing
        };
        Some(Stored { object, standing })
    }

    /// Says how a response with this head stands; `None` when a purge named it.
    #[must_use]
    pub fn standing(&self, head: &Head, now: UnixMillis) -> Option<Standing> {
        let verdict = self.purges().verdict(head.subject());
        self.standing_by(verdict, head, now)
    }

    fn standing_by(&self, verdict: Verdict, head: &Head, now: UnixMillis) -> Option<Standing> {
        match verdict {
            Verdict::Purged => None,
            Verdict::Suspect => Some(Standing::Suspect),
            // A hard purge that is not known here may name it as well.
            Verdict::Softened if self.purges().must_revalidate() => Some(Standing::Suspect),
            Verdict::Softened if head.may_refresh_softened() => Some(Standing::Refresh),
            // Whoever forbids to serve it stale wants it confirmed whatever happens.
            Verdict::Softened => Some(Standing::Suspect),
            Verdict::Valid => Some(self.standing_by_age(head, now)),
        }
    }

    fn standing_by_age(&self, head: &Head, now: UnixMillis) -> Standing {
        if self.purges().must_revalidate() {
            Standing::Suspect
        } else if head.is_fresh(now) {
            Standing::Fresh
        } else if head.may_refresh(now) {
            Standing::Refresh
        } else {
            Standing::Expired
        }
    }

    /// Whether no hard purge concerns what was asked for at a stamp.
    #[must_use]
    pub fn holds(&self, subject: Subject<'_>) -> bool {
        self.purges().verdict(subject) != Verdict::Purged
    }

    /// Whether what was fetched may begin an answer now: a purge may have come while it was on its
    /// way, or the log that its stamp belongs to may be lost.
    pub(crate) fn may_begin(&self, subject: Subject<'_>) -> bool {
        match self.purges().verdict(subject) {
            Verdict::Purged => false,
            Verdict::Suspect => subject.stamp.incarnation == self.purges().stamp().incarnation,
            Verdict::Softened | Verdict::Valid => true,
        }
    }

    /// Remembers until a moment that answers for `key` may not be shared.
    pub(crate) fn mark(&self, key: &Key, until: UnixMillis) {
        let mut marks = self.marks().lock().unwrap_or_else(PoisonError::into_inner);
        marks.set(key, until, clock::now());
    }

    /// Forgets that answers for `key` may not be shared.
    pub(crate) fn unmark(&self, key: &Key) {
        let mut marks = self.marks().lock().unwrap_or_else(PoisonError::into_inner);
        marks.clear(key);
    }

    /// What is known of answers for `key` that may not be shared.
    #[must_use]
    pub fn marked(&self, key: &Key, now: UnixMillis) -> Option<Mark> {
        let mut marks = self.marks().lock().unwrap_or_else(PoisonError::into_inner);
        marks.of(key, now)
    }
}

/// Has a client's wishes count (RFC 9111 section 5.2.1): it may want what is fresher than fresh, or
/// take what is stale where the origin does not forbid that.
fn heed(wishes: &Wishes, targets: &[HeaderName], stored: Stored, now: UnixMillis) -> Stored {
    let is_bound = wishes.no_cache
        || wishes.max_age.is_some()
        || wishes.max_stale.is_some()
        || wishes.min_fresh.is_some();
    if !is_bound || stored.standing == Standing::Suspect {
        return stored;
    }
    let head = stored.object.head();
    let takes_stale = wishes.max_stale.is_some() && freshness::allows_stale(&head.headers, targets);
    let is_admitted =
        !wishes.no_cache && wishes.admit(head.age(now), head.freshness.lifetime, takes_stale);
    let standing = match stored.standing {
        Standing::Fresh if is_admitted => Standing::Fresh,
        _ if is_admitted => Standing::Accepted,
        _ => Standing::Unwanted,
    };
    Stored { standing, ..stored }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::cache::budget::Budget;
    use crate::cache::head::Generation;
    use crate::cache::object::Target;
    use crate::config::{self, CutOff, Topology};
    use crate::http::freshness::Freshness;
    use crate::metrics::Tier;
    use crate::purge::Stamp;
    use crate::purge::log::Purges;
    use crate::purge::log::heartbeat::NodeInfo;
    use crate::purge::order::Scope;
    use crate::redis::{Redis, scratch};

    const TARGETS: [HeaderName; 1] = [HeaderName::from_static("cdn-cache-control")];

    fn stored(standing: Standing, age: u64, line: &'static str) -> Stored {
        let mut headers = http::HeaderMap::new();
        for (name, value) in line.split("; ").filter_map(|field| field.split_once(": ")) {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        let head = Head {
            key: Key::new("s", "/a", None),
            status: StatusCode::OK,
            headers,
            length: Some(0),
            generation: Generation(1),
            fetched: UnixMillis(0),
            initial_age: Duration::from_secs(age),
            freshness: Freshness {
                lifetime: Duration::from_secs(60),
                ..Freshness::default()
            },
            selection: None,
            tags: Arc::from([]),
            stamp: Stamp::default(),
        };
        let target = Target {
            path: "/a".to_owned(),
            query: None,
        };
        let permit = Budget::new(1 << 20).charge(0);
        Stored {
            object: Object::new(head, target, Tier::Origin, permit),
            standing,
        }
    }

    /// A Redis that nothing connects to, so that a node without lease is cut off from it.
    #[tokio::test]
    async fn a_softened_copy_is_confirmed_first_on_a_node_that_is_cut_off() {
        let redis = scratch::config(Topology::Single("redis://127.0.0.1:1/0".to_owned()));
        for (cut_off, expected) in [
            (CutOff::Revalidate, Standing::Suspect),
            (CutOff::Serve, Standing::Refresh),
        ] {
            let purge = config::Purge {
                lease: Duration::ZERO,
                cut_off,
                shields: Vec::new(),
                shield_token: None,
            };
            let info = NodeInfo {
                node: "a".to_owned(),
                version: "0".to_owned(),
                addresses: Vec::new(),
            };
            let redis = Redis::new(&redis).unwrap();
            let purges = Purges::new(Some(redis), &purge, info);
            let mut head = (*stored(Standing::Fresh, 1, "").object.head()).clone();
            head.freshness.stale_while_revalidate = Duration::from_secs(60);
            head.stamp = purges.stamp();
            let order = Scope::Url(head.key.clone()).soft();
            assert!(purges.purge(&[order]).await.is_err(), "no log takes it");
            tokio::time::sleep(Duration::from_millis(2)).await;
            let engine = Engine::new(1 << 20, None, purges);
            let standing = engine.standing(&head, head.fetched);
            assert_eq!(standing, Some(expected), "{cut_off:?}");
        }
    }

    #[test]
    fn a_client_may_want_fresher_or_take_stale() {
        let seconds = |n| Some(Duration::from_secs(n));
        let none = Wishes::default();
        let no_cache = Wishes {
            no_cache: true,
            ..none
        };
        let max_age = Wishes {
            max_age: seconds(5),
            ..none
        };
        let max_stale = Wishes {
            max_stale: seconds(100),
            ..none
        };
        let cases = [
            (none, Standing::Refresh, 70, "", Standing::Refresh),
            (no_cache, Standing::Fresh, 1, "", Standing::Unwanted),
            (no_cache, Standing::Suspect, 1, "", Standing::Suspect),
            (max_age, Standing::Fresh, 1, "", Standing::Fresh),
            (max_age, Standing::Fresh, 10, "", Standing::Unwanted),
            (max_stale, Standing::Expired, 70, "", Standing::Accepted),
        ];
        for (wishes, standing, age, line, expected) in cases {
            let stored = stored(standing, age, line);
            let got = heed(&wishes, &TARGETS, stored, UnixMillis(0));
            assert_eq!(got.standing, expected, "{wishes:?} {standing:?} {line}");
        }
        let origins = [
            ("cache-control: must-revalidate", Standing::Unwanted),
            ("cache-control: no-cache=\"set-cookie\"", Standing::Accepted),
            (
                "cache-control: max-age=60; cdn-cache-control: s-maxage=60",
                Standing::Unwanted,
            ),
            (
                "cache-control: must-revalidate; cdn-cache-control: max-age=60",
                Standing::Accepted,
            ),
        ];
        for (line, expected) in origins {
            let stored = stored(Standing::Expired, 70, line);
            let got = heed(&max_stale, &TARGETS, stored, UnixMillis(0));
            assert_eq!(got.standing, expected, "{line}");
        }
    }
}
