//! Control: the calls that steer the sandbox: faults, settings, feed, results.
//!
//! `POST /control/fault` takes one order or a list, such as
//! `{"platform": "x", "kind": "accept_then_drop", "times": 2}` or
//! `{"platform": "all", "kind": "reset", "probability": 0.1, "seed": 7}`; `kind` is one of `fault::Kind`, or
//! `read_lag` (with `ms`) or `duplicate_filter` (with `on`).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Json;
use axum::response::Redirect;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::model::account::Platform;
use crate::sandbox::NewArticle;
use crate::sandbox::Published;
use crate::sandbox::Sandbox;
use crate::sandbox::fault::Fault;
use crate::sandbox::fault::Kind;
use crate::sandbox::fault::Scope;
use crate::sandbox::newsroom::Edit;

/// `/control/…`.
pub fn router(sandbox: Sandbox) -> Router {
    Router::new()
        .route("/control/fault", get(list_faults).post(arm).delete(clear))
        .route("/control/settings", post(set))
        .route("/control/reset", post(reset))
        .route("/control/published", get(published))
        .route("/control/renewals", get(renewals))
        .route("/control/publish", post(publish))
        .route("/control/edit", post(edit))
        .with_state(sandbox)
}

/// A fault as the control call writes it, or one of the two standing switches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    /// `facebook`, `x`, `line` or `all`.
    #[serde(default = "all")]
    platform: String,
    kind: String,
    /// How often; without it, and without `forever` and `probability`, once.
    times: Option<u32>,
    #[serde(default)]
    forever: bool,
    probability: Option<f64>,
    #[serde(default)]
    seed: u64,
    /// On which requests: publish (default), read, token, aid, any.
    scope: Option<Scope>,
    ms: Option<u64>,
    /// For `duplicate_filter`.
    on: Option<bool>,
}

fn all() -> String {
    "all".to_owned()
}

impl Order {
    fn platform(&self) -> Result<Option<Platform>, String> {
        if self.platform == "all" { Ok(None) } else { self.platform.parse().map(Some) }
    }

    fn fault(&self) -> Result<Fault, String> {
        let kind: Kind = serde_json::from_value(json!(self.kind)).map_err(|error| error.to_string())?;
        let probability = self.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(format!("probability is {probability}; it lies between 0 and 1"));
        }
        let fallback = if self.forever || self.probability.is_some() { None } else { Some(1) };
        let plain = Fault::once(Platform::Facebook, kind);
        Ok(Fault {
            platform: self.platform()?,
            on: self.scope.unwrap_or(plain.on),
            times: self.times.or(fallback),
            probability,
            seed: self.seed,
            ms: self.ms.unwrap_or(plain.ms),
            ..plain
        })
    }

    fn carry_out(&self, sandbox: &Sandbox) -> Result<(), String> {
        let platforms = self.platform()?.map_or(Platform::ALL.to_vec(), |platform| vec![platform]);
        match self.kind.as_str() {
            "read_lag" => {
                let lag = Duration::from_millis(self.ms.ok_or("read_lag needs ms, the lag in milliseconds")?);
                platforms.iter().for_each(|platform| sandbox.set_read_lag(*platform, lag));
            }
            "duplicate_filter" => {
                let on = self.on.ok_or("duplicate_filter needs on, true or false")?;
                platforms.iter().for_each(|platform| sandbox.set_duplicate_filter(*platform, on));
            }
            _ => sandbox.arm(self.fault()?),
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Orders {
    Many(Vec<Order>),
    One(Order),
}

async fn arm(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let orders = match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(value) if value.is_array() => serde_json::from_value(value).map(Orders::Many),
        Ok(value) => serde_json::from_value(value).map(Orders::One),
        Err(error) => Err(error),
    };
    let orders = match orders {
        Ok(Orders::Many(orders)) => orders,
        Ok(Orders::One(order)) => vec![order],
        Err(error) => return wrong(&error.to_string()),
    };
    match orders.iter().try_for_each(|order| order.carry_out(&sandbox)) {
        Ok(()) => list_faults(State(sandbox)).await,
        Err(reason) => wrong(&reason),
    }
}

async fn list_faults(State(sandbox): State<Sandbox>) -> Response {
    Json(json!({ "faults": sandbox.state().faults.armed() })).into_response()
}

async fn clear(State(sandbox): State<Sandbox>) -> Response {
    sandbox.clear_faults();
    list_faults(State(sandbox)).await
}

/// What `POST /control/settings` changes; what is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSettings {
    limits: Option<bool>,
    line_friends: Option<u64>,
    /// `null` is no limit.
    #[serde(default, with = "given")]
    line_quota: Option<Option<u64>>,
    x_access_life: Option<i64>,
    x_issued_only: Option<bool>,
}

/// Tells `null` from nothing.
mod given {
    use serde::Deserialize;
    use serde::Deserializer;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
        Option::deserialize(from).map(Some)
    }
}

async fn set(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let new: NewSettings = match read(&body) {
        Ok(new) => new,
        Err(refused) => return *refused,
    };
    let mut state = sandbox.state();
    let settings = &mut state.settings;
    settings.limits = new.limits.unwrap_or(settings.limits);
    settings.line_friends = new.line_friends.unwrap_or(settings.line_friends);
    settings.line_quota = new.line_quota.unwrap_or(settings.line_quota);
    settings.x_access_life = new.x_access_life.unwrap_or(settings.x_access_life);
    settings.x_issued_only = new.x_issued_only.unwrap_or(settings.x_issued_only);
    Json(json!({
        "limits": settings.limits,
        "line_friends": settings.line_friends,
        "line_quota": settings.line_quota,
        "x_access_life": settings.x_access_life,
        "x_issued_only": settings.x_issued_only,
    }))
    .into_response()
}

async fn reset(State(sandbox): State<Sandbox>) -> Response {
    sandbox.reset();
    Json(json!({ "reset": true })).into_response()
}

#[derive(Deserialize)]
struct Wanted {
    platform: Option<Platform>,
}

/// What was accepted, with the count of every thing that should be there once.
#[derive(Serialize)]
struct Account<'a> {
    total: usize,
    counts: BTreeMap<&'static str, usize>,
    /// Things accepted more than once and not deleted since.
    duplicates: Vec<Repeated>,
    posts: Vec<&'a Published>,
}

/// One link (or text, where there is no link) that stands more than once on one account.
#[derive(Debug, Serialize)]
pub struct Repeated {
    /// Where.
    pub platform: Platform,
    /// Whose.
    pub account: String,
    /// The link or the text.
    pub what: String,
    /// How often.
    pub count: usize,
}

/// Everything that stands more than once on one account.
pub fn repeated<'a>(posts: impl IntoIterator<Item = &'a Published>) -> Vec<Repeated> {
    let mut counts: BTreeMap<(Platform, &str, String), usize> = BTreeMap::new();
    for post in posts.into_iter().filter(|post| !post.deleted) {
        let what = if post.links.is_empty() { post.text.clone() } else { post.links.join(" ") };
        *counts.entry((post.platform, &post.account, what)).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|((platform, account, what), count)| Repeated {
            platform,
            account: account.to_owned(),
            what,
            count,
        })
        .collect()
}

async fn published(State(sandbox): State<Sandbox>, wanted: Query<Wanted>) -> Response {
    let state = sandbox.state();
    let posts: Vec<&Published> = state
        .ledger
        .iter()
        .filter(|post| wanted.platform.is_none_or(|platform| post.platform == platform))
        .collect();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for post in &posts {
        *counts.entry(post.platform.name()).or_default() += 1;
    }
    let duplicates = repeated(posts.iter().copied());
    Json(Account { total: posts.len(), counts, duplicates, posts }).into_response()
}

async fn renewals(State(sandbox): State<Sandbox>) -> Response {
    Json(sandbox.renewals()).into_response()
}

async fn publish(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let is_json = body.trim_ascii().starts_with(b"{");
    let link = if is_json {
        match read::<NewArticle>(&body) {
            Ok(article) if article.title.trim().is_empty() => return wrong("title is empty"),
            Ok(article) => Some(sandbox.publish(article)),
            Err(refused) => return *refused,
        }
    } else {
        sandbox.publish_next()
    };
    match link {
        _ if is_form && !is_json => Redirect::to("/").into_response(),
        Some(link) => (StatusCode::CREATED, Json(json!({ "link": link }))).into_response(),
        None => {
            (StatusCode::CONFLICT, Json(json!({ "error": "all sample articles are out" }))).into_response()
        }
    }
}

async fn edit(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let edit: Edit = match read(&body) {
        Ok(edit) => edit,
        Err(refused) => return *refused,
    };
    let now = sandbox.now();
    if sandbox.state().newsroom.edit(edit, now) {
        Json(json!({ "edited": true })).into_response()
    } else {
        (StatusCode::NOT_FOUND, Json(json!({ "error": "no article has that link or slug" }))).into_response()
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| Box::new(wrong(&error.to_string())))
}

fn wrong(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response()
}
