//! `Link` (RFC 8288): which objects an answer is related to. Pure.

use http::HeaderMap;
use http::header::LINK;

use crate::http::fields;

/// The target of the first link of relation `next`, as written.
#[must_use]
pub fn next(headers: &HeaderMap) -> Option<&str> {
    fields::all_members(headers, LINK).find_map(|member| {
        let (target, parameters) = std::str::from_utf8(member)
            .ok()?
            .strip_prefix('<')?
            .split_once('>')?;
        let mut relations = parameters.split(';').filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel").then_some(value)
        });
        // Of several `rel` the first counts (section 3.3).
        let mut relation = relations.next()?.split_ascii_whitespace();
        let is_next = relation.any(|name| name.eq_ignore_ascii_case("next"));
        (is_next && !target.is_empty()).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_link_to_what_is_next_is_found() {
        for (lines, expected) in [
            (&["<2.ts>; rel=next"][..], Some("2.ts")),
            (&["<2.ts>;REL=\"prefetch Next\";as=video"], Some("2.ts")),
            (&["<a,b.ts>; rel=\"next\""], None),
            (&["</up>; rel=up, <2.ts>; rel=next"], Some("2.ts")),
            (&["<up>; rel=up", "<2.ts> ; rel = next"], Some("2.ts")),
            (&["<1.ts>; rel=prev; rel=next"], None),
            (&["<1.ts>; title=\"rel=next\""], None),
            (&["<>; rel=next"], None),
            (&["2.ts; rel=next"], None),
            (&["<2.ts"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(LINK, HeaderValue::from_static(line));
            }
            assert_eq!(next(&headers), expected, "{lines:?}");
        }
    }
}
