//! Door: signing in and out, who may go where, and what keeps strangers out.

use axum::body::Body;
use axum::http::Method;
use axum::http::Request;
use axum::http::StatusCode;
use chrono::TimeDelta;

use super::Desk;
use super::body;
use super::submit;
use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::model::user::Right;
use crate::model::user::Role;
use crate::secret::ExposeSecret as _;
use crate::secret::SecretString;
use crate::store::user;
use crate::web;
use crate::web::gate::Need;
use crate::web::route;

const PASSWORD: &str = "ข่าวดีมีทุกวัน";

async fn with_somchai(desk: &Desk) {
    let password = SecretString::from(PASSWORD);
    let stamp = desk.context.stamp("test");
    user::add(&desk.context.db, &stamp, "somchai", Role::Editor, Some(&password)).await.unwrap().unwrap();
}

fn claim<'a>(username: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [("username", username), ("password", password), ("next", "/articles")]
}

#[tokio::test]
async fn the_right_password_signs_in_and_the_cookie_lasts() {
    let desk = Desk::new().await;
    with_somchai(&desk).await;
    let form = desk.get("/login?next=/articles", "").await;
    assert_eq!(form.status, StatusCode::OK);
    for part in [r#"name="username""#, r#"name="password""#, r#"value="/articles""#] {
        assert!(form.body.contains(part), "{part}");
    }
    let entered = desk.post("/login", "", &claim(" Somchai ", PASSWORD)).await;
    assert_eq!((entered.status, entered.header("location")), (StatusCode::SEE_OTHER, "/articles"));
    let cookie = entered.header("set-cookie");
    assert!(cookie.starts_with("songkhao=") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(desk.get("/", entered.cookie()).await.status, StatusCode::OK);
    let Actor::User { user, role, session, address } = desk.last(Action::UserSignedIn).await.actor else {
        panic!("not a user");
    };
    assert_eq!((user.as_str(), role.as_deref()), ("somchai", Some("editor")));
    assert!(session.is_some_and(|session| session.len() == 8));
    assert_eq!(address.as_deref(), Some("198.51.100.7"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let desk = Desk::new().await;
    with_somchai(&desk).await;
    let wrong = desk.post("/login", "", &claim("somchai", "x")).await;
    let unknown = desk.post("/login", "", &claim("somsri", "x")).await;
    assert_eq!((wrong.status, unknown.status), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
    assert_eq!(wrong.body.replace("somchai", "…"), unknown.body.replace("somsri", "…"));
    assert_eq!(wrong.header("set-cookie"), "");
    let refused: Vec<String> = desk
        .actions()
        .await
        .into_iter()
        .filter(|entry| entry.action == Action::UserRefused)
        .map(|entry| entry.actor.name().to_owned())
        .collect();
    assert_eq!(refused, ["somchai", "?"]);
}

#[tokio::test]
async fn the_eleventh_try_has_to_wait() {
    let desk = Desk::new().await;
    with_somchai(&desk).await;
    for _ in 0..10 {
        desk.post("/login", "", &claim("somchai", "x")).await;
    }
    let late = desk.post("/login", "", &claim("somchai", PASSWORD)).await;
    assert_eq!((late.status, late.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "31"));
    desk.pass(TimeDelta::seconds(31));
    assert_eq!(desk.post("/login", "", &claim("somchai", PASSWORD)).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn signing_in_takes_over_no_session_and_ends_the_former_one() {
    let desk = Desk::new().await;
    with_somchai(&desk).await;
    let planted = "songkhao=planted-by-somebody";
    let first = desk.post("/login", planted, &claim("somchai", PASSWORD)).await.cookie().to_owned();
    assert_ne!(first, planted);
    let second = desk.post("/login", &first, &claim("somchai", PASSWORD)).await.cookie().to_owned();
    assert_ne!(second, first);
    assert_eq!(desk.get("/", planted).await.status, StatusCode::SEE_OTHER);
    assert_eq!(desk.get("/", &first).await.status, StatusCode::SEE_OTHER);
    assert_eq!(desk.get("/", &second).await.status, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let desk = Desk::new().await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let out = desk.post("/logout", &cookie, &[]).await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/login"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(desk.get("/", &cookie).await.header("location"), "/login?next=%2F");
    assert_eq!(desk.last(Action::UserSignedOut).await.actor.name(), "the-viewer");
}

#[tokio::test]
async fn a_link_signs_in_once_and_a_look_ahead_does_not_use_it_up() {
    let desk = Desk::new().await;
    let stamp = desk.context.stamp("demo");
    let invitation = web::sign_in_link(&desk.context.db, &stamp, Role::Admin).await.unwrap();
    for ahead in [
        Request::head(&invitation.path).body(Body::empty()).unwrap(),
        Request::get(&invitation.path)
            .header("sec-purpose", "prefetch;prerender")
            .body(Body::empty())
            .unwrap(),
    ] {
        assert_eq!(desk.ask(ahead).await.status, StatusCode::NO_CONTENT);
    }
    let entered = desk.get(&invitation.path, "").await;
    assert_eq!((entered.status, entered.header("location")), (StatusCode::SEE_OTHER, "/"));
    assert_eq!(desk.get("/", entered.cookie()).await.status, StatusCode::OK);
    let again = desk.get(&invitation.path, "").await;
    assert_eq!((again.status, again.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    let token = format!("Bearer {}", invitation.token.expose_secret());
    let asked = Request::get("/api/v1/posts").header("authorization", token).body(Body::empty()).unwrap();
    assert_eq!(desk.ask(asked).await.status, StatusCode::OK);
}

#[tokio::test]
async fn behind_https_the_cookie_is_bound_to_the_host() {
    let desk = Desk::at("https://desk.example").await;
    with_somchai(&desk).await;
    let entered = desk.post("/login", "", &claim("somchai", PASSWORD)).await;
    let cookie = entered.header("set-cookie");
    assert!(cookie.starts_with("__Host-songkhao=") && cookie.ends_with("; Secure"), "{cookie}");
    assert_eq!(entered.header("strict-transport-security"), "max-age=63072000");
}

#[tokio::test]
async fn a_trusted_proxy_says_who_calls() {
    let desk = Desk::new().await;
    let form = claim("nobody", "x");
    let request =
        submit("/login", "", &form).header("x-forwarded-for", "6.6.6.6, 203.0.113.9").body(body(&form));
    desk.ask(request.unwrap()).await;
    let Actor::User { address, .. } = desk.last(Action::UserRefused).await.actor else {
        panic!("not a user")
    };
    assert_eq!(address.as_deref(), Some("203.0.113.9"));
}

/// A request to a route as its own page would make it, `{id}` and `{name}` filled in.
fn request(route: &route::Route, header: &str, value: &str) -> Request<Body> {
    let path = route.path.replace("{id}", "1").replace("{name}", "x");
    let form = [("hash", "x"), ("verdict", "drop"), ("reason", "x")];
    match route.method {
        Method::GET => Request::get(path).header(header, value).body(Body::empty()).unwrap(),
        _ => submit(&path, "", &form)
            .header(header, value)
            .header("sec-fetch-site", "same-origin")
            .body(body(&form))
            .unwrap(),
    }
}

#[tokio::test]
async fn every_route_lets_in_exactly_the_roles_that_may() {
    let desk = Desk::new().await;
    let mut walked = 0;
    for route in route::list(desk.app.clone()) {
        let (Need::Page(right) | Need::Api(right) | Need::Local(right)) = route.need else { continue };
        let refused = desk.ask(request(&route, "cookie", "")).await;
        let led_to_sign_in = refused.header("location").starts_with("/login?next=");
        assert!(led_to_sign_in || refused.status == StatusCode::UNAUTHORIZED, "{route:?}");
        for role in Role::ALL {
            // Anew each time: one of the routes signs out.
            let cookie = desk.signed_in(role).await;
            let status = desk.ask(request(&route, "cookie", &cookie)).await.status;
            let kept_out = matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED);
            assert_eq!(kept_out, !role.may(right), "{role} at {route:?}: {status}");
            assert!(!status.is_server_error(), "{role} at {route:?}: {status}");
            walked += 1;
        }
    }
    assert!(walked >= 19 * 4, "{walked}");
}

#[tokio::test]
async fn nothing_is_open_but_what_must_be_and_nothing_changes_by_looking() {
    let desk = Desk::new().await;
    let open: Vec<&str> = route::list(desk.app.clone())
        .iter()
        .filter(|route| route.need == Need::Nothing && route.method == Method::GET)
        .map(|route| route.path)
        .collect();
    assert_eq!(open, ["/healthz", "/readyz", "/assets/{name}", "/login", "/enter"]);
    for route in route::list(desk.app.clone()) {
        let reads_only =
            matches!(route.need, Need::Page(Right::Read) | Need::Api(Right::Read) | Need::Local(Right::Read));
        if route.method != Method::GET && !["/login", "/logout"].contains(&route.path) {
            assert!(!reads_only, "{route:?}");
        }
    }
}

#[tokio::test]
async fn a_change_asked_for_by_another_site_is_refused_everywhere() {
    let desk = Desk::new().await;
    let cookie = desk.signed_in(Role::Admin).await;
    let mut refused = 0;
    for route in route::list(desk.app.clone()).into_iter().filter(|route| route.method != Method::GET) {
        let path = route.path.replace("{id}", "1");
        for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            let request = submit(&path, &cookie, &[]).header(header, value).body(Body::empty()).unwrap();
            assert_eq!(desk.ask(request).await.status, StatusCode::FORBIDDEN, "{path} {header}");
            refused += 1;
        }
    }
    assert_eq!(refused, 2 * 9);
    assert_eq!(desk.get("/", &cookie).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_opens_the_api_and_no_page() {
    let desk = Desk::new().await;
    let token = desk.token(Role::Viewer).await;
    let ask = |path: &str, token: &str| {
        Request::get(path).header("authorization", token).body(Body::empty()).unwrap()
    };
    assert_eq!(desk.ask(ask("/api/v1/posts", &token)).await.status, StatusCode::OK);
    assert_eq!(desk.ask(ask("/", &token)).await.status, StatusCode::SEE_OTHER);
    let refused = desk.ask(ask("/api/v1/posts", "Bearer songkhao_guess")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.body.contains(r#""status":401"#), "{}", refused.body);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let desk = Desk::new().await;
    for path in ["/login", "/nowhere", "/healthz", "/"] {
        let reply = desk.get(path, "").await;
        assert!(reply.header("content-security-policy").starts_with("default-src 'self';"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("x-request-id").len(), 36, "{path}");
    }
}

#[tokio::test]
async fn a_body_beyond_measure_is_refused() {
    let desk = Desk::new().await;
    let long = "x".repeat(70_000);
    let reply = desk.post("/login", "", &claim("somchai", &long)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.body.contains("ข้อมูลที่ส่งมาใหญ่เกินไป"), "{}", reply.body);
}

#[tokio::test]
async fn assets_have_names_of_their_content_and_are_kept_for_ever() {
    let desk = Desk::new().await;
    let page = desk.get("/login", "").await.body;
    let at = page.find("/assets/style.").unwrap();
    let path: String = page[at..].chars().take_while(|&c| c != '"').collect();
    let asset = desk.get(&path, "").await;
    assert_eq!((asset.status, asset.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert!(asset.header("cache-control").contains("immutable"));
    assert_eq!(desk.get("/assets/style.css", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.get("/assets/..%2f..%2fCargo.toml", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_daemon_is_ready_while_it_claims_and_the_database_answers() {
    let desk = Desk::new().await;
    assert_eq!(desk.get("/healthz", "").await.body, "ok");
    let ready = desk.get("/readyz", "").await;
    assert_eq!(ready.status, StatusCode::OK);
    let told = r#"{"ready":true,"database":true,"migrated":true,"claiming":true,"trouble":null,"last_claim_seconds":0}"#;
    assert_eq!(ready.body, told);
    desk.pass(TimeDelta::seconds(31));
    let stale = desk.get("/readyz", "").await;
    assert_eq!(stale.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        stale.body.contains(r#""claiming":false,"trouble":null,"last_claim_seconds":31"#),
        "{}",
        stale.body
    );
    desk.pulse.store(crate::clock::micros(super::now(&desk)), std::sync::atomic::Ordering::Relaxed);
    desk.context.db.close().await;
    let closed = desk.get("/readyz", "").await;
    assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(closed.body.contains(r#""database":false"#), "{}", closed.body);
    assert_eq!(desk.get("/healthz", "").await.status, StatusCode::OK);
}
