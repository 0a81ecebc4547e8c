//! Gap: shows that a database which went back is found out.

use chrono::DateTime;
use chrono::Utc;
use serde_json::json;

use crate::model::attempt::SendError;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::transition::Event;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::db::args;
use crate::store::delivery;
use crate::store::gap;
use crate::store::gap::Cause;
use crate::store::gap::Gap;
use crate::store::hold;
use crate::store::memory::Mark;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::claim_one;
use crate::store::test::entry;
use crate::store::test::finish_one;
use crate::store::test::line_policy;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::terms;

on_both_engines!(
    what_existed_before_the_end_of_a_gap_is_looked_for_once,
    what_was_not_due_can_not_have_been_sent,
    what_a_person_sends_again_later_is_looked_for_all_the_same,
    an_article_older_than_the_end_of_a_gap_is_looked_for,
    an_article_of_a_digest_counts_too,
    on_line_a_known_key_tells_and_a_person_the_rest,
    a_hold_stops_no_look_and_a_shadow_needs_none,
    a_late_answer_to_a_forgotten_claim_is_no_answer_to_the_next,
    an_entry_that_is_gone_is_missed_in_the_claim,
    an_archived_intent_is_not_a_lost_one,
    a_loss_is_remembered_until_the_gap_it_opened_lasts,
    a_loss_that_a_gap_explains_opens_no_second_one,
    a_memory_of_another_database_says_nothing,
    a_gap_has_its_entry,
);

async fn open(bench: &Bench, since: i64, until: i64) -> Gap {
    let since = Some(at(since));
    gap::open(&bench.db, &person(until), Cause::Ordered, since, json!({})).await.unwrap()
}

async fn moved(bench: &Bench, account: &str, second: i64) -> State {
    match claim_one(&bench.db, &stamp(second), account, &terms_of(account)).await.unwrap() {
        Claim::Moved(state) => state,
        Claim::Sending(claimed) => claimed.facts.state,
        other => panic!("{other:?}"),
    }
}

fn terms_of(account: &str) -> Terms {
    let policy = if account == "line" { line_policy() } else { policy() };
    Terms { policy, ..terms() }
}

async fn what_existed_before_the_end_of_a_gap_is_looked_for_once(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    open(&bench, -3_600, 60).await;
    assert_eq!(moved(&bench, "page", 61).await, State::Unconfirmed);
    let doubtful = bench.find(id).await;
    assert_eq!(doubtful.facts.key_used_at, Some(at(-3_600)), "it is looked for from the gap's beginning");
    assert_eq!(doubtful.facts.due_at, at(61 + 45 + 90));
    assert_eq!(bench.entries(id).await, ["scheduled", "unconfirmed"]);
    // Found absent, it goes out.
    let sql = "UPDATE delivery SET state = 'scheduled', due_at = $1, unconfirmed_at = NULL";
    bench.tamper(sql, args![at(100)]).await;
    assert_eq!(moved(&bench, "page", 101).await, State::Sending);
}

async fn what_was_not_due_can_not_have_been_sent(bench: Bench) {
    // Years ahead, because PostgreSQL's own clock has a say.
    let far = 20 * 365 * 86_400;
    bench.delivery("page", Lane::Normal, far + 61).await;
    bench.delivery("profile", Lane::Normal, far + 60).await;
    open(&bench, -3_600, far).await;
    assert_eq!(moved(&bench, "page", far + 61).await, State::Sending);
    assert_eq!(moved(&bench, "profile", far + 61).await, State::Unconfirmed, "a clock may be a minute off");
}

async fn what_a_person_sends_again_later_is_looked_for_all_the_same(bench: Bench) {
    let id = bench.delivery("page", Lane::Normal, 0).await;
    bench.tamper("UPDATE delivery SET state = 'held'", args![]).await;
    open(&bench, -3_600, 60).await;
    let retried = Event::Retried.into();
    delivery::apply(&bench.db, &person(90), id, None, retried, &policy()).await.unwrap().unwrap();
    assert_eq!(moved(&bench, "page", 91).await, State::Unconfirmed);
}

/// What becomes of a post made after a gap that ended at second 60, whose article is dated and was first seen so.
async fn of_article(bench: &Bench, account: &str, dated: Option<i64>, seen: i64) -> State {
    let number = bench.count("SELECT count(*) AS n FROM article", args![]).await;
    let article = bench.article(&format!("g{number}"), &format!("t{number}")).await;
    let dated: Option<DateTime<Utc>> = dated.map(at);
    let sql = "UPDATE article SET published_at = $2, first_seen_at = $3 WHERE id = $1";
    bench.tamper(sql, args![article.id, dated, at(seen)]).await;
    let draft = crate::store::post::Draft {
        article: Some((article.id, 1)),
        ..bench.draft(account, Lane::Breaking, 70)
    };
    let id = bench.delivery_of(&draft).await;
    // The bench makes posts at second 0; this one was made later.
    bench.tamper("UPDATE post SET made_at = $1", args![at(200_000)]).await;
    let state = moved(bench, account, 80).await;
    // Out of the way of the next.
    bench.tamper("UPDATE delivery SET state = 'cancelled' WHERE id = $1", args![id]).await;
    state
}

async fn an_article_older_than_the_end_of_a_gap_is_looked_for(bench: Bench) {
    open(&bench, -3_600, 60).await;
    assert_eq!(of_article(&bench, "page", Some(0), 65).await, State::Unconfirmed);
    assert_eq!(
        of_article(&bench, "page", Some(119), 150).await,
        State::Unconfirmed,
        "a clock may be a minute off"
    );
    assert_eq!(of_article(&bench, "page", None, 65).await, State::Unconfirmed, "without a date nobody knows");
    assert_eq!(
        of_article(&bench, "page", Some(25_200), 65).await,
        State::Unconfirmed,
        "dated in a wrong zone"
    );
    assert_eq!(of_article(&bench, "line", Some(0), 65).await, State::Parked);
    assert_eq!(of_article(&bench, "page", Some(130), 131).await, State::Sending, "younger than the gap");
    assert_eq!(of_article(&bench, "line", Some(130), 131).await, State::Sending);
    assert_eq!(of_article(&bench, "page", None, 60 + 48 * 3_600 + 1).await, State::Sending, "long after");
}

async fn an_article_of_a_digest_counts_too(bench: Bench) {
    open(&bench, -3_600, 60).await;
    let old = bench.article("g1", "t1").await;
    bench.tamper("UPDATE article SET published_at = $1, first_seen_at = $1", args![at(0)]).await;
    let draft = crate::store::post::Draft { digest: vec![old.id], ..bench.draft("line", Lane::Normal, 70) };
    bench.delivery_of(&draft).await;
    bench.tamper("UPDATE post SET made_at = $1", args![at(65)]).await;
    assert_eq!(moved(&bench, "line", 80).await, State::Parked);
}

async fn on_line_a_known_key_tells_and_a_person_the_rest(bench: Bench) {
    let tried = bench.sending_under("line", &terms_of("line")).await;
    let limited = SendError::RateLimited { retry_after: None, reason: "w".into() };
    finish_one(&bench.db, &stamp(1), &tried, answered(Err(limited)), &line_policy()).await.unwrap();
    bench.tamper("UPDATE account SET pause = NULL", args![]).await;
    open(&bench, -3_600, 60).await;
    let Claim::Sending(again) = claim_one(&bench.db, &stamp(61), "line", &terms_of("line")).await.unwrap()
    else {
        panic!("a repeat under a known key settles it")
    };
    assert_eq!(again.retry_key, tried.retry_key);
    assert!(again.fence > 1_000, "{}", again.fence);
    finish_one(&bench.db, &stamp(62), &again, answered(Ok(receipt("r1"))), &line_policy()).await.unwrap();

    let untried = bench.delivery("line", Lane::Normal, 0).await;
    assert_eq!(moved(&bench, "line", 61).await, State::Parked);
    let reason = bench.find(untried).await.reason.unwrap();
    assert!(reason.starts_with("it may have been sent while the database forgot: 2026-11-22"), "{reason}");
}

async fn a_hold_stops_no_look_and_a_shadow_needs_none(bench: Bench) {
    hold::set(&bench.db, &person(0), "r", &[], &["profile".to_owned()]).await.unwrap();
    bench.delivery("profile", Lane::Normal, 0).await;
    let id = bench.delivery("page", Lane::Normal, 0).await;
    open(&bench, -3_600, 60).await;
    assert_eq!(moved(&bench, "profile", 61).await, State::Unconfirmed);
    let shadow = Terms { shadow: true, ..terms() };
    let claimed = claim_one(&bench.db, &stamp(61), "page", &shadow).await.unwrap();
    assert!(matches!(claimed, Claim::Moved(State::Cancelled)), "{claimed:?}");
    assert_eq!(bench.find(id).await.reason.as_deref(), Some("shadow"));
}

async fn a_late_answer_to_a_forgotten_claim_is_no_answer_to_the_next(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let forgotten = bench.claim("page", 0).await;
    // The database went back to before that claim.
    let back = "UPDATE delivery SET state = 'scheduled', fence = 0, attempts = 0, attempt_started_at = NULL,
                       key_used_at = NULL, retry_key = NULL";
    bench.tamper("DELETE FROM attempt", args![]).await;
    bench.tamper(back, args![]).await;
    open(&bench, -3_600, 60).await;
    assert_eq!(moved(&bench, "page", 61).await, State::Unconfirmed);
    bench.tamper("UPDATE delivery SET state = 'scheduled', due_at = 0, unconfirmed_at = NULL", args![]).await;
    let next = bench.claim("page", 300).await;
    assert_eq!(next.fence, forgotten.fence + 1_000);
    let lost = answered(Err(SendError::Unreachable { reason: "w".into() }));
    assert!(finish_one(&bench.db, &stamp(301), &forgotten, lost, &policy()).await.unwrap().is_none());
    assert_eq!(bench.find(next.id).await.facts.state, State::Sending);
}

/// The newest intent on an account, which the node that had it remembers.
async fn newest(bench: &Bench, account: &str) -> Mark {
    let sql = "SELECT id, at FROM audit WHERE account = $1 AND action = 'delivery.sending' ORDER BY id DESC LIMIT 1";
    let row = bench.db.one(sql, args![account]).await.unwrap().unwrap();
    Mark { id: row.int("id").unwrap(), at: row.int("at").unwrap() }
}

async fn an_entry_that_is_gone_is_missed_in_the_claim(bench: Bench) {
    assert_eq!(gap::greet(&bench.db, &stamp(0)).await.unwrap(), None);
    bench.delivery("page", Lane::Normal, 0).await;
    let claimed = bench.claim("page", 5).await;
    finish_one(&bench.db, &stamp(6), &claimed, answered(Ok(receipt("r1"))), &policy()).await.unwrap();
    assert_eq!(bench.db.memory().newest("page"), Some(newest(&bench, "page").await));
    // The very entry, not another one that got its number.
    let sql = "INSERT INTO audit (at, action, account, entry) VALUES ($1, 'a', 'page', '{}')";
    let lost = newest(&bench, "page").await;
    bench.db.memory().note([("page".to_owned(), Mark { at: lost.at - 1, ..lost })]);
    bench.tamper(sql, args![at(7)]).await;
    bench.delivery("page", Lane::Normal, 0).await;
    let found = claim_one(&bench.db, &stamp(9), "page", &terms()).await.unwrap();
    let Claim::Forgot(gap) = found else { panic!("{found:?}") };
    assert_eq!((gap.cause.as_str(), gap.until), ("forgotten", at(9)));
    assert_eq!(moved(&bench, "page", 10).await, State::Unconfirmed);
    assert_eq!(gap::newest(&bench.db).await.unwrap(), Some(gap));
}

async fn an_archived_intent_is_not_a_lost_one(bench: Bench) {
    assert_eq!(gap::greet(&bench.db, &stamp(0)).await.unwrap(), None);
    bench.db.memory().note([("page".to_owned(), Mark { id: 0, at: 0 })]);
    bench.tamper("INSERT INTO archive (size, chain, archived_at) VALUES (1, 'c', 0)", args![]).await;
    bench.delivery("page", Lane::Normal, 7).await;
    assert_eq!(moved(&bench, "page", 8).await, State::Sending);
    assert_eq!(gap::greet(&bench.db, &stamp(9)).await.unwrap(), None);
}

async fn a_loss_is_remembered_until_the_gap_it_opened_lasts(bench: Bench) {
    gap::greet(&bench.db, &stamp(0)).await.unwrap();
    let lost = Mark { id: 4_711, at: at(30).timestamp_micros() };
    bench.db.memory().note([("page".to_owned(), lost)]);
    let mut tx = bench.db.begin().await.unwrap();
    assert!(gap::detect(&mut tx, &stamp(40), &["page"]).await.unwrap().is_some());
    tx.roll_back().await.unwrap();
    assert_eq!(bench.db.memory().newest("page"), Some(lost));
    let mut tx = bench.db.begin().await.unwrap();
    assert!(gap::detect(&mut tx, &stamp(41), &["page"]).await.unwrap().is_some());
    tx.commit().await.unwrap();
    assert_eq!(bench.db.memory().newest("page"), None);
}

async fn a_loss_that_a_gap_explains_opens_no_second_one(bench: Bench) {
    gap::greet(&bench.db, &stamp(0)).await.unwrap();
    bench.db.memory().note([("page".to_owned(), Mark { id: 4_711, at: at(30).timestamp_micros() })]);
    open(&bench, 0, 60).await;
    assert_eq!(gap::greet(&bench.db, &stamp(70)).await.unwrap(), None);
    assert_eq!(bench.count("SELECT count(*) AS n FROM gap", args![]).await, 1);
    bench.db.memory().note([("page".to_owned(), Mark { id: 4_711, at: at(75).timestamp_micros() })]);
    assert_eq!(gap::greet(&bench.db, &stamp(80)).await.unwrap().unwrap().cause, "forgotten");
}

async fn a_memory_of_another_database_says_nothing(bench: Bench) {
    bench.db.memory().belongs_to("another");
    bench.db.memory().note([("page".to_owned(), Mark { id: 4_711, at: 0 })]);
    assert_eq!(gap::greet(&bench.db, &stamp(0)).await.unwrap(), None);
    assert_eq!(bench.db.memory().newest("page"), None);
}

async fn a_gap_has_its_entry(bench: Bench) {
    bench.collect(&bench.db, "inn", &entry("g", "t")).await;
    let gap = gap::open(&bench.db, &stamp(60), Cause::Restored, None, json!({ "file": "f" })).await.unwrap();
    assert_eq!((gap.since, gap.until), (at(0), at(60)), "since the newest entry");
    assert_eq!(bench.actions().await.get("backup.restored"), Some(&1));
    open(&bench, 0, 70).await;
    assert_eq!(bench.actions().await.get("gap.found"), Some(&1));
    let sql = "SELECT entry FROM audit WHERE action = 'backup.restored'";
    let told = bench.db.one(sql, args![]).await.unwrap().unwrap().text("entry").unwrap();
    assert!(told.contains(r#""file":"f","cause":"restored","since":"2026-11-22T18:59:52Z""#), "{told}");
}

/// PostgreSQL alone tells on which server and timeline it runs.
#[tokio::test]
async fn another_timeline_is_a_gap_that_one_node_notes() {
    let bench = Bench::postgres().await;
    assert_eq!(gap::greet(&bench.db, &stamp(0)).await.unwrap(), None);
    assert_eq!(gap::greet(&bench.db, &stamp(1)).await.unwrap(), None);
    bench.tamper("UPDATE identity SET server = '1/00000001'", args![]).await;
    bench.delivery("page", Lane::Normal, 0).await;
    let found = claim_one(&bench.db, &stamp(9), "page", &terms()).await.unwrap();
    assert!(matches!(&found, Claim::Forgot(gap) if gap.cause == "failover"), "{found:?}");
    assert_eq!(gap::greet(&bench.another_node().await, &stamp(10)).await.unwrap(), None);
    assert_eq!(bench.count("SELECT count(*) AS n FROM gap", args![]).await, 1);
}
