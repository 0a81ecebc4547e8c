//! Tamper: changes rows of the audit log as somebody who holds the database would; every change must be found.
//!
//! And found where it is: the first entry that is not as it was sealed. Exports are treated so beside their code
//! (`model::export`); here it is the tables. SONGKHAO_MUTATIONS says how many of each kind are tried.

use std::path::Path;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;
use tempfile::TempDir;

use songkhao::model::audit::Action;
use songkhao::model::audit::Actor;
use songkhao::model::audit::Entry;
use songkhao::model::checkpoint::SignedHead;
use songkhao::model::checkpoint::Signer;
use songkhao::model::evidence::Broken;
use songkhao::model::evidence::Verdict;
use songkhao::model::export::verify_export;
use songkhao::model::post::Payload;
use songkhao::model::receipt::verify_receipt;
use songkhao::pipeline::archive;
use songkhao::pipeline::export;
use songkhao::pipeline::prove;
use songkhao::pipeline::verify;
use songkhao::store::audit;
use songkhao::store::audit::Stamp;
use songkhao::store::db::Db;
use songkhao::store::db::Value;
use songkhao::store::signing_key;

use crate::dice::Dice;

/// Sealed in runs of ten, an hour apart, so that heads stay between them.
const ENTRIES: u64 = 60;
const RUN: u64 = 10;

const TABLES: &[&str] = &["audit", "seal", "head", "unsealed"];

fn mutations() -> usize {
    std::env::var("SONGKHAO_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000)
}

fn signer(seed: u8) -> Signer {
    Signer::from_secret("songkhao", &[seed; 32]).unwrap()
}

fn at(number: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_373_992, 0).unwrap() + TimeDelta::minutes(number as i64 * 7)
}

fn stamp(number: u64) -> Stamp {
    Stamp { at: at(number), node: "a".to_owned(), actor: Actor::step("deliver") }
}

fn entry(number: u64) -> Entry {
    let mut entry = stamp(number).entry(Action::DeliveryDelivered);
    entry.post = Some(number.to_string());
    entry.delivery = Some((number + 1000).to_string());
    entry.account = Some(["page", "profile", "line"][number as usize % 3].to_owned());
    entry.article = Some((number / 3).to_string());
    entry.payload = Some(Payload::freeze(format!("ข่าว {number}"), String::new(), None).body);
    entry.detail = json!({ "attempt": 1, "status": 200, "reason": "ฝนตกหนักทั่วกรุงเทพฯ" });
    entry
}

/// A sealed log in a database of its own, in memory where the system has a place for that.
struct Log {
    db: Db,
    folder: TempDir,
}

impl Log {
    async fn open() -> Log {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        Log { db: Db::open(&url, at(0)).await.unwrap(), folder }
    }

    /// With `count` entries, sealed in runs of `run`.
    async fn with(count: u64, run: u64) -> Log {
        let log = Log::open().await;
        log.go_on(0, count, run, &signer(7)).await;
        log
    }

    async fn go_on(&self, from: u64, to: u64, run: u64, signer: &Signer) {
        let mut number = from;
        while number < to {
            let mut tx = self.db.begin().await.unwrap();
            for number in number..to.min(number + run) {
                audit::append(&mut tx, &entry(number)).await.unwrap();
            }
            tx.commit().await.unwrap();
            number = to.min(number + run);
            audit::seal(&self.db, signer, at(number)).await.unwrap();
        }
    }

    async fn run(&self, sql: &'static str, values: Vec<Value>) {
        let mut tx = self.db.begin().await.unwrap();
        tx.execute(sql, values).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn verify(&self, older: Vec<SignedHead>) -> Result<Verdict, Broken> {
        verify::database(&self.db, signer(7).public_key(), older).await.unwrap().verdict.unwrap()
    }

    async fn head(&self) -> SignedHead {
        audit::newest_head(&self.db).await.unwrap().unwrap().parse().unwrap()
    }

    async fn expect(&self, older: Vec<SignedHead>, seq: Option<u64>, fault: &str) {
        let broken = self.verify(older).await.unwrap_err();
        assert!(broken.to_string().contains(fault), "{broken}");
        assert_eq!(broken.seq, seq, "{broken}");
        assert!(broken.fault.cure().len() > 20);
    }

    /// Copies the tables, so that [`Log::restore`] can undo whatever is done to them.
    async fn keep(&self) {
        let mut tx = self.db.begin().await.unwrap();
        for table in TABLES {
            tx.script(sqlx::AssertSqlSafe(format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")))
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn restore(&self) {
        let mut tx = self.db.begin().await.unwrap();
        for table in TABLES {
            let sql = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}");
            tx.script(sqlx::AssertSqlSafe(sql)).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// The audit row of the entry `seq`.
    fn row(seq: u64) -> i64 {
        seq as i64 + 1
    }

    async fn entry(&self, seq: u64) -> String {
        let sql = "SELECT entry FROM audit WHERE id = $1";
        let row = self.db.one(sql, vec![Value::from(Log::row(seq))]).await.unwrap();
        row.unwrap().text("entry").unwrap()
    }
}

/// One character of one entry is changed, removed or added. Returns the entry.
async fn change_a_byte(log: &Log, dice: &mut Dice) -> Option<u64> {
    let seq = dice.below(ENTRIES);
    let good = log.entry(seq).await;
    let mut letters: Vec<char> = good.chars().collect();
    let place = dice.below(letters.len() as u64) as usize;
    match dice.below(3) {
        0 => letters[place] = char::from(b' ' + dice.below(95) as u8),
        1 => drop(letters.remove(place)),
        _ => letters.insert(place, char::from(b' ' + dice.below(95) as u8)),
    }
    let changed: String = letters.into_iter().collect();
    if changed == good {
        return None;
    }
    let sql = "UPDATE audit SET entry = $2 WHERE id = $1";
    log.run(sql, vec![Value::from(Log::row(seq)), Value::from(changed)]).await;
    Some(seq)
}

/// A row is deleted, emptied, or filed under something else.
async fn change_a_row(log: &Log, dice: &mut Dice) -> Option<u64> {
    let seq = dice.below(ENTRIES);
    let (row, place) = (vec![Value::from(Log::row(seq))], vec![Value::from(seq as i64)]);
    match dice.below(11) {
        0 => log.run("DELETE FROM audit WHERE id = $1", row).await,
        1 => log.run("DELETE FROM seal WHERE seq = $1", place).await,
        2 => log.run("UPDATE audit SET entry = '' WHERE id = $1", row).await,
        3 => log.run("UPDATE audit SET at = at + 1 WHERE id = $1", row).await,
        4 => log.run("UPDATE audit SET action = 'delivery.failed' WHERE id = $1", row).await,
        5 => log.run("UPDATE audit SET account = 'elsewhere' WHERE id = $1", row).await,
        6 => log.run("UPDATE audit SET post = NULL WHERE id = $1", row).await,
        7 => log.run("UPDATE audit SET article = article + 1 WHERE id = $1", row).await,
        8 => log.run("UPDATE audit SET delivery = delivery + 1 WHERE id = $1", row).await,
        9 => log.run("UPDATE seal SET link = substr(link, 2) || 'g' WHERE seq = $1", place).await,
        _ => log.run("UPDATE seal SET audit = 9999 WHERE seq = $1", place).await,
    }
    Some(seq)
}

/// Two entries change places, in one table or the other.
async fn change_the_order(log: &Log, dice: &mut Dice) -> Option<u64> {
    let (one, other) = (dice.below(ENTRIES), dice.below(ENTRIES));
    if one == other {
        return None;
    }
    let places = vec![Value::from(one as i64), Value::from(other as i64)];
    let rows = vec![Value::from(Log::row(one)), Value::from(Log::row(other))];
    if dice.below(2) == 0 {
        let sql = "UPDATE seal SET seq = CASE seq WHEN $1 THEN -1 ELSE -2 END WHERE seq IN ($1, $2)";
        log.run(sql, places.clone()).await;
        log.run("UPDATE seal SET seq = CASE seq WHEN -1 THEN $2 ELSE $1 END WHERE seq < 0", places).await;
    } else {
        let sql = "UPDATE audit SET id = CASE id WHEN $1 THEN -1 ELSE -2 END WHERE id IN ($1, $2)";
        log.run(sql, rows.clone()).await;
        log.run("UPDATE audit SET id = CASE id WHEN -1 THEN $2 ELSE $1 END WHERE id < 0", rows).await;
    }
    Some(one.min(other))
}

/// An entry is put in: between two others, behind the last one, or without a place.
async fn insert_an_entry(log: &Log, dice: &mut Dice) -> Option<Option<u64>> {
    let place = dice.below(ENTRIES + 1);
    let forged = entry(5000 + dice.below(1000));
    let sql = "INSERT INTO audit (id, at, action, article, post, delivery, account, entry)
               SELECT 7777, $2, action, $3, $4, $5, $6, $1 FROM audit WHERE id = 1";
    let number = |id: &Option<String>| Value::from(id.as_ref().and_then(|id| id.parse::<i64>().ok()));
    let values = vec![
        Value::from(forged.canonical()),
        Value::from(forged.at),
        number(&forged.article),
        number(&forged.post),
        number(&forged.delivery),
        Value::from(&forged.account),
    ];
    log.run(sql, values).await;
    if dice.below(4) == 0 {
        return Some(None);
    }
    let here = vec![Value::from(place as i64)];
    log.run("UPDATE seal SET seq = -1 - seq WHERE seq >= $1", here.clone()).await;
    log.run("UPDATE seal SET seq = -seq WHERE seq < 0", Vec::new()).await;
    let sql = "INSERT INTO seal (seq, audit, link) SELECT $1, 7777, link FROM seal WHERE seq = 0";
    let first = "INSERT INTO seal (seq, audit, link) SELECT $1, 7777, link FROM seal WHERE seq = 1";
    log.run(if place == 0 { first } else { sql }, here).await;
    Some(Some(place))
}

/// The last entries are cut off; half of the time the heads beyond them too, as a restored copy would look.
async fn cut_the_tail(log: &Log, dice: &mut Dice) -> Option<u64> {
    let like_a_copy = dice.below(2) == 0;
    let size = if like_a_copy { RUN * (1 + dice.below(ENTRIES / RUN - 1)) } else { dice.below(ENTRIES) };
    let (row, place) = (vec![Value::from(Log::row(size))], vec![Value::from(size as i64)]);
    log.run("DELETE FROM audit WHERE id >= $1", row).await;
    log.run("DELETE FROM seal WHERE seq >= $1", place.clone()).await;
    if like_a_copy {
        log.run("DELETE FROM head WHERE size > $1", place).await;
    }
    Some(size)
}

#[tokio::test]
async fn every_change_of_the_rows_is_found_at_the_first_entry_it_touches() {
    let log = Log::with(ENTRIES, RUN).await;
    assert_eq!(log.verify(vec![log.head().await]).await.unwrap().size, ENTRIES);
    let kept = [log.head().await];
    log.keep().await;
    let mut dice = Dice::new(5);
    let mut counts = [0; 5];
    for (kind, found) in counts.iter_mut().enumerate() {
        while *found < mutations() {
            let expected = match kind {
                0 => change_a_byte(&log, &mut dice).await.map(Some),
                1 => change_a_row(&log, &mut dice).await.map(Some),
                2 => change_the_order(&log, &mut dice).await.map(Some),
                3 => insert_an_entry(&log, &mut dice).await,
                _ => cut_the_tail(&log, &mut dice).await.map(Some),
            };
            let Some(expected) = expected else { continue };
            let broken = log.verify(kept.to_vec()).await.expect_err("a changed log verifies");
            assert_eq!(broken.seq, expected, "kind {kind}, number {found}: {broken}");
            *found += 1;
            log.restore().await;
        }
    }
    println!("found in the database: byte, row, order, insertion, tail: {counts:?}");
    assert!(log.verify(Vec::new()).await.is_ok());
}

#[tokio::test]
async fn what_songkhao_keeps_beside_the_entries_is_checked_too() {
    for (change, seq, fault) in [
        (
            "UPDATE subtree SET hash = substr(hash, 2) || 'g' WHERE number = 1",
            Some(256),
            "a wrong hash of entries 256 to 511",
        ),
        ("UPDATE head SET chain = replace(chain, '600', '601')", None, "a wrong state of the log"),
        (
            "UPDATE head SET note = replace(note, 'songkhao', 'sangkhao') WHERE size = 600",
            None,
            "signed by sangkhao+",
        ),
        ("UPDATE head SET size = 601 WHERE size = 600", Some(601), "files the head of another size"),
        ("DELETE FROM head", None, "has no signed head"),
        (
            "INSERT INTO unsealed (audit) VALUES (9)",
            None,
            "audit row 9 wait to be sealed, which is sealed already",
        ),
        ("INSERT INTO unsealed (audit) VALUES (9999)", None, "has lost audit row 9999"),
        ("UPDATE signing_key SET vkey = 'x'", None, "a damaged key"),
        ("INSERT INTO archive (size, chain, archived_at) VALUES (3, 'x', 0)", None, "a damaged state"),
    ] {
        let log = Log::with(600, 300).await;
        assert!(log.verify(Vec::new()).await.is_ok());
        log.run(change, Vec::new()).await;
        log.expect(Vec::new(), seq, fault).await;
    }
}

#[tokio::test]
async fn a_receipt_needs_no_kept_hash_but_is_made_from_them_where_they_are() {
    let log = Log::with(600, 300).await;
    let head = log.head().await;
    for change in
        [None, Some("UPDATE subtree SET hash = substr(hash, 2) || '0'"), Some("DELETE FROM subtree")]
    {
        if let Some(change) = change {
            log.run(change, Vec::new()).await;
        }
        let receipt = prove::post(&log.db, &signer(7), &head, 3).await.unwrap().unwrap();
        let proven = verify_receipt(receipt.to_json().as_bytes(), None);
        // The wrong hashes were used, and show.
        assert_eq!(proven.is_ok(), change.is_none_or(|change| change.starts_with("DELETE")), "{change:?}");
    }
    let older = head_at(&log, 300).await;
    let receipt = prove::extension(&log.db, &signer(7), &head, &older).await.unwrap().unwrap();
    assert_eq!(verify_receipt(receipt.to_json().as_bytes(), None).unwrap().extends, Some(300));
}

/// The head that is kept of `size` entries.
async fn head_at(log: &Log, size: u64) -> SignedHead {
    let heads = audit::list_heads(&log.db).await.unwrap();
    heads.into_iter().find(|(kept, _)| *kept == size).unwrap().1.parse().unwrap()
}

async fn exported(log: &Log, signer: &Signer) -> Vec<u8> {
    export::write(&log.db, signer, &log.head().await, Vec::new()).await.unwrap()
}

#[tokio::test]
async fn a_changed_key_is_an_entry_and_no_other_process_goes_on_under_the_old_one() {
    let log = Log::with(20, 10).await;
    let old_head = log.head().await;
    assert_eq!(signing_key::adopt(&log.db, &stamp(20), signer(7).public_key()).await.unwrap(), None);
    let former = signing_key::adopt(&log.db, &stamp(20), signer(8).public_key()).await.unwrap();
    assert_eq!(former.unwrap(), signer(7).public_key().to_string());
    let refused = audit::seal(&log.db, &signer(7), at(21)).await.unwrap_err().to_string();
    assert!(
        refused.contains("the audit log is signed by songkhao+") && refused.contains("[keys] secret"),
        "{refused}"
    );
    log.go_on(21, 30, 10, &signer(8)).await;

    log.expect(Vec::new(), None, "another log, or the key was changed").await;
    let now = verify::database(&log.db, signer(8).public_key(), vec![old_head.clone()]).await.unwrap();
    assert_eq!(now.verdict.unwrap().unwrap().extends, [20]);
    let lines = exported(&log, &signer(8)).await;
    let key = signer(8).public_key().to_string();
    let verdict = verify_export(&lines[..], Some(&key), Some(&old_head.to_string())).unwrap();
    assert_eq!(verdict.former_keys, [signer(7).public_key().clone()]);
    let told = String::from_utf8(lines.clone()).unwrap();
    assert!(
        told.contains("audit.key_changed") && told.contains(&signer(7).public_key().to_string()),
        "{told}"
    );
    let former = verify_export(&lines[..], Some(&signer(7).public_key().to_string()), None).unwrap_err();
    assert!(
        former.to_string().contains("is a former key") && former.fault.cure().contains("audit.key_changed")
    );
}

#[tokio::test]
async fn a_head_of_another_log_is_no_fault_of_this_one() {
    let log = Log::with(20, 10).await;
    let other = Signer::from_secret("elsewhere", &[7; 32]).unwrap().sign(10, [1; 32]);
    log.expect(vec![other], None, "the older head: the head is signed by elsewhere+").await;
}

#[tokio::test]
async fn a_database_put_back_to_yesterday_is_named_also_when_it_went_on() {
    let log = Log::with(ENTRIES, RUN).await;
    let kept = vec![head_at(&log, 20).await, head_at(&log, 40).await];
    let copy = Log::with(30, RUN).await;
    copy.expect(kept.clone(), Some(30), "the log was cut, or an older copy of it was restored").await;
    copy.go_on(130, 160, RUN, &signer(7)).await;
    copy.expect(kept, Some(20), "among the entries 20 to 39").await;
}

#[tokio::test]
async fn a_clock_that_was_put_back_is_told_and_nothing_breaks() {
    let log = Log::with(20, 10).await;
    log.go_on(5, 15, 10, &signer(7)).await;
    let turned = log.verify(Vec::new()).await.unwrap().turned_back;
    assert_eq!(turned.iter().map(|turn| (turn.seq, turn.seconds)).collect::<Vec<_>>(), [(20, 14 * 7 * 60)]);
}

#[tokio::test]
async fn an_archived_part_and_what_follows_it_verify_each_and_fit_together() {
    let log = Log::with(600, 50).await;
    let before = [head_at(&log, 250).await, head_at(&log, 300).await];
    let mut size = 0;
    for (number, (until, part_ends)) in [(550, 512), (600, 0), (1100, 1024)].into_iter().enumerate() {
        let file = log.folder.path().join(format!("part-{number}"));
        let archived = archive::archive(&log.db, &signer(7), &stamp(until), at(until), &file).await.unwrap();
        if part_ends == 0 {
            assert_eq!(archived, None);
            log.go_on(600, 1200, 50, &signer(7)).await;
            continue;
        }
        let archived = archived.unwrap();
        assert_eq!((archived.from, archived.size), (size, part_ends));
        size = part_ends;
        let key = signer(7).public_key().to_string();
        let part = std::fs::read(&file).unwrap();
        assert_eq!(verify_export(&part[..], Some(&key), None).unwrap().size, size);
        let last: serde_json::Value =
            serde_json::from_slice(part.split(|b| *b == b'\n').rev().nth(1).unwrap()).unwrap();
        let end: SignedHead = last["head"].as_str().unwrap().parse().unwrap();
        let verdict = log.verify(vec![end.clone()]).await.unwrap();
        assert_eq!((verdict.from, verdict.extends), (size, vec![size]));
        let lines = exported(&log, &signer(7)).await;
        assert_eq!(verify_export(&lines[..], Some(&key), Some(&end.to_string())).unwrap().from, size);
        assert!(archive::archive(&log.db, &signer(7), &stamp(2001), at(5000), &file).await.is_err());
    }
    log.expect(before.to_vec(), None, "verify the part that holds entry 249").await;
    let head = log.head().await;
    let receipt = prove::post(&log.db, &signer(7), &head, 1150).await.unwrap().unwrap();
    assert!(verify_receipt(receipt.to_json().as_bytes(), None).is_ok());
    assert_eq!(prove::post(&log.db, &signer(7), &head, 3).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_archived_from_a_log_that_is_not_whole() {
    let log = Log::with(600, 50).await;
    log.run("UPDATE audit SET entry = replace(entry, 'page', 'pages') WHERE id = 4", Vec::new()).await;
    let file = log.folder.path().join("part");
    let refused = archive::archive(&log.db, &signer(7), &stamp(600), at(600), &file).await.unwrap_err();
    assert!(
        refused.to_string().contains("the log is not whole, so nothing is archived: entry 3"),
        "{refused}"
    );
    assert!(!file.exists());
}
