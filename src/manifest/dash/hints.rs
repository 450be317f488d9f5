//! Where to start, and what to report: hints that players read from `ServiceDescription`.
//!
//! dash.js obeys one `ServiceDescription` only: the last for DVB low latency, else the last without
//! a scheme in its `Scope`. Hints are put into that one, so that the author's latency and playback
//! rate stay in force; a new one comes behind all others, since Shaka reads the first.

use quick_xml::escape::escape;

use super::edits::Edits;
use super::offer::Offer;
use super::tree::{Element, Tree};
use crate::manifest::plan::Plan;

/// The scope that dash.js prefers (ETSI TS 103 285).
const LOW_LATENCY: &str = "urn:dvb:dash:lowlatency:scope:2019";

/// The children of `ServiceDescription`, in the order of the schema.
const ORDER: &[&str] = &[
    "Scope",
    "Latency",
    "PlaybackRate",
    "OperatingQuality",
    "OperatingBandwidth",
    "ContentSteering",
    "ClientDataReporting",
];

/// The keys of CTA-5004 that are of use here.
const KEYS: &str = "bl br bs d dl mtp nor nrr ot pr rtp sf sid st su tb";

/// Merges the hints of `plan` into the MPD.
pub(super) fn give(tree: &Tree<'_>, offer: &Offer<'_>, plan: &Plan, edits: &mut Edits<'_>) {
    let service = obeyed(tree);
    let mut wanted = Vec::new();
    if let Some(start) = plan.start.and_then(|rung| Start::new(offer, rung)) {
        match demanded(tree, service) {
            Some(bandwidth) => start.merge(tree, bandwidth, edits),
            None => wanted.push(("OperatingBandwidth", start.markup(tree.prefix))),
        }
    }
    let reports = service.and_then(|service| tree.child(service, "ClientDataReporting"));
    if let (Some(session), None) = (&plan.cmcd, reports) {
        wanted.push(("ClientDataReporting", reporting(tree.prefix, session)));
    }
    match service {
        _ if wanted.is_empty() => {}
        Some(service) if service.is_empty_tag() => {
            let end = service.open.end;
            edits.replace(
                end.saturating_sub(2)..end,
                format!(">{}", closed(tree, &wanted)),
            );
        }
        Some(service) => {
            for (name, markup) in &wanted {
                edits.insert(tree, service, (ORDER, name), markup);
            }
        }
        None => {
            let markup = format!(
                "<{}ServiceDescription>{}",
                tree.prefix,
                closed(tree, &wanted)
            );
            edits.insert_top(tree, "ServiceDescription", &markup);
        }
    }
}

/// Whether the MPD takes a rung to start with.
pub(super) fn can_start(tree: &Tree<'_>, offer: &Offer<'_>, rung: usize) -> bool {
    let bandwidth = demanded(tree, obeyed(tree));
    let start = Start::new(offer, rung);
    start.is_some_and(|start| bandwidth.is_none_or(|bandwidth| start.joins(tree, bandwidth)))
}

/// What the author demands of bit rates, as far as dash.js obeys.
fn demanded<'t, 'a>(
    tree: &'t Tree<'a>,
    service: Option<&'t Element<'a>>,
) -> Option<&'t Element<'a>> {
    tree.named(service?, "OperatingBandwidth").last()
}

/// What is wanted, and the end tag behind it.
fn closed(tree: &Tree<'_>, wanted: &[(&str, String)]) -> String {
    let mut markup: String = wanted.iter().map(|(_, markup)| markup.as_str()).collect();
    markup.push_str("</");
    markup.push_str(tree.prefix);
    markup.push_str("ServiceDescription>");
    markup
}

/// The `ServiceDescription` that dash.js obeys.
fn obeyed<'t, 'a>(tree: &'t Tree<'a>) -> Option<&'t Element<'a>> {
    let mut preferred = None;
    let mut general = None;
    for service in tree.top("ServiceDescription") {
        let scope = tree.named(service, "Scope").last();
        match scope.and_then(|scope| tree.value(scope, "schemeIdUri")) {
            Some(scheme) if scheme == LOW_LATENCY => preferred = Some(service),
            Some(_) => {}
            None => general = Some(service),
        }
    }
    preferred.or(general)
}

/// What the players shall start with.
struct Start {
    media: &'static str,
    /// `@bandwidth` of the representation: dash.js takes the best one that is not above.
    target: u64,
}

impl Start {
    fn new(offer: &Offer<'_>, rung: usize) -> Option<Self> {
        let mut representations = offer.representations.iter();
        let found = representations.find(|representation| representation.rung == Some(rung))?;
        let has_video = offer.ladder.rungs.get(rung)?.has_video;
        Some(Self {
            media: if has_video { "video" } else { "audio" },
            target: found.bandwidth,
        })
    }

    fn markup(&self, prefix: &str) -> String {
        format!(
            "<{prefix}OperatingBandwidth mediaType=\"{}\" target=\"{}\"/>",
            self.media, self.target,
        )
    }

    /// Whether there is a place for it in what the author demands: he has no target for this
    /// medium. Beside demands of other media there is none: dash.js would forget those.
    fn joins(&self, tree: &Tree<'_>, bandwidth: &Element<'_>) -> bool {
        let is_same = tree.value(bandwidth, "mediaType").as_deref() == Some(self.media);
        is_same && tree.value(bandwidth, "target").is_none()
    }

    /// Adds the target to what the author demands, where it has a place.
    fn merge(&self, tree: &Tree<'_>, bandwidth: &Element<'_>, edits: &mut Edits<'_>) {
        if self.joins(tree, bandwidth) {
            let most = tree.number(bandwidth, "max").unwrap_or(u64::MAX);
            let least = tree.number(bandwidth, "min").unwrap_or_default();
            let target = self.target.max(least).min(most);
            edits.add_attribute(bandwidth, "target", &target.to_string());
        }
    }
}

/// Asks for CMCD in the query of segment requests, as dash.js wants to be asked.
fn reporting(prefix: &str, session: &str) -> String {
    format!(
        "<{prefix}ClientDataReporting><{prefix}CMCDParameters \
         schemeIdUri=\"urn:mpeg:dash:cta-5004:2023\" version=\"1\" mode=\"query\" keys=\"{KEYS}\" \
         sessionID=\"{}\" includeInRequests=\"segment\"/></{prefix}ClientDataReporting>",
        escape(session),
    )
}
