//! Whether a response may be stored, and how long it may be reused (RFC 9111, RFC 5861).
//!
//! The rules are those of a shared cache. Where the origin is silent about a lifetime, a share of
//! the time since it changed the object stands in, or the site's default for this kind of object;
//! both are heuristics in the sense of section 4.2.2. `Pragma` of a response says nothing (section
//! 5.4).

use std::time::Duration;

use http::StatusCode;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES,
    HeaderMap, HeaderName, LAST_MODIFIED, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VARY,
};

use crate::clock::UnixMillis;
use crate::config::SetCookie;
use crate::http::cache_control::{CacheControl, Scope};
use crate::http::{fields, range, targeted, vary};

/// Lifetimes of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// Age up to which it is served without asking (RFC 9111 section 4.2.1).
    pub lifetime: Duration,
    /// How long after that it is served while a refresh runs (RFC 5861 section 3).
    pub stale_while_revalidate: Duration,
    /// How long after that it is served when the origin fails (RFC 5861 section 4).
    pub stale_if_error: Duration,
}

impl Freshness {
    /// Whether there is any time in which a response is reused unasked. Without, each request is for
    /// the origin to answer: to share one answer among requests is to reuse it (RFC 9111 section 4).
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.lifetime.max(self.stale_while_revalidate) > Duration::ZERO
    }
}

/// An origin's answer as far as it decides about storing.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status; after a 304 that of the stored response, with the merged headers.
    pub status: StatusCode,
    /// Its end-to-end headers.
    pub headers: &'a HeaderMap,
    /// Whether the request carried credentials (RFC 9111 section 3.5).
    pub is_authorized: bool,
    /// When the request was sent.
    pub asked: UnixMillis,
    /// When the head arrived.
    pub arrived: UnixMillis,
}

/// What holds where the origin is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fallback {
    /// Lifetime of a response that is no error.
    pub lifetime: Duration,
    /// Lifetime of an error that may be stored by default, such as 404. Like the next two it is
    /// never served stale by default.
    pub negative: Duration,
    /// Lifetime of a 403; zero where none is stored unless it names its lifetime.
    pub forbidden: Duration,
    /// The same for a 5xx.
    pub failure: Duration,
    /// See [`Freshness::stale_while_revalidate`].
    pub stale_while_revalidate: Duration,
    /// See [`Freshness::stale_if_error`].
    pub stale_if_error: Duration,
}

/// What a site says about storing.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What holds where the origin is silent.
    pub fallback: Fallback,
    /// What becomes of an answer that sets a cookie.
    pub set_cookie: SetCookie,
    /// Fields that stand in for `Cache-Control`, in order (RFC 9213).
    pub targeted: &'a [HeaderName],
    /// Lifetime in percent of the time since Last-Modified; 0 for no such heuristic.
    pub heuristic_percent: u32,
    /// Longest lifetime by that heuristic.
    pub heuristic_max: Duration,
    /// Whether the origin sees anything of the client, which makes fields of a request select.
    pub sees_clients: bool,
    /// Whether the answer is known for a key to decrypt media, which each client must be given by its
    /// origin, whatever that says: a copy would outlive the right to it.
    pub is_key: bool,
}

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may be stored.
    Store {
        /// How long it may be reused.
        freshness: Freshness,
        /// Its age on arrival (RFC 9111 section 4.2.3).
        initial_age: Duration,
        /// Fields of it that may not be (sections 5.2.2.4 and 5.2.2.7).
        strip: Vec<HeaderName>,
    },
    /// It is for the one request that it answers.
    Refuse(NotStored),
}

/// Why an answer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// Its status is none that a cache keeps, whatever its headers say.
    Status,
    /// Its status is kept only with a lifetime, and it names none.
    NoLifetime,
    /// It says `no-store`.
    NoStore,
    /// It says `private`.
    Private,
    /// It answers credentials, and does not say that others may have it.
    Authorization,
    /// It is a key to decrypt media.
    Key,
    /// It sets a cookie.
    SetCookie,
    /// It depends on fields that cannot be told or are too many.
    Vary,
    /// It depends on more than the request (`Vary: *`).
    VaryAny,
    /// It calls itself whole but carries Content-Range.
    Partial,
}

impl NotStored {
    /// The reason as logs, metrics and headers spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoLifetime => "no-lifetime",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::Key => "key",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::VaryAny => "vary-any",
            Self::Partial => "partial",
        }
    }
}

/// Decides whether an answer may be stored, and for how long.
#[must_use]
pub fn judge(answer: &Answer<'_>, rules: &Rules<'_>) -> Judgement {
    let policy = Policy::of(answer, rules);
    let reason = refusal(answer, &policy)
        .or_else(|| key_refusal(answer, rules))
        .or_else(|| cookie_refusal(answer, &policy, rules))
        .or_else(|| vary_refusal(answer.headers, rules));
    if let Some(reason) = reason {
        return Judgement::Refuse(reason);
    }
    let Some(lifetime) = lifetime(answer, &policy, rules) else {
        return Judgement::Refuse(NotStored::NoLifetime);
    };
    Judgement::Store {
        freshness: freshness(lifetime, class(answer.status), &policy.control, rules),
        initial_age: initial_age(answer),
        strip: unstored(answer.headers, &policy.control, rules),
    }
}

/// Whether a stored response may be served stale to a client that agrees (RFC 9111 section
/// 5.2.1.2), whatever the lifetimes say.
#[must_use]
pub fn allows_stale(stored: &HeaderMap, targets: &[HeaderName]) -> bool {
    targeted::directives(stored, targets)
        .unwrap_or_else(|| CacheControl::of(stored))
        .allows_stale()
}

/// Updates the headers of a stored response from a 304 (RFC 9111 section 3.2).
///
/// Every field that the 304 carries replaces the stored one, but for those that describe the bytes
/// at hand. Age and Date go even when the 304 has none: they told the age of the earlier answer.
pub fn merge_not_modified(stored: &mut HeaderMap, fresh: &HeaderMap) {
    stored.remove(AGE);
    stored.remove(DATE);
    let keeps_tag = stored
        .get(ETAG)
        .is_some_and(|tag| fields::is_strong_tag(tag.as_bytes()));
    for name in fresh.keys().filter(|name| is_updated(name, fresh)) {
        // The stored tag names the bytes at hand; a weak one in its place would name them less.
        if keeps_tag && name == ETAG {
            continue;
        }
        stored.remove(name);
        for value in fresh.get_all(name) {
            stored.append(name, value.clone());
        }
    }
}

/// Whether a 200 to HEAD speaks of the bytes of a stored response of `length`: then it updates it as
/// a 304 does, else the stored response is out of date (RFC 9111 section 4.3.5).
///
/// A HEAD without any validator would do by the letter; but it says nothing of the bytes, and to
/// invalidate is allowed as well.
#[must_use]
pub fn confirms_by_head(stored: &HeaderMap, length: Option<u64>, fresh: &HeaderMap) -> bool {
    let has = |name| fresh.contains_key(name);
    let differs = |name| has(name) && stored.get(name) != fresh.get(name);
    let fresh_length = fields::single(fresh, CONTENT_LENGTH);
    let has_other_length = has(&CONTENT_LENGTH)
        && fresh_length.and_then(|text| fields::digits(text.as_bytes())) != length;
    let is_named = has(&ETAG) || has(&LAST_MODIFIED);
    is_named && !differs(&ETAG) && !differs(&LAST_MODIFIED) && !has_other_length
}

/// Whether a 304 speaks of the stored response (RFC 9111 section 4.3.4).
///
/// A strong entity tag that differs from the stored one says that the origin compared with
/// something else: then nothing is confirmed.
#[must_use]
pub fn confirms(stored: &HeaderMap, fresh: &HeaderMap) -> bool {
    match (stored.get(ETAG), fresh.get(ETAG)) {
        (Some(ours), Some(theirs)) if fields::is_strong_tag(theirs.as_bytes()) => {
            fields::weak_match(ours.as_bytes(), theirs.as_bytes())
        }
        _ => true,
    }
}

/// What the origin says about reuse.
struct Policy {
    control: CacheControl,
    /// The lifetime that it names (section 4.2.1).
    explicit: Option<Duration>,
}

impl Policy {
    fn of(answer: &Answer<'_>, rules: &Rules<'_>) -> Self {
        let targeted = targeted::directives(answer.headers, rules.targeted);
        // RFC 9213 section 2.2: Expires is replaced together with Cache-Control.
        let expires = match targeted {
            Some(_) => None,
            None => expires_lifetime(answer),
        };
        let control = targeted.unwrap_or_else(|| CacheControl::of(answer.headers));
        Self {
            explicit: control.s_maxage.or(control.max_age).or(expires),
            control,
        }
    }
}

/// What a status means for storing (RFC 9111 section 3, RFC 9110 section 15.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stored by default.
    Lasting,
    /// Stored by default, for the short time that errors have.
    Negative,
    /// Stored where it names a lifetime or calls itself public, or the site gives it one.
    Forbidden,
    /// The same.
    Failure,
    /// Stored where it names a lifetime or calls itself public.
    Other,
    /// Never stored: no final answer, about the request rather than the object, or for the one
    /// client that asked too much (RFC 6585).
    Never,
}

fn class(status: StatusCode) -> Class {
    match status.as_u16() {
        200 | 203 | 204 | 300 | 301 | 308 => Class::Lasting,
        404 | 405 | 410 | 414 | 501 => Class::Negative,
        403 => Class::Forbidden,
        // Ranges and preconditions of the origin's requests are this cache's own.
        ..200 | 206 | 304 | 412 | 416 | 428 | 429 | 431 | 511 => Class::Never,
        500..600 => Class::Failure,
        _ => Class::Other,
    }
}

/// That there is no such key is no secret.
fn key_refusal(answer: &Answer<'_>, rules: &Rules<'_>) -> Option<NotStored> {
    let is_given = rules.is_key && answer.status.is_success();
    is_given.then_some(NotStored::Key)
}

/// Section 3, but for what follows.
fn refusal(answer: &Answer<'_>, policy: &Policy) -> Option<NotStored> {
    let control = &policy.control;
    // Section 5.2.2.3: who knows the status ignores the no-store beside must-understand.
    let is_understood = answer.status.canonical_reason().is_some();
    let is_for_others = control.public || control.must_revalidate || control.s_maxage.is_some();
    if class(answer.status) == Class::Never || (control.must_understand && !is_understood) {
        Some(NotStored::Status)
    } else if control.no_store && !control.must_understand {
        Some(NotStored::NoStore)
    } else if control.private == Scope::Whole {
        Some(NotStored::Private)
    } else if answer.is_authorized && !is_for_others {
        Some(NotStored::Authorization)
    } else if range::is_part(answer.headers) {
        Some(NotStored::Partial)
    } else {
        None
    }
}

/// A cookie that the origin itself excepts from storing is no reason to refuse the rest.
fn cookie_refusal(answer: &Answer<'_>, policy: &Policy, rules: &Rules<'_>) -> Option<NotStored> {
    let is_stored = answer.headers.contains_key(SET_COOKIE)
        && !excepted(&policy.control).any(|name| name == SET_COOKIE);
    let is_refused = match rules.set_cookie {
        SetCookie::Refuse => true,
        SetCookie::Strip => false,
        SetCookie::Store => policy.explicit.is_none(),
    };
    (is_stored && is_refused).then_some(NotStored::SetCookie)
}

/// Section 4.1. Other fields select one of several stored responses, or nothing at all where the
/// origin sees none of the client's.
fn vary_refusal(headers: &HeaderMap, rules: &Rules<'_>) -> Option<NotStored> {
    if fields::all_members(headers, VARY).any(|name| name == b"*") {
        Some(NotStored::VaryAny)
    } else if rules.sees_clients && vary::names(headers).is_none() {
        Some(NotStored::Vary)
    } else {
        None
    }
}

/// Sections 4.2.1 and 4.2.2; `None` where the status is stored only with a lifetime.
fn lifetime(answer: &Answer<'_>, policy: &Policy, rules: &Rules<'_>) -> Option<Duration> {
    let fallback = &rules.fallback;
    let given = |span: Duration| (!span.is_zero()).then_some(span);
    let by_site = match class(answer.status) {
        Class::Lasting => {
            return policy
                .explicit
                .or_else(|| heuristic(answer, rules))
                .or(Some(fallback.lifetime));
        }
        Class::Negative => return policy.explicit.or(Some(fallback.negative)),
        Class::Forbidden => given(fallback.forbidden),
        Class::Failure => given(fallback.failure),
        Class::Other | Class::Never => None,
    };
    let if_public = || heuristic(answer, rules).filter(|_| policy.control.public);
    policy.explicit.or_else(if_public).or(by_site)
}

/// A share of the time for which the object had not changed (section 4.2.2).
fn heuristic(answer: &Answer<'_>, rules: &Rules<'_>) -> Option<Duration> {
    if rules.heuristic_percent == 0 {
        return None;
    }
    let modified = fields::single_date(answer.headers, LAST_MODIFIED)?;
    let unchanged = date_or_arrival(answer).since(modified);
    let share = unchanged.saturating_mul(rules.heuristic_percent) / 100;
    Some(share.min(rules.heuristic_max))
}

fn freshness(
    lifetime: Duration,
    class: Class,
    control: &CacheControl,
    rules: &Rules<'_>,
) -> Freshness {
    if control.no_cache == Scope::Whole {
        return Freshness::default();
    }
    let (refresh, failure) = stale_spans(control, class, &rules.fallback);
    Freshness {
        lifetime,
        stale_while_revalidate: refresh,
        stale_if_error: failure,
    }
}

/// While a refresh runs, and while the origin fails (RFC 5861).
///
/// `s-maxage` implies `proxy-revalidate` (RFC 9111 section 5.2.2.10), which rules out the site's
/// defaults; where the origin itself writes a stale directive beside it, that is what it wants.
fn stale_spans(control: &CacheControl, class: Class, fallback: &Fallback) -> (Duration, Duration) {
    if control.must_revalidate || control.proxy_revalidate {
        return (Duration::ZERO, Duration::ZERO);
    }
    let (refresh, failure) = match class == Class::Lasting && control.s_maxage.is_none() {
        true => (fallback.stale_while_revalidate, fallback.stale_if_error),
        false => (Duration::ZERO, Duration::ZERO),
    };
    (
        control.stale_while_revalidate.unwrap_or(refresh),
        control.stale_if_error.unwrap_or(failure),
    )
}

/// The fields that the origin excepts from storing or from reuse, which comes to the same: a reuse
/// without them is allowed, and with them it would need a validation each time.
fn excepted(control: &CacheControl) -> impl Iterator<Item = &HeaderName> {
    control
        .no_cache
        .fields()
        .iter()
        .chain(control.private.fields())
}

/// The fields at hand that are not stored.
fn unstored(headers: &HeaderMap, control: &CacheControl, rules: &Rules<'_>) -> Vec<HeaderName> {
    let cookie = (rules.set_cookie == SetCookie::Strip).then_some(&SET_COOKIE);
    let mut names: Vec<_> = excepted(control)
        .chain(cookie)
        .filter(|name| headers.contains_key(*name))
        .cloned()
        .collect();
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    names
}

/// Section 5.3: an Expires that is malformed, or contradicts another, lies in the past.
fn expires_lifetime(answer: &Answer<'_>) -> Option<Duration> {
    let mut values = answer.headers.get_all(EXPIRES).iter();
    let first = values.next()?;
    let moment = fields::date(first).filter(|_| values.all(|other| other == first));
    let base = date_or_arrival(answer);
    Some(moment.map_or(Duration::ZERO, |moment| moment.since(base)))
}

/// Section 4.2.3. Date has whole seconds: a fraction of one is no age, or a lifetime of a second
/// (live playlists) would often be over on arrival.
fn initial_age(answer: &Answer<'_>) -> Duration {
    let apparent = answer.arrived.since(date_or_arrival(answer)).as_secs();
    let delay = answer.arrived.since(answer.asked);
    let corrected = Duration::from_secs(age_value(answer.headers)).saturating_add(delay);
    corrected.max(Duration::from_secs(apparent))
}

/// Section 5.1: the first member of a list, and nothing when it is no number.
fn age_value(headers: &HeaderMap) -> u64 {
    fields::all_members(headers, AGE)
        .next()
        .and_then(fields::digits)
        .map_or(0, |seconds| seconds.min(fields::DELTA_SECONDS_MAX))
}

fn date_or_arrival(answer: &Answer<'_>) -> UnixMillis {
    fields::single_date(answer.headers, DATE).unwrap_or(answer.arrived)
}

fn is_updated(name: &HeaderName, fresh: &HeaderMap) -> bool {
    !KEPT.contains(name)
        && !name.as_str().starts_with("proxy-")
        && !fields::all_members(fresh, CONNECTION)
            .any(|nominated| nominated.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Fields that an update never changes: without them the stored bytes cannot be read, or they
/// belong to one connection (RFC 9111 sections 3.1 and 3.2).
const KEPT: [HeaderName; 9] = [
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    TRANSFER_ENCODING,
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    UPGRADE,
];

#[cfg(test)]
mod tests;
