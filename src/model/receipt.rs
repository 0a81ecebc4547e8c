//! Receipt: proves one entry to a third party who has not the log.
//!
//! It holds the entry's exact bytes as a JSON string, so the file may be reformatted on its way through
//! mail and editors and still verify. Format: docs/audit.md.

use serde::{Deserialize, Serialize};

use crate::model::checkpoint;
use crate::model::checkpoint::{HeadError, PublicKey, SignedHead};
use crate::model::evidence::{Broken, Fault, Trust};
use crate::model::merkle;
use crate::model::merkle::Hash;

/// One entry, and why one must believe that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The entry's place in the log, from 0.
    pub seq: u64,
    /// The entry's canonical bytes.
    pub entry: String,
    /// The hashes beside the way from the leaf to the root, from the leaf up, in hex (RFC 6962, 2.1.1).
    pub proof: Vec<String>,
    /// The signed head.
    pub head: String,
    /// The key that signed it.
    pub public_key: String,
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The entry's place in the log.
    pub seq: u64,
    /// Its canonical bytes.
    pub entry: String,
    /// How many entries the log had when the head was signed.
    pub size: u64,
    /// The key that signed the head.
    pub key: PublicKey,
    /// Where that key was taken from.
    pub trust: Trust,
}

impl Receipt {
    /// A receipt from a proof: the hashes of [`merkle::inclusion_spans`]`(seq, head.size)`.
    pub fn new(seq: u64, entry: &str, proof: &[Hash], head: &SignedHead, key: &PublicKey) -> Receipt {
        Receipt {
            seq,
            entry: entry.to_owned(),
            proof: proof.iter().map(merkle::hex).collect(),
            head: head.to_string(),
            public_key: key.to_string(),
        }
    }

    /// The file: JSON, indented, ended by a line feed.
    #[expect(clippy::expect_used, reason = "serde_json fails only on maps with keys that are no strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a receipt is plain JSON") + "\n"
    }
}

/// Makes a receipt from all leaf hashes up to the head's size; `None` if they or `seq` don't match the head.
///
/// A million leaves cost a million hashes; a store that keeps nodes makes the proof from a few
/// dozen rows with [`merkle::inclusion_spans`] and [`merkle::nodes`] instead.
pub fn make_receipt(
    leaves: &[Hash],
    seq: u64,
    entry: &str,
    head: &SignedHead,
    key: &PublicKey,
) -> Option<Receipt> {
    let size = usize::try_from(head.head.size).ok()?;
    let proof = merkle::inclusion_proof(leaves.get(..size)?, seq)?;
    Some(Receipt::new(seq, entry, &proof, head, key))
}

/// Verifies a receipt from its text alone; `key` as in [`crate::model::export::verify_export`].
pub fn verify_receipt(text: &str, key: Option<&str>) -> Result<Proven, Broken> {
    let broken = |seq, fault| Broken { line: None, seq, fault };
    let receipt: Receipt = serde_json::from_str(text)
        .map_err(|error| broken(None, Fault::Unreadable(format!("not a receipt: {error}"))))?;
    let seq = receipt.seq;
    let parse_key = |key: &str| key.parse::<PublicKey>().map_err(|error| broken(None, Fault::Key(error)));
    let own = parse_key(&receipt.public_key)?;
    let trust = match key.map(parse_key).transpose()? {
        None => Trust::OwnWord,
        Some(given) if given == own => Trust::Given,
        Some(given) => {
            let error = HeadError::OtherKey { found: own.short(), wanted: given.short() };
            return Err(broken(None, Fault::Head(error)));
        }
    };
    let head = checkpoint::verify(&receipt.head, &own).map_err(|error| broken(None, Fault::Head(error)))?;
    let proof: Option<Vec<Hash>> =
        receipt.proof.iter().map(|hash| merkle::from_hex(hash.as_bytes())).collect();
    let leaf = merkle::leaf_hash(receipt.entry.as_bytes());
    let included = |proof: Vec<Hash>| merkle::verify_inclusion(&leaf, seq, head.size, &head.root, &proof);
    if !proof.is_some_and(included) {
        return Err(broken(Some(seq), Fault::NotIncluded));
    }
    Ok(Proven { seq, entry: receipt.entry, size: head.size, key: own, trust })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::Signer;

    fn signer() -> Signer {
        Signer::from_secret("news.example/audit", &[7; 32]).unwrap()
    }

    fn entry(number: u64) -> String {
        format!(
            "{{\"at\":\"2026-11-22T07:05:12.000000Z\",\"post\":\"{number}\",\"payload\":\"\\\"ข่าว\\\"\"}}"
        )
    }

    /// A log of `size` entries: its leaves and its head.
    fn log(size: u64) -> (Vec<Hash>, SignedHead) {
        let leaves: Vec<Hash> = (0..size).map(|number| merkle::leaf_hash(entry(number).as_bytes())).collect();
        let head = signer().sign(size, merkle::root(&leaves));
        (leaves, head)
    }

    fn receipt(seq: u64, size: u64) -> Receipt {
        let (leaves, head) = log(size);
        make_receipt(&leaves, seq, &entry(seq), &head, signer().public_key()).unwrap()
    }

    #[test]
    fn a_receipt_verifies_in_any_json_layout() {
        for (seq, size) in [(0, 1), (0, 2), (12, 60), (59, 60), (32, 33)] {
            let receipt = receipt(seq, size);
            let key = signer().public_key().to_string();
            let proven = verify_receipt(&receipt.to_json(), Some(&key)).unwrap();
            assert_eq!((proven.seq, proven.size, proven.trust), (seq, size, Trust::Given));
            assert_eq!(proven.entry, entry(seq));
            let compact = serde_json::to_string(&receipt).unwrap();
            assert_eq!(verify_receipt(&compact, None).unwrap().trust, Trust::OwnWord);
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Receipt), seq: Option<u64>, wanted: &str) {
        let mut receipt = receipt(12, 60);
        change(&mut receipt);
        let broken = verify_receipt(&receipt.to_json(), None).unwrap_err();
        assert!(broken.to_string().contains(wanted), "{broken}");
        assert_eq!(broken.seq, seq, "{broken}");
    }

    #[test]
    fn each_change_of_a_receipt_is_found() {
        check(|receipt| receipt.entry = entry(13), Some(12), "not in the log");
        check(|receipt| receipt.entry.push(' '), Some(12), "not in the log");
        check(|receipt| receipt.seq = 13, Some(13), "not in the log");
        check(|receipt| receipt.seq = 60, Some(60), "not in the log");
        check(|receipt| drop(receipt.proof.pop()), Some(12), "not in the log");
        check(|receipt| receipt.proof.swap(0, 1), Some(12), "not in the log");
        check(|receipt| receipt.proof[2] = receipt.proof[2].to_uppercase(), Some(12), "not in the log");
        check(|receipt| receipt.proof.push("0".repeat(64)), Some(12), "not in the log");
        check(|receipt| receipt.head = receipt.head.replace("60", "61"), None, "is false");
        check(|receipt| receipt.public_key.push('x'), None, "public key");
        check(|receipt| receipt.head = log(59).1.to_string(), Some(12), "not in the log");
    }

    #[test]
    fn a_receipt_of_another_key_or_with_more_to_say_is_refused() {
        let receipt = receipt(12, 60).to_json();
        let other = Signer::from_secret("news.example/audit", &[8; 32]).unwrap().public_key().to_string();
        let broken = verify_receipt(&receipt, Some(&other)).unwrap_err();
        assert!(broken.to_string().contains("another log, or the key was changed"), "{broken}");
        let more = receipt.replacen('{', "{\"verdict\":\"true\",", 1);
        assert!(verify_receipt(&more, None).unwrap_err().to_string().contains("unknown field"));
        assert!(verify_receipt("", None).is_err());
    }

    #[test]
    fn there_is_no_receipt_for_what_the_head_does_not_cover() {
        let (leaves, head) = log(60);
        assert_eq!(make_receipt(&leaves, 60, &entry(60), &head, signer().public_key()), None);
        assert_eq!(make_receipt(&leaves[..59], 3, &entry(3), &head, signer().public_key()), None);
    }
}
