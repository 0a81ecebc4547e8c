//! Fault: what each switch does to the wire and to the list of accepted posts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::Timeouts;
use crate::http::install_tls;
use crate::http::platform_client;
use crate::model::account::Platform;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use crate::sandbox::fault::Fault;
use crate::sandbox::fault::Kind;
use crate::sandbox::serve;
use crate::sandbox::test::Seen;
use crate::sandbox::test::World;
use crate::sandbox::test::hello;
use crate::sandbox::test::world;

/// Posts on X over a bare socket; gives every byte that came back, and how it ended.
async fn raw(world: &World) -> (String, std::io::Result<usize>) {
    let mut stream = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    let body = json!({ "text": "ก" }).to_string();
    let request = format!(
        "POST /x/2/tweets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 77-t\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    (String::from_utf8_lossy(&bytes).into_owned(), ended)
}

fn accepted(world: &World) -> usize {
    world.sandbox.published().len()
}

#[tokio::test]
async fn a_drop_closes_the_connection_without_a_byte() {
    for (kind, count) in [("drop_before_accept", 0), ("accept_then_drop", 1)] {
        let world = world().await;
        world.fault(json!({"platform": "x", "kind": kind})).await;
        let (bytes, ended) = raw(&world).await;
        assert_eq!((bytes.as_str(), ended.unwrap()), ("", 0), "{kind}");
        assert_eq!(accepted(&world), count, "{kind}");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    for (kind, count) in [("reset", 0), ("accept_then_reset", 1)] {
        let world = world().await;
        world.fault(json!({"platform": "x", "kind": kind})).await;
        let (bytes, ended) = raw(&world).await;
        assert_eq!(bytes, "", "{kind}");
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset, "{kind}");
        assert_eq!(accepted(&world), count, "{kind}");
    }
}

#[tokio::test]
async fn half_a_body_promises_more_than_it_gives() {
    let world = world().await;
    world.fault(json!({"platform": "x", "kind": "accept_then_half_body"})).await;
    let (bytes, _) = raw(&world).await;
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let head = head.to_ascii_lowercase();
    let promised = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(body.len(), promised.parse::<usize>().unwrap() / 2);
    assert!(body.starts_with("{\"data\""));
    assert_eq!(accepted(&world), 1);
    world.fault(json!({"platform": "x", "kind": "accept_then_half_body"})).await;
    let response = world.tweet("ข").send().await.unwrap();
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn refusals_before_acceptance_speak_the_platform_s_language() {
    let world = world().await;
    for (kind, facebook, x, line) in [
        ("error_500", (500, 2), 500, 500),
        ("error_503", (503, 2), 503, 503),
        ("error_429", (400, 80001), 429, 429),
        ("unauthorized", (400, 190), 401, 401),
        ("out_of_budget", (400, 80001), 402, 429),
    ] {
        world.fault(json!({"kind": kind, "times": 3})).await;
        let seen = world.facebook(json!({"message": "ก"})).await;
        assert_eq!(
            (seen.status, seen.json()["error"]["code"].as_u64()),
            (facebook.0, Some(facebook.1)),
            "{kind}"
        );
        assert_eq!(world.x("ก").await.status, x, "{kind}");
        let seen = world.line("broadcast", hello("ก")).await;
        assert_eq!(seen.status, line, "{kind}");
        assert_eq!(seen.json()["message"] == "You have reached your monthly limit.", kind == "out_of_budget");
    }
    assert_eq!(accepted(&world), 0);
    assert_eq!(world.x("ก").await.status, 201);
}

#[tokio::test]
async fn a_throttled_page_learns_its_minutes() {
    let world = world().await;
    world.fault(json!({"platform": "facebook", "kind": "error_429"})).await;
    let seen = world.facebook(json!({"message": "ก"})).await;
    let usage: Value = serde_json::from_str(seen.header("x-business-use-case-usage")).unwrap();
    assert_eq!(usage["100"][0]["estimated_time_to_regain_access"], 60);
}

#[tokio::test]
async fn bad_answers_after_acceptance_hide_a_post_that_stands() {
    for (kind, status, is_json) in [
        ("accept_then_500", 500, true),
        ("accept_then_502_html", 502, false),
        ("accept_then_garbage_200", 200, false),
    ] {
        let world = world().await;
        world.fault(json!({"platform": "all", "kind": kind, "forever": true})).await;
        for seen in [
            world.facebook(json!({"message": "ก"})).await,
            world.x("ก").await,
            world.line("broadcast", hello("ก")).await,
        ] {
            assert_eq!(seen.status, status, "{kind}");
            assert_eq!(serde_json::from_str::<Value>(&seen.text).is_ok(), is_json, "{kind}");
        }
        assert_eq!(accepted(&world), 3, "{kind}");
    }
}

#[tokio::test]
async fn a_success_may_come_without_its_id() {
    let world = world().await;
    world.fault(json!({"kind": "200_without_id", "times": 3})).await;
    assert!(world.facebook(json!({"message": "ก"})).await.json().get("id").is_none());
    assert!(world.x("ก").await.json()["data"].get("id").is_none());
    assert!(world.line("broadcast", hello("ก")).await.headers.get("x-line-request-id").is_none());
    assert_eq!(accepted(&world), 3);
}

#[tokio::test]
async fn a_slow_answer_comes_after_its_post() {
    let world = world().await;
    world.fault(json!({"platform": "x", "kind": "slow", "ms": 300})).await;
    let early = world.tweet("ก").timeout(Duration::from_millis(150)).send().await;
    assert!(early.unwrap_err().is_timeout());
    assert_eq!(accepted(&world), 1);
    world.fault(json!({"platform": "x", "kind": "slow", "ms": 10})).await;
    assert_eq!(world.x("ข").await.status, 201);
}

#[tokio::test]
async fn a_stall_never_answers() {
    for (kind, count) in [("stall", 1), ("stall_before_accept", 0)] {
        let world = world().await;
        world.fault(json!({"platform": "x", "kind": kind})).await;
        let late = world.tweet("ก").timeout(Duration::from_millis(150)).send().await;
        assert!(late.unwrap_err().is_timeout(), "{kind}");
        assert_eq!(accepted(&world), count, "{kind}");
    }
}

#[tokio::test]
async fn a_late_acceptance_comes_after_the_client_gave_up() {
    let world = world().await;
    world.fault(json!({"platform": "x", "kind": "late_accept", "ms": 100})).await;
    let late = world.tweet("ก").timeout(Duration::from_millis(100)).send().await;
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(accepted(&world), 0);
    let wait = async {
        while accepted(&world) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_an_acceptance() {
    let world = world().await;
    world.fault(json!({"platform": "facebook", "kind": "redirect_on_post"})).await;
    let seen = world.facebook(json!({"message": "ก"})).await;
    assert_eq!(seen.status, 307);
    assert_eq!(seen.header("location"), format!("{}/facebook/v26.0/100/feed?redirected=1", world.base));
    assert_eq!(accepted(&world), 0);
}

#[tokio::test]
async fn a_huge_body_is_cut_by_a_careful_reader() {
    let world = world().await;
    world.fault(json!({"platform": "x", "kind": "huge_body"})).await;
    let response = world.tweet("ก").send().await.unwrap();
    assert_eq!(response.status(), 201);
    let read = crate::http::read_body(response, 1 << 20).await;
    assert!(matches!(read, Err(crate::http::BodyError::TooLarge { .. })));
    assert_eq!(accepted(&world), 1);
}

#[tokio::test]
async fn a_lying_read_back_leaves_young_posts_out() {
    let world = world().await;
    world.x("เก่า").await;
    world.turn(120);
    world.x("ใหม่").await;
    world.facebook(json!({"message": "ใหม่"})).await;
    world.fault(json!({"kind": "lying_readback", "ms": 60_000, "times": 2})).await;
    let x = async || {
        let seen = world.get("/x/2/users/77/tweets").bearer_auth("77-t").send().await.unwrap();
        Seen::read(seen).await.json()["meta"]["result_count"].clone()
    };
    assert_eq!(x().await, 1);
    let page = world.get("/facebook/v26.0/100/published_posts").bearer_auth("t").send().await.unwrap();
    assert_eq!(Seen::read(page).await.json()["data"], json!([]));
    assert_eq!(x().await, 2);
}

#[tokio::test]
async fn a_stalled_request_does_not_keep_the_sandbox_from_stopping() {
    install_tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let sandbox = Sandbox::new(Options::at(&base, Arc::new(crate::clock::now)));
    sandbox.arm(Fault::once(Platform::X, Kind::Stall));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, sandbox.clone(), async { stopped.await.unwrap_or_default() }));
    let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
    let client = platform_client(timeouts).unwrap();
    let request = client.post(format!("{base}/x/2/tweets")).bearer_auth("t").json(&json!({"text": "ก"}));
    let stalled = tokio::spawn(request.send());
    while sandbox.published().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap().unwrap();
    assert_eq!(stalled.await.unwrap().unwrap().status(), 503);
}

#[tokio::test]
async fn under_another_server_a_drop_breaks_the_body_off() {
    let sandbox = Sandbox::new(Options::at("http://sandbox.example", Arc::new(crate::clock::now)));
    sandbox.arm(Fault::once(Platform::X, Kind::AcceptThenDrop));
    let request = http::Request::post("/x/2/tweets")
        .header("authorization", "Bearer t")
        .body(axum::body::Body::from(r#"{"text":"ก"}"#))
        .unwrap();
    let response = tower::ServiceExt::oneshot(sandbox.router(), request).await.unwrap();
    assert!(axum::body::to_bytes(response.into_body(), 1 << 10).await.is_err());
    assert_eq!(sandbox.published().len(), 1);
}

#[tokio::test]
async fn a_refused_request_is_refused_whatever_the_fault() {
    let world = world().await;
    world.fault(json!({"platform": "x", "kind": "accept_then_500"})).await;
    assert_eq!(world.x("").await.status, 400);
}

#[tokio::test]
async fn faults_can_strike_tokens_and_reads() {
    let world = world().await;
    world.fault(json!({"platform": "line", "kind": "error_503", "scope": "token"})).await;
    assert_eq!(world.line("broadcast", hello("ก")).await.status, 200);
    let form = [("grant_type", "client_credentials"), ("client_id", "1"), ("client_secret", "s")];
    let token =
        async || world.post("/line/oauth2/v3/token").form(&form).send().await.unwrap().status().as_u16();
    assert_eq!(token().await, 503);
    assert_eq!(token().await, 200);
}

#[tokio::test]
async fn the_control_call_says_what_it_does_not_understand() {
    let world = world().await;
    for order in [
        json!({"platform": "mastodon", "kind": "stall"}),
        json!({"platform": "x", "kind": "earthquake"}),
        json!({"platform": "x", "kind": "stall", "probability": 2}),
        json!({"platform": "x", "kind": "stall", "tmies": 2}),
        json!({"platform": "x", "kind": "read_lag"}),
        json!({"platform": "x", "kind": "duplicate_filter"}),
        json!("stall"),
    ] {
        let seen = world.control("/control/fault", order).await;
        assert_eq!(seen.status, 400);
        assert!(seen.json()["error"].is_string());
    }
}

#[tokio::test]
async fn faults_are_listed_cleared_and_reset() {
    let world = world().await;
    world.sandbox.arm(Fault::once(Platform::X, Kind::Stall).forever());
    world
        .fault(json!([{"platform": "x", "kind": "slow", "probability": 0.5, "seed": 3}, {"platform": "line", "kind": "reset"}]))
        .await;
    let list = async || {
        Seen::read(world.get("/control/fault").send().await.unwrap()).await.json()["faults"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(list().await, 3);
    let cleared = world.http.delete(format!("{}/control/fault", world.base)).send().await.unwrap();
    assert_eq!((cleared.status().as_u16(), list().await), (200, 0));
    world.x("ก").await;
    assert_eq!(world.control("/control/reset", json!({})).await.status, 200);
    assert_eq!(accepted(&world), 0);
}

#[tokio::test]
async fn the_published_list_counts_what_stands_twice() {
    let world = world().await;
    world.sandbox.set_duplicate_filter(Platform::Facebook, false);
    for _ in 0..2 {
        world.facebook(json!({"message": "ก", "link": "https://a.example/1"})).await;
    }
    world.x("ก https://a.example/1").await;
    let list = Seen::read(world.get("/control/published").send().await.unwrap()).await.json();
    assert_eq!((&list["total"], &list["counts"]["facebook"]), (&json!(3), &json!(2)));
    assert_eq!(
        list["duplicates"],
        json!([{"platform": "facebook", "account": "100", "what": "https://a.example/1", "count": 2}])
    );
    assert_eq!(list["posts"][2]["platform"], "x");
    let only = Seen::read(world.get("/control/published?platform=x").send().await.unwrap()).await.json();
    assert_eq!(only["total"], 1);
}
