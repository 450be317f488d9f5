//! Which requests a stored response answers: `Vary` (RFC 9111 section 4.1). Pure.
//!
//! Values are compared in a normal form, so that requests which mean the same share a response.
//! Only what the origin sees counts ([`Fields`]): it cannot depend on anything else.
//!
//! Values that are long or secret are kept as hashes, which bounds a selection and keeps
//! credentials out of records.

use std::borrow::Cow;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_LANGUAGE, COOKIE, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT, VARY,
};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use crate::http::fields;
use crate::http::forward::{self, Fields};
use crate::limits::{VARY_FIELDS_MAX, VARY_VALUE_BYTES_MAX};

/// The fields that selected a stored response, with their normalised values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Each field with its normalised value; `None` where the request did not have it. Sorted by
    /// name, each name once.
    members: Box<[(HeaderName, Option<HeaderValue>)]>,
    /// The one language of the response, in lower case, where language selects.
    language: Option<HeaderValue>,
}

/// Names one variant of an object: a hash over the names and normalised values that select it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant(pub u64);

impl Selection {
    /// What selected `response` among the answers to requests with `fields`; `None` where it
    /// answers every request. A response whose [`names`] cannot be told is never stored, so it has
    /// none either.
    #[must_use]
    pub fn of(response: &HeaderMap, fields: &Fields) -> Option<Self> {
        if !fields.sees_client() {
            return None;
        }
        let names = names(response).filter(|names| !names.is_empty())?;
        let members = names
            .into_iter()
            .map(|name| {
                let value = normal(&name, fields).and_then(|value| value_of(&value));
                (name, value)
            })
            .collect();
        Some(Self::from_members(members).speaking(response))
    }

    /// Whether a request with `fields` selects the same response.
    #[must_use]
    pub fn suits(&self, fields: &Fields) -> bool {
        self.members.iter().all(|(name, stored)| {
            let same = stands_as_stored(name, stored.as_ref(), fields)
                || normal(name, fields).as_deref() == stored.as_ref().map(HeaderValue::as_bytes);
            same || (name == ACCEPT_LANGUAGE && self.is_preferred(fields))
        })
    }

    /// Which variant a request with `fields` selects by the same names.
    #[must_use]
    pub fn variant(&self, fields: &Fields) -> Variant {
        let mut hash = Xxh3::new();
        for (name, _) in &self.members {
            hash.update(name.as_str().as_bytes());
            // No name or value holds a line feed or a NUL, so that no two lists look the same.
            match normal(name, fields) {
                Some(value) => {
                    hash.update(b"\n");
                    hash.update(&value);
                }
                None => hash.update(b"\0"),
            }
            hash.update(b"\n");
        }
        Variant(hash.digest())
    }

    /// Whether another response is selected by the same names.
    #[must_use]
    pub fn has_names_of(&self, other: &Self) -> bool {
        let theirs = other.members.iter().map(|(name, _)| name);
        self.members.iter().map(|(name, _)| name).eq(theirs)
    }

    /// The members, for records.
    #[must_use]
    pub fn members(&self) -> &[(HeaderName, Option<HeaderValue>)] {
        &self.members
    }

    /// Puts together what a record holds.
    #[must_use]
    pub fn from_members(members: Vec<(HeaderName, Option<HeaderValue>)>) -> Self {
        Self {
            members: members.into_boxed_slice(),
            language: None,
        }
    }

    /// Notes the language of the response that this selects.
    ///
    /// A request that prefers that language to every other can get no better answer, whatever else
    /// it accepts (RFC 9111 section 4.1 leaves such matching to the cache). Records hold no
    /// language; who reads one calls this with the headers beside it, or loses these reuses only.
    #[must_use]
    pub fn speaking(self, response: &HeaderMap) -> Self {
        let selects = self.members.iter().any(|(name, _)| name == ACCEPT_LANGUAGE);
        let language = fields::single(response, CONTENT_LANGUAGE)
            .filter(|_| selects)
            .map(|value| value.as_bytes().trim_ascii())
            .filter(|tag| is_language(tag))
            .and_then(|tag| HeaderValue::from_bytes(&tag.to_ascii_lowercase()).ok());
        Self { language, ..self }
    }

    /// Whether the request prefers the language of the response to every other.
    fn is_preferred(&self, fields: &Fields) -> bool {
        let Some(ours) = &self.language else {
            return false;
        };
        let mut best: Option<(&[u8], u16)> = None;
        let mut is_alone = false;
        for member in fields::all_members(fields.headers(), ACCEPT_LANGUAGE) {
            let (tag, Some(weight)) = fields::weighted(member) else {
                return false;
            };
            match best {
                Some((_, highest)) if weight < highest => {}
                Some((_, highest)) if weight == highest => is_alone = false,
                _ => {
                    best = Some((tag, weight));
                    is_alone = true;
                }
            }
        }
        is_alone
            && best.is_some_and(|(tag, weight)| {
                weight > 0 && tag.eq_ignore_ascii_case(ours.as_bytes())
            })
    }
}

/// The fields that a response depends on, sorted, each once; `*` is not among them.
///
/// `None` where they cannot be told or are too many to compare: nothing then says which requests
/// such a response answers.
#[must_use]
pub fn names(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for member in fields::all_members(response, VARY).filter(|member| *member != b"*") {
        let name = HeaderName::from_bytes(member).ok()?;
        if let Err(at) =
            names.binary_search_by(|known: &HeaderName| known.as_str().cmp(name.as_str()))
        {
            names.insert(at, name);
        }
        if names.len() > VARY_FIELDS_MAX {
            return None;
        }
    }
    Some(names)
}

/// Whether a request has, in one field, the very bytes of the stored normal form, which needs no
/// further look: normal forms are their own.
fn stands_as_stored(name: &HeaderName, stored: Option<&HeaderValue>, fields: &Fields) -> bool {
    let Some(stored) = stored.filter(|value| !value.as_bytes().starts_with(HASHED)) else {
        return false;
    };
    fields::single(fields.headers(), name.clone()).is_some_and(|value| value == stored)
        && !SECRET.contains(name)
}

/// The value of a field in its normal form; `None` where the request does not have it.
fn normal<'a>(name: &HeaderName, fields: &'a Fields) -> Option<Cow<'a, [u8]>> {
    let headers = fields.headers();
    let first = headers.get(name)?;
    let value = if name == ACCEPT_ENCODING {
        Cow::Borrowed(forward::codings(headers).as_bytes())
    } else if name == ACCEPT_LANGUAGE {
        Cow::Owned(
            languages(headers).unwrap_or_else(|| spaceless(name, headers).to_ascii_lowercase()),
        )
    } else if SINGLE.contains(name) && fields::single(headers, name.clone()).is_some() {
        Cow::Borrowed(first.as_bytes())
    } else {
        Cow::Owned(spaceless(name, headers))
    };
    let must_hash =
        SECRET.contains(name) || value.len() > VARY_VALUE_BYTES_MAX || value.starts_with(HASHED);
    Some(if must_hash {
        Cow::Owned(hashed(&value))
    } else {
        value
    })
}

/// Every field of one name as one list, without space around its commas (RFC 9110 section 5.6.1).
/// Empty members stay: who knows what they mean to a field that is no list.
fn spaceless(name: &HeaderName, headers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    for value in headers.get_all(name) {
        for piece in fields::pieces(value.as_bytes()) {
            text.extend_from_slice(piece);
            text.push(b',');
        }
    }
    text.pop();
    text
}

/// Accept-Language by preference, then by name, without what is implied; `None` where a weight
/// cannot be read, or what should be a language is none (RFC 9110 section 12.5.4).
fn languages(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut ranges = Vec::new();
    for member in fields::all_members(headers, ACCEPT_LANGUAGE) {
        let (tag, weight) = fields::weighted(member);
        let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || b"-*".contains(byte);
        if !tag.iter().all(is_tag) {
            return None;
        }
        ranges.push((std::cmp::Reverse(weight?), tag.to_ascii_lowercase()));
    }
    ranges.sort_unstable();
    ranges.dedup();
    let mut text = Vec::new();
    for (std::cmp::Reverse(weight), tag) in ranges {
        text.extend_from_slice(&tag);
        if weight < fields::WEIGHT_MAX {
            text.extend_from_slice(format!(";q=0.{weight:03}").as_bytes());
        }
        text.push(b',');
    }
    text.pop();
    Some(text)
}

/// Whether this is one language tag as far as comparing needs to know.
fn is_language(tag: &[u8]) -> bool {
    !tag.is_empty()
        && tag.len() <= LANGUAGE_BYTES_MAX
        && tag
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn hashed(value: &[u8]) -> Vec<u8> {
    let mut text = HASHED.to_vec();
    for byte in Sha256::digest(value) {
        text.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    text
}

fn value_of(normal: &[u8]) -> Option<HeaderValue> {
    // What is made of values is one.
    HeaderValue::from_bytes(normal).ok()
}

/// How a hash in place of a value begins. A value that begins so is hashed as well, so that no
/// client can name the hash of another's.
const HASHED: &[u8] = b"sha256-";

/// Values that are nobody else's business.
const SECRET: [HeaderName; 2] = [AUTHORIZATION, COOKIE];

/// Fields that are no lists, so that space around a comma belongs to them.
const SINGLE: [HeaderName; 5] = [AUTHORIZATION, COOKIE, ORIGIN, REFERER, USER_AGENT];

/// Longest language tag that is compared (RFC 5646 section 4.4.1).
const LANGUAGE_BYTES_MAX: usize = 35;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{prop, proptest};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        map
    }

    fn selection(
        vary: &'static str,
        request: &[(&'static str, &'static str)],
    ) -> Option<Selection> {
        Selection::of(&headers(&[("vary", vary)]), &Fields::of(&headers(request)))
    }

    /// A request of lines apart by bars.
    fn request(lines: &str) -> Arc<Fields> {
        let mut map = HeaderMap::new();
        for line in lines.split(" | ").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Fields::of(&map)
    }

    /// Whether two requests share an answer, by comparison and by variant.
    fn check(vary: &str, stored: &Fields, presented: &Fields, expected: bool) {
        let mut response = HeaderMap::new();
        response.insert(VARY, HeaderValue::from_str(vary).unwrap());
        let selection = Selection::of(&response, stored).unwrap();
        let what = format!("{vary}: {stored:?} {presented:?}");
        assert_eq!(selection.suits(presented), expected, "{what}");
        let same = selection.variant(presented) == selection.variant(stored);
        assert_eq!(same, expected, "variant of {what}");
    }

    #[test]
    fn requests_that_mean_the_same_select_the_same() {
        let cases = [
            ("foo", "foo: 1", "foo: 1", true),
            ("Foo", "foo: 1", "foo: 2", false),
            ("foo", "", "foo: 1", false),
            ("foo", "foo: 1", "", false),
            ("foo", "", "foo: ", false),
            ("foo", "", "bar: 1", true),
            ("foo", "foo: 1 | bar: 1", "foo: 1 | bar: 2", true),
            ("foo, bar", "foo: 1 | bar: a", "bar: a | foo: 1", true),
            ("foo, bar", "foo: 1 | bar: a", "foo: 1 | bar: b", false),
            ("foo, bar", "foo: 1 | bar: a", "foo: a | bar: 1", false),
            ("foo, bar, baz", "foo: 1 | baz: 7", "foo: 1 | baz: 7", true),
            ("foo", "foo: 1, 2", "foo: 1 | foo: 2", true),
            ("foo", "foo: 1,2", "foo:  1 ,  2 ", true),
            ("foo", "foo: 1,2", "foo: 1,,2", false),
            ("foo", "foo: 1,2", "foo: 1 2", false),
            ("foo", "foo: \"1, 2\"", "foo: \"1,2\"", false),
            ("foo", "foo: A", "foo: a", false),
            ("user-agent", "user-agent: a, b", "user-agent: a,b", false),
            (
                "cookie",
                "cookie: a=1; b=2",
                "cookie: a=1 | cookie: b=2",
                true,
            ),
            ("cookie", "cookie: a=1", "cookie: a=2", false),
            ("range", "range: bytes=0-1", "", true),
            ("x-forwarded-for", "x-forwarded-for: 192.0.2.1", "", true),
            ("*, foo", "foo: 1", "foo: 1", true),
        ];
        for (vary, stored, presented, expected) in cases {
            check(vary, &request(stored), &request(presented), expected);
        }
    }

    #[test]
    fn codings_and_languages_are_compared_by_what_they_mean() {
        let cases = [
            (ACCEPT_ENCODING, "gzip, br", "br,gzip;q=0.1", true),
            (ACCEPT_ENCODING, "gzip", "gzip;q=0", false),
            (ACCEPT_ENCODING, "", "identity, deflate", true),
            (ACCEPT_LANGUAGE, "en, de", "de, en", true),
            (ACCEPT_LANGUAGE, "en, de", "eN, De", true),
            (ACCEPT_LANGUAGE, "en, de", " en ,   de", true),
            (ACCEPT_LANGUAGE, "en, de", "De ,  eN;q=1.0", true),
            (ACCEPT_LANGUAGE, "en, de", "en, de;q=0.9", false),
            (
                ACCEPT_LANGUAGE,
                "en;q=0.2, de;q=0.5",
                "de;q=0.50, en;q=0.2",
                true,
            ),
            (ACCEPT_LANGUAGE, "en;q=x", "en;q=0", false),
            (ACCEPT_LANGUAGE, "EN;q=x", "en;q=x", true),
        ];
        for (name, stored, presented, expected) in cases {
            let with = |value: &str| request(&format!("{name}: {value}"));
            check(name.as_str(), &with(stored), &with(presented), expected);
        }
    }

    #[test]
    fn nothing_selects_where_the_origin_sees_no_client_or_names_no_field() {
        let response = headers(&[("vary", "foo")]);
        assert_eq!(Selection::of(&response, &Fields::none()), None);
        assert_eq!(selection(" , ,", &[("foo", "1")]), None);
        assert_eq!(selection("*", &[("foo", "1")]), None);
        let request = Fields::of(&headers(&[("foo", "1")]));
        assert_eq!(Selection::of(&HeaderMap::new(), &request), None);
        assert!(Selection::default().suits(&request));
    }

    #[test]
    fn names_are_sorted_and_told_apart() {
        let members = |vary| selection(vary, &[]).map(|it| it.members().to_vec());
        assert_eq!(members("b, A, B,a"), members("a,b"));
        assert_eq!(members("a, b").unwrap().len(), 2);
        let of = |vary| selection(vary, &[("a", "1")]).unwrap();
        assert!(of("a, b").has_names_of(&of("B, a")));
        assert!(!of("a, b").has_names_of(&of("a")));
        assert!(!of("a").has_names_of(&of("b")));
    }

    #[test]
    fn names_that_cannot_be_told_are_none_at_all() {
        assert_eq!(names(&headers(&[("vary", "a, b c")])), None);
        let count = |count: usize| {
            let list: Vec<_> = (0..count).map(|i| format!("x{i}")).collect();
            let mut map = HeaderMap::new();
            map.insert(VARY, HeaderValue::from_str(&list.join(",")).unwrap());
            names(&map).map(|names| names.len())
        };
        assert_eq!(count(VARY_FIELDS_MAX), Some(VARY_FIELDS_MAX));
        assert_eq!(count(VARY_FIELDS_MAX + 1), None);
    }

    #[test]
    fn a_request_gets_the_language_that_it_prefers_to_every_other() {
        let cases = [
            ("de", "fr;q=0.5, de;q=1.0", true),
            ("DE", "de", true),
            ("de", "en, de", true),
            ("de", "fr, de", false),
            ("de", "de;q=0.9, fr", false),
            ("de", "de-at, fr;q=0.5", false),
            ("de", "de;q=0", false),
            ("de", "*", false),
            ("de", "de, fr;q=x", false),
            ("de, fr", "de", false),
            ("", "de", false),
        ];
        for (language, accepted, expected) in cases {
            let response = headers(&[("vary", "accept-language"), ("content-language", language)]);
            let stored = Fields::of(&headers(&[("accept-language", "en, de")]));
            let selection = Selection::of(&response, &stored).unwrap();
            let presented = headers(&[("accept-language", accepted)]);
            let got = selection.suits(&Fields::of(&presented));
            assert_eq!(got, expected, "{language}: {accepted}");
        }
        let response = headers(&[("vary", "accept-language, foo"), ("content-language", "de")]);
        let selection = Selection::of(&response, &Fields::of(&HeaderMap::new())).unwrap();
        let other = headers(&[("accept-language", "de"), ("foo", "1")]);
        assert!(!selection.suits(&Fields::of(&other)));
        let read = Selection::from_members(selection.members().to_vec());
        assert_eq!(read.speaking(&response), selection);
    }

    #[test]
    fn secrets_and_long_values_are_kept_as_hashes_that_nobody_can_name() {
        let long: &'static str = Box::leak("x".repeat(VARY_VALUE_BYTES_MAX + 1).into_boxed_str());
        for (vary, value) in [
            ("cookie", "a=1"),
            ("authorization", "Basic eA=="),
            ("foo", long),
        ] {
            let stored = selection(vary, &[(vary, value)]).unwrap();
            let [(_, Some(kept))] = stored.members() else {
                panic!("{vary} has no value");
            };
            assert!(kept.as_bytes().starts_with(HASHED) && kept.len() < VARY_VALUE_BYTES_MAX);
            assert!(stored.suits(&Fields::of(&headers(&[(vary, value)]))));
            let mut named = HeaderMap::new();
            named.insert(HeaderName::from_static(vary), kept.clone());
            assert!(!stored.suits(&Fields::of(&named)), "{vary}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(
            name in prop::sample::select(vec!["foo", "accept-language", "accept-encoding"]),
            value in "[a-c ,;=q\"0-1.]{0,24}",
        ) {
            let name = HeaderName::from_static(name);
            let with = |value: &[u8]| {
                let mut map = HeaderMap::new();
                map.insert(name.clone(), HeaderValue::from_bytes(value).unwrap());
                Fields::of(&map)
            };
            let once = normal(&name, &with(value.as_bytes())).unwrap().into_owned();
            let twice = normal(&name, &with(&once)).unwrap().into_owned();
            assert_eq!(once, twice);
        }
    }
}
