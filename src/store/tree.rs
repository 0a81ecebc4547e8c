//! Tree: keeps hashes of finished subtrees, and makes proofs from them.
//!
//! Kept are the roots of all perfect subtrees of 256 entries, of 256² and so on: one row in 255 entries. What
//! lies between is hashed anew, from at most 255 of these rows a level and some five hundred entries at the
//! edges. So a proof costs the same in a log of ten thousand entries and in one of ten million.

use std::ops::Range;

use crate::model::chain::Chain;
use crate::model::merkle;
use crate::model::merkle::Hash;
use crate::model::merkle::Node;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Row;
use crate::store::db::Tx;
use crate::store::db::args;

/// Every so many-th level is kept.
const STRIDE: u32 = 8;

/// How many entries the smallest kept subtree has; archived parts end at a multiple of it.
pub const BLOCK: u64 = 1 << STRIDE;

/// Whether the hash of `node` is kept.
pub fn is_kept(node: Node) -> bool {
    node.level > 0 && node.level.is_multiple_of(STRIDE)
}

/// Keeps the hashes of finished subtrees; one that is there already stays as it is.
pub(crate) async fn insert(tx: &mut Tx, finished: &[(Node, Hash)]) -> Result<()> {
    for (node, hash) in finished {
        let sql = "INSERT INTO subtree (level, number, hash) VALUES ($1, $2, $3) ON CONFLICT (level, number) DO NOTHING";
        tx.execute(sql, args![i64::from(node.level), number(node.index), merkle::hex(hash)]).await?;
    }
    Ok(())
}

/// The kept hash of a subtree; `None` where there is none, or nothing that could be one.
///
/// # Errors
/// What the engine says.
pub async fn list(db: &Db, level: u32, range: Range<u64>) -> Result<Vec<(u64, Option<Hash>)>> {
    let sql =
        "SELECT number, hash FROM subtree WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number";
    let rows = db.all(sql, args![i64::from(level), number(range.start), number(range.end)]).await?;
    let read = |row: &Row| {
        let index = u64::try_from(row.int("number")?).unwrap_or(u64::MAX);
        Ok((index, merkle::from_hex(row.text("hash")?.as_bytes())))
    };
    rows.iter().map(read).collect()
}

/// The proof that entry `seq` is in the log of `size` entries; `None` if it isn't, or lies in an archived part.
///
/// # Errors
/// What the engine says.
pub async fn inclusion_proof(db: &Db, seq: u64, size: u64) -> Result<Option<Vec<Hash>>> {
    match merkle::inclusion_spans(seq, size) {
        Some(spans) => hash_all(db, spans).await,
        None => Ok(None),
    }
}

/// The proof that the log of `size` entries extends that of `old`; `None` if it is shorter, or an archived part
/// would be needed.
///
/// # Errors
/// What the engine says.
pub async fn consistency_proof(db: &Db, old: u64, size: u64) -> Result<Option<Vec<Hash>>> {
    match merkle::consistency_spans(old, size) {
        Some(spans) => hash_all(db, spans).await,
        None => Ok(None),
    }
}

/// The root over the first `size` entries; `None` if there are fewer, or they lie in an archived part.
///
/// # Errors
/// What the engine says.
pub async fn root_at(db: &Db, size: u64) -> Result<Option<Hash>> {
    hash(db, &(0..size)).await
}

async fn hash_all(db: &Db, spans: Vec<Range<u64>>) -> Result<Option<Vec<Hash>>> {
    let mut hashes = Vec::with_capacity(spans.len());
    for span in spans {
        let Some(hash) = hash(db, &span).await? else { return Ok(None) };
        hashes.push(hash);
    }
    Ok(Some(hashes))
}

/// The hash of one span of a proof: from kept subtrees, and from the entries of what is smaller.
async fn hash(db: &Db, span: &Range<u64>) -> Result<Option<Hash>> {
    let mut peaks = Vec::new();
    for node in merkle::nodes(span) {
        let level = node.level - node.level % STRIDE;
        let peak = match level {
            0 => from_entries(db, entries_of(node)).await?,
            _ => from_subtrees(db, level, node).await?,
        };
        let Some(peak) = peak else { return Ok(None) };
        peaks.push(peak);
    }
    Ok(Some(merkle::fold(&peaks)))
}

async fn from_subtrees(db: &Db, level: u32, node: Node) -> Result<Option<Hash>> {
    let width = node.level - level;
    let range = node.index << width..(node.index + 1) << width;
    let wanted = range.end - range.start;
    let kept: Option<Vec<Hash>> = list(db, level, range).await?.into_iter().map(|(_, hash)| hash).collect();
    match kept.filter(|kept| kept.len() as u64 == wanted) {
        Some(kept) => Ok(Some(merkle::root(&kept))),
        // A log that was begun before these hashes were kept: slow, and right.
        None => from_entries(db, entries_of(node)).await,
    }
}

fn entries_of(node: Node) -> Range<u64> {
    node.index << node.level..(node.index + 1) << node.level
}

/// Entries read from the database at a time.
const PAGE: u64 = 1_000;

async fn from_entries(db: &Db, range: Range<u64>) -> Result<Option<Hash>> {
    let mut frontier = merkle::Frontier::new();
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next + PAGE);
        let sql = "SELECT a.entry FROM seal s JOIN audit a ON a.id = s.audit WHERE s.seq >= $1 AND s.seq < $2
                    ORDER BY s.seq";
        let rows = db.all(sql, args![number(next), number(end)]).await?;
        if rows.len() as u64 != end - next {
            return Ok(None);
        }
        for row in rows {
            frontier.append(merkle::leaf_hash(row.text("entry")?.as_bytes()), |_, _| {});
        }
        next = end;
    }
    Ok(Some(frontier.root()))
}

/// Where the log in this database begins: the state in which the newest archived part ended.
///
/// # Errors
/// What the engine says; `BadValue` for a state that was changed.
pub async fn beginning(db: &Db) -> Result<Chain> {
    let row = db.one("SELECT chain FROM archive ORDER BY size DESC LIMIT 1", args![]).await?;
    row.map_or(Ok(Chain::new()), |row| row.parsed("chain"))
}

/// A place or a size as the database keeps it.
pub(crate) fn number(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
