//! Receipt: proves a few entries, or an older head, without the log.
//!
//! For a third party who has nothing but this file and the public key.
//!
//! It holds each entry's exact bytes as a JSON string, so the file may be reformatted on its way through
//! mail and editors and still verify. Format: docs/audit.md.

use serde::{Deserialize, Serialize};

use crate::model::checkpoint;
use crate::model::checkpoint::{HeadError, PublicKey, SignedHead};
use crate::model::evidence::{Broken, Fault, Trust, verify_by_any};
use crate::model::merkle;
use crate::model::merkle::Hash;

/// Some entries or an older head, and why one must believe that they are in the log under one signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The entries it shows, by their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Included>,
    /// The older head that the log extends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Extended>,
    /// The signed head.
    pub head: String,
    /// Keys that signed before the present one; only an older head may need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_keys: Vec<String>,
    /// The key that signed the head.
    pub public_key: String,
}

/// One entry with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// The entry's place in the log, from 0.
    pub seq: u64,
    /// The entry's canonical bytes.
    pub entry: String,
    /// The hashes beside the way from the leaf to the root, from the leaf up, in hex (RFC 6962, 2.1.1).
    pub proof: Vec<String>,
}

/// An older head with the proof that the log only grew since (RFC 6962, 2.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extended {
    /// The older signed head.
    pub head: String,
    /// The hashes, in hex.
    pub proof: Vec<String>,
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The entries: place and canonical bytes.
    pub entries: Vec<(u64, String)>,
    /// How many entries the log had when the head was signed.
    pub size: u64,
    /// How many it had at the older head.
    pub extends: Option<u64>,
    /// The key that signed the head.
    pub key: PublicKey,
    /// Where that key was taken from.
    pub trust: Trust,
}

impl Receipt {
    /// A receipt that shows nothing yet.
    pub fn new(head: &SignedHead, key: &PublicKey) -> Receipt {
        Receipt {
            entries: Vec::new(),
            older: None,
            head: head.to_string(),
            former_keys: Vec::new(),
            public_key: key.to_string(),
        }
    }

    /// Shows an entry too; `proof` are the hashes of [`merkle::inclusion_spans`]`(seq, head.size)`.
    pub fn show(&mut self, seq: u64, entry: &str, proof: &[Hash]) {
        let proof = proof.iter().map(merkle::hex).collect();
        self.entries.push(Included { seq, entry: entry.to_owned(), proof });
    }

    /// Shows that the log extends an older head, by the hashes of [`merkle::consistency_spans`]`(older.size, head.size)`.
    pub fn extend(&mut self, older: &SignedHead, proof: &[Hash], former_keys: &[PublicKey]) {
        self.older =
            Some(Extended { head: older.to_string(), proof: proof.iter().map(merkle::hex).collect() });
        let signer = older.signer();
        let signed = former_keys.iter().filter(|former| former.short() == signer);
        self.former_keys = signed.map(PublicKey::to_string).filter(|key| *key != self.public_key).collect();
    }

    /// The file: JSON, indented, ended by a line feed.
    #[expect(clippy::expect_used, reason = "serde_json fails only on maps with keys that are no strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a receipt is plain JSON") + "\n"
    }
}

/// Verifies a receipt from its bytes alone; `key` as in [`crate::model::export::verify_export`].
pub fn verify_receipt(text: &[u8], key: Option<&str>) -> Result<Proven, Broken> {
    let broken = |seq, fault| Broken { line: None, seq, fault };
    let receipt: Receipt = serde_json::from_slice(text)
        .map_err(|error| broken(None, Fault::Unreadable(format!("not a receipt: {error}"))))?;
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
    if receipt.entries.is_empty() && receipt.older.is_none() {
        return Err(broken(None, Fault::Form("this receipt shows neither an entry nor an older head")));
    }
    let mut extends = None;
    if let Some(older) = receipt.older {
        let former = receipt.former_keys.iter().map(|key| parse_key(key)).collect::<Result<Vec<_>, _>>()?;
        let old = |error| broken(None, Fault::OldHead(error));
        let signed: SignedHead = older.head.parse().map_err(old)?;
        verify_by_any(&signed, &own, &former).map_err(old)?;
        let then = signed.head;
        if then.size > head.size {
            return Err(broken(Some(head.size), Fault::Shrunk { size: then.size }));
        }
        let extended = |proof: Vec<Hash>| {
            merkle::verify_consistency(then.size, &then.root, head.size, &head.root, &proof)
        };
        if !unhexed(&older.proof).is_some_and(extended) {
            return Err(broken(Some(0), Fault::Forked { first: 0, size: then.size }));
        }
        extends = Some(then.size);
    }
    let mut entries = Vec::new();
    for Included { seq, entry, proof } in receipt.entries {
        let leaf = merkle::leaf_hash(entry.as_bytes());
        let included = |proof: Vec<Hash>| merkle::verify_inclusion(&leaf, seq, head.size, &head.root, &proof);
        if !unhexed(&proof).is_some_and(included) {
            return Err(broken(Some(seq), Fault::NotIncluded));
        }
        entries.push((seq, entry));
    }
    Ok(Proven { entries, size: head.size, extends, key: own, trust })
}

fn unhexed(proof: &[String]) -> Option<Vec<Hash>> {
    proof.iter().map(|hash| merkle::from_hex(hash.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::Signer;
    use crate::model::python::{agreements, verify_in_python};

    fn signer(seed: u8) -> Signer {
        Signer::from_secret("news.example/audit", &[seed; 32]).unwrap()
    }

    fn entry(number: u64) -> String {
        format!(
            "{{\"at\":\"2026-11-22T07:05:12.000000Z\",\"post\":\"{number}\",\"payload\":\"\\\"ข่าว\\\"\"}}"
        )
    }

    fn leaves(size: u64) -> Vec<Hash> {
        (0..size).map(|number| merkle::leaf_hash(entry(number).as_bytes())).collect()
    }

    fn head(size: u64, seed: u8) -> SignedHead {
        signer(seed).sign(size, merkle::root(&leaves(size)))
    }

    fn receipt(seqs: &[u64], size: u64) -> Receipt {
        let mut receipt = Receipt::new(&head(size, 7), signer(7).public_key());
        for seq in seqs {
            receipt.show(*seq, &entry(*seq), &merkle::inclusion_proof(&leaves(size), *seq).unwrap());
        }
        receipt
    }

    fn extension(old: u64, seed: u8, size: u64) -> Receipt {
        let mut receipt = Receipt::new(&head(size, 7), signer(7).public_key());
        let proof = merkle::consistency_proof(&leaves(size), old).unwrap();
        receipt.extend(&head(old, seed), &proof, &[signer(6).public_key().clone()]);
        receipt
    }

    #[test]
    fn a_receipt_verifies_in_any_json_layout() {
        for (seq, size) in [(0, 1), (0, 2), (12, 60), (59, 60), (32, 33)] {
            let receipt = receipt(&[seq, size - 1], size);
            let key = signer(7).public_key().to_string();
            let proven = verify_receipt(receipt.to_json().as_bytes(), Some(&key)).unwrap();
            assert_eq!((proven.size, proven.extends, proven.trust), (size, None, Trust::Given));
            assert_eq!(proven.entries, [(seq, entry(seq)), (size - 1, entry(size - 1))]);
            let compact = serde_json::to_string(&receipt).unwrap();
            assert_eq!(verify_receipt(compact.as_bytes(), None).unwrap().trust, Trust::OwnWord);
        }
    }

    #[test]
    fn a_receipt_shows_that_the_log_extends_an_older_head_of_whichever_key() {
        for (old, seed, size) in [(1, 7, 60), (32, 7, 60), (60, 7, 60), (0, 7, 60), (33, 6, 60)] {
            let receipt = extension(old, seed, size);
            assert_eq!(verify_receipt(receipt.to_json().as_bytes(), None).unwrap().extends, Some(old));
            assert_eq!(receipt.former_keys.len(), usize::from(seed == 6));
        }
    }

    #[track_caller]
    fn check(mut receipt: Receipt, change: impl FnOnce(&mut Receipt), seq: Option<u64>, wanted: &str) {
        change(&mut receipt);
        let broken = verify_receipt(receipt.to_json().as_bytes(), None).unwrap_err();
        assert!(broken.to_string().contains(wanted), "{broken}");
        assert_eq!(broken.seq, seq, "{broken}");
    }

    #[test]
    fn each_change_of_a_receipt_is_found() {
        let check_entry = |change: &dyn Fn(&mut Included), seq| {
            check(receipt(&[3, 12], 60), |it| change(&mut it.entries[1]), Some(seq), "not in the log");
        };
        check_entry(&|it| it.entry = entry(13), 12);
        check_entry(&|it| it.entry.push(' '), 12);
        check_entry(&|it| it.seq = 13, 13);
        check_entry(&|it| it.seq = 60, 60);
        check_entry(&|it| drop(it.proof.pop()), 12);
        check_entry(&|it| it.proof.swap(0, 1), 12);
        check_entry(&|it| it.proof[2] = it.proof[2].to_uppercase(), 12);
        check_entry(&|it| it.proof.push("0".repeat(64)), 12);
        check(receipt(&[12], 60), |it| it.head = it.head.replace("60", "61"), None, "is false");
        check(receipt(&[12], 60), |it| it.public_key.push('x'), None, "public key");
        check(receipt(&[12], 60), |it| it.head = head(59, 7).to_string(), Some(12), "not in the log");
        check(receipt(&[], 60), |_| {}, None, "neither an entry nor an older head");
    }

    #[test]
    fn each_change_of_an_extension_is_found() {
        let check_older = |change: &dyn Fn(&mut Extended), seq, wanted| {
            check(extension(17, 7, 60), |it| change(it.older.as_mut().unwrap()), seq, wanted);
        };
        check_older(&|it| it.proof.swap(0, 1), Some(0), "history was rewritten");
        check_older(&|it| drop(it.proof.pop()), Some(0), "history was rewritten");
        check_older(&|it| it.head = head(18, 7).to_string(), Some(0), "history was rewritten");
        check_older(&|it| it.head = head(61, 7).to_string(), Some(60), "the log was cut");
        check_older(&|it| it.head = it.head.replace("17", "16"), None, "is false");
        check_older(&|it| it.head = head(17, 5).to_string(), None, "the older head: the head is signed by");
        check(extension(17, 6, 60), |it| it.former_keys.clear(), None, "another log, or the key was changed");
    }

    #[test]
    fn a_receipt_of_another_key_or_with_more_to_say_is_refused() {
        let receipt = receipt(&[12], 60).to_json();
        let other = signer(8).public_key().to_string();
        let broken = verify_receipt(receipt.as_bytes(), Some(&other)).unwrap_err();
        assert!(broken.to_string().contains("another log, or the key was changed"), "{broken}");
        let more = receipt.replacen('{', "{\"verdict\":\"true\",", 1);
        assert!(verify_receipt(more.as_bytes(), None).unwrap_err().to_string().contains("unknown field"));
        assert!(verify_receipt(b"", None).is_err());
    }

    #[test]
    fn the_python_verifier_agrees_on_good_and_changed_receipts() {
        let mut both = receipt(&[3, 12, 59], 60);
        both.older = extension(33, 7, 60).older;
        let good = [
            both,
            receipt(&[0], 1),
            receipt(&[2], 3),
            extension(0, 7, 60),
            extension(64, 7, 64),
            extension(33, 6, 60),
        ];
        let good = good.map(|receipt| receipt.to_json().into_bytes());
        let mut receipts = good.to_vec();
        for number in 0..agreements() {
            // The places and bytes of a fixed walk, dense enough to meet each part of the file.
            let mut changed = good[number % good.len()].clone();
            let at = number * 7919 % changed.len();
            changed[at] = match number % 4 {
                0 => changed[at] ^ 1,
                1 => b'0',
                2 => b'f',
                _ => b' ',
            };
            receipts.push(changed);
        }
        for (text, python) in receipts.iter().zip(verify_in_python(&["--receipt"], &receipts)) {
            let ours = verify_receipt(text, None);
            let place = ours.as_ref().err().map(|broken| (broken.line, broken.seq));
            assert_eq!(place, python, "{ours:?}\n{}", String::from_utf8_lossy(text));
        }
        let verdicts = receipts.iter().map(|text| verify_receipt(text, None));
        assert!(verdicts.filter(Result::is_err).count() > agreements() / 2);
    }
}
