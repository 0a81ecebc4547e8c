//! Export: the sealed log → lines that anybody can verify.

use std::io::Write;

use anyhow::Context as _;
use chrono::DateTime;
use chrono::Utc;

use crate::model::chain::Chain;
use crate::model::checkpoint::SignedHead;
use crate::model::checkpoint::Signer;
use crate::model::export::Exporter;
use crate::model::merkle;
use crate::store::audit;
use crate::store::db::Db;
use crate::store::signing_key;
use crate::store::tree;

/// Entries read from the database at a time.
const PAGE: i64 = 1_000;

/// Seals what waits and gives the head over everything.
///
/// # Errors
/// What the database says; when nothing was logged yet.
pub async fn seal_all(db: &Db, signer: &Signer, now: DateTime<Utc>) -> anyhow::Result<SignedHead> {
    while audit::seal(db, signer, now).await? > 0 {}
    let note = audit::newest_head(db).await?.context("nothing was logged yet")?;
    let head: SignedHead = note.parse()?;
    head.verify(signer.public_key())
        .context("the log's newest head is not signed by the key of [keys] secret")?;
    Ok(head)
}

/// Writes what the database holds of the log, up to `head`, with the heads on the way.
///
/// Nothing is put right on the way: an entry that was changed in the database shows as such to whoever verifies.
///
/// # Errors
/// What the database or `out` says; when an entry is gone or damaged.
pub async fn write<W: Write>(db: &Db, signer: &Signer, head: &SignedHead, out: W) -> anyhow::Result<W> {
    let beginning = tree::beginning(db).await?;
    let mut next = beginning.size();
    let mut exporter =
        if beginning == Chain::new() { Exporter::new(out) } else { Exporter::following(out, &beginning)? };
    let marks = audit::list_heads(db).await?.into_iter();
    let mut marks = marks.filter(|(size, _)| *size > beginning.size()).peekable();
    while next < head.head.size {
        let page = audit::list_sealed(db, next, PAGE).await?;
        anyhow::ensure!(
            !page.is_empty(),
            "entry {next} is missing in the database; run `songkhao audit verify`"
        );
        for sealed in page {
            if next == head.head.size {
                break;
            }
            let seq = sealed.seq.unwrap_or(next);
            let link = sealed.link.as_deref().and_then(|link| merkle::from_hex(link.as_bytes()));
            let link = link.with_context(|| format!("entry {seq} has no readable link"))?;
            let mark = marks.next_if(|(size, _)| *size == next + 1 && *size < head.head.size);
            let mark = mark.map(|(_, note)| note.parse::<SignedHead>()).transpose()?;
            exporter
                .entry(seq, &link, &sealed.entry, mark.as_ref())
                .with_context(|| format!("entry {seq} can't be exported"))?;
            next += 1;
        }
    }
    let keys = signing_key::list(db).await?;
    Ok(exporter.finish(head, signer.public_key(), &keys)?)
}
