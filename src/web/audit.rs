//! Audit: who or which step did what, newest first.

use axum::extract::Query;
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
}

#[derive(askama::Template)]
#[template(path = "web/audit.html")]
struct Audit {
    page: Page,
    actions: Vec<Choice>,
    history: Vec<Told>,
}

/// `GET /audit`.
pub async fn show(view: View, Query(asked): Query<Asked>) -> Answer {
    let action = Some(asked.action.clone()).filter(|action| !action.is_empty());
    let filter = log::Filter { action, limit: Some(PAGE), ..log::Filter::default() };
    let entries = log::list(&view.context.db, &filter).await?;
    let actions = Action::ALL.iter().map(|action| Choice {
        value: action.name().to_owned(),
        label: action.label_th().to_owned(),
        chosen: asked.action == action.name(),
    });
    page::show(&Audit {
        actions: actions.collect(),
        history: tell(&entries, &view),
        page: view.page(Place::Audit),
    })
}
