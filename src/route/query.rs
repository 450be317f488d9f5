//! The canonical query: what a site keeps, sorted by name.
//!
//! A parameter is kept as it was written but for escapes: `a` and `a=` differ, and so does the
//! order of two values of one name. `CMCD` (CTA-5004) tells of the player and never of the object:
//! it is part of no key and no origin request, whatever a site keeps.

use crate::config::QueryPolicy;
use crate::route::Refusal;
use crate::route::path::{Octet, Octets, is_pchar, is_unreserved};

/// Turns a query as received, without `?`, into the canonical one; `None` when nothing is left.
/// Parameters named in `own` are for this node and left out, whatever the site keeps.
///
/// # Errors
/// [`Refusal::Control`] for control characters and spaces whatever the policy, since no client
/// may send them; [`Refusal::Escape`] for malformed escapes where the query is kept.
pub fn canonical(raw: &str, policy: &QueryPolicy, own: &[&str]) -> Result<Option<String>, Refusal> {
    if raw.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
        return Err(Refusal::Control);
    }
    if raw.contains('#') {
        return Err(Refusal::TargetForm);
    }
    let kept: Box<dyn Fn(&str) -> bool> = match policy {
        QueryPolicy::Drop => return Ok(None),
        QueryPolicy::Keep(names) => Box::new(move |name| names.iter().any(|kept| kept == name)),
        QueryPolicy::KeepAll => Box::new(|_| true),
    };
    let mut parameters = Vec::new();
    for raw in raw.split('&').filter(|raw| !raw.is_empty()) {
        let parameter = respell(raw)?;
        let name = name_of(&parameter)?;
        let is_ours = name.eq_ignore_ascii_case(CMCD) || own.contains(&name.as_str());
        if !is_ours && kept(&name) {
            parameters.push((name, parameter));
        }
    }
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    let parameters: Vec<_> = parameters.into_iter().map(|(_, text)| text).collect();
    Ok((!parameters.is_empty()).then(|| parameters.join("&")))
}

/// Decodes escapes of unreserved characters only: in a query the others may separate.
fn respell(raw: &str) -> Result<String, Refusal> {
    let mut text = String::with_capacity(raw.len());
    for octet in Octets(raw.bytes()) {
        let Octet { value, escaped } = octet?;
        let literal = match escaped {
            true => is_unreserved(value),
            false => is_pchar(value) || matches!(value, b'/' | b'?'),
        };
        match literal {
            true => text.push(char::from(value)),
            false => text.push_str(&format!("%{value:02X}")),
        }
    }
    Ok(text)
}

/// The decoded name, lossy where it is not UTF-8: it is compared, never sent.
fn name_of(parameter: &str) -> Result<String, Refusal> {
    let name = parameter
        .split_once('=')
        .map_or(parameter, |(name, _)| name);
    let octets = Octets(name.bytes()).map(|octet| octet.map(|octet| octet.value));
    let octets: Vec<u8> = octets.collect::<Result<_, _>>()?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

const CMCD: &str = "CMCD";

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn the_policy_decides_what_is_kept_and_cmcd_never_is() {
        let keep = || QueryPolicy::Keep(vec!["v".into(), "_HLS_msn".into()]);
        let cases = [
            ("v=1&b=2", QueryPolicy::Drop, None),
            ("%zz", QueryPolicy::Drop, None),
            ("v=1&b=2&_HLS_msn=3", keep(), Some("_HLS_msn=3&v=1")),
            ("%76=1", keep(), Some("v=1")),
            ("V=1&vv=1", keep(), None),
            (
                "b=2&a=1&a&a=&a=0",
                QueryPolicy::KeepAll,
                Some("a=1&a&a=&a=0&b=2"),
            ),
            ("CMCD=br%3D1&a=1", QueryPolicy::KeepAll, Some("a=1")),
            ("%43MCD=1&cmcd=2", QueryPolicy::KeepAll, None),
            ("CMCD=1", QueryPolicy::Keep(vec!["CMCD".into()]), None),
            ("", QueryPolicy::KeepAll, None),
            ("&&a=%2f%7e&", QueryPolicy::KeepAll, Some("a=%2F~")),
            ("a=%26b&c=/?:@", QueryPolicy::KeepAll, Some("a=%26b&c=/?:@")),
            ("a=\"é", QueryPolicy::KeepAll, Some("a=%22%C3%A9")),
            ("a=%00", QueryPolicy::KeepAll, Some("a=%00")),
        ];
        for (raw, policy, expected) in cases {
            let got = canonical(raw, &policy, &[]);
            assert_eq!(got, Ok(expected.map(Into::into)), "{raw} {policy:?}");
        }
    }

    #[test]
    fn what_is_for_this_node_reaches_no_origin() {
        let got = canonical(
            "mode=off&a=1&%6Dode=x&Mode=y",
            &QueryPolicy::KeepAll,
            &["mode"],
        );
        assert_eq!(got, Ok(Some("Mode=y&a=1".into())));
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        let cases = [
            ("a b", QueryPolicy::Drop, Refusal::Control),
            ("a\r\nb", QueryPolicy::Drop, Refusal::Control),
            ("a#b", QueryPolicy::Drop, Refusal::TargetForm),
            ("a=%", QueryPolicy::KeepAll, Refusal::Escape),
            ("a=%zz", QueryPolicy::KeepAll, Refusal::Escape),
        ];
        for (raw, policy, expected) in cases {
            assert_eq!(canonical(raw, &policy, &[]), Err(expected), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn canonical_queries_stay_as_they_are(raw in "([abAB=&;+é?/]|%[0-9a-fA-F]{2}){0,24}") {
            let canonical = |raw: &str| canonical(raw, &QueryPolicy::KeepAll, &[]);
            if let Ok(Some(query)) = canonical(&raw) {
                assert_eq!(canonical(&query), Ok(Some(query.clone())));
                assert!(query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
            }
        }
    }
}
