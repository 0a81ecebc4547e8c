//! Audit: shows that sealing gives one gapless log, whoever seals.

use crate::model::audit::Action;
use crate::model::audit::Actor;
use crate::model::chain::Chain;
use crate::model::checkpoint::SignedHead;
use crate::model::checkpoint::Signer;
use crate::model::evidence::Checker;
use crate::model::evidence::Trust;
use crate::model::lane::Lane;
use crate::model::merkle;
use crate::store::anchor;
use crate::store::audit;
use crate::store::audit::Filter;
use crate::store::audit::Stamp;
use crate::store::audit::Stray;
use crate::store::db::Error;
use crate::store::db::args;
use crate::store::setting;
use crate::store::signing_key;
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
    the_log_is_filtered_by_person_and_time,
    one_head_stays_for_each_hour_and_each_block,
    one_key_signs_at_a_time,
    a_place_outside_has_its_turn_on_one_node,
    the_settings_of_a_node_are_remembered,
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

async fn the_log_is_filtered_by_person_and_time(bench: Bench) {
    for (second, actor) in [
        (1, Actor::Shell { shell: "som%chai".into() }),
        (2, Actor::User { user: "som_chai".into(), role: None, session: None, address: None }),
        (3, Actor::User { user: "somxchai".into(), role: None, session: None, address: None }),
        (4, Actor::step("somxchai")),
    ] {
        let mut entry = Stamp { at: at(second), node: "a".into(), actor }.entry(Action::HoldOn);
        entry.detail = serde_json::json!({ "reason": "\"actor\":{\"user\":\"somebody\"" });
        audit::record(&bench.db, &entry).await.unwrap();
    }
    let by = |user: &str| Filter { user: Some(user.into()), ..Filter::default() };
    let between =
        |since, until| Filter { since: Some(at(since)), until: Some(at(until)), ..Filter::default() };
    for (filter, expected) in [
        (by("som%chai"), vec![1]),
        (by("som_chai"), vec![2]),
        (by("somxchai"), vec![3]),
        (by("somebody"), vec![]),
        (by(""), vec![]),
        (between(2, 4), vec![2, 3]),
        (between(5, 9), vec![]),
    ] {
        let found = audit::list(&bench.db, &filter).await.unwrap();
        assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

async fn one_head_stays_for_each_hour_and_each_block(bench: Bench) {
    let other = Signer::from_secret("songkhao", &[8; 32]).unwrap();
    for (count, second) in [(3, 0), (3, 5), (3, 3600), (3, 3605), (250, 3610), (1, 3615)] {
        note(&bench, count).await;
        audit::seal(&bench.db, &signer(), at(second)).await.unwrap();
    }
    signing_key::adopt(&bench.db, &stamp(1), other.public_key()).await.unwrap();
    audit::seal(&bench.db, &other, at(3620)).await.unwrap();
    let heads = audit::list_heads(&bench.db).await.unwrap();
    // The last of the first hour, of the first block, of the first key; and the newest.
    assert_eq!(heads.iter().map(|(size, _)| *size).collect::<Vec<_>>(), [6, 12, 263, 264]);
    let kept = bench.count("SELECT count(*) AS n FROM head WHERE chain <> ''", args![]).await;
    assert_eq!(kept, 1);
    assert_eq!(bench.count("SELECT count(*) AS n FROM subtree", args![]).await, 1);
}

async fn one_key_signs_at_a_time(bench: Bench) {
    let other = Signer::from_secret("songkhao", &[8; 32]).unwrap();
    note(&bench, 1).await;
    audit::seal(&bench.db, &signer(), at(0)).await.unwrap();
    note(&bench, 1).await;
    let refused = audit::seal(&bench.db, &other, at(0)).await.unwrap_err();
    assert!(matches!(refused, Error::OtherKey { .. }), "{refused}");
    for (key, former) in [(&other, Some(&signer())), (&other, None), (&signer(), Some(&other))] {
        let found = signing_key::adopt(&bench.db, &stamp(1), key.public_key()).await.unwrap();
        assert_eq!(found, former.map(|former| former.public_key().to_string()));
        assert_eq!(signing_key::list(&bench.db).await.unwrap().last(), Some(key.public_key()));
    }
    let changes = Filter { action: Some("audit.key_changed".into()), ..Filter::default() };
    assert_eq!(audit::list(&bench.db, &changes).await.unwrap().len(), 2);
    assert_eq!(audit::seal(&bench.db, &signer(), at(2)).await.unwrap(), 3);
}

async fn a_place_outside_has_its_turn_on_one_node(bench: Bench) {
    anchor::ensure(&bench.db, &["file", "mail"]).await.unwrap();
    anchor::ensure(&bench.db, &["file", "webhook"]).await.unwrap();
    let places: Vec<String> =
        anchor::list(&bench.db).await.unwrap().into_iter().map(|anchor| anchor.place).collect();
    assert_eq!(places, ["file", "webhook"]);
    let claimed = eight_at_once(|_| {
        let db = bench.db.clone();
        async move { anchor::claim(&db, at(0), at(60)).await.unwrap().map(|anchor| anchor.place) }
    })
    .await;
    assert_eq!(claimed.iter().flatten().count(), 2, "{claimed:?}");
    anchor::arrived(&bench.db, "file", 12, at(1), at(100)).await.unwrap();
    anchor::failed(&bench.db, "webhook", "no answer", at(10)).await.unwrap();
    assert_eq!(anchor::next_moment(&bench.db).await.unwrap(), Some(at(10)));
    assert_eq!(anchor::claim(&bench.db, at(9), at(70)).await.unwrap(), None);
    let again = anchor::claim(&bench.db, at(10), at(70)).await.unwrap().unwrap();
    assert_eq!(
        (again.place.as_str(), again.failures, again.error.as_deref()),
        ("webhook", 1, Some("no answer"))
    );
    anchor::forget(&bench.db, "file").await.unwrap();
    assert_eq!(anchor::claim(&bench.db, at(11), at(70)).await.unwrap().unwrap().size, 0);
}

async fn the_settings_of_a_node_are_remembered(bench: Bench) {
    let settings = |poll: &str| [("source.inn.poll".to_owned(), poll.to_owned())].into();
    for poll in ["1m", "2m"] {
        setting::replace(&bench.db, &stamp(1).entry(Action::ConfigLoaded), &settings(poll)).await.unwrap();
        assert_eq!(setting::find(&bench.db, "a").await.unwrap(), Some(settings(poll)));
    }
    assert_eq!(setting::find(&bench.db, "b").await.unwrap(), None);
}
