//! Turn: answers and claims that share a commit, each by its own rules.

use crate::model::delivery::Delivery;
use crate::model::delivery::State;
use crate::model::lane::Lane;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::claim::Wish;
use crate::store::db::args;
use crate::store::delivery::Happening;
use crate::store::finish::Outcome;
use crate::store::hold;
use crate::store::test::Bench;
use crate::store::test::answered;
use crate::store::test::finish_one;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::policy;
use crate::store::test::receipt;
use crate::store::test::stamp;
use crate::store::test::terms;
use crate::store::test::unconfirmed;
use crate::store::turn;
use std::time::Duration;

on_both_engines!(
    one_turn_claims_on_every_account_that_may_send,
    each_account_is_held_to_its_own_terms,
    one_turn_records_every_answer,
    an_account_goes_on_in_the_turn_that_records_its_answer,
    a_spaced_account_waits_after_its_answer,
    a_lost_lease_among_many_answers_spoils_none,
    a_turn_that_fails_changes_nothing,
);

fn wish(account: &str, terms: Terms) -> Wish {
    Wish { account: account.to_owned(), terms }
}

fn wishes(accounts: &[&str]) -> Vec<Wish> {
    accounts.iter().map(|account| wish(account, terms())).collect()
}

fn outcome(claimed: &Delivery, happening: Happening) -> Outcome {
    Outcome { claimed: claimed.clone(), happening, policy: policy() }
}

/// What a claim came to, in a word.
fn word(claim: &Claim) -> String {
    match claim {
        Claim::Nothing => "nothing".to_owned(),
        Claim::Moved(state) => state.to_string(),
        Claim::Stale { .. } => "stale".to_owned(),
        Claim::Forgot(gap) => format!("forgot since {}", gap.since),
        Claim::Sending(delivery) => format!("sending on {}", delivery.account),
    }
}

async fn one_turn_claims_on_every_account_that_may_send(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    bench.delivery("line", Lane::Breaking, 0).await;
    let turn = turn::turn(&bench.db, &stamp(0), &[], &wishes(&["line", "profile", "page"])).await.unwrap();
    let words: Vec<String> = turn.claims.iter().map(word).collect();
    assert_eq!(words, ["sending on line", "nothing", "sending on page"]);
    assert_eq!(bench.count("SELECT count(*) AS n FROM attempt", args![]).await, 2);
    let leased =
        "SELECT count(*) AS n FROM delivery WHERE state = 'sending' AND fence = 1 AND retry_key IS NOT NULL
                     AND lease_owner = 'a' AND lease_boot = 'boot-1' AND lease_until > 0";
    assert_eq!(bench.count(leased, args![]).await, 2);
}

async fn each_account_is_held_to_its_own_terms(bench: Bench) {
    for account in ["page", "profile", "line"] {
        bench.delivery(account, Lane::Normal, 0).await;
    }
    hold::set(&bench.db, &person(0), "รอก่อน", &[], &["page".to_owned()]).await.unwrap();
    let wishes = [
        wish("page", terms()),
        wish("profile", Terms { quiet: true, ..terms() }),
        wish("line", Terms { shadow: true, ..terms() }),
    ];
    let turn = turn::turn(&bench.db, &stamp(0), &[], &wishes).await.unwrap();
    let words: Vec<String> = turn.claims.iter().map(word).collect();
    assert_eq!(words, ["held", "nothing", "cancelled"]);
}

async fn one_turn_records_every_answer(bench: Bench) {
    let (page, line) = (bench.sending("page").await, bench.sending("line").await);
    let outcomes =
        [outcome(&line, answered(Err(unconfirmed()))), outcome(&page, answered(Ok(receipt("p1"))))];
    let turn = turn::turn(&bench.db, &stamp(1), &outcomes, &[]).await.unwrap();
    let states: Vec<State> = turn.finished.iter().flatten().map(|next| next.facts.state).collect();
    assert_eq!(states, [State::Unconfirmed, State::Delivered]);
    assert_eq!(bench.find(page.id).await.remote_id.as_deref(), Some("p1"));
    assert_eq!(bench.find(line.id).await.remote_id, None);
    let closed = "SELECT count(*) AS n FROM attempt WHERE finished_at IS NOT NULL AND outcome IN ('unconfirmed', 'delivered')";
    assert_eq!(bench.count(closed, args![]).await, 2);
}

async fn an_account_goes_on_in_the_turn_that_records_its_answer(bench: Bench) {
    let first = bench.sending("page").await;
    let second = bench.delivery("page", Lane::Normal, 0).await;
    let outcomes = [outcome(&first, answered(Ok(receipt("p1"))))];
    let turn = turn::turn(&bench.db, &stamp(1), &outcomes, &wishes(&["page"])).await.unwrap();
    let [Claim::Sending(next)] = &turn.claims[..] else { panic!("{turn:?}") };
    assert_eq!(next.id, second);
    assert_eq!(bench.find(first.id).await.facts.state, State::Delivered);
}

async fn a_spaced_account_waits_after_its_answer(bench: Bench) {
    let spaced = Terms { min_gap: Duration::from_secs(30), ..terms() };
    let first = bench.sending_under("page", &spaced).await;
    bench.delivery("page", Lane::Normal, 0).await;
    let outcomes = [outcome(&first, answered(Ok(receipt("p1"))))];
    let wishes = [wish("page", spaced)];
    let turn = turn::turn(&bench.db, &stamp(1), &outcomes, &wishes).await.unwrap();
    assert_eq!(word(&turn.claims[0]), "nothing");
    let turn = turn::turn(&bench.db, &stamp(30), &[], &wishes).await.unwrap();
    assert_eq!(word(&turn.claims[0]), "sending on page");
}

async fn a_lost_lease_among_many_answers_spoils_none(bench: Bench) {
    let (page, line) = (bench.sending("page").await, bench.sending("line").await);
    let lost = Delivery { fence: page.fence - 1, ..page.clone() };
    let outcomes =
        [outcome(&lost, answered(Err(unconfirmed()))), outcome(&line, answered(Ok(receipt("l1"))))];
    let turn = turn::turn(&bench.db, &stamp(1), &outcomes, &[]).await.unwrap();
    assert!(matches!(&turn.finished[..], [None, Some(_)]), "{turn:?}");
    assert_eq!(bench.find(page.id).await.facts.state, State::Sending);
    assert_eq!(bench.entries(page.id).await, ["scheduled", "sending", "read_back"]);
    assert_eq!(bench.find(line.id).await.facts.state, State::Delivered);
}

async fn a_turn_that_fails_changes_nothing(bench: Bench) {
    let page = bench.sending("page").await;
    bench.delivery("line", Lane::Normal, 0).await;
    bench.tamper("UPDATE delivery SET act = 'sung' WHERE account = 'line'", args![]).await;
    let outcomes = [outcome(&page, answered(Ok(receipt("p1"))))];
    assert!(turn::turn(&bench.db, &stamp(1), &outcomes, &wishes(&["line"])).await.is_err());
    assert_eq!(bench.find(page.id).await.facts.state, State::Sending);
    let recorded = finish_one(&bench.db, &stamp(2), &page, answered(Ok(receipt("p1"))), &policy()).await;
    assert!(recorded.unwrap().is_some(), "and the outcome can be offered again");
}
