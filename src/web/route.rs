//! Route: every address, who may use it, and the layers around all of them.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::routing::get;
use axum::routing::post;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::request_id::PropagateRequestIdLayer;
use tower_http::request_id::RequestId;
use tower_http::request_id::SetRequestIdLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;
use tracing::error;
use tracing::warn;

use crate::model::user::Right;
use crate::web::App;
use crate::web::account;
use crate::web::api;
use crate::web::article;
use crate::web::asset;
use crate::web::audit;
use crate::web::delivery;
use crate::web::event;
use crate::web::failure;
use crate::web::failure::Failure;
use crate::web::gate;
use crate::web::gate::Need;
use crate::web::health;
use crate::web::hold;
use crate::web::home;
use crate::web::post as posts;
use crate::web::sign_in;
use crate::web::source;
use crate::web::words;

/// The longest that a request may take; streams only until they begin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The largest request body, in bytes: forms are small.
const LARGEST_BODY: usize = 64 * 1024;

/// The answers' header fields that keep browsers from being used against us.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
];

/// An address with who may use it.
#[derive(Debug, Clone)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by the test that walks every route and role"))]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
}

/// Collects routes; the only way to make one, so that none is without a gate.
struct Routes {
    app: App,
    router: Router<App>,
    list: Vec<Route>,
}

impl Routes {
    fn get<H: Handler<T, App>, T: 'static>(self, path: &'static str, need: Need, handler: H) -> Routes {
        self.add(Method::GET, path, need, get(handler))
    }

    fn post<H: Handler<T, App>, T: 'static>(self, path: &'static str, need: Need, handler: H) -> Routes {
        self.add(Method::POST, path, need, post(handler))
    }

    fn add(mut self, method: Method, path: &'static str, need: Need, route: MethodRouter<App>) -> Routes {
        let gate = from_fn_with_state((self.app.clone(), need), gate::pass);
        self.router = self.router.route(path, route.route_layer(gate));
        self.list.push(Route { method, path, need });
        self
    }
}

/// All of it.
fn routes(app: App) -> Routes {
    let read = Need::Page(Right::Read);
    let work = Need::Page(Right::Work);
    let approve = Need::Page(Right::Approve);
    let api = Need::Api(Right::Read);
    Routes { app, router: Router::new(), list: Vec::new() }
        .get("/healthz", Need::Nothing, health::alive)
        .get("/readyz", Need::Nothing, health::ready)
        .get("/metrics", Need::Local(Right::Read), health::metrics)
        .get("/assets/{name}", Need::Nothing, asset::show)
        .get("/login", Need::Nothing, sign_in::ask)
        .post("/login", Need::Nothing, sign_in::sign_in)
        .get("/enter", Need::Nothing, sign_in::by_link)
        .post("/logout", read, sign_in::sign_out)
        .get("/", read, home::show)
        .get("/events", read, event::stream)
        .get("/posts", read, posts::list)
        .get("/posts/{id}", read, posts::show)
        .post("/posts/{id}/approve", approve, posts::approve)
        .post("/posts/{id}/reject", approve, posts::reject)
        .post("/deliveries/{id}/retry", work, delivery::retry)
        .post("/deliveries/{id}/cancel", work, delivery::cancel)
        .post("/deliveries/{id}/resolve", work, delivery::resolve)
        .get("/articles", read, article::list)
        .get("/articles/{id}", read, article::show)
        .get("/accounts", read, account::show)
        .get("/sources", read, source::show)
        .post("/hold", work, hold::set)
        .post("/hold/lift", approve, hold::lift)
        .get("/audit", read, audit::show)
        .get("/api/v1/posts", api, api::posts)
        .get("/api/v1/articles", api, api::articles)
}

/// Every address with who may use it.
#[cfg(test)]
pub(crate) fn list(app: App) -> Vec<Route> {
    routes(app).list
}

/// The pages, the API and the probes, ready to be served.
pub fn router(app: App) -> Router {
    let origin = app.context().config.web.public_url.origin().ascii_serialization();
    let csrf = CsrfLayer::new();
    let csrf = csrf.clone().add_trusted_origin(&origin).unwrap_or_else(|fault| {
        warn!(error = %fault, "public_url is no origin; requests must come from the address they go to");
        csrf
    });
    let https = app.is_https();
    let inner = ServiceBuilder::new()
        .layer(from_fn_with_state(app.clone(), failure::dress))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(csrf);
    let router = routes(app.clone())
        .router
        .fallback(failure::missing)
        .method_not_allowed_fallback(failure::wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(inner)
        .layer(from_fn(words::choose))
        .layer(CompressionLayer::new())
        .with_state(app);
    secured(router, https)
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

fn secured(router: Router, https: bool) -> Router {
    let strict: &[(&str, &str)] = if https {
        // Two years; without subdomains, which may be somebody else's.
        &[("strict-transport-security", "max-age=63072000")]
    } else {
        &[]
    };
    HEADERS.iter().chain(strict).fold(router, |router, &(name, value)| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router.layer(SetResponseHeaderLayer::if_not_present(name, value))
    })
}

/// A request's line in the log: without its query, which may hold a secret, and without its headers.
fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request.id = id.unwrap_or_default(),
        agent = request.headers().get(header::USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default(),
    )
}

fn panicked() -> Response {
    error!("A page panicked");
    Failure::Broken.into_response()
}
