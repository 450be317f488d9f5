//! The sample title: its files, embedded, and their way onto a disk.
//!
//! `make-title.sh` beside this file made them. The title consists of four rungs of generated
//! picture and one of sound, in segments that HLS and DASH share, a progressive file, and the page
//! that plays them.

use std::fs;
use std::io;
use std::path::Path;

/// Writes the title below `directory`.
///
/// # Errors
/// Whatever the file system says.
pub(super) fn unpack(directory: &Path) -> io::Result<()> {
    for (name, bytes) in FILES {
        let path = directory.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// Embeds files of the title under their own names.
macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("title/", $name)))),*]
    };
}

/// Every file: its path below the origin, and its bytes.
const FILES: &[(&str, &[u8])] = embed![
    "index.html",
    "sample.mp4",
    "sample/180p.m3u8",
    "sample/180p/01.m4s",
    "sample/180p/02.m4s",
    "sample/180p/03.m4s",
    "sample/180p/04.m4s",
    "sample/180p/05.m4s",
    "sample/180p/06.m4s",
    "sample/180p/07.m4s",
    "sample/180p/08.m4s",
    "sample/180p/09.m4s",
    "sample/180p/10.m4s",
    "sample/180p/11.m4s",
    "sample/180p/12.m4s",
    "sample/180p/init.mp4",
    "sample/270p.m3u8",
    "sample/270p/01.m4s",
    "sample/270p/02.m4s",
    "sample/270p/03.m4s",
    "sample/270p/04.m4s",
    "sample/270p/05.m4s",
    "sample/270p/06.m4s",
    "sample/270p/07.m4s",
    "sample/270p/08.m4s",
    "sample/270p/09.m4s",
    "sample/270p/10.m4s",
    "sample/270p/11.m4s",
    "sample/270p/12.m4s",
    "sample/270p/init.mp4",
    "sample/360p.m3u8",
    "sample/360p/01.m4s",
    "sample/360p/02.m4s",
    "sample/360p/03.m4s",
    "sample/360p/04.m4s",
    "sample/360p/05.m4s",
    "sample/360p/06.m4s",
    "sample/360p/07.m4s",
    "sample/360p/08.m4s",
    "sample/360p/09.m4s",
    "sample/360p/10.m4s",
    "sample/360p/11.m4s",
    "sample/360p/12.m4s",
    "sample/360p/init.mp4",
    "sample/540p.m3u8",
    "sample/540p/01.m4s",
    "sample/540p/02.m4s",
    "sample/540p/03.m4s",
    "sample/540p/04.m4s",
    "sample/540p/05.m4s",
    "sample/540p/06.m4s",
    "sample/540p/07.m4s",
    "sample/540p/08.m4s",
    "sample/540p/09.m4s",
    "sample/540p/10.m4s",
    "sample/540p/11.m4s",
    "sample/540p/12.m4s",
    "sample/540p/init.mp4",
    "sample/audio.m3u8",
    "sample/audio/01.m4s",
    "sample/audio/02.m4s",
    "sample/audio/03.m4s",
    "sample/audio/04.m4s",
    "sample/audio/05.m4s",
    "sample/audio/06.m4s",
    "sample/audio/07.m4s",
    "sample/audio/08.m4s",
    "sample/audio/09.m4s",
    "sample/audio/10.m4s",
    "sample/audio/11.m4s",
    "sample/audio/12.m4s",
    "sample/audio/init.mp4",
    "sample/manifest.mpd",
    "sample/master.m3u8",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::{FILES, unpack};

    /// What `make-title.sh` promises; the repository and the program carry it.
    const TITLE_BYTES_MAX: u64 = 3_400_000;

    /// Every file below `directory`, by its path relative to `base`.
    fn files(base: &Path, directory: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(base, &path));
            } else {
                let name = path
                    .strip_prefix(base)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
        found
    }

    fn source() -> BTreeMap<String, Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/title");
        files(&directory, &directory)
    }

    #[test]
    fn the_table_names_every_file_of_the_directory_once() {
        let named: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        let there = source();
        assert_eq!(named, there.keys().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_unpacked_equals_the_directory_byte_for_byte() {
        let scratch = tempfile::tempdir().unwrap();
        unpack(scratch.path()).unwrap();
        assert!(files(scratch.path(), scratch.path()) == source());
    }

    #[test]
    fn the_title_stays_small_enough_for_the_repository() {
        let total: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(u64::try_from(total).unwrap() <= TITLE_BYTES_MAX, "{total}");
    }

    #[test]
    fn every_uri_of_the_playlists_names_a_file() {
        let there = source();
        for (name, bytes) in there.iter().filter(|(name, _)| name.ends_with(".m3u8")) {
            let text = std::str::from_utf8(bytes).unwrap();
            let quoted = text
                .split("URI=\"")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap());
            let lines = text
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty());
            for uri in lines.chain(quoted) {
                assert!(
                    there.contains_key(&format!("sample/{uri}")),
                    "{name}: {uri}"
                );
            }
        }
    }
}
