//! Chain: seals entries in order and keeps the state that sealing needs.
//!
//! Each sealed entry gets a leaf in the Merkle tree, which heads sign, and a link, which hashes the
//! link before it and the leaf. The tree proves; the link lets a reader point at the very entry where
//! a copy of the log starts to differ, which a root alone can't.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::audit;
use crate::model::merkle;
use crate::model::merkle::{Frontier, Hash, Node};

/// The log up to some size: enough to append, and to check what follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    frontier: Frontier,
    link: Hash,
}

/// What sealing adds to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The entry's place in the log, from 0; also the index of its leaf.
    pub seq: u64,
    /// SHA-256(0x00 ‖ entry).
    pub leaf: Hash,
    /// SHA-256(0x02 ‖ link before ‖ leaf); before the first entry stand 32 zero bytes.
    pub link: Hash,
}

/// The entry can't be sealed: what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an audit entry is one line of compact JSON that begins with {opening}, not {0:?}", opening = audit::OPENING)]
pub struct Unsealable(pub String);

impl Chain {
    /// The empty log.
    pub fn new() -> Chain {
        Chain::default()
    }

    /// How many entries are sealed; the next one's seq.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over all sealed entries.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The last entry's link.
    pub fn link(&self) -> Hash {
        self.link
    }

    /// Seals the next entry, given as [`audit::Entry::canonical`] wrote it.
    ///
    /// `completed` gets each tree node that is now final, the leaf first: keep them to make receipts fast.
    pub fn seal(&mut self, entry: &str, completed: impl FnMut(Node, Hash)) -> Result<Sealed, Unsealable> {
        if !is_sealable(entry) {
            return Err(Unsealable(entry.chars().take(40).collect()));
        }
        Ok(self.push(entry.as_bytes(), completed))
    }

    /// Appends whatever bytes are given, as a verifier must.
    pub(super) fn push(&mut self, entry: &[u8], completed: impl FnMut(Node, Hash)) -> Sealed {
        let seq = self.size();
        let leaf = merkle::leaf_hash(entry);
        self.link = merkle::prefixed(0x02, &self.link, &leaf);
        self.frontier.append(leaf, completed);
        Sealed { seq, leaf, link: self.link }
    }
}

/// Whether `entry` can stand in an export line and be taken out again byte for byte.
pub(super) fn is_sealable(entry: &str) -> bool {
    entry.starts_with(audit::OPENING) && entry.ends_with('}') && !entry.contains('\n')
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    size: u64,
    link: String,
    peaks: Vec<String>,
}

/// Compact JSON: `{"size":…,"link":"…","peaks":["…"]}`, hashes in hex, peaks largest first.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = Written {
            size: self.size(),
            link: merkle::hex(&self.link),
            peaks: self.frontier.peaks().iter().map(merkle::hex).collect(),
        };
        f.write_str(&serde_json::to_string(&written).map_err(|_| fmt::Error)?)
    }
}

/// Reads what [`Chain`]'s display wrote, and nothing else.
impl FromStr for Chain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let written: Written =
            serde_json::from_str(text).map_err(|error| format!("not the state of an audit log: {error}"))?;
        let hash = |digits: &String| {
            merkle::from_hex(digits.as_bytes())
                .ok_or_else(|| format!("{digits:?} is not 64 lower-case hex digits"))
        };
        let link = hash(&written.link)?;
        let peaks = written.peaks.iter().map(hash).collect::<Result<Vec<Hash>, String>>()?;
        let (size, found) = (written.size, peaks.len());
        let frontier = Frontier::restore(size, peaks).ok_or_else(|| {
            format!("a log of {size} entries has {} peaks, and here are {found}", size.count_ones())
        })?;
        let chain = Chain { frontier, link };
        if chain.to_string() != text {
            return Err("not in the one compact form that songkhao writes".to_owned());
        }
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_on_from_where_it_was_kept() {
        let entry = |n: u64| format!("{{\"at\":\"2026\",\"n\":{n}}}");
        let mut whole = Chain::new();
        for n in 0..21 {
            let kept = whole.to_string();
            let mut restored: Chain = kept.parse().unwrap();
            let sealed = whole.seal(&entry(n), |_, _| {}).unwrap();
            assert_eq!(restored.seal(&entry(n), |_, _| {}).unwrap(), sealed);
            assert_eq!((restored.root(), restored.link()), (whole.root(), sealed.link));
            assert_eq!(sealed.seq, n);
        }
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let mut chain = Chain::new();
        for _ in 0..3 {
            chain.seal("{\"at\":\"2026\"}", |_, _| {}).unwrap();
        }
        let kept = chain.to_string();
        for (from, to, wanted) in [
            ("\"size\":3", "\"size\":4", "has 1 peaks, and here are 2"),
            ("\"size\":3", "\"size\": 3", "compact form"),
            ("\"link\":\"", "\"link\":\"x", "hex digits"),
            ("\"peaks\"", "\"tops\"", "unknown field"),
        ] {
            let error = kept.replacen(from, to, 1).parse::<Chain>().unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_could_not_be_taken_out_of_a_line_again_is_not_sealed() {
        for entry in
            ["", "{}", "{\"head\":\"x\"}", "{\"at\":\"2026\"}\n", "{\"at\":\"\n\"}", "{\"at\":\"2026\""]
        {
            assert!(Chain::new().seal(entry, |_, _| {}).is_err(), "{entry:?}");
        }
    }
}
