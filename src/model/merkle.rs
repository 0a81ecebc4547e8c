//! Merkle tree: hashes, roots and proofs of an append-only list.
//!
//! Spec: RFC 6962 section 2.1 (the same tree as RFC 9162 and C2SP's tlog-checkpoint).
//! Nothing here holds the whole tree. A [`Frontier`] is enough to append and to tell the root; a
//! proof is first a list of spans, so that a store may fetch just the [`Node`]s it needs.

use std::ops::Range;

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 value: of a leaf, a node, a root or a link.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    taken(digest(&SHA256, b"").as_ref())
}

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    prefixed(0x00, entry, &[])
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    prefixed(0x01, left, right)
}

/// SHA-256(tag ‖ first ‖ second); the tag keeps leaves, nodes and links from passing for one another.
pub(super) fn prefixed(tag: u8, first: &[u8], second: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[tag]);
    context.update(first);
    context.update(second);
    taken(context.finish().as_ref())
}

fn taken(digest: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest);
    hash
}

/// The right edge of a tree: the perfect subtrees that make it up, largest first.
///
/// At most 64 hashes whatever the size; appending costs one hash on average, the root at most 63.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// A frontier as it was kept; `None` unless there is one peak for each 1 in the binary form of `size`.
    pub fn restore(size: u64, peaks: Vec<Hash>) -> Option<Frontier> {
        (peaks.len() == size.count_ones() as usize).then_some(Frontier { size, peaks })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The perfect subtrees' roots, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf and hands every node that it completes, the leaf first, to `completed`.
    ///
    /// A store that keeps those nodes proves any entry from about 2 log₂(size) rows.
    pub fn append(&mut self, leaf: Hash, mut completed: impl FnMut(Node, Hash)) {
        let mut node = Node { level: 0, index: self.size };
        let mut hash = leaf;
        completed(node, hash);
        while node.index % 2 == 1 {
            // An odd index has a left sibling, and that is always the last peak.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node { level: node.level + 1, index: node.index / 2 };
            completed(node, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// A perfect subtree: `level` 0 is a leaf; it covers the leaves from `index << level`, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// How far above the leaves.
    pub level: u32,
    /// Which one of its level, from 0.
    pub index: u64,
}

/// The perfect subtrees that make up a span of a proof, largest first; [`fold`] their hashes.
pub fn nodes(span: &Range<u64>) -> Vec<Node> {
    let length = span.end.saturating_sub(span.start);
    let mut start = span.start;
    let mut nodes = Vec::with_capacity(length.count_ones() as usize);
    for level in (0..u64::BITS).rev() {
        if length >> level & 1 == 1 {
            nodes.push(Node { level, index: start >> level });
            start += 1 << level;
        }
    }
    nodes
}

/// The hash of a span from the hashes of its [`nodes`]; of no nodes, the empty tree's root.
pub fn fold(hashes: &[Hash]) -> Hash {
    let mut hashes = hashes.iter().rev();
    match hashes.next() {
        None => empty_root(),
        Some(last) => hashes.fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// The root over `leaves`.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(*leaf, |_, _| {});
    }
    frontier.root()
}

/// The spans whose hashes prove, in this order, that leaf `index` is in the tree of `size` leaves.
///
/// `None` if `index` is not below `size`.
pub fn inclusion_spans(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut spans = Vec::new();
    let mut within = 0..size;
    while within.end - within.start > 1 {
        let middle = within.start + split(within.end - within.start);
        if index < middle {
            spans.push(middle..within.end);
            within.end = middle;
        } else {
            spans.push(within.start..middle);
            within.start = middle;
        }
    }
    spans.reverse();
    Some(spans)
}

/// The spans whose hashes prove, in this order, that the first `old` leaves of the tree of `size` are a former tree.
///
/// No spans if `old` is 0 or `size`; `None` if `old` is above `size`.
pub fn consistency_spans(old: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if old > size {
        return None;
    }
    if old == 0 || old == size {
        return Some(Vec::new());
    }
    let mut spans = Vec::new();
    let mut within = 0..size;
    // RFC 6962, SUBPROOF: go down to the node whose right end is `old`; it is itself part of the
    // proof unless it is the whole old tree, whose root the verifier holds.
    while within.end != old {
        let middle = within.start + split(within.end - within.start);
        if old <= middle {
            spans.push(middle..within.end);
            within.end = middle;
        } else {
            spans.push(within.start..middle);
            within.start = middle;
        }
    }
    if within.start > 0 {
        spans.push(within);
    }
    spans.reverse();
    Some(spans)
}

/// The proof that `leaves` hold leaf `index`; `None` if they don't reach that far.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    Some(hashed(leaves, inclusion_spans(index, leaves.len() as u64)?))
}

/// The proof that the first `old` of `leaves` are a former tree; `None` if there are fewer.
pub fn consistency_proof(leaves: &[Hash], old: u64) -> Option<Vec<Hash>> {
    Some(hashed(leaves, consistency_spans(old, leaves.len() as u64)?))
}

/// Spans never reach beyond `leaves`: they were made for their number, which fits `usize`.
fn hashed(leaves: &[Hash], spans: Vec<Range<u64>>) -> Vec<Hash> {
    spans.into_iter().map(|span| root(&leaves[span.start as usize..span.end as usize])).collect()
}

/// Whether `proof` shows that `leaf` is number `index` of the tree of `size` leaves with this `root`.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    let Some(spans) = inclusion_spans(index, size) else { return false };
    if spans.len() != proof.len() {
        return false;
    }
    let found = spans.iter().zip(proof).fold(*leaf, |hash, (span, sibling)| {
        if span.start > index { node_hash(&hash, sibling) } else { node_hash(sibling, &hash) }
    });
    found == *root
}

/// Whether `proof` shows that the tree of `size` leaves only appends to the tree of `old` leaves.
///
/// Of an empty old tree nothing need be shown, but its root must be [`empty_root`].
pub fn verify_consistency(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    let Some(spans) = consistency_spans(old, size) else { return false };
    if spans.len() != proof.len() {
        return false;
    }
    if old == size {
        return old_root == root;
    }
    if old == 0 {
        return *old_root == empty_root();
    }
    let mut steps = spans.iter().zip(proof);
    // A perfect old tree is a node of the new one, so the proof leaves its hash out.
    let (mut then, mut now) = match old.is_power_of_two() {
        true => (*old_root, *old_root),
        false => match steps.next() {
            Some((_, seed)) => (*seed, *seed),
            None => return false,
        },
    };
    for (span, sibling) in steps {
        if span.start >= old {
            now = node_hash(&now, sibling);
        } else {
            then = node_hash(sibling, &then);
            now = node_hash(sibling, &now);
        }
    }
    then == *old_root && now == *root
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

/// A hash as 64 lower-case hex digits.
pub fn hex(hash: &Hash) -> String {
    to_hex(hash).into_iter().map(char::from).collect()
}

/// A hash as 64 lower-case hex digits, in place.
pub fn to_hex(hash: &Hash) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// The hash that 64 lower-case hex digits stand for; `None` for anything else, capitals included.
pub fn from_hex(digits: &[u8]) -> Option<Hash> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// MTH of RFC 6962 section 2.1, word for word: recursive, over the entries themselves.
    fn naive_root(entries: &[Vec<u8>]) -> Hash {
        match entries {
            [] => taken(digest(&SHA256, b"").as_ref()),
            [entry] => taken(digest(&SHA256, &[&[0][..], entry].concat()).as_ref()),
            _ => {
                let k = naive_split(entries.len());
                let (left, right) = (naive_root(&entries[..k]), naive_root(&entries[k..]));
                taken(digest(&SHA256, &[&[1][..], &left, &right].concat()).as_ref())
            }
        }
    }

    /// PATH of section 2.1.1.
    fn naive_path(m: usize, entries: &[Vec<u8>]) -> Vec<Hash> {
        if entries.len() == 1 {
            return Vec::new();
        }
        let k = naive_split(entries.len());
        let (mut path, sibling) = match m < k {
            true => (naive_path(m, &entries[..k]), naive_root(&entries[k..])),
            false => (naive_path(m - k, &entries[k..]), naive_root(&entries[..k])),
        };
        path.push(sibling);
        path
    }

    /// SUBPROOF of section 2.1.2.
    fn naive_subproof(m: usize, entries: &[Vec<u8>], whole: bool) -> Vec<Hash> {
        if m == entries.len() {
            return if whole { Vec::new() } else { vec![naive_root(entries)] };
        }
        let k = naive_split(entries.len());
        let (mut proof, sibling) = match m <= k {
            true => (naive_subproof(m, &entries[..k], whole), naive_root(&entries[k..])),
            false => (naive_subproof(m - k, &entries[k..], false), naive_root(&entries[..k])),
        };
        proof.push(sibling);
        proof
    }

    fn naive_split(length: usize) -> usize {
        let mut k = 1;
        while k * 2 < length {
            k *= 2;
        }
        k
    }

    fn entries(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("บันทึกที่ {n}").into_bytes()).collect()
    }

    fn leaves(entries: &[Vec<u8>]) -> Vec<Hash> {
        entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    #[test]
    fn the_empty_tree_and_the_empty_leaf_hash_as_the_rfc_says() {
        assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(Frontier::new().root(), empty_root());
    }

    #[test]
    fn every_root_and_proof_up_to_70_leaves_is_the_rfcs_and_verifies() {
        let entries = entries(70);
        let leaves = leaves(&entries);
        let mut frontier = Frontier::new();
        for size in 1..=entries.len() {
            frontier.append(leaves[size - 1], |_, _| {});
            let now = naive_root(&entries[..size]);
            assert_eq!(frontier.root(), now, "frontier of {size}");
            assert_eq!(root(&leaves[..size]), now, "root of {size}");
            for index in 0..size {
                let proof = inclusion_proof(&leaves[..size], index as u64).unwrap();
                assert_eq!(proof, naive_path(index, &entries[..size]), "path {index} of {size}");
                assert!(verify_inclusion(&leaves[index], index as u64, size as u64, &now, &proof));
                let wrong = (index + 1) % size;
                assert!(
                    size == 1 || !verify_inclusion(&leaves[index], wrong as u64, size as u64, &now, &proof)
                );
            }
            for old in 1..=size {
                let then = naive_root(&entries[..old]);
                let proof = consistency_proof(&leaves[..size], old as u64).unwrap();
                assert_eq!(proof, naive_subproof(old, &entries[..size], true), "proof {old} to {size}");
                assert!(verify_consistency(old as u64, &then, size as u64, &now, &proof), "{old} to {size}");
                assert!(
                    old == size || !verify_consistency(old as u64, &now, size as u64, &now, &proof),
                    "{old} to {size} with the wrong old root"
                );
            }
        }
    }

    #[test]
    fn kept_nodes_give_the_same_proofs_as_leaves() {
        let leaves = leaves(&entries(45));
        let mut kept = std::collections::HashMap::new();
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.append(*leaf, |node, hash| assert_eq!(kept.insert(node, hash), None));
        }
        let fetched = |spans: Vec<Range<u64>>| -> Vec<Hash> {
            let span_hash =
                |span: &Range<u64>| fold(&nodes(span).iter().map(|node| kept[node]).collect::<Vec<_>>());
            spans.iter().map(span_hash).collect()
        };
        for at in 0..leaves.len() as u64 {
            let inclusion = fetched(inclusion_spans(at, 45).unwrap());
            assert_eq!(Some(inclusion), inclusion_proof(&leaves, at));
            let consistency = fetched(consistency_spans(at, 45).unwrap());
            assert_eq!(Some(consistency), consistency_proof(&leaves, at));
        }
    }

    #[test]
    fn what_is_out_of_range_has_no_proof() {
        let leaves = leaves(&entries(3));
        assert_eq!(inclusion_proof(&leaves, 3), None);
        assert_eq!(consistency_proof(&leaves, 4), None);
        assert_eq!(consistency_proof(&leaves, 0), Some(vec![]));
        assert!(!verify_inclusion(&leaves[0], 5, 3, &root(&leaves), &[]));
        assert!(!verify_consistency(4, &empty_root(), 3, &root(&leaves), &[]));
        assert!(verify_consistency(0, &empty_root(), 3, &root(&leaves), &[]));
        assert!(!verify_consistency(0, &leaves[0], 3, &root(&leaves), &[]));
    }

    #[test]
    fn a_frontier_is_restored_only_with_as_many_peaks_as_its_size_has() {
        let mut frontier = Frontier::new();
        for leaf in leaves(&entries(13)) {
            frontier.append(leaf, |_, _| {});
        }
        let peaks = frontier.peaks().to_vec();
        assert_eq!(peaks.len(), 3);
        assert_eq!(Frontier::restore(13, peaks.clone()), Some(frontier));
        assert_eq!(Frontier::restore(12, peaks), None);
    }

    #[test]
    fn hex_is_lower_case_and_exact() {
        let hash = leaf_hash(b"x");
        let digits = to_hex(&hash);
        assert_eq!(from_hex(&digits), Some(hash));
        assert_eq!(from_hex(&digits[1..]), None);
        assert_eq!(from_hex(&digits.to_ascii_uppercase()), None);
    }

    proptest! {
        #[test]
        fn a_changed_proof_proves_nothing(size in 2usize..200, pick in any::<prop::sample::Index>(),
                                          bit in 0usize..256, part in any::<prop::sample::Index>()) {
            let leaves = leaves(&entries(size));
            let (now, index) = (root(&leaves), pick.index(size));
            let mut proof = inclusion_proof(&leaves, index as u64).unwrap();
            let at = part.index(proof.len());
            proof[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&leaves[index], index as u64, size as u64, &now, &proof));

            let old = 1 + pick.index(size - 1);
            let then = root(&leaves[..old]);
            let mut proof = consistency_proof(&leaves, old as u64).unwrap();
            let at = part.index(proof.len());
            proof[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_consistency(old as u64, &then, size as u64, &now, &proof));
            proof.pop();
            prop_assert!(!verify_consistency(old as u64, &then, size as u64, &now, &proof));
        }

        #[test]
        fn a_proof_between_any_two_sizes_verifies(old in 1usize..300, more in 0usize..300) {
            let leaves = leaves(&entries(old + more));
            let proof = consistency_proof(&leaves, old as u64).unwrap();
            let (then, now) = (root(&leaves[..old]), root(&leaves));
            prop_assert!(verify_consistency(old as u64, &then, (old + more) as u64, &now, &proof));
        }
    }
}
