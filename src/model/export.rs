//! Export: the audit log as JSON lines that a stranger can check byte by byte.
//!
//! A line is the entry's canonical JSON with its number and link put in front:
//! `{"seq":7,"link":"…",` + the entry without its opening brace. So the exact bytes that were hashed are
//! in the line, and the line is still one flat JSON object. Everything else in it has exactly one
//! form, so no changed byte goes unseen. Format: docs/audit.md.

use std::io;
use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::model::chain;
use crate::model::chain::Chain;
use crate::model::checkpoint;
use crate::model::checkpoint::{PublicKey, SignedHead};
use crate::model::evidence::{Broken, Checker, Fault, Trust, Verdict};
use crate::model::merkle;
use crate::model::merkle::Hash;

/// The longest line read, in bytes. Payloads and answers stay far below it; it bounds what a hostile file can take.
pub const LONGEST_LINE: u64 = 16 << 20;

const SEQ: &[u8] = b"{\"seq\":";
const LINK: &[u8] = b",\"link\":\"";
const AFTER_LINK: &[u8] = b"\",";
const HEAD: &[u8] = b"\"head\":";

/// Writes an export, refusing what could not be verified afterwards.
#[derive(Debug)]
pub struct Exporter<W> {
    out: W,
    next: u64,
    heads: u64,
    /// Who signed the heads written so far.
    signers: Vec<String>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    head: String,
    /// How many heads stand between the entries, so that a missing one shows.
    heads: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_keys: Vec<String>,
    public_key: String,
}

impl<W: Write> Exporter<W> {
    /// An export of the whole log.
    pub fn new(out: W) -> Exporter<W> {
        Exporter { out, next: 0, heads: 0, signers: Vec::new() }
    }

    /// An export of what follows `chain`, whose own entries were archived before.
    pub fn following(mut out: W, chain: &Chain) -> io::Result<Exporter<W>> {
        writeln!(out, "{{\"from\":{chain}}}")?;
        Ok(Exporter { out, next: chain.size(), heads: 0, signers: Vec::new() })
    }

    /// Writes the next entry with its recorded link, and the head that was signed right after it, if any.
    ///
    /// The link is not computed here: an entry that was changed in the database must show as such.
    /// Some heads on the way (one an hour, one in a thousand entries) narrow down what was changed.
    pub fn entry(&mut self, seq: u64, link: &Hash, entry: &str, head: Option<&SignedHead>) -> io::Result<()> {
        if seq != self.next || !chain::is_sealable(entry) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "audit entry {} is missing or damaged in the database (read: entry {seq})",
                    self.next
                ),
            ));
        }
        self.out.write_all(SEQ)?;
        write!(self.out, "{seq}")?;
        self.out.write_all(LINK)?;
        self.out.write_all(&merkle::to_hex(link))?;
        self.out.write_all(AFTER_LINK)?;
        if let Some(head) = head {
            self.out.write_all(HEAD)?;
            serde_json::to_writer(&mut self.out, &head.to_string())?;
            self.out.write_all(b",")?;
            self.heads += 1;
            if !self.signers.contains(&head.signer()) {
                self.signers.push(head.signer());
            }
        }
        self.out.write_all(&entry.as_bytes()[1..])?;
        self.out.write_all(b"\n")?;
        self.next += 1;
        Ok(())
    }

    /// Writes the last line and gives the writer back, not flushed.
    ///
    /// `former_keys` are the log's earlier keys; those that signed a head in this export are listed in it.
    pub fn finish(mut self, head: &SignedHead, key: &PublicKey, former_keys: &[PublicKey]) -> io::Result<W> {
        let last = Last {
            head: head.to_string(),
            heads: self.heads,
            former_keys: former_keys
                .iter()
                .filter(|former| *former != key && self.signers.contains(&former.short()))
                .map(PublicKey::to_string)
                .collect(),
            public_key: key.to_string(),
        };
        serde_json::to_writer(&mut self.out, &last)?;
        self.out.write_all(b"\n")?;
        Ok(self.out)
    }
}

/// Verifies an export from its bytes alone, and names the first thing that is wrong.
///
/// `key` is the public key the reader knows the log by; without it the file's own is believed and
/// [`Verdict::trust`] says so. `heads` is the text of any number of older heads that the log must extend.
/// Memory stays at one line, a few hashes, the older heads and those on the way.
pub fn verify_export(lines: impl BufRead, key: Option<&str>, heads: Option<&str>) -> Result<Verdict, Broken> {
    let nowhere = |fault| Broken { line: None, seq: None, fault };
    let key = key.map(str::parse).transpose().map_err(|error| nowhere(Fault::Key(error)))?;
    let older = heads.map_or(Ok(Vec::new()), checkpoint::parse_heads);
    let older = older.map_err(|error| nowhere(Fault::OldHead(error)))?;
    let mut lines = Lines { lines, number: 0, buffer: Vec::new() };

    let mut checker = Checker::new(Chain::new(), older.clone()).starting_at_line(1);
    let mut heads = 0;
    loop {
        let fault = match lines.next() {
            Ok(true) if lines.number == 1 && lines.buffer.starts_with(b"{\"from\":") => {
                let chain = opening(&lines.buffer).map_err(|fault| lines.broken(None, fault))?;
                checker = Checker::new(chain, older.clone()).starting_at_line(2);
                continue;
            }
            Ok(true) if lines.buffer.starts_with(b"{\"head\":") => break,
            Ok(true) => match Line::parse(&mut lines.buffer) {
                Ok(line) => {
                    checker.entry(line.seq, &line.link, line.entry)?;
                    if let Some(head) = line.head {
                        checker.head(head)?;
                        heads += 1;
                    }
                    continue;
                }
                Err(fault) => fault,
            },
            Ok(false) => return Err(checker.broken_at(checker.expected(), Fault::NoHead)),
            Err(fault) => fault,
        };
        return Err(lines.broken(Some(checker.expected()), fault));
    }
    let last = last_line(&lines.buffer, heads).map_err(|fault| lines.broken(None, fault))?;
    let at_head = |fault| Broken { line: Some(lines.number), seq: None, fault };
    let trust = match key {
        None => Trust::OwnWord,
        Some(key) if key == last.key => Trust::Given,
        Some(key) => return Err(at_head(wrong_key(&key, &last))),
    };
    let verdict = checker.finish(&last.head, last.key, last.former_keys, trust)?;
    match lines.next() {
        Ok(false) => Ok(verdict),
        Ok(true) => Err(lines.broken(None, Fault::Form("something follows the line with the signed head"))),
        Err(fault) => Err(lines.broken(None, fault)),
    }
}

/// Reads lines into one buffer, numbering them from 1.
struct Lines<R> {
    lines: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line without its line feed; `false` at the end.
    fn next(&mut self) -> Result<bool, Fault> {
        self.buffer.clear();
        let mut limited = (&mut self.lines).take(LONGEST_LINE + 1);
        let read = limited
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| Fault::Unreadable(error.to_string()))?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.buffer.pop() == Some(b'\n') {
            return Ok(true);
        }
        Err(if read as u64 > LONGEST_LINE { Fault::LongLine(LONGEST_LINE) } else { Fault::CutLine })
    }

    fn broken(&self, seq: Option<u64>, fault: Fault) -> Broken {
        Broken { line: Some(self.number.max(1)), seq, fault }
    }
}

/// An entry's line, taken apart.
struct Line<'a> {
    seq: u64,
    link: Hash,
    head: Option<SignedHead>,
    entry: &'a [u8],
}

impl Line<'_> {
    /// Takes a line apart without parsing the entry, whose bytes the link vouches for.
    fn parse(line: &mut [u8]) -> Result<Line<'_>, Fault> {
        let form =
            Fault::Form("this is neither an entry ({\"seq\":…,\"link\":\"…\",…}) nor the line with the head");
        let Some(Prefix { seq, link, length }) = Prefix::parse(line) else { return Err(form) };
        let (mut head, mut length) = (None, length);
        if line[length..].starts_with(HEAD) {
            let quoted = &line[length + HEAD.len()..];
            // A note holds no quotation mark, so the second one ends it.
            let end = quoted.iter().skip(1).position(|&byte| byte == b'"').map(|at| at + 2);
            let Some((quoted, true)) = end.map(|end| (&quoted[..end], quoted.get(end) == Some(&b','))) else {
                return Err(form);
            };
            head = Some(note(quoted)?);
            length += HEAD.len() + quoted.len() + 1;
        }
        // The comma before the entry's first key stands where its opening brace was.
        let entry = &mut line[length - 1..];
        entry[0] = b'{';
        Ok(Line { seq, link, head, entry })
    }
}

/// What stands before the entry: `{"seq":7,"link":"…",`.
struct Prefix {
    seq: u64,
    link: Hash,
    length: usize,
}

impl Prefix {
    fn parse(line: &[u8]) -> Option<Prefix> {
        let rest = line.strip_prefix(SEQ)?;
        let digits = rest.iter().take(21).position(|&byte| byte == b',')?;
        let (seq, rest) = (checkpoint::decimal(&rest[..digits])?, rest[digits..].strip_prefix(LINK)?);
        let link = merkle::from_hex(rest.get(..64)?)?;
        let rest = rest[64..].strip_prefix(AFTER_LINK)?;
        Some(Prefix { seq, link, length: line.len() - rest.len() })
    }
}

/// A head in a JSON string, in the one form that the exporter writes.
fn note(quoted: &[u8]) -> Result<SignedHead, Fault> {
    let form = Fault::Form("the signed head in this line is not in the form songkhao writes");
    let Ok(text) = serde_json::from_slice::<String>(quoted) else { return Err(form) };
    if serde_json::to_vec(&text).ok().as_deref() != Some(quoted) {
        return Err(form);
    }
    text.parse().map_err(Fault::Head)
}

/// The first line of a later part: `{"from":…}`.
fn opening(line: &[u8]) -> Result<Chain, Fault> {
    let chain = line.strip_prefix(b"{\"from\":").and_then(|rest| rest.strip_suffix(b"}"));
    chain
        .and_then(|chain| std::str::from_utf8(chain).ok())
        .and_then(|chain| chain.parse().ok())
        .ok_or(Fault::Form("the first line doesn't hold the state of the log in the form songkhao writes"))
}

/// The last line, read.
struct LastLine {
    head: SignedHead,
    key: PublicKey,
    former_keys: Vec<PublicKey>,
}

fn last_line(line: &[u8], heads: u64) -> Result<LastLine, Fault> {
    let form = Fault::Form("the line with the signed head is not in the form songkhao writes");
    let Ok(last) = serde_json::from_slice::<Last>(line) else { return Err(form) };
    if serde_json::to_vec(&last).ok().as_deref() != Some(line) {
        return Err(form);
    }
    let head = last.head.parse().map_err(Fault::Head)?;
    let key = last.public_key.parse().map_err(Fault::Key)?;
    let former_keys =
        last.former_keys.iter().map(|key| key.parse()).collect::<Result<_, _>>().map_err(Fault::Key)?;
    if last.heads != heads {
        return Err(Fault::Claim(format!("that {} signed heads stand between the entries", last.heads)));
    }
    Ok(LastLine { head, key, former_keys })
}

fn wrong_key(given: &PublicKey, last: &LastLine) -> Fault {
    let (now, given_name) = (last.key.short(), given.short());
    if last.former_keys.contains(given) {
        return Fault::FormerKey { now, given: given_name };
    }
    Fault::Head(checkpoint::HeadError::OtherKey { found: now, wanted: given_name })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use serde_json::json;

    use super::*;
    use crate::model::audit::{Action, Actor, Entry};
    use crate::model::checkpoint::{HeadError, Signer};
    use crate::model::post::Payload;
    use crate::model::python::agreements;
    use crate::model::python::verify_in_python;

    const ENTRIES: u64 = 60;
    /// Entries that carry a head: of sizes 8, 24 and 48, the first by the key before the change.
    const WAYPOINTS: [u64; 3] = [7, 23, 47];

    fn signer(seed: u8) -> Signer {
        Signer::from_secret("news.example/audit", &[seed; 32]).unwrap()
    }

    fn entry(number: u64) -> String {
        let at = chrono::DateTime::from_timestamp_micros(1_795_000_000_000_000 + number as i64 * 31_000_017);
        let mut entry = Entry::new(at.unwrap(), "a", Actor::step("deliver"), Action::DeliveryDelivered);
        entry.post = Some(number.to_string());
        entry.delivery = Some((number + 1000).to_string());
        entry.remote_id = Some(format!("1000_{}", number * 7919));
        entry.account = Some("inn-facebook".to_owned());
        entry.detail = json!({"status": 200, "attempt": 1});
        let body =
            json!({"message": format!("ข่าวที่ {number}\nฝนตกหนักทั่วกรุงเทพฯ"), "link": "https://x.example/"});
        entry.with_payload(&Payload::freeze(body.to_string(), String::new(), None)).canonical()
    }

    fn entries() -> Vec<String> {
        (0..ENTRIES).map(entry).collect()
    }

    /// Seals `entries` and exports those from `from` on.
    fn export_part(entries: &[String], from: u64, before: u8, now: u8) -> Vec<u8> {
        let (before, now) = (signer(before), signer(now));
        let mut chain = Chain::new();
        let mut exporter = Exporter::new(Vec::new());
        for (seq, entry) in (0..).zip(entries) {
            if seq == from && from > 0 {
                exporter = Exporter::following(Vec::new(), &chain).unwrap();
            }
            let sealed = chain.seal(entry, |_, _| {}).unwrap();
            let by = if seq == WAYPOINTS[0] { &before } else { &now };
            let head = WAYPOINTS.contains(&seq).then(|| by.sign(chain.size(), chain.root()));
            exporter.entry(seq, &sealed.link, entry, head.as_ref()).unwrap();
        }
        let head = now.sign(chain.size(), chain.root());
        exporter.finish(&head, now.public_key(), &[before.public_key().clone()]).unwrap()
    }

    fn export() -> Vec<u8> {
        export_part(&entries(), 0, 6, 7)
    }

    fn head(size: u64, seed: u8) -> String {
        let mut chain = Chain::new();
        for entry in &entries()[..size as usize] {
            chain.seal(entry, |_, _| {}).unwrap();
        }
        signer(seed).sign(size, chain.root()).to_string()
    }

    fn verify(export: &[u8]) -> Result<Verdict, Broken> {
        verify_export(export, None, None)
    }

    /// The first line, from 1, in which two exports differ.
    fn first_difference(one: &[u8], other: &[u8]) -> u64 {
        let (mut one, mut other) =
            (one.split_inclusive(|&b| b == b'\n'), other.split_inclusive(|&b| b == b'\n'));
        (1..).find(|_| one.next() != other.next()).unwrap()
    }

    /// Whatever was done to the export without the key, the first line that differs is named.
    #[track_caller]
    fn found(good: &[u8], changed: &[u8]) -> bool {
        if changed == good {
            return false;
        }
        let wanted = first_difference(good, changed);
        let broken = verify(changed).expect_err("a changed export verifies");
        assert_eq!(broken.line, Some(wanted), "{broken}");
        true
    }

    /// SplitMix64: the same mutations every time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) % below as u64) as usize
        }
    }

    fn lines(export: &[u8]) -> Vec<Vec<u8>> {
        export.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// One change of the kind `kind`, at a place the dice choose.
    fn mutate(kind: &str, good: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut bytes = good.to_vec();
        let mut rows = lines(good);
        let (at, row, other) = (dice.roll(bytes.len()), dice.roll(rows.len()), dice.roll(rows.len()));
        match kind {
            "byte changed" => bytes[at] = dice.roll(256) as u8,
            "bit flipped" => bytes[at] ^= 1 << dice.roll(8),
            "byte removed" => drop(bytes.remove(at)),
            "byte inserted" => bytes.insert(at, dice.roll(256) as u8),
            "bytes swapped" => bytes.swap(at, (at + 1) % good.len()),
            "tail cut" => bytes.truncate(at),
            "line removed" => {
                return rows[..row].concat().into_iter().chain(rows[row + 1..].concat()).collect();
            }
            "line repeated" => rows.insert(other, rows[row].clone()),
            "lines swapped" => rows.swap(row, other),
            "lines reversed" => rows[row.min(other)..=row.max(other)].reverse(),
            "tail lines cut" => rows.truncate(row),
            "middle cut out" => drop(rows.drain(row.min(other)..row.max(other))),
            "line forged" => {
                let forged = entry(1000 + dice.roll(1000) as u64);
                rows.insert(
                    other,
                    format!("{{\"seq\":{other},\"link\":\"{}\",{}\n", "0".repeat(64), &forged[1..]).into(),
                );
            }
            "line renumbered" => {
                // A line is taken out and those after it get the numbers that close the gap.
                rows.remove(row);
                for (number, line) in rows.iter_mut().enumerate().skip(row) {
                    let text = String::from_utf8(line.clone()).unwrap();
                    let (from, to) = (format!("{{\"seq\":{},", number + 1), format!("{{\"seq\":{number},"));
                    *line = text.replacen(&from, &to, 1).into_bytes();
                }
            }
            other => panic!("no mutation is called {other}"),
        }
        if kind.contains("line") || kind.contains("middle") { rows.concat() } else { bytes }
    }

    const KINDS: [&str; 14] = [
        "byte changed",
        "bit flipped",
        "byte removed",
        "byte inserted",
        "bytes swapped",
        "tail cut",
        "line removed",
        "line repeated",
        "lines swapped",
        "lines reversed",
        "tail lines cut",
        "middle cut out",
        "line forged",
        "line renumbered",
    ];

    #[test]
    fn a_good_export_verifies() {
        let good = export();
        let verdict = verify(&good).unwrap();
        assert_eq!((verdict.from, verdict.size, verdict.heads, verdict.trust), (0, 60, 3, Trust::OwnWord));
        assert_eq!(verdict.former_keys, [signer(6).public_key().clone()]);
        let key = signer(7).public_key().to_string();
        let verdict = verify_export(&good[..], Some(&key), Some(&head(17, 7))).unwrap();
        assert_eq!((verdict.trust, verdict.extends), (Trust::Given, vec![17]));
        let empty = export_part(&[], 0, 6, 7);
        assert_eq!(verify(&empty).unwrap().size, 0);
    }

    #[test]
    fn an_export_has_the_entries_bytes_in_flat_json_lines() {
        let text = String::from_utf8(export()).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().nth(7).unwrap()).unwrap();
        assert_eq!((&line["seq"], &line["remote_id"]), (&json!(7), &json!("1000_55433")));
        assert!(text.lines().nth(9).unwrap().ends_with(&entry(9)[1..]));
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["public_key"], json!(signer(7).public_key().to_string()));
        assert_eq!(last["head"], json!(head(60, 7)));
    }

    #[test]
    fn every_mutation_is_found_at_the_first_line_that_differs() {
        let good = export();
        let mut dice = Dice(5);
        let mut counts = BTreeMap::new();
        for kind in KINDS {
            for _ in 0..MUTATIONS {
                *counts.entry(kind).or_insert(0) +=
                    usize::from(found(&good, &mutate(kind, &good, &mut dice)));
            }
        }
        println!("{counts:?}");
        // Some changes change nothing (a line swapped with itself), so a few more are tried than are to be found.
        assert!(counts.values().all(|&count| count >= 1000), "{counts:?}");
    }

    /// Of each kind; with 14 kinds this is the bulk of the test's time in a debug build.
    const MUTATIONS: usize = 1100;

    #[track_caller]
    fn agree(arguments: &[&str], key: Option<&str>, head: Option<&str>, exports: &[Vec<u8>]) {
        let verdicts = verify_in_python(arguments, exports);
        for (export, python) in exports.iter().zip(verdicts) {
            let ours = verify_export(&export[..], key, head);
            let place = ours.as_ref().err().map(|broken| (broken.line, broken.seq));
            assert_eq!(place, python, "{ours:?}");
        }
    }

    #[test]
    fn the_python_verifier_agrees_on_good_and_changed_exports() {
        let (whole, part) = (export(), export_part(&entries(), 20, 7, 7));
        let mut exports =
            vec![whole.clone(), part.clone(), export_part(&[], 0, 6, 7), Vec::new(), rewritten(9)];
        let mut dice = Dice(7);
        for kind in KINDS {
            let times = agreements() / KINDS.len() + 1;
            exports.extend((0..times).map(|_| mutate(kind, &whole, &mut dice)));
            exports
                .extend((0..5).map(|_| mutate(kind, &part, &mut dice)).filter(|_| kind != "line renumbered"));
        }
        // Bytes of a line with a head, of a last line and of a first line, where the forms are strict.
        for (good, row) in [(&whole, 23), (&whole, 60), (&part, 0)] {
            let rows = lines(good);
            let start = rows[..row].iter().map(Vec::len).sum::<usize>();
            for at in (start..start + rows[row].len().min(400)).step_by(3) {
                let mut changed = good.clone();
                changed[at] ^= 1 << dice.roll(7);
                exports.push(changed);
            }
        }
        agree(&[], None, None, &exports);
    }

    #[test]
    fn the_python_verifier_agrees_on_keys_and_older_heads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("head");
        let exports = [
            export(),
            rewritten(7),
            rewritten(9),
            export_part(&entries(), 40, 7, 7),
            export_part(&[], 0, 6, 7),
        ];
        // Several heads at once: the first one that doesn't fit is named.
        let several = [head(30, 7), head(8, 6), head(40, 7)].concat();
        std::fs::write(&file, &several).unwrap();
        agree(&["--head", file.to_str().unwrap()], None, Some(&several), &exports);
        for (size, seed) in [(0, 7), (8, 6), (30, 7), (31, 7), (40, 7), (60, 7), (60, 5)] {
            let head = head(size, seed);
            std::fs::write(&file, &head).unwrap();
            for seed in [7, 9] {
                let key = signer(seed).public_key().to_string();
                agree(&["--key", &key, "--head", file.to_str().unwrap()], Some(&key), Some(&head), &exports);
            }
        }
    }

    #[test]
    fn every_byte_of_the_frame_counts() {
        let good = export();
        let rows = lines(&good);
        let start = |row: usize| rows[..row].iter().map(Vec::len).sum::<usize>();
        // A line with a head in it, up to its entry; and the whole last line.
        let frame: Vec<Range<usize>> = vec![start(23)..start(23) + 400, start(60)..good.len()];
        for at in frame.into_iter().flatten() {
            for byte in [good[at] ^ 1, good[at] ^ 0x20, b'0', b' ', b'\n', b'"'] {
                let mut changed = good.clone();
                changed[at] = byte;
                found(&good, &changed);
            }
        }
    }

    #[test]
    fn every_mutation_of_a_later_part_is_found() {
        let good = export_part(&entries(), 20, 7, 7);
        assert_eq!(verify(&good).unwrap().from, 20);
        let mut dice = Dice(6);
        for kind in KINDS.iter().filter(|kind| **kind != "line renumbered") {
            for _ in 0..40 {
                let changed = mutate(kind, &good, &mut dice);
                assert!(changed == good || verify(&changed).is_err(), "{kind}");
            }
        }
    }

    /// The log of someone who changed entry 30, computed all links and roots anew, and signed with `seed`.
    fn rewritten(seed: u8) -> Vec<u8> {
        let mut entries = entries();
        entries[30] = entries[30].replace("inn-facebook", "inn-faceb00k");
        export_part(&entries, 0, seed, seed)
    }

    #[track_caller]
    fn check(
        export: &[u8],
        key: Option<&Signer>,
        head: Option<&str>,
        line: Option<u64>,
        seq: Option<u64>,
        fault: &str,
    ) {
        let key = key.map(|signer| signer.public_key().to_string());
        let broken = verify_export(export, key.as_deref(), head).unwrap_err();
        assert!(broken.to_string().contains(fault), "{broken}");
        assert_eq!((broken.line, broken.seq), (line, seq), "{broken}");
    }

    #[test]
    fn a_rewriter_without_the_key_is_narrowed_down_to_the_stretch_between_two_heads() {
        let (good, forged) = (lines(&export()), lines(&rewritten(9)));
        let with_head = |head: &str| {
            let forged = String::from_utf8(forged[47].clone()).unwrap();
            let (start, end) = (forged.find("\"head\"").unwrap(), forged.find("\"at\"").unwrap());
            format!("{}{head}{}", &forged[..start], &forged[end..]).into_bytes()
        };
        let true_head = format!("\"head\":{},", serde_json::to_string(&head(48, 7)).unwrap());

        // The heads on the way are signed by the rewriter's own key.
        let mut log = good.clone();
        log[30..60].clone_from_slice(&forged[30..60]);
        check(&log.concat(), None, None, Some(48), Some(24), "entries 24 to 47");
        // They stay the true ones.
        log[47] = with_head(&true_head);
        check(&log.concat(), None, None, Some(48), Some(24), "entries 24 to 47");
        // The one in the way is taken out, and not counted.
        log[47] = with_head("");
        let last = String::from_utf8(good[60].clone()).unwrap();
        log[60] = last.replace("\"heads\":3", "\"heads\":2").into_bytes();
        check(&log.concat(), None, None, Some(25), Some(24), "entries 24 to 59");
        // It is taken out, and its number is forgotten.
        log[60] = good[60].clone();
        check(&log.concat(), None, None, Some(61), None, "that 3 signed heads stand");
    }

    #[test]
    fn a_rewriter_with_a_key_of_their_own_is_found_by_the_true_key_alone() {
        assert!(verify(&rewritten(9)).is_ok());
        check(&rewritten(9), Some(&signer(7)), None, Some(61), None, "another log, or the key was changed");
    }

    #[test]
    fn the_keys_holder_who_rewrites_is_found_by_an_older_head() {
        let (key, forged) = (signer(7), rewritten(7));
        assert!(verify_export(&forged[..], Some(&key.public_key().to_string()), Some(&head(30, 7))).is_ok());
        check(
            &forged,
            Some(&key),
            Some(&head(31, 7)),
            None,
            Some(0),
            "among the entries 0 to 30 history was rewritten",
        );
    }

    #[test]
    fn of_several_older_heads_the_first_that_does_not_fit_narrows_the_place() {
        let heads = [head(40, 7), head(8, 6), head(20, 7)].concat();
        assert_eq!(verify_export(&export()[..], None, Some(&heads)).unwrap().extends, [8, 20, 40]);
        let heads = [head(40, 7), head(20, 7)].concat();
        check(&rewritten(7), None, Some(&heads), None, Some(20), "among the entries 20 to 39");
        let broken = verify_export(&export()[..], None, Some(&(head(8, 6) + "x\n"))).unwrap_err();
        assert!(broken.to_string().contains("line 7 of the signed head"), "{broken}");
    }

    #[test]
    fn a_clock_that_was_put_back_is_noted_and_is_no_fault() {
        let mut entries = entries();
        entries[20] = entries[20].replacen("2026-", "2025-", 1);
        let turned = verify(&export_part(&entries, 0, 6, 7)).unwrap().turned_back;
        assert_eq!(turned.iter().map(|turn| turn.seq).collect::<Vec<_>>(), [20]);
        assert!(turned[0].seconds > 31_000_000, "{turned:?}");
        assert_eq!(verify(&export()).unwrap().turned_back, []);
    }

    #[test]
    fn an_older_head_shows_a_restored_copy_and_a_cut_tail() {
        let short = export_part(&entries()[..50], 0, 6, 7);
        check(
            &short,
            None,
            Some(&head(51, 7)),
            None,
            Some(50),
            "the log was cut, or an older copy of it was restored",
        );
        assert_eq!(verify_export(&short[..], None, Some(&head(50, 7))).unwrap().extends, [50]);
        assert_eq!(verify_export(&short[..], None, Some(&head(0, 7))).unwrap().extends, [0]);
        assert_eq!(verify_export(&short[..], None, Some(&head(8, 6))).unwrap().extends, [8]);
    }

    #[test]
    fn a_head_from_another_log_and_a_changed_key_are_named() {
        let good = export();
        let other = Signer::from_secret("other.example/audit", &[7; 32]).unwrap();
        let foreign = other.sign(8, [1; 32]).to_string();
        check(
            &good,
            None,
            Some(&foreign),
            None,
            None,
            "the older head: the head is signed by other.example/audit+",
        );
        check(&good, None, Some("nonsense"), None, None, "the older head: line 1 of the signed head");
        check(&good, Some(&other), None, Some(61), None, "not by other.example/audit+");
        check(&good, Some(&signer(6)), None, Some(61), None, "is a former key");
        let broken = verify_export(&good[..], Some("nonsense"), None).unwrap_err();
        assert!(matches!(broken.fault, Fault::Key(HeadError::Key { .. })), "{broken}");
    }

    #[test]
    fn a_later_part_begins_where_the_earlier_one_ended() {
        let part = export_part(&entries(), 24, 7, 7);
        let verdict = verify_export(&part[..], None, Some(&head(24, 7))).unwrap();
        assert_eq!((verdict.from, verdict.size, verdict.extends), (24, 60, vec![24]));
        check(&part, None, Some(&head(23, 7)), None, None, "verify the part that holds entry 22");
        // The wrong start under the right entries: the root tells, and nothing but the start can be wrong.
        let wrong = String::from_utf8(part).unwrap().replacen("\"peaks\":[\"", "\"peaks\":[\"0", 1);
        check(wrong.as_bytes(), None, None, Some(1), None, "state of the log");
    }

    #[test]
    fn a_key_that_signed_nothing_is_not_to_be_listed() {
        let text = String::from_utf8(export()).unwrap();
        let (listed, idle) = (signer(6).public_key().to_string(), signer(5).public_key().to_string());
        let added = text.replace(&listed, &format!("{listed}\",\"{idle}"));
        check(added.as_bytes(), None, None, Some(61), None, "signed one of the heads");
        let twice = text.replace(&listed, &format!("{listed}\",\"{listed}"));
        check(twice.as_bytes(), None, None, Some(61), None, "signed one of the heads");
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let broken = verify_export(endless, None, None).unwrap_err();
        assert_eq!(broken.fault, Fault::LongLine(LONGEST_LINE));
    }

    #[test]
    fn an_entry_damaged_in_the_database_is_not_exported() {
        let mut exporter = Exporter::new(Vec::new());
        assert!(exporter.entry(1, &[0; 32], &entry(1), None).is_err());
        let error = exporter.entry(0, &[0; 32], "{\"at\":\"\n\"}", None).unwrap_err();
        assert!(error.to_string().contains("audit entry 0"), "{error}");
    }
}
