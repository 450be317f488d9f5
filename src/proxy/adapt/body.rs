//! Reading a manifest whole, within bounds.

use bytes::{Bytes, BytesMut};

use crate::cache::object::RunError;
use crate::cache::reader::Reader;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::origin::{self, Body};

/// A body that was read as far as it may be.
pub(in crate::proxy) enum Read {
    /// All of it.
    Whole(Bytes),
    /// It is larger than what is read; these are the pieces taken from it.
    TooLarge(Vec<Bytes>),
}

/// Reads an object.
///
/// # Errors
/// [`RunError`] when its bytes cannot be had.
pub(in crate::proxy) async fn of_object(reader: &mut Reader) -> Result<Read, RunError> {
    let mut pieces = Pieces::default();
    while let Some(piece) = reader.next().await? {
        if !pieces.push(piece) {
            return Ok(Read::TooLarge(pieces.list));
        }
    }
    Ok(Read::Whole(pieces.join()))
}

/// Reads an answer that is kept nowhere. Its own deadlines bound each piece.
///
/// # Errors
/// Whatever broke the body off.
pub(in crate::proxy) async fn of_stream(body: &mut dyn Body) -> Result<Read, origin::Error> {
    let mut pieces = Pieces::default();
    while let Some(piece) = body.piece().await? {
        if !pieces.push(piece) {
            return Ok(Read::TooLarge(pieces.list));
        }
    }
    Ok(Read::Whole(pieces.join()))
}

#[derive(Default)]
struct Pieces {
    list: Vec<Bytes>,
    length: usize,
}

impl Pieces {
    /// Keeps a piece; whether more may come.
    fn push(&mut self, piece: Bytes) -> bool {
        self.length = self.length.saturating_add(piece.len());
        self.list.push(piece);
        self.length <= MANIFEST_BYTES_MAX
    }

    /// One piece, which most manifests are, is not copied.
    fn join(mut self) -> Bytes {
        if self.list.len() <= 1 {
            return self.list.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for piece in &self.list {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }
}
