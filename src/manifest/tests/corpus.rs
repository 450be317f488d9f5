//! Manifests of other people, where there are any: `../shared/data/manifests`.

use std::fs;
use std::path::{Path, PathBuf};

/// A manifest, and where it lies.
pub(in crate::manifest) struct Specimen {
    pub path: PathBuf,
    pub text: Vec<u8>,
}

/// The manifests with one of `extensions`, in the order of their paths; none where the directory
/// is missing.
pub(in crate::manifest) fn manifests(extensions: &[&str]) -> Vec<Specimen> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/manifests");
    let mut pending = vec![root];
    let mut found = Vec::new();
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let extension = path.extension().and_then(|e| e.to_str());
            if path.is_dir() {
                pending.push(path);
            } else if extension.is_some_and(|e| extensions.contains(&e)) {
                let text = fs::read(&path).unwrap();
                found.push(Specimen { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
