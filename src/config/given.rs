//! A value of the file as it was written, and what it means, if it means anything.
//!
//! Reading never ends at a wrong value: what has no meaning is kept as text, so that `check` can
//! name every fault of a file at once. Only syntax and unknown keys end the reading itself.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer};

/// Longest text of a wrong value that is repeated to the operator, in characters.
const WRITTEN_CHARS_MAX: usize = 120;

/// A value of the file.
pub(super) struct Given<T> {
    /// TOML text of the value, for faults.
    pub(super) written: String,
    /// What it means; `None` when it is no `T`.
    pub(super) meaning: Option<T>,
}

/// A type that a value of the file can mean.
pub(super) trait Meaning: Sized {
    /// What a value must look like, for faults.
    const EXPECTED: &'static str;

    /// Returns what `value` means, if it means a `Self`.
    fn of(value: &toml::Value) -> Option<Self>;
}

impl<'de, T: Meaning> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        Ok(Self {
            written: value.to_string().chars().take(WRITTEN_CHARS_MAX).collect(),
            meaning: T::of(&value),
        })
    }
}

impl Meaning for String {
    const EXPECTED: &'static str = "text in quotes";

    fn of(value: &toml::Value) -> Option<Self> {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(Self::from)
    }
}

impl Meaning for bool {
    const EXPECTED: &'static str = "true or false";

    fn of(value: &toml::Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Meaning for u32 {
    const EXPECTED: &'static str = "a whole number";

    fn of(value: &toml::Value) -> Option<Self> {
        value
            .as_integer()
            .and_then(|number| Self::try_from(number).ok())
    }
}

impl Meaning for SocketAddr {
    const EXPECTED: &'static str = "an address and a port such as \"127.0.0.1:8080\"";

    fn of(value: &toml::Value) -> Option<Self> {
        value.as_str().and_then(|text| text.parse().ok())
    }
}
