//! The files under `conf/`.

use std::path::{Path, PathBuf};

use super::super::Config;
use super::super::file::File;
use super::{keys, parse};

/// Ends a line of the reference whose value is an example, since the key has no default.
const EXAMPLE: &str = "# example";

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conf")
        .join(name)
}

/// The reference with its keys uncommented: lines `#key = value` and `#[section]`.
fn uncommented(keep: fn(&str) -> bool) -> String {
    let text = std::fs::read_to_string(conf("weir.toml")).unwrap();
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            if keep(key) {
                key.to_owned()
            } else {
                String::new()
            }
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A directory with files of the names that a configuration mentions.
fn directory(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(directory.path().join(name), "0123456789abcdef\n").unwrap();
    }
    directory
}

fn has(value: &toml::Value, path: &str) -> bool {
    if let Some(list) = value.as_array() {
        return list.iter().any(|value| has(value, path));
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    value
        .get(name)
        .is_some_and(|value| rest.is_empty() || has(value, rest))
}

#[test]
fn the_reference_is_accepted_as_it_is() {
    Config::load(&conf("weir.toml")).unwrap();
}

#[test]
fn the_reference_names_every_key_and_no_other() {
    let text = uncommented(|_| true);
    toml::from_str::<File>(&text).unwrap();
    let value = toml::Value::Table(text.parse().unwrap());
    let missing: Vec<String> = keys::all()
        .into_iter()
        .filter(|key| !has(&value, key))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
    assert!(keys::all().len() > 80, "the keys were found");
}

#[test]
fn what_the_reference_calls_a_default_is_one() {
    let spelt_out = uncommented(|line| !line.ends_with(EXAMPLE));
    let silent = r#"
        [cache.redis]
        urls = ["redis://127.0.0.1:6379/0"]
        [[site]]
        hosts = ["edge.example.com"]
        origin = "s3://vod"
        adapt.steering = { url = "https://edge.example.com", pathway = "pop1" }
        [[site]]
        hosts = ["gcs.example.com"]
        origin = "gs://vod"
        [[site]]
        hosts = ["azure.example.com"]
        origin = "az://vod"
        azure.account = "example"
        [[site]]
        hosts = ["web.example.com"]
        origin = "https://origin.example.com"
    "#;
    let spelt_out = parse(&spelt_out, Path::new("/")).unwrap();
    let silent = parse(silent, Path::new("/")).unwrap();
    assert_eq!(format!("{spelt_out:#?}"), format!("{silent:#?}"));
}

#[test]
fn the_pop_example_is_accepted() {
    let text = std::fs::read_to_string(conf("pop.toml")).unwrap();
    let directory = directory(&[
        "edge.pem",
        "edge.key",
        "admin.token",
        "redis.password",
        "redis-ca.pem",
        "s3.access",
        "s3.secret",
    ]);
    let config = parse(&text, directory.path()).unwrap();
    assert_eq!(config.certificates.len(), 1);
    assert!(config.cache.redis.is_some());
}

#[test]
fn the_development_example_is_accepted_where_it_lies() {
    let config = Config::load(&conf("dev.toml")).unwrap();
    assert!(config.cache.redis.is_none());
}

#[test]
fn every_shipped_file_is_one_of_these() {
    let mut names: Vec<String> = std::fs::read_dir(conf(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert_eq!(names, ["dev.toml", "pop.toml", "weir.toml"]);
}
