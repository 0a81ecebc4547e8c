//! Sign-in: a name and a password, or a link that works once; and the way out.
//!
//! An unknown name, a wrong password and a user without one get the same answer after the same work.

use axum::Form;
use axum::extract::Query;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Extensions;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::pipeline::Context;
use crate::secret::SecretString;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::session;
use crate::store::session::Issued;
use crate::store::user;
use crate::store::user::Proof;
use crate::web::App;
use crate::web::address;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::gate;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::words::Lang;
use crate::web::words::fill;

/// Stands in the audit log for a name that no user has: what was typed may be a password.
const NO_SUCH_USER: &str = "?";

#[derive(askama::Template)]
#[template(path = "web/sign_in.html")]
struct Ask {
    page: Page,
    username: String,
    next: String,
    fault: Option<String>,
}

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    next: String,
}

/// `GET /login`.
pub async fn ask(State(app): State<App>, lang: Lang, uri: Uri, Query(asked): Query<Asked>) -> Answer {
    page::show(&form(&app, lang, &uri, String::new(), asked.next, None))
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Claim {
    username: String,
    password: SecretString,
    #[serde(default)]
    next: String,
}

/// `POST /login`.
pub async fn sign_in(
    State(app): State<App>,
    lang: Lang,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    Form(claim): Form<Claim>,
) -> Answer {
    let context = app.context();
    let t = lang.words();
    let Caller { address, network } = Caller::of(&context, &extensions, &headers);
    let name = crate::model::user::name(&claim.username).unwrap_or_default();
    if let Err(seconds) = app.0.throttle.take(&name, &network, context.now()) {
        let fault = fill(t.sign_in_wait, &[&seconds]);
        let page = page::show(&form(&app, lang, &uri, claim.username, claim.next, Some(fault)))?;
        return Ok((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], page)
            .into_response());
    }
    let proof = {
        let _turn = app.0.hashers.acquire().await.map_err(|_| Failure::Broken)?;
        user::prove(&context.db, &name, claim.password).await?
    };
    let stamp = |user: &str| Stamp {
        at: context.now(),
        node: context.node.clone(),
        actor: Actor::User { user: user.to_owned(), role: None, session: None, address: address.clone() },
    };
    match proof {
        Proof::User(user) => {
            app.0.throttle.forgive(&name);
            end_former(&app, &context, &headers, &address).await?;
            let issued = session::open(&context.db, &stamp(&user.name), &user).await?;
            Ok(enter(&app, &issued, &context, local(&claim.next)))
        }
        Proof::Nobody(user) => {
            let entry = stamp(user.as_deref().unwrap_or(NO_SUCH_USER)).entry(Action::UserRefused);
            audit::record(&context.db, &entry).await?;
            warn!(address = address.as_deref().unwrap_or_default(), "Refused a sign-in");
            let fault = Some(t.sign_in_wrong.to_owned());
            let page = page::show(&form(&app, lang, &uri, claim.username, claim.next, fault))?;
            Ok((StatusCode::FORBIDDEN, page).into_response())
        }
    }
}

/// A link's secret.
#[derive(Debug, Deserialize)]
pub struct Link {
    with: SecretString,
}

/// `GET /enter?with=…`: a link that signs in once.
pub async fn by_link(
    State(app): State<App>,
    lang: Lang,
    Query(link): Query<Link>,
    request: Request,
) -> Answer {
    let context = app.context();
    let (parts, _) = request.into_parts();
    // Whoever only looks ahead must not use the link up.
    let ahead = parts.headers.get("sec-purpose").is_some_and(|it| it.as_bytes().starts_with(b"prefetch"));
    if parts.method == Method::HEAD || ahead {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Caller { address, network } = Caller::of(&context, &parts.extensions, &parts.headers);
    let actor =
        Actor::User { user: NO_SUCH_USER.to_owned(), role: None, session: None, address: address.clone() };
    let stamp = Stamp { at: context.now(), node: context.node.clone(), actor };
    let free = app.0.throttle.take(&format!("link {network}"), &network, context.now()).is_ok();
    let issued = if free { session::redeem(&context.db, &stamp, &link.with).await? } else { None };
    match issued {
        Some(issued) => {
            end_former(&app, &context, &parts.headers, &address).await?;
            Ok(enter(&app, &issued, &context, "/"))
        }
        None => {
            if free {
                let mut entry = stamp.entry(Action::UserRefused);
                entry.detail = json!({ "by": "link" });
                audit::record(&context.db, &entry).await?;
            }
            let fault = Some(lang.words().sign_in_link_dead.to_owned());
            let at = Uri::from_static("/login");
            let page = page::show(&form(&app, lang, &at, String::new(), String::new(), fault))?;
            Ok((StatusCode::FORBIDDEN, page).into_response())
        }
    }
}

/// `POST /logout`.
pub async fn sign_out(State(app): State<App>, view: View) -> Answer {
    session::close(&view.context.db, &view.stamp(), &view.visitor.session).await?;
    Ok(([(header::SET_COOKIE, gate::signed_out(&app))], Redirect::to("/login")).into_response())
}

/// Where a request comes from: the address, and what counts as one caller.
struct Caller {
    address: Option<String>,
    network: String,
}

impl Caller {
    fn of(context: &Context, extensions: &Extensions, headers: &HeaderMap) -> Caller {
        let address = address::caller(extensions, headers, &context.config.web.trusted_proxies);
        Caller {
            network: address.map(address::network).unwrap_or_default(),
            address: address.map(|address| address.to_string()),
        }
    }
}

/// Whoever signs in anew leaves no old session behind in the same browser.
async fn end_former(
    app: &App,
    context: &Context,
    headers: &HeaderMap,
    address: &Option<String>,
) -> Result<(), Failure> {
    let Some(secret) = gate::cookie(app, headers) else { return Ok(()) };
    let former = session::find(&context.db, &secret, session::Kind::Page, context.now()).await?;
    if let Some(former) = former {
        let actor = former.actor(address.clone());
        let stamp = Stamp { at: context.now(), node: context.node.clone(), actor };
        session::close(&context.db, &stamp, &former).await?;
    }
    Ok(())
}

fn enter(app: &App, issued: &Issued, context: &Context, next: &str) -> Response {
    let cookie = gate::signed_in(app, issued, context.now());
    ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

/// A path of ours to go to; anything that a browser could take for another site leads home.
fn local(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if ours { next } else { "/" }
}

fn form(app: &App, lang: Lang, uri: &Uri, username: String, next: String, fault: Option<String>) -> Ask {
    let page = Page::new(&app.context(), None, lang, Place::Elsewhere, uri);
    Ask { page, username: page::clean(&username), next: local(&next).to_owned(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_led_to_pages_of_ours_only() {
        for (next, led) in [
            ("/posts?state=review", "/posts?state=review"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(local(next), led, "{next:?}");
        }
    }
}
