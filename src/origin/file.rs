//! A local directory as origin.
//!
//! Nothing outside of the directory is ever read, whatever links are in it. A version of a file is
//! known by its time of change and length, to clients and other nodes too; while it is read, its
//! inode counts as well. It is looked at again with every piece: bytes of two versions never meet,
//! and a file that shrinks is no complete body. Reads run on the blocking
//! pool, few at once, each with a deadline.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::limits::CHUNK_BYTES;
use crate::origin::tally::{Counted, Empty, Tally};
use crate::origin::{
    Body, EndpointHealth, Error, Fetch, Origin, Pin, Reply, Span, Validators, Wanted,
};

/// Reads at once. A disk has no use for more, and a hanging mount must not eat all threads.
const READS_MAX: usize = 32;
/// ELOOP on Linux, which the standard library has no stable name for.
const LINK_LOOP: i32 = 40;

/// A directory.
pub struct Directory {
    disk: Arc<Disk>,
    up: AtomicBool,
}

/// What reads share.
struct Disk {
    root: PathBuf,
    name: String,
    prefix: String,
    reads: Arc<Semaphore>,
    patience: Duration,
}

/// Which version of a file this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    inode: u64,
    seconds: i64,
    nanos: i64,
    length: u64,
}

enum Found {
    File(Arc<File>, Version),
    Absent,
    Forbidden,
}

impl Directory {
    /// Serves what lies below `root`; `prefix` stands before every key. `patience` bounds each
    /// wait for the disk.
    #[must_use]
    pub fn new(root: &Path, prefix: &str, patience: Duration) -> Self {
        let disk = Disk {
            root: root.to_owned(),
            name: root.display().to_string(),
            prefix: prefix.to_owned(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            patience,
        };
        Self {
            disk: Arc::new(disk),
            up: AtomicBool::new(true),
        }
    }

    async fn answer(&self, fetch: &Fetch) -> Result<Reply, Error> {
        let path = format!("{}{}", self.disk.prefix, fetch.path);
        let Some(relative) = relative(&path) else {
            return Ok(bare(StatusCode::NOT_FOUND));
        };
        let root = self.disk.root.clone();
        let found = self.disk.run(move || open(&root, &relative)).await?;
        match found {
            Ok(Found::File(file, version)) => self.reply(fetch, file, version),
            Ok(Found::Absent) => Ok(bare(StatusCode::NOT_FOUND)),
            Ok(Found::Forbidden) => Ok(bare(StatusCode::FORBIDDEN)),
            Err(error) => Err(self.disk.unreadable(&error)),
        }
    }

    fn reply(&self, fetch: &Fetch, file: Arc<File>, version: Version) -> Result<Reply, Error> {
        let mut headers = version.headers();
        if !version.is_pinned(fetch.pin.as_ref(), &headers) {
            return Err(Error::Changed);
        }
        if is_confirmed(fetch.validators.as_ref(), &headers) {
            return Ok(empty(StatusCode::NOT_MODIFIED, headers));
        }
        let total = version.length;
        let (status, first, end, span) = match fetch.range.map(|wanted| within(wanted, total)) {
            None => (StatusCode::OK, 0, total, None),
            Some(Some(span)) => (
                StatusCode::PARTIAL_CONTENT,
                span.first,
                span.last.saturating_add(1),
                Some(span),
            ),
            Some(None) => {
                let mut unsatisfied = bare(StatusCode::RANGE_NOT_SATISFIABLE);
                let range = text(format!("bytes */{total}"));
                unsatisfied.headers.insert(CONTENT_RANGE, range);
                return Ok(unsatisfied);
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(end.saturating_sub(first)));
        if let Some(Span { first, last, total }) = span {
            let range = text(format!("bytes {first}-{last}/{total}"));
            headers.insert(CONTENT_RANGE, range);
        }
        let body: Box<dyn Body> = if fetch.head_only {
            Box::new(Empty)
        } else {
            Box::new(Reading {
                disk: Arc::clone(&self.disk),
                file,
                version,
                next: first,
                end,
                received: 0,
            })
        };
        Ok(Reply {
            status,
            headers,
            span,
            body,
        })
    }
}

#[async_trait]
impl Origin for Directory {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        let mut tally = Tally::new();
        match self.answer(fetch).await {
            Ok(mut reply) => {
                reply.body = Box::new(Counted::new(reply.body, tally));
                Ok(reply)
            }
            Err(error) => {
                tally.fail(&error);
                Err(error)
            }
        }
    }

    fn health(&self) -> Vec<EndpointHealth> {
        let up = self.up.load(Ordering::Relaxed);
        vec![EndpointHealth {
            endpoint: self.disk.name.clone(),
            up,
            failures: u32::from(!up),
        }]
    }

    async fn probe(&self) {
        let root = self.disk.root.clone();
        let looked = self.disk.run(move || std::fs::metadata(root)).await;
        let up = matches!(looked, Ok(Ok(metadata)) if metadata.is_dir());
        if self.up.swap(up, Ordering::Relaxed) && !up {
            tracing::warn!(
                directory = self.disk.name,
                "origin directory cannot be read"
            );
        }
    }
}

impl Disk {
    /// Runs `work` on the blocking pool. Its permit goes with it: work that hangs keeps its place
    /// when nobody waits for it any more.
    async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let turn = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await;
            let done = tokio::task::spawn_blocking(move || {
                let result = work();
                drop(permit);
                result
            });
            done.await
        };
        match timeout(self.patience, turn).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(Error::Connect {
                endpoint: self.name.clone(),
                reason: error.to_string(),
            }),
            Err(_) => Err(Error::FirstByte {
                endpoint: self.name.clone(),
                waited: self.patience,
            }),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        Error::Connect {
            endpoint: self.name.clone(),
            reason: error.to_string(),
        }
    }
}

/// Turns a canonical path into one below the root; `None` where it could lead out of it.
fn relative(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for segment in path.split('/').skip(1) {
        let segment = percent_decode_str(segment).decode_utf8().ok()?;
        let odd = segment.is_empty() || segment == "." || segment == "..";
        if odd || segment.contains(['/', '\0']) {
            return None;
        }
        relative.push(segment.as_ref());
    }
    Some(relative)
}

/// Opens a regular file below `root`, links resolved.
fn open(root: &Path, relative: &Path) -> io::Result<Found> {
    match open_below(&root.canonicalize()?, &root.join(relative)) {
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename => Ok(Found::Absent),
            io::ErrorKind::PermissionDenied => Ok(Found::Forbidden),
            _ if error.raw_os_error() == Some(LINK_LOOP) => Ok(Found::Absent),
            _ => Err(error),
        },
        found => found,
    }
}

fn open_below(root: &Path, path: &Path) -> io::Result<Found> {
    let path = path.canonicalize()?;
    // Opening a pipe would wait for its writer, so the kind is looked at before.
    if !path.starts_with(root) || !path.metadata()?.is_file() {
        return Ok(Found::Absent);
    }
    let file = File::open(&path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Found::Absent);
    }
    let version = Version::of(&metadata);
    Ok(Found::File(Arc::new(file), version))
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            seconds: metadata.mtime(),
            nanos: metadata.mtime_nsec(),
            length: metadata.len(),
        }
    }

    fn headers(self) -> HeaderMap {
        let Self {
            seconds,
            nanos,
            length,
            ..
        } = self;
        let mut headers = HeaderMap::with_capacity(8);
        // No inode: nodes with copies of the same files must agree on their tags.
        let tag = text(format!("\"{seconds:x}.{nanos:x}-{length:x}\""));
        headers.insert(ETAG, tag);
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since);
        headers.insert(LAST_MODIFIED, text(date));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers
    }

    fn is_pinned(self, pin: Option<&Pin>, headers: &HeaderMap) -> bool {
        match pin {
            None => true,
            Some(Pin::Etag(tag)) => headers.get(ETAG) == Some(tag),
            Some(Pin::Modified { date, length }) => {
                headers.get(LAST_MODIFIED) == Some(date) && self.length == *length
            }
        }
    }
}

/// Whether a stored copy is the present one: by tag where there is one, else by date.
fn is_confirmed(validators: Option<&Validators>, headers: &HeaderMap) -> bool {
    match validators {
        None => false,
        Some(Validators {
            etag: Some(tag), ..
        }) => headers.get(ETAG) == Some(tag),
        Some(Validators { last_modified, .. }) => {
            last_modified.is_some() && headers.get(LAST_MODIFIED) == last_modified.as_ref()
        }
    }
}

/// The bytes wanted of an object of `total`; `None` where it has none of them.
fn within(wanted: Wanted, total: u64) -> Option<Span> {
    let end = total.checked_sub(1)?;
    let (first, last) = match wanted {
        Wanted::Span(first, last) => (first, last.min(end)),
        Wanted::Suffix(bytes) => (total.saturating_sub(bytes), end),
    };
    (first <= last).then_some(Span { first, last, total })
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

fn empty(status: StatusCode, headers: HeaderMap) -> Reply {
    Reply {
        status,
        headers,
        span: None,
        body: Box::new(Empty),
    }
}

fn bare(status: StatusCode) -> Reply {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    empty(status, headers)
}

/// A file being read.
struct Reading {
    disk: Arc<Disk>,
    file: Arc<File>,
    version: Version,
    next: u64,
    end: u64,
    received: u64,
}

#[async_trait]
impl Body for Reading {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let left = self.end.saturating_sub(self.next);
        if left == 0 {
            return Ok(None);
        }
        let length = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let (file, offset) = (Arc::clone(&self.file), self.next);
        let read = self.disk.run(move || read(&file, offset, length)).await;
        let (piece, version) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => return Err(self.truncated()),
            Err(_) => {
                return Err(Error::Stall {
                    endpoint: self.disk.name.clone(),
                    waited: self.disk.patience,
                    received: self.received,
                });
            }
        };
        if version.length < self.version.length || piece.len() < length {
            return Err(self.truncated());
        }
        if version != self.version {
            return Err(Error::Changed);
        }
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.next = self.next.saturating_add(length);
        self.received = self.received.saturating_add(length);
        Ok(Some(piece))
    }
}

impl Reading {
    fn truncated(&self) -> Error {
        Error::Truncated {
            endpoint: self.disk.name.clone(),
            received: self.received,
        }
    }
}

/// Reads up to `length` bytes, and then which version they are of.
fn read(file: &File, offset: u64, length: usize) -> io::Result<(Bytes, Version)> {
    let mut piece = BytesMut::zeroed(length);
    let mut filled = 0;
    while let Some(room) = piece.get_mut(filled..).filter(|room| !room.is_empty()) {
        let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match file.read_at(room, at) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok((piece.freeze(), Version::of(&file.metadata()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn directory() -> (TempDir, Directory) {
        let root = TempDir::new().unwrap();
        let origin = Directory::new(root.path(), "", Duration::from_secs(5));
        (root, origin)
    }

    fn get(path: &str) -> Fetch {
        Fetch {
            path: path.into(),
            ..Fetch::default()
        }
    }

    async fn read_all(mut reply: Reply) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = reply.body.piece().await? {
            assert!(!piece.is_empty() && piece.len() <= CHUNK_BYTES);
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_file_is_given_whole_and_by_range() {
        let (root, origin) = directory();
        let content: Vec<u8> = (0..600_000u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::create_dir(root.path().join("a b")).unwrap();
        std::fs::write(root.path().join("a b/é+;.m4s"), &content).unwrap();
        let path = "/a%20b/%C3%A9+;.m4s";
        let reply = origin.fetch(&get(path)).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers[CONTENT_LENGTH], "600000");
        assert_eq!(read_all(reply).await.unwrap(), content);
        for (wanted, range) in [
            (Wanted::Span(0, 0), 0..1),
            (Wanted::Span(262_000, 262_200), 262_000..262_201),
            (Wanted::Span(599_999, u64::MAX), 599_999..600_000),
            (Wanted::Suffix(7), 599_993..600_000),
            (Wanted::Suffix(u64::MAX), 0..600_000),
        ] {
            let fetch = Fetch {
                range: Some(wanted),
                ..get(path)
            };
            let reply = origin.fetch(&fetch).await.unwrap();
            assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
            assert_eq!(
                crate::origin::answer::check(&fetch, reply.status, &reply.headers).unwrap(),
                reply.span
            );
            assert_eq!(read_all(reply).await.unwrap(), content[range]);
        }
    }

    #[tokio::test]
    async fn what_is_no_file_below_the_directory_is_absent() {
        let outside = TempDir::new().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let (root, origin) = directory();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("sub/in"), "x").unwrap();
        let link = |to: &Path, name| std::os::unix::fs::symlink(to, root.path().join(name));
        link(&outside.path().join("secret"), "out").unwrap();
        link(outside.path(), "outdir").unwrap();
        link(Path::new("loop"), "loop").unwrap();
        link(Path::new("sub/in"), "inside").unwrap();
        for path in [
            "/none",
            "/sub",
            "/sub/",
            "/",
            "/../secret",
            "/sub/../../x",
            "/%2e%2e/secret",
            "/sub%2Fin",
            "/out",
            "/outdir/secret",
            "/loop",
            "/sub/in/x",
            "/a%00b",
            "/sub//in",
            "/%FF",
        ] {
            let reply = origin.fetch(&get(path)).await.unwrap();
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        }
        let long = format!("/{}", "a".repeat(5000));
        let reply = origin.fetch(&get(&long)).await.unwrap();
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let reply = origin.fetch(&get("/inside")).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_tail_of_a_sparse_file_is_read_alone() {
        let (root, origin) = directory();
        let file = File::create(root.path().join("big")).unwrap();
        let total = 8u64 << 30;
        file.set_len(total).unwrap();
        file.write_at(b"end", total - 3).unwrap();
        let fetch = Fetch {
            range: Some(Wanted::Suffix(3)),
            ..get("/big")
        };
        let reply = origin.fetch(&fetch).await.unwrap();
        assert_eq!(reply.span.unwrap().total, total);
        assert_eq!(read_all(reply).await.unwrap(), b"end");
    }

    #[tokio::test]
    async fn a_range_past_the_end_is_416() {
        let (root, origin) = directory();
        std::fs::write(root.path().join("a"), "12345").unwrap();
        std::fs::write(root.path().join("empty"), "").unwrap();
        for (path, wanted, range) in [
            ("/a", Wanted::Span(5, 9), "bytes */5"),
            ("/empty", Wanted::Suffix(1), "bytes */0"),
        ] {
            let fetch = Fetch {
                range: Some(wanted),
                ..get(path)
            };
            let reply = origin.fetch(&fetch).await.unwrap();
            assert_eq!(reply.status, StatusCode::RANGE_NOT_SATISFIABLE);
            assert_eq!(reply.headers[CONTENT_RANGE], range);
        }
    }

    #[tokio::test]
    async fn a_stored_copy_is_confirmed_and_a_replaced_file_is_changed() {
        let (root, origin) = directory();
        let path = root.path().join("a");
        std::fs::write(&path, "12345").unwrap();
        let reply = origin.fetch(&get("/a")).await.unwrap();
        let (etag, date) = (
            reply.headers[ETAG].clone(),
            reply.headers[LAST_MODIFIED].clone(),
        );
        let validators = |etag: Option<HeaderValue>| Fetch {
            validators: Some(Validators {
                etag,
                last_modified: Some(date.clone()),
            }),
            ..get("/a")
        };
        for fetch in [validators(Some(etag.clone())), validators(None)] {
            let reply = origin.fetch(&fetch).await.unwrap();
            assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
        }
        let pinned = Fetch {
            pin: Some(Pin::Etag(etag.clone())),
            ..get("/a")
        };
        assert!(origin.fetch(&pinned).await.is_ok());
        std::fs::write(root.path().join("b"), "54321").unwrap();
        let other = File::options()
            .write(true)
            .open(root.path().join("b"))
            .unwrap();
        let date = std::time::UNIX_EPOCH + Duration::from_nanos(1);
        other.set_modified(date).unwrap();
        std::fs::rename(root.path().join("b"), &path).unwrap();
        assert!(matches!(origin.fetch(&pinned).await, Err(Error::Changed)));
        let reply = origin.fetch(&validators(Some(etag))).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn copies_of_one_file_have_one_tag() {
        let mut tags = Vec::new();
        for _ in 0..2 {
            let (root, origin) = directory();
            std::fs::write(root.path().join("a"), "12345").unwrap();
            let file = File::options()
                .write(true)
                .open(root.path().join("a"))
                .unwrap();
            let date = std::time::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
            file.set_modified(date).unwrap();
            tags.push(origin.fetch(&get("/a")).await.unwrap().headers[ETAG].clone());
        }
        assert_eq!(tags[0], tags[1]);
    }

    #[tokio::test]
    async fn a_file_that_shrinks_or_changes_under_its_reader_is_never_complete() {
        let (root, origin) = directory();
        let path = root.path().join("a");
        for (cut, expected_changed) in [(CHUNK_BYTES as u64, false), (600_000, true)] {
            std::fs::write(&path, vec![1; 600_000]).unwrap();
            let mut reply = origin.fetch(&get("/a")).await.unwrap();
            reply.body.piece().await.unwrap().unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(cut).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            let error = read_all(reply).await.unwrap_err();
            assert_eq!(error == Error::Changed, expected_changed, "{error}");
            assert_eq!(
                matches!(error, Error::Truncated { .. }),
                !expected_changed,
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_head_request_has_the_length_and_no_body() {
        let (root, origin) = directory();
        std::fs::write(root.path().join("a"), "12345").unwrap();
        let fetch = Fetch {
            head_only: true,
            ..get("/a")
        };
        let reply = origin.fetch(&fetch).await.unwrap();
        assert_eq!(reply.headers[CONTENT_LENGTH], "5");
        assert!(read_all(reply).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_directory_that_vanishes_is_down() {
        let (root, origin) = directory();
        origin.probe().await;
        assert!(origin.health()[0].up);
        drop(root);
        origin.probe().await;
        assert!(!origin.health()[0].up);
    }
}
