//! Hold: which lanes on which accounts it stops, and that lifting is told.

use crate::model::lane::Lane;
use crate::store::hold;
use crate::store::test::Bench;
use crate::store::test::on_both_engines;
use crate::store::test::person;

on_both_engines!(
    a_hold_stops_its_lanes_on_its_accounts,
    a_hold_without_names_stops_everything,
    every_hold_is_lifted_at_once_and_told_once,
);

async fn stopped(bench: &Bench, account: &str) -> Vec<Lane> {
    let holds = hold::list(&bench.db).await.unwrap();
    Lane::ALL.into_iter().filter(|lane| holds.iter().any(|hold| hold.stops(account, *lane))).collect()
}

async fn a_hold_stops_its_lanes_on_its_accounts(bench: Bench) {
    let accounts = ["page".to_owned(), "line".to_owned()];
    hold::set(&bench.db, &person(0), "ไว้อาลัย", &[Lane::Promotion], &accounts).await.unwrap();
    assert_eq!(stopped(&bench, "page").await, [Lane::Promotion]);
    assert_eq!(stopped(&bench, "line").await, [Lane::Promotion]);
    assert_eq!(stopped(&bench, "profile").await, []);
    hold::set(&bench.db, &person(1), "ช้าก่อน", &[Lane::Normal], &[]).await.unwrap();
    assert_eq!(stopped(&bench, "page").await, [Lane::Normal, Lane::Promotion]);
    assert_eq!(stopped(&bench, "profile").await, [Lane::Normal]);
}

async fn a_hold_without_names_stops_everything(bench: Bench) {
    hold::set(&bench.db, &person(0), "หยุด", &[], &[]).await.unwrap();
    assert_eq!(stopped(&bench, "page").await, Lane::ALL);
    assert_eq!(stopped(&bench, "an account of tomorrow").await, Lane::ALL);
    let holds = hold::list(&bench.db).await.unwrap();
    assert_eq!((holds[0].reason.as_str(), holds[0].set_by.as_str()), ("หยุด", "somchai"));
    assert_eq!((&holds[0].lane, &holds[0].account), (&None, &None));
}

async fn every_hold_is_lifted_at_once_and_told_once(bench: Bench) {
    assert_eq!(hold::lift_all(&bench.db, &person(0)).await.unwrap(), 0);
    hold::set(&bench.db, &person(0), "หนึ่ง", &[Lane::Normal, Lane::Promotion], &[]).await.unwrap();
    assert_eq!(hold::lift_all(&bench.db, &person(1)).await.unwrap(), 2);
    assert_eq!(hold::lift_all(&bench.db, &person(2)).await.unwrap(), 0);
    assert_eq!(hold::list(&bench.db).await.unwrap(), []);
    assert_eq!(stopped(&bench, "page").await, []);
    let actions = bench.actions().await;
    assert_eq!((actions["hold.on"], actions["hold.off"]), (1, 1));
}
