//! What is written is true: the README's metrics are the program's, modules depend one way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::harness::{edge, web};

/// Modules from the bottom up; each may name those of the lines above its own, and itself.
/// Those of one line do not name each other.
const LAYERS: [&[&str]; 19] = [
    &["limits", "clock", "subnet", "metrics", "life", "config"],
    &["telemetry"],
    &["http"],
    &["manifest"],
    &["key"],
    &["asset"],
    &["route"],
    &["origin", "redis"],
    &["session"],
    &["purge"],
    &["cache"],
    &["prefetch"],
    &["proxy"],
    &["admin"],
    &["server"],
    &["demo"],
    &["cli"],
    &["lib"],
    &["main"],
];

fn sources() -> Vec<PathBuf> {
    let mut pending = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// First segment of a file's path below `src`: its top-level module.
fn module(path: &Path) -> String {
    let below = path
        .strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
        .unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// A file without the unit tests at its end.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default()
}

/// Top-level modules that a file names by `crate::`, its unit tests left out.
fn named(text: &str) -> BTreeSet<String> {
    let production = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let lines = production
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"));
    let mut names = BTreeSet::new();
    for line in lines {
        for rest in line.split("crate::").skip(1) {
            let grouped = rest.strip_prefix('{').unwrap_or(rest);
            for part in grouped.split(", ") {
                let word = part
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next();
                names.extend(word.filter(|w| !w.is_empty()).map(str::to_owned));
                if !rest.starts_with('{') {
                    break;
                }
            }
        }
    }
    names
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|l| l.contains(&module))
}

#[test]
fn modules_depend_one_way() {
    let mut wrong = Vec::new();
    for path in sources() {
        let from = module(&path);
        let Some(own) = layer(&from) else {
            wrong.push(format!(
                "{}: {from} has no place in the list",
                path.display()
            ));
            continue;
        };
        for to in named(&fs::read_to_string(&path).unwrap()) {
            if to != from && layer(&to).is_none_or(|l| l >= own) {
                wrong.push(format!("{}: {from} names {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_clock_reads_the_clock() {
    let readers = sources()
        .into_iter()
        .filter(|p| module(p) != "clock")
        .filter(|p| {
            let text = fs::read_to_string(p).unwrap();
            text.lines()
                .any(|l| l.contains("SystemTime::now") && !l.trim_start().starts_with("//"))
        });
    assert_eq!(readers.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[test]
fn only_the_proxy_knows_pingoras_sessions() {
    let knowing = sources().into_iter().filter(|p| {
        let text = fs::read_to_string(p).unwrap();
        let text = production(&text);
        let names = text.contains("pingora::proxy") || text.contains("pingora_proxy::");
        names && !["proxy", "server"].contains(&module(p).as_str())
    });
    assert_eq!(knowing.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_metric_table_of_the_readme_is_what_a_scrape_shows() {
    let readme =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    let rows = readme.lines().filter(|l| l.starts_with("| `weir_"));
    let written: BTreeSet<String> = rows
        .filter_map(|l| l.split('`').nth(1))
        .map(|n| base(n).to_owned())
        .collect();
    let origin = web::start().await;
    origin.put("/seg.m4s", Bytes::from_static(b"body"));
    let edge = edge::new().origin(&origin).run().await;
    edge.get("/seg.m4s").await.whole(200);
    let scraped = edge.metrics().await.families();
    let scraped: BTreeSet<String> = scraped
        .into_iter()
        .filter(|n| n.starts_with("weir_"))
        .collect();
    let missing: Vec<&String> = scraped.difference(&written).collect();
    let invented: Vec<&String> = written.difference(&scraped).collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
    assert!(invented.is_empty(), "not in a scrape: {invented:?}");
}

/// A metric's name without the labels that a table may show.
fn base(name: &str) -> &str {
    name.split('{').next().unwrap_or(name)
}
