//! Delivery: claims, attempts, and the entry that each change leaves behind.

use std::time::Duration;

use serde_json::json;

use crate::model::attempt::SendError;
use crate::model::audit::Entry;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::transition::Event;
use crate::model::transition::Look;
use crate::model::transition::Resolution;
use crate::store::account;
use crate::store::attempt;
use crate::store::claim;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::db::Error;
use crate::store::db::args;
use crate::store::delivery;
use crate::store::delivery::Happening;
use crate::store::delivery::Refusal;
use crate::store::hold;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::claim_one;
use crate::store::test::eight_at_once;
use crate::store::test::finish_one;
use crate::store::test::line_policy;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::stamp_on;
use crate::store::test::terms;
use crate::store::test::unconfirmed;

on_both_engines!(
    a_due_delivery_is_claimed_once,
    eight_tasks_claim_a_due_delivery_once,
    eight_tasks_send_one_thing_at_a_time_on_an_account,
    accounts_are_claimed_independently,
    the_database_refuses_a_second_sending_delivery_on_one_account,
    what_is_not_due_is_left_alone,
    a_claim_that_came_to_nothing_lets_the_account_go,
    lanes_go_first_then_due_times,
    spacing_holds_normal_lanes_and_lets_breaking_pass,
    what_was_not_sent_needs_no_distance_from_it,
    a_quiet_hour_lets_only_breaking_pass,
    a_hold_moves_what_comes_due_to_held,
    what_is_past_its_good_until_expires,
    a_shadow_account_cancels_what_comes_due,
    the_intent_is_committed_with_its_hash_and_key,
    an_answer_closes_the_attempt_and_keeps_the_platforms_clock,
    a_repeat_on_line_keeps_its_key,
    marking_twice_writes_one_entry,
    every_change_of_state_has_its_entry,
    a_change_and_its_entry_happen_together_or_not_at_all,
    an_entry_of_a_delivery_names_what_it_is_about,
    people_move_what_waits_for_them_and_nothing_else,
    what_waits_for_a_removed_account_is_called_off,
    what_others_own_is_told_apart,
    the_next_moment_is_the_earliest_thing_to_come,
);

async fn a_due_delivery_is_claimed_once(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    let claimed = bench.claim("page", 0).await;
    assert_eq!((claimed.id, claimed.facts.state, claimed.facts.attempts), (id, State::Sending, 1));
    assert!(bench.claims_nothing("page", 0).await);
    assert_eq!(bench.entries(id).await, ["scheduled", "sending"]);
}

async fn eight_tasks_claim_a_due_delivery_once(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    let claims = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { claim_one(&db, &stamp(0), "page", &terms()).await.unwrap() }
    })
    .await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Sending(_))).count(), 1);
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Nothing)).count(), 7);
    assert_eq!(attempt::list(&bench.db, id).await.unwrap().len(), 1);
}

async fn eight_tasks_send_one_thing_at_a_time_on_an_account(bench: Bench) {
    for due in 0..8 {
        bench.delivery("page", Lane::Normal, due - 8).await;
    }
    let sent = eight_at_once(|number| {
        let db = bench.db.clone();
        async move {
            let mut sent = 0;
            // A task that finds another one sending comes to nothing, as the daemon's does; it asks again.
            for round in 0..200 {
                let stamp = stamp_on(&format!("n{number}"), round);
                let Claim::Sending(claimed) = claim_one(&db, &stamp, "page", &terms()).await.unwrap() else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let happening = answered(Ok(receipt(&format!("p{}", claimed.id))));
                assert!(finish_one(&db, &stamp, &claimed, happening, &policy()).await.unwrap().is_some());
                sent += 1;
            }
            sent
        }
    })
    .await;
    assert_eq!(sent.iter().sum::<i32>(), 8);
    assert_eq!(bench.count("SELECT count(*) AS n FROM attempt", args![]).await, 8);
}

async fn accounts_are_claimed_independently(bench: Bench) {
    let page = bench.sending("page").await;
    let line = bench.sending("line").await;
    assert_ne!(page.id, line.id);
}

async fn the_database_refuses_a_second_sending_delivery_on_one_account(bench: Bench) {
    let second = bench.delivery("page", Lane::Normal, 5).await;
    let first = bench.sending("page").await;
    assert_ne!(first.id, second);
    let mut tx = bench.db.begin().await.unwrap();
    let forced = tx.execute("UPDATE delivery SET state = 'sending' WHERE id = $1", args![second]).await;
    let Err(Error::Engine(sqlx::Error::Database(refusal))) = forced else { panic!("{forced:?}") };
    assert!(refusal.is_unique_violation(), "{refusal}");
}

async fn what_is_not_due_is_left_alone(bench: Bench) {
    bench.delivery("page", Lane::Breaking, 10).await;
    assert!(bench.claims_nothing("page", 9).await);
    assert_eq!(account::list_due(&bench.db, at(9)).await.unwrap(), Vec::<String>::new());
    assert_eq!(account::list_due(&bench.db, at(10)).await.unwrap(), ["page"]);
    bench.claim("page", 10).await;
    assert_eq!(account::list_due(&bench.db, at(10)).await.unwrap(), Vec::<String>::new());
}

async fn a_claim_that_came_to_nothing_lets_the_account_go(bench: Bench) {
    let other = bench.another_node().await;
    for second in 0..20 {
        assert!(bench.claims_nothing("page", second).await);
        bench.delivery("page", Lane::Normal, second).await;
        assert!(bench.claims_nothing("page", second - 1).await);
        let claim = claim_one(&other, &stamp_on("b", second), "page", &terms()).await.unwrap();
        let Claim::Sending(claimed) = claim else { panic!("{claim:?} at {second}") };
        finish_one(&other, &stamp(second), &claimed, answered(Ok(receipt("p"))), &policy()).await.unwrap();
    }
}

async fn lanes_go_first_then_due_times(bench: Bench) {
    let promotion = bench.delivery("page", Lane::Promotion, 0).await;
    let late = bench.delivery("page", Lane::Normal, 2).await;
    let early = bench.delivery("page", Lane::Normal, 1).await;
    let breaking = bench.delivery("page", Lane::Breaking, 3).await;
    for expected in [breaking, early, late, promotion] {
        let claimed = bench.claim("page", 9).await;
        assert_eq!(claimed.id, expected);
        let sent = answered(Ok(receipt("p")));
        finish_one(&bench.db, &stamp(9), &claimed, sent, &policy()).await.unwrap();
    }
}

async fn spacing_holds_normal_lanes_and_lets_breaking_pass(bench: Bench) {
    let spaced = Terms { min_gap: Duration::from_secs(90), ..terms() };
    let first = bench.sending_under("page", &spaced).await;
    finish_one(&bench.db, &stamp(1), &first, answered(Ok(receipt("p1"))), &policy()).await.unwrap();
    let normal = bench.delivery("page", Lane::Normal, 2).await;
    assert!(bench.claims_nothing("page", 89).await);
    assert_eq!(account::list_due(&bench.db, at(89)).await.unwrap(), Vec::<String>::new());
    let breaking = bench.delivery("page", Lane::Breaking, 3).await;
    assert_eq!(account::list_due(&bench.db, at(3)).await.unwrap(), ["page"]);
    let claimed = bench.claim_under("page", 3, &spaced).await;
    assert_eq!(claimed.id, breaking);
    finish_one(&bench.db, &stamp(4), &claimed, answered(Ok(receipt("p2"))), &policy()).await.unwrap();
    assert!(bench.claims_nothing("page", 92).await, "the breaking post is a distance to keep as well");
    assert_eq!(bench.claim("page", 93).await.id, normal);
}

async fn what_was_not_sent_needs_no_distance_from_it(bench: Bench) {
    let spaced = Terms { min_gap: Duration::from_secs(90), ..terms() };
    let first = bench.sending_under("page", &spaced).await;
    let refused = SendError::Unreachable { reason: "no route".into() };
    finish_one(&bench.db, &stamp(1), &first, answered(Err(refused)), &policy()).await.unwrap();
    let again = bench.claim("page", 10).await;
    assert_eq!((again.id, again.facts.attempts), (first.id, 2));
}

async fn a_quiet_hour_lets_only_breaking_pass(bench: Bench) {
    let quiet = Terms { quiet: true, ..terms() };
    let normal = bench.delivery("page", Lane::Normal, 0).await;
    let claim = claim_one(&bench.db, &stamp(0), "page", &quiet).await.unwrap();
    assert!(matches!(claim, Claim::Nothing), "{claim:?}");
    let breaking = bench.delivery("page", Lane::Breaking, 1).await;
    assert_eq!(bench.claim_under("page", 1, &quiet).await.id, breaking);
    assert_eq!(bench.find(normal).await.facts.state, State::Scheduled);
}

async fn a_hold_moves_what_comes_due_to_held(bench: Bench) {
    let due = bench.delivery("page", Lane::Normal, 0).await;
    let later = bench.delivery("page", Lane::Normal, 50).await;
    hold::set(&bench.db, &person(0), "ไว้อาลัย", &[], &[]).await.unwrap();
    let claim = claim_one(&bench.db, &stamp(1), "page", &terms()).await.unwrap();
    assert!(matches!(claim, Claim::Moved(State::Held)), "{claim:?}");
    assert!(bench.claims_nothing("page", 1).await);
    hold::lift_all(&bench.db, &person(2)).await.unwrap();
    assert!(bench.claims_nothing("page", 2).await, "lifting a hold sends nothing by itself");
    assert_eq!(bench.entries(due).await, ["scheduled", "held"]);
    assert_eq!(bench.claim("page", 50).await.id, later);
}

async fn what_is_past_its_good_until_expires(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    let claim = claim_one(&bench.db, &stamp(3601), "page", &terms()).await.unwrap();
    assert!(matches!(claim, Claim::Moved(State::Expired)), "{claim:?}");
    assert_eq!(bench.entries(id).await, ["scheduled", "expired"]);
    assert_eq!(attempt::list(&bench.db, id).await.unwrap(), []);
}

async fn a_shadow_account_cancels_what_comes_due(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    let shadow = Terms { shadow: true, ..terms() };
    let claim = claim_one(&bench.db, &stamp(0), "page", &shadow).await.unwrap();
    assert!(matches!(claim, Claim::Moved(State::Cancelled)), "{claim:?}");
    let cancelled = bench.find(id).await;
    assert_eq!((cancelled.reason.as_deref(), cancelled.facts.attempts), (Some("shadow"), 0));
}

async fn the_intent_is_committed_with_its_hash_and_key(bench: Bench) {
    let claimed = bench.sending("page").await;
    // Another connection sees it: it is committed, not merely written.
    let seen = bench.another_node().await;
    let attempts = attempt::list(&seen, claimed.id).await.unwrap();
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    assert_eq!((attempt.number, attempt.node.as_str(), attempt.started_at), (1, "a", at(0)));
    assert_eq!((&attempt.hash, &attempt.outcome, attempt.finished_at), (&claimed.hash, &None, None));
    let key = bench.db.one("SELECT retry_key FROM attempt", args![]).await.unwrap().unwrap();
    assert_eq!(key.maybe_text("retry_key").unwrap(), claimed.retry_key);
    assert!(uuid::Uuid::parse_str(claimed.retry_key.as_deref().unwrap()).is_ok());
}

async fn an_answer_closes_the_attempt_and_keeps_the_platforms_clock(bench: Bench) {
    let claimed = bench.sending("page").await;
    let sent = answered(Ok(receipt("p1")));
    finish_one(&bench.db, &stamp(2), &claimed, sent, &policy()).await.unwrap();
    let attempts = attempt::list(&bench.db, claimed.id).await.unwrap();
    assert_eq!(attempts[0].outcome.as_deref(), Some("delivered"));
    assert_eq!((attempts[0].finished_at, attempts[0].status), (Some(at(2)), Some(200)));
    let page = account::find(&bench.db, "page").await.unwrap().unwrap();
    assert_eq!(page.clock_offset, 3);
    let delivered = bench.find(claimed.id).await;
    assert_eq!(delivered.facts.state, State::Delivered);
    assert_eq!(delivered.remote_id.as_deref(), Some("p1"));
    assert_eq!(delivered.permalink.as_deref(), Some("https://platform.example/p1"));
}

async fn a_repeat_on_line_keeps_its_key(bench: Bench) {
    let on_line = Terms { policy: line_policy(), ..terms() };
    let first = bench.sending_under("line", &on_line).await;
    finish_one(&bench.db, &stamp(1), &first, answered(Err(unconfirmed())), &line_policy()).await.unwrap();
    let second = bench.claim_under("line", 10, &on_line).await;
    assert_eq!((second.id, second.facts.attempts), (first.id, 2));
    assert_eq!(second.retry_key, first.retry_key);
    assert_eq!(bench.entries(first.id).await, ["scheduled", "sending", "deferred", "sending"]);
}

async fn marking_twice_writes_one_entry(bench: Bench) {
    let claimed = bench.sending("page").await;
    let sent = || answered(Ok(receipt("p1")));
    assert!(finish_one(&bench.db, &stamp(1), &claimed, sent(), &policy()).await.unwrap().is_some());
    assert!(finish_one(&bench.db, &stamp(2), &claimed, sent(), &policy()).await.unwrap().is_none());
    assert_eq!(bench.find(claimed.id).await.facts.state, State::Delivered);
    assert_eq!(bench.actions().await["delivery.delivered"], 1);
}

async fn every_change_of_state_has_its_entry(bench: Bench) {
    let claimed = bench.sending("page").await;
    let rate = SendError::RateLimited { retry_after: Some(Duration::from_secs(5)), reason: "slow".into() };
    finish_one(&bench.db, &stamp(1), &claimed, answered(Err(rate)), &policy()).await.unwrap();
    let again = bench.claim("page", 10).await;
    finish_one(&bench.db, &stamp(11), &again, answered(Err(unconfirmed())), &policy()).await.unwrap();
    for second in [1000, 2000, 3000] {
        let stamp = stamp(second);
        let look = claim::claim_look(&bench.db, &stamp, Duration::ZERO).await.unwrap().unwrap();
        let absent = Event::Looked(Look::Absent { fresh: true }).into();
        delivery::apply(&bench.db, &stamp, look.id, Some(look.fence), absent, &policy())
            .await
            .unwrap()
            .unwrap();
    }
    let last = bench.claim("page", 3001).await;
    finish_one(&bench.db, &stamp(3002), &last, answered(Ok(receipt("p1"))), &policy()).await.unwrap();
    assert_eq!(
        bench.entries(claimed.id).await,
        [
            "scheduled",
            "sending",
            "deferred",
            "sending",
            "unconfirmed",
            "read_back",
            "read_back",
            "deferred",
            "sending",
            "delivered"
        ]
    );
    let delivered = bench.find(claimed.id).await;
    assert_eq!((delivered.facts.attempts, delivered.facts.resends), (3, 1));
}

async fn a_change_and_its_entry_happen_together_or_not_at_all(bench: Bench) {
    let claimed = bench.sending("page").await;
    let before = bench.actions().await;
    // PostgreSQL and SQLite both refuse this entry's place; the whole change must go with it.
    bench.tamper("INSERT INTO unsealed (audit) SELECT COALESCE(MAX(id), 0) + 1 FROM audit", args![]).await;
    let sent = answered(Ok(receipt("p1")));
    finish_one(&bench.db, &stamp(1), &claimed, sent, &policy()).await.unwrap_err();
    assert_eq!(bench.find(claimed.id).await.facts.state, State::Sending);
    assert_eq!(bench.actions().await, before);
    assert_eq!(attempt::list(&bench.db, claimed.id).await.unwrap()[0].outcome, None);
}

async fn an_entry_of_a_delivery_names_what_it_is_about(bench: Bench) {
    let claimed = bench.sending("page").await;
    finish_one(&bench.db, &stamp(1), &claimed, answered(Ok(receipt("p1"))), &policy()).await.unwrap();
    let rows = bench
        .db
        .all("SELECT entry FROM audit WHERE delivery IS NOT NULL ORDER BY id", args![])
        .await
        .unwrap();
    let entries: Vec<Entry> =
        rows.iter().map(|row| Entry::parse(&row.text("entry").unwrap()).unwrap()).collect();
    let [scheduled, sending, delivered] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(scheduled.payload.as_deref(), Some(claimed.body.as_str()));
    for entry in &entries {
        assert_eq!(entry.post, Some(claimed.post.to_string()));
        assert_eq!(entry.delivery, Some(claimed.id.to_string()));
        assert_eq!(entry.payload_hash.as_deref(), Some(claimed.hash.as_str()));
        assert_eq!(entry.account.as_deref(), Some("page"));
    }
    assert_eq!((sending.remote_id.as_deref(), delivered.remote_id.as_deref()), (None, Some("p1")));
    assert_eq!(delivered.detail["request_id"], "r-1");
}

async fn people_move_what_waits_for_them_and_nothing_else(bench: Bench) {
    let apply = |id: i64, event: Event| {
        let db = bench.db.clone();
        let happening = Happening { evidence: json!({ "by": "test" }), ..event.into() };
        async move { delivery::apply(&db, &person(9), id, None, happening, &policy()).await.unwrap() }
    };
    let cancel = || Event::Cancelled { reason: "ไม่เอาแล้ว".into() };
    let unknown = apply(4711, Event::Retried).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no delivery 4711");

    let sent = bench.sending("page").await;
    assert!(matches!(apply(sent.id, cancel()).await, Err(Refusal::NotAllowed(_))));
    let refused = answered(Err(SendError::Rejected { reason: "no".into() }));
    finish_one(&bench.db, &stamp(1), &sent, refused, &policy()).await.unwrap();
    assert_eq!(apply(sent.id, Event::Retried).await.unwrap().facts.state, State::Scheduled);
    assert_eq!(apply(sent.id, cancel()).await.unwrap().facts.state, State::Cancelled);
    assert!(matches!(apply(sent.id, Event::Retried).await, Err(Refusal::NotAllowed(_))));
    assert_eq!(bench.entries(sent.id).await, ["scheduled", "sending", "failed", "retried", "cancelled"]);

    let parked = bench.doubtful().await;
    assert!(matches!(apply(parked, Event::Resolved(Resolution::Absent)).await, Err(Refusal::NotAllowed(_))));
    let blind = Look::Failed(SendError::Rejected { reason: "no permission".into() });
    assert_eq!(apply(parked, Event::Looked(blind)).await.unwrap().facts.state, State::Parked);
    let there = Resolution::There(receipt("p9"));
    assert_eq!(apply(parked, Event::Resolved(there)).await.unwrap().remote_id.as_deref(), Some("p9"));
    assert_eq!(bench.entries(parked).await, ["scheduled", "sending", "unconfirmed", "parked", "delivered"]);
}

async fn what_waits_for_a_removed_account_is_called_off(bench: Bench) {
    let kept = bench.delivery("page", Lane::Normal, 0).await;
    let gone = bench.delivery("line", Lane::Normal, 0).await;
    let configured = ["page".to_owned(), "profile".to_owned()];
    for expected in [1, 0] {
        let cancelled = delivery::cancel_removed(&bench.db, &stamp(1), &configured, &policy()).await.unwrap();
        assert_eq!(cancelled, expected);
    }
    assert_eq!(bench.find(kept).await.facts.state, State::Scheduled);
    let gone = bench.find(gone).await;
    assert_eq!(gone.facts.state, State::Cancelled);
    assert_eq!(gone.reason.as_deref(), Some("the account was removed from the configuration"));
    assert_eq!(bench.entries(gone.id).await, ["scheduled", "cancelled"]);
}

async fn what_others_own_is_told_apart(bench: Bench) {
    let mut ids = Vec::new();
    for number in 1..=2 {
        let claimed = bench.sending("page").await;
        let sent = answered(Ok(receipt(&format!("p{number}"))));
        finish_one(&bench.db, &stamp(number * 10), &claimed, sent, &policy()).await.unwrap();
        ids.push(claimed.id);
    }
    let owned = |except, since| delivery::list_remote_ids(&bench.db, "page", except, at(since));
    assert_eq!(owned(0, 0).await.unwrap(), ["p2", "p1"]);
    assert_eq!(owned(ids[1], 0).await.unwrap(), ["p1"]);
    assert_eq!(owned(0, 15).await.unwrap(), ["p2"]);
    assert_eq!(delivery::list_remote_ids(&bench.db, "line", 0, at(0)).await.unwrap(), Vec::<String>::new());
    let newest = delivery::newest_delivered(&bench.db, "page", 0, at(99)).await.unwrap().unwrap();
    assert_eq!((newest.remote_id.as_str(), newest.started_at, newest.known_at), ("p2", at(0), at(20)));
    let older = delivery::newest_delivered(&bench.db, "page", ids[1], at(99)).await.unwrap().unwrap();
    assert_eq!(older.remote_id, "p1");
    let earlier = delivery::newest_delivered(&bench.db, "page", 0, at(15)).await.unwrap().unwrap();
    assert_eq!(earlier.remote_id, "p1");
}

async fn the_next_moment_is_the_earliest_thing_to_come(bench: Bench) {
    assert_eq!(delivery::next_moment(&bench.db, at(0)).await.unwrap(), None);
    bench.delivery("page", Lane::Normal, 300).await;
    assert_eq!(delivery::next_moment(&bench.db, at(0)).await.unwrap(), Some(at(300)));
    assert_eq!(delivery::next_moment(&bench.db, at(300)).await.unwrap(), None);
    bench.tamper("UPDATE account SET pause_until = $1 WHERE name = 'line'", args![at(100)]).await;
    assert_eq!(delivery::next_moment(&bench.db, at(0)).await.unwrap(), Some(at(100)));
    assert_eq!(delivery::count_moving(&bench.db).await.unwrap(), 1);
}
