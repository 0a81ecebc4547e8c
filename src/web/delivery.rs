//! Delivery: the story of one, and what a person may do about it.

use axum::Form;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;

use crate::model::attempt::Receipt;
use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::transition::Event;
use crate::model::transition::Resolution;
use crate::store::attempt;
use crate::store::attempt::Attempt;
use crate::store::delivery;
use crate::store::delivery::Happening;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::View;
use crate::web::reason;
use crate::web::row;
use crate::web::words::Words;

/// A delivery with all its tries.
#[derive(Debug)]
pub struct Story {
    /// Its id.
    pub id: i64,
    /// The state, as CSS names it.
    pub state: &'static str,
    /// The state in words.
    pub state_label: &'static str,
    /// Why it is there.
    pub reason: Option<String>,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// When it is or was due.
    pub due: Moment,
    /// After this it is not worth sending.
    pub good_until: Moment,
    /// The platform's id.
    pub remote_id: Option<String>,
    /// Where readers find it.
    pub permalink: Option<String>,
    /// Whether a person may send it again.
    pub can_retry: bool,
    /// Whether a person may call it off.
    pub can_cancel: bool,
    /// Whether a person has to decide.
    pub can_resolve: bool,
    /// Its tries, first one first.
    pub attempts: Vec<Try>,
}

/// One try.
#[derive(Debug)]
pub struct Try {
    /// Which one, from 1.
    pub number: i64,
    /// When.
    pub at: Moment,
    /// How it ended, in words.
    pub outcome: &'static str,
    /// The HTTP status.
    pub status: Option<i64>,
    /// The platform's words.
    pub reason: Option<String>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// Who tried.
    pub node: String,
}

impl Story {
    /// Reads a delivery's tries and tells it whole.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(delivery: Delivery, view: &View) -> Result<Story, Failure> {
        let attempts = attempt::list(&view.context.db, delivery.id).await?;
        let t = view.t();
        let state = delivery.facts.state;
        Ok(Story {
            id: delivery.id,
            state: state.name(),
            state_label: row::state_label(state.name(), t),
            reason: delivery.reason.as_deref().map(|text| page::clean(&reason::tell(text, view.lang))),
            advice: row::advice(state.name(), t),
            due: view.calendar.moment(delivery.facts.due_at),
            good_until: view.calendar.moment(delivery.facts.good_until),
            remote_id: delivery.remote_id.as_deref().map(page::clean),
            permalink: delivery.permalink.as_deref().and_then(page::web_link),
            can_retry: matches!(state, State::Failed | State::Held),
            can_cancel: matches!(state, State::Scheduled | State::Failed | State::Held),
            can_resolve: state == State::Parked,
            attempts: attempts.iter().map(|attempt| Try::new(attempt, view)).collect(),
        })
    }
}

impl Try {
    fn new(attempt: &Attempt, view: &View) -> Try {
        Try {
            number: attempt.number,
            at: view.calendar.moment(attempt.started_at),
            outcome: outcome(attempt.outcome.as_deref(), view.t()),
            status: attempt.status,
            reason: attempt.reason.as_deref().map(page::clean),
            request_id: attempt.request_id.as_deref().map(page::clean),
            node: attempt.node.clone(),
        }
    }
}

fn outcome(outcome: Option<&str>, t: &Words) -> &'static str {
    match outcome {
        Some("delivered") => t.outcome_delivered,
        Some("rate_limited") => t.outcome_rate_limited,
        Some("unreachable") => t.outcome_unreachable,
        Some("unconfirmed") => t.outcome_unconfirmed,
        Some("duplicate") => t.outcome_duplicate,
        Some("unauthorized") => t.outcome_unauthorized,
        Some("out_of_budget") => t.outcome_out_of_budget,
        Some("rejected") => t.outcome_rejected,
        Some("not_sent") => t.outcome_not_sent,
        Some("already_there") => t.outcome_already_there,
        Some("lease_lost") => t.outcome_lease_lost,
        _ => t.attempt_open,
    }
}

/// `POST /deliveries/{id}/retry`.
pub async fn retry(view: View, Path(id): Path<i64>) -> Answer {
    apply(&view, id, Event::Retried, "retried").await
}

/// `POST /deliveries/{id}/cancel`.
pub async fn cancel(view: View, Path(id): Path<i64>) -> Answer {
    apply(&view, id, Event::Cancelled { reason: "cancelled on the page".to_owned() }, "cancelled").await
}

/// What a person knows of a parked delivery.
#[derive(Debug, Deserialize)]
pub struct Decision {
    verdict: Verdict,
    #[serde(default)]
    link: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    There,
    Absent,
    Drop,
}

/// `POST /deliveries/{id}/resolve`.
pub async fn resolve(view: View, Path(id): Path<i64>, Form(decision): Form<Decision>) -> Answer {
    let resolution = match decision.verdict {
        Verdict::There => {
            let link = page::web_link(&decision.link).ok_or(Failure::Refused(|t| t.refused_link))?;
            Resolution::There(Receipt::found_at(&link))
        }
        Verdict::Absent => Resolution::Absent,
        Verdict::Drop => Resolution::Drop,
    };
    apply(&view, id, Event::Resolved(resolution), "resolved").await
}

async fn apply(view: &View, id: i64, event: Event, note: &str) -> Result<Response, Failure> {
    let db = &view.context.db;
    let known = delivery::find(db, id).await?.ok_or(Failure::Missing)?;
    let policy = view.context.policy(&known.account);
    match delivery::apply(db, &view.stamp(), id, None, Happening::from(event), &policy).await? {
        Ok(delivery) => Ok(page::done(&format!("/posts/{}", delivery.post), note)),
        Err(_) => Err(Failure::Refused(|t| t.refused_moved)),
    }
}
