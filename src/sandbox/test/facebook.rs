//! Facebook: the fake Graph API's rules.

use serde_json::Value;
use serde_json::json;

use crate::sandbox::test::Seen;
use crate::sandbox::test::World;
use crate::sandbox::test::world;
use crate::sandbox::test::world_with;

async fn read(world: &World, path: &str) -> Seen {
    Seen::read(world.get(&format!("/facebook/v26.0/{path}")).bearer_auth("token").send().await.unwrap()).await
}

#[track_caller]
fn refused(seen: &Seen, code: u64, subcode: Option<u64>) {
    let error = &seen.json()["error"];
    assert_eq!(
        (seen.status, error["code"].as_u64(), error["error_subcode"].as_u64()),
        (400, Some(code), subcode)
    );
    assert!(
        error["message"].is_string() && error["type"] == "OAuthException" && error["fbtrace_id"].is_string()
    );
}

#[tokio::test]
async fn a_post_answers_with_its_id_and_the_wanted_fields() {
    let world = world().await;
    let seen = world
        .facebook(json!({"message": "ข่าว", "link": "https://a.example/1", "fields": "id,permalink_url,created_time"}))
        .await;
    assert_eq!(seen.status, 200);
    let body = seen.json();
    let id = body["id"].as_str().unwrap();
    assert!(id.starts_with("100_"));
    assert_eq!(body["permalink_url"], format!("https://www.facebook.com/{id}"));
    assert_eq!(body["created_time"], "2026-11-22T18:59:52+0000");
    assert_eq!(seen.header("facebook-api-version"), "v26.0");
    assert_eq!(seen.header("date"), "Sun, 22 Nov 2026 18:59:52 GMT");
    seen.header("x-fb-trace-id");
    let published = world.sandbox.published();
    assert_eq!((published[0].account.as_str(), published[0].remote_id.as_str()), ("100", id));
    assert_eq!(published[0].links, ["https://a.example/1"]);
}

#[tokio::test]
async fn a_form_is_as_good_as_json() {
    let world = world().await;
    let form = [("message", "ข่าว & อื่น ๆ"), ("access_token", "t")];
    let seen = Seen::read(world.post("/facebook/v25.0/100/feed").form(&form).send().await.unwrap()).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(seen.header("facebook-api-version"), "v25.0");
    assert_eq!(world.sandbox.published()[0].text, "ข่าว & อื่น ๆ");
}

#[tokio::test]
async fn a_dead_version_is_served_by_the_newest() {
    let world = world().await;
    let seen = Seen::read(
        world
            .post("/facebook/v19.0/100/feed")
            .bearer_auth("t")
            .json(&json!({"message": "ก"}))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(seen.header("facebook-api-version"), "v26.0");
}

#[tokio::test]
async fn without_a_token_the_code_is_190() {
    let world = world().await;
    let send = |request: reqwest::RequestBuilder| async { Seen::read(request.send().await.unwrap()).await };
    let body = json!({"message": "ก"});
    refused(&send(world.post("/facebook/v26.0/100/feed").json(&body)).await, 190, None);
    refused(&send(world.post("/facebook/v26.0/100/feed").bearer_auth("").json(&body)).await, 190, None);
    assert!(world.sandbox.published().is_empty());
}

#[tokio::test]
async fn what_can_not_be_posted_is_refused_with_its_code() {
    let world = world().await;
    let long = "ก".repeat(63_207);
    for (body, code, subcode) in [
        (json!({}), 100, None),
        (json!({"message": " "}), 100, None),
        (json!({"message": long}), 100, None),
        (json!({"message": "ก", "link": "https://www.facebook.com/x"}), 100, Some(1_609_008)),
        (json!({"message": "ก", "link": "ftp://a.example"}), 1500, None),
        (json!({"message": "ก", "link": format!("{}/news/nothing/", world.base)}), 100, Some(1_609_005)),
        (json!({"message": "ก", "appsecret_proof": "x"}), 100, None),
    ] {
        refused(&world.facebook(body).await, code, subcode);
    }
    assert_eq!(world.facebook(json!({"message": "ก".repeat(63_206)})).await.status, 200);
}

#[tokio::test]
async fn the_same_post_twice_in_a_row_is_a_duplicate() {
    let world = world().await;
    let post = json!({"message": "ก", "link": "https://a.example/1"});
    assert_eq!(world.facebook(post.clone()).await.status, 200);
    refused(&world.facebook(post.clone()).await, 506, None);
    assert_eq!(world.facebook(json!({"message": "ข"})).await.status, 200);
    assert_eq!(world.facebook(post.clone()).await.status, 200);
    world.fault(json!({"platform": "facebook", "kind": "duplicate_filter", "on": false})).await;
    assert_eq!(world.facebook(post).await.status, 200);
}

#[tokio::test]
async fn a_person_s_token_can_not_post_and_debug_token_says_why() {
    let world = world().await;
    let request = world.post("/facebook/v26.0/100/feed").bearer_auth("user-1").json(&json!({"message": "ก"}));
    refused(&Seen::read(request.send().await.unwrap()).await, 200, None);
    let data = read(&world, "debug_token?input_token=user-1").await.json()["data"].clone();
    assert_eq!((&data["type"], &data["is_valid"]), (&json!("USER"), &json!(true)));
    let data = read(&world, "debug_token?input_token=page").await.json()["data"].clone();
    assert_eq!(
        (&data["type"], &data["expires_at"], &data["app_id"]),
        (&json!("PAGE"), &json!(0), &json!("1234"))
    );
    refused(&read(&world, "debug_token").await, 100, None);
}

#[tokio::test]
async fn read_back_hides_the_link_in_its_attachment() {
    let world = world().await;
    world.facebook(json!({"message": "ข่าว", "link": "https://a.example/ก?x=1"})).await;
    let fields = "id,message,created_time,application{id,name},attachments{media_type,url,unshimmed_url,target{id,url}}";
    let seen = read(&world, &format!("100/published_posts?limit=10&fields={fields}")).await;
    let post = &seen.json()["data"][0];
    let attachment = &post["attachments"]["data"][0];
    assert_eq!(attachment["unshimmed_url"], "https://a.example/ก?x=1");
    assert!(
        attachment["url"]
            .as_str()
            .unwrap()
            .starts_with("https://l.facebook.com/l.php?u=https%3A%2F%2Fa.example")
    );
    assert_eq!(post["application"]["id"], "1234");
    assert_eq!(post["created_time"], "2026-11-22T18:59:52+0000");
    assert!(post.get("link").is_none());
    refused(&read(&world, "100/published_posts?fields=link").await, 100, None);
}

#[tokio::test]
async fn paging_passes_an_empty_page_and_reaches_every_post_once() {
    let world = world().await;
    for n in 0..7 {
        world.facebook(json!({"message": format!("ข่าว {n}")})).await;
        world.turn(1);
    }
    let (mut seen, mut empty) = (Vec::new(), 0);
    let mut next = Some(format!("{}/facebook/v26.0/100/published_posts?limit=3&fields=message", world.base));
    while let Some(url) = next {
        let page = Seen::read(world.http.get(url).bearer_auth("token").send().await.unwrap()).await.json();
        let data = page["data"].as_array().unwrap();
        empty += usize::from(data.is_empty());
        seen.extend(data.iter().map(|post| post["message"].as_str().unwrap().to_owned()));
        next = page["paging"]["next"].as_str().map(str::to_owned);
    }
    assert_eq!((seen.len(), empty), (7, 2));
    // Ranked, so not strictly newest first.
    assert_eq!(seen[..3], ["ข่าว 6", "ข่าว 4", "ข่าว 5"]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn a_new_post_shows_after_the_read_lag() {
    let world = world().await;
    world.fault(json!({"platform": "facebook", "kind": "read_lag", "ms": 5000})).await;
    world.facebook(json!({"message": "ก"})).await;
    let count = async || read(&world, "100/published_posts").await.json()["data"].as_array().unwrap().len();
    world.turn(4);
    assert_eq!(count().await, 0);
    world.turn(1);
    assert_eq!(count().await, 1);
}

#[tokio::test]
async fn a_post_is_edited_commented_on_and_deleted() {
    let world = world().await;
    let id = world.facebook(json!({"message": "ก"})).await.json()["id"].as_str().unwrap().to_owned();
    let post = async |path: &str, body: Value| {
        let request = world.post(&format!("/facebook/v26.0/{path}")).bearer_auth("token").json(&body);
        Seen::read(request.send().await.unwrap()).await
    };
    let comment = post(&format!("{id}/comments"), json!({"message": "อ่านต่อ"})).await.json();
    assert!(comment["id"].is_string());
    assert_eq!(read(&world, &format!("{id}/comments")).await.json()["data"][0]["message"], "อ่านต่อ");
    assert_eq!(post(&id, json!({"message": "ข"})).await.json(), json!({"success": true}));
    assert_eq!(read(&world, &id).await.json()["message"], "ข");
    let gone = world.http.delete(format!("{}/facebook/v26.0/{id}", world.base)).bearer_auth("token");
    assert_eq!(Seen::read(gone.send().await.unwrap()).await.json(), json!({"success": true}));
    refused(&read(&world, &id).await, 100, Some(33));
    assert_eq!(read(&world, "100/published_posts").await.json()["data"], json!([]));
    assert!(world.sandbox.published()[0].deleted);
}

#[tokio::test]
async fn photos_make_posts_at_once_or_by_their_id() {
    let world = world().await;
    let post = async |path: &str, body: Value| {
        let request = world.post(&format!("/facebook/v26.0/{path}")).bearer_auth("token").json(&body);
        Seen::read(request.send().await.unwrap()).await
    };
    let at_once =
        post("100/photos", json!({"url": "https://a.example/1.jpg", "caption": "ภาพ"})).await.json();
    assert!(at_once["post_id"].as_str().unwrap().starts_with("100_"));
    let hidden =
        post("100/photos", json!({"url": "https://a.example/2.jpg", "published": false})).await.json();
    assert!(hidden.get("post_id").is_none());
    let media = json!([{"media_fbid": hidden["id"]}]);
    let seen = post("100/feed", json!({"message": "อัลบั้ม", "attached_media": media})).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert_eq!(world.sandbox.published().len(), 2);
    refused(&post("100/photos", json!({"caption": "ไม่มีรูป"})).await, 324, None);
}

#[tokio::test]
async fn a_scrape_shows_the_open_graph_object_of_our_articles() {
    let world = world().await;
    let link = world.sandbox.publish_next();
    assert_eq!(link, None, "all samples are out");
    let feed = Seen::read(world.get("/feed.json").send().await.unwrap()).await.json();
    let url = feed["items"][0]["url"].as_str().unwrap();
    let scrape = async |url: &str| {
        let request =
            world.post("/facebook/v26.0/").query(&[("id", url), ("scrape", "true")]).bearer_auth("t");
        Seen::read(request.send().await.unwrap()).await
    };
    let object = scrape(url).await.json();
    assert_eq!(object["title"], feed["items"][0]["title"]);
    assert!(object["image"][0]["url"].as_str().unwrap().ends_with(".png"));
    assert_eq!(scrape("https://a.example/").await.json()["image"], json!([]));
    refused(&scrape(&format!("{}/news/none/", world.base)).await, 1500, Some(1_609_005));
}

#[tokio::test]
async fn a_page_tells_its_name_and_an_unknown_object_is_33() {
    let world = world().await;
    let page = read(&world, "100?fields=id,name,access_token").await.json();
    assert_eq!((&page["id"], &page["access_token"]), (&json!("100"), &json!("token")));
    refused(&read(&world, "100_999").await, 100, Some(33));
    refused(&read(&world, "100?fields=colour").await, 100, None);
}

#[tokio::test]
async fn limits_bring_usage_headers_and_a_stop_for_floods() {
    let world = world_with(|options| options.limits = true).await;
    for n in 0..20 {
        let seen = world.facebook(json!({"message": format!("ข่าว {n}")})).await;
        assert_eq!(seen.status, 200);
        let usage: Value = serde_json::from_str(seen.header("x-business-use-case-usage")).unwrap();
        assert_eq!(usage["100"][0]["type"], "pages");
    }
    refused(&world.facebook(json!({"message": "อีก"})).await, 368, Some(1_390_008));
    world.turn(301);
    assert_eq!(world.facebook(json!({"message": "อีก"})).await.status, 200);
}
