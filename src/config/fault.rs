//! One thing that is wrong with a configuration file, said so that an operator can mend it.

use std::fmt;

/// A wrong value, or one that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a path of keys: `site[0].s3.endpoint`.
    pub key: String,
    /// What was written there, in TOML, without passwords of URLs; `None` when nothing was.
    pub value: Option<String>,
    /// What should stand there.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: expected {}", self.key, self.expected),
            None => write!(f, "{} is absent: expected {}", self.key, self.expected),
        }
    }
}

/// Returns `text` without what stands before the `@` of a URL.
#[must_use]
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://...@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, without_password};

    #[test]
    fn a_fault_names_key_value_and_expectation() {
        let fault = Fault {
            key: "site[0].origin".to_owned(),
            value: Some("\"s4://vod\"".to_owned()),
            expected: "one of s3:// gs://".to_owned(),
        };
        assert_eq!(
            fault.to_string(),
            "site[0].origin = \"s4://vod\": expected one of s3:// gs://"
        );
    }

    #[test]
    fn passwords_of_urls_are_not_repeated() {
        for (text, shown) in [
            ("redis://h:1/0", "redis://h:1/0"),
            ("redis://:pa@ss@h:1/0", "redis://...@h:1/0"),
            ("\"https://u:p@h\"", "\"https://...@h\""),
            ("no url @ all", "no url @ all"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
