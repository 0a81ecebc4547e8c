//! Row: one post with its delivery, as lists show it.

use crate::model::account::Platform;
use crate::model::lane::Lane;
use crate::store::listing::Line;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::View;
use crate::web::reason;
use crate::web::words::Words;

/// One line of a list.
#[derive(Debug)]
pub struct Row {
    /// The post.
    pub post: String,
    /// The article, if it is of one.
    pub article: Option<String>,
    /// The article's headline, or the first line that readers see.
    pub headline: String,
    /// The account.
    pub account: String,
    /// Its platform, as CSS names it.
    pub platform: String,
    /// Its platform, as people name it.
    pub platform_label: &'static str,
    /// The lane, where it is not the normal one.
    pub lane: Option<&'static str>,
    /// The state, as CSS names it.
    pub state: String,
    /// The state in words.
    pub state_label: &'static str,
    /// Why it is there.
    pub reason: Option<String>,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// When it is or was due.
    pub due: Moment,
    /// Where readers find it.
    pub permalink: Option<String>,
}

impl Row {
    /// A line as a visitor sees it.
    pub fn new(line: &Line, view: &View) -> Row {
        let t = view.t();
        // A post of one article goes by that article's headline; on LINE the first line is the category.
        let mut words = line.title.iter().map(String::as_str).chain(line.text.lines());
        let headline = words.find(|line| !line.trim().is_empty()).unwrap_or(t.no_headline);
        Row {
            post: line.post.clone(),
            article: line.article.clone(),
            headline: page::clean(headline),
            account: line.account.clone(),
            platform_label: platform_label(&line.platform),
            platform: line.platform.clone(),
            lane: lane_label(&line.lane, t),
            state_label: state_label(&line.state, t),
            advice: advice(&line.state, t),
            state: line.state.clone(),
            reason: line.reason.as_deref().map(|text| page::clean(&reason::tell(text, view.lang))),
            due: view.calendar.moment(line.due),
            permalink: line.permalink.as_deref().and_then(page::web_link),
        }
    }
}

/// A platform by its own name.
pub fn platform_label(name: &str) -> &'static str {
    match name.parse() {
        Ok(Platform::Facebook) => "Facebook",
        Ok(Platform::X) => "X",
        Ok(Platform::Line) => "LINE",
        Err(_) => "?",
    }
}

/// A lane in words; none for the normal one, which needs no mark.
pub fn lane_label(name: &str, t: &Words) -> Option<&'static str> {
    match name.parse() {
        Ok(Lane::Breaking) => Some(t.lane_breaking),
        Ok(Lane::Promotion) => Some(t.lane_promotion),
        Ok(Lane::Normal) | Err(_) => None,
    }
}

/// A state of a delivery, a post or an article in words.
pub fn state_label(state: &str, t: &Words) -> &'static str {
    match state {
        "scheduled" => t.state_scheduled,
        "sending" => t.state_sending,
        "unconfirmed" => t.state_unconfirmed,
        "delivered" => t.state_delivered,
        "failed" => t.state_failed,
        "parked" => t.state_parked,
        "held" => t.state_held,
        "expired" => t.state_expired,
        "cancelled" => t.state_cancelled,
        "draft" => t.state_draft,
        "review" => t.state_review,
        "approved" => t.state_approved,
        "rejected" => t.state_rejected,
        "seen" => t.state_seen,
        "settling" => t.state_settling,
        "summarized" => t.state_summarized,
        "composed" => t.state_composed,
        _ => "?",
    }
}

/// What a person should do about a state, if its name does not say it.
pub fn advice(state: &str, t: &Words) -> Option<&'static str> {
    Some(match state {
        "unconfirmed" => t.do_unconfirmed,
        "failed" => t.do_failed,
        "parked" => t.do_parked,
        "held" => t.do_held,
        "expired" => t.do_expired,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::State;
    use crate::web::words::Lang;

    #[test]
    fn every_state_has_its_word() {
        let t = Lang::Thai.words();
        for state in State::ALL {
            assert_ne!(state_label(state.name(), t), "?", "{state}");
        }
        for platform in Platform::ALL {
            assert_ne!(platform_label(platform.name()), "?", "{platform}");
        }
    }
}
