//! Audit: shows that sealing gives one gapless log, whoever seals.

use crate::model::audit::Action;
use crate::model::chain::Chain;
use crate::model::checkpoint::SignedHead;
use crate::model::checkpoint::Signer;
use crate::model::evidence::Checker;
use crate::model::evidence::Trust;
use crate::model::lane::Lane;
use crate::model::merkle;
use crate::store::audit;
use crate::store::audit::Filter;
use crate::store::audit::Stray;
use crate::store::db::args;
use crate::store::test::Bench;
use crate::store::test::at;
use crate::store::test::eight_at_once;
use crate::store::test::on_both_engines;
use crate::store::test::person;
use crate::store::test::stamp;

on_both_engines!(
    sealing_from_eight_tasks_gives_one_gapless_log,
    sealing_beside_writers_loses_nothing,
    nothing_to_seal_signs_no_head,
    sealing_goes_on_where_it_stopped,
    a_damaged_head_stops_sealing_and_says_so,
    an_entry_that_was_slipped_in_is_a_stray,
    an_entry_keeps_its_bytes,
    the_log_is_filtered_and_shown_oldest_first,
);

fn signer() -> Signer {
    Signer::from_secret("songkhao", &[7; 32]).unwrap()
}

async fn note(bench: &Bench, count: i64) {
    for number in 0..count {
        let mut entry = stamp(number).entry(Action::ClockJumped);
        entry.detail = serde_json::json!({ "seconds": number });
        audit::record(&bench.db, &entry).await.unwrap();
    }
}

/// Checks every sealed entry against the newest head; their number.
async fn verified(bench: &Bench) -> u64 {
    let head: SignedHead = audit::newest_head(&bench.db).await.unwrap().unwrap().parse().unwrap();
    let mut checker = Checker::new(Chain::new(), Vec::new());
    for sealed in audit::list_sealed(&bench.db, 0, 10_000).await.unwrap() {
        let link = merkle::from_hex(sealed.link.unwrap().as_bytes()).unwrap();
        checker.entry(sealed.seq.unwrap(), &link, sealed.entry.as_bytes()).unwrap();
    }
    let key = signer().public_key().clone();
    checker.finish(&head, key, Vec::new(), Trust::Given).unwrap().size
}

async fn sealing_from_eight_tasks_gives_one_gapless_log(bench: Bench) {
    note(&bench, 40).await;
    let sealed = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { audit::seal(&db, &signer(), at(50)).await.unwrap() }
    })
    .await;
    assert_eq!(sealed.iter().sum::<u64>(), 40);
    assert_eq!(verified(&bench).await, 40);
    assert_eq!(audit::count_unsealed(&bench.db).await.unwrap(), 0);
    assert_eq!(audit::count_sealed(&bench.db).await.unwrap(), 40);
}

async fn sealing_beside_writers_loses_nothing(bench: Bench) {
    let bench = std::sync::Arc::new(bench);
    eight_at_once(|number| {
        let bench = bench.clone();
        async move {
            for _ in 0..5 {
                if number % 2 == 0 {
                    note(&bench, 2).await;
                } else {
                    audit::seal(&bench.db, &signer(), at(1)).await.unwrap();
                }
            }
        }
    })
    .await;
    audit::seal(&bench.db, &signer(), at(2)).await.unwrap();
    assert_eq!(verified(&bench).await, 40);
}

async fn nothing_to_seal_signs_no_head(bench: Bench) {
    assert_eq!(audit::seal(&bench.db, &signer(), at(0)).await.unwrap(), 0);
    assert_eq!(audit::newest_head(&bench.db).await.unwrap(), None);
}

async fn sealing_goes_on_where_it_stopped(bench: Bench) {
    for total in [3, 6, 9] {
        note(&bench, 3).await;
        assert_eq!(audit::seal(&bench.db, &signer(), at(0)).await.unwrap(), 3);
        assert_eq!(verified(&bench).await, total);
    }
    assert_eq!(bench.count("SELECT count(*) AS n FROM head", args![]).await, 1);
}

async fn a_damaged_head_stops_sealing_and_says_so(bench: Bench) {
    note(&bench, 1).await;
    audit::seal(&bench.db, &signer(), at(0)).await.unwrap();
    bench.tamper("UPDATE head SET chain = 'x'", args![]).await;
    note(&bench, 1).await;
    let error = audit::seal(&bench.db, &signer(), at(0)).await.unwrap_err().to_string();
    assert!(error.contains("column chain holds \"x\""), "{error}");
    assert_eq!(audit::count_unsealed(&bench.db).await.unwrap(), 1);
}

async fn an_entry_that_was_slipped_in_is_a_stray(bench: Bench) {
    note(&bench, 2).await;
    audit::seal(&bench.db, &signer(), at(0)).await.unwrap();
    note(&bench, 1).await;
    assert_eq!(audit::list_stray(&bench.db).await.unwrap(), []);
    let sql = "INSERT INTO audit (id, at, action, entry) VALUES (77, 0, 'daemon.started', '{}')";
    bench.tamper(sql, args![]).await;
    assert_eq!(audit::list_stray(&bench.db).await.unwrap(), [Stray::Homeless(77)]);
    bench.tamper("INSERT INTO unsealed (audit) VALUES (1), (78)", args![]).await;
    let found = [Stray::Homeless(77), Stray::Twice(1), Stray::Absent(78)];
    assert_eq!(audit::list_stray(&bench.db).await.unwrap(), found);
}

async fn an_entry_keeps_its_bytes(bench: Bench) {
    let mut entry = person(1).entry(Action::PostApproved);
    entry.detail = serde_json::json!({ "reason": "“น้ำท่วม” \u{200b}\u{202e}\n\t\u{0} 👩‍🚒" });
    entry.payload = Some("{\"text\":\"ข่าว\\u0000\"}".into());
    audit::record(&bench.db, &entry).await.unwrap();
    let shown = audit::list(&bench.db, &Filter::default()).await.unwrap();
    assert_eq!(shown[0].entry, entry.canonical());
}

async fn the_log_is_filtered_and_shown_oldest_first(bench: Bench) {
    bench.delivery("page", Lane::Normal, 0).await;
    bench.delivery("line", Lane::Normal, 0).await;
    let filters = [
        (Filter::default(), 4),
        (Filter { account: Some("line".into()), ..Filter::default() }, 2),
        (Filter { post: Some(1), ..Filter::default() }, 2),
        (Filter { action: Some("delivery.scheduled".into()), ..Filter::default() }, 2),
        (Filter { article: Some(1), ..Filter::default() }, 0),
        (Filter { since: Some(at(1)), ..Filter::default() }, 0),
        (Filter { limit: Some(3), ..Filter::default() }, 3),
    ];
    for (filter, expected) in filters {
        let ids: Vec<i64> =
            audit::list(&bench.db, &filter).await.unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), expected, "{filter:?}");
        assert!(ids.is_sorted());
    }
    let last = Filter { limit: Some(1), ..Filter::default() };
    assert_eq!(audit::list(&bench.db, &last).await.unwrap()[0].id, 4);
}
