//! Source: what is watched, how often, and which of it is news.

use std::time::Duration;

use url::Url;

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::schema::Choice;
use crate::config::schema::Form;
use crate::config::schema::Rule;
use crate::config::schema::Value;
use crate::config::schema::section;

section! {
    /// Something to watch for articles. One table each.
    pub struct Source {
        /// The name by which routes, pages and commands know it.
        name: String => "inn" where Rule::Name,
        /// What stands there: a "feed" (RSS, Atom or JSON Feed).
        kind: Kind = "feed",
        /// Its address.
        url: Url => "https://www.innnews.co.th/feed/",
        /// How often to look; "auto" adapts to the newsroom's rhythm. Errors slow it down after the third in a row.
        poll: Poll = "2m" where Rule::Between("1s", "7d"),
        /// An article is posted once it stayed unchanged for so long (or after five times that); "0s": at first sight.
        settle: Duration = "90s" where Rule::Between("0s", "7d"),
        /// Articles published longer ago are not news and not posted.
        max_age: Duration = "24h" where Rule::Between("1s", "36500d"),
        /// How many articles of the first look are posted; the others are recorded as seen.
        backfill: u32 = 0 where Rule::Between("0", "10000"),
        /// More new articles than this in one look go to review, with an alert; 0: off.
        flood_limit: u32 = 10 where Rule::Between("0", "10000"),
        /// The same story under a new identity: "review" asks a person, "off" posts it.
        near_duplicates: NearDuplicates = "review",
    }
}

/// What stands at a source's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RSS, Atom or JSON Feed.
    Feed,
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Kind)] = &[("feed", Kind::Feed)];
}

/// How often a source is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// At this interval.
    Every(Duration),
    /// As often as its articles come.
    Auto,
}

impl Value for Poll {
    fn form() -> Form {
        Form::Plain("a duration such as \"2m\", or \"auto\"".to_owned())
    }

    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Poll> {
        match at.value.get_ref().as_str() {
            Some("auto") => Some(Poll::Auto),
            _ => Duration::read(reader, at).map(Poll::Every),
        }
    }
}

/// What happens to the same story under a new identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NearDuplicates {
    /// A person is asked.
    Review,
    /// It is posted like any other.
    Off,
}

impl Choice for NearDuplicates {
    const WORDS: &'static [(&'static str, NearDuplicates)] =
        &[("review", NearDuplicates::Review), ("off", NearDuplicates::Off)];
}
