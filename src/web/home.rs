//! Home: what goes out next, and what needs a person.

use std::collections::HashMap;

use chrono::DateTime;
use chrono::Utc;

use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::store::account;
use crate::store::account::Account;
use crate::store::hold;
use crate::store::listing;
use crate::store::source;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::hold::Banner;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::plan;
use crate::web::plan::Pass;
use crate::web::reason;
use crate::web::row::Row;
use crate::web::words::fill;

/// How far the queue is looked ahead, and how much of it is shown.
const LOOK_AHEAD: i64 = 300;
const SHOWN: usize = 20;

/// How many of each kind that need a person are shown.
const ATTENTION: i64 = 30;

/// A source with fewer errors in a row is left to mend itself.
const SOURCE_ERRORS: i64 = 3;

#[derive(askama::Template)]
#[template(path = "web/home.html")]
struct Home {
    page: Page,
    holds: Vec<Banner>,
    lanes: Vec<(&'static str, &'static str)>,
    accounts: Vec<String>,
    counts: Vec<Count>,
    troubles: Vec<Trouble>,
    attention: Vec<Row>,
    upcoming: Vec<Upcoming>,
    more: Option<String>,
}

struct Count {
    label: &'static str,
    number: i64,
    href: &'static str,
    kind: &'static str,
}

/// An account or a source that is not well.
struct Trouble {
    title: String,
    reason: String,
    href: &'static str,
}

struct Upcoming {
    row: Row,
    at: Option<Moment>,
}

/// `GET /`.
pub async fn show(view: View) -> Answer {
    let db = &view.context.db;
    let accounts = account::list(db).await?;
    let lines = listing::list_upcoming(db, LOOK_AHEAD).await?;
    let planned = plan::plan(lines, &passes(&view, &accounts), view.context.config.timezone, view.now);
    let hidden = planned.len().saturating_sub(SHOWN);
    let upcoming = planned
        .iter()
        .take(SHOWN)
        .map(|it| Upcoming { row: Row::new(&it.line, &view), at: it.at.map(|at| view.calendar.moment(at)) })
        .collect();
    let attention = listing::list_attention(db, ATTENTION).await?;
    let holds = hold::list(db).await?;
    let t = view.t();
    page::show(&Home {
        page: view.page(Place::Home),
        holds: holds.iter().map(|hold| Banner::new(hold, &view)).collect(),
        lanes: Lane::ALL.into_iter().map(|lane| (lane.name(), lane_label(lane, &view))).collect(),
        accounts: view.context.config.accounts.iter().map(|account| account.name.clone()).collect(),
        counts: counts(&view).await?,
        troubles: troubles(&view, &accounts).await?,
        attention: attention.iter().map(|line| Row::new(line, &view)).collect(),
        upcoming,
        more: (hidden > 0).then(|| fill(t.and_more, &[&hidden])),
    })
}

fn lane_label(lane: Lane, view: &View) -> &'static str {
    match lane {
        Lane::Breaking => view.t().lane_breaking,
        Lane::Normal => view.t().lane_normal,
        Lane::Promotion => view.t().lane_promotion,
    }
}

/// What each account lets through, for the forecast.
pub fn passes(view: &View, accounts: &[Account]) -> HashMap<String, Pass> {
    let configured = &view.context.config.accounts;
    accounts
        .iter()
        .filter_map(|known| {
            let account = configured.iter().find(|account| account.name == known.name)?;
            let pass = Pass {
                free_at: known.next_send_at,
                open_at: open_at(known, view.now),
                min_gap: account.min_gap,
                quiet: account.quiet_hours.clone(),
            };
            Some((known.name.clone(), pass))
        })
        .collect()
}

fn open_at(known: &Account, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match known.pause.as_deref() {
        None => Some(now),
        Some("throttle" | "circuit") => Some(known.pause_until),
        Some(_) => None,
    }
}

async fn counts(view: &View) -> Result<Vec<Count>, Failure> {
    let db = &view.context.db;
    let t = view.t();
    let states: HashMap<String, i64> = listing::count_open(db).await?.into_iter().collect();
    let count = |names: &[&str]| names.iter().filter_map(|name| states.get(*name)).sum();
    let sent = listing::count_since(db, State::Delivered, view.calendar.midnight()).await?;
    Ok(vec![
        Count { label: t.sent_today, number: sent, href: "/posts?state=delivered", kind: "delivered" },
        Count {
            label: t.waiting,
            number: count(&["scheduled", "sending"]),
            href: "/posts?state=scheduled,sending",
            kind: "scheduled",
        },
        Count { label: t.in_review, number: count(&["review"]), href: "/posts?state=review", kind: "review" },
        Count {
            label: t.in_doubt,
            number: count(&["unconfirmed", "parked"]),
            href: "/posts?state=unconfirmed,parked",
            kind: "parked",
        },
    ])
}

async fn troubles(view: &View, accounts: &[Account]) -> Result<Vec<Trouble>, Failure> {
    let t = view.t();
    let paused = accounts.iter().filter(|account| account.pause.is_some()).map(|account| Trouble {
        title: fill(t.account_paused, &[&account.name]),
        reason: page::clean(&reason::tell(account.pause_reason.as_deref().unwrap_or_default(), view.lang)),
        href: "/accounts",
    });
    let sources = source::list(&view.context.db).await?;
    let failing = sources.iter().filter(|source| source.errors >= SOURCE_ERRORS).map(|source| Trouble {
        title: fill(t.source_failing, &[&source.name]),
        reason: page::clean(source.error.as_deref().unwrap_or_default()),
        href: "/sources",
    });
    Ok(paused.chain(failing).collect())
}
