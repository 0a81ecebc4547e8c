//! Gauge: what waits is counted where it waits.

use crate::model::lane::Lane;
use crate::store::audit;
use crate::store::gauge;
use crate::store::gauge::Gauges;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::on_both_engines;

on_both_engines!(an_empty_newsroom_waits_for_nothing, what_waits_is_counted_by_account_lane_and_state);

async fn an_empty_newsroom_waits_for_nothing(bench: Bench) {
    gauge::probe(&bench.db).await.unwrap();
    let gauges = gauge::read(&bench.db, at(0)).await.unwrap();
    assert_eq!(gauges, Gauges::default());
}

async fn what_waits_is_counted_by_account_lane_and_state(bench: Bench) {
    bench.delivery("page", Lane::Normal, 10).await;
    bench.delivery("page", Lane::Normal, 5).await;
    bench.delivery("page", Lane::Normal, 99).await;
    bench.delivery("page", Lane::Breaking, 99).await;
    bench.sending("line").await;
    bench.article("a", "ข่าว").await;
    let gauges = gauge::read(&bench.db, at(50)).await.unwrap();
    let queue: Vec<_> = gauges
        .queue
        .iter()
        .map(|queue| (queue.account.as_str(), queue.lane, queue.depth, queue.due, queue.first_due_at))
        .collect();
    assert_eq!(queue, [("page", Lane::Breaking, 1, 0, at(99)), ("page", Lane::Normal, 3, 2, at(5))]);
    let stuck: Vec<_> = gauges
        .stuck
        .iter()
        .map(|it| (it.account.as_str(), it.state.as_str(), it.deliveries, it.since))
        .collect();
    assert_eq!(stuck, [("line", "sending", 1, at(0))]);
    assert_eq!((gauges.settling, gauges.unread, gauges.review), (1, 0, 0));
    assert_eq!(gauges.unsealed, audit::count_unsealed(&bench.db).await.unwrap());
    assert!(gauges.unsealed > 0 && gauges.head_at.is_none());
}
