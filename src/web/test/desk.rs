//! Desk: what a person decides, and that it holds.

use axum::http::StatusCode;
use chrono::TimeDelta;

use super::Desk;
use super::newsroom;
use super::newsroom::Fate;
use crate::model::attempt::SendError;
use crate::model::audit::Action;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::user::Role;
use crate::store::delivery;
use crate::store::hold;
use crate::store::post;

const LINK: &str = "https://www.innnews.co.th/news/1/";

async fn with_post(desk: &Desk, fate: Fate) -> i64 {
    let article = newsroom::article(&desk.context, "ฝนถล่มกรุง", LINK, &["ฝนตกหนักทั่วกรุง"]).await;
    newsroom::post(&desk.context, article, "inn-facebook", Lane::Normal, fate).await
}

async fn state_of(desk: &Desk, post: i64) -> (i64, State) {
    let delivery = delivery::list_of_post(&desk.context.db, post).await.unwrap().remove(0);
    (delivery.id, delivery.facts.state)
}

#[tokio::test]
async fn an_approval_holds_for_the_bytes_that_were_shown() {
    let desk = Desk::new().await;
    let id = with_post(&desk, Fate::Review(vec!["flood".to_owned()])).await;
    let cookie = desk.signed_in(Role::Approver).await;
    let shown = post::find(&desk.context.db, id).await.unwrap().unwrap().payload.hash;
    let page = desk.get(&format!("/posts/{id}"), &cookie).await.body;
    assert!(page.contains(&format!(r#"name="hash" value="{shown}""#)));
    assert!(page.contains("ข่าวเข้ามาพร้อมกันมากผิดปกติ"));
    let path = format!("/posts/{id}/approve");
    let stale = desk.post(&path, &cookie, &[("hash", &"0".repeat(64))]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.body.contains("โพสต์เปลี่ยนไปหลังจากที่คุณเปิดดู"), "{}", stale.body);
    assert_eq!(desk.post(&path, &cookie, &[]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post::find(&desk.context.db, id).await.unwrap().unwrap().state, "review");

    let done = desk.post(&path, &cookie, &[("hash", &shown), ("comment", "อ่านแล้ว")]).await;
    assert_eq!(done.header("location"), format!("/posts/{id}?note=approved"));
    let approved = post::find(&desk.context.db, id).await.unwrap().unwrap();
    assert_eq!(
        (approved.state.as_str(), approved.approved_by.as_deref()),
        ("approved", Some("the-approver"))
    );
    let entry = desk.last(Action::PostApproved).await;
    assert_eq!((entry.payload_hash, entry.detail["reason"].as_str()), (Some(shown.clone()), Some("อ่านแล้ว")));
    assert_eq!(desk.post(&path, &cookie, &[("hash", &shown)]).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn an_editor_sees_a_review_and_cannot_approve_it() {
    let desk = Desk::new().await;
    let id = with_post(&desk, Fate::Review(vec!["flood".to_owned()])).await;
    let cookie = desk.signed_in(Role::Editor).await;
    let page = desk.get(&format!("/posts/{id}"), &cookie).await.body;
    assert!(!page.contains("/approve"), "an editor is shown the button");
    let hash = post::find(&desk.context.db, id).await.unwrap().unwrap().payload.hash;
    let refused = desk.post(&format!("/posts/{id}/approve"), &cookie, &[("hash", &hash)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("<nav"), "who is signed in keeps the navigation");
}

#[tokio::test]
async fn a_refused_post_is_sent_again_or_called_off() {
    let desk = Desk::new().await;
    let refusal = SendError::Rejected { reason: "(#100) bad link".to_owned() };
    let id = with_post(&desk, Fate::Answered(Err(refusal))).await;
    let cookie = desk.signed_in(Role::Editor).await;
    let page = desk.get(&format!("/posts/{id}"), &cookie).await.body;
    assert!(page.contains("แพลตฟอร์มไม่รับโพสต์นี้: (#100) bad link"));
    let (delivery, state) = state_of(&desk, id).await;
    assert_eq!(state, State::Failed);
    let done = desk.post(&format!("/deliveries/{delivery}/retry"), &cookie, &[]).await;
    assert_eq!(done.header("location"), format!("/posts/{id}?note=retried"));
    assert_eq!(state_of(&desk, id).await.1, State::Scheduled);
    assert_eq!(
        desk.post(&format!("/deliveries/{delivery}/retry"), &cookie, &[]).await.status,
        StatusCode::CONFLICT
    );
    desk.post(&format!("/deliveries/{delivery}/cancel"), &cookie, &[]).await;
    assert_eq!(state_of(&desk, id).await.1, State::Cancelled);
    assert_eq!(desk.last(Action::DeliveryCancelled).await.actor.name(), "the-editor");
}

#[tokio::test]
async fn a_parked_delivery_is_settled_by_a_link_or_by_absence() {
    for (form, state, remote_id) in [
        (
            vec![("verdict", "there"), ("link", "https://www.facebook.com/inn/posts/777")],
            State::Delivered,
            Some("777"),
        ),
        (vec![("verdict", "absent"), ("link", "")], State::Scheduled, None),
        (vec![("verdict", "drop"), ("link", "")], State::Cancelled, None),
    ] {
        let desk = Desk::new().await;
        let id = with_post(&desk, Fate::Parked("timed out".to_owned())).await;
        let cookie = desk.signed_in(Role::Editor).await;
        let (delivery, before) = state_of(&desk, id).await;
        assert_eq!(before, State::Parked);
        let path = format!("/deliveries/{delivery}/resolve");
        let lie = desk.post(&path, &cookie, &[("verdict", "there"), ("link", "javascript:alert(1)")]).await;
        assert_eq!(lie.status, StatusCode::CONFLICT);
        let done = desk.post(&path, &cookie, &form).await;
        assert_eq!(done.header("location"), format!("/posts/{id}?note=resolved"));
        let settled = delivery::find(&desk.context.db, delivery).await.unwrap().unwrap();
        assert_eq!((settled.facts.state, settled.remote_id.as_deref()), (state, remote_id));
    }
}

#[tokio::test]
async fn a_hold_is_set_with_a_reason_shown_to_all_and_lifted_by_approvers() {
    let desk = Desk::new().await;
    let editor = desk.signed_in(Role::Editor).await;
    assert_eq!(desk.post("/hold", &editor, &[("reason", "  ")]).await.status, StatusCode::CONFLICT);
    let unknown = desk.post("/hold", &editor, &[("reason", "x"), ("account", "other")]).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wish = [("reason", "ไว้อาลัย"), ("lane", "promotion"), ("account", "inn-line")];
    assert_eq!(desk.post("/hold", &editor, &wish).await.header("location"), "/?note=held");
    let home = desk.get("/", &editor).await.body;
    assert!(home.contains("ไว้อาลัย") && home.contains("โปรโมชัน · inn-line"), "{home}");
    assert!(!home.contains("/hold/lift"));
    assert_eq!(desk.post("/hold/lift", &editor, &[]).await.status, StatusCode::FORBIDDEN);
    let approver = desk.signed_in(Role::Approver).await;
    desk.post("/hold/lift", &approver, &[]).await;
    assert!(hold::list(&desk.context.db).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_forecast_follows_the_account() {
    let desk = Desk::new().await;
    let id = with_post(&desk, Fate::Waits(5)).await;
    let cookie = desk.signed_in(Role::Viewer).await;
    let home = desk.get("/", &cookie).await.body;
    assert!(home.contains("อีก 5 นาที") && home.contains(&format!("/posts/{id}")), "{home}");
    desk.pass(TimeDelta::minutes(2));
    assert!(desk.get("/", &cookie).await.body.contains("อีก 3 นาที"));
}
