//! LINE: the fake Messaging API's rules.

use reqwest::RequestBuilder;
use serde_json::Value;
use serde_json::json;

use crate::sandbox::test::Seen;
use crate::sandbox::test::World;
use crate::sandbox::test::hello;
use crate::sandbox::test::world;
use crate::sandbox::test::world_with;

const KEY: &str = "123e4567-e89b-12d3-a456-426614174000";

async fn send(request: RequestBuilder) -> Seen {
    Seen::read(request.send().await.unwrap()).await
}

fn broadcast(world: &World, body: &Value) -> RequestBuilder {
    world.post("/line/v2/bot/message/broadcast").bearer_auth("token").json(body)
}

fn bubble(text: &str) -> Value {
    json!({ "type": "bubble", "body": { "type": "box", "layout": "vertical",
        "contents": [{ "type": "text", "text": text, "wrap": true }] } })
}

fn flex(contents: &Value) -> Value {
    json!({ "messages": [{ "type": "flex", "altText": "ข่าว", "contents": contents }] })
}

#[tokio::test]
async fn a_broadcast_answers_nothing_but_a_request_id() {
    let world = world().await;
    let seen = world.line("broadcast", flex(&bubble("ข่าวเช้า"))).await;
    assert_eq!((seen.status, seen.json()), (200, json!({})));
    let published = &world.sandbox.published()[0];
    assert_eq!(published.remote_id, seen.header("x-line-request-id"));
    assert_eq!(published.text, "ข่าวเช้า");
    assert_eq!(seen.header("date"), "Sun, 22 Nov 2026 18:59:52 GMT");
}

#[tokio::test]
async fn other_sends_answer_in_their_own_way() {
    let world = world().await;
    assert_eq!(world.line("narrowcast", hello("ก")).await.status, 202);
    let mut push = hello("ก");
    assert_eq!(world.line("push", push.clone()).await.status, 400);
    push["to"] = json!("U1");
    let seen = world.line("push", push).await;
    assert!(seen.json()["sentMessages"][0]["id"].is_string());
    let mut multicast = hello("ก");
    multicast["to"] = json!(vec!["U1"; 501]);
    assert_eq!(world.line("multicast", multicast.clone()).await.status, 400);
    multicast["to"] = json!(["U1", "U2"]);
    assert_eq!(world.line("multicast", multicast).await.status, 200);
}

#[tokio::test]
async fn a_token_is_needed_and_ours_ends_after_899_seconds() {
    let world = world().await;
    let bare = world.post("/line/v2/bot/message/broadcast").json(&hello("ก"));
    let seen = send(bare).await;
    assert_eq!(seen.status, 401);
    assert!(
        seen.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("Authentication failed due to the following reason:")
    );
    seen.header("x-line-request-id");
    let form = [("grant_type", "client_credentials"), ("client_id", "123"), ("client_secret", "s")];
    let issued = send(world.post("/line/oauth2/v3/token").form(&form)).await.json();
    assert_eq!((&issued["token_type"], &issued["expires_in"]), (&json!("Bearer"), &json!(899)));
    let token = issued["access_token"].as_str().unwrap();
    let ask = async || send(world.get("/line/v2/bot/info").bearer_auth(token)).await.status;
    assert_eq!(ask().await, 200);
    world.turn(898);
    assert_eq!(ask().await, 200);
    world.turn(1);
    assert_eq!(ask().await, 401);
    let half = [("grant_type", "client_credentials"), ("client_id", "123")];
    let seen = send(world.post("/line/oauth2/v3/token").form(&half)).await;
    assert_eq!((seen.status, &seen.json()["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn a_repeated_retry_key_is_409_with_the_first_request_id() {
    let world = world().await;
    let attempt = async |body: &Value| send(broadcast(&world, body).header("X-Line-Retry-Key", KEY)).await;
    let first = attempt(&hello("ก")).await;
    assert_eq!(first.status, 200);
    let second = attempt(&hello("ก")).await;
    assert_eq!(
        (second.status, second.json()),
        (409, json!({"message": "The retry key is already accepted"}))
    );
    assert_eq!(second.header("x-line-accepted-request-id"), first.header("x-line-request-id"));
    assert_ne!(second.header("x-line-request-id"), first.header("x-line-request-id"));
    assert_eq!(attempt(&hello("ข")).await.status, 400);
    assert_eq!(world.sandbox.published().len(), 1);
    world.turn(24 * 3600);
    assert_eq!(attempt(&hello("ก")).await.status, 200);
}

#[tokio::test]
async fn a_refused_request_leaves_its_retry_key_free() {
    let world = world().await;
    world.sandbox.set_line_plan(10, Some(5));
    let attempt = async || send(broadcast(&world, &hello("ก")).header("X-Line-Retry-Key", KEY)).await.status;
    assert_eq!(attempt().await, 429);
    world.sandbox.set_line_plan(10, Some(50));
    assert_eq!(attempt().await, 200);
    assert_eq!(attempt().await, 409);
}

#[tokio::test]
async fn a_retry_key_is_a_uuid_and_belongs_to_sends() {
    let world = world().await;
    for key in ["x", "123e4567e89b12d3a456426614174000", "{123e4567-e89b-12d3-a456-426614174000}"] {
        assert_eq!(
            send(broadcast(&world, &hello("ก")).header("X-Line-Retry-Key", key)).await.status,
            400,
            "{key}"
        );
    }
    let validate = world.post("/line/v2/bot/message/validate/broadcast").bearer_auth("t").json(&hello("ก"));
    assert_eq!(send(validate.header("X-Line-Retry-Key", KEY)).await.status, 400);
    assert!(world.sandbox.published().is_empty());
}

#[tokio::test]
async fn a_push_repeated_tells_its_messages_again() {
    let world = world().await;
    let mut push = hello("ก");
    push["to"] = json!("U1");
    let attempt = async || {
        let request =
            world.post("/line/v2/bot/message/push").bearer_auth("t").header("X-Line-Retry-Key", KEY);
        send(request.json(&push)).await.json()["sentMessages"].clone()
    };
    let first = attempt().await;
    assert!(first.is_array());
    assert_eq!(attempt().await, first);
}

#[tokio::test]
async fn messages_are_checked_by_sends_and_by_validate_alike() {
    let world = world().await;
    let carousel = |count: usize| json!({"type": "carousel", "contents": vec![bubble("ก"); count]});
    let http_picture = json!({"type": "bubble", "hero": {"type": "image", "url": "http://a.example/1.png"}});
    let alt =
        |text: String| json!({"messages": [{"type": "flex", "altText": text, "contents": bubble("ก")}]});
    for (body, property) in [
        (json!({}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": vec![json!({"type": "text", "text": "ก"}); 6]}), "messages"),
        (hello(""), "messages[0].text"),
        (hello(&"ก".repeat(5001)), "messages[0].text"),
        (json!({"messages": [{"type": "poem"}]}), "messages[0].type"),
        (alt(String::new()), "messages[0].altText"),
        (alt("ก".repeat(1501)), "messages[0].altText"),
        (alt("😀".repeat(751)), "messages[0].altText"),
        (json!({"messages": [{"type": "flex", "altText": "ก"}]}), "messages[0].contents"),
        (flex(&json!({"type": "flex"})), "/type"),
        (flex(&http_picture), "/hero/url"),
        (flex(&bubble("")), "/body/contents/0/text"),
        (flex(&carousel(13)), "/contents"),
        (
            json!({"messages": [{"type": "image", "originalContentUrl": "http://a.example/1.png",
            "previewImageUrl": "https://a.example/1.png"}]}),
            "messages[0].originalContentUrl",
        ),
    ] {
        for path in ["validate/broadcast", "broadcast"] {
            let seen = world.line(path, body.clone()).await;
            assert_eq!(seen.status, 400, "{property}");
            assert_eq!(seen.json()["details"][0]["property"], property);
            assert!(seen.json()["message"].as_str().unwrap().contains("request body"));
        }
    }
    assert!(world.sandbox.published().is_empty());
    for body in [alt("😀".repeat(750)), flex(&carousel(12)), hello(&"ก".repeat(5000))] {
        assert_eq!(world.line("validate/broadcast", body).await.status, 200);
    }
    assert!(world.sandbox.published().is_empty());
}

#[tokio::test]
async fn bodies_that_are_too_big_or_no_json_are_refused() {
    let world = world().await;
    let post = || world.post("/line/v2/bot/message/broadcast").bearer_auth("t");
    assert_eq!(send(post().header("content-type", "application/json").body("{")).await.status, 400);
    assert_eq!(send(post().form(&[("a", "b")])).await.status, 415);
    assert_eq!(send(post().json(&hello(&"ก".repeat(800_000)))).await.status, 413);
}

#[tokio::test]
async fn the_quota_counts_recipients_and_months() {
    let world = world().await;
    assert_eq!(
        send(world.get("/line/v2/bot/message/quota").bearer_auth("token")).await.json(),
        json!({"type": "none"})
    );
    let set = world.control("/control/settings", json!({"line_friends": 40, "line_quota": 100})).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let used = async || {
        send(world.get("/line/v2/bot/message/quota/consumption").bearer_auth("token")).await.json()["totalUsage"].clone()
    };
    assert_eq!(world.line("broadcast", hello("ก")).await.status, 200);
    assert_eq!(world.line("broadcast", hello("ข")).await.status, 200);
    assert_eq!(used().await, 80);
    let over = world.line("broadcast", hello("ค")).await;
    assert_eq!((over.status, over.json()), (429, json!({"message": "You have reached your monthly limit."})));
    let mut capped = hello("ง");
    capped["limit"] = json!({"upToRemainingQuota": true});
    assert_eq!(world.line("narrowcast", capped).await.status, 202);
    assert_eq!(used().await, 100);
    world.turn(9 * 24 * 3600);
    assert_eq!(used().await, 0);
    assert_eq!(world.line("broadcast", hello("ค")).await.status, 200);
}

#[tokio::test]
async fn limits_allow_sixty_broadcasts_an_hour() {
    let world = world_with(|options| options.limits = true).await;
    world.sandbox.set_line_plan(1, None);
    for n in 0..60 {
        assert_eq!(world.line("broadcast", hello(&n.to_string())).await.status, 200);
    }
    let seen = world.line("broadcast", hello("อีก")).await;
    assert_eq!(seen.json()["message"], "The API rate limit has been exceeded. Try again later.");
    assert!(seen.headers.get("retry-after").is_none());
    world.turn(3600);
    assert_eq!(world.line("broadcast", hello("อีก")).await.status, 200);
}

#[tokio::test]
async fn what_was_sent_can_not_be_listed_but_the_account_tells_of_itself() {
    let world = world().await;
    world.line("broadcast", hello("ก")).await;
    let get = async |path: &str| send(world.get(&format!("/line/v2/bot/{path}")).bearer_auth("token")).await;
    assert_eq!(get("message/list").await.status, 404);
    assert!(get("info").await.json()["userId"].as_str().unwrap().starts_with('U'));
    assert_eq!(get("insight/followers?date=20261121").await.json()["targetedReaches"], 500);
    assert_eq!(get("insight/followers").await.status, 400);
    let sent = world.line("narrowcast", hello("ก")).await;
    let id = sent.header("x-line-request-id");
    assert_eq!(
        get(&format!("message/progress/narrowcast?requestId={id}")).await.json()["phase"],
        "succeeded"
    );
}
