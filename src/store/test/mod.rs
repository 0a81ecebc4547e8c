//! Test: the store's facts, each shown on SQLite and on PostgreSQL.
//!
//! Every test has a database of its own. Times are turned by hand; only PostgreSQL's leases live by the
//! server's clock, so a lease that is to have run out is taken with a length of zero.

mod account;
mod article;
mod audit;
mod boilerplate;
mod database;
mod delivery;
mod gap;
mod gauge;
mod hold;
mod leap;
mod lease;
mod listing;
mod node;
mod post;
mod promotion;
mod route;
mod source;
mod turn;
mod sqlite;
mod token;

#[path = "../../../tests/it/cluster.rs"]
mod cluster;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use tempfile::TempDir;

use crate::model::account::Platform;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::article::aliases;
use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::audit::Actor;
use crate::model::delivery::Delivery;
use crate::model::lane::Lane;
use crate::model::post::Payload;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::model::transition::Transition;
use crate::store::account as accounts;
use crate::store::article as articles;
use crate::store::article::Arrival;
use crate::store::audit::Stamp;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::claim::Wish;
use crate::store::db::Db;
use crate::store::db::Result as DbResult;
use crate::store::db::Value;
use crate::store::db::args;
use crate::store::delivery as deliveries;
use crate::store::finish::Outcome;
use crate::store::post as posts;
use crate::store::post::Draft;
use crate::store::turn as turns;

/// Makes each function a test on either engine. One that is forgotten here is dead code and fails the build.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::test::Bench::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::test::Bench::postgres().await).await;
            })*
        }
    };
}
use on_both_engines;

/// 22 November 2026, 18:59:52 UTC.
const START: i64 = 1_795_373_992;

/// A moment, counted in seconds from the start.
fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START + second, 0).unwrap()
}

/// A step's stamp on node a, so many seconds after the start.
fn stamp(second: i64) -> Stamp {
    stamp_on("a", second)
}

fn stamp_on(node: &str, second: i64) -> Stamp {
    Stamp::step(at(second), node, "test")
}

fn person(second: i64) -> Stamp {
    Stamp { at: at(second), node: "a".into(), actor: Actor::Shell { shell: "somchai".into() } }
}

/// The rules for a platform that can be read back and does not recognise repeats.
fn policy() -> Policy {
    Policy {
        retry_base: Duration::from_secs(2),
        retry_cap: Duration::from_secs(900),
        timeout: Duration::from_secs(45),
        confirm_after: Duration::from_secs(90),
        recognises_repeats: false,
        can_read_back: true,
        circuit_after: 3,
    }
}

/// The rules for LINE.
fn line_policy() -> Policy {
    Policy { recognises_repeats: true, can_read_back: false, ..policy() }
}

fn terms() -> Terms {
    Terms {
        shadow: false,
        quiet: false,
        min_gap: Duration::ZERO,
        lease: Duration::from_secs(120),
        boot: "boot-1".into(),
        policy: policy(),
    }
}

fn answered(result: Result<Receipt, SendError>) -> deliveries::Happening {
    let answer = Answer {
        result: result.clone(),
        status: Some(200),
        request_id: Some("r-1".into()),
        clock_offset: Some(3),
    };
    deliveries::Happening { answer: Some(answer), ..Event::Answered(result).into() }
}

fn receipt(remote_id: &str) -> Receipt {
    Receipt { remote_id: remote_id.into(), permalink: Some(format!("https://platform.example/{remote_id}")) }
}

fn unconfirmed() -> SendError {
    SendError::Unconfirmed { reason: "no answer".into() }
}

fn payload(text: &str) -> Payload {
    let link = Some("https://news.example/1".to_owned());
    Payload::freeze(serde_json::json!({ "message": text }).to_string(), text.to_owned(), link)
}

fn entry(guid: &str, title: &str) -> Entry {
    let link = Some(format!("https://news.example/{guid}"));
    let content = Content {
        title: title.into(), link, text: "เนื้อข่าว".into(), ..Content::default()
    };
    Entry { guid: Some(guid.into()), content }
}

fn arrival(second: i64) -> Arrival {
    Arrival { only_seen: None, review: Vec::new(), settle_at: at(second), wants_page: false }
}

/// Claims on one account alone.
async fn claim_one(db: &Db, stamp: &Stamp, account: &str, terms: &Terms) -> DbResult<Claim> {
    let wish = Wish { account: account.to_owned(), terms: terms.clone() };
    Ok(turns::turn(db, stamp, &[], &[wish]).await?.claims.remove(0))
}

/// Records how one attempt ended.
async fn finish_one(
    db: &Db,
    stamp: &Stamp,
    claimed: &Delivery,
    happening: deliveries::Happening,
    policy: &Policy,
) -> DbResult<Option<Transition>> {
    let outcome = Outcome { claimed: claimed.clone(), happening, policy: policy.clone() };
    Ok(turns::turn(db, stamp, &[outcome], &[]).await?.finished.remove(0))
}

/// A database of the test's own, with what most tests begin with.
struct Bench {
    db: Db,
    url: String,
    drafts: AtomicI64,
    /// SQLite's file lies here.
    _folder: Option<TempDir>,
}

impl Bench {
    async fn sqlite() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        Bench::open(url, Some(folder)).await
    }

    async fn postgres() -> Bench {
        Bench::open(cluster::database_url(), None).await
    }

    async fn open(url: String, folder: Option<TempDir>) -> Bench {
        let db = Db::open(&url, at(0)).await.unwrap();
        let bench = Bench { db, url, drafts: AtomicI64::new(0), _folder: folder };
        let pages = [
            ("page".to_owned(), Platform::Facebook),
            ("profile".to_owned(), Platform::X),
            ("line".to_owned(), Platform::Line),
        ];
        accounts::ensure(&bench.db, &pages).await.unwrap();
        bench
    }

    /// Another node's way to the same database.
    async fn another_node(&self) -> Db {
        Db::open(&self.url, at(0)).await.unwrap()
    }

    /// A draft that no rule sends to review and no earlier one forbids.
    fn draft(&self, account: &str, lane: Lane, due: i64) -> Draft {
        let number = self.drafts.fetch_add(1, Ordering::Relaxed) + 1;
        Draft {
            account: account.to_owned(),
            platform: match account {
                "line" => Platform::Line,
                "profile" => Platform::X,
                _ => Platform::Facebook,
            },
            origin: format!("promotion:{number}"),
            occasion: "first".into(),
            article: None,
            digest: Vec::new(),
            route: Some("all-news".into()),
            lane,
            reasons: Vec::new(),
            payload: payload(&format!("ข่าว {number}")),
            template: "t".into(),
            not_before: at(due),
            good_for: Duration::from_secs(3600),
        }
    }

    /// Stores a draft; `None` if it is there already.
    async fn post(&self, draft: &Draft) -> Option<i64> {
        let mut tx = self.db.begin().await.unwrap();
        let id = posts::insert(&mut tx, &stamp(0), draft).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A scheduled delivery, from a post of its own.
    async fn delivery(&self, account: &str, lane: Lane, due: i64) -> i64 {
        let draft = self.draft(account, lane, due);
        self.delivery_of(&draft).await
    }

    /// The scheduled delivery of a post made from `draft`.
    async fn delivery_of(&self, draft: &Draft) -> i64 {
        let post = self.post(draft).await.unwrap();
        assert_eq!(posts::enqueue(&self.db, &stamp(0), 1).await.unwrap(), [post]);
        deliveries::list_of_post(&self.db, post).await.unwrap().first().unwrap().id
    }

    /// A delivery on `account` that is being sent since second 0, under [`terms`].
    async fn sending(&self, account: &str) -> Delivery {
        self.sending_under(account, &terms()).await
    }

    async fn sending_under(&self, account: &str, terms: &Terms) -> Delivery {
        self.delivery(account, Lane::Normal, 0).await;
        self.claim_under(account, 0, terms).await
    }

    /// Claims what is due on the account; it must be there to send.
    async fn claim(&self, account: &str, second: i64) -> Delivery {
        self.claim_under(account, second, &terms()).await
    }

    async fn claim_under(&self, account: &str, second: i64, terms: &Terms) -> Delivery {
        match claim_one(&self.db, &stamp(second), account, terms).await.unwrap() {
            Claim::Sending(claimed) => *claimed,
            other => panic!("nothing to send on {account} at {second}: {other:?}"),
        }
    }

    async fn claims_nothing(&self, account: &str, second: i64) -> bool {
        let found = claim_one(&self.db, &stamp(second), account, &terms()).await.unwrap();
        matches!(found, Claim::Nothing)
    }

    /// A delivery in doubt on the page; its first look is due at second 135.
    async fn doubtful(&self) -> i64 {
        let claimed = self.sending("page").await;
        let lost = answered(Err(unconfirmed()));
        finish_one(&self.db, &stamp(1), &claimed, lost, &policy()).await.unwrap();
        claimed.id
    }

    async fn find(&self, id: i64) -> Delivery {
        deliveries::find(&self.db, id).await.unwrap().unwrap()
    }

    /// Stores an article as `collect` does, unless it is known; its id, and whether it is new.
    async fn collect(&self, db: &Db, source: &str, entry: &Entry) -> (i64, bool) {
        let names = aliases(source, entry);
        let mut tx = db.begin().await.unwrap();
        tx.lock("collect").await.unwrap();
        let known = articles::find_by_alias(&mut tx, &names).await.unwrap();
        let is_new = known.is_none();
        let id = match known {
            Some(known) => known.id,
            None => articles::insert(&mut tx, &stamp(0), source, entry, "h", &arrival(60)).await.unwrap(),
        };
        articles::add_aliases(&mut tx, id, &names).await.unwrap();
        tx.commit().await.unwrap();
        (id, is_new)
    }

    async fn article(&self, guid: &str, title: &str) -> articles::Article {
        let (id, _) = self.collect(&self.db, "inn", &entry(guid, title)).await;
        articles::find(&self.db, id).await.unwrap().unwrap()
    }

    /// The audit log's words for what happened to a delivery, in order, without their noun.
    async fn entries(&self, delivery: i64) -> Vec<String> {
        let sql = "SELECT action FROM audit WHERE delivery = $1 ORDER BY id";
        let rows = self.db.all(sql, args![delivery]).await.unwrap();
        rows.iter().map(|row| row.text("action").unwrap().replace("delivery.", "")).collect()
    }

    /// How often each action stands in the log.
    async fn actions(&self) -> BTreeMap<String, i64> {
        let sql = "SELECT action, count(*) AS n FROM audit GROUP BY action";
        let rows = self.db.all(sql, args![]).await.unwrap();
        rows.iter().map(|row| (row.text("action").unwrap(), row.int("n").unwrap())).collect()
    }

    /// The number that a query gives as `n`.
    async fn count(&self, sql: &'static str, args: Vec<Value>) -> i64 {
        self.db.one(sql, args).await.unwrap().unwrap().int("n").unwrap()
    }

    /// Changes rows past the store's rules.
    async fn tamper(&self, sql: &'static str, args: Vec<Value>) -> u64 {
        let mut tx = self.db.begin().await.unwrap();
        let changed = tx.execute(sql, args).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }
}

/// Runs `task` eight times at once, each with its number.
async fn eight_at_once<T, F>(task: impl Fn(i64) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let tasks: Vec<_> = (0..8).map(|number| tokio::spawn(task(number))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}
