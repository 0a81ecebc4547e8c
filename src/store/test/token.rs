//! Token: shows that one at a time presents a refresh token.
//!
//! And that no pair is lost that came.

use std::time::Duration;

use crate::model::token::Action;
use crate::model::token::RefreshError;
use crate::model::token::State;
use crate::secret::ExposeSecret;
use crate::secret::Grant;
use crate::secret::Keys;
use crate::store::account;
use crate::store::audit;
use crate::store::db::args;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::stamp;
use crate::store::test::stamp_on;
use crate::store::token;
use crate::store::token::Claimed;
use crate::store::token::Origin;
use crate::store::token::Token;

on_both_engines!(
    a_pair_is_kept_sealed_and_shown_by_its_prints,
    of_many_one_claims_a_renewal,
    the_answer_of_a_renewal_is_a_new_pair_and_a_new_generation,
    a_start_of_the_same_node_takes_its_own_renewal_over_at_once,
    others_take_a_renewal_over_when_its_lease_is_over,
    a_pair_that_comes_late_is_kept_while_none_is_newer,
    a_refusal_that_comes_late_changes_nothing,
    a_refused_refresh_token_pauses_the_account_until_a_person_connects_it,
    a_failure_of_the_network_pauses_nobody_while_the_token_lasts,
    an_account_without_a_usable_token_stands_still_until_the_next_try,
    a_wrong_app_pauses_for_a_person_and_leaves_the_token,
    a_refused_access_token_is_renewed_once,
    a_token_of_another_secret_is_not_opened,
    what_is_forgotten_is_gone,
);

const LEASE: Duration = Duration::from_secs(120);

fn keys() -> Keys {
    Keys::derive(&[7; 32]).unwrap()
}

fn grant(number: i64) -> Grant {
    Grant {
        access: format!("planted-access-{number}").into(),
        refresh: Some(format!("planted-refresh-{number}").into()),
        scopes: vec!["tweet.read".into(), "tweet.write".into()],
        life: Some(Duration::from_secs(7200)),
    }
}

fn unknown() -> RefreshError {
    RefreshError::Unknown { reason: "no answer".into() }
}

fn refused() -> RefreshError {
    RefreshError::Refused { reason: "HTTP 400: invalid_grant".into() }
}

/// Connects the profile at second 0; its token is due for renewal from second 6900 on.
async fn connect(bench: &Bench) {
    let (keys, grant) = (keys(), grant(1));
    token::keep(&bench.db, &keys, &person(0), "profile", Origin::Connected, &grant, Some("77"))
        .await
        .unwrap();
}

async fn stored(bench: &Bench) -> Token {
    token::find(&bench.db, "profile").await.unwrap().unwrap()
}

/// Claims as a boot of node a.
async fn claim(bench: &Bench, boot: &str, second: i64, lease: Duration) -> Option<Claimed> {
    token::claim(&bench.db, &keys(), &stamp(second), "profile", boot, lease, &policy()).await.unwrap()
}

async fn record(
    bench: &Bench,
    claimed: &Claimed,
    second: i64,
    answer: Result<Grant, RefreshError>,
) -> Option<Action> {
    token::record(&bench.db, &keys(), &stamp(second), claimed, &answer, &policy(), 1.0).await.unwrap()
}

async fn pause(bench: &Bench) -> Option<String> {
    account::find(&bench.db, "profile").await.unwrap().unwrap().pause
}

async fn a_pair_is_kept_sealed_and_shown_by_its_prints(bench: Bench) {
    connect(&bench).await;
    let token = stored(&bench).await;
    assert_eq!(token.origin, "connected");
    assert_eq!((token.facts.state, token.facts.proven), (State::Good, true));
    assert_eq!((token.facts.expires_at, token.facts.refresh_at), (Some(at(7200)), Some(at(6900))));
    assert_eq!(token.access(&keys()).unwrap().expose_secret(), "planted-access-1");
    assert_eq!(token.access_print, crate::secret::fingerprint(&"planted-access-1".into()));
    let known = account::find(&bench.db, "profile").await.unwrap().unwrap();
    assert_eq!(known.remote_user.as_deref(), Some("77"));
    let entries = audit::list(&bench.db, &audit::Filter::default()).await.unwrap();
    let told: String = entries.iter().map(|it| it.entry.clone()).collect();
    assert!(told.contains("account.connected") && told.contains(&token.access_print), "{told}");
    assert!(!told.contains("planted-"), "{told}");
}

async fn of_many_one_claims_a_renewal(bench: Bench) {
    connect(&bench).await;
    assert!(claim(&bench, "boot-1", 6899, LEASE).await.is_none(), "it isn't due");
    assert_eq!(token::list_due(&bench.db, at(6899), "a", "boot-1").await.unwrap(), Vec::<String>::new());
    assert_eq!(token::list_due(&bench.db, at(6900), "a", "boot-1").await.unwrap(), ["profile"]);
    let claims = eight_at_once(|number| {
        let db = bench.db.clone();
        async move {
            let (keys, stamp) = (keys(), stamp_on(&format!("node-{number}"), 6900));
            token::claim(&db, &keys, &stamp, "profile", "boot", LEASE, &policy()).await.unwrap()
        }
    })
    .await;
    let claimed: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].refresh.as_ref().unwrap().expose_secret(), "planted-refresh-1");
    assert!(token::is_held(&bench.db, &claimed[0]).await.unwrap());
    let token = stored(&bench).await;
    assert_eq!((token.facts.state, token.facts.presented), (State::Refreshing, 1));
    assert_eq!(bench.actions().await["account.refreshing"], 1);
}

async fn the_answer_of_a_renewal_is_a_new_pair_and_a_new_generation(bench: Bench) {
    connect(&bench).await;
    let first = stored(&bench).await.generation;
    let claimed = claim(&bench, "boot-1", 6900, LEASE).await.unwrap();
    assert_eq!(record(&bench, &claimed, 6930, Ok(grant(2))).await, Some(Action::Keep));
    let token = stored(&bench).await;
    assert_eq!(token.access(&keys()).unwrap().expose_secret(), "planted-access-2");
    assert_eq!((token.generation, token.facts.state, token.facts.presented), (first + 1, State::Good, 0));
    assert_eq!(
        token.facts.expires_at,
        Some(at(6900 + 7200)),
        "counted from the request, not from the answer"
    );
    assert!(!token.facts.proven && !token.facts.refused);
    token::prove(&bench.db, "profile", first).await.unwrap();
    assert!(!stored(&bench).await.facts.proven, "the older pair says nothing of the newer");
    token::prove(&bench.db, "profile", first + 1).await.unwrap();
    assert!(stored(&bench).await.facts.proven);
    assert_eq!(bench.actions().await["account.refreshed"], 1);
}

async fn a_start_of_the_same_node_takes_its_own_renewal_over_at_once(bench: Bench) {
    connect(&bench).await;
    claim(&bench, "boot-1", 6900, LEASE).await.unwrap();
    assert!(claim(&bench, "boot-1", 6901, LEASE).await.is_none(), "it is under way");
    assert_eq!(token::list_due(&bench.db, at(6901), "a", "boot-2").await.unwrap(), ["profile"]);
    let again = claim(&bench, "boot-2", 6901, LEASE).await.unwrap();
    assert_eq!(again.refresh.as_ref().unwrap().expose_secret(), "planted-refresh-1", "once more the same");
    assert_eq!(stored(&bench).await.facts.presented, 2);
    assert_eq!(record(&bench, &again, 6902, Err(refused())).await, Some(Action::GiveUp { doubt: true }));
    let reason = stored(&bench).await.reason.unwrap();
    assert!(reason.contains("account connect profile") && reason.contains("was lost"), "{reason}");
}

async fn others_take_a_renewal_over_when_its_lease_is_over(bench: Bench) {
    connect(&bench).await;
    let slow = claim(&bench, "boot-1", 6900, Duration::ZERO).await.unwrap();
    let other = stamp_on("b", 6901);
    let taken =
        token::claim(&bench.db, &keys(), &other, "profile", "boot-b", LEASE, &policy()).await.unwrap();
    assert!(!token::is_held(&bench.db, &slow).await.unwrap());
    assert!(token::is_held(&bench.db, &taken.unwrap()).await.unwrap());
}

async fn a_pair_that_comes_late_is_kept_while_none_is_newer(bench: Bench) {
    connect(&bench).await;
    let slow = claim(&bench, "boot-1", 6900, Duration::ZERO).await.unwrap();
    let fast = claim(&bench, "boot-2", 6901, LEASE).await.unwrap();
    record(&bench, &fast, 6902, Err(refused())).await;
    assert_eq!(
        (stored(&bench).await.facts.state, pause(&bench).await.as_deref()),
        (State::Lost, Some("auth"))
    );
    assert_eq!(record(&bench, &slow, 6903, Ok(grant(2))).await, Some(Action::Keep));
    assert_eq!(stored(&bench).await.facts.state, State::Good);
    assert_eq!(
        account::list_due_probe(&bench.db, at(6903)).await.unwrap(),
        ["profile"],
        "it is probed at once"
    );
    // A person was faster: what comes now is of a pair that nobody uses.
    connect(&bench).await;
    assert_eq!(record(&bench, &slow, 6904, Ok(grant(3))).await, None);
    assert_eq!(stored(&bench).await.access(&keys()).unwrap().expose_secret(), "planted-access-1");
}

async fn a_refusal_that_comes_late_changes_nothing(bench: Bench) {
    connect(&bench).await;
    let slow = claim(&bench, "boot-1", 6900, Duration::ZERO).await.unwrap();
    let fast = claim(&bench, "boot-2", 6901, LEASE).await.unwrap();
    assert_eq!(record(&bench, &slow, 6902, Err(refused())).await, None);
    assert_eq!(record(&bench, &slow, 6902, Err(unknown())).await, None);
    assert_eq!(stored(&bench).await.facts.state, State::Refreshing);
    record(&bench, &fast, 6903, Ok(grant(2))).await;
    assert_eq!(record(&bench, &slow, 6904, Err(refused())).await, None);
    assert_eq!(stored(&bench).await.facts.state, State::Good);
}

async fn a_refused_refresh_token_pauses_the_account_until_a_person_connects_it(bench: Bench) {
    connect(&bench).await;
    let claimed = claim(&bench, "boot-1", 6900, LEASE).await.unwrap();
    assert_eq!(record(&bench, &claimed, 6901, Err(refused())).await, Some(Action::GiveUp { doubt: false }));
    assert_eq!(pause(&bench).await.as_deref(), Some("auth"));
    assert!(claim(&bench, "boot-2", 99_999, LEASE).await.is_none(), "it is never presented again");
    assert_eq!(token::list_due(&bench.db, at(99_999), "a", "boot-2").await.unwrap(), Vec::<String>::new());
    token::keep(&bench.db, &keys(), &person(7000), "profile", Origin::Imported, &grant(5), None)
        .await
        .unwrap();
    assert_eq!(pause(&bench).await, None);
    let token = stored(&bench).await;
    assert_eq!((token.facts.state, token.origin.as_str()), (State::Good, "imported"));
    let known = account::find(&bench.db, "profile").await.unwrap().unwrap();
    assert_eq!(known.remote_user, None, "who it is is asked again");
    let actions = bench.actions().await;
    let told = ["account.revoked", "account.paused", "account.imported", "account.resumed"];
    assert_eq!(told.map(|action| actions[action]), [1, 1, 1, 1]);
}

async fn a_failure_of_the_network_pauses_nobody_while_the_token_lasts(bench: Bench) {
    connect(&bench).await;
    let mut second = 6900;
    for (failure, wait) in [(1, 2), (2, 4), (3, 8), (4, 16)] {
        assert!(claim(&bench, "boot-1", second - 1, LEASE).await.is_none(), "not before its time");
        let claimed = claim(&bench, "boot-1", second, LEASE).await.unwrap();
        record(&bench, &claimed, second, Err(unknown())).await;
        let token = stored(&bench).await;
        assert_eq!((token.facts.failures, token.facts.presented), (failure, failure));
        second += wait;
        assert_eq!(token.facts.try_at, at(second));
    }
    assert_eq!(pause(&bench).await, None);
    let claimed = claim(&bench, "boot-1", second, LEASE).await.unwrap();
    let unspent = RefreshError::NotSpent { retry_after: None, reason: "connection refused".into() };
    record(&bench, &claimed, second, Err(unspent)).await;
    assert_eq!(stored(&bench).await.facts.presented, 4, "what did not leave does not count");
    assert_eq!(bench.actions().await["account.refresh_failed"], 5);
}

async fn an_account_without_a_usable_token_stands_still_until_the_next_try(bench: Bench) {
    connect(&bench).await;
    let claimed = claim(&bench, "boot-1", 8000, LEASE).await.unwrap();
    record(&bench, &claimed, 8000, Err(unknown())).await;
    let known = account::find(&bench.db, "profile").await.unwrap().unwrap();
    assert_eq!((known.pause.as_deref(), known.pause_until), (Some("throttle"), at(8002)));
    assert!(known.pause_reason.unwrap().starts_with("its token can't be renewed yet: "));
    let claimed = claim(&bench, "boot-1", 8002, LEASE).await.unwrap();
    record(&bench, &claimed, 8003, Ok(grant(2))).await;
    bench.delivery("profile", crate::model::lane::Lane::Normal, 0).await;
    assert_eq!(account::list_due(&bench.db, at(8003)).await.unwrap(), ["profile"]);
}

async fn a_wrong_app_pauses_for_a_person_and_leaves_the_token(bench: Bench) {
    connect(&bench).await;
    let app = || RefreshError::App { reason: "HTTP 401: invalid_client".into() };
    let claimed = claim(&bench, "boot-1", 8000, LEASE).await.unwrap();
    record(&bench, &claimed, 8000, Err(app())).await;
    assert_eq!(pause(&bench).await.as_deref(), Some("auth"));
    let token = stored(&bench).await;
    assert_eq!((token.facts.state, token.facts.presented), (State::Good, 0));
    // The same again is no news.
    let claimed = claim(&bench, "boot-1", 8100, LEASE).await.unwrap();
    record(&bench, &claimed, 8100, Err(app())).await;
    assert_eq!(bench.actions().await["account.paused"], 1);
}

async fn a_refused_access_token_is_renewed_once(bench: Bench) {
    connect(&bench).await;
    let first = stored(&bench).await.generation;
    assert!(token::refuse(&bench.db, &stamp(100), "profile", first, &policy()).await.unwrap());
    let claimed = claim(&bench, "boot-1", 100, LEASE).await.unwrap();
    assert!(
        token::refuse(&bench.db, &stamp(101), "profile", first, &policy()).await.unwrap(),
        "it is under way"
    );
    record(&bench, &claimed, 102, Ok(grant(2))).await;
    assert!(
        token::refuse(&bench.db, &stamp(103), "profile", first, &policy()).await.unwrap(),
        "it was renewed"
    );
    assert!(
        !token::refuse(&bench.db, &stamp(104), "profile", first + 1, &policy()).await.unwrap(),
        "it never worked"
    );
    assert!(claim(&bench, "boot-1", 105, LEASE).await.is_none());
    assert_eq!(bench.actions().await["account.token_refused"], 1);
}

async fn a_token_of_another_secret_is_not_opened(bench: Bench) {
    connect(&bench).await;
    let other = Keys::derive(&[8; 32]).unwrap();
    assert!(stored(&bench).await.access(&other).is_err());
    let claimed =
        token::claim(&bench.db, &other, &stamp(6900), "profile", "boot-1", LEASE, &policy()).await.unwrap();
    assert!(claimed.unwrap().refresh.is_err());
    // One account's token is not another's, whoever moves it in the database.
    bench.tamper("UPDATE token SET account = 'line' WHERE account = $1", args!["profile"]).await;
    let moved = token::find(&bench.db, "line").await.unwrap().unwrap();
    assert!(moved.access(&keys()).is_err());
}

async fn what_is_forgotten_is_gone(bench: Bench) {
    connect(&bench).await;
    let first = stored(&bench).await.generation;
    assert!(token::forget(&bench.db, &person(1), "profile").await.unwrap());
    assert!(!token::forget(&bench.db, &person(2), "profile").await.unwrap());
    assert_eq!(token::find(&bench.db, "profile").await.unwrap(), None);
    assert_eq!(token::list(&bench.db).await.unwrap(), Vec::<Token>::new());
    assert_eq!(bench.actions().await["account.revoked"], 1);
    // Who signs with what was forgotten must not take the next for the same.
    token::keep(&bench.db, &keys(), &person(3), "profile", Origin::Connected, &grant(2), None).await.unwrap();
    assert!(stored(&bench).await.generation > first + 1);
}
