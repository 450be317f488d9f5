use proptest::prelude::{ProptestConfig, Strategy, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::manifest::tests::fuzz;

fn rebase(relative: Relative) -> Rebase {
    Rebase {
        object: "/vod/a/master.m3u8".into(),
        prefix: "/~sid".into(),
        hosts: vec!["cdn.example".into(), "[2001:db8::1]".into()],
        relative,
    }
}

#[test]
fn uris_keep_leading_where_they_led_below_the_prefix() {
    let cases = [
        // what is written, where it is inherited, where it is resolved
        ("v/1.m3u8", None, Some("/~sid/vod/a/v/1.m3u8")),
        ("./1.m3u8", None, Some("/~sid/vod/a/1.m3u8")),
        (
            "../b/1.m3u8?t=../x",
            None,
            Some("/~sid/vod/b/1.m3u8?t=../x"),
        ),
        ("../..", None, Some("/~sid/")),
        ("../../../x.ts", Some("/~sid/x.ts"), Some("/~sid/x.ts")),
        ("x/../../../../y", Some("/~sid/y"), Some("/~sid/y")),
        ("%2e%2E/x.ts", None, Some("/~sid/vod/x.ts")),
        (".%2e/.%2E/%2e./x", Some("/~sid/x"), Some("/~sid/x")),
        ("...", None, Some("/~sid/vod/a/...")),
        ("?a=b", None, Some("/~sid/vod/a/master.m3u8?a=b")),
        ("/x.ts", Some("/~sid/x.ts"), Some("/~sid/x.ts")),
        (
            "/x/../../y.ts#f",
            Some("/~sid/y.ts#f"),
            Some("/~sid/y.ts#f"),
        ),
        ("/.well/x", Some("/~sid/.well/x"), Some("/~sid/.well/x")),
        (
            "//cdn.example/x",
            Some("//cdn.example/~sid/x"),
            Some("//cdn.example/~sid/x"),
        ),
        (
            "https://CDN.example.:8443/a//b?q",
            Some("https://CDN.example.:8443/~sid/a//b?q"),
            Some("https://CDN.example.:8443/~sid/a//b?q"),
        ),
        (
            "HTTP://cdn.example",
            Some("HTTP://cdn.example/~sid/"),
            Some("HTTP://cdn.example/~sid/"),
        ),
        (
            "http://cdn.example?q",
            Some("http://cdn.example/~sid/?q"),
            Some("http://cdn.example/~sid/?q"),
        ),
        (
            "https://[2001:DB8::1]/x",
            Some("https://[2001:DB8::1]/~sid/x"),
            Some("https://[2001:DB8::1]/~sid/x"),
        ),
    ];
    for (uri, inherited, resolved) in cases {
        let inherit = rebase(Relative::Inherit).apply(uri);
        assert_eq!(inherit.as_deref(), inherited, "{uri} inherits");
        let resolve = rebase(Relative::Resolve).apply(uri);
        assert_eq!(resolve.as_deref(), resolved, "{uri} resolves");
    }
}

#[test]
fn what_is_not_the_sites_stays() {
    let cases = [
        "",
        "#t=1",
        "data:text/plain,x",
        "skd://key",
        "urn:uuid:0",
        "blob:https://cdn.example/x",
        "http:x",
        "https://other.example/x",
        "https://cdn.example.org/x",
        "https://cdn.example@other.example/x",
        "https://user@cdn.example/x",
        "//other.example/x",
        "///x",
        "https:///x",
        "https://cdn.example:8x/x",
        "{$base}/x.ts",
        "/a/{$name}.ts",
        "/a?x={$query}",
        "/a\\b",
        "/a\tb",
        "/~other/x.ts",
        "https://cdn.example/~other/x.ts",
    ];
    for uri in cases {
        for relative in [Relative::Inherit, Relative::Resolve] {
            let rebase = rebase(relative);
            assert_eq!(rebase.apply(uri), None, "{uri} {relative:?}");
            let led = lead(uri).filter(|lead| rebase.is_own(lead.authority));
            assert_eq!(led.and_then(|lead| lead.prefix_at), None, "{uri}");
        }
    }
}

#[test]
fn a_prefix_is_never_put_before_another_one() {
    let mut below = rebase(Relative::Resolve);
    below.object = "/~old/a/m.m3u8".into();
    assert_eq!(below.apply("x.ts").as_deref(), Some("/~old/a/x.ts"));
    assert_eq!(below.apply("../y.ts").as_deref(), Some("/~old/y.ts"));
    let above = rebase(Relative::Resolve).apply("../../~old/x");
    assert_eq!(above.as_deref(), Some("/~old/x"));
}

#[test]
fn without_a_prefix_only_relative_uris_change() {
    let mut bare = rebase(Relative::Resolve);
    bare.prefix.clear();
    let cases = [
        ("1.ts", Some("/vod/a/1.ts")),
        ("../..//cdn.example/x", Some("/.//cdn.example/x")),
        ("/x.ts", None),
        ("https://cdn.example/x.ts", None),
    ];
    for (uri, expected) in cases {
        assert_eq!(bare.apply(uri).as_deref(), expected, "{uri}");
        let licence = rebase(Relative::Resolve).resolve(uri);
        assert_eq!(licence.as_deref(), expected, "{uri}");
    }
    assert_eq!(rebase(Relative::Inherit).resolve("../../../x"), None);
}

/// Where a reference leads from `base`: host, path and the rest. RFC 3986 section 5.2, spelled out
/// for references without other schemes than `https`.
fn target(base: &str, reference: &str) -> (Option<String>, String, String) {
    let without = reference.strip_prefix("https:").unwrap_or(reference);
    let (before, rest) = match without.find(['?', '#']) {
        Some(at) => without.split_at(at),
        None => (without, ""),
    };
    let (host, path) = match before.strip_prefix("//") {
        Some(hierarchy) => match hierarchy.find('/') {
            Some(at) => {
                let (host, path) = hierarchy.split_at(at);
                (Some(host), path)
            }
            None => (Some(hierarchy), "/"),
        },
        None => (None, before),
    };
    let whole = match path {
        "" => base.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("{}/{path}", base.rsplit_once('/').unwrap().0),
    };
    let mut stack: Vec<&str> = Vec::new();
    let segments: Vec<&str> = whole.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match *segment {
            "." | "%2e" if is_last => stack.push(""),
            "." | "%2e" => {}
            ".." | "%2e%2e" | ".%2E" => {
                stack.pop();
                if is_last {
                    stack.push("");
                }
            }
            name => stack.push(name),
        }
    }
    (
        host.map(str::to_owned),
        format!("/{}", stack.join("/")),
        rest.to_owned(),
    )
}

fn references() -> impl Strategy<Value = String> {
    let first = "(a|bc|d e|\\.|\\.\\.|%2e|%2e%2e|\\.%2E|\\.\\.\\.|é|)";
    let more = "(/(a|f\\.ts|\\.\\.|\\.|%2e|)){0,6}";
    let rest = "(\\?[a/.]{0,4})?(#[a/.?]{0,3})?";
    let strategy = |text: String| proptest::string::string_regex(&text).unwrap();
    prop_oneof![
        strategy(format!("{first}{more}{rest}")),
        strategy(format!("/{first}{more}{rest}")),
        strategy(format!(
            "(https:)?//(cdn\\.example|other\\.example)(/{first}{more})?{rest}"
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_rebased_uri_leads_below_the_prefix_and_nowhere_else(
        uri in references(),
        object in "(/(a|b|cd)){0,3}/m\\.m3u8",
        resolves in proptest::bool::ANY,
    ) {
        let relative = if resolves { Relative::Resolve } else { Relative::Inherit };
        let rebase = Rebase { object: object.clone(), ..rebase(relative) };
        let rewritten = rebase.apply(&uri).unwrap_or_else(|| uri.clone());
        let asked = match relative {
            Relative::Inherit => format!("/~sid{object}"),
            Relative::Resolve => "/adaptive_stream/x".to_owned(),
        };
        let (host, path, rest) = target(&object, &uri);
        let names_nothing = uri.is_empty() || uri.starts_with('#');
        let expected = match host.as_deref() {
            Some(other) if other != "cdn.example" => path,
            _ if names_nothing => asked.clone(),
            _ => format!("/~sid{path}"),
        };
        let found = target(&asked, &rewritten);
        prop_assert_eq!(found, (host, expected, rest), "{} became {}", uri, rewritten);
    }

    #[test]
    fn a_lead_foretells_what_becomes_of_a_uri(uri in references(), host in "cdn|other") {
        let mut rebase = rebase(Relative::Resolve);
        rebase.hosts = vec![format!("{host}.example")];
        let applied = rebase.apply(&uri);
        let led = lead(&uri).filter(|lead| rebase.is_own(lead.authority));
        match led.map(|lead| lead.prefix_at) {
            None => prop_assert_eq!(applied, None),
            Some(Some(at)) => {
                let mut expected = uri;
                expected.insert_str(at, &rebase.prefix);
                prop_assert_eq!(applied, Some(expected));
            }
            Some(None) => {
                let (_, path) = split_origin(&uri).unwrap();
                let is_plain = path.starts_with('/') && !path.contains("/.") && !path.contains("%2");
                prop_assert!(!is_plain, "{} needs no more than the prefix", uri);
            }
        }
    }

    #[test]
    fn what_was_rebased_once_stays(uri in references()) {
        let rebase = rebase(Relative::Resolve);
        if let Some(once) = rebase.apply(&uri) {
            prop_assert_eq!(rebase.apply(&once), None, "{}", once);
        }
    }
}

/// Nothing that could end an attribute or a line comes in by rebasing.
#[test]
fn no_uri_makes_it_panic_or_break_out_of_its_quotes() {
    let seeds = [
        "v/1.m3u8",
        "../../x?y#z",
        "https://cdn.example:80/a/../b",
        "//other/x",
        "{$a}/b",
        "/~a/b",
        "data:,x",
        "/%2e%2E/%2e/a",
        "[::1]",
        "https://[2001:db8::1]:1/x",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    let words = [
        "/",
        "//",
        "..",
        "../",
        "/..",
        "%2e",
        "?",
        "#",
        ":",
        "@",
        "https://",
        "cdn.example",
        "~",
        "{$",
        "\"",
        "\\",
        "é",
        "[",
        "]",
    ];
    fuzz::run("uri", &seeds, &words, |input| {
        let Ok(uri) = std::str::from_utf8(input) else {
            return;
        };
        for relative in [Relative::Inherit, Relative::Resolve] {
            let rebase = rebase(relative);
            let Some(once) = rebase.apply(uri) else {
                continue;
            };
            let odd = |text: &str| text.matches(['"', '\n', '\r']).count();
            assert!(odd(&once) <= odd(uri), "{once}");
            assert!(once.contains("/~"), "{once}");
            assert_eq!(rebase.apply(&once), None, "{once}");
        }
    });
}
