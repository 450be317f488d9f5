//! Tests over whole MPDs; those of one step stand beside it.

mod corpus;
mod filtering;
mod fixtures;
mod fuzz;
mod hinting;
mod leading;
mod reading;

use super::Mpd;
use crate::manifest::plan::Plan;
use crate::manifest::uri::{Rebase, Relative};

/// Writes an MPD by a plan.
fn written(text: &str, plan: &Plan) -> String {
    let mpd = Mpd::parse(text.as_bytes()).unwrap();
    String::from_utf8(mpd.write(plan)).unwrap()
}

/// A move below a session's prefix.
fn below(relative: Relative) -> Rebase {
    Rebase {
        object: "/films/one/main.mpd".to_owned(),
        prefix: "/~sid".to_owned(),
        hosts: vec!["edge.example".to_owned()],
        relative,
    }
}

/// Makes each replacement in a text, which must have what is replaced exactly once.
fn replaced(text: &str, replacements: &[(&str, &str)]) -> String {
    let mut replaced = text.to_owned();
    for (from, to) in replacements {
        assert_eq!(replaced.matches(from).count(), 1, "{from}");
        replaced = replaced.replacen(from, to, 1);
    }
    replaced
}
