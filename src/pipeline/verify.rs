//! Verify: reads the sealed log out of the database and checks it, row by row.
//!
//! Beside the entries it checks what songkhao itself leans on: the columns that lists are filtered by, the hashes
//! that proofs are made from, the state that sealing goes on from. The entries under the signed head are the
//! truth; each of the others must follow from them.

use std::collections::BTreeMap;

use crate::model::audit::Columns;
use crate::model::checkpoint::PublicKey;
use crate::model::checkpoint::SignedHead;
use crate::model::evidence::Broken;
use crate::model::evidence::Checker;
use crate::model::evidence::Fault;
use crate::model::evidence::Trust;
use crate::model::evidence::Verdict;
use crate::model::merkle;
use crate::model::merkle::Hash;
use crate::model::merkle::Node;
use crate::store::audit;
use crate::store::audit::Sealed;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::signing_key;
use crate::store::tree;

/// What the log in the database turned out to be.
#[derive(Debug)]
pub struct Found {
    /// What is proven, or the first thing that is wrong; `None` while nothing is sealed.
    pub verdict: Option<std::result::Result<Verdict, Broken>>,
    /// How many entries wait to be sealed.
    pub waiting: i64,
}

/// Entries read from the database at a time.
const PAGE: i64 = 1_000;

/// Checks the log in the database against its heads, the key it must be signed with, and heads kept elsewhere.
///
/// # Errors
/// What the database says; what is wrong with the log is no error but a verdict.
pub async fn database(db: &Db, key: &PublicKey, older: Vec<SignedHead>) -> Result<Found> {
    let waiting = audit::count_unsealed(db).await?;
    let verdict = match audit::newest_head(db).await? {
        None if audit::count_sealed(db).await? == 0 && older.is_empty() => None,
        None => Some(Err(row(None, "has no signed head, and the log was sealed: it was deleted"))),
        Some(note) => Some(match check(db, &note, key, older).await {
            Ok(verdict) => Ok(verdict),
            Err(Stop::Broken(broken)) => Err(*broken),
            Err(Stop::Failed(error)) => return Err(error),
        }),
    };
    Ok(Found { verdict, waiting })
}

/// Why checking ended early.
enum Stop {
    /// Something is wrong with the log.
    Broken(Box<Broken>),
    /// The database can't say.
    Failed(crate::store::db::Error),
}

impl From<crate::store::db::Error> for Stop {
    fn from(error: crate::store::db::Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Stop {
        Stop::Broken(Box::new(broken))
    }
}

fn row(seq: Option<u64>, what: impl Into<String>) -> Broken {
    Broken { line: None, seq, fault: Fault::Row(what.into()) }
}

async fn check(
    db: &Db,
    note: &str,
    key: &PublicKey,
    older: Vec<SignedHead>,
) -> std::result::Result<Verdict, Stop> {
    let at_head = |fault| Broken { line: None, seq: None, fault };
    let head = |note: &str| note.parse::<SignedHead>().map_err(|error| at_head(Fault::Head(error)));
    let newest = head(note)?;
    let keys =
        signing_key::list(db).await.map_err(|error| row(None, format!("keeps a damaged key: {error}")))?;
    let former: Vec<PublicKey> = keys.into_iter().filter(|known| known != key).collect();
    let beginning = tree::beginning(db)
        .await
        .map_err(|error| row(None, format!("keeps a damaged state of the archived part: {error}")))?;
    let mut marks = marks(db, beginning.size()).await?;
    let mut subtrees = BTreeMap::new();
    let mut checker = Checker::new(beginning, older);
    while checker.expected() < newest.head.size {
        let before = checker.expected();
        let page = audit::list_sealed(db, before, PAGE).await?;
        for sealed in page.iter().take_while(|sealed| sealed.seq.is_none_or(|seq| seq < newest.head.size)) {
            take(&mut checker, sealed, &mut subtrees)?;
            let size = checker.expected();
            if let Some(note) = marks.remove(&size).filter(|_| size < newest.head.size) {
                checker.head(head(&note)?)?;
            }
        }
        check_subtrees(db, &mut subtrees).await?;
        if checker.expected() == before {
            break;
        }
    }
    // What a daemon sealed while we read has a newer head; what has none was appended past songkhao.
    let beyond = audit::list_sealed(db, newest.head.size, 1).await?;
    if checker.expected() == newest.head.size
        && let Some(sealed) = beyond.first()
        && audit::newest_head(db).await?.as_deref() == Some(note)
    {
        take(&mut checker, sealed, &mut subtrees)?;
    }
    let (size, state) = (checker.expected(), checker.chain().to_string());
    let verdict = checker.finish(&newest, key.clone(), former, Trust::Given)?;
    check_state(db, size, &state).await?;
    match audit::list_stray(db).await?.first() {
        Some(stray) => Err(row(None, stray.to_string()).into()),
        None => Ok(verdict),
    }
}

/// The heads between the entries, by size.
async fn marks(db: &Db, from: u64) -> std::result::Result<BTreeMap<u64, String>, Stop> {
    let heads = audit::list_heads(db).await?;
    for (size, note) in &heads {
        let told = note.parse::<SignedHead>().map(|head| head.head.size);
        if told.as_ref().is_ok_and(|told| told != size) {
            return Err(row(Some(*size), format!("files the head of another size under {size}")).into());
        }
    }
    Ok(heads.into_iter().filter(|(size, _)| *size > from).collect())
}

fn take(
    checker: &mut Checker,
    sealed: &Sealed,
    subtrees: &mut BTreeMap<(u32, u64), Hash>,
) -> std::result::Result<(), Stop> {
    let seq = checker.expected();
    let found = sealed.seq.unwrap_or_default();
    if found == seq && sealed.entry.is_empty() {
        return Err(row(Some(seq), "has lost this entry: its row was deleted").into());
    }
    let link = sealed.link.as_deref().and_then(|link| merkle::from_hex(link.as_bytes()));
    let Some(link) = link else { return Err(row(Some(seq), "keeps no readable link of this entry").into()) };
    let keep = |node: Node, hash| {
        if tree::is_kept(node) {
            subtrees.insert((node.level, node.index), hash);
        }
    };
    checker.entry_with(found, &link, sealed.entry.as_bytes(), keep)?;
    match Columns::of(&sealed.entry) {
        Some(columns) if columns == sealed.columns => Ok(()),
        _ => Err(row(Some(seq), "files this entry under values that it does not have").into()),
    }
}

/// Compares the kept hashes of the subtrees that the entries read so far completed.
async fn check_subtrees(db: &Db, subtrees: &mut BTreeMap<(u32, u64), Hash>) -> std::result::Result<(), Stop> {
    for ((level, index), hash) in std::mem::take(subtrees) {
        // None is there in a log that was begun before they were kept.
        let kept = tree::list(db, level, index..index + 1).await?;
        if kept.first().is_some_and(|(_, kept)| *kept != Some(hash)) {
            let (first, width) = (index << level, 1u64 << level);
            let what =
                format!("keeps a wrong hash of entries {first} to {}: proofs would fail", first + width - 1);
            return Err(row(Some(first), what).into());
        }
    }
    Ok(())
}

/// The state from which sealing goes on must be that of the entries.
async fn check_state(db: &Db, size: u64, state: &str) -> std::result::Result<(), Stop> {
    let kept = audit::newest_state(db).await?;
    if kept.is_some_and(|(newest, kept)| newest == size && kept != state) {
        let what = "keeps a wrong state of the log beside its newest head: what is sealed next would not fit";
        return Err(row(None, what).into());
    }
    Ok(())
}
