//! What an operator reads about each mistake.

use std::path::Path;

use super::super::{CutOff, QueryPolicy, S3Credentials, Store, Topology};
use super::parse;

const SITE: &str = "[[site]]\nhosts = [\"a\"]\norigin = \"s3://vod\"\n";

fn said(text: &str) -> String {
    match parse(text, Path::new("/nowhere")) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(text), expected, "of {text}");
    }
}

/// Checks lines before a good site.
fn check_head(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(&format!("{text}\n{SITE}")), expected, "of {text}");
    }
}

/// Checks lines that continue a good site.
fn check_site(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&said(&format!("{SITE}{text}")), expected, "of {text}");
    }
}
