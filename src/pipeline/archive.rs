//! Archive: the oldest part of the log → a file of its own.
//!
//! Nothing leaves before the file is on the disk and was read back and verified. A crash in between leaves both.

use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use chrono::DateTime;
use chrono::Utc;

use crate::model::chain::Chain;
use crate::model::checkpoint::Signer;
use crate::model::export::verify_export;
use crate::model::merkle::Hash;
use crate::model::merkle::Node;
use crate::pipeline::export;
use crate::pipeline::verify;
use crate::store::archive;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::tree;

/// What went where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// The first entry of the part.
    pub from: u64,
    /// The log's size where the part ends.
    pub size: u64,
}

/// Entries read from the database at a time.
const PAGE: i64 = 1_000;

/// Writes the part of the log that is older than `before` to `file`, verifies it there, and removes it from the
/// database. `None` if there are not yet [`tree::BLOCK`] entries that old.
///
/// # Errors
/// When the log is not whole, or the file is there already or can't be written; nothing is removed then.
pub async fn archive(
    db: &Db,
    signer: &Signer,
    stamp: &Stamp,
    before: DateTime<Utc>,
    file: &Path,
) -> anyhow::Result<Option<Archived>> {
    ensure!(!file.exists(), "{} is there already; name a new file for each part", file.display());
    export::seal_all(db, signer, stamp.at).await?;
    if let Some(Err(broken)) = verify::database(db, signer.public_key(), Vec::new()).await?.verdict {
        bail!("the log is not whole, so nothing is archived: {broken}");
    }
    let from = tree::beginning(db).await?.size();
    let size = archive::end_before(db, before).await?;
    if size <= from {
        return Ok(None);
    }
    let (chain, finished) = read_up_to(db, size).await?;
    let head = signer.sign(size, chain.root());
    let fresh = file.with_extension("part");
    let named = || format!("{}", file.display());
    let out = BufWriter::new(
        File::options().write(true).create(true).truncate(true).open(&fresh).with_context(named)?,
    );
    let out = export::write(db, signer, &head, out).await?;
    out.into_inner()
        .map_err(|error| error.into_error())
        .with_context(named)?
        .sync_all()
        .with_context(named)?;
    let key = signer.public_key().to_string();
    let verdict = verify_export(BufReader::new(File::open(&fresh).with_context(named)?), Some(&key), None)
        .with_context(|| format!("{} is not what was written", fresh.display()))?;
    ensure!((verdict.from, verdict.size) == (from, size), "{} holds another part", fresh.display());
    // A link fails where something came to stand meanwhile; a rename would replace it.
    fs::hard_link(&fresh, file).with_context(named)?;
    fs::remove_file(&fresh).with_context(named)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    archive::remove(db, stamp, &chain, &finished, &name).await?;
    export::seal_all(db, signer, stamp.at).await?;
    Ok(Some(Archived { from, size }))
}

/// The log's state at `size`, and the hashes to keep of what comes before it.
async fn read_up_to(db: &Db, size: u64) -> anyhow::Result<(Chain, Vec<(Node, Hash)>)> {
    let mut chain = tree::beginning(db).await?;
    let mut finished = Vec::new();
    while chain.size() < size {
        let page = audit::list_sealed(db, chain.size(), PAGE).await?;
        ensure!(!page.is_empty(), "entry {} is missing", chain.size());
        for sealed in page {
            if chain.size() == size {
                break;
            }
            let keep = |node, hash| {
                if tree::is_kept(node) {
                    finished.push((node, hash));
                }
            };
            chain.seal(&sealed.entry, keep)?;
        }
    }
    Ok((chain, finished))
}
