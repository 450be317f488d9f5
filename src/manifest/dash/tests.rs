//! The corpus, where it is present.

use std::path::{Path, PathBuf};

use super::Mpd;
use crate::manifest::plan::Plan;

fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/manifests");
    let mut found = Vec::new();
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mpd") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_empty_plan_changes_no_byte() {
    for path in corpus() {
        let text = std::fs::read(&path).unwrap();
        match Mpd::parse(&text) {
            Ok(mpd) => assert!(mpd.write(&Plan::default()) == text, "{}", path.display()),
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
}
