//! From the file's shape to a [`Config`]: defaults, relations between keys, and every fault.
//!
//! A section that finds a fault notes it and goes on with any value, so that one run names them
//! all; a `Config` leaves this module only when there was none.

mod adapt;
mod cache;
mod caching;
mod listen;
mod origin;
mod server;
mod session;
mod site;
mod url;

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Fault, without_password};
use super::file;
use super::given::{Given, Meaning};
use super::size::Size;
use super::span::Span;
use super::{Config, Secret};

/// Most bytes of a file that holds a secret; it is a line, and a wrong path must not fill memory.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// What [`is_name`] expects.
const NAME: &str = "up to 64 letters, digits, dots, underscores and hyphens";

/// What a configuration depends on beside its text.
pub(super) struct Surroundings<'a> {
    /// Directory that relative paths start from: that of the configuration file.
    pub(super) base: &'a Path,
    /// Reads a variable of the environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Name of this machine.
    pub(super) hostname: &'a str,
    /// Processors that this process may use.
    pub(super) processors: usize,
}

/// Turns the shape into a configuration.
///
/// # Errors
/// Every fault of the file, in the order of its sections.
pub(super) fn config(shape: file::File, around: &Surroundings<'_>) -> Result<Config, Vec<Fault>> {
    let mut check = Check {
        around,
        faults: Vec::new(),
    };
    let listen = check.listen(shape.listen);
    let certificates = check.certificates(shape.tls, &listen);
    let server = check.server(shape.server, shape.admin, &listen);
    let log = check.log(shape.log);
    let cache = check.cache(shape.cache);
    let purge = check.purge(shape.purge);
    let session = check.session(shape.session);
    let sites = check.sites(shape.site);
    if check.faults.is_empty() {
        Ok(Config {
            listen,
            certificates,
            server,
            log,
            cache,
            purge,
            session,
            sites,
        })
    } else {
        Err(check.faults)
    }
}

/// A check under way: its surroundings, and what it has found so far.
struct Check<'a> {
    around: &'a Surroundings<'a>,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// Notes a wrong value.
    fn refuse(&mut self, key: &str, written: &str, expected: impl Into<String>) {
        self.faults.push(Fault {
            key: key.to_owned(),
            value: Some(without_password(written)),
            expected: expected.into(),
        });
    }

    /// Notes a missing value.
    fn miss(&mut self, key: &str, expected: impl Into<String>) {
        self.faults.push(Fault {
            key: key.to_owned(),
            value: None,
            expected: expected.into(),
        });
    }

    /// Returns what a value means, `None` when it is absent or wrong.
    fn value<T: Meaning>(&mut self, key: &str, given: Option<Given<T>>) -> Option<T> {
        let given = given?;
        if given.meaning.is_none() {
            self.refuse(key, &given.written, T::EXPECTED);
        }
        given.meaning
    }

    /// Returns text that `holds`, `None` when it is absent or wrong.
    fn text(
        &mut self,
        key: &str,
        given: Option<Given<String>>,
        holds: fn(&str) -> bool,
        expected: &str,
    ) -> Option<String> {
        let text = self.value(key, given)?;
        if holds(&text) {
            return Some(text);
        }
        self.refuse(key, &quoted(&text), expected);
        None
    }

    /// Returns a number within `bounds`, or the default.
    fn number(
        &mut self,
        key: &str,
        given: Option<Given<u32>>,
        bounds: RangeInclusive<u32>,
        default: u32,
    ) -> u32 {
        let Some(given) = given else { return default };
        match given.meaning.filter(|number| bounds.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = (bounds.start(), bounds.end());
                let expected = format!("a whole number from {least} to {most}");
                self.refuse(key, &given.written, expected);
                default
            }
        }
    }

    /// Returns a span that may be zero, or the default.
    fn span_or_zero(
        &mut self,
        key: &str,
        given: Option<Given<Span>>,
        default: Duration,
    ) -> Duration {
        self.value(key, given).map_or(default, |span| span.0)
    }

    /// Returns a span above zero, or the default.
    fn span(&mut self, key: &str, given: Option<Given<Span>>, default: Duration) -> Duration {
        let Some(given) = given else { return default };
        match given.meaning {
            Some(span) if span.0.is_zero() => {
                self.refuse(key, &given.written, "a duration above zero such as \"10s\"");
                default
            }
            Some(span) => span.0,
            None => {
                self.refuse(key, &given.written, Span::EXPECTED);
                default
            }
        }
    }

    /// Returns a size in bytes of at least `least`, or the default.
    fn size(
        &mut self,
        key: &str,
        given: Option<Given<Size>>,
        least: (u64, &str),
        default: u64,
    ) -> u64 {
        let Some(given) = given else { return default };
        match given.meaning {
            Some(size) if size.0 < least.0 => {
                self.refuse(
                    key,
                    &given.written,
                    format!("a size of at least \"{}\"", least.1),
                );
                default
            }
            Some(size) => size.0,
            None => {
                self.refuse(key, &given.written, Size::EXPECTED);
                default
            }
        }
    }

    /// Returns the path of a file that can be read.
    fn file(&mut self, key: &str, given: Option<Given<String>>) -> Option<PathBuf> {
        let written = self.value(key, given)?;
        let path = self.around.base.join(&written);
        let opened = File::open(&path).and_then(|file| file.metadata());
        let reason = match opened {
            Ok(metadata) if metadata.is_file() => return Some(path),
            Ok(_) => "it is no file".to_owned(),
            Err(error) => error.to_string(),
        };
        let expected = format!("a file that can be read ({}: {reason})", path.display());
        self.refuse(key, &quoted(&written), expected);
        None
    }

    /// Returns a secret out of a file or a variable; `key` is without `_file` and `_env`.
    fn secret(
        &mut self,
        key: &str,
        file: Option<Given<String>>,
        variable: Option<Given<String>>,
    ) -> Option<Secret> {
        let (file_key, variable_key) = (format!("{key}_file"), format!("{key}_env"));
        if let (Some(_), Some(variable)) = (&file, &variable) {
            let expected = format!("no such key beside {file_key}");
            self.refuse(&variable_key, &variable.written, expected);
            return None;
        }
        if file.is_some() {
            let path = self.file(&file_key, file)?;
            return self.secret_of_file(&file_key, &path);
        }
        let name = self.value(&variable_key, variable)?;
        match (self.around.variable)(&name) {
            Some(text) if !text.is_empty() => Some(Secret(text)),
            _ => {
                self.refuse(
                    &variable_key,
                    &quoted(&name),
                    "the name of a variable of the environment that is set",
                );
                None
            }
        }
    }

    fn secret_of_file(&mut self, key: &str, path: &Path) -> Option<Secret> {
        let small = path
            .metadata()
            .is_ok_and(|metadata| metadata.len() <= SECRET_BYTES_MAX);
        let text = small.then(|| std::fs::read_to_string(path).ok()).flatten();
        let text = text
            .as_deref()
            .map(str::trim_end)
            .filter(|text| !text.is_empty());
        if text.is_none() {
            let written = quoted(&path.display().to_string());
            self.refuse(
                key,
                &written,
                "a file with one secret of at most 16 KiB of text in it",
            );
        }
        text.map(|text| Secret(text.to_owned()))
    }
}

/// Returns text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Whether `text` is a short name that is safe in headers, keys, labels and log lines.
fn is_name(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(safe)
}
