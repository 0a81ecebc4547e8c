//! Evidence: checks sealed entries against signed heads.
//!
//! Entries may come from an export or a database. What can be named depends on who changed the log.
//! Whoever leaves the links alone is caught at the
//! very entry. Whoever computes them anew is caught by the next head, which only the key's holder can
//! sign; then the entries since the last good head are named. See docs/audit.md, "What is named".

use std::fmt;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use crate::model::audit;
use crate::model::chain::Chain;
use crate::model::checkpoint::{HeadError, PublicKey, SignedHead};
use crate::model::merkle::{Hash, Node};

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The first entry at hand; above 0 for a later part of an archive.
    pub from: u64,
    /// How many entries the log has; those from `from` were all read and are intact.
    pub size: u64,
    /// The root over all of them, as the last head has it.
    pub root: Hash,
    /// The key that signed the last head.
    pub key: PublicKey,
    /// Where that key was taken from.
    pub trust: Trust,
    /// How many heads between the entries were checked too.
    pub heads: u64,
    /// The sizes of the older heads that this log was shown to extend, smallest first.
    pub extends: Vec<u64>,
    /// Where the clock went back; no fault of the log, but whoever reads times should know.
    pub turned_back: Vec<TurnedBack>,
    /// Keys that signed heads before the present one did; trusted because the evidence lists them.
    pub former_keys: Vec<PublicKey>,
}

/// An entry whose time is well before that of the entry in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedBack {
    /// The entry.
    pub seq: u64,
    /// By how many seconds.
    pub seconds: i64,
}

/// Entries of several nodes lie a little out of order, and clocks differ a little; less than this says nothing.
const OUT_OF_ORDER: TimeDelta = TimeDelta::seconds(60);

/// More places than these are not listed: one is enough to look at the clocks.
const MOST_TURNS: usize = 100;

/// Where the key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// From the person who verifies: the log is the one they know.
    Given,
    /// From the evidence itself: it is whole, but anyone could have made it.
    OwnWord,
}

/// The first thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The line of the export, from 1.
    pub line: Option<u64>,
    /// The first entry that is not shown intact; `None` if the fault lies in a head or a key, not in an entry.
    pub seq: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.seq) {
            (Some(line), Some(seq)) => write!(f, "line {line}, entry {seq}: {}", self.fault),
            (Some(line), None) => write!(f, "line {line}: {}", self.fault),
            (None, Some(seq)) => write!(f, "entry {seq}: {}", self.fault),
            (None, None) => write!(f, "{}", self.fault),
        }
    }
}

impl std::error::Error for Broken {}

/// What can be wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file could not be read.
    #[error("reading failed: {0}")]
    Unreadable(String),
    /// The last line has no line feed.
    #[error("the file ends in the middle of this line: it was cut off")]
    CutLine,
    /// The file ends without the line that holds the head.
    #[error("the last line with the signed head is missing: the tail was cut off")]
    NoHead,
    /// A line is longer than any entry may be.
    #[error("the line is longer than {0} bytes")]
    LongLine(u64),
    /// The line has not the form of its kind.
    #[error("{0}")]
    Form(&'static str),
    /// An entry stands where another one belongs.
    #[error("entry {found} stands where this entry belongs: something was removed, inserted or moved")]
    Order {
        /// The seq the line carries.
        found: u64,
    },
    /// The entry's link is not the one that follows from its bytes and the entries before.
    #[error(
        "the entry's bytes and its link don't fit: one of them was changed, or an entry was put in, taken out or moved here"
    )]
    Link,
    /// A head between the entries doesn't fit them.
    #[error(
        "entries {first} to {last}, or the signed head that stands with entry {last}, were changed: {why}"
    )]
    Stretch {
        /// The first entry after the last good head.
        first: u64,
        /// The last entry the head covers.
        last: u64,
        /// What doesn't fit.
        why: String,
    },
    /// The last head is sound, the links are too, and the root is another.
    #[error(
        "one or more of the entries {first} to {last} were changed, and their links computed anew: the signed root is another"
    )]
    Rewritten {
        /// The first entry after the last good head.
        first: u64,
        /// The last entry.
        last: u64,
    },
    /// The head covers more entries than there are.
    #[error("this entry and those up to {last} are missing: the head was signed over {size} entries", last = size - 1)]
    Cut {
        /// How many the head covers, at least 1.
        size: u64,
    },
    /// There are more entries than the head covers.
    #[error("the signed head covers only {size} entries: this one and what follows were appended")]
    Appended {
        /// How many the head covers.
        size: u64,
    },
    /// The last head can't be read or believed.
    #[error("{0}")]
    Head(HeadError),
    /// The key given can't be read.
    #[error("{0}")]
    Key(HeadError),
    /// The last head is signed by a key other than the given one, which signed earlier heads.
    #[error("the head is signed by {now}; the key given, {given}, is a former key: ask for the present one")]
    FormerKey {
        /// The key that signed.
        now: String,
        /// The key given.
        given: String,
    },
    /// Some other statement of the last line is false.
    #[error("the last line says {0}, which is not so")]
    Claim(String),
    /// The older head can't be read or believed.
    #[error("the older head: {0}")]
    OldHead(HeadError),
    /// The older head was signed over more entries than the log now has.
    #[error(
        "the older head was signed over {size} entries: the log was cut, or an older copy of it was restored"
    )]
    Shrunk {
        /// How many it covers.
        size: u64,
    },
    /// The older head ends before the evidence begins.
    #[error("the older head covers {size} entries, and this part begins at entry {from}: verify the part that holds entry {last}", last = size.saturating_sub(1))]
    TooOld {
        /// How many it covers.
        size: u64,
        /// Where the evidence begins.
        from: u64,
    },
    /// The log doesn't extend what the older head was signed over.
    #[error(
        "the log is not the one the older head was signed over: among the entries {first} to {last} history was rewritten, or an older copy was restored and went on",
        last = size.saturating_sub(1)
    )]
    Forked {
        /// The first entry after the last older head that fits.
        first: u64,
        /// How many the older head covers.
        size: u64,
    },
    /// A row of the database beside the entries is wrong; a text that ends the sentence "the database …".
    #[error("the database {0}")]
    Row(String),
    /// A receipt's proof doesn't lead from its entry to the signed root.
    #[error(
        "the entry is not in the log that the head was signed over: the entry, its number or the proof was changed"
    )]
    NotIncluded,
}

impl Fault {
    /// What to do about it, as a sentence that begins small and has no full stop.
    pub fn cure(&self) -> &'static str {
        match self {
            Fault::Unreadable(_) => "check that the file is the one meant and can be read",
            Fault::CutLine | Fault::NoHead => {
                "fetch or export it again to its end; if it was whole when it was kept, somebody shortened it"
            }
            Fault::LongLine(_) | Fault::Form(_) | Fault::Claim(_) => {
                "give the file as songkhao wrote it, byte for byte; if it was not converted on its way, it was changed"
            }
            Fault::Order { .. }
            | Fault::Link
            | Fault::Stretch { .. }
            | Fault::Rewritten { .. }
            | Fault::Cut { .. }
            | Fault::Appended { .. } => {
                "compare this entry with an earlier export or a backup, and ask who could write to the database or the file since"
            }
            Fault::Head(HeadError::OtherKey { .. }) => {
                "ask whoever keeps the log for its present key by a way you trust; if the key was changed, an entry audit.key_changed says so; else it is another log, or somebody else's"
            }
            Fault::Head(_) => {
                "compare the head with one that was sent out; if none fits, somebody without the key changed it"
            }
            Fault::Key(_) => "give the public key as it was handed out, one line",
            Fault::FormerKey { .. } => {
                "check with the keeper that audit.key_changed in this log was meant, then use the present key"
            }
            Fault::OldHead(HeadError::OtherKey { .. }) => {
                "look whether this head belongs to another log; a head by a former key needs an export that lists the key"
            }
            Fault::OldHead(_) => "keep heads as they were sent, line feeds included, and give this one again",
            Fault::Shrunk { .. } => {
                "look for the missing entries in an export made after the head, and in what the platforms show; if a backup was restored on purpose, its gap is this"
            }
            Fault::TooOld { .. } => {
                "verify the earlier part with this head, and this part with the earlier part's head"
            }
            Fault::Forked { .. } => {
                "compare with an export made before the head; if a backup was restored on purpose, what it lacked is found there alone"
            }
            Fault::Row(_) => {
                "the sealed entries tell the truth: compare with them, and ask who could write to the database"
            }
            Fault::NotIncluded => {
                "ask for the receipt again; if it comes out the same, the log does not hold this entry"
            }
        }
    }
}

/// Checks entries one by one, then the head over them. Holds O(log n) hashes, and the heads on the way.
#[derive(Debug)]
pub struct Checker {
    chain: Chain,
    from: u64,
    /// The line of the entry `from`, if the evidence has lines.
    first_line: Option<u64>,
    waypoints: Vec<SignedHead>,
    /// By size, each with our root at that size, once reached.
    older: Vec<(SignedHead, Option<Hash>)>,
    /// When the last entry was made.
    last_at: Option<DateTime<Utc>>,
    turned_back: Vec<TurnedBack>,
}

impl Checker {
    /// Starts at the state that `chain` holds: [`Chain::new`] for a whole log.
    ///
    /// `older` are heads from earlier days that the log must turn out to extend.
    pub fn new(chain: Chain, mut older: Vec<SignedHead>) -> Checker {
        older.sort_by_key(|head| head.head.size);
        older.dedup();
        let mut checker = Checker {
            from: chain.size(),
            chain,
            first_line: None,
            waypoints: Vec::new(),
            older: older.into_iter().map(|head| (head, None)).collect(),
            last_at: None,
            turned_back: Vec::new(),
        };
        checker.pass_older();
        checker
    }

    /// Says at which line of the export the first entry stands, so that faults name lines.
    #[must_use]
    pub fn starting_at_line(mut self, line: u64) -> Checker {
        self.first_line = Some(line);
        self
    }

    /// The entry that must come next.
    pub fn expected(&self) -> u64 {
        self.chain.size()
    }

    /// The log as far as it was taken.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Takes the next entry: its number and link as recorded, and its exact bytes.
    pub fn entry(&mut self, seq: u64, link: &Hash, entry: &[u8]) -> Result<(), Broken> {
        self.entry_with(seq, link, entry, |_, _| {})
    }

    /// As [`Checker::entry`]; `completed` gets each tree node that is now final, the leaf first.
    pub fn entry_with(
        &mut self,
        seq: u64,
        link: &Hash,
        entry: &[u8],
        completed: impl FnMut(Node, Hash),
    ) -> Result<(), Broken> {
        let expected = self.expected();
        if seq != expected {
            return Err(self.broken_at(expected, Fault::Order { found: seq }));
        }
        if self.chain.push(entry, completed).link != *link {
            return Err(self.broken_at(expected, Fault::Link));
        }
        self.watch_clock(seq, entry);
        self.pass_older();
        Ok(())
    }

    fn watch_clock(&mut self, seq: u64, entry: &[u8]) {
        let Some(at) = audit::moment_of(entry) else { return };
        let back = self.last_at.map_or(TimeDelta::zero(), |last| last - at);
        if back > OUT_OF_ORDER && self.turned_back.len() < MOST_TURNS {
            self.turned_back.push(TurnedBack { seq, seconds: back.num_seconds() });
        }
        self.last_at = Some(at);
    }

    /// Takes a head that was signed right after the last entry taken.
    ///
    /// Its root is compared now; its signature in [`Checker::finish`], when the key is known.
    pub fn head(&mut self, head: SignedHead) -> Result<(), Broken> {
        if head.head.size != self.chain.size() {
            let why = format!("it was signed over {} entries", head.head.size);
            return Err(self.stretch(self.chain.size(), self.good(), why));
        }
        if head.head.root != self.chain.root() {
            return Err(self.stretch(
                self.chain.size(),
                self.good(),
                "the signed root is another".to_owned(),
            ));
        }
        self.waypoints.push(head);
        Ok(())
    }

    /// Checks the last head, the heads on the way and the older head.
    pub fn finish(
        self,
        head: &SignedHead,
        key: PublicKey,
        former_keys: Vec<PublicKey>,
        trust: Trust,
    ) -> Result<Verdict, Broken> {
        let last_line = self.line_of(self.chain.size());
        let at_head = |fault| Broken { line: last_line, seq: None, fault };
        head.verify(&key).map_err(|error| at_head(Fault::Head(error)))?;
        self.check_waypoints(&key, &former_keys)?;
        // A database keeps every key that ever signed; an export lists those that it needs.
        let idle = self.first_line.and_then(|_| self.idle_key(&key, &former_keys));
        if let Some(idle) = idle {
            let claim = format!("that {} signed one of the heads between the entries", idle.short());
            return Err(at_head(Fault::Claim(claim)));
        }
        let (size, have) = (head.head.size, self.chain.size());
        if size > have {
            return Err(Broken { line: last_line, seq: Some(have), fault: Fault::Cut { size } });
        }
        if size < have {
            return Err(self.broken_at(size.max(self.from), Fault::Appended { size }));
        }
        if head.head.root != self.chain.root() {
            let first = self.good();
            // With no entry after the last good head, it is the state before the first one that was changed.
            let last = have.saturating_sub(1).max(first);
            return Err(self.broken_at(first, Fault::Rewritten { first, last }));
        }
        let extends = self.check_older(&key, &former_keys)?;
        let Checker { from, waypoints, turned_back, .. } = self;
        let (root, heads) = (head.head.root, waypoints.len() as u64);
        Ok(Verdict { from, size, root, key, trust, heads, extends, turned_back, former_keys })
    }

    /// Every head on the way must be signed by the present key or a former one.
    fn check_waypoints(&self, key: &PublicKey, former_keys: &[PublicKey]) -> Result<(), Broken> {
        let mut good = self.from;
        for waypoint in &self.waypoints {
            if let Err(error) = verify_by_any(waypoint, key, former_keys) {
                return Err(self.stretch(waypoint.head.size, good, error.to_string()));
            }
            good = waypoint.head.size;
        }
        Ok(())
    }

    /// A former key that is listed twice, or signed nothing: an honest export lists none.
    fn idle_key<'a>(&self, key: &PublicKey, former_keys: &'a [PublicKey]) -> Option<&'a PublicKey> {
        let idle = |(at, former): &(usize, &PublicKey)| {
            let signer = former.short();
            *former == key
                || former_keys[..*at].contains(former)
                || !self.waypoints.iter().any(|waypoint| waypoint.signer() == signer)
        };
        former_keys.iter().enumerate().find(idle).map(|(_, former)| former)
    }

    /// The sizes of the older heads, if every one fits.
    fn check_older(&self, key: &PublicKey, former_keys: &[PublicKey]) -> Result<Vec<u64>, Broken> {
        let nowhere = |seq, fault| Broken { line: None, seq, fault };
        let (mut sizes, have, mut first) = (Vec::new(), self.chain.size(), self.from);
        for (older, root) in &self.older {
            verify_by_any(older, key, former_keys).map_err(|error| nowhere(None, Fault::OldHead(error)))?;
            let size = older.head.size;
            match root {
                Some(root) if *root == older.head.root => sizes.push(size),
                Some(_) => return Err(nowhere(Some(first), Fault::Forked { first, size })),
                None if size > have => return Err(nowhere(Some(have), Fault::Shrunk { size })),
                None => return Err(nowhere(None, Fault::TooOld { size, from: self.from })),
            }
            first = size;
        }
        Ok(sizes)
    }

    fn pass_older(&mut self) {
        let size = self.chain.size();
        let from = self.older.partition_point(|(older, _)| older.head.size < size);
        for (older, root) in &mut self.older[from..] {
            if older.head.size != size {
                break;
            }
            *root = Some(self.chain.root());
        }
    }

    /// How many entries the last good head covers.
    fn good(&self) -> u64 {
        self.waypoints.last().map_or(self.from, |waypoint| waypoint.head.size)
    }

    /// A head at `size` entries doesn't fit, and the one before covers `good` of them.
    fn stretch(&self, size: u64, good: u64, why: String) -> Broken {
        let last = size.saturating_sub(1).max(good);
        Broken { line: self.line_of(last), seq: Some(good), fault: Fault::Stretch { first: good, last, why } }
    }

    /// A fault in entry `seq`.
    pub(super) fn broken_at(&self, seq: u64, fault: Fault) -> Broken {
        Broken { line: self.line_of(seq), seq: Some(seq), fault }
    }

    fn line_of(&self, seq: u64) -> Option<u64> {
        Some(self.first_line? + seq.checked_sub(self.from)?)
    }
}

/// Verifies with the one of the keys whose id the head names; with none of them, names the present key.
pub(super) fn verify_by_any(
    head: &SignedHead,
    key: &PublicKey,
    former_keys: &[PublicKey],
) -> Result<(), HeadError> {
    let signer = head.signer();
    let key = former_keys.iter().find(|former| former.short() == signer).unwrap_or(key);
    head.verify(key).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::Signer;

    const ENTRIES: [&str; 4] = ["{\"at\":\"1\"}", "{\"at\":\"2\"}", "{\"at\":\"3\"}", "{\"at\":\"4\"}"];

    fn signer() -> Signer {
        Signer::from_secret("news.example/audit", &[7; 32]).unwrap()
    }

    /// Checks rows as a database holds them: number, link, entry; then the head of `sealed` entries.
    fn check_rows(rows: &[(u64, Hash, &str)], sealed: usize) -> Result<Verdict, Broken> {
        let mut chain = Chain::new();
        for entry in &ENTRIES[..sealed] {
            chain.push(entry.as_bytes(), |_, _| {});
        }
        let head = signer().sign(chain.size(), chain.root());
        let mut checker = Checker::new(Chain::new(), Vec::new());
        for (seq, link, entry) in rows {
            checker.entry(*seq, link, entry.as_bytes())?;
        }
        checker.finish(&head, signer().public_key().clone(), Vec::new(), Trust::Given)
    }

    fn rows() -> Vec<(u64, Hash, &'static str)> {
        let mut chain = Chain::new();
        ENTRIES
            .iter()
            .map(|entry| chain.push(entry.as_bytes(), |_, _| {}))
            .zip(ENTRIES)
            .map(|(sealed, entry)| (sealed.seq, sealed.link, entry))
            .collect()
    }

    #[track_caller]
    fn check(rows: &[(u64, Hash, &str)], sealed: usize, wanted: &str) {
        let broken = check_rows(rows, sealed).unwrap_err();
        assert_eq!(broken.line, None);
        assert!(broken.to_string().starts_with(wanted), "{broken}");
    }

    #[test]
    fn rows_of_a_database_are_checked_without_lines() {
        assert_eq!(check_rows(&rows(), 4).unwrap().size, 4);
        let mut changed = rows();
        changed[2].2 = "{\"at\":\"5\"}";
        check(&changed, 4, "entry 2: the entry's bytes and its link don't fit");
        let mut removed = rows();
        removed.remove(1);
        check(&removed, 4, "entry 1: entry 2 stands where this entry belongs");
        check(&rows()[..3], 4, "entry 3: this entry and those up to 3 are missing");
        check(&rows(), 3, "entry 3: the signed head covers only 3 entries");
    }

    #[test]
    fn a_place_is_told_as_far_as_it_is_known() {
        let told = |line, seq| Broken { line, seq, fault: Fault::NoHead }.to_string();
        assert!(told(Some(3), Some(2)).starts_with("line 3, entry 2: the last line"));
        assert!(told(Some(3), None).starts_with("line 3: the last line"));
        assert!(told(None, Some(2)).starts_with("entry 2: the last line"));
        assert!(told(None, None).starts_with("the last line"));
    }
}
