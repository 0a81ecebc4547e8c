//! Exchange: carries a request to a fake platform, and its answer back.
//!
//! Faults strike on the way: before the platform sees the request, or after it has accepted it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;

use crate::model::account::Platform;
use crate::sandbox::Desk;
use crate::sandbox::Sandbox;
use crate::sandbox::State;
use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::facebook;
use crate::sandbox::fault::Fault;
use crate::sandbox::fault::Kind;
use crate::sandbox::fault::Scope;
use crate::sandbox::line;
use crate::sandbox::wire::Cut;
use crate::sandbox::wire::Wire;
use crate::sandbox::x;

/// The largest request body read; LINE's own limit of 2 MB stands below it.
const BODY_LIMIT: usize = 8 << 20;

/// How long half an answer gets to leave before the connection breaks.
const HALF_BODY_PAUSE: Duration = Duration::from_millis(30);

/// How long the answer of `huge_body` is.
const HUGE: usize = 64 << 20;

/// `/facebook/…`, `/x/…` and `/line/…`.
pub fn router(sandbox: Sandbox) -> Router {
    let mut router = Router::new();
    for platform in Platform::ALL {
        let prefix = format!("/{platform}");
        for path in [prefix.clone(), format!("{prefix}/"), format!("{prefix}/{{*path}}")] {
            let sandbox = sandbox.clone();
            let prefix = prefix.clone();
            router = router.route(
                &path,
                any(
                    move |request: Request| async move { handle(&sandbox, platform, &prefix, request).await },
                ),
            );
        }
    }
    router
}

async fn handle(sandbox: &Sandbox, platform: Platform, prefix: &str, request: Request) -> Response {
    let wire = request.extensions().get::<ConnectInfo<Wire>>().map(|info| info.0.clone());
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path().strip_prefix(prefix).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let mut call = Call::new(parts.method, path, query, parts.headers, body);
    call.at = sandbox.now();
    let scope = scope(platform, &call);
    let fault = sandbox.state().faults.pick(platform, scope, call.item());
    tracing::debug!(%platform, method = %call.method, path, ?fault, "sandbox request");
    let Some(fault) = fault else {
        return answer(sandbox, platform, &call).into_response();
    };
    match before(sandbox, platform, &call, &fault, wire.as_ref(), path).await {
        Some(response) => response,
        None => after(sandbox, platform, call, &fault, wire.as_ref()).await,
    }
}

fn scope(platform: Platform, call: &Call) -> Scope {
    match platform {
        Platform::Facebook => facebook::scope(call),
        Platform::X => x::scope(call),
        Platform::Line => line::scope(call),
    }
}

/// The platform's honest answer; this is where posts are made.
fn answer(sandbox: &Sandbox, platform: Platform, call: &Call) -> Answer {
    let mut state = sandbox.state();
    let State { settings, newsroom, ledger, facebook, x, line, .. } = &mut *state;
    let desk = &mut Desk { settings, newsroom, ledger, base: &sandbox.shared.options.base };
    let answer = match platform {
        Platform::Facebook => facebook.answer(call, desk),
        Platform::X => x.answer(call, desk),
        Platform::Line => line.answer(call, desk),
    };
    answer.dated(call.at)
}

/// Faults that strike before the platform accepts anything; `None` when the fault is of the other sort.
async fn before(
    sandbox: &Sandbox,
    platform: Platform,
    call: &Call,
    fault: &Fault,
    wire: Option<&Wire>,
    path: &str,
) -> Option<Response> {
    let refused = |kind| refusal(platform, kind, call).dated(call.at).into_response();
    Some(match fault.kind {
        Kind::DropBeforeAccept => hang_up(wire, Cut::Close),
        Kind::Reset => hang_up(wire, Cut::Reset),
        Kind::StallBeforeAccept => silence(sandbox).await,
        Kind::Error500 | Kind::Error503 | Kind::Error429 | Kind::Unauthorized | Kind::OutOfBudget => {
            refused(fault.kind)
        }
        Kind::RedirectOnPost => Answer::text(307, "text/plain", "")
            .with("location", format!("{}/{platform}{path}?redirected=1", sandbox.shared.options.base))
            .dated(call.at)
            .into_response(),
        Kind::LateAccept => {
            let _accepts_when_dropped = LateAccept {
                sandbox: sandbox.clone(),
                platform,
                call: Some(call.clone()),
                lag: Duration::from_millis(fault.ms),
            };
            silence(sandbox).await
        }
        _ => return None,
    })
}

/// Faults that strike once the platform has accepted.
async fn after(
    sandbox: &Sandbox,
    platform: Platform,
    mut call: Call,
    fault: &Fault,
    wire: Option<&Wire>,
) -> Response {
    if fault.kind == Kind::LyingReadback {
        call.blind = Some(fault.ms);
    }
    let answer = answer(sandbox, platform, &call);
    if answer.status.is_client_error() {
        // The platform refused the request itself: nothing was accepted that a fault could hide.
        return answer.into_response();
    }
    match fault.kind {
        Kind::AcceptThenDrop => hang_up(wire, Cut::Close),
        Kind::AcceptThenReset => hang_up(wire, Cut::Reset),
        Kind::Stall => silence(sandbox).await,
        Kind::Slow => {
            tokio::time::sleep(Duration::from_millis(fault.ms)).await;
            answer.into_response()
        }
        Kind::AcceptThen500 => refusal(platform, Kind::Error500, &call).dated(call.at).into_response(),
        Kind::AcceptThen502Html => Answer::text(
            502,
            "text/html",
            "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>\
             <hr></body></html>",
        )
        .dated(call.at)
        .into_response(),
        Kind::AcceptThenGarbage200 => {
            Answer::text(200, "application/json", &b"\x1f\x8b{\"da"[..]).dated(call.at).into_response()
        }
        Kind::AcceptThenHalfBody => half(answer),
        Kind::WithoutId => without_id(platform, answer).into_response(),
        Kind::HugeBody => huge(answer),
        _ => answer.into_response(),
    }
}

/// Accepts a call some time after it was dropped, which is when the client gave up.
struct LateAccept {
    sandbox: Sandbox,
    platform: Platform,
    call: Option<Call>,
    lag: Duration,
}

impl Drop for LateAccept {
    fn drop(&mut self) {
        let Some(mut call) = self.call.take() else { return };
        let (sandbox, platform, lag) = (self.sandbox.clone(), self.platform, self.lag);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::time::sleep(lag).await;
            call.at = sandbox.now();
            let late = answer(&sandbox, platform, &call);
            tracing::debug!(%platform, status = %late.status, "sandbox answered late, to nobody");
        });
    }
}

/// Ends the connection without an answer.
fn hang_up(wire: Option<&Wire>, cut: Cut) -> Response {
    match wire {
        Some(wire) => {
            wire.cut(cut);
            StatusCode::OK.into_response()
        }
        None => broken(Bytes::new()),
    }
}

/// Keeps the client waiting until it goes away or the sandbox stops.
async fn silence(sandbox: &Sandbox) -> Response {
    sandbox.shared.closing.cancelled().await;
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// The answer with its full length promised and half of its body sent.
fn half(answer: Answer) -> Response {
    let length = answer.body.len();
    let mut response = broken(answer.body.slice(..length / 2));
    *response.status_mut() = answer.status;
    response.headers_mut().extend(answer.headers);
    response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    response
}

/// A body that breaks off after its first part.
fn broken(part: Bytes) -> Response {
    let parts = futures_util::stream::unfold(Some(part), |part| async move {
        match part {
            Some(part) if !part.is_empty() => Some((Ok(part), Some(Bytes::new()))),
            Some(_) => {
                // Without the pause the break would overtake the part that is still in the buffer.
                tokio::time::sleep(HALF_BODY_PAUSE).await;
                Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)), None))
            }
            None => None,
        }
    });
    Body::from_stream(parts).into_response()
}

/// The answer with so much padding before its JSON that a careless client fills its memory.
fn huge(answer: Answer) -> Response {
    const PART: usize = 1 << 16;
    let padding = Bytes::from(vec![b' '; PART]);
    let parts = futures_util::stream::iter(
        std::iter::repeat_n(padding, HUGE / PART).chain([answer.body]).map(Ok::<_, std::io::Error>),
    );
    let mut response = (answer.status, Body::from_stream(parts)).into_response();
    response.headers_mut().extend(answer.headers);
    response
}

/// A success that names no post.
fn without_id(platform: Platform, mut answer: Answer) -> Answer {
    match platform {
        Platform::Line => answer = answer.without("x-line-request-id"),
        Platform::X => answer.body = Bytes::from_static(b"{\"data\":{}}"),
        Platform::Facebook => answer.body = Bytes::from_static(b"{}"),
    }
    answer
}

/// The platform's own words for an error that a fault brings about.
fn refusal(platform: Platform, kind: Kind, call: &Call) -> Answer {
    match platform {
        Platform::Facebook => facebook::refusal(kind, call),
        Platform::X => x::refusal(kind, call),
        Platform::Line => line::refusal(kind, call),
    }
}

/// Whether a call only reads; the platforms' `scope` functions share it.
pub fn is_read(call: &Call) -> bool {
    call.method == Method::GET || call.method == Method::HEAD
}
