//! Template: words a summary for one platform, so that it fits.
//!
//! A route's own minijinja templates, or ours in Thai. Article text is data: it never becomes a template,
//! and a template runs on limited fuel with undefined names refused.

use std::collections::HashMap;

use minijinja::Environment;
use minijinja::UndefinedBehavior;
use serde::Serialize;

use crate::config::Config;
use crate::config::route::Route;
use crate::model::hash;
use crate::model::summary::Summary;
use crate::text::cut;
use crate::text::length;
use crate::text::length::X_MAX;
use crate::text::passage::passage;

/// How much work one rendering may do; ours use some hundreds.
const FUEL: u64 = 50_000;

/// Facebook's own words: the headline, the best two to four sentences, hashtags. The link is the card.
const FACEBOOK: &str = "{{ headline }}{% if summary %}\n\n{{ summary }}{% endif %}{% if hashtags %}\n\n{{ hashtags }}{% endif %}";

/// X: the headline, what fits, the link, hashtags.
const X: &str = "{{ headline }}{% if summary %}\n\n{{ summary }}{% endif %}{% if link %}\n\n{{ link }}{% endif %}{% if hashtags %}\n{{ hashtags }}{% endif %}";

/// LINE: four texts of a bubble.
const LINE: [(&str, &str); 4] = [
    ("alt_text", "{{ headline }}"),
    ("headline", "{{ headline }}"),
    ("summary", "{{ summary }}"),
    ("button", "อ่านต่อ"),
];

/// Facebook's summary: two to four sentences, that is at most this many units and code points (longer texts fold
/// behind "see more").
const FACEBOOK_UNITS: usize = 6;
const FACEBOOK_SUMMARY: usize = 480;

/// X's summary in units: about two sentences, if they fit.
const X_UNITS: usize = 3;

/// LINE's summary in units.
const LINE_UNITS: usize = 3;

/// LINE's summary in code points: about five lines of a bubble.
const LINE_SUMMARY: usize = 160;

/// LINE's headline in code points; longer ones are cut.
const LINE_HEADLINE: usize = 160;

/// LINE's altText: 1,500 UTF-16 units are allowed, older clients know 400 (line.md section 5).
const LINE_ALT_TEXT: usize = 400;

/// A Facebook headline in code points; longer ones are cut.
const FACEBOOK_HEADLINE: usize = 500;

/// What templates can name.
#[derive(Debug, Clone, Serialize)]
struct Words {
    headline: String,
    summary: String,
    hashtags: String,
    link: String,
    category: String,
}

/// The texts of a LINE bubble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bubble {
    /// For notifications and chat lists.
    pub alt_text: String,
    /// The headline.
    pub headline: String,
    /// The summary; may be empty.
    pub summary: String,
    /// The button's label.
    pub button: String,
}

/// Every route's templates, compiled.
#[derive(Debug)]
pub struct Wording {
    environment: Environment<'static>,
    hashes: HashMap<String, String>,
}

impl Wording {
    /// Compiles our templates and those of every route.
    ///
    /// # Errors
    /// When a template does not compile; the configuration's check has said so before, with line and column.
    pub fn compile(config: &Config) -> anyhow::Result<Wording> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("cut", |text: String, max: usize| cut::cut_with_ellipsis(&text, max));
        let mut wording = Wording { environment, hashes: HashMap::new() };
        for route in &config.routes {
            let own = &route.templates;
            let line = [&own.line.alt_text, &own.line.headline, &own.line.summary, &own.line.button];
            wording.add(&route.name, "facebook", own.facebook.as_deref().unwrap_or(FACEBOOK))?;
            wording.add(&route.name, "x", own.x.as_deref().unwrap_or(X))?;
            for ((field, ours), own) in LINE.iter().zip(line) {
                wording.add(&route.name, field, own.as_deref().unwrap_or(ours))?;
            }
        }
        Ok(wording)
    }

    /// The hash of the template a route words a field with, for the audit log.
    pub fn hash(&self, route: &str, field: &str) -> String {
        self.hashes.get(&key(route, field)).cloned().unwrap_or_default()
    }

    /// The text of a Facebook post.
    ///
    /// # Errors
    /// What the template engine says.
    pub fn facebook(&self, route: &Route, summary: &Summary) -> Result<String, minijinja::Error> {
        let words = Words {
            headline: shortened(&summary.headline, FACEBOOK_HEADLINE, &cut::code_points),
            summary: passage(&summary.units, FACEBOOK_UNITS, FACEBOOK_SUMMARY, &cut::code_points),
            hashtags: summary.hashtags.join(" "),
            link: summary.link.clone().unwrap_or_default(),
            category: summary.category.clone().unwrap_or_default(),
        };
        self.render(&route.name, "facebook", &words)
    }

    /// The text of a post on X, within its weighted limit: the summary gives way first, then hashtags, then
    /// the end of the headline.
    ///
    /// # Errors
    /// What the template engine says.
    pub fn x(&self, route: &Route, summary: &Summary) -> Result<String, minijinja::Error> {
        let mut words = Words {
            headline: length::neutralise(&summary.headline),
            summary: String::new(),
            hashtags: summary.hashtags.join(" "),
            link: summary.link.as_deref().map(ascii_link).unwrap_or_default(),
            category: summary.category.clone().unwrap_or_default(),
        };
        let render = |words: &Words| self.render(&route.name, "x", words);
        let mut kept = summary.hashtags.len();
        while kept > 0 && length::weighted(&render(&words)?) > X_MAX {
            kept -= 1;
            words.hashtags = summary.hashtags[..kept].join(" ");
        }
        let over = length::weighted(&render(&words)?).saturating_sub(X_MAX);
        if over > 0 {
            let room = length::weighted(&words.headline).saturating_sub(over);
            words.headline = shortened(&words.headline, room, &length::weighted);
            return render(&words);
        }
        let bare = render(&words)?;
        let mut room = X_MAX - length::weighted(&bare);
        while room > 0 {
            words.summary = length::neutralise(&passage(&summary.units, X_UNITS, room, &length::weighted));
            let text = render(&words)?;
            let over = length::weighted(&text).saturating_sub(X_MAX);
            if over == 0 {
                return Ok(text);
            }
            room = room.saturating_sub(over);
        }
        Ok(bare)
    }

    /// The texts of a LINE bubble.
    ///
    /// # Errors
    /// What the template engine says.
    pub fn line(&self, route: &Route, summary: &Summary) -> Result<Bubble, minijinja::Error> {
        let words = Words {
            headline: shortened(&summary.headline, LINE_HEADLINE, &cut::code_points),
            summary: passage(&summary.units, LINE_UNITS, LINE_SUMMARY, &cut::code_points),
            hashtags: summary.hashtags.join(" "),
            link: summary.link.clone().unwrap_or_default(),
            category: summary.category.clone().unwrap_or_default(),
        };
        let render = |field: &str| self.render(&route.name, field, &words);
        Ok(Bubble {
            alt_text: shortened(&render("alt_text")?, LINE_ALT_TEXT, &utf16),
            headline: render("headline")?,
            summary: render("summary")?,
            button: render("button")?,
        })
    }

    fn add(&mut self, route: &str, field: &str, source: &str) -> anyhow::Result<()> {
        self.environment.add_template_owned(key(route, field), source.to_owned())?;
        self.hashes.insert(key(route, field), hash::sha256_hex(source.as_bytes()));
        Ok(())
    }

    fn render(&self, route: &str, field: &str, words: &Words) -> Result<String, minijinja::Error> {
        let text =
            self.environment.get_template(&key(route, field))?.render(minijinja::value::Serde(words))?;
        Ok(text.trim().to_owned())
    }
}

fn key(route: &str, field: &str) -> String {
    format!("{route}/{field}")
}

/// The text, or a safe cut of it with an ellipsis.
fn shortened(text: &str, max: usize, measure: &dyn Fn(&str) -> usize) -> String {
    if measure(text) <= max { text.to_owned() } else { cut::cut_with_ellipsis_by(text, max, measure) }
}

/// The link byte for byte, unless it holds letters at which X would end it: those are percent-encoded.
pub(crate) fn ascii_link(link: &str) -> String {
    if link.is_ascii() {
        return link.to_owned();
    }
    url::Url::parse(link).map_or_else(|_| link.to_owned(), String::from)
}

fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}
