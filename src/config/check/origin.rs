//! `site.origin` and the section of its kind: where a site's objects come from.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file::{self, Addressing};
use super::super::given::Given;
use super::super::{Origin, S3Credentials, Secret, Store};
use super::url::{Parts, is_authority, is_endpoint, is_key, is_prefix, split};
use super::{Check, is_name, quoted};

/// What signatures name when nobody cares: most stores that are not AWS accept it.
const REGION: &str = "us-east-1";

/// Where Google serves buckets of every location.
const GOOGLE: &str = "https://storage.googleapis.com";

/// A dead endpoint is noticed by requests anyway; this finds out when it is back.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

const SCHEMES: &str = "one of s3:// gs:// az:// file:/// http:// https://";

/// How a store is reached: the part that all kinds have in common.
struct Reach {
    endpoints: Vec<String>,
    ca: Option<PathBuf>,
    http2: bool,
}

impl Check<'_> {
    pub(super) fn origin(&mut self, at: &str, shape: &mut file::Site) -> Option<Origin> {
        let health = std::mem::take(&mut shape.health);
        let starts = |path: &str| {
            path.strip_prefix('/')
                .is_some_and(|key| key.is_empty() || is_key(key.trim_end_matches('/')))
        };
        let health_path = self.text(
            &format!("{at}.health.path"),
            health.path,
            starts,
            "a path such as \"/up\"",
        );
        let health_interval = self.span(
            &format!("{at}.health.interval"),
            health.interval,
            HEALTH_INTERVAL,
        );
        let key = format!("{at}.origin");
        if shape.origin.is_none() {
            self.miss(&key, SCHEMES);
        }
        let text = self.value(&key, shape.origin.take());
        let Some(parts) = text.as_deref().and_then(split) else {
            if let Some(text) = &text {
                self.refuse(&key, &quoted(text), SCHEMES);
            }
            return None;
        };
        self.foreign_sections(at, shape, parts.scheme);
        let (store, reach) = match parts.scheme {
            "file" => self.directory(&key, parts),
            "s3" => self.s3(at, parts, shape.s3.take().unwrap_or_default()),
            "gs" => self.google(at, parts, shape.gcs.take().unwrap_or_default()),
            "az" => self.azure(at, parts, shape.azure.take().unwrap_or_default()),
            "http" | "https" => self.web(at, parts, shape.http.take().unwrap_or_default()),
            _ => {
                self.refuse(&key, &quoted(text.as_deref().unwrap_or_default()), SCHEMES);
                None
            }
        }?;
        let prefix = match store {
            Store::File(_) => String::new(),
            _ => parts.path.trim_end_matches('/').to_owned(),
        };
        Some(Origin {
            store,
            endpoints: reach.endpoints,
            prefix,
            ca: reach.ca,
            http2: reach.http2,
            health_path,
            health_interval,
        })
    }

    /// Refuses sections that the origin's scheme makes no use of.
    fn foreign_sections(&mut self, at: &str, shape: &file::Site, scheme: &str) {
        let sections = [
            ("s3", shape.s3.is_some(), "s3://", scheme == "s3"),
            ("gcs", shape.gcs.is_some(), "gs://", scheme == "gs"),
            ("azure", shape.azure.is_some(), "az://", scheme == "az"),
            (
                "http",
                shape.http.is_some(),
                "http:// or https://",
                scheme.starts_with("http"),
            ),
        ];
        for (name, present, schemes, own) in sections {
            if present && !own {
                let expected = format!("no such section with {scheme}://, only with {schemes}");
                self.refuse(&format!("{at}.{name}"), "{ ... }", expected);
            }
        }
    }

    fn directory(&mut self, key: &str, parts: Parts<'_>) -> Option<(Store, Reach)> {
        let path = match parts.authority {
            "" => PathBuf::from(parts.path),
            "." | ".." => {
                let relative = format!("{}{}", parts.authority, parts.path);
                self.around.base.join(relative)
            }
            _ => {
                let written = quoted(&format!("file://{}{}", parts.authority, parts.path));
                self.refuse(
                    key,
                    &written,
                    "file:///absolute/path or file://./relative/path",
                );
                return None;
            }
        };
        if let Err(error) = std::fs::read_dir(&path) {
            let written = quoted(&format!("file://{}{}", parts.authority, parts.path));
            let expected = format!("a directory that can be read ({}: {error})", path.display());
            self.refuse(key, &written, expected);
            return None;
        }
        let reach = Reach {
            endpoints: Vec::new(),
            ca: None,
            http2: false,
        };
        Some((Store::File(path), reach))
    }

    fn s3(&mut self, at: &str, parts: Parts<'_>, mut shape: file::S3) -> Option<(Store, Reach)> {
        let region = self
            .text(
                &format!("{at}.s3.region"),
                shape.region.take(),
                is_name,
                "a region's name",
            )
            .unwrap_or_else(|| REGION.to_owned());
        let reach = Reach {
            endpoints: self
                .endpoints(
                    &format!("{at}.s3"),
                    shape.endpoint.take(),
                    shape.endpoints.take(),
                )
                .unwrap_or_else(|| vec![format!("https://s3.{region}.amazonaws.com")]),
            ca: self.file(&format!("{at}.s3.ca"), shape.ca.take()),
            http2: self.http2(&format!("{at}.s3.http2"), shape.http2.take()),
        };
        // The path: it works with every store, every bucket name and every certificate.
        let addressing = self
            .value(&format!("{at}.s3.addressing"), shape.addressing.take())
            .unwrap_or(Addressing::Path);
        let credentials = self.s3_credentials(&format!("{at}.s3"), shape);
        let store = Store::S3 {
            bucket: self.bucket(at, parts)?,
            region,
            virtual_host: addressing == Addressing::Virtual,
            credentials,
        };
        Some((store, reach))
    }

    fn s3_credentials(&mut self, at: &str, shape: file::S3) -> S3Credentials {
        let key = format!("{at}.anonymous");
        let anonymous = self.value(&key, shape.anonymous).unwrap_or(false);
        let access_given = shape.access_key_file.is_some() || shape.access_key_env.is_some();
        let secret_given = shape.secret_key_file.is_some() || shape.secret_key_env.is_some();
        if access_given != secret_given {
            let missing = if access_given {
                "secret_key"
            } else {
                "access_key"
            };
            let expected = format!("it, or {missing}_env, beside the other key");
            self.miss(&format!("{at}.{missing}_file"), expected);
        }
        let access = self.secret(
            &format!("{at}.access_key"),
            shape.access_key_file,
            shape.access_key_env,
        );
        let secret = self.secret(
            &format!("{at}.secret_key"),
            shape.secret_key_file,
            shape.secret_key_env,
        );
        let profile = self.value(&format!("{at}.profile"), shape.profile);
        let ways = [anonymous, access_given || secret_given, profile.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            let expected = "one of anonymous, a profile, or access and secret key";
            self.refuse(at, "{ ... }", expected);
        }
        match (access, secret) {
            _ if anonymous => S3Credentials::Anonymous,
            (Some(access_key), Some(secret_key)) => S3Credentials::Static {
                access_key,
                secret_key,
            },
            _ => S3Credentials::Chain { profile },
        }
    }

    fn google(
        &mut self,
        at: &str,
        parts: Parts<'_>,
        mut shape: file::Gcs,
    ) -> Option<(Store, Reach)> {
        let reach = Reach {
            endpoints: self
                .endpoints(
                    &format!("{at}.gcs"),
                    shape.endpoint.take(),
                    shape.endpoints.take(),
                )
                .unwrap_or_else(|| vec![GOOGLE.to_owned()]),
            ca: self.file(&format!("{at}.gcs.ca"), shape.ca.take()),
            http2: self.http2(&format!("{at}.gcs.http2"), shape.http2.take()),
        };
        let key = format!("{at}.gcs.credentials_file");
        let written = shape
            .credentials_file
            .as_ref()
            .map(|given| given.written.clone());
        let credentials = self.file(&key, shape.credentials_file);
        let anonymous = self.value(&format!("{at}.gcs.anonymous"), shape.anonymous);
        if let (Some(written), Some(true)) = (written, anonymous) {
            self.refuse(&key, &written, "no such key beside anonymous = true");
        }
        let store = Store::Google {
            bucket: self.bucket(at, parts)?,
            credentials,
            anonymous: anonymous.unwrap_or(false),
        };
        Some((store, reach))
    }

    fn azure(
        &mut self,
        at: &str,
        parts: Parts<'_>,
        mut shape: file::Azure,
    ) -> Option<(Store, Reach)> {
        let key = format!("{at}.azure.account");
        if shape.account.is_none() {
            self.miss(&key, "the name of the storage account");
        }
        let expected = "3 to 24 lower case letters and digits";
        let account = self.text(&key, shape.account.take(), is_account, expected);
        let endpoints = self.endpoints(
            &format!("{at}.azure"),
            shape.endpoint.take(),
            shape.endpoints.take(),
        );
        let ca = self.file(&format!("{at}.azure.ca"), shape.ca.take());
        let http2 = self.http2(&format!("{at}.azure.http2"), shape.http2.take());
        let shared: Option<Secret> =
            self.secret(&format!("{at}.azure.key"), shape.key_file, shape.key_env);
        let anonymous_key = format!("{at}.azure.anonymous");
        let anonymous = self.value(&anonymous_key, shape.anonymous).unwrap_or(false);
        if anonymous && shared.is_some() {
            self.refuse(&anonymous_key, "true", "false beside a key");
        }
        let container = self.bucket(at, parts)?;
        let account = account?;
        let endpoints =
            endpoints.unwrap_or_else(|| vec![format!("https://{account}.blob.core.windows.net")]);
        let store = Store::Azure {
            account,
            container,
            key: shared,
            anonymous,
        };
        Some((
            store,
            Reach {
                endpoints,
                ca,
                http2,
            },
        ))
    }

    fn web(&mut self, at: &str, parts: Parts<'_>, shape: file::Web) -> Option<(Store, Reach)> {
        let given = self.endpoints(&format!("{at}.http"), None, shape.endpoints);
        let ca = self.file(&format!("{at}.http.ca"), shape.ca);
        let http2 = self.http2(&format!("{at}.http.http2"), shape.http2);
        let expected = "a host with or without a port";
        let host = self.text(
            &format!("{at}.http.host"),
            shape.host,
            is_authority,
            expected,
        );
        if !is_authority(parts.authority) || !is_prefix(parts.path.trim_end_matches('/')) {
            let url = format!("{}://{}{}", parts.scheme, parts.authority, parts.path);
            let expected = "http:// or https:// with host, port and path only";
            self.refuse(&format!("{at}.origin"), &quoted(&url), expected);
            return None;
        }
        // With endpoints of its own the URL names the site and no longer an address.
        let host = host.or_else(|| given.as_ref().map(|_| parts.authority.to_owned()));
        let endpoints =
            given.unwrap_or_else(|| vec![format!("{}://{}", parts.scheme, parts.authority)]);
        Some((
            Store::Web { host },
            Reach {
                endpoints,
                ca,
                http2,
            },
        ))
    }

    /// Returns the bucket or container of the URL of an origin.
    fn bucket(&mut self, at: &str, parts: Parts<'_>) -> Option<String> {
        if is_name(parts.authority) && is_prefix(parts.path.trim_end_matches('/')) {
            return Some(parts.authority.to_owned());
        }
        let Parts {
            scheme,
            authority,
            path,
        } = parts;
        let written = quoted(&format!("{scheme}://{authority}{path}"));
        let expected = format!("{scheme}://bucket or {scheme}://bucket/prefix");
        self.refuse(&format!("{at}.origin"), &written, expected);
        None
    }

    fn endpoints(
        &mut self,
        at: &str,
        one: Option<Given<String>>,
        several: Option<Vec<Given<String>>>,
    ) -> Option<Vec<String>> {
        let one_key = format!("{at}.endpoint");
        if let (Some(one), Some(_)) = (&one, &several) {
            let expected = format!("no such key beside {at}.endpoints");
            self.refuse(&one_key, &one.written, expected);
            return None;
        }
        let expected = "http://host:port or https://host:port, without path";
        if one.is_some() {
            return self
                .text(&one_key, one, is_endpoint, expected)
                .map(|one| vec![one]);
        }
        let several = several?;
        if several.is_empty() {
            self.refuse(&format!("{at}.endpoints"), "[]", "at least one endpoint");
        }
        let mut endpoints = Vec::new();
        for (index, given) in several.into_iter().enumerate() {
            let key = format!("{at}.endpoints[{index}]");
            let Some(text) = self.text(&key, Some(given), is_endpoint, expected) else {
                continue;
            };
            if endpoints.contains(&text) {
                self.refuse(&key, &quoted(&text), "each endpoint once");
            } else {
                endpoints.push(text);
            }
        }
        Some(endpoints)
    }

    fn http2(&mut self, key: &str, given: Option<Given<bool>>) -> bool {
        // Off: fills that share a connection share its one congestion window and its loss.
        self.value(key, given).unwrap_or(false)
    }
}

fn is_account(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=24).contains(&text.len()) && text.bytes().all(plain)
}
