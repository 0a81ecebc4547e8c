//! X: the fake API v2's rules.

use reqwest::RequestBuilder;
use serde_json::Value;
use serde_json::json;

use crate::sandbox::test::Seen;
use crate::sandbox::test::World;
use crate::sandbox::test::world;
use crate::sandbox::test::world_with;

const OAUTH1: &str = "OAuth oauth_consumer_key=\"k\", oauth_nonce=\"n\", oauth_signature=\"MDEyMzQ1Njc4OTAxMjM0NTY3ODk%3D\", \
    oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\"1795373992\", oauth_token=\"77-t\", oauth_version=\"1.0\"";

async fn send(request: RequestBuilder) -> Seen {
    Seen::read(request.send().await.unwrap()).await
}

async fn timeline(world: &World, query: &str) -> Seen {
    let path = format!("/x/2/users/77/tweets?tweet.fields=created_at,entities&{query}");
    send(world.get(&path).bearer_auth("77-token")).await
}

#[tokio::test]
async fn a_post_answers_201_with_its_id_and_the_shown_text() {
    let world = world().await;
    let seen = world.x("ข่าว <ด่วน> & แรง https://a.example.com/1?x=1&y=2").await;
    assert_eq!(seen.status, 201);
    let data = seen.json()["data"].clone();
    assert!(data["id"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 60);
    assert!(data["text"].as_str().unwrap().starts_with("ข่าว &lt;ด่วน&gt; &amp; แรง https://t.co/"));
    seen.header("x-transaction-id");
    assert_eq!(seen.header("date"), "Sun, 22 Nov 2026 18:59:52 GMT");
    let published = &world.sandbox.published()[0];
    assert_eq!(
        (published.account.as_str(), published.links[0].as_str()),
        ("77", "https://a.example.com/1?x=1&y=2")
    );
}

#[tokio::test]
async fn credentials_are_needed_and_their_form_is_checked() {
    let world = world().await;
    let post = || world.post("/x/2/tweets").json(&json!({"text": "ก"}));
    for request in [
        post(),
        post().bearer_auth(""),
        post().header("authorization", "Basic eDp5"),
        post().header("authorization", OAUTH1.replace("oauth_nonce=\"n\", ", "")),
        post().header("authorization", OAUTH1.replace("\"k\"", "k")),
    ] {
        let seen = send(request).await;
        assert_eq!((seen.status, &seen.json()["title"]), (401, &json!("Unauthorized")));
        assert_eq!(seen.header("content-type"), "application/problem+json");
    }
    assert_eq!(send(post().header("authorization", OAUTH1)).await.status, 201);
}

#[tokio::test]
async fn both_kinds_of_credentials_lead_to_the_user() {
    let world = world().await;
    let me = async |header: &str| {
        send(world.get("/x/2/users/me").header("authorization", header)).await.json()["data"]["id"].clone()
    };
    assert_eq!(me(OAUTH1).await, "77");
    assert_eq!(me("Bearer 77-x").await, "77");
    assert_eq!(me("Bearer plain").await, "1500000000000000001");
    assert_ne!(me(&OAUTH1.replace("77-t", "other")).await, "77");
}

#[tokio::test]
async fn unknown_keys_and_bad_texts_are_refused() {
    let world = world().await;
    let post = async |body: Value| send(world.post("/x/2/tweets").bearer_auth("77-t").json(&body)).await;
    let seen = post(json!({"text": "ก", "colour": "red"})).await;
    assert_eq!(seen.status, 400);
    assert!(seen.json()["errors"][0]["message"].as_str().unwrap().contains("$.colour"));
    assert_eq!(post(json!({})).await.status, 400);
    assert_eq!(post(json!({"text": ""})).await.status, 400);
    assert_eq!(post(json!({"text": "ก\u{feff}"})).await.status, 400);
    assert_eq!(
        post(json!({"text": "ก", "media": {"media_ids": ["1"]}})).await.json()["detail"],
        "Your media IDs are invalid."
    );
    assert!(world.sandbox.published().is_empty());
}

#[tokio::test]
async fn a_text_may_weigh_280() {
    let world = world().await;
    assert_eq!(world.x(&"ก".repeat(280)).await.status, 201);
    let seen = world.x(&"ก".repeat(281)).await;
    assert_eq!(seen.status, 403);
    assert!(seen.json()["detail"].as_str().unwrap().contains("needs to be a bit shorter"));
    let link = format!("https://a.example.com/{}", "x".repeat(300));
    assert_eq!(world.x(&format!("{} {link}", "ก".repeat(256))).await.status, 201);
    assert_eq!(world.x(&format!("{} {link}", "ก".repeat(257))).await.status, 403);
    assert_eq!(world.x(&"漢".repeat(141)).await.status, 403);
}

#[tokio::test]
async fn a_recent_text_again_is_refused_even_once_deleted() {
    let world = world().await;
    let id = world.x("ก").await.json()["data"]["id"].as_str().unwrap().to_owned();
    let again = world.x("ก").await;
    assert_eq!(again.status, 403);
    assert_eq!(
        again.json(),
        json!({"type": "about:blank", "title": "Forbidden", "status": 403,
            "detail": "You are not allowed to create a Tweet with duplicate content."})
    );
    let url = format!("{}/x/2/tweets/{id}", world.base);
    assert_eq!(
        send(world.http.delete(&url).bearer_auth("77-t")).await.json(),
        json!({"data": {"deleted": true}})
    );
    assert_eq!(send(world.http.delete(&url).bearer_auth("77-t")).await.status, 404);
    assert_eq!(world.x("ก").await.status, 403);
    let other = world.post("/x/2/tweets").bearer_auth("78-t").json(&json!({"text": "ก"}));
    assert_eq!(send(other).await.status, 201);
    world.turn(25 * 3600);
    assert_eq!(world.x("ก").await.status, 201);
    world.fault(json!({"platform": "x", "kind": "duplicate_filter", "on": false})).await;
    assert_eq!(world.x("ก").await.status, 201);
}

#[tokio::test]
async fn read_back_shows_escaped_text_and_short_links() {
    let world = world().await;
    world.x("ก & ข https://a.example.com/1").await;
    let body = timeline(&world, "max_results=5").await.json();
    let post = &body["data"][0];
    let url = &post["entities"]["urls"][0];
    assert_eq!(url["expanded_url"], "https://a.example.com/1");
    let text: Vec<char> = post["text"].as_str().unwrap().chars().collect();
    let (start, end) = (url["start"].as_u64().unwrap(), url["end"].as_u64().unwrap());
    let short: String = text[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].iter().collect();
    assert_eq!(url["url"], short);
    assert_eq!(post["created_at"], "2026-11-22T18:59:52.000Z");
    assert_eq!(body["meta"]["newest_id"], post["id"]);
}

#[tokio::test]
async fn a_timeline_is_newest_first_and_pages() {
    let world = world().await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(world.x(&format!("ข่าว {n}")).await.json()["data"]["id"].as_str().unwrap().to_owned());
        world.turn(60);
    }
    ids.reverse();
    let of = |body: &Value| -> Vec<String> {
        body["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|post| post["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = timeline(&world, "max_results=5").await.json();
    assert_eq!(of(&first), ids[..5]);
    let token = first["meta"]["next_token"].as_str().unwrap();
    let second = timeline(&world, &format!("max_results=5&pagination_token={token}")).await.json();
    assert_eq!(of(&second), ids[5..]);
    assert!(second["meta"].get("next_token").is_none());
    let since = timeline(&world, &format!("since_id={}", ids[2])).await.json();
    assert_eq!(of(&since), ids[..2]);
    let window =
        timeline(&world, "start_time=2026-11-22T19:00:52Z&end_time=2026-11-22T19:02:52Z").await.json();
    assert_eq!(of(&window), ids[5..7]);
    assert_eq!(timeline(&world, "max_results=4").await.status, 400);
    assert_eq!(timeline(&world, "max_results=101").await.status, 400);
    assert_eq!(timeline(&world, "start_time=yesterday").await.status, 400);
    let empty = timeline(&world, "start_time=2027-01-01T00:00:00Z").await.json();
    assert_eq!(empty, json!({"meta": {"result_count": 0}}));
}

#[tokio::test]
async fn posts_are_looked_up_by_id_with_errors_beside_data() {
    let world = world().await;
    let id = world.x("ก").await.json()["data"]["id"].as_str().unwrap().to_owned();
    let body = send(world.get(&format!("/x/2/tweets?ids={id},1")).bearer_auth("77-t")).await.json();
    assert_eq!(body["data"][0]["id"], id.as_str());
    assert_eq!(body["errors"][0]["resource_id"], "1");
    let one = send(world.get(&format!("/x/2/tweets/{id}")).bearer_auth("77-t")).await.json();
    assert_eq!(one["data"]["text"], "ก");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_access_lasts_two_hours() {
    let world = world().await;
    let refresh = async |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "c")];
        send(world.post("/x/2/oauth2/token").form(&form)).await
    };
    let first = refresh("77-imported").await;
    assert_eq!(first.status, 200);
    let pair = first.json();
    assert_eq!((&pair["token_type"], &pair["expires_in"]), (&json!("bearer"), &json!(7200)));
    let used = refresh("77-imported").await;
    assert_eq!((used.status, &used.json()["error"]), (400, &json!("invalid_request")));
    let me =
        async || send(world.get("/x/2/users/me").bearer_auth(pair["access_token"].as_str().unwrap())).await;
    assert_eq!(me().await.json()["data"]["id"], "77");
    world.turn(7200);
    assert_eq!(me().await.status, 401);
    let second = refresh(pair["refresh_token"].as_str().unwrap()).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.json()["access_token"], pair["access_token"]);
    let bare = [("grant_type", "refresh_token"), ("refresh_token", "z")];
    assert_eq!(send(world.post("/x/2/oauth2/token").form(&bare)).await.status, 401);
    assert_eq!(
        send(world.post("/x/2/oauth2/token").basic_auth("c", Some("s")).form(&bare)).await.status,
        200
    );
}

#[tokio::test]
async fn a_renewal_takes_the_old_access_token_with_it() {
    let world = world().await;
    world.control("/control/settings", json!({ "x_access_life": 60, "x_issued_only": true })).await;
    let me = async |token: &str| send(world.get("/x/2/users/me").bearer_auth(token)).await.status;
    assert_eq!(me("77-imported").await, 401, "not one of its own");
    let refresh = async |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "c")];
        send(world.post("/x/2/oauth2/token").form(&form)).await.json()
    };
    let first = refresh("77-imported").await;
    assert_eq!(first["expires_in"], 60);
    assert_eq!(me(first["access_token"].as_str().unwrap()).await, 200);
    let second = refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(me(first["access_token"].as_str().unwrap()).await, 401);
    assert_eq!(me(second["access_token"].as_str().unwrap()).await, 200);
    world.turn(60);
    assert_eq!(me(second["access_token"].as_str().unwrap()).await, 401);
    refresh("77-imported").await;
    let renewals = send(world.get("/control/renewals")).await.json();
    assert_eq!(renewals[0]["presented"], "77-imported");
    let granted: Vec<_> = renewals.as_array().unwrap().iter().map(|it| it["granted"].as_bool()).collect();
    assert_eq!(granted, [Some(true), Some(true), Some(false)]);
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_within_thirty_seconds() {
    let world = world().await;
    let code = async || {
        // The pair of RFC 7636, appendix B.
        let query = "response_type=code&client_id=c&redirect_uri=http://127.0.0.1:1/back&scope=tweet.write&state=s%201\
            &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
        let seen = send(world.get(&format!("/x/i/oauth2/authorize?{query}"))).await;
        assert_eq!(seen.status, 302);
        let location = seen.header("location").to_owned();
        assert!(location.starts_with("http://127.0.0.1:1/back?state=s%201&code="));
        location.rsplit_once("code=").unwrap().1.to_owned()
    };
    let exchange = async |code: &str, verifier: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", verifier),
            ("redirect_uri", "http://127.0.0.1:1/back"),
            ("client_id", "c"),
        ];
        send(world.post("/x/2/oauth2/token").form(&form)).await.status
    };
    let right = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let one = code().await;
    assert_eq!(exchange(&one, right).await, 200);
    assert_eq!(exchange(&one, right).await, 400);
    assert_eq!(exchange(&code().await, "wrong").await, 400);
    let late = code().await;
    world.turn(30);
    assert_eq!(exchange(&late, right).await, 400);
}

#[tokio::test]
async fn limits_bring_rate_headers_and_a_429() {
    let world = world_with(|options| options.limits = true).await;
    for n in 0..100 {
        let seen = world.x(&format!("ข่าว {n}")).await;
        assert_eq!(seen.header("x-rate-limit-remaining"), (99 - n).to_string());
    }
    let seen = world.x("อีก").await;
    assert_eq!((seen.status, seen.header("x-rate-limit-limit")), (429, "100"));
    assert_eq!(seen.header("x-rate-limit-reset"), (crate::sandbox::test::START + 900).to_string());
    world.turn(900);
    assert_eq!(world.x("อีก").await.status, 201);
    let off = OAUTH1.replace("1795373992", "1795370000");
    let seen = send(world.get("/x/2/users/me").header("authorization", off)).await;
    assert_eq!(seen.json()["detail"], "Timestamp out of bounds.");
}
