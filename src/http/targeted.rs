//! Fields that speak to some caches only, in place of `Cache-Control` (RFC 9213). Pure.
//!
//! They are dictionaries (RFC 9651), in which a single fault makes the whole field void: then the
//! next target counts, and `Cache-Control` last.

use http::header::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::http::cache_control::{Argument, CacheControl};

/// The directives of the first of `targets` that is there, is a dictionary, and is not empty.
///
/// They stand in for `Cache-Control` and `Expires` together (section 2.2). A lifetime of another
/// type than a number is none at all, so that it has ended (RFC 9111 section 4.2.1).
#[must_use]
pub fn directives(headers: &HeaderMap, targets: &[HeaderName]) -> Option<CacheControl> {
    targets
        .iter()
        .find_map(|target| dictionary(headers, target))
        .map(|members| read(&members))
}

fn dictionary(headers: &HeaderMap, target: &HeaderName) -> Option<Dictionary> {
    let mut lines = headers.get_all(target).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    // Names of directives have no case (RFC 9111 section 5.2), keys have lower case only: `Max-Age`
    // would void a field that means what it says. No value of a directive depends on case.
    text.make_ascii_lowercase();
    let members: Dictionary = Parser::new(&text).parse().ok()?;
    (!members.is_empty()).then_some(members)
}

fn read(members: &Dictionary) -> CacheControl {
    let mut control = CacheControl::default();
    for (name, entry) in members {
        let argument = match entry {
            ListEntry::InnerList(_) => Argument::Foreign,
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::Boolean(false) => continue,
                BareItem::Boolean(true) => Argument::Absent,
                BareItem::Integer(number) => Argument::Number(i64::from(*number)),
                BareItem::String(names) => Argument::Names(names.as_str().as_bytes()),
                BareItem::Token(name) => Argument::Names(name.as_str().as_bytes()),
                BareItem::Decimal(_)
                | BareItem::ByteSequence(_)
                | BareItem::Date(_)
                | BareItem::DisplayString(_) => Argument::Foreign,
            },
        };
        control.take(name.as_str().as_bytes(), argument);
    }
    control
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::http::cache_control::Scope;

    const TARGETS: [HeaderName; 2] = [
        HeaderName::from_static("weir-cache-control"),
        HeaderName::from_static("cdn-cache-control"),
    ];

    fn read_lines(lines: &[(&'static str, &'static str)]) -> Option<CacheControl> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        directives(&headers, &TARGETS)
    }

    #[test]
    fn the_first_target_that_is_a_dictionary_counts() {
        let (weir, cdn) = ("weir-cache-control", "cdn-cache-control");
        let cases: [(&[_], Option<u64>); 8] = [
            (&[(cdn, "max-age=5"), (weir, "max-age=6")], Some(6)),
            (&[(cdn, "max-age=5"), (weir, "")], Some(5)),
            (&[(cdn, "max-age=5"), (weir, "max-age=6, &&&")], Some(5)),
            (&[(cdn, "max-age=5"), (cdn, "max-age=7")], Some(7)),
            (&[(cdn, "foobar"), (cdn, "max-age=7")], Some(7)),
            (&[(cdn, "max-age=5"), (cdn, ",")], None),
            (&[(cdn, "")], None),
            (&[("cache-control", "max-age=5")], None),
        ];
        for (lines, expected) in cases {
            let got = read_lines(lines).and_then(|control| control.max_age);
            assert_eq!(got, expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn lifetimes_are_integers_or_over() {
        let cases = [
            ("max-age=3600", Some(Some(3600))),
            ("max-age=2147483648", Some(Some(1 << 31))),
            ("max-age=99999999999", Some(Some(1 << 31))),
            ("max-age=3600;x=1", Some(Some(3600))),
            ("MaX-aGe=3600", Some(Some(3600))),
            ("max-age=0", Some(Some(0))),
            ("max-age=-1", Some(Some(0))),
            ("max-age=1.5", Some(Some(0))),
            ("max-age=\"3600\"", Some(Some(0))),
            ("max-age=a", Some(Some(0))),
            ("max-age", Some(Some(0))),
            ("max-age=(3600)", Some(Some(0))),
            ("max-age=?0", Some(None)),
            ("foo", Some(None)),
            ("max-age =100", None),
            ("max-age= 100", None),
            ("max-age=10000, &&&&&", None),
            ("max-age=9999999999999999", None),
        ];
        for (value, expected) in cases {
            let got = read_lines(&[("cdn-cache-control", value)])
                .map(|control| control.max_age.map(|span| span.as_secs()));
            assert_eq!(got, expected, "{value}");
        }
    }

    #[test]
    fn other_directives_are_booleans_or_names() {
        let all = "no-store, must-revalidate, no-cache=\"a, B\", private=x, stale-if-error=5, \
                   public=?0";
        let control = read_lines(&[("cdn-cache-control", all)]).unwrap();
        assert!(control.no_store && control.must_revalidate && !control.public);
        let names = |list: &[&'static str]| {
            Scope::Fields(
                list.iter()
                    .map(|name| HeaderName::from_static(name))
                    .collect(),
            )
        };
        assert_eq!(control.no_cache, names(&["a", "b"]));
        assert_eq!(control.private, names(&["x"]));
        assert_eq!(control.stale_if_error, Some(Duration::from_secs(5)));
        for value in ["private", "private=(a)", "private=1"] {
            let control = read_lines(&[("cdn-cache-control", value)]).unwrap();
            assert_eq!(control.private, Scope::Whole, "{value}");
        }
    }
}
