//! Failure: why a request gets no answer, told as a page or as problem+json.
//!
//! Visitors never see an inner error: it is logged where it happens, and the page says what to do.

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use serde_json::json;
use tower_http::csrf::ProtectionError;
use tracing::error;

use crate::store::db;
use crate::web::App;
use crate::web::gate::Visitor;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::words::Lang;
use crate::web::words::Words;

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Nobody is signed in.
    SignIn,
    /// The role does not allow it.
    Forbidden,
    /// The request comes from somebody else's page.
    ForeignOrigin,
    /// There is no such thing.
    Missing,
    /// There is, but not by that method.
    WrongMethod,
    /// It can't be done any more, or not like this; the sentence says why.
    Refused(fn(&Words) -> &'static str),
    /// The input can't be read.
    BadInput,
    /// The input is too large.
    TooLarge,
    /// It took too long.
    Slow,
    /// The database is out of reach.
    Outage,
    /// Something of ours is broken.
    Broken,
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Failure::SignIn => StatusCode::UNAUTHORIZED,
            Failure::Forbidden | Failure::ForeignOrigin => StatusCode::FORBIDDEN,
            Failure::Missing => StatusCode::NOT_FOUND,
            Failure::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Failure::Refused(_) => StatusCode::CONFLICT,
            Failure::BadInput => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Slow | Failure::Outage => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn text(&self, t: &Words) -> &'static str {
        match self {
            Failure::SignIn => t.failure_sign_in,
            Failure::Forbidden => t.failure_forbidden,
            Failure::ForeignOrigin => t.failure_foreign_origin,
            Failure::Missing => t.failure_missing,
            Failure::WrongMethod => t.failure_wrong_method,
            Failure::Refused(text) => text(t),
            Failure::BadInput => t.failure_bad_input,
            Failure::TooLarge => t.failure_too_large,
            Failure::Slow => t.failure_slow,
            Failure::Outage => t.failure_outage,
            Failure::Broken => t.failure_broken,
        }
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Failure {
        error!(error = %error, "A page could not be answered");
        if error.is_outage() { Failure::Outage } else { Failure::Broken }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Failure {
        error!(error = %error, "A page could not be rendered");
        Failure::Broken
    }
}

/// Bare; [`dress`] makes it a page or JSON, because only there the language and the path are known.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a handler answers.
pub type Answer = Result<Response, Failure>;

/// `GET` anything unknown.
pub async fn missing() -> Failure {
    Failure::Missing
}

/// The wrong method on a known path.
pub async fn wrong_method() -> Failure {
    Failure::WrongMethod
}

/// Turns failures, ours and those of the layers below, into what the caller can read.
pub async fn dress(State(app): State<App>, request: Request, next: Next) -> Response {
    let lang = request.extensions().get::<Lang>().copied().unwrap_or_default();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let Some(failure) = found(&response) else { return response };
    let api = ["/api/", "/events"].iter().any(|prefix| uri.path().starts_with(prefix));
    if matches!(failure, Failure::SignIn) && !api {
        let next =
            if method == Method::GET { uri.path_and_query().map_or("/", |it| it.as_str()) } else { "/" };
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        return Redirect::to(&format!("/login?{query}")).into_response();
    }
    if api {
        return problem(&failure, lang);
    }
    let visitor = response.extensions().get::<Visitor>().cloned();
    let page = Page::new(&app.context(), visitor, lang, Place::Elsewhere, &uri);
    let back =
        if method == Method::GET { "/" } else { uri.path().rsplit_once('/').map_or("/", |(path, _)| path) };
    let status = failure.status();
    let template = Sorry { title: failure.text(lang.words()), code: status.as_u16(), back, page };
    match page::render(&template) {
        Ok(body) => (status, body).into_response(),
        Err(_) => (status, failure.text(lang.words())).into_response(),
    }
}

/// RFC 9457.
fn problem(failure: &Failure, lang: Lang) -> Response {
    let status = failure.status();
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": failure.text(lang.words()),
    });
    let kind = HeaderValue::from_static("application/problem+json");
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The failure in a response, if it is one: said by a handler, or guessed from what a layer answered.
fn found(response: &Response) -> Option<Failure> {
    if let Some(failure) = response.extensions().get::<Failure>() {
        return Some(failure.clone());
    }
    if response.extensions().get::<ProtectionError>().is_some() {
        return Some(Failure::ForeignOrigin);
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.starts_with(b"text/html") || kind.starts_with(b"application/json") {
        return None;
    }
    match response.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Some(Failure::BadInput)
        }
        StatusCode::PAYLOAD_TOO_LARGE => Some(Failure::TooLarge),
        StatusCode::REQUEST_TIMEOUT => Some(Failure::Slow),
        _ => None,
    }
}

#[derive(askama::Template)]
#[template(path = "web/failure.html")]
struct Sorry<'a> {
    page: Page,
    title: &'a str,
    code: u16,
    back: &'a str,
}
