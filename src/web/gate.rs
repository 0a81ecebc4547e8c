//! Gate: lets a request through to its page, or not.
//!
//! Stands before every route; a route that says nothing can't be made. A page's session comes from the cookie, the
//! API's from the Authorization header, and neither is taken in the other's place.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use chrono::DateTime;
use chrono::Utc;

use crate::model::user::Right;
use crate::pipeline::Context;
use crate::secret::ExposeSecret;
use crate::secret::SecretString;
use crate::store::audit::Stamp;
use crate::store::session;
use crate::store::session::Issued;
use crate::store::session::Kind;
use crate::store::session::Session;
use crate::web::App;
use crate::web::address;
use crate::web::failure::Failure;

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Anybody.
    Nothing,
    /// Whoever is signed in and has the right.
    Page(Right),
    /// Whoever has a token, or is signed in, and has the right.
    Api(Right),
    /// A program on this machine, or whoever has a token with the right.
    Local(Right),
}

/// Who came in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The session, with the user and the role as of now.
    pub session: Session,
    /// Where from.
    pub address: Option<String>,
}

impl Visitor {
    /// Whether the visitor's role has a right.
    pub fn may(&self, right: Right) -> bool {
        self.session.role.may(right)
    }

    /// The stamp of what this visitor does now.
    pub fn stamp(&self, context: &Context) -> Stamp {
        Stamp {
            at: context.now(),
            node: context.node.clone(),
            actor: self.session.actor(self.address.clone()),
        }
    }
}

/// Passes a request on if its sender may.
///
/// # Errors
/// [`Failure::SignIn`], [`Failure::Forbidden`], or what the database says.
pub async fn pass(
    State((app, need)): State<(App, Need)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let right = match need {
        Need::Nothing => return Ok(next.run(request).await),
        Need::Local(_) if is_local(&request) => return Ok(next.run(request).await),
        Need::Page(right) | Need::Api(right) | Need::Local(right) => right,
    };
    let context = app.context();
    let found = match bearer(request.headers()) {
        Some(token) if matches!(need, Need::Api(_) | Need::Local(_)) => {
            session::find(&context.db, &token, Kind::Token, context.now()).await?
        }
        Some(_) => None,
        None => match cookie(&app, request.headers()) {
            Some(secret) => session::find(&context.db, &secret, Kind::Page, context.now()).await?,
            None => None,
        },
    };
    let Some(session) = found else { return Err(Failure::SignIn) };
    let proxies = &context.config.web.trusted_proxies;
    let address = address::caller(request.extensions(), request.headers(), proxies);
    let visitor = Visitor { session, address: address.map(|address| address.to_string()) };
    let mut response = if visitor.may(right) {
        request.extensions_mut().insert(visitor.clone());
        next.run(request).await
    } else {
        axum::response::IntoResponse::into_response(Failure::Forbidden)
    };
    // For the failure page, which shows the navigation to those who may use it.
    response.extensions_mut().insert(visitor);
    Ok(response)
}

/// Whether a request was made on this machine itself, not by a proxy here for somebody elsewhere.
fn is_local(request: &Request) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"];
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
        && !forwarded.iter().any(|name| request.headers().contains_key(*name))
}

/// The secret in the page's cookie.
pub fn cookie(app: &App, headers: &HeaderMap) -> Option<SecretString> {
    CookieJar::from_headers(headers).get(name(app)).map(|cookie| SecretString::from(cookie.value()))
}

/// The header that keeps a visitor signed in.
pub fn signed_in(app: &App, issued: &Issued, now: DateTime<Utc>) -> HeaderValue {
    session_cookie(app, issued.secret.expose_secret(), (issued.until - now).num_seconds())
}

/// The header that takes the session away from the browser.
pub fn signed_out(app: &App) -> HeaderValue {
    session_cookie(app, "", 0)
}

#[expect(clippy::expect_used, reason = "our own names and base64url are printable ASCII")]
fn session_cookie(app: &App, value: &str, seconds: i64) -> HeaderValue {
    let secure = if app.is_https() { "; Secure" } else { "" };
    let cookie = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", name(app));
    let mut cookie = HeaderValue::from_str(&cookie).expect("a cookie of printable ASCII");
    cookie.set_sensitive(true);
    cookie
}

/// `__Host-` makes browsers insist on https and refuse the cookie from a neighbouring host.
fn name(app: &App) -> &'static str {
    if app.is_https() { "__Host-songkhao" } else { "songkhao" }
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| SecretString::from(token.trim()))
}
