//! `[site.adapt]`: what is done to manifests, and what no client is shown.

use std::time::Duration;

use super::super::Profile;
use super::super::adapt::{Adapt, Carrier, Filter, Mode, Pathway, Steering};
use super::super::file;
use super::super::given::Given;
use super::url::is_endpoint;
use super::{Check, NAME, is_name};

/// Enough to see within days that hints hurt, few enough to cost nobody much.
const HOLDOUT_PERCENT: u32 = 5;

/// Enough to compare the arms. dash.js 5.2.1 that is asked looks for its requests among the
/// browser's timings without the report in their URLs, finds none, and measures less exactly: in 9
/// of 22 sessions it fell to the lowest rung where the link slowed down, else in 1 of 22.
const CMCD_PERCENT: u32 = 10;

/// What a player asks for while it plays what it has; more is guessing.
const PREFETCH_SEGMENTS: u32 = 2;

/// What both steering specifications take where a server says nothing.
const STEERING_TTL: Duration = Duration::from_secs(300);

/// What [`is_word`] expects of a codec.
const CODEC: &str = "the beginning of a codec such as \"avc1\", in lower case";

/// What [`is_word`] expects of a language.
const LANGUAGE: &str = "a language such as \"en\" or \"pt-br\", in lower case";

impl Check<'_> {
    pub(super) fn adapt(&mut self, at: &str, shape: file::Adapt, profile: Profile) -> Adapt {
        let at = format!("{at}.adapt");
        // A general site is any web server: what it serves is its own until it says otherwise.
        let (mode, session) = match profile {
            Profile::Video => (Mode::Hint, Carrier::Path),
            Profile::General => (Mode::Off, Carrier::Off),
        };
        let holdout = format!("{at}.holdout_percent");
        let cmcd = format!("{at}.cmcd_percent");
        let prefetch = format!("{at}.prefetch_segments");
        let prefetch = self.number(&prefetch, shape.prefetch_segments, 0..=8, PREFETCH_SEGMENTS);
        Adapt {
            mode: self
                .value(&format!("{at}.mode"), shape.mode)
                .unwrap_or(mode),
            client_mode: self
                .value(&format!("{at}.client_mode"), shape.client_mode)
                .unwrap_or(profile == Profile::Video),
            session: self
                .value(&format!("{at}.session"), shape.session)
                .unwrap_or(session),
            filter: self.filter(&format!("{at}.filter"), shape.filter),
            holdout_percent: self.number(&holdout, shape.holdout_percent, 0..=100, HOLDOUT_PERCENT),
            cmcd_percent: self.number(&cmcd, shape.cmcd_percent, 0..=100, CMCD_PERCENT),
            prefetch_segments: usize::try_from(prefetch).unwrap_or(0),
            steering: shape
                .steering
                .and_then(|shape| self.steering(&format!("{at}.steering"), shape)),
        }
    }

    fn filter(&mut self, at: &str, shape: file::Filter) -> Filter {
        let kbps = |given: Option<u32>| given.map(|kbps| u64::from(kbps) * 1000);
        let min = self.positive(&format!("{at}.min_kbps"), shape.min_kbps);
        let max = self.positive(&format!("{at}.max_kbps"), shape.max_kbps);
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let expected = format!("at most {at}.max_kbps, which is {max}");
            self.refuse(&format!("{at}.min_kbps"), &min.to_string(), expected);
        }
        Filter {
            bitrate_min: kbps(min),
            bitrate_max: kbps(max),
            height_max: self.positive(&format!("{at}.max_height"), shape.max_height),
            codecs: self.words(&format!("{at}.codecs"), shape.codecs, CODEC),
            range: self.value(&format!("{at}.range"), shape.range),
            languages: self.words(&format!("{at}.languages"), shape.languages, LANGUAGE),
        }
    }

    fn positive(&mut self, key: &str, given: Option<Given<u32>>) -> Option<u32> {
        let given = given?;
        let number = given.meaning.filter(|number| *number > 0);
        if number.is_none() {
            self.refuse(key, &given.written, "a whole number above zero");
        }
        number
    }

    fn words(
        &mut self,
        at: &str,
        given: Option<Vec<Given<String>>>,
        expected: &str,
    ) -> Vec<String> {
        let given = given.unwrap_or_default().into_iter().enumerate();
        let words = given.map(|(index, word)| {
            self.text(&format!("{at}[{index}]"), Some(word), is_word, expected)
        });
        words.collect::<Vec<_>>().into_iter().flatten().collect()
    }

    fn steering(&mut self, at: &str, shape: file::Steering) -> Option<Steering> {
        let expected =
            "the URL under which players reach this site, such as \"https://edge.example.com\"";
        let key = format!("{at}.url");
        if shape.url.is_none() {
            self.miss(&key, expected);
        }
        let url = self.text(&key, shape.url, is_endpoint, expected);
        let key = format!("{at}.pathway");
        if shape.pathway.is_none() {
            self.miss(&key, NAME);
        }
        let pathway = self.text(&key, shape.pathway, is_name, NAME);
        let ttl = self.span(&format!("{at}.ttl"), shape.ttl, STEERING_TTL);
        let pathways = shape.pathways.into_iter().enumerate();
        let pathways: Vec<_> = pathways
            .map(|(index, pathway)| self.pathway(&format!("{at}.pathways[{index}]"), pathway))
            .collect();
        Some(Steering {
            url: url?,
            pathway: pathway?,
            ttl,
            pathways: pathways.into_iter().flatten().collect(),
        })
    }

    fn pathway(&mut self, at: &str, shape: file::Pathway) -> Option<Pathway> {
        let (name, url) = (format!("{at}.name"), format!("{at}.url"));
        if shape.name.is_none() {
            self.miss(&name, NAME);
        }
        let expected = "an edge such as \"https://edge2.example.com\"";
        if shape.url.is_none() {
            self.miss(&url, expected);
        }
        let health = self.text(
            &format!("{at}.health"),
            shape.health,
            is_url,
            "a URL such as \"http://10.1.0.1:8080/health.txt\"",
        );
        Some(Pathway {
            name: self.text(&name, shape.name, is_name, NAME)?,
            url: self.text(&url, shape.url, is_endpoint, expected)?,
            health,
        })
    }
}

fn is_word(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether `text` is an endpoint with a path.
fn is_url(text: &str) -> bool {
    let path = text.splitn(4, '/').nth(3).map_or(0, |path| path.len() + 1);
    let end = text.len().saturating_sub(path);
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible && text.get(..end).is_some_and(is_endpoint)
}
