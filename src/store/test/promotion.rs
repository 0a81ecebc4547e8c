//! Promotion: what fires once, what counts, and what a stop stops.

use std::time::Duration;

use chrono_tz::Asia::Bangkok;

use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::promotion::Firing;
use crate::model::promotion::History;
use crate::model::promotion::Limits;
use crate::model::promotion::Promotion;
use crate::model::promotion::wish::Wish;
use crate::store::audit;
use crate::store::db::Db;
use crate::store::db::args;
use crate::store::leap;
use crate::store::post as posts;
use crate::store::post::Draft;
use crate::store::promotion;
use crate::store::promotion::Standing;
use crate::store::promotion::Stored;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;

on_both_engines!(
    what_is_added_reads_back_and_its_name_is_taken,
    a_moment_fires_once_on_however_many_nodes,
    one_node_at_a_time_decides_about_a_promotion,
    history_counts_firings_and_those_of_the_newest_day,
    a_post_that_waits_or_went_out_is_known_by_account,
    a_stop_calls_off_what_waits_and_a_resume_begins_from_now,
    a_change_calls_off_old_words_and_keeps_the_count,
    an_approval_is_of_what_was_seen,
    another_zone_looks_at_every_promotion_anew,
    a_clock_put_back_neither_repeats_nor_silences,
    a_promotions_entries_are_found_by_its_name,
);

const HOUR: i64 = 3_600;

/// Every hour on the page; `at(0)` is 01:59:52 in Bangkok.
fn hourly(name: &str) -> Promotion {
    let wish = Wish {
        name: name.into(),
        texts: vec!["ลดทั้งร้าน".into()],
        accounts: "page".into(),
        cron: "0 * * * *".into(),
        link: "https://shop.example/".into(),
        ..Wish::default()
    };
    wish.read(Bangkok).unwrap()
}

async fn add(bench: &Bench, promotion: &Promotion) -> Stored {
    let mut tx = bench.db.begin().await.unwrap();
    promotion::insert(&mut tx, &person(0), promotion, Bangkok).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    find(&bench.db, &promotion.name).await
}

async fn find(db: &Db, name: &str) -> Stored {
    promotion::find(db, name).await.unwrap().unwrap()
}

fn firing(second: i64) -> Firing {
    Firing { planned: at(second), counted: at(second) }
}

async fn fire(db: &Db, id: i64, second: i64) -> bool {
    let mut tx = db.begin().await.unwrap();
    let fired = promotion::fire(&mut tx, id, firing(second), 0).await.unwrap();
    tx.commit().await.unwrap();
    fired
}

async fn history(bench: &Bench, id: i64) -> History {
    let mut tx = bench.db.begin().await.unwrap();
    promotion::history(&mut tx, id, Bangkok).await.unwrap()
}

async fn standing(bench: &Bench, id: i64, second: i64) -> Standing {
    let mut tx = bench.db.begin().await.unwrap();
    promotion::standing(&mut tx, id, "page", at(second)).await.unwrap()
}

/// A post of the promotion on the page, due at `due`.
fn draft(bench: &Bench, stored: &Stored, due: i64) -> Draft {
    Draft {
        origin: stored.origin(),
        occasion: at(due).to_rfc3339(),
        route: None,
        ..bench.draft("page", Lane::Promotion, due)
    }
}

async fn what_is_added_reads_back_and_its_name_is_taken(bench: Bench) {
    let limits = Limits { per_day: Some(3), in_all: Some(9), distance: Some(Duration::from_secs(5_400)) };
    let wanted = Promotion { limits, ..hourly("ซื้อ 1 แถม 1") };
    let stored = add(&bench, &wanted).await;
    assert_eq!(stored.promotion, wanted);
    assert_eq!((stored.next_at, stored.passed_at), (Some(at(8)), at(0)));
    assert_eq!((stored.fired, stored.stopped.is_some(), stored.made_by.as_str()), (0, false, "somchai"));
    let mut tx = bench.db.begin().await.unwrap();
    assert_eq!(promotion::insert(&mut tx, &person(1), &hourly("ซื้อ 1 แถม 1"), Bangkok).await.unwrap(), None);
    tx.roll_back().await.unwrap();
    assert_eq!(bench.actions().await["promotion.added"], 1);
    assert_eq!(promotion::next_moment(&bench.db).await.unwrap(), Some(at(8)));
    let by_link = promotion::list_by_link(&bench.db, "https://shop.example/").await.unwrap();
    assert_eq!(by_link, promotion::list(&bench.db).await.unwrap());
    assert_eq!(by_link, [stored]);
}

async fn a_moment_fires_once_on_however_many_nodes(bench: Bench) {
    let id = add(&bench, &hourly("a")).await.id;
    let fired = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { fire(&db, id, 8).await }
    })
    .await;
    assert_eq!(fired.iter().filter(|fired| **fired).count(), 1);
    assert!(fire(&bench.db, id, 8 + HOUR).await);
    let other = add(&bench, &hourly("b")).await.id;
    assert!(fire(&bench.db, other, 8).await, "another promotion has its own moments");
}

async fn one_node_at_a_time_decides_about_a_promotion(bench: Bench) {
    add(&bench, &hourly("a")).await;
    let counted = eight_at_once(|_| {
        let db = bench.db.clone();
        async move {
            let mut tx = db.begin().await.unwrap();
            let Some(stored) = promotion::lock_due(&mut tx, at(10)).await.unwrap() else { return 0 };
            let fired = promotion::fire(&mut tx, stored.id, firing(8), 0).await.unwrap();
            promotion::pass(&mut tx, stored.id, at(8), Some(at(8 + HOUR)), None).await.unwrap();
            tx.commit().await.unwrap();
            i64::from(fired)
        }
    })
    .await;
    assert_eq!(counted.iter().sum::<i64>(), 1);
    let mut tx = bench.db.begin().await.unwrap();
    assert_eq!(promotion::lock_due(&mut tx, at(7 + HOUR)).await.unwrap(), None);
    assert!(promotion::lock_due(&mut tx, at(8 + HOUR)).await.unwrap().is_some());
}

async fn history_counts_firings_and_those_of_the_newest_day(bench: Bench) {
    let id = add(&bench, &hourly("a")).await.id;
    assert_eq!(history(&bench, id).await, History::default());
    // 21 and 22 hours after the start it is 22:59 and 23:59 in Bangkok, after 23 the next day.
    for hour in [21, 22, 23, 24] {
        fire(&bench.db, id, hour * HOUR).await;
    }
    let mut expected = History::default();
    for hour in [21, 22, 23, 24] {
        expected.note(at(hour * HOUR), Bangkok);
    }
    assert_eq!(history(&bench, id).await, expected);
    assert_eq!((expected.in_all, expected.day.unwrap().1), (4, 2));
    assert_eq!(promotion::list_firings(&bench.db, id, 1).await.unwrap()[0].planned, at(24 * HOUR));
}

async fn a_post_that_waits_or_went_out_is_known_by_account(bench: Bench) {
    let stored = add(&bench, &hourly("a")).await;
    assert_eq!(standing(&bench, stored.id, 0).await, Standing::default());
    let delivery = bench.delivery_of(&draft(&bench, &stored, 0)).await;
    assert_eq!(standing(&bench, stored.id, 0).await, Standing { waiting: true, sent_at: None });
    let claimed = bench.claim("page", 5).await;
    assert_eq!(claimed.id, delivery);
    assert!(standing(&bench, stored.id, 5).await.waiting, "on its way is not out");
    finish_one(&bench.db, &stamp(6), &claimed, answered(Ok(receipt("1"))), &policy()).await.unwrap();
    let out = Standing { waiting: false, sent_at: Some(at(5)) };
    assert_eq!(standing(&bench, stored.id, 6).await, out);
    // What is held or scheduled past its good-until can't go out any more.
    bench.delivery_of(&draft(&bench, &stored, 10)).await;
    assert!(standing(&bench, stored.id, 11).await.waiting);
    assert_eq!(standing(&bench, stored.id, 11 + HOUR).await, out);
}

async fn a_stop_calls_off_what_waits_and_a_resume_begins_from_now(bench: Bench) {
    let stored = add(&bench, &hourly("a")).await;
    let of_another = Draft { origin: "promotion:999".into(), ..draft(&bench, &stored, 80) };
    let of_another = bench.delivery_of(&of_another).await;
    let scheduled = bench.delivery_of(&draft(&bench, &stored, 50)).await;
    let in_review = Draft { reasons: vec!["x".into()], ..draft(&bench, &stored, 60) };
    let in_review = bench.post(&in_review).await.unwrap();
    let not_enqueued = bench.post(&draft(&bench, &stored, 70)).await.unwrap();
    let stopped = promotion::stop(&bench.db, &person(2), "a", Some("ของหมด"), &policy()).await.unwrap();
    assert_eq!(stopped, Some(3));
    assert_eq!(bench.find(scheduled).await.facts.state, State::Cancelled);
    assert_eq!(bench.find(of_another).await.facts.state, State::Scheduled);
    for post in [in_review, not_enqueued] {
        assert_eq!(posts::find(&bench.db, post).await.unwrap().unwrap().state, "rejected");
    }
    assert_eq!(posts::enqueue(&bench.db, &stamp(3), 9).await.unwrap(), Vec::<i64>::new());
    let stop = find(&bench.db, "a").await;
    assert_eq!((stop.next_at, stop.stopped.unwrap().reason.as_deref()), (None, Some("ของหมด")));
    assert_eq!(promotion::stop(&bench.db, &person(3), "a", None, &policy()).await.unwrap(), None);
    assert!(promotion::resume(&bench.db, &person(9 * HOUR), "a", Bangkok).await.unwrap());
    assert!(!promotion::resume(&bench.db, &person(9 * HOUR), "a", Bangkok).await.unwrap());
    let resumed = find(&bench.db, "a").await;
    assert_eq!((resumed.passed_at, resumed.next_at), (at(9 * HOUR), Some(at(9 * HOUR + 8))));
    let actions = bench.actions().await;
    assert_eq!((actions["promotion.stopped"], actions["promotion.resumed"]), (1, 1));
    assert_eq!((actions["post.rejected"], actions["delivery.cancelled"]), (2, 1));
}

async fn a_change_calls_off_old_words_and_keeps_the_count(bench: Bench) {
    let stored = add(&bench, &hourly("a")).await;
    fire(&bench.db, stored.id, 8).await;
    let waiting = bench.delivery_of(&draft(&bench, &stored, 50)).await;
    let change = async |wanted: &Promotion, second: i64| {
        let mut tx = bench.db.begin().await.unwrap();
        let stored = promotion::find_for_update(&mut tx, "a").await.unwrap().unwrap();
        promotion::change(&mut tx, &person(second), &stored, wanted, Bangkok, &policy()).await.unwrap();
        tx.commit().await.unwrap();
        find(&bench.db, "a").await
    };
    let limits = Limits { per_day: Some(2), ..Limits::default() };
    let capped = Promotion { limits, ..hourly("a") };
    let changed = change(&capped, 3 * HOUR).await;
    assert_eq!(changed.promotion, capped);
    assert_eq!(
        (changed.passed_at, changed.fired),
        (at(0), 1),
        "under the same plan the past is still to decide"
    );
    assert_eq!(bench.find(waiting).await.facts.state, State::Scheduled, "its words are the same");
    let replanned = Wish { cron: "30 * * * *".into(), ..capped.wish(Bangkok) }.read(Bangkok).unwrap();
    assert_eq!(change(&replanned, 3 * HOUR).await.passed_at, at(3 * HOUR));
    let reworded = Promotion { texts: vec!["ใหม่".into()], ..replanned };
    change(&reworded, 4 * HOUR).await;
    assert_eq!(bench.find(waiting).await.facts.state, State::Cancelled);
    assert_eq!(bench.actions().await["promotion.changed"], 3);
}

async fn an_approval_is_of_what_was_seen(bench: Bench) {
    let seen = add(&bench, &hourly("a")).await;
    assert!(promotion::approve(&bench.db, &person(1), &seen, "abc").await.unwrap());
    let approved = find(&bench.db, "a").await;
    assert_eq!(approved.approved_hash.as_deref(), Some("abc"));
    assert_eq!(approved.approved_by.as_deref(), Some("somchai"));
    let stale = Stored { promotion: Promotion { texts: vec!["เก่า".into()], ..hourly("a") }, ..seen };
    assert!(!promotion::approve(&bench.db, &person(2), &stale, "def").await.unwrap());
    assert_eq!(find(&bench.db, "a").await.approved_hash.as_deref(), Some("abc"));
}

async fn another_zone_looks_at_every_promotion_anew(bench: Bench) {
    add(&bench, &hourly("a")).await;
    add(&bench, &hourly("b")).await;
    promotion::stop(&bench.db, &person(1), "b", None, &policy()).await.unwrap();
    assert_eq!(promotion::replan(&bench.db, Bangkok, at(2)).await.unwrap(), 0);
    assert_eq!(promotion::replan(&bench.db, chrono_tz::Asia::Tokyo, at(2)).await.unwrap(), 1);
    assert_eq!(find(&bench.db, "a").await.next_at, Some(at(2)));
    assert_eq!(find(&bench.db, "b").await.next_at, None);
}

async fn a_clock_put_back_neither_repeats_nor_silences(bench: Bench) {
    let id = add(&bench, &hourly("a")).await.id;
    // The clock is ahead by a day: the moments of a whole day pass, and one of them fires.
    fire(&bench.db, id, 24 * HOUR + 8).await;
    let mut tx = bench.db.begin().await.unwrap();
    promotion::pass(&mut tx, id, at(24 * HOUR + 8), Some(at(25 * HOUR + 8)), None).await.unwrap();
    tx.commit().await.unwrap();
    assert!(leap::recover(&bench.db, at(60)).await.unwrap() > 0);
    let back = find(&bench.db, "a").await;
    assert_eq!((back.passed_at, back.next_at), (at(60), Some(at(60))));
    assert_eq!(history(&bench, id).await.last, Some(at(60)), "it counts from when it truly happened");
    assert!(!fire(&bench.db, id, 24 * HOUR + 8).await, "and its moment never comes again");
}

async fn a_promotions_entries_are_found_by_its_name(bench: Bench) {
    add(&bench, &hourly("a")).await;
    add(&bench, &hourly("ab")).await;
    promotion::stop(&bench.db, &person(1), "a", None, &policy()).await.unwrap();
    let entries = audit::list_of_object(&bench.db, "promotion a", 9).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.name()).collect();
    assert_eq!(actions, ["promotion.added", "promotion.stopped"]);
    assert_eq!(audit::list_of_object(&bench.db, "promotion a", 1).await.unwrap().len(), 1);
    assert_eq!(bench.count("SELECT count(*) AS n FROM promotion", args![]).await, 2);
}
