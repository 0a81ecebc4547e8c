//! Event: tells open pages that something changed, so that they look again.
//!
//! Server-sent events without content: what changed is read by looking at the page, under the same rights.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::Event;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::web::App;

/// The least time between two events: a busy queue must not make browsers busy.
const BREATH: Duration = Duration::from_secs(1);

/// The longest silence: changes by the command line on SQLite, and the time left on the page, show by then.
const LONGEST: Duration = Duration::from_secs(15);

/// How long a stream lasts; the browser comes back by itself and its session is looked at again.
const LIFE: Duration = Duration::from_secs(600);

/// `GET /events`.
pub async fn stream(State(app): State<App>) -> Response {
    let changes = app.context().db.changes();
    let events = stream::unfold(changes, |mut changes| async {
        tokio::time::sleep(BREATH).await;
        changes.next(LONGEST).await;
        Some((Ok::<Event, Infallible>(Event::default().event("change").data("")), changes))
    });
    let closing = app.0.closing.clone();
    let end = async move {
        closing.run_until_cancelled(tokio::time::sleep(LIFE)).await;
    };
    Sse::new(events.take_until(Box::pin(end))).keep_alive(KeepAlive::default()).into_response()
}
