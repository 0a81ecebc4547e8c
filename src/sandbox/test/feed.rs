//! Feed: the sample site's feeds, pages and pictures.

use reqwest::RequestBuilder;
use serde_json::json;

use crate::sandbox::NewArticle;
use crate::sandbox::test::Seen;
use crate::sandbox::test::World;
use crate::sandbox::test::world;
use crate::sandbox::test::world_with;

async fn get(world: &World, path: &str) -> Seen {
    send(world.get(path)).await
}

async fn send(request: RequestBuilder) -> Seen {
    Seen::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn all_three_feeds_parse_and_agree() {
    let world = world().await;
    let mut titles = Vec::new();
    for path in ["/feed", "/feed.atom", "/feed.json"] {
        let seen = get(&world, path).await;
        let feed = feed_rs::parser::parse(seen.text.as_bytes()).unwrap();
        assert_eq!(feed.entries.len(), 13, "{path}");
        assert!(feed.entries[0].id.starts_with(&format!("{}/?p=", world.base)), "{path}");
        assert!(feed.entries.iter().all(|entry| entry.published.is_some()), "{path}");
        titles.push(
            feed.entries
                .iter()
                .map(|entry| entry.title.as_ref().unwrap().content.clone())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(titles[0], titles[1]);
    assert_eq!(titles[0], titles[2]);
    assert!(titles[0].iter().any(|title| title.contains("“เข็ม & พลอย”")));
}

#[tokio::test]
async fn a_feed_has_what_wordpress_puts_into_one() {
    let world = world().await;
    let seen = get(&world, "/feed?count=2").await;
    assert_eq!(seen.header("content-type"), "application/rss+xml; charset=UTF-8");
    let feed = feed_rs::parser::parse(seen.text.as_bytes()).unwrap();
    assert_eq!(feed.entries.len(), 2);
    let entry = &feed.entries[1];
    assert_eq!(entry.categories[0].term, "การเมือง");
    assert_eq!(entry.authors[0].name.as_deref(), Some("ปรียานุช ใจเที่ยง"));
    assert!(entry.content.as_ref().unwrap().body.as_ref().unwrap().contains("<img src="));
    assert!(entry.summary.as_ref().unwrap().content.contains("appeared first on"));
    assert!(seen.text.contains("<media:content url="));
}

#[tokio::test]
async fn an_unchanged_feed_is_304_until_something_comes() {
    let world = world_with(|options| options.articles = 3).await;
    let first = get(&world, "/feed").await;
    let (etag, modified) = (first.header("etag").to_owned(), first.header("last-modified").to_owned());
    let again = async |name: &str, value: &str| send(world.get("/feed").header(name, value)).await.status;
    assert_eq!(again("if-none-match", &etag).await, 304);
    assert_eq!(again("if-none-match", &format!("\"x\", W/{etag}")).await, 304);
    assert_eq!(again("if-none-match", "\"x\"").await, 200);
    assert_eq!(again("if-modified-since", &modified).await, 304);
    assert_eq!(again("if-modified-since", "Sun, 01 Nov 2020 00:00:00 GMT").await, 200);
    world.turn(60);
    let link = world.control("/control/publish", json!(null)).await;
    assert_eq!(link.status, 201);
    assert_eq!(again("if-none-match", &etag).await, 200);
    assert_eq!(again("if-modified-since", &modified).await, 200);
}

#[tokio::test]
async fn samples_run_out_and_callers_add_their_own() {
    let world = world_with(|options| options.articles = 12).await;
    assert_eq!(world.control("/control/publish", json!(null)).await.status, 201);
    assert_eq!(world.control("/control/publish", json!(null)).await.status, 409);
    let seen = world
        .control(
            "/control/publish",
            json!({"title": "ข่าว <ใหม่> & ]]>", "body": "ย่อหน้าแรก\nย่อหน้าสอง ]]>",
            "categories": ["ทดสอบ"], "picture": "sample"}),
        )
        .await;
    assert_eq!(seen.status, 201);
    let link = seen.json()["link"].as_str().unwrap().to_owned();
    let feed = feed_rs::parser::parse(get(&world, "/feed").await.text.as_bytes()).unwrap();
    assert_eq!(feed.entries[0].links[0].href, link);
    assert_eq!(feed.entries[0].title.as_ref().unwrap().content, "ข่าว <ใหม่> & ]]>");
    assert!(feed.entries[0].content.as_ref().unwrap().body.as_ref().unwrap().contains("ย่อหน้าสอง ]]&gt;"));
    assert_eq!(world.control("/control/publish", json!({"body": "ไม่มีหัวข้อ"})).await.status, 400);
    assert_eq!(world.control("/control/publish", json!({"titel": "ก"})).await.status, 400);
}

#[tokio::test]
async fn every_article_has_a_page_with_its_tags_and_its_picture() {
    let world = world().await;
    let items = get(&world, "/feed.json").await.json()["items"].clone();
    for item in items.as_array().unwrap() {
        let url = item["url"].as_str().unwrap();
        let page = send(world.http.get(url)).await;
        assert_eq!(page.status, 200, "{url}");
        assert!(page.text.contains(&format!("<link rel=\"canonical\" href=\"{url}\">")));
        assert!(page.text.contains("property=\"og:title\"") && page.text.contains("fbpx"));
        assert_eq!(page.text.contains("og:image"), item.get("image").is_some());
        if let Some(picture) = item.get("image") {
            let response = world.http.get(picture.as_str().unwrap()).send().await.unwrap();
            assert_eq!(response.headers()["content-type"], "image/png");
            assert!(response.bytes().await.unwrap().starts_with(b"\x89PNG"));
        }
    }
    assert_eq!(get(&world, "/news/none/").await.status, 404);
    assert_eq!(get(&world, "/picture/x.png").await.status, 404);
}

#[tokio::test]
async fn an_article_is_changed_and_taken_down() {
    let world = world().await;
    let link =
        world.sandbox.publish(NewArticle {
            title: "เดิม".into(), body: "ก".into(), ..NewArticle::default()
        });
    let path = link.strip_prefix(&world.base).unwrap();
    world.turn(60);
    assert_eq!(
        world.control("/control/edit", json!({"article": link, "title": "แก้ไขแล้ว"})).await.status,
        200
    );
    assert!(get(&world, path).await.text.contains("<h1>แก้ไขแล้ว</h1>"));
    assert_eq!(world.control("/control/edit", json!({"article": link, "gone": true})).await.status, 200);
    assert_eq!(get(&world, path).await.status, 410);
    assert!(!get(&world, "/feed").await.text.contains(path));
    assert_eq!(world.control("/control/edit", json!({"article": "none"})).await.status, 404);
}
