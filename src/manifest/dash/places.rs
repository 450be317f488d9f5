//! Where an MPD's URIs lead: `BaseURL`, `Location`, and URIs that do not depend on a `BaseURL`.
//!
//! A relative URI within the MPD resolves against the `BaseURL`s around it, so that it is enough to
//! write the outermost one anew. URIs of the MPD itself (`xlink:href`, `Location`, chaining) resolve
//! against its address.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use quick_xml::escape::escape;

use super::edits::Edits;
use super::tag::is_led;
use super::tree::{Element, Tree};
use crate::manifest::plan::{Plan, SteeringHint};
use crate::manifest::uri::{self, Rebase, Relative};

/// A property whose value is the address of another MPD.
const CHAINING: [&str; 2] = ["urn:mpeg:dash:chaining:2016", "urn:mpeg:dash:fallback:2016"];

/// Elements that may stand for others, which are elsewhere.
const REMOTE: [&str; 5] = [
    "Period",
    "AdaptationSet",
    "SegmentList",
    "EventStream",
    "InitializationSet",
];

/// The attributes of an element that are URIs, or templates of some.
fn with_uris(name: &str) -> &'static [&'static str] {
    match name {
        "SegmentTemplate" => &["media", "index", "initialization", "bitstreamSwitching"],
        "SegmentURL" => &["media", "index"],
        "Initialization" | "RepresentationIndex" | "BitstreamSwitching" => &["sourceURL"],
        "InitializationSet" => &["initialization"],
        "AdaptationSet" => &["initializationPrincipal"],
        _ => &[],
    }
}

/// URIs of an MPD, but for those in `BaseURL` and `Location` at its top.
#[derive(Debug, Default)]
pub(super) struct Places {
    list: Vec<Place>,
    /// The authorities that they name: advertisements bring many URIs of few others.
    authorities: Vec<String>,
    /// Whether the author steers.
    is_steered: bool,
}

/// A URI that may have to lead elsewhere.
#[derive(Debug)]
struct Place {
    span: Range<usize>,
    /// Which of the authorities it names.
    authority: usize,
    /// Where a session's prefix goes, if that is all that changes.
    prefix_at: Option<usize>,
}

impl Places {
    /// Finds them. Those that resolve against a `BaseURL` are left out: they need no change.
    pub(super) fn find(tree: &Tree<'_>) -> Self {
        let mut places = Self::default();
        let mut numbers = HashMap::new();
        for span in spans(tree) {
            let uri = tree.plain(span.clone());
            let Some(lead) = uri::lead(&uri) else {
                continue;
            };
            let fresh = numbers.len();
            let number = numbers.entry(lead.authority.to_owned()).or_insert(fresh);
            places.list.push(Place {
                authority: *number,
                prefix_at: lead
                    .prefix_at
                    .and_then(|at| written(tree, &span, uri.get(..=at)?)),
                span,
            });
        }
        let mut authorities: Vec<_> = numbers.into_iter().collect();
        authorities.sort_unstable_by_key(|(_, number)| *number);
        places.authorities = authorities.into_iter().map(|(name, _)| name).collect();
        let mut elements = tree.elements().iter();
        places.is_steered = elements.any(|element| element.name == "ContentSteering");
        places
    }

    /// Makes them lead where `plan` wants them. `refresh` is where the MPD is read again.
    pub(super) fn rewrite<'e>(
        &self,
        tree: &Tree<'_>,
        plan: &'e Plan,
        refresh: Option<&'e str>,
        edits: &mut Edits<'e>,
    ) {
        let is_moved = refresh.is_some_and(|refresh| locate(tree, plan, refresh, edits));
        let rebase = plan.rebase.as_ref().map(|rebase| Rebase {
            // Some players resolve a `BaseURL` against `Location` at once, others later.
            relative: if is_moved {
                Relative::Resolve
            } else {
                rebase.relative
            },
            ..rebase.clone()
        });
        let steering = plan
            .steering
            .as_ref()
            .filter(|hint| !self.is_steered && can_steer(tree, hint, rebase.as_ref()));
        base(tree, rebase.as_ref(), steering, edits);
        if let Some(hint) = steering {
            let markup = format!(
                "<{p}ContentSteering defaultServiceLocation=\"{}\" queryBeforeStart=\"false\">{}\
                 </{p}ContentSteering>",
                escape(&hint.pathway),
                escape(&hint.url),
                p = tree.prefix,
            );
            edits.insert_top(tree, "ContentSteering", &markup);
        }
        if let Some(rebase) = &plan.rebase {
            for location in tree.top("Location").filter(|_| refresh.is_none()) {
                rewrite(tree, &location.inside(), rebase, edits);
            }
            self.rebase(tree, rebase, edits);
        }
    }

    /// Makes those lead below the session's prefix that lead to this site.
    fn rebase<'e>(&self, tree: &Tree<'_>, rebase: &'e Rebase, edits: &mut Edits<'e>) {
        let own = self.authorities.iter().map(|name| rebase.is_own(name));
        let own: Vec<bool> = own.collect();
        let is_own = |place: &&Place| own.get(place.authority) == Some(&true);
        let places = self.list.iter().filter(is_own);
        let prefix = match escape(&rebase.prefix) {
            Cow::Borrowed(prefix) => Some(prefix),
            Cow::Owned(_) => None,
        };
        // Without a prefix those stay that would get nothing else.
        if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
            let most = if own.contains(&true) {
                self.list.len()
            } else {
                0
            };
            let mut prefixed = Vec::with_capacity(most);
            prefixed.extend(places.clone().filter_map(|place| place.prefix_at));
            edits.prefix(prefix, prefixed);
        }
        for place in places.filter(|place| prefix.is_none() || place.prefix_at.is_none()) {
            rewrite(tree, &place.span, rebase, edits);
        }
    }
}

/// Where the URIs are that may have to lead elsewhere, in the order of the text.
fn spans(tree: &Tree<'_>) -> impl Iterator<Item = Range<usize>> {
    tree.elements().iter().flat_map(|element| {
        let mut spans = own_spans(tree, element);
        if REMOTE.contains(&element.name) {
            spans.extend(tree.xlink(element, "href").map(|href| href.value));
            spans.sort_unstable_by_key(|span| span.start);
        }
        spans
    })
}

/// Where an element has such URIs.
fn own_spans(tree: &Tree<'_>, element: &Element<'_>) -> Vec<Range<usize>> {
    match element.name {
        "UTCTiming" => clocks(tree, element),
        "EssentialProperty" | "SupplementalProperty" => {
            chained(tree, element).into_iter().collect()
        }
        "BaseURL" if is_led(&tree.content(element)) => vec![element.inside()],
        name => {
            let names = with_uris(name);
            if names.is_empty() {
                return Vec::new();
            }
            let found = tree
                .attributes(element)
                .filter(|attribute| names.contains(&attribute.name) && is_led(&attribute.text()));
            found.map(|attribute| attribute.value).collect()
        }
    }
}

/// Where the last byte of the beginning of a URI is, if that is written in a span as it reads.
fn written(tree: &Tree<'_>, span: &Range<usize>, beginning: &str) -> Option<usize> {
    let raw = tree.text.get(span.clone())?;
    let ink = raw.trim_start();
    let blanks = raw.len().saturating_sub(ink.len());
    let last = beginning.len().checked_sub(1)?;
    let is_verbatim = ink.starts_with(beginning);
    is_verbatim.then(|| span.start.saturating_add(blanks).saturating_add(last))
}

/// The URIs that a player asks for the time.
fn clocks<'a>(tree: &Tree<'a>, timing: &Element<'a>) -> Vec<Range<usize>> {
    let scheme = tree.value(timing, "schemeIdUri").unwrap_or_default();
    let Some(value) = tree
        .attribute(timing, "value")
        .filter(|_| scheme.starts_with("urn:mpeg:dash:utc:http-"))
    else {
        return Vec::new();
    };
    let raw = tree.text.get(value.value.clone()).unwrap_or_default();
    let mut at = value.value.start;
    let mut spans = Vec::new();
    for word in raw.split([' ', '\t', '\r', '\n']) {
        if is_led(word) {
            spans.push(at..at.saturating_add(word.len()));
        }
        at = at.saturating_add(word.len()).saturating_add(1);
    }
    spans
}

/// The address of the MPD that is played next, or instead.
fn chained<'a>(tree: &Tree<'a>, property: &Element<'a>) -> Option<Range<usize>> {
    let scheme = tree.value(property, "schemeIdUri")?;
    let value = tree.attribute(property, "value")?;
    CHAINING.contains(&scheme.as_ref()).then_some(value.value)
}

/// Rebases the URI in a span.
fn rewrite(tree: &Tree<'_>, span: &Range<usize>, rebase: &Rebase, edits: &mut Edits<'_>) {
    if let Some(rebased) = rebase.apply(&tree.plain(span.clone())) {
        edits.write(span.clone(), rebased);
    }
}

/// Names `refresh` as the place where the MPD is read again; returns whether it could.
///
/// Where the author sends players to other hosts only, they shall go there.
fn locate<'e>(tree: &Tree<'_>, plan: &Plan, refresh: &'e str, edits: &mut Edits<'e>) -> bool {
    let all: Vec<_> = tree.top("Location").collect();
    if all.is_empty() {
        let markup = format!(
            "<{p}Location>{}</{p}Location>",
            escape(refresh),
            p = tree.prefix
        );
        edits.insert_top(tree, "Location", &markup);
        return true;
    }
    let own = all
        .into_iter()
        .filter(|location| is_own(&tree.content(location), plan.rebase.as_ref()));
    let mut is_moved = false;
    for location in own {
        if location.is_empty_tag() {
            continue;
        }
        if is_moved {
            edits.remove(tree, location);
        } else {
            edits.write(location.inside(), refresh);
        }
        is_moved = true;
    }
    is_moved
}

/// Whether a URI leads to this site: whether a prefix would be put before its path.
fn is_own(uri: &str, rebase: Option<&Rebase>) -> bool {
    let probe = Rebase {
        object: "/".to_owned(),
        prefix: "/-".to_owned(),
        hosts: rebase.map_or_else(Vec::new, |rebase| rebase.hosts.clone()),
        relative: Relative::Resolve,
    };
    probe.apply(uri).is_some()
}

/// Whether players can be steered as `hint` wants: what they are steered away from is this site.
fn can_steer(tree: &Tree<'_>, hint: &SteeringHint, rebase: Option<&Rebase>) -> bool {
    let bases: Vec<_> = tree.top("BaseURL").collect();
    let is_ours = |base: &Element<'_>| !base.is_empty_tag() && is_own(&tree.content(base), rebase);
    match bases.as_slice() {
        [] => true,
        [base] if tree.attribute(base, "serviceLocation").is_none() => is_ours(base),
        all => all.iter().filter(|base| is_ours(base)).any(|base| {
            tree.value(base, "serviceLocation").as_deref() == Some(hint.pathway.as_str())
        }),
    }
}

/// Writes the outermost bases anew, or gives the MPD one.
fn base(
    tree: &Tree<'_>,
    rebase: Option<&Rebase>,
    steering: Option<&SteeringHint>,
    edits: &mut Edits<'_>,
) {
    let mut bases = tree.top("BaseURL").peekable();
    let here = |rebase: &Rebase| rebase.apply("./");
    if bases.peek().is_none() {
        let place = rebase.and_then(here);
        let location =
            steering.map(|hint| format!(" serviceLocation=\"{}\"", escape(&hint.pathway)));
        if place.is_some() || location.is_some() {
            let markup = format!(
                "<{p}BaseURL{}>{}</{p}BaseURL>",
                location.unwrap_or_default(),
                escape(place.as_deref().unwrap_or("./")),
                p = tree.prefix,
            );
            edits.insert_top(tree, "BaseURL", &markup);
        }
        return;
    }
    for base in bases {
        if let Some(hint) = steering
            && tree.value(base, "serviceLocation").is_none()
        {
            edits.add_attribute(base, "serviceLocation", &hint.pathway);
        }
        let uri = tree.content(base);
        // Those that do not depend on where the MPD is are among the places.
        if !is_led(&uri)
            && !base.is_empty_tag()
            && let Some(rebased) =
                rebase.and_then(|rebase| rebase.apply(if uri.is_empty() { "./" } else { &uri }))
        {
            edits.write(base.inside(), rebased);
        }
    }
}
