//! Audit: who or which step did what, newest first.

use axum::extract::Query;
use chrono::NaiveDate;
use chrono::NaiveTime;
use chrono::TimeZone as _;
use chrono_tz::Tz;
use serde::Deserialize;

use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::audit::describe_th;
use crate::store::audit as log;
use crate::store::audit::Sealed;
use crate::web::failure::Answer;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::post::Choice;
use crate::web::words::fill;

/// Lines on the page.
const PAGE: i64 = 100;

/// An entry as pages tell it.
#[derive(Debug)]
pub struct Told {
    /// One line, in Thai.
    pub line: String,
    /// Where it stands in the sealed log.
    pub seal: String,
    /// The post it is about.
    pub post: Option<String>,
    /// The article it is about.
    pub article: Option<String>,
    /// Its exact bytes.
    pub bytes: String,
}

/// Entries as a visitor sees them, newest first.
pub fn tell(entries: &[Sealed], view: &View) -> Vec<Told> {
    let t = view.t();
    let told = entries.iter().rev().map(|sealed| {
        let entry = Entry::parse(&sealed.entry).ok();
        Told {
            line: match &entry {
                Some(entry) => describe_th(entry, view.calendar.zone()),
                None => page::clean(&sealed.entry),
            },
            seal: match sealed.seq {
                Some(seq) => fill(t.audit_sealed, &[&seq]),
                None => t.audit_unsealed.to_owned(),
            },
            post: entry.as_ref().and_then(|entry| entry.post.clone()),
            article: entry.and_then(|entry| entry.article),
            bytes: page::clean(&sealed.entry),
        }
    });
    told.collect()
}

/// What the list is asked for; empty: all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    action: String,
    account: String,
    user: String,
    post: String,
    since: String,
    until: String,
}

impl Asked {
    /// The filter that was asked for, days in `zone`; what can't be read filters nothing.
    fn filter(&self, zone: Tz) -> log::Filter {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let day = |text: &str| text.trim().parse::<NaiveDate>().ok();
        let start = |day: NaiveDate| {
            let start = zone.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest();
            start.map(|start| start.to_utc())
        };
        log::Filter {
            action: text(&self.action),
            account: text(&self.account),
            user: text(&self.user),
            post: self.post.trim().parse().ok(),
            article: None,
            since: day(&self.since).and_then(start),
            // The last day counts whole.
            until: day(&self.until).and_then(|day| day.succ_opt()).and_then(start),
            limit: Some(PAGE),
        }
    }
}

#[derive(askama::Template)]
#[template(path = "web/audit.html")]
struct Audit {
    page: Page,
    asked: Asked,
    actions: Vec<Choice>,
    accounts: Vec<Choice>,
    history: Vec<Told>,
}

/// `GET /audit`.
pub async fn show(view: View, Query(asked): Query<Asked>) -> Answer {
    let entries = log::list(&view.context.db, &asked.filter(view.calendar.zone())).await?;
    let actions = Action::ALL.iter().map(|action| Choice {
        value: action.name().to_owned(),
        label: action.label_th().to_owned(),
        chosen: asked.action == action.name(),
    });
    let accounts = view.context.config.accounts.iter().map(|account| Choice {
        value: account.name.clone(),
        label: account.name.clone(),
        chosen: asked.account == account.name,
    });
    page::show(&Audit {
        actions: actions.collect(),
        accounts: accounts.collect(),
        history: tell(&entries, &view),
        page: view.page(Place::Audit),
        asked: Asked {
            user: page::clean(&asked.user),
            post: page::clean(&asked.post),
            since: page::clean(&asked.since),
            until: page::clean(&asked.until),
            ..asked
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_newsroom_and_the_last_one_counts_whole() {
        let asked =
            Asked { since: "2026-11-22".to_owned(), until: "2026-11-22".to_owned(), ..Asked::default() };
        let filter = asked.filter(chrono_tz::Asia::Bangkok);
        let told = |at: Option<chrono::DateTime<chrono::Utc>>| at.unwrap().to_rfc3339();
        assert_eq!(told(filter.since), "2026-11-21T17:00:00+00:00");
        assert_eq!(told(filter.until), "2026-11-22T17:00:00+00:00");
        assert!(filter.user.is_none() && filter.post.is_none() && filter.action.is_none());
    }
}
