//! Account: whether each can send, and when it does next.

use std::collections::HashMap;

use crate::config;
use crate::model::account::Mode;
use crate::model::token::State;
use crate::store::account;
use crate::store::account::Account;
use crate::store::delivery;
use crate::store::listing;
use crate::store::token;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::home;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::plan;
use crate::web::plan::Planned;
use crate::web::reason;
use crate::web::row;
use crate::web::words::Words;
use crate::web::words::fill;

/// How far the queue is looked ahead.
const LOOK_AHEAD: i64 = 1000;

#[derive(askama::Template)]
#[template(path = "web/accounts.html")]
struct Accounts {
    page: Page,
    items: Vec<Item>,
}

struct Item {
    name: String,
    platform: &'static str,
    platform_label: &'static str,
    health: &'static str,
    /// As CSS names it.
    kind: &'static str,
    reason: Option<String>,
    tries_again: Option<Moment>,
    last_sent: Option<Moment>,
    token: Option<Signs>,
    next_send: Option<Moment>,
    queue: usize,
    failures: i64,
    min_gap: String,
    quiet: Option<String>,
}

/// The stored token that an account signs with.
struct Signs {
    renewed: Option<Moment>,
    ends: Option<Moment>,
    by_itself: bool,
}

/// `GET /accounts`.
pub async fn show(view: View) -> Answer {
    let db = &view.context.db;
    let accounts = account::list(db).await?;
    let lines = listing::list_upcoming(db, LOOK_AHEAD).await?;
    let zone = view.context.config.timezone;
    let planned = plan::plan(lines, &home::passes(&view, &accounts), zone, view.now);
    let mut queues: HashMap<&str, Vec<&Planned>> = HashMap::new();
    for it in &planned {
        queues.entry(it.line.account.as_str()).or_default().push(it);
    }
    let mut items = Vec::new();
    let tokens = token::list(db).await?;
    for account in &accounts {
        let configured = view.context.config.accounts.iter().find(|it| it.name == account.name);
        let counts = configured.is_some_and(config::account::Account::takes_tokens);
        let token = tokens.iter().find(|token| counts && token.account == account.name);
        let signs = token.map(|token| Signs {
            renewed: token.refreshed_at.map(|at| view.calendar.moment(at)),
            ends: token.facts.expires_at.map(|at| view.calendar.moment(at)),
            by_itself: token.facts.renewable && token.facts.state != State::Lost,
        });
        let queue = queues.get(account.name.as_str()).map_or(&[][..], Vec::as_slice);
        items.push(Item { token: signs, ..item(account, queue, &view).await? });
    }
    page::show(&Accounts { items, page: view.page(Place::Accounts) })
}

async fn item(account: &Account, queue: &[&Planned], view: &View) -> Result<Item, Failure> {
    let t = view.t();
    let moment = |at| view.calendar.moment(at);
    let configured = view.context.config.accounts.iter().find(|it| it.name == account.name);
    let last = delivery::newest_delivered(&view.context.db, &account.name, 0, view.context.now()).await?;
    let (health, kind) = health(account, configured.map(|it| it.mode), t);
    let quiet = configured.and_then(|it| it.quiet_hours.end_of_quiet(view.now, view.context.config.timezone));
    Ok(Item {
        name: account.name.clone(),
        platform: account.platform.name(),
        platform_label: row::platform_label(account.platform.name()),
        health,
        kind,
        reason: account.pause_reason.as_deref().map(|it| page::clean(&reason::tell(it, view.lang))),
        tries_again: account.pause.is_some().then(|| moment(account.pause_until)),
        last_sent: last.map(|last| moment(last.known_at)),
        next_send: queue.iter().find_map(|it| it.at).map(moment),
        token: None,
        queue: queue.len(),
        failures: account.failures,
        min_gap: configured.map(|it| fill(t.seconds, &[&it.min_gap.as_secs()])).unwrap_or_default(),
        quiet: quiet.map(|end| fill(t.quiet_now, &[&moment(end).at])),
    })
}

fn health(account: &Account, mode: Option<Mode>, t: &Words) -> (&'static str, &'static str) {
    match (mode, account.pause.as_deref()) {
        (None, _) => (t.account_removed, "cancelled"),
        (_, Some("auth")) => (t.pause_auth, "failed"),
        (_, Some("quota")) => (t.pause_quota, "failed"),
        (_, Some("throttle")) => (t.pause_throttle, "held"),
        (_, Some(_)) => (t.pause_circuit, "held"),
        (Some(Mode::Shadow), None) => (t.account_shadow, "cancelled"),
        (Some(Mode::Live), None) => (t.account_ok, "delivered"),
    }
}
