//! Hold: the switch that stops posting, and its banner.
//!
//! Whoever works on the queue may stop it; lifting it is for those who approve, because posts may follow.

use axum::Form;
use serde::Deserialize;

use crate::model::lane::Lane;
use crate::store::hold;
use crate::store::hold::Hold;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::page;
use crate::web::page::View;
use crate::web::row;
use crate::web::words::fill;

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 500;

/// A hold that is on, as pages show it.
#[derive(Debug)]
pub struct Banner {
    /// Which lanes and accounts it stops.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Who set it, and when.
    pub by: String,
}

impl Banner {
    /// A hold as a visitor sees it.
    pub fn new(hold: &Hold, view: &View) -> Banner {
        let t = view.t();
        let lane = hold.lane.as_deref().map(|lane| row::lane_label(lane, t).unwrap_or(t.lane_normal));
        let account = hold.account.as_deref().unwrap_or(t.all_accounts);
        Banner {
            what: format!("{} · {account}", lane.unwrap_or(t.hold_all)),
            reason: page::clean(&hold.reason),
            by: fill(t.hold_by, &[&page::clean(&hold.set_by), &view.calendar.moment(hold.set_at).at]),
        }
    }
}

/// What the form sends; empty: all.
#[derive(Debug, Deserialize)]
pub struct Wish {
    reason: String,
    #[serde(default)]
    lane: String,
    #[serde(default)]
    account: String,
}

/// `POST /hold`.
pub async fn set(view: View, Form(wish): Form<Wish>) -> Answer {
    let reason: String = page::clean(wish.reason.trim()).chars().take(LONGEST_REASON).collect();
    if reason.is_empty() {
        return Err(Failure::Refused(|t| t.refused_reason));
    }
    let lanes: Vec<Lane> = match wish.lane.as_str() {
        "" => Vec::new(),
        lane => vec![lane.parse().map_err(|_| Failure::BadInput)?],
    };
    let configured = view.context.config.accounts.iter().any(|account| account.name == wish.account);
    let accounts = match wish.account.as_str() {
        "" => Vec::new(),
        _ if !configured => return Err(Failure::BadInput),
        account => vec![account.to_owned()],
    };
    hold::set(&view.context.db, &view.stamp(), &reason, &lanes, &accounts).await?;
    Ok(page::done("/", "held"))
}

/// `POST /hold/lift`.
pub async fn lift(view: View) -> Answer {
    hold::lift_all(&view.context.db, &view.stamp()).await?;
    Ok(page::done("/", "lifted"))
}
