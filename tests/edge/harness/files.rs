//! A directory as an origin.

use std::fs::{self, File};
use std::path::PathBuf;

use tempfile::TempDir;

use super::edge::Source;
use super::process;

/// A directory, removed with its files when dropped.
pub(crate) struct Files {
    dir: TempDir,
}

/// An empty directory.
pub(crate) fn start() -> Files {
    Files {
        dir: process::scratch("files"),
    }
}

impl Files {
    /// Writes a file, or replaces it in one step.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fresh = self.dir.path().join(".fresh");
        fs::write(&fresh, bytes).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    /// Makes a file of zeros that takes no room on the disk.
    pub(crate) fn sparse(&self, key: &str, length: u64) {
        File::create(self.path(key))
            .unwrap()
            .set_len(length)
            .unwrap();
    }

    /// Where a key lies.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.dir.path().join(key.trim_start_matches('/'))
    }
}

impl Source for Files {
    fn describe(&self, site: &mut toml::Table) {
        let url = format!("file://{}", self.dir.path().display());
        site.insert("origin".to_owned(), url.into());
    }
}
