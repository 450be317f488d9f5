//! What the engine is asked for, and where it comes from.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;

use crate::asset;
use crate::cache::object::Target;
use crate::config::{self, Profile};
use crate::http::forward::Fields;
use crate::http::range::Wanted;
use crate::http::wishes::Wishes;
use crate::key::Key;
use crate::origin::{self, Interim, Origin};
use crate::route::Route;

/// A site with its origin.
pub struct Source {
    /// The site's rules.
    pub site: Arc<config::Site>,
    /// Where its objects come from.
    pub origin: Arc<dyn Origin>,
}

/// What is asked of the engine.
#[derive(Clone)]
pub struct Ask {
    /// The site and its origin.
    pub source: Arc<Source>,
    /// Which object.
    pub key: Key,
    /// What the origin is asked for.
    pub target: Target,
    /// Kind of object.
    pub kind: asset::Kind,
    /// The first range that the client asks for, which decides what is fetched first.
    pub want: Option<Wanted>,
    /// Only the head is wanted.
    pub head_only: bool,
    /// What of the client's request the origin sees.
    pub fields: Arc<Fields>,
    /// What the client wishes of a cache, where its word counts.
    pub wishes: Wishes,
    /// Who is told of interim responses.
    pub interim: Option<mpsc::Sender<Interim>>,
    /// Which CDNs the request has passed (RFC 8586), as it was received.
    pub cdn_loop: Option<HeaderValue>,
}

impl Ask {
    /// Asks for the whole of what a route names; of the client's request the origin sees `fields`.
    #[must_use]
    pub fn whole(source: &Arc<Source>, route: Route, fields: Arc<Fields>) -> Self {
        Self {
            source: Arc::clone(source),
            key: route.key,
            target: Target {
                path: route.origin_path,
                query: route.origin_query,
            },
            kind: route.kind,
            want: None,
            head_only: false,
            fields,
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        }
    }

    /// Where more bytes of what is opened come from.
    #[must_use]
    pub fn supply(&self) -> Supply {
        Supply {
            source: Arc::clone(&self.source),
            fields: Arc::clone(&self.fields),
        }
    }

    /// The origin request for the whole of it.
    pub(crate) fn fetch(&self) -> origin::Fetch {
        origin::Fetch {
            path: self.target.path.clone(),
            query: self.target.query.clone(),
            fields: Some(Arc::clone(&self.fields)),
            interim: self.interim.clone(),
            cdn_loop: self.cdn_loop.clone(),
            ..origin::Fetch::default()
        }
    }

    /// Whether an answer of the origin is a failure of it and no answer about the object. What a
    /// general site answers is for its client to see.
    pub(crate) fn is_failure(&self, status: StatusCode) -> bool {
        status.is_server_error() && self.source.site.profile == Profile::Video
    }
}

/// Where the bytes of an object come from, for one client.
#[derive(Clone)]
pub struct Supply {
    /// The site and its origin.
    pub source: Arc<Source>,
    /// What of the client's request the origin sees.
    pub fields: Arc<Fields>,
}
