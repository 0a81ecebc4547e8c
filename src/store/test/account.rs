//! Account: shows that pauses belong to the account, not its posts.

use std::time::Duration;

use crate::model::account::Platform;
use crate::model::attempt::SendError;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::store::account;
use crate::store::account::Account;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::unconfirmed;

on_both_engines!(
    a_refused_credential_pauses_the_account_and_keeps_its_posts,
    a_spent_budget_pauses_the_account_and_keeps_its_posts,
    a_throttled_account_comes_back_by_itself,
    the_circuit_opens_after_so_many_failures_in_a_row,
    an_open_circuit_waits_longer_each_time,
    an_answer_closes_the_circuit_and_forgets_the_failures,
    a_probe_that_is_put_off_waits_twice_as_long,
    an_account_that_only_seems_well_waits_longer_each_time,
    an_account_is_made_once_and_keeps_what_is_known_of_it,
);

const CAP: Duration = Duration::from_secs(900);

/// Sends what is due on the page, and is answered so.
async fn try_once(bench: &Bench, second: i64, error: SendError) -> State {
    let claimed = bench.claim("page", second).await;
    let refused = answered(Err(error));
    finish_one(&bench.db, &stamp(second), &claimed, refused, &policy()).await.unwrap();
    bench.find(claimed.id).await.facts.state
}

async fn page(bench: &Bench) -> Account {
    account::find(&bench.db, "page").await.unwrap().unwrap()
}

async fn is_due(bench: &Bench, second: i64) -> bool {
    let listed = !account::list_due(&bench.db, at(second)).await.unwrap().is_empty();
    if !listed {
        assert!(bench.claims_nothing("page", second).await, "claim and list disagree at {second}");
    }
    listed
}

async fn a_refused_credential_pauses_the_account_and_keeps_its_posts(bench: Bench) {
    bench.delivery("page", Lane::Breaking, 0).await;
    let refused = SendError::Unauthorized { reason: "token expired".into() };
    assert_eq!(try_once(&bench, 0, refused).await, State::Scheduled);
    let paused = page(&bench).await;
    assert_eq!(paused.pause.as_deref(), Some("auth"));
    assert_eq!(paused.pause_reason.as_deref(), Some("credential refused: token expired"));
    assert!(!is_due(&bench, 100_000).await, "a refused credential never comes back by itself");
    assert_eq!(account::list_due_probe(&bench.db, at(59)).await.unwrap(), Vec::<String>::new());
    assert_eq!(account::list_due_probe(&bench.db, at(60)).await.unwrap(), ["page"]);
    account::resume(&bench.db, &person(61), "page", "the token was renewed").await.unwrap();
    assert_eq!(page(&bench).await.pause, None);
    assert!(is_due(&bench, 61).await);
    let actions = bench.actions().await;
    assert_eq!((actions["account.paused"], actions["account.resumed"]), (1, 1));
    account::resume(&bench.db, &person(62), "page", "again").await.unwrap();
    assert_eq!(bench.actions().await["account.resumed"], 1, "who is not paused is not resumed");
}

async fn a_spent_budget_pauses_the_account_and_keeps_its_posts(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let spent = SendError::OutOfBudget { reason: "no credits".into() };
    assert_eq!(try_once(&bench, 0, spent).await, State::Scheduled);
    assert_eq!(page(&bench).await.pause.as_deref(), Some("quota"));
    assert!(!is_due(&bench, 100).await);
    assert_eq!(account::list_due_probe(&bench.db, at(60)).await.unwrap(), ["page"]);
}

async fn a_throttled_account_comes_back_by_itself(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let asked =
        SendError::RateLimited { retry_after: Some(Duration::from_secs(30)), reason: "slow down".into() };
    assert_eq!(try_once(&bench, 0, asked).await, State::Scheduled);
    bench.delivery("page", Lane::Breaking, 1).await;
    assert!(!is_due(&bench, 29).await, "a throttle holds the whole account, breaking news too");
    assert!(is_due(&bench, 30).await);
    assert_eq!(account::list_due_probe(&bench.db, at(30)).await.unwrap(), Vec::<String>::new());
    let claimed = bench.claim("page", 30).await;
    finish_one(&bench.db, &stamp(31), &claimed, answered(Ok(receipt("p1"))), &policy()).await.unwrap();
    assert_eq!(page(&bench).await.pause, None);
}

async fn the_circuit_opens_after_so_many_failures_in_a_row(bench: Bench) {
    for failure in 1..=3 {
        bench.delivery("page", Lane::Normal, 0).await;
        assert_eq!(page(&bench).await.pause, None, "before failure {failure}");
        assert_eq!(try_once(&bench, failure, unconfirmed()).await, State::Unconfirmed);
    }
    let open = page(&bench).await;
    assert_eq!((open.pause.as_deref(), open.failures), (Some("circuit"), 3));
    assert_eq!(open.pause_until, at(63));
    bench.delivery("page", Lane::Normal, 0).await;
    assert!(!is_due(&bench, 62).await);
    assert!(is_due(&bench, 63).await, "one post may find out");
}

async fn an_open_circuit_waits_longer_each_time(bench: Bench) {
    let mut second = 0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        bench.delivery("page", Lane::Normal, 0).await;
        try_once(&bench, second, unconfirmed()).await;
        let until = page(&bench).await.pause_until;
        let wait = (until - at(second)).num_seconds().max(0);
        waits.push(wait);
        second += wait;
    }
    assert_eq!(waits, [0, 0, 60, 120, 240, 480, 900, 900, 900]);
}

async fn an_answer_closes_the_circuit_and_forgets_the_failures(bench: Bench) {
    for _ in 0..3 {
        bench.delivery("page", Lane::Normal, 0).await;
        try_once(&bench, 0, unconfirmed()).await;
    }
    bench.delivery("page", Lane::Normal, 0).await;
    let refused = SendError::Rejected { reason: "bad link".into() };
    assert_eq!(try_once(&bench, 60, refused).await, State::Failed);
    let closed = page(&bench).await;
    assert_eq!((closed.pause, closed.failures), (None, 0), "a platform that refuses a post answers");
}

async fn a_probe_that_is_put_off_waits_twice_as_long(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    try_once(&bench, 0, SendError::Unauthorized { reason: "no".into() }).await;
    let mut second = 60;
    for wait in [120, 240, 480, 900, 900] {
        account::postpone_probe(&bench.db, at(second), "page", CAP).await.unwrap();
        assert_eq!(page(&bench).await.pause_until, at(second + wait));
        second += wait;
    }
}

async fn an_account_that_only_seems_well_waits_longer_each_time(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    let mut second = 0;
    for wait in [60, 120, 240, 480, 900, 900] {
        try_once(&bench, second, SendError::OutOfBudget { reason: "spent".into() }).await;
        assert_eq!(page(&bench).await.pause_until, at(second + wait));
        second += wait;
        // LINE answers every probe well, and refuses the next post all the same.
        account::resume(&bench.db, &stamp(second), "page", "a probe was not refused").await.unwrap();
    }
    let claimed = bench.claim("page", second).await;
    finish_one(&bench.db, &stamp(second), &claimed, answered(Ok(receipt("p"))), &policy()).await.unwrap();
    bench.delivery("page", Lane::Normal, 0).await;
    try_once(&bench, second, SendError::OutOfBudget { reason: "spent".into() }).await;
    assert_eq!(page(&bench).await.pause_until, at(second + 60), "a post that was taken forgets it");
}

async fn an_account_is_made_once_and_keeps_what_is_known_of_it(bench: Bench) {
    account::note_remote_user(&bench.db, "profile", "77").await.unwrap();
    let known = [("profile".to_owned(), Platform::X), ("new".to_owned(), Platform::Line)];
    account::ensure(&bench.db, &known).await.unwrap();
    let accounts = account::list(&bench.db).await.unwrap();
    let names: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["line", "new", "page", "profile"]);
    assert_eq!(accounts[3].remote_user.as_deref(), Some("77"));
    assert_eq!(account::find(&bench.db, "nobody").await.unwrap(), None);
}
