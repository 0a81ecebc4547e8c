//! Test: the pages, asked as a browser asks, over a real database.

mod newsroom;
mod door;
mod desk;
mod story;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::clock;
use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::user::Role;
use crate::pipeline::Context;
use crate::secret::ExposeSecret as _;
use crate::store::audit;
use crate::store::session;
use crate::store::session::Kind;
use crate::store::user;
use crate::web::App;
use crate::web::route;

/// A newsroom's database with its pages, a clock turned by hand, and a pulse.
struct Desk {
    context: Arc<Context>,
    app: App,
    router: Router,
    clock: Arc<AtomicI64>,
    pulse: Arc<AtomicI64>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Desk {
    /// With this `public_url`, and nothing in the database.
    async fn at(public_url: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(clock::micros("2026-11-22T07:05:12Z".parse().unwrap())));
        let pulse = Arc::new(AtomicI64::new(clock.load(Ordering::Relaxed)));
        let context = Arc::new(newsroom::context(folder.path(), public_url, clock.clone()).await);
        let beat = pulse.clone();
        let last_cycle = Arc::new(move || clock::from_micros(beat.load(Ordering::Relaxed)));
        let app = App::new(watch::Sender::new(context.clone()).subscribe(), last_cycle);
        Desk { router: route::router(app.clone()), context, app, clock, pulse, _folder: folder }
    }

    async fn new() -> Desk {
        Desk::at("http://desk.example:8080").await
    }

    fn pass(&self, span: TimeDelta) {
        self.clock.fetch_add(span.num_microseconds().unwrap(), Ordering::Relaxed);
    }

    /// A user of that role, signed in; the value of the cookie header.
    async fn signed_in(&self, role: Role) -> String {
        let stamp = self.context.stamp("test");
        let name = format!("the-{role}");
        let user = match user::find(&self.context.db, &name).await.unwrap() {
            Some(user) => user,
            None => user::add(&self.context.db, &stamp, &name, role, None).await.unwrap().unwrap(),
        };
        let issued = session::open(&self.context.db, &stamp, &user).await.unwrap();
        format!("songkhao={}", issued.secret.expose_secret())
    }

    /// A token of a user of that role; the value of the authorization header.
    async fn token(&self, role: Role) -> String {
        self.signed_in(role).await;
        let user = user::find(&self.context.db, &format!("the-{role}")).await.unwrap().unwrap();
        let stamp = self.context.stamp("test");
        let issued = session::issue(&self.context.db, &stamp, &user, Kind::Token).await.unwrap();
        format!("Bearer {}", issued.secret.expose_secret())
    }

    async fn ask(&self, mut request: Request<Body>) -> Reply {
        let peer: SocketAddr = "198.51.100.7:50000".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        // A stream of events has no end.
        let stream = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let body = if stream { Body::empty() } else { body };
        let body = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str, cookie: &str) -> Reply {
        self.ask(Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap()).await
    }

    /// As a form of our own page sends it.
    async fn post(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> Reply {
        self.ask(submit(path, cookie, form).header("sec-fetch-site", "same-origin").body(body(form)).unwrap())
            .await
    }

    async fn actions(&self) -> Vec<Entry> {
        let entries = audit::list(&self.context.db, &audit::Filter::default()).await.unwrap();
        entries.iter().map(|sealed| Entry::parse(&sealed.entry).unwrap()).collect()
    }

    async fn last(&self, action: Action) -> Entry {
        self.actions().await.into_iter().rfind(|entry| entry.action == action).unwrap()
    }
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The session's cookie as it is sent back; empty if none was set.
    fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap_or_default()
    }
}

fn submit(path: &str, cookie: &str, _: &[(&str, &str)]) -> axum::http::request::Builder {
    Request::post(path)
        .header(header::COOKIE, cookie)
        .header(header::HOST, "desk.example:8080")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
}

fn body(form: &[(&str, &str)]) -> Body {
    Body::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish())
}

fn now(desk: &Desk) -> DateTime<Utc> {
    desk.context.now()
}
