//! Page: the readers' view.

use serde_json::json;

use crate::sandbox::test::Seen;
use crate::sandbox::test::hello;
use crate::sandbox::test::world;

#[tokio::test]
async fn the_page_shows_every_timeline_under_a_strict_policy() {
    let world = world().await;
    let feed = Seen::read(world.get("/feed.json").send().await.unwrap()).await.json();
    let (url, title) =
        (feed["items"][0]["url"].as_str().unwrap(), feed["items"][0]["title"].as_str().unwrap());
    world.facebook(json!({"message": "ข่าวบนเฟซ #ด่วน", "link": url})).await;
    world.x(&format!("ข่าวบนเอ็กซ์ {url}")).await;
    world.line("broadcast", hello("ข่าวบนไลน์")).await;
    let page = Seen::read(world.get("/").send().await.unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    for text in ["ข่าวบนเฟซ", "ข่าวบนเอ็กซ์", "ข่าวบนไลน์", title, "hashtag/", "/picture/904113.png"]
    {
        assert!(page.text.contains(text), "{text}");
    }
    assert!(!page.text.contains("<script") && !page.text.contains("style="));
    let style = Seen::read(world.get("/style.css").send().await.unwrap()).await;
    assert!(style.header("content-type").starts_with("text/css") && !style.text.contains("url("));
}

#[tokio::test]
async fn what_a_post_says_stays_text() {
    let world = world().await;
    let evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'";
    world.facebook(json!({"message": evil, "link": "https://a.example/\"onmouseover=\"x"})).await;
    world.x(evil).await;
    world.line("broadcast", hello(evil)).await;
    world.sandbox.publish(crate::sandbox::NewArticle { title: evil.into(), ..Default::default() });
    let page = Seen::read(world.get("/").send().await.unwrap()).await.text;
    assert!(!page.contains("<script") && !page.contains("<img src=x") && !page.contains("\"onmouseover"));
}

#[tokio::test]
async fn duplicates_raise_an_alarm_and_a_narrow_screen_chooses_its_timeline() {
    let world = world().await;
    let page = async |path: &str| Seen::read(world.get(path).send().await.unwrap()).await.text;
    assert!(!page("/").await.contains("พบโพสต์ซ้ำ"));
    world.line("broadcast", hello("ซ้ำ")).await;
    world.line("broadcast", hello("ซ้ำ")).await;
    assert!(page("/").await.contains("พบโพสต์ซ้ำ 1 รายการ"));
    assert!(page("/?show=line").await.contains("column line chosen"));
    assert!(!page("/").await.contains("http-equiv=\"refresh\""));
    assert!(page("/?live=1").await.contains("http-equiv=\"refresh\""));
}
