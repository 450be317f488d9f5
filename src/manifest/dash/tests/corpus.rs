//! Every MPD of the corpus, where it is present, and the fixtures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::below;
use super::fixtures::ALL;
use crate::manifest::dash::Mpd;
use crate::manifest::ladder::{First, Rung};
use crate::manifest::plan::{Kept, Plan, SteeringHint};
use crate::manifest::tests::corpus;
use crate::manifest::uri::Relative;

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")
}

/// Name and text of every MPD.
pub(super) fn specimens() -> Vec<(String, Vec<u8>)> {
    let fixtures = ALL
        .iter()
        .map(|text| (text.chars().take(60).collect(), text.as_bytes().to_vec()));
    let found = corpus::manifests(&["mpd"]);
    let found = found
        .into_iter()
        .map(|one| (one.path.display().to_string(), one.text));
    fixtures.chain(found).collect()
}

/// Every edit but filtering.
pub(super) fn full(relative: Relative) -> Plan {
    Plan {
        rebase: Some(below(relative)),
        kept: None,
        start: Some(0),
        steering: Some(SteeringHint {
            url: "https://edge.example/steering".to_owned(),
            pathway: "here".to_owned(),
        }),
        cmcd: Some("session".to_owned()),
        refresh: Some("/~sid/films/one/main.mpd".to_owned()),
    }
}

/// Keeps the rungs that are not above the average one.
pub(super) fn lower(mpd: &Mpd<'_>) -> Kept {
    let rungs = &mpd.ladder().rungs;
    let sum: u128 = rungs.iter().map(|rung| u128::from(rung.bandwidth)).sum();
    let count = u128::try_from(rungs.len()).unwrap();
    let is_low = |rung: &Rung| u128::from(rung.bandwidth) * count <= sum;
    Kept {
        rungs: rungs.iter().map(is_low).collect(),
        renditions: vec![true; mpd.ladder().renditions.len()],
    }
}

#[test]
fn an_empty_plan_changes_no_byte() {
    for (name, text) in specimens() {
        match Mpd::parse(&text) {
            Ok(mpd) => assert!(mpd.write(&Plan::default()) == text, "{name}"),
            Err(error) => assert!(name.ends_with("/incomplete.mpd"), "{name}: {error}"),
        }
    }
}

#[test]
fn filtering_leaves_the_other_rungs_as_they_are_and_no_set_empty() {
    let mut filtered = 0;
    for (name, text) in specimens() {
        let Ok(mpd) = Mpd::parse(&text) else { continue };
        let kept = lower(&mpd);
        let before = &mpd.ladder().rungs;
        let plan = Plan {
            kept: Some(kept.clone()),
            ..Plan::default()
        };
        let text = mpd.write(&plan);
        let after = Mpd::parse(&text).unwrap();
        let after = &after.ladder().rungs;
        let bare = |rung: &Rung| Rung {
            group: 0,
            ..rung.clone()
        };
        let mut left = after.iter().map(bare).peekable();
        let mut groups = BTreeSet::new();
        for (rung, is_kept) in before.iter().zip(&kept.rungs) {
            if left.next_if(|next| *next == bare(rung)).is_some() {
                groups.insert(rung.group);
            } else {
                assert!(!is_kept, "{name}: a kept rung is gone");
                filtered += 1;
            }
        }
        assert_eq!(left.next(), None, "{name}: a rung has appeared or changed");
        assert_eq!(groups.is_empty(), before.is_empty(), "{name}");
        assert!(after.len() >= kept.rungs.iter().filter(|kept| **kept).count());
    }
    assert!(filtered > 0);
}

/// The events of an MPD without what hints put there: one line each.
fn events(text: &[u8]) -> Vec<String> {
    const HINTS: [&str; 6] = [
        "BaseURL",
        "Location",
        "PatchLocation",
        "ContentSteering",
        "OperatingBandwidth",
        "ClientDataReporting",
    ];
    let text = std::str::from_utf8(text).unwrap();
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut events: Vec<String> = Vec::new();
    let mut depth = 0;
    let mut skipped = None;
    loop {
        let event = reader.read_event().unwrap();
        let mut line = None;
        match &event {
            Event::Eof => break,
            Event::Start(tag) => {
                // Within a period a `BaseURL` may only change its host's path.
                let name = tag.local_name();
                let is_hint =
                    HINTS.contains(&name.as_ref()) && (depth < 2 || name.as_ref() != "BaseURL");
                if is_hint && skipped.is_none() {
                    skipped = Some(depth);
                }
                depth += 1;
                line = Some(format!("<{}", tag.name().as_ref()));
                let attributes = tag.attributes().map(|one| {
                    let one = one.unwrap();
                    format!(" {}={}", one.key.as_ref(), one.value)
                });
                line = line.map(|line| line + &attributes.collect::<String>());
            }
            Event::End(tag) => {
                depth -= 1;
                line = Some(format!("</{}", tag.name().as_ref()));
            }
            Event::Text(text) if text.trim().is_empty() => {}
            other => line = Some(format!("{other:?}")),
        }
        if skipped.is_none() {
            events.extend(line.map(|line| line.replace("/~sid/", "/")));
        }
        if skipped == Some(depth) && matches!(event, Event::End(_)) {
            skipped = None;
        }
    }
    // A service description that holds nothing but hints is one.
    while let Some(place) = events.windows(2).position(|pair| {
        pair[0].ends_with("ServiceDescription") && pair[1].ends_with("ServiceDescription")
    }) {
        events.drain(place..place + 2);
    }
    events
}

#[test]
fn a_full_plan_makes_the_intended_edits_only() {
    let mut edited = 0;
    for (name, text) in specimens() {
        let Ok(mpd) = Mpd::parse(&text) else { continue };
        let written = mpd.write(&full(Relative::Inherit));
        assert_eq!(events(&text), events(&written), "{name}");
        let again = Mpd::parse(&written).unwrap();
        let bare = |rung: &Rung| Rung {
            first: First::default(),
            ..rung.clone()
        };
        let rungs = |mpd: &Mpd<'_>| mpd.ladder().rungs.iter().map(bare).collect::<Vec<_>>();
        assert_eq!(rungs(&mpd), rungs(&again), "{name}");
        assert_eq!(mpd.ladder().renditions, again.ladder().renditions, "{name}");
        let twice = again.write(&full(Relative::Inherit));
        assert!(
            twice == written,
            "{name}: a second pass finds everything done"
        );
        edited += usize::from(written != text);
    }
    assert!(edited >= ALL.len());
}

/// Which files the schema takes.
fn valid(schema: &Path, files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(schema)
        .args(files)
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    lines
        .lines()
        .filter_map(|line| line.strip_suffix(" validates"))
        .map(PathBuf::from)
        .collect()
}

/// Takes out the elements that the schema is too old for.
fn without_young(text: Vec<u8>) -> String {
    let mut text = String::from_utf8(text).unwrap();
    for (start, end) in [
        ("ClientDataReporting>", "ClientDataReporting>"),
        ("ContentSteering default", "ContentSteering>"),
    ] {
        if let Some((before, rest)) = text.split_once(start) {
            let (before, _) = before.rsplit_once('<').unwrap();
            let (_, after) = rest.split_once(end).unwrap();
            text = format!("{before}{after}");
        }
    }
    text
}

#[test]
fn what_was_valid_by_the_schema_is_valid_afterwards() {
    let schemas = shared().join("dash-schema");
    let has_tool = Command::new("xmllint").arg("--version").output().is_ok();
    let Ok(schema) = std::fs::read_to_string(schemas.join("DASH-MPD.xsd")) else {
        return;
    };
    if !has_tool {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let stub = schemas.join("xlink_stub.xsd");
    let local = schema.replace(
        "http://www.w3.org/XML/2008/06/xlink.xsd",
        &stub.canonicalize().unwrap().display().to_string(),
    );
    let schema = directory.path().join("mpd.xsd");
    std::fs::write(&schema, local).unwrap();
    let texts = specimens();
    let put = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let before: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(place, (_, text))| put(&format!("{place}.mpd"), text))
        .collect();
    let accepted = valid(&schema, &before);
    assert!(accepted.len() >= ALL.len() - 1, "the schema works");
    let mut after = Vec::new();
    for (place, ((_, text), path)) in texts.iter().zip(&before).enumerate() {
        let Ok(mpd) = Mpd::parse(text) else { continue };
        if !accepted.contains(path) {
            continue;
        }
        for relative in [Relative::Inherit, Relative::Resolve] {
            let mut plan = full(relative);
            plan.kept = Some(lower(&mpd));
            let written = without_young(mpd.write(&plan));
            after.push(put(
                &format!("{place}-{relative:?}.mpd"),
                written.as_bytes(),
            ));
        }
    }
    let still = valid(&schema, &after);
    for path in after {
        assert!(
            still.contains(&path),
            "{}",
            std::fs::read_to_string(&path).unwrap()
        );
    }
}

#[test]
fn hints_go_where_they_would_go_in_what_a_filter_left() {
    let mut random = Rng::with_seed(1);
    for (name, text) in specimens() {
        let Ok(mpd) = Mpd::parse(&text) else {
            continue;
        };
        let ladder = mpd.ladder();
        for relative in [Relative::Inherit, Relative::Resolve].repeat(4) {
            let kept = Kept {
                rungs: ladder.rungs.iter().map(|_| random.bool()).collect(),
                renditions: ladder.renditions.iter().map(|_| random.bool()).collect(),
            };
            let hints = Plan {
                start: None,
                ..full(relative)
            };
            let filter = Plan {
                kept: Some(kept.clone()),
                ..Plan::default()
            };
            let both = Plan {
                kept: Some(kept),
                ..hints.clone()
            };
            let filtered = mpd.write(&filter);
            let again = Mpd::parse(&filtered).unwrap();
            assert!(mpd.write(&both) == again.write(&hints), "{name}");
        }
    }
}
