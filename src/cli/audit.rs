//! Audit: reads, exports and verifies the log, with or without a database.

use std::fs;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::clock;
use crate::model::audit;
use crate::model::audit::Action;
use crate::model::chain::Chain;
use crate::model::checkpoint::PublicKey;
use crate::model::checkpoint::SignedHead;
use crate::model::checkpoint::Signer;
use crate::model::evidence::Broken;
use crate::model::evidence::Checker;
use crate::model::evidence::Trust;
use crate::model::evidence::Verdict;
use crate::model::export::Exporter;
use crate::model::export::verify_export;
use crate::model::merkle;
use crate::model::receipt::make_receipt;
use crate::model::receipt::verify_receipt;
use crate::store::audit as log;

/// `songkhao audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show entries, oldest first, a readable Thai line each.
    Show {
        /// Only this account.
        #[arg(long)]
        account: Option<String>,
        /// Only this post.
        #[arg(long)]
        post: Option<i64>,
        /// Only this action, such as delivery.delivered.
        #[arg(long)]
        action: Option<Action>,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 100)]
        limit: i64,
        /// The exact entries, one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Write the whole log to standard output: JSON lines that anybody can verify.
    Export,
    /// Write a small file with which anybody can check what one post sent.
    Receipt {
        /// The post.
        post: i64,
    },
    /// Verify the log in the database, an export with --file, or a receipt with --receipt.
    Verify {
        /// A receipt of one post.
        #[arg(long, conflicts_with = "file")]
        receipt: Option<PathBuf>,
        /// An export instead of the database.
        #[arg(long)]
        file: Option<PathBuf>,
        /// A file with an older signed head that the log must extend.
        #[arg(long)]
        head: Option<PathBuf>,
        /// The public key the log must be signed with, or a file that holds it.
        #[arg(long)]
        key: Option<String>,
    },
}

/// Carries out an audit command.
///
/// # Errors
/// The first broken entry (exit 1), or what the database says.
pub async fn audit(config: Option<&Path>, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Show { account, post, action, limit, json } => {
            let action = action.map(|action| action.name().to_owned());
            let filter = log::Filter { account, post, action, limit: Some(limit), ..log::Filter::default() };
            show(&Desk::open(config).await?, &filter, json).await
        }
        AuditCommand::Export => export(&Desk::open(config).await?).await,
        AuditCommand::Receipt { post } => receipt(&Desk::open(config).await?, post).await,
        AuditCommand::Verify { receipt, file, head, key } => {
            let head = head.map(|path| read(&path)).transpose()?;
            let key = key.map(|key| key_from(&key)).transpose()?;
            if let Some(receipt) = receipt {
                return verify_one(&receipt, key.as_deref());
            }
            match file {
                Some(file) => verify_file(&file, key.as_deref(), head.as_deref()),
                None => verify_database(&Desk::open(config).await?, key.as_deref(), head.as_deref()).await,
            }
        }
    }
}

async fn show(desk: &Desk, filter: &log::Filter, as_json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for sealed in log::list(&desk.db, filter).await? {
        if as_json {
            writeln!(out, "{}", sealed.entry)?;
            continue;
        }
        let seq = sealed.seq.map_or("-".to_owned(), |seq| seq.to_string());
        match audit::Entry::parse(&sealed.entry) {
            Ok(entry) => writeln!(out, "{seq:>6}  {}", audit::describe_th(&entry, desk.config.timezone))?,
            Err(error) => writeln!(out, "{seq:>6}  ? {error}")?,
        }
    }
    Ok(out.flush()?)
}

/// Entries read from the database at a time.
const PAGE: i64 = 1_000;

async fn export(desk: &Desk) -> Result<(), Failure> {
    let signer = desk::signer(&desk.config)?;
    log::record(&desk.db, &desk.stamp().entry(Action::AuditExported)).await?;
    let head = seal_all(desk, &signer).await?;
    let mut exporter = Exporter::new(BufWriter::new(std::io::stdout().lock()));
    let mut next = 0;
    while next < head.head.size {
        for sealed in log::list_sealed(&desk.db, next, PAGE).await? {
            if next == head.head.size {
                break;
            }
            let seq = sealed.seq.unwrap_or(next);
            let link = link_of(&sealed)?;
            exporter
                .entry(seq, &link, &sealed.entry, None)
                .with_context(|| format!("entry {seq} can't be exported"))?;
            next += 1;
        }
    }
    exporter.finish(&head, signer.public_key(), &[])?.flush()?;
    Ok(())
}

/// Writes the receipt of the entry that froze the post's exact bytes.
async fn receipt(desk: &Desk, post: i64) -> Result<(), Failure> {
    let signer = desk::signer(&desk.config)?;
    let mut entry = desk.stamp().entry(Action::AuditReceipt);
    entry.post = Some(post.to_string());
    log::record(&desk.db, &entry).await?;
    let head = seal_all(desk, &signer).await?;
    let filter = log::Filter { post: Some(post), ..log::Filter::default() };
    let entries = log::list(&desk.db, &filter).await?;
    let shows_bytes = |sealed: &&log::Sealed| {
        audit::Entry::parse(&sealed.entry)
            .is_ok_and(|entry| entry.payload.is_some() && entry.delivery.is_some())
    };
    let Some(sealed) = entries.iter().rev().find(shows_bytes) else {
        return Err(anyhow::anyhow!("post {post} has no delivery yet, so nothing of it can be proven").into());
    };
    let seq = sealed.seq.context("the entry is not sealed yet; try again")?;
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < head.head.size {
        for sealed in log::list_sealed(&desk.db, leaves.len() as u64, PAGE).await? {
            leaves.push(merkle::leaf_hash(sealed.entry.as_bytes()));
        }
    }
    let made = make_receipt(&leaves, seq, &sealed.entry, &head, signer.public_key());
    let made = made.context("the log does not match its own head; run `songkhao audit verify`")?;
    write!(std::io::stdout().lock(), "{}", made.to_json())?;
    Ok(())
}

fn verify_one(path: &Path, key: Option<&str>) -> Result<(), Failure> {
    match verify_receipt(&read(path)?, key) {
        Ok(proven) => {
            let trust = trusted(proven.trust);
            good(&format!("entry {} is in the log of {}{trust}", proven.seq, proven.size))?;
            writeln!(std::io::stdout().lock(), "{}", proven.entry)?;
            Ok(())
        }
        Err(fault) => broken(&fault.to_string()),
    }
}

fn trusted(trust: Trust) -> &'static str {
    match trust {
        Trust::Given => "",
        Trust::OwnWord => " (the file's own key was trusted; give --key to be sure whose log it is)",
    }
}

/// Seals what waits and gives the head over everything.
async fn seal_all(desk: &Desk, signer: &Signer) -> Result<SignedHead, Failure> {
    while log::seal(&desk.db, signer, clock::now()).await? > 0 {}
    let note = log::newest_head(&desk.db).await?.context("nothing was logged yet")?;
    Ok(note.parse()?)
}

fn link_of(sealed: &log::Sealed) -> Result<merkle::Hash, Failure> {
    let link = sealed.link.as_deref().and_then(|link| merkle::from_hex(link.as_bytes()));
    Ok(link.with_context(|| format!("entry {} has no readable link", sealed.seq.unwrap_or_default()))?)
}

fn verify_file(path: &Path, key: Option<&str>, head: Option<&str>) -> Result<(), Failure> {
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    report(verify_export(BufReader::new(file), key, head), 0)
}

async fn verify_database(desk: &Desk, key: Option<&str>, older: Option<&str>) -> Result<(), Failure> {
    let signer = desk::signer(&desk.config)?;
    let (key, trust) = match key {
        Some(key) => (key.trim().parse::<PublicKey>()?, Trust::Given),
        None => (signer.public_key().clone(), Trust::Given),
    };
    let Some(note) = log::newest_head(&desk.db).await? else {
        if log::count_sealed(&desk.db).await? > 0 {
            return broken("the head is missing: the log was sealed, and its signed head is gone");
        }
        return good(&format!(
            "nothing is sealed yet; {} entries wait",
            log::count_unsealed(&desk.db).await?
        ));
    };
    let verdict = check_database(desk, &note, key, trust, older).await?;
    if let Some(id) = log::list_stray(&desk.db).await?.first() {
        return broken(&format!(
            "row {id} of the log is neither sealed nor waiting: it was inserted past songkhao"
        ));
    }
    report(verdict, log::count_unsealed(&desk.db).await?)
}

async fn check_database(
    desk: &Desk,
    note: &str,
    key: PublicKey,
    trust: Trust,
    older: Option<&str>,
) -> Result<Result<Verdict, Broken>, Failure> {
    let mut head: SignedHead = note.parse()?;
    let older = older.map(str::parse).transpose()?;
    let mut checker = Checker::new(Chain::new(), older);
    loop {
        let page = log::list_sealed(&desk.db, checker.expected(), PAGE).await?;
        if page.is_empty() {
            return Ok(checker.finish(&head, key, Vec::new(), trust));
        }
        for sealed in page {
            let seq = sealed.seq.unwrap_or_default();
            if seq >= head.head.size {
                // A daemon sealed on while we read; a newer head covers what came, or it was inserted.
                head = log::newest_head(&desk.db).await?.context("the head vanished meanwhile")?.parse()?;
            }
            let link = link_of(&sealed)?;
            if let Err(broken) = checker.entry(seq, &link, sealed.entry.as_bytes()) {
                return Ok(Err(broken));
            }
        }
    }
}

fn report(verdict: Result<Verdict, Broken>, waiting: i64) -> Result<(), Failure> {
    match verdict {
        Ok(verdict) => {
            let trust = trusted(verdict.trust);
            let extends = verdict
                .extends
                .map(|size| format!(", it extends the older head of {size}"))
                .unwrap_or_default();
            let waiting =
                if waiting > 0 { format!(", {waiting} entries wait to be sealed") } else { String::new() };
            good(&format!("{} entries are as they were sealed{extends}{waiting}{trust}", verdict.size))
        }
        Err(fault) => broken(&fault.to_string()),
    }
}

fn good(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "good: {text}")?;
    Ok(())
}

fn broken(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "broken: {text}")?;
    Err(Failure::No)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A key given as it is, or a file that holds one.
fn key_from(text: &str) -> anyhow::Result<String> {
    let path = Path::new(text);
    Ok(if path.is_file() { read(path)?.trim().to_owned() } else { text.trim().to_owned() })
}
