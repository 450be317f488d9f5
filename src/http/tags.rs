//! Tags: names by which an origin lets responses be purged together. Pure.
//!
//! `Cache-Tag` (separated by commas), `Surrogate-Key` (by spaces) and `Cache-Groups` (RFC 9875)
//! name into one space for each site: who purges a name means whatever carries it.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, List, ListEntry, Parser};

use crate::limits::{GROUPS_MAX, TAGS_MAX};

/// A tag of one site, as a hash of both: two that collide are purged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag `name` of `site`.
    #[must_use]
    pub fn of(site: &str, name: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(
            &[site.as_bytes(), b" ", name].concat(),
        ))
    }
}

/// The tags of a response of `site`, sorted, each once; `None` where there are more than are
/// remembered, which must not be stored, since a purge by one of them would miss it.
#[must_use]
pub fn tags(site: &str, response: &HeaderMap) -> Option<Box<[Tag]>> {
    let commas = names(response, CACHE_TAG, b",");
    let spaces = names(response, SURROGATE_KEY, b" \t");
    // One more than is remembered tells that there are too many.
    let mut tags: Vec<_> = commas
        .chain(spaces)
        .take(TAGS_MAX + 1)
        .map(|name| Tag::of(site, name))
        .collect();
    let groups = groups(response, CACHE_GROUPS);
    let groups = groups.iter().map(|name| Tag::of(site, name.as_bytes()));
    tags.extend(groups.take(TAGS_MAX + 1));
    tags.sort_unstable();
    tags.dedup();
    (tags.len() <= TAGS_MAX).then(|| tags.into_boxed_slice())
}

/// The groups that an answer to an unsafe method makes invalid (RFC 9875), as names of
/// tags, each once; of more than `GROUPS_MAX` the first.
#[must_use]
pub fn group_invalidations(answer: &HeaderMap) -> Vec<String> {
    let mut groups = groups(answer, CACHE_GROUP_INVALIDATION);
    groups.sort_unstable();
    groups.dedup();
    groups.truncate(GROUPS_MAX);
    groups
}

fn names<'a>(
    headers: &'a HeaderMap,
    field: HeaderName,
    separators: &'static [u8],
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| separators.contains(byte)))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// The members of a list of strings (RFC 9875). A list with a fault is no list (RFC 9651 section
/// 4.2), and a member that is no string names no group.
fn groups(headers: &HeaderMap, field: HeaderName) -> Vec<String> {
    let lines: Vec<_> = headers
        .get_all(field)
        .iter()
        .map(|value| value.as_bytes())
        .collect();
    let text = lines.join(&b", "[..]);
    let list: List = Parser::new(&text).parse().unwrap_or_default();
    list.into_iter()
        .filter_map(|member| match member {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::String(name) => Some(name.as_str().to_owned()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        })
        .collect()
}

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn named(names: &[&str]) -> Box<[Tag]> {
        let mut tags: Vec<_> = names
            .iter()
            .map(|name| Tag::of("vod", name.as_bytes()))
            .collect();
        tags.sort_unstable();
        tags.into()
    }

    #[test]
    fn tags_are_read_from_three_fields_sorted_and_once() {
        let cases: [(&[_], &[&str]); 9] = [
            (&[], &[]),
            (&[("cache-tag", "a, b ,, c d")], &["a", "b", "c d"]),
            (&[("cache-tag", "a"), ("cache-tag", "b,a")], &["a", "b"]),
            (&[("surrogate-key", " a  b\tc,d ")], &["a", "b", "c,d"]),
            (&[("cache-groups", "\"a, b\", \"c\";x=1")], &["a, b", "c"]),
            (&[("cache-groups", "\"a\", b, 3, (\"c\")")], &["a"]),
            (
                &[("cache-groups", "\"a\""), ("cache-groups", "\"b\"")],
                &["a", "b"],
            ),
            (&[("cache-groups", "\"a\", \"b")], &[]),
            (
                &[
                    ("cache-tag", "A"),
                    ("surrogate-key", "a"),
                    ("cache-groups", "\"a\""),
                ],
                &["A", "a"],
            ),
        ];
        for (lines, expected) in cases {
            let got = tags("vod", &headers(lines));
            assert_eq!(got, Some(named(expected)), "{lines:?}");
        }
        let one = headers(&[("cache-tag", "a")]);
        assert_ne!(tags("live", &one), tags("vod", &one));
    }

    #[test]
    fn more_tags_than_are_remembered_are_none() {
        let list = |count: usize, first: usize| {
            let names: Vec<_> = (first..first + count).map(|i| format!("\"{i}\"")).collect();
            names.join(",")
        };
        let of =
            |lines: &[(&'static str, &str)]| tags("vod", &headers(lines)).map(|tags| tags.len());
        let (full, more) = (list(TAGS_MAX, 0), list(TAGS_MAX + 1, 0));
        assert_eq!(of(&[("cache-tag", &full)]), Some(TAGS_MAX));
        assert_eq!(of(&[("cache-tag", &more)]), None);
        assert_eq!(of(&[("cache-groups", &full)]), Some(TAGS_MAX));
        assert_eq!(of(&[("cache-groups", &more)]), None);
        assert_eq!(of(&[("cache-tag", &full), ("cache-groups", "\"x\"")]), None);
        let twice = format!("{full}, {}", list(1, TAGS_MAX));
        assert_eq!(of(&[("cache-tag", &full), ("surrogate-key", &twice)]), None);
    }

    #[test]
    fn an_answer_names_the_groups_that_it_makes_invalid() {
        let field = "cache-group-invalidation";
        let cases: [(&str, &[&str]); 4] = [
            ("\"b\", \"a\", \"b\"", &["a", "b"]),
            ("a", &[]),
            ("\"a\", ", &[]),
            ("", &[]),
        ];
        for (value, expected) in cases {
            let got = group_invalidations(&headers(&[(field, value)]));
            assert_eq!(got, expected, "{value}");
        }
        let many: Vec<_> = (0..=GROUPS_MAX).map(|i| format!("\"{i}\"")).collect();
        let got = group_invalidations(&headers(&[(field, &many.join(","))]));
        assert_eq!(got.len(), GROUPS_MAX);
    }
}
