//! Leap: shows that a clock put back by an hour costs no hour.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::model::attempt::SendError;
use crate::model::lane::Lane;
use crate::secret::Grant;
use crate::secret::Keys;
use crate::store::account;
use crate::store::article as articles;
use crate::store::claim;
use crate::store::db::args;
use crate::store::delivery;
use crate::store::leap;
use crate::store::page;
use crate::store::post as posts;
use crate::store::source;
use crate::store::source::Polled;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::claim_one;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::terms;
use crate::store::test::unconfirmed;
use crate::store::token;
use crate::store::token::Origin;

on_both_engines!(
    a_look_keeps_its_distance_from_the_attempt,
    a_retry_and_a_pause_are_counted_from_now,
    a_time_of_day_stays_as_it_was_set,
    a_source_is_polled_at_once,
    a_start_cuts_no_spacing_short,
    an_article_settles_and_its_page_is_read_as_if_nothing_was,
    a_post_made_by_a_clock_ahead_is_due_when_it_was_meant_to_be,
    a_token_ends_when_its_platform_meant_it_to,
    a_clock_that_runs_well_changes_nothing,
);

const HOUR: i64 = 3_600;

async fn due(bench: &Bench, id: i64) -> DateTime<Utc> {
    bench.find(id).await.facts.due_at
}

async fn a_look_keeps_its_distance_from_the_attempt(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let claimed = bench.claim("page", HOUR).await;
    let lost = answered(Err(unconfirmed()));
    finish_one(&bench.db, &stamp(HOUR + 1), &claimed, lost, &policy()).await.unwrap();
    assert_eq!(due(&bench, claimed.id).await, at(HOUR + 135));
    assert!(leap::recover(&bench.db, at(2)).await.unwrap() > 0);
    assert_eq!(due(&bench, claimed.id).await, at(2 + 134));
}

async fn a_retry_and_a_pause_are_counted_from_now(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let claimed = bench.claim("page", HOUR).await;
    let retry_after = Some(Duration::from_secs(70));
    let slow_down = answered(Err(SendError::RateLimited { retry_after, reason: "w".into() }));
    finish_one(&bench.db, &stamp(HOUR), &claimed, slow_down, &policy()).await.unwrap();
    leap::recover(&bench.db, at(5)).await.unwrap();
    assert_eq!(due(&bench, claimed.id).await, at(75));
    let paused = account::find(&bench.db, "page").await.unwrap().unwrap();
    assert_eq!(paused.pause_until, at(75));
    assert!(bench.claims_nothing("page", 74).await);
    bench.claim("page", 75).await;
}

async fn a_time_of_day_stays_as_it_was_set(bench: Bench) {
    let tonight = bench.delivery("page", Lane::Normal, 4 * HOUR).await;
    bench.tamper("UPDATE delivery SET changed_at = $1", args![at(HOUR)]).await;
    leap::recover(&bench.db, at(0)).await.unwrap();
    assert_eq!(due(&bench, tonight).await, at(4 * HOUR));
    let at_once = bench.delivery("profile", Lane::Normal, HOUR).await;
    bench.tamper("UPDATE delivery SET changed_at = $1", args![at(HOUR)]).await;
    leap::recover(&bench.db, at(3)).await.unwrap();
    assert_eq!(due(&bench, at_once).await, at(3));
}

async fn a_source_is_polled_at_once(bench: Bench) {
    source::ensure(&bench.db, &["inn".to_owned()], at(0)).await.unwrap();
    let polled =
        Polled { result: "new", error: None, memory: None, read: true, next_poll_at: at(HOUR + 120) };
    let mut tx = bench.db.begin().await.unwrap();
    source::note_poll(&mut tx, "inn", &polled, at(HOUR)).await.unwrap();
    tx.commit().await.unwrap();
    leap::recover(&bench.db, at(10)).await.unwrap();
    assert_eq!(source::next_moment(&bench.db).await.unwrap(), Some(at(10)));
}

/// How long one node has for a page.
const LEASE: Duration = Duration::from_secs(60);

async fn an_article_settles_and_its_page_is_read_as_if_nothing_was(bench: Bench) {
    let article = bench.article("a", "ข่าว").await;
    let ahead = "UPDATE article SET changed_at = $1, settle_at = $2, page = 'wanted', page_try_at = $1";
    bench.tamper(ahead, args![at(HOUR), at(HOUR + 90)]).await;
    assert_eq!(page::claim(&bench.db, at(10), LEASE).await.unwrap(), None);
    leap::recover(&bench.db, at(5)).await.unwrap();
    assert_eq!(articles::next_moment(&bench.db).await.unwrap(), Some(at(95)));
    let wanted = page::claim(&bench.db, at(10), LEASE).await.unwrap();
    assert_eq!(wanted.map(|wanted| wanted.id), Some(article.id));
}

async fn a_post_made_by_a_clock_ahead_is_due_when_it_was_meant_to_be(bench: Bench) {
    let post = bench.post(&bench.draft("page", Lane::Normal, HOUR)).await.unwrap();
    bench.tamper("UPDATE post SET made_at = $1", args![at(HOUR)]).await;
    posts::enqueue(&bench.db, &stamp(5), 10).await.unwrap();
    let delivery = delivery::list_of_post(&bench.db, post).await.unwrap().remove(0);
    assert_eq!(delivery.facts.due_at, at(5));
}

async fn a_start_cuts_no_spacing_short(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let spaced = claim::Terms { min_gap: Duration::from_secs(600), ..terms() };
    let claimed = bench.claim_under("page", 0, &spaced).await;
    let accepted = answered(Ok(receipt("1_1")));
    finish_one(&bench.db, &stamp(1), &claimed, accepted, &policy()).await.unwrap();
    leap::recover(&bench.db, at(2)).await.unwrap();
    assert_eq!(account::find(&bench.db, "page").await.unwrap().unwrap().next_send_at, at(600));
    leap::recover(&bench.db, at(-3600)).await.unwrap();
    assert_eq!(account::find(&bench.db, "page").await.unwrap().unwrap().next_send_at, at(-3600));
}

async fn a_token_ends_when_its_platform_meant_it_to(bench: Bench) {
    let keys = Keys::derive(&[7; 32]).unwrap();
    let life = Some(Duration::from_secs(7200));
    let grant = Grant { access: "a".into(), refresh: Some("r".into()), scopes: Vec::new(), life };
    token::keep(&bench.db, &keys, &stamp(HOUR), "profile", Origin::Connected, &grant, None).await.unwrap();
    assert_eq!(leap::recover(&bench.db, at(2)).await.unwrap(), 1);
    let facts = token::find(&bench.db, "profile").await.unwrap().unwrap().facts;
    assert_eq!((facts.refresh_at, facts.expires_at), (Some(at(2 + 6900)), Some(at(2 + 7200))));
    assert_eq!(leap::recover(&bench.db, at(3)).await.unwrap(), 0);
}

async fn a_clock_that_runs_well_changes_nothing(bench: Bench) {
    let doubtful = bench.doubtful().await;
    bench.delivery("profile", Lane::Normal, 50).await;
    let claimed = claim_one(&bench.db, &stamp(50), "profile", &terms()).await.unwrap();
    assert!(matches!(claimed, claim::Claim::Sending(_)));
    assert_eq!(leap::recover(&bench.db, at(51)).await.unwrap(), 0);
    assert_eq!(due(&bench, doubtful).await, at(135));
}
