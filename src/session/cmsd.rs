//! What this edge says to a player about its next choice (CTA-5006, `CMSD-Dynamic`). Pure.

use std::fmt::Write;

/// One entry of `CMSD-Dynamic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hints {
    /// `etp`: estimated throughput in kbit/s.
    pub throughput_kbps: Option<u64>,
    /// `mb`: most bit rate to play, in kbit/s, audio included.
    pub bitrate_max_kbps: Option<u64>,
    /// `du`: this edge is under duress.
    pub duress: bool,
}

/// Spells the field's value; without a space, since players split at `;` and do not trim.
///
/// `node` becomes a string of RFC 9651: what such a string cannot hold is left out.
#[must_use]
pub fn value(node: &str, hints: &Hints) -> String {
    let mut text = String::with_capacity(node.len() + 32);
    text.push('"');
    for c in node.chars().filter(|c| matches!(c, '!'..='~')) {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    if hints.duress {
        text.push_str(";du");
    }
    for (key, value) in [
        ("etp", hints.throughput_kbps),
        ("mb", hints.bitrate_max_kbps),
    ] {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _written = write!(text, ";{key}={value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use sfv::{BareItem, List, ListEntry, Parser};

    use super::*;

    #[test]
    fn a_value_is_a_list_of_structured_fields_without_spaces() {
        let all = Hints {
            throughput_kbps: Some(2345),
            bitrate_max_kbps: Some(900),
            duress: true,
        };
        let cases = [
            ("edge-1", Hints::default(), r#""edge-1""#),
            ("edge-1", all, r#""edge-1";du;etp=2345;mb=900"#),
            ("a \"b\\\u{e9}\n", Hints::default(), r#""a\"b\\""#),
        ];
        for (node, hints, expected) in cases {
            let text = value(node, &hints);
            assert_eq!(text, expected);
            let list: List = Parser::new(&text).parse().unwrap();
            let [ListEntry::Item(item)] = list.as_slice() else {
                panic!("{text}");
            };
            assert!(matches!(item.bare_item, BareItem::String(_)));
        }
    }
}
