//! Lease: shows that a dead sender leaves doubt behind.

use std::time::Duration;

use crate::model::attempt::SendError;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::model::transition::Event;
use crate::model::transition::Look;
use crate::store::attempt;
use crate::store::claim;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::db::args;
use crate::store::delivery;
use crate::store::delivery::Refusal;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::at;
use crate::store::test::claim_one;
use crate::store::test::eight_at_once;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::stamp_on;
use crate::store::test::terms;
use crate::store::test::unconfirmed;

on_both_engines!(
    an_expired_lease_becomes_doubt_and_not_a_second_send,
    release_takes_this_nodes_earlier_boots_only,
    finishing_under_an_old_fence_changes_nothing,
    a_late_receipt_settles_doubt,
    an_answer_ends_the_lease_so_that_a_look_is_not_late,
    a_look_is_taken_by_one_node,
    a_look_that_took_too_long_changes_nothing,
    an_account_with_a_refused_credential_is_not_looked_at,
);

/// A claim whose lease has run out on either engine's clock.
fn lost() -> Terms {
    Terms { lease: Duration::ZERO, ..terms() }
}

async fn an_expired_lease_becomes_doubt_and_not_a_second_send(bench: Bench) {
    let claimed = bench.sending_under("page", &lost()).await;
    assert!(bench.claims_nothing("page", 1).await);
    let released = claim::release_lost(&bench.db, &stamp_on("b", 1), "boot-b", |_| policy()).await.unwrap();
    assert_eq!(released, 1);
    let doubtful = bench.find(claimed.id).await;
    assert_eq!(doubtful.facts.state, State::Unconfirmed);
    assert!(bench.claims_nothing("page", 1).await);
    assert_eq!(bench.entries(claimed.id).await, ["scheduled", "sending", "unconfirmed"]);
    let attempts = attempt::list(&bench.db, claimed.id).await.unwrap();
    assert_eq!(attempts[0].outcome.as_deref(), Some("lease_lost"));
    let released = claim::release_lost(&bench.db, &stamp_on("b", 2), "boot-b", |_| policy()).await.unwrap();
    assert_eq!(released, 0);
}

async fn release_takes_this_nodes_earlier_boots_only(bench: Bench) {
    let ours = bench.sending("page").await;
    bench.delivery("profile", Lane::Normal, 0).await;
    let claim = claim_one(&bench.db, &stamp_on("b", 0), "profile", &terms()).await.unwrap();
    let Claim::Sending(theirs) = claim else { panic!("{claim:?}") };
    // The same boot keeps what it sends; another node's start touches neither.
    for (node, boot) in [("a", "boot-1"), ("c", "boot-2")] {
        let released = claim::release_lost(&bench.db, &stamp_on(node, 1), boot, |_| policy()).await.unwrap();
        assert_eq!(released, 0, "{node} {boot}");
    }
    assert_eq!(claim::release_lost(&bench.db, &stamp(1), "boot-2", |_| policy()).await.unwrap(), 1);
    assert_eq!(bench.find(ours.id).await.facts.state, State::Unconfirmed);
    assert_eq!(bench.find(theirs.id).await.facts.state, State::Sending);
}

async fn finishing_under_an_old_fence_changes_nothing(bench: Bench) {
    let old = bench.sending_under("page", &lost()).await;
    claim::release_lost(&bench.db, &stamp(1), "boot-1", |_| policy()).await.unwrap();
    let doubtful = bench.find(old.id).await;
    let late = answered(Err(SendError::Rejected { reason: "late".into() }));
    let applied = finish_one(&bench.db, &stamp(2), &old, late, &policy()).await.unwrap();
    assert_eq!(applied, None);
    assert_eq!(bench.find(old.id).await, doubtful);
    let said = bench.entries(old.id).await;
    assert_eq!(said, ["scheduled", "sending", "unconfirmed", "read_back"]);
}

async fn a_late_receipt_settles_doubt(bench: Bench) {
    let old = bench.sending_under("page", &lost()).await;
    claim::release_lost(&bench.db, &stamp(1), "boot-1", |_| policy()).await.unwrap();
    let late = answered(Ok(receipt("p1")));
    assert!(finish_one(&bench.db, &stamp(2), &old, late, &policy()).await.unwrap().is_some());
    let delivered = bench.find(old.id).await;
    assert_eq!((delivered.facts.state, delivered.remote_id.as_deref()), (State::Delivered, Some("p1")));
    assert_eq!(bench.entries(old.id).await, ["scheduled", "sending", "unconfirmed", "delivered"]);
}

async fn an_answer_ends_the_lease_so_that_a_look_is_not_late(bench: Bench) {
    let claimed = bench.sending("page").await;
    finish_one(&bench.db, &stamp(1), &claimed, answered(Err(unconfirmed())), &policy()).await.unwrap();
    let doubtful = bench.find(claimed.id).await;
    // Due after time-out and confirm_after, while the lease of two minutes would still run.
    bench.tamper("UPDATE delivery SET due_at = $2 WHERE id = $1", args![claimed.id, at(60)]).await;
    assert!(doubtful.facts.due_at > at(60));
    let looked = claim::claim_look(&bench.db, &stamp(60), Duration::from_secs(120)).await.unwrap();
    assert_eq!(looked.map(|looked| looked.id), Some(claimed.id));
}

async fn a_look_is_taken_by_one_node(bench: Bench) {
    let id = bench.doubtful().await;
    let early = claim::claim_look(&bench.db, &stamp(100), Duration::from_secs(120)).await.unwrap();
    assert!(early.is_none());
    let looks = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { claim::claim_look(&db, &stamp(1000), Duration::from_secs(120)).await.unwrap() }
    })
    .await;
    let taken: Vec<i64> = looks.into_iter().flatten().map(|look| look.id).collect();
    assert_eq!(taken, [id]);
}

async fn a_look_that_took_too_long_changes_nothing(bench: Bench) {
    bench.doubtful().await;
    let slow = claim::claim_look(&bench.db, &stamp(1000), Duration::ZERO).await.unwrap().unwrap();
    let fast = claim::claim_look(&bench.db, &stamp(1001), Duration::ZERO).await.unwrap().unwrap();
    assert!(fast.fence > slow.fence);
    let look = |fence| {
        let found = Event::Looked(Look::Found(receipt("p1")));
        let db = bench.db.clone();
        async move {
            delivery::apply(&db, &stamp(1002), slow.id, Some(fence), found.into(), &policy()).await.unwrap()
        }
    };
    assert_eq!(look(slow.fence).await.unwrap_err(), Refusal::TakenOver);
    assert_eq!(look(fast.fence).await.unwrap().facts.state, State::Delivered);
}

async fn an_account_with_a_refused_credential_is_not_looked_at(bench: Bench) {
    bench.doubtful().await;
    bench.tamper("UPDATE account SET pause = 'auth' WHERE name = 'page'", args![]).await;
    let look = claim::claim_look(&bench.db, &stamp(1000), Duration::from_secs(120)).await.unwrap();
    assert!(look.is_none());
}
