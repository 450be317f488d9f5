//! What is asked for: site, canonical key, kind of object; or a refusal with its reason. Pure.
//! stub

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::asset::Kind;
use crate::cache::key::Key;
use crate::config::Site;

/// stub
pub struct Head<'a> {
    /// stub
    pub method: &'a Method,
    /// stub
    pub target: &'a str,
    /// stub
    pub authority: Option<&'a str>,
    /// stub
    pub accept: Option<&'a str>,
}

/// stub
#[derive(Debug, Clone)]
pub struct Route {
    /// stub
    pub site: Arc<Site>,
    /// stub
    pub key: Key,
    /// stub
    pub origin_path: String,
    /// stub
    pub origin_query: Option<String>,
    /// stub
    pub kind: Kind,
}

/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// stub
    Method,
    /// stub
    Host,
}

impl Refusal {
    /// stub
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
        }
    }
    /// stub
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Host => "host",
        }
    }
}

/// stub
///
/// # Errors
/// stub
pub fn route(sites: &[Arc<Site>], head: &Head<'_>) -> Result<Route, Refusal> {
    let site = sites.first().ok_or(Refusal::Host)?;
    if !site.methods.contains(head.method) {
        return Err(Refusal::Method);
    }
    let path = head.target.split('?').next().unwrap_or("/");
    Ok(Route {
        site: Arc::clone(site),
        key: Key::new(&site.name, path, None),
        origin_path: path.to_owned(),
        origin_query: None,
        kind: Kind::of(path),
    })
}
