//! SQLite: shows that a backup is one state and that damage is found.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;

use crate::model::lane::Lane;
use crate::store::db::Db;
use crate::store::db::Error;
use crate::store::db::args;
use crate::store::migration;
use crate::store::sqlite;
use crate::store::sqlite::Candidate;
use crate::store::test::Bench;
use crate::store::test::at;

#[tokio::test]
async fn a_backup_taken_while_others_write_is_one_state() {
    let bench = Bench::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let database = bench.db.file().unwrap();
    let writing = async {
        for _ in 0..40 {
            bench.delivery("page", Lane::Normal, 0).await;
        }
    };
    let saving = async {
        for number in 0..5 {
            let to = folder.path().join(format!("{number}.db"));
            assert_eq!(sqlite::back_up(&database, &to).await.unwrap(), migration::KNOWN);
        }
    };
    tokio::join!(writing, saving);
    for number in 0..5 {
        let to = folder.path().join(format!("{number}.db"));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Db::open(&format!("sqlite:{}", to.display()), at(0)).await.unwrap();
        // A delivery and its entry are written in one transaction: no state has one without the other.
        let sql = "SELECT (SELECT count(*) FROM delivery) - (SELECT count(*) FROM audit
                           WHERE action = 'delivery.scheduled') AS n";
        assert_eq!(copy.one(sql, args![]).await.unwrap().unwrap().int("n").unwrap(), 0);
        copy.close().await;
    }
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_half_made() {
    let bench = Bench::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let (database, to) = (bench.db.file().unwrap(), folder.path().join("b.db"));
    fs::write(&to, "mine").unwrap();
    let refused = sqlite::back_up(&database, &to).await.unwrap_err();
    assert!(refused.to_string().contains("never overwrites"), "{refused}");
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    sqlite::back_up(&folder.path().join("nothing.db"), &folder.path().join("c.db")).await.unwrap_err();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["b.db"]);
}

#[tokio::test]
async fn a_damaged_page_is_found_after_a_crash_and_nothing_is_written_any_more() {
    let bench = Bench::sqlite().await;
    for _ in 0..30 {
        bench.delivery("page", Lane::Normal, 0).await;
    }
    assert_eq!(sqlite::check(&bench.db).await.unwrap(), None);
    let file = bench.db.file().unwrap();
    bench.db.close().await;
    let pages = fs::metadata(&file).unwrap().len() / 4096;
    let whole = fs::read(&file).unwrap();
    // A page that holds articles' or entries' words, not the first ones, which every start reads.
    File::options().write(true).open(&file).unwrap().write_all_at(&[0x5a; 4096], (pages - 2) * 4096).unwrap();
    let broken = fs::read(&file).unwrap();
    let db = Db::open(&bench.url, at(0)).await.unwrap();
    assert_eq!(db.trouble(), None, "nobody has read that page yet");
    assert!(sqlite::check(&db).await.unwrap().is_some());
    assert!(db.trouble().unwrap().contains("songkhao restore"), "{:?}", db.trouble());
    assert!(matches!(db.begin().await, Err(Error::Damaged { .. })));
    db.all("SELECT name FROM account", args![]).await.unwrap();
    db.close().await;
    assert!(fs::read(&file).unwrap() == broken, "the file is kept as it is");
    assert!(broken != whole);
}

#[tokio::test]
async fn a_candidate_that_is_not_used_leaves_nothing_behind() {
    let bench = Bench::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let (backup, database) = (folder.path().join("b.db"), folder.path().join("songkhao.db"));
    sqlite::back_up(&bench.db.file().unwrap(), &backup).await.unwrap();
    let candidate = Candidate::of(&backup, &database).await.unwrap();
    assert!(folder.path().join("songkhao.db.restoring").exists());
    drop(candidate);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["b.db"]);
    // With nothing to replace, it simply takes the place.
    let candidate = Candidate::of(&backup, &database).await.unwrap();
    assert_eq!(candidate.take_over(at(0)).await.unwrap(), None);
    assert!(database.exists() && !folder.path().join("songkhao.db.restoring").exists());
}
