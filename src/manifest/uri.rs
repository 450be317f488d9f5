//! Where the URIs of a rewritten manifest lead.
//!
//! References are resolved as RFC 3986 section 5.2 has it, and as browsers do it: `%2e` is a dot
//! segment too, and `..` never leads above the root. So no reference leaves a session's prefix.
//!
//! What a browser reads otherwise than RFC 3986 (backslashes, control characters) is left alone:
//! with a prefix it could lead to another place than before.

/// How URIs are changed so that they lead to the same objects from another place, below the
/// session's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebase {
    /// Canonical path of the manifest's object: what relative URIs resolve against.
    pub object: String,
    /// Put before every path: `/~<sid>`, or nothing.
    pub prefix: String,
    /// Hosts of this site, in lower case: absolute URLs of theirs get the prefix too. Others never.
    pub hosts: Vec<String>,
    /// What becomes of relative URIs.
    pub relative: Relative,
}

/// What becomes of relative URIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relative {
    /// They stay: the manifest is asked for below the prefix, beside its object. Those that climb
    /// above the root are resolved all the same, or they would lose the prefix.
    Inherit,
    /// They become absolute paths: the manifest is asked for elsewhere.
    Resolve,
}

/// What a URI is replaced with, not yet written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Scheme and authority, or nothing.
    origin: &'a str,
    prefix: &'a str,
    /// The directory that `path` is relative to, with both slashes, or nothing.
    base: &'a str,
    path: &'a str,
    /// Query and fragment.
    rest: &'a str,
    shape: Shape,
}

/// Whether a path has segments that are not names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Dotted,
}

impl Rebase {
    /// The URI in place of `uri`; `None` where it stays as it is: other hosts, `data:`, `skd:` and
    /// other schemes, `{$variables}`, fragments, what is relative and inherits, and paths that
    /// have a session's prefix.
    #[must_use]
    pub fn apply(&self, uri: &str) -> Option<String> {
        written(self.edit(uri)?)
    }

    /// As [`Rebase::apply`], but without the prefix: for what is none of the session's business
    /// (licences) and must only be found from another place.
    #[must_use]
    pub fn resolve(&self, uri: &str) -> Option<String> {
        written(self.resolution(uri)?)
    }

    /// As [`Rebase::apply`], to be written where it goes.
    #[must_use]
    pub fn edit<'a>(&'a self, uri: &'a str) -> Option<Edit<'a>> {
        self.edit_below(uri, &self.prefix)
    }

    /// As [`Rebase::resolve`], to be written where it goes.
    #[must_use]
    pub fn resolution<'a>(&'a self, uri: &'a str) -> Option<Edit<'a>> {
        match self.relative {
            Relative::Inherit => None,
            Relative::Resolve => self.edit_below(uri, ""),
        }
    }

    fn edit_below<'a>(&'a self, uri: &'a str, prefix: &'a str) -> Option<Edit<'a>> {
        let (origin, reference) = split_origin(uri)?;
        if !self.is_own(authority(origin)) {
            return None;
        }
        let (path, rest, shape) = split_path(reference)?;
        let mut edit = Edit {
            origin,
            prefix,
            base: "",
            path,
            rest,
            shape,
        };
        if !origin.is_empty() || path.starts_with('/') {
            if path.is_empty() {
                edit.path = "/";
            }
            return (!prefix.is_empty() && !is_prefixed(path)).then_some(edit);
        }
        match path.is_empty() {
            true => edit.path = &self.object,
            false => edit.base = directory(&self.object),
        }
        let resolves = match self.relative {
            Relative::Resolve => true,
            Relative::Inherit => shape == Shape::Dotted && climbs(edit.base, path),
        };
        // A query alone keeps the path; a fragment alone, and nothing, mean the manifest itself.
        let names = !path.is_empty() || rest.starts_with('?');
        (names && resolves).then_some(edit)
    }

    /// Whether an authority is this site's: that of its hosts, on any port, or none at all.
    #[must_use]
    pub fn is_own(&self, authority: &str) -> bool {
        authority.is_empty() || self.hosts.iter().any(|host| is_host(authority, host))
    }
}

/// What a URI tells of itself before it is rebased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead<'a> {
    /// Userinfo, host and port, as written; empty where it names none.
    pub authority: &'a str,
    /// The byte before which a prefix goes, a slash, if that is all that [`Rebase::apply`] does; it
    /// does nothing then without a prefix.
    pub prefix_at: Option<usize>,
}

/// Tells where a URI leads; `None` for those that [`Rebase::apply`] always leaves alone.
#[must_use]
pub fn lead(uri: &str) -> Option<Lead<'_>> {
    let (origin, reference) = split_origin(uri)?;
    let (path, _, shape) = split_path(reference)?;
    let is_rooted = path.starts_with('/');
    if is_rooted && is_prefixed(path) {
        return None;
    }
    Some(Lead {
        authority: authority(origin),
        prefix_at: (is_rooted && shape == Shape::Plain).then_some(origin.len()),
    })
}

/// Splits off scheme and authority, which may both be missing; `None` for other schemes than the
/// web's, and for an authority without a name.
fn split_origin(uri: &str) -> Option<(&str, &str)> {
    let scheme = scheme(uri);
    let after = uri.get(scheme.len()..)?;
    let web = scheme.is_empty()
        || scheme.eq_ignore_ascii_case("http:")
        || scheme.eq_ignore_ascii_case("https:");
    if !web {
        return None;
    }
    let Some(hierarchy) = after.strip_prefix("//") else {
        return scheme.is_empty().then_some(("", uri));
    };
    let end = hierarchy.find(['/', '?', '#']).unwrap_or(hierarchy.len());
    let origin = (end > 0).then_some(uri.len() - hierarchy.len() + end)?;
    uri.split_at_checked(origin)
}

/// The authority behind the slashes of an origin.
fn authority(origin: &str) -> &str {
    origin
        .split_once("//")
        .map_or("", |(_, authority)| authority)
}

impl Edit<'_> {
    /// Appends the URI.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.origin.as_bytes());
        let start = out.len();
        out.extend_from_slice(self.prefix.as_bytes());
        let path = out.len();
        match self.shape {
            Shape::Plain => {
                out.extend_from_slice(self.base.as_bytes());
                out.extend_from_slice(self.path.as_bytes());
            }
            Shape::Dotted => push_resolved(out, self.base, self.path),
        }
        let is_prefixed = out.get(path..).is_some_and(|path| path.starts_with(b"/~"));
        if is_prefixed {
            out.drain(start..path);
        }
        let is_authority = out.get(start..).is_some_and(|path| path.starts_with(b"//"));
        if is_authority && self.origin.is_empty() {
            // Two slashes at the beginning would announce a host (RFC 3986 section 3.3).
            out.splice(start..start, *b"/.");
        }
        out.extend_from_slice(self.rest.as_bytes());
    }
}

fn written(edit: Edit<'_>) -> Option<String> {
    let mut out = Vec::new();
    edit.write(&mut out);
    String::from_utf8(out).ok()
}

/// The scheme with its colon, or nothing (RFC 3986 section 3.1).
fn scheme(uri: &str) -> &str {
    let is_more = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !uri.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return "";
    }
    match uri.bytes().position(|byte| !is_more(byte)) {
        Some(end) if uri.as_bytes().get(end) == Some(&b':') => uri.get(..=end).unwrap_or(""),
        _ => "",
    }
}

/// Whether an authority without userinfo names `host`, on any port.
fn is_host(authority: &str, host: &str) -> bool {
    let end = match authority.starts_with('[') {
        true => authority.find(']').map(|bracket| bracket + 1),
        false => authority.find(':'),
    };
    let (name, port) = authority
        .split_at_checked(end.unwrap_or(authority.len()))
        .unwrap_or((authority, ""));
    let port = port.strip_prefix(':').unwrap_or(port);
    let name = bare(name.strip_suffix('.').unwrap_or(name));
    port.bytes().all(|digit| digit.is_ascii_digit()) && name.eq_ignore_ascii_case(bare(host))
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// Splits a path from its query and fragment; `None` for what must be left alone.
fn split_path(reference: &str) -> Option<(&str, &str, Shape)> {
    match is_plain(reference.as_bytes()) {
        true => Some((reference, "", Shape::Plain)),
        false => split_odd_path(reference),
    }
}

/// Whether there is nothing but a path without dot segments. Nearly all URIs are such, so this
/// looks at all bytes alike, which compilers turn into a few instructions for many bytes.
fn is_plain(reference: &[u8]) -> bool {
    let is_odd = |byte: u8| {
        (byte < 0x20)
            | (byte == 0x7F)
            | (byte == b'?')
            | (byte == b'#')
            | (byte == b'$')
            | (byte == b'%')
            | (byte == b'\\')
    };
    let odd = reference
        .iter()
        .fold(false, |odd, &byte| odd | is_odd(byte));
    let pairs = reference.iter().zip(reference.iter().skip(1));
    let dotted = pairs.fold(false, |dotted, (&a, &b)| {
        dotted | ((a == b'/') & (b == b'.'))
    });
    !odd && !dotted && !reference.starts_with(b".")
}

fn split_odd_path(reference: &str) -> Option<(&str, &str, Shape)> {
    let mut end = None;
    let mut shape = Shape::Plain;
    let mut before = b'/';
    for (at, byte) in reference.bytes().enumerate() {
        match byte {
            b'$' if before == b'{' => return None,
            0..=0x1F | 0x7F => return None,
            b'\\' if end.is_none() => return None,
            b'?' | b'#' if end.is_none() => end = Some(at),
            b'.' | b'%' if before == b'/' && end.is_none() => shape = Shape::Dotted,
            _ => {}
        }
        before = byte;
    }
    let (path, rest) = reference.split_at_checked(end.unwrap_or(reference.len()))?;
    Some((path, rest, shape))
}

/// Whether a session's prefix is there already.
fn is_prefixed(path: &str) -> bool {
    path.starts_with("/~")
}

/// A path up to its last slash.
fn directory(path: &str) -> &str {
    let slash = path.bytes().rposition(|byte| byte == b'/');
    let end = slash.map_or(0, |slash| slash + 1);
    path.get(..end).unwrap_or("/")
}

/// What a segment of a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Stay,
    Up,
    Into,
}

fn step(segment: &str) -> Step {
    match segment.len() {
        0 | 7.. => Step::Into,
        _ => match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." => Step::Stay,
            ".." => Step::Up,
            _ => Step::Into,
        },
    }
}

/// Whether `path` leads above the root at any point of its way from `base`.
fn climbs(base: &str, path: &str) -> bool {
    let mut depth = base.matches('/').count().saturating_sub(1);
    for segment in path.split('/') {
        match step(segment) {
            Step::Stay => {}
            Step::Into => depth += 1,
            Step::Up => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
        }
    }
    false
}

/// Appends `base` and `path` without dot segments (RFC 3986 section 5.2.4).
fn push_resolved(out: &mut Vec<u8>, base: &str, path: &str) {
    let root = out.len();
    let whole = [base.strip_suffix('/').unwrap_or(base), path];
    let segments = whole.iter().flat_map(|part| part.split('/'));
    // What precedes the first slash is no segment; without a base it precedes that of the path.
    let skipped = 1 + usize::from(base.is_empty());
    let mut last = Step::Into;
    for segment in segments.skip(skipped) {
        last = step(segment);
        match last {
            Step::Stay => {}
            Step::Into => {
                out.push(b'/');
                out.extend_from_slice(segment.as_bytes());
            }
            Step::Up => {
                let written = out.get(root..).unwrap_or_default();
                let slash = written.iter().rposition(|&byte| byte == b'/');
                out.truncate(root + slash.unwrap_or(0));
            }
        }
    }
    if last != Step::Into {
        out.push(b'/');
    }
}

#[cfg(test)]
mod tests;
