//! Manifests say in their bodies whether they still grow, which decides how long they live.

use crate::asset::{Kind, Maturity, manifest_is_finished};
use crate::cache::object::{Object, Stretch};
use crate::config::Site;
use crate::http::freshness::{self, Answer, Judgement};

/// Whether an object still grows.
#[must_use]
pub fn maturity(kind: Kind, object: &Object) -> Maturity {
    if !kind.is_manifest() {
        return Maturity::Growing;
    }
    let chunks = object.chunks_in(Stretch {
        first: 0,
        end: object.length(),
    });
    let is_finished = match chunks.as_slice() {
        [(_, only)] => manifest_is_finished(kind, only),
        several => {
            let body: Vec<_> = several.iter().map(|(_, chunk)| chunk.as_ref()).collect();
            manifest_is_finished(kind, &body.concat())
        }
    };
    if is_finished {
        Maturity::Finished
    } else {
        Maturity::Growing
    }
}

/// Gives a manifest that turned out to be finished the longer life that such ones have.
pub fn ripen(kind: Kind, object: &Object, site: &Site) {
    if maturity(kind, object) == Maturity::Growing {
        return;
    }
    let rules = kind.rules(site, Maturity::Finished, object.length());
    object.amend(|head| {
        let answer = Answer {
            status: head.status,
            headers: &head.headers,
            // What is stored may be; who asked for it first changes nothing about its life.
            is_authorized: false,
            asked: head.fetched,
            arrived: head.fetched,
        };
        if let Judgement::Store { freshness, .. } = freshness::judge(&answer, &rules) {
            head.freshness = freshness;
        }
    });
}
