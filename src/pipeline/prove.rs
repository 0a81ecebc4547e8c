//! Prove: the sealed log → a receipt that is checked without it.

use crate::model::audit::Action;
use crate::model::audit::Entry;
use crate::model::checkpoint::SignedHead;
use crate::model::checkpoint::Signer;
use crate::model::receipt::Receipt;
use crate::store::audit;
use crate::store::audit::Filter;
use crate::store::audit::Sealed;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::signing_key;
use crate::store::tree;

/// A receipt of a post: who approved which bytes, if a person did; the exact bytes that were to go out; how they
/// arrived. `None` while the post has no delivery, or when its entries were archived.
///
/// # Errors
/// What the database says.
pub async fn post(db: &Db, signer: &Signer, head: &SignedHead, post: i64) -> Result<Option<Receipt>> {
    let filter = Filter { post: Some(post), ..Filter::default() };
    let entries = audit::list(db, &filter).await?;
    let mut receipt = Receipt::new(head, signer.public_key());
    let told = telling(&entries);
    for sealed in &told {
        let Some(seq) = sealed.seq.filter(|seq| *seq < head.head.size) else { continue };
        let Some(proof) = tree::inclusion_proof(db, seq, head.head.size).await? else { return Ok(None) };
        receipt.show(seq, &sealed.entry, &proof);
    }
    Ok((!receipt.entries.is_empty()).then_some(receipt))
}

/// The entries of a post that tell a stranger what happened; none without the one that froze the bytes to send.
fn telling(entries: &[Sealed]) -> Vec<&Sealed> {
    let last = |wanted: &dyn Fn(&Entry) -> bool| {
        let is_wanted = |sealed: &&Sealed| Entry::parse(&sealed.entry).is_ok_and(|entry| wanted(&entry));
        entries.iter().rev().find(is_wanted)
    };
    let Some(frozen) = last(&|entry| entry.payload.is_some() && entry.delivery.is_some()) else {
        return Vec::new();
    };
    let approved = last(&|entry| entry.action == Action::PostApproved);
    let arrived = last(&|entry| entry.action == Action::DeliveryDelivered);
    let mut told: Vec<&Sealed> = [approved, Some(frozen), arrived].into_iter().flatten().collect();
    told.sort_by_key(|sealed| sealed.seq);
    told
}

/// A receipt that the log up to `head` extends the log of an older head. `None` if it is shorter than that, or an
/// archived part would be needed.
///
/// # Errors
/// What the database says.
pub async fn extension(
    db: &Db,
    signer: &Signer,
    head: &SignedHead,
    older: &SignedHead,
) -> Result<Option<Receipt>> {
    let proof = tree::consistency_proof(db, older.head.size, head.head.size).await?;
    let keys = signing_key::list(db).await?;
    Ok(proof.map(|proof| {
        let mut receipt = Receipt::new(head, signer.public_key());
        receipt.extend(older, &proof, &keys);
        receipt
    }))
}
