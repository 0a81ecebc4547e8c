//! Route: which articles go to which accounts, when, how, and past whose eyes.

use std::time::Duration;

use crate::config::schema::Choice;
use crate::config::schema::Rule;
use crate::config::schema::section;
use crate::config::template::Templates;
use crate::model::lane::Lane;
use crate::model::schedule::Misfire;
use crate::model::schedule::When;

section! {
    /// Which articles go where, and when. One table each; for each account the first one that fits an article counts.
    pub struct Route {
        /// The name by which pages and commands know it.
        name: String => "all-news" where Rule::Name,
        /// The names of the sources whose articles it takes.
        sources: Vec<String> => ["inn"],
        /// The names of the accounts it posts to.
        accounts: Vec<String> => ["inn-facebook", "inn-x"],
        /// Only articles in one of these categories; none: all articles.
        categories: Vec<String> = [] where Rule::Filled,
        /// When to post: "now", { cron = "0 7,12,18 * * *" } (as in crontab, 0 and 7 are Sunday, in `timezone`) or
        /// { slots = ["07:30", "12:00"] }.
        when: When = "now",
        /// "normal", or "breaking": goes first and ignores `settle`, `min_gap` and quiet hours.
        lane: Lane = "normal",
        /// When a person looks first: "guard" (if a rule finds something), "always" or "never".
        review: Review = "guard",
        /// How long after its due time a post may still go out.
        good_for: Duration = "6h" where Rule::Between("1s", "36500d"),
        /// What happens to times missed while songkhao was down: "skip" them, post "once" for all, or "catch_up".
        misfire: Misfire = "once",
        /// Up to so many articles in one post (on LINE a carousel), the newest since the last one; 0: one post each.
        digest: u32 = 0 where Rule::Between("0", "12"),
        /// The wording, as minijinja templates; what is left out keeps our own.
        templates "template": Templates => { x = "{{ headline }} {{ link }}", line = { button = "อ่านต่อ" } },
    }
}

impl Choice for Lane {
    const WORDS: &'static [(&'static str, Lane)] = &[("breaking", Lane::Breaking), ("normal", Lane::Normal)];
}

/// Who looks at a post before it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Nobody; only a hold and a flood stop it.
    Never,
    /// A person, if a guard finds something.
    Guard,
    /// A person, always.
    Always,
}

impl Choice for Review {
    const WORDS: &'static [(&'static str, Review)] =
        &[("never", Review::Never), ("guard", Review::Guard), ("always", Review::Always)];
}

impl Choice for Misfire {
    const WORDS: &'static [(&'static str, Misfire)] =
        &[("skip", Misfire::Skip), ("once", Misfire::Once), ("catch_up", Misfire::CatchUp)];
}
