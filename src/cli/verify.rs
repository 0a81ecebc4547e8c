//! Verify: checks the log, an export or a receipt.
//!
//! Says the first thing that is wrong, and what to do about it.
//!
//! An export and a receipt need neither database nor configuration. A verdict goes to standard output.

use std::fs;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tracing::warn;

use crate::cli::Failure;
use crate::cli::audit::heads_from;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::model::audit::Action;
use crate::model::checkpoint::HeadError;
use crate::model::checkpoint::PublicKey;
use crate::model::checkpoint::SignedHead;
use crate::model::evidence::Broken;
use crate::model::evidence::Fault;
use crate::model::evidence::Trust;
use crate::model::evidence::Verdict;
use crate::model::export::verify_export;
use crate::model::receipt::verify_receipt;
use crate::pipeline;
use crate::store::audit as log;

/// What to verify, and against what.
#[derive(Debug, Args)]
pub struct Verify {
    /// A receipt of one post, or of an older head.
    #[arg(long, conflicts_with_all = ["file", "head"])]
    receipt: Option<PathBuf>,
    /// An export instead of the database.
    #[arg(long)]
    file: Option<PathBuf>,
    /// A file with older signed heads that the log must extend: one, many one behind the other, or an export, whose last
    /// head counts. May be given several times.
    #[arg(long, visible_alias = "heads")]
    head: Vec<PathBuf>,
    /// The public key the log must be signed with, or a file that holds it.
    #[arg(long)]
    key: Option<String>,
}

/// Verifies what was asked for.
///
/// # Errors
/// [`Failure::No`] when something is wrong and was said; else why nothing could be verified.
pub async fn verify(config: Option<&Path>, wanted: Verify) -> Result<(), Failure> {
    let key = wanted.key.as_deref().map(key_from).transpose()?;
    if let Some(receipt) = &wanted.receipt {
        return verify_one(receipt, key.as_deref());
    }
    let heads = wanted.head.iter().map(|path| heads_from(path)).collect::<Result<Vec<_>, _>>();
    let mut heads = match heads {
        Ok(heads) => heads.concat(),
        Err(error) => match error.downcast::<HeadError>() {
            Ok(fault) => return broken(&Broken { line: None, seq: None, fault: Fault::OldHead(fault) }),
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(file) = &wanted.file {
        let open = fs::File::open(file).with_context(|| file.display().to_string())?;
        let heads: String = heads.iter().map(SignedHead::to_string).collect();
        let heads = Some(heads.as_str()).filter(|heads| !heads.is_empty());
        return report(verify_export(BufReader::new(open), key.as_deref(), heads), 0);
    }
    let desk = Desk::open(config).await?;
    if let Some(path) = desk.config.audit.heads_file.as_deref().filter(|path| Path::new(path).exists()) {
        heads.extend(heads_from(Path::new(path))?);
    }
    verify_database(&desk, key.as_deref(), heads).await
}

async fn verify_database(desk: &Desk, key: Option<&str>, heads: Vec<SignedHead>) -> Result<(), Failure> {
    let key: PublicKey = match key {
        Some(key) => key.parse()?,
        None => desk::known_signer(&desk.config)?.public_key().clone(),
    };
    let found = pipeline::verify::database(&desk.db, &key, heads).await?;
    let Some(verdict) = found.verdict else {
        return good(&format!("nothing is sealed yet; {} entries wait", found.waiting));
    };
    let mut entry = desk.stamp().entry(Action::AuditVerified);
    entry.detail = match &verdict {
        Ok(verdict) => json!({ "verdict": "good", "size": verdict.size, "extends": verdict.extends.last() }),
        Err(broken) => json!({ "verdict": "broken", "reason": broken.to_string() }),
    };
    // A database that can only be read is verified all the same.
    if let Err(error) = log::record(&desk.db, &entry).await {
        warn!(error = %error, "The verification could not be recorded");
    }
    report(verdict, found.waiting)
}

fn verify_one(path: &Path, key: Option<&str>) -> Result<(), Failure> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    match verify_receipt(&text, key) {
        Ok(proven) => {
            let trust = trusted(proven.trust);
            let numbers: Vec<String> = proven.entries.iter().map(|(seq, _)| seq.to_string()).collect();
            let mut said = match numbers.as_slice() {
                [] => String::new(),
                [one] => format!("entry {one} is in the log of {}", proven.size),
                several => format!("entries {} are in the log of {}", several.join(", "), proven.size),
            };
            if let Some(older) = proven.extends {
                let and = if said.is_empty() { "the log" } else { ", which" };
                said += &format!("{and} of {} extends the older head of {older}", proven.size);
            }
            good(&format!("{said}{trust}"))?;
            let mut out = std::io::stdout().lock();
            for (_, entry) in proven.entries {
                writeln!(out, "{entry}")?;
            }
            Ok(())
        }
        Err(fault) => broken(&fault),
    }
}

fn trusted(trust: Trust) -> &'static str {
    match trust {
        Trust::Given => "",
        Trust::OwnWord => " (the file's own key was trusted; give --key to be sure whose log it is)",
    }
}

fn report(verdict: Result<Verdict, Broken>, waiting: i64) -> Result<(), Failure> {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(fault) => return broken(&fault),
    };
    let entries = match verdict.from {
        0 => format!("{} entries", verdict.size),
        from => format!("{} entries ({from} to {})", verdict.size - from, verdict.size.saturating_sub(1)),
    };
    let extends = match verdict.extends.as_slice() {
        [] => String::new(),
        [size] => format!(", it extends the older head of {size}"),
        [.., newest] => format!(", it extends {} older heads, the newest of {newest}", verdict.extends.len()),
    };
    let waiting = if waiting > 0 { format!(", {waiting} entries wait to be sealed") } else { String::new() };
    let trust = trusted(verdict.trust);
    good(&format!("{entries} are as they were sealed{extends}{waiting}{trust}"))?;
    let mut out = std::io::stdout().lock();
    for turn in &verdict.turned_back {
        let (seq, seconds) = (turn.seq, turn.seconds);
        writeln!(
            out,
            "note: at entry {seq} the time is {seconds} s before that of the entry in front of it: a clock was put back"
        )?;
    }
    Ok(())
}

fn good(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "good: {text}")?;
    Ok(())
}

fn broken(broken: &Broken) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "broken: {broken}\nwhat to do: {}", broken.fault.cure())?;
    Err(Failure::No)
}

/// A key given as it is, or a file that holds one.
fn key_from(text: &str) -> anyhow::Result<String> {
    let path = Path::new(text);
    let read = || fs::read_to_string(path).with_context(|| path.display().to_string());
    Ok(if path.is_file() { read()?.trim().to_owned() } else { text.trim().to_owned() })
}
