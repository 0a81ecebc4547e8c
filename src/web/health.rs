//! Health: says whether the daemon is alive, and whether it does its work.
//!
//! Readiness is an outcome, not a process state: the claim loop really ran lately. A daemon whose pages answer while
//! its worker is dead is the failure other tools hid for 38 hours.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use chrono::TimeDelta;
use serde::Serialize;

use crate::pipeline::observe;
use crate::store::migration;
use crate::web::App;

/// A claim cycle older than this is no sign of life; the loop turns at least once a second.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/readyz` tells.
#[derive(Debug, Serialize)]
pub struct Readiness {
    ready: bool,
    /// Whether the database answered in time.
    database: bool,
    /// Whether it has the schema this program knows.
    migrated: bool,
    /// Whether a claim cycle ran through lately.
    claiming: bool,
    /// What keeps the database from taking commits, with the cure; none if nothing does.
    trouble: Option<String>,
    /// How long ago a claim cycle ran through; none if there was none yet.
    last_claim_seconds: Option<i64>,
}

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok"
}

/// `GET /metrics`: what happened and what waits, for Prometheus.
pub async fn metrics(State(app): State<App>) -> Response {
    let text = observe::render(&app.context()).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// `GET /readyz`: the work is done.
pub async fn ready(State(app): State<App>) -> Response {
    let context = app.context();
    let answer = tokio::time::timeout(PATIENCE, migration::is_current(&context.db)).await;
    let migrated = matches!(answer, Ok(Ok(true)));
    let last = (app.0.last_cycle)();
    let pause = context.now() - last;
    let claiming = pause <= LONGEST_PAUSE;
    let trouble = context.db.trouble();
    let readiness = Readiness {
        ready: migrated && claiming && trouble.is_none(),
        database: matches!(answer, Ok(Ok(_))),
        migrated,
        claiming,
        trouble,
        last_claim_seconds: (last.timestamp() > 0).then(|| pause.num_seconds()),
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
