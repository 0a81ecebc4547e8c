//! Audit: reads, exports, archives and proves the log; `verify` checks it.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::DateTime;
use chrono::NaiveDate;
use chrono::NaiveDateTime;
use chrono::NaiveTime;
use chrono::TimeZone as _;
use chrono::Utc;
use chrono_tz::Tz;
use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::cli::verify;
use crate::cli::verify::Verify;
use crate::clock;
use crate::model::audit;
use crate::model::audit::Action;
use crate::model::checkpoint;
use crate::model::checkpoint::SignedHead;
use crate::model::sheet;
use crate::pipeline::archive;
use crate::pipeline::export;
use crate::pipeline::prove;
use crate::store::audit as log;
use crate::store::tree;

/// `songkhao audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show entries, oldest first, a readable Thai line each.
    Show(Show),
    /// Write the whole log to standard output: JSON lines that anybody can verify.
    Export {
        /// A sheet of comma-separated values instead, to read, not to verify.
        #[arg(long)]
        csv: bool,
        /// With --csv: not before this time, as 2026-11-22, "2026-11-22 14:00" or RFC 3339.
        #[arg(long, requires = "csv", value_name = "TIME")]
        since: Option<String>,
        /// With --csv: before this time.
        #[arg(long, requires = "csv", value_name = "TIME")]
        until: Option<String>,
    },
    /// Write a small file with which anybody can check what one post sent, or that the log extends an older head.
    #[command(group = clap::ArgGroup::new("what").required(true))]
    Receipt {
        /// The post.
        #[arg(group = "what")]
        post: Option<i64>,
        /// A file with an older signed head.
        #[arg(long, group = "what", value_name = "FILE")]
        head: Option<PathBuf>,
    },
    /// Move the oldest part of the log into a file of its own, which verifies like an export.
    Archive {
        /// The file; it must not be there yet.
        file: PathBuf,
        /// Only what is older than this time, as 2026-01-01.
        #[arg(long, value_name = "TIME")]
        before: String,
    },
    /// Verify the log in the database, an export with --file, or a receipt with --receipt.
    Verify(Verify),
}

/// Which entries to show.
#[derive(Debug, Args)]
pub struct Show {
    /// Only this account.
    #[arg(long)]
    account: Option<String>,
    /// Only this post.
    #[arg(long)]
    post: Option<i64>,
    /// Only this action, such as delivery.delivered.
    #[arg(long)]
    action: Option<Action>,
    /// Only what this user, or this person at a command line, did.
    #[arg(long)]
    user: Option<String>,
    /// Not before this time, as 2026-11-22, "2026-11-22 14:00" (in `timezone`) or RFC 3339.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 100)]
    limit: i64,
    /// The exact entries, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Carries out an audit command.
///
/// # Errors
/// The first broken entry (exit 1), or what the database says.
pub async fn audit(config: Option<&Path>, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Show(wanted) => show(&Desk::open(config).await?, wanted).await,
        AuditCommand::Export { csv: false, .. } => export_lines(&Desk::open(config).await?).await,
        AuditCommand::Export { since, until, .. } => {
            export_sheet(&Desk::open(config).await?, since.as_deref(), until.as_deref()).await
        }
        AuditCommand::Receipt { post, head } => {
            receipt(&Desk::open(config).await?, post, head.as_deref()).await
        }
        AuditCommand::Archive { file, before } => {
            archive_part(&Desk::open(config).await?, &file, &before).await
        }
        AuditCommand::Verify(wanted) => verify::verify(config, wanted).await,
    }
}

async fn show(desk: &Desk, wanted: Show) -> Result<(), Failure> {
    let filter = log::Filter {
        account: wanted.account,
        post: wanted.post,
        article: None,
        action: wanted.action.map(|action| action.name().to_owned()),
        user: wanted.user,
        since: moment(wanted.since.as_deref(), desk.config.timezone)?,
        until: moment(wanted.until.as_deref(), desk.config.timezone)?,
        limit: Some(wanted.limit),
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for sealed in log::list(&desk.db, &filter).await? {
        if wanted.json {
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

async fn export_lines(desk: &Desk) -> Result<(), Failure> {
    let signer = desk::signer(&desk.config)?;
    record_export(desk, "lines").await?;
    let head = export::seal_all(&desk.db, &signer, clock::now()).await?;
    let out = BufWriter::new(std::io::stdout().lock());
    Ok(export::write(&desk.db, &signer, &head, out).await?.flush()?)
}

async fn record_export(desk: &Desk, form: &str) -> Result<(), Failure> {
    let mut entry = desk.stamp().entry(Action::AuditExported);
    entry.detail = json!({ "form": form });
    Ok(log::record(&desk.db, &entry).await?)
}

/// Entries read from the database at a time.
const PAGE: i64 = 1_000;

async fn export_sheet(desk: &Desk, since: Option<&str>, until: Option<&str>) -> Result<(), Failure> {
    let since = moment(since, desk.config.timezone)?.map_or(i64::MIN, clock::micros);
    let until = moment(until, desk.config.timezone)?.map_or(i64::MAX, clock::micros);
    let signer = desk::signer(&desk.config)?;
    record_export(desk, "sheet").await?;
    let head = export::seal_all(&desk.db, &signer, clock::now()).await?;
    let mut next = tree::beginning(&desk.db).await?.size();
    let mut out = BufWriter::new(std::io::stdout().lock());
    write!(out, "{}", sheet::HEAD)?;
    while next < head.head.size {
        let page = log::list_sealed(&desk.db, next, PAGE).await?;
        let last = page.last().and_then(|sealed| sealed.seq);
        next = last.with_context(|| format!("entry {next} is missing; run `songkhao audit verify`"))? + 1;
        for sealed in page.iter().filter(|sealed| (since..until).contains(&sealed.columns.at)) {
            match audit::Entry::parse(&sealed.entry) {
                Ok(entry) => write!(out, "{}", sheet::row(sealed.seq, &entry))?,
                Err(error) => {
                    return Err(anyhow::anyhow!("entry {:?} can't be read: {error}", sealed.seq).into());
                }
            }
        }
    }
    Ok(out.flush()?)
}

async fn receipt(desk: &Desk, post: Option<i64>, older: Option<&Path>) -> Result<(), Failure> {
    let signer = desk::signer(&desk.config)?;
    let older = older.map(heads_from).transpose()?.and_then(|mut heads| heads.pop());
    let mut entry = desk.stamp().entry(Action::AuditReceipt);
    entry.post = post.map(|post| post.to_string());
    if let Some(older) = &older {
        entry.detail = json!({ "older": older.head.size });
    }
    log::record(&desk.db, &entry).await?;
    let head = export::seal_all(&desk.db, &signer, clock::now()).await?;
    let made = match (post, &older) {
        (Some(post), _) => prove::post(&desk.db, &signer, &head, post).await?.with_context(|| {
            format!("post {post} has no delivery yet, or its entries were archived: nothing of it can be proven here")
        })?,
        (None, Some(older)) => {
            prove::extension(&desk.db, &signer, &head, older).await?.with_context(|| {
                format!(
                    "the log has {} entries and the older head {}: it was cut, or an older copy was restored; or the \
                     older head ends in an archived part",
                    head.head.size, older.head.size
                )
            })?
        }
        (None, None) => return Err(Failure::Usage("name a post, or a head with --head".to_owned())),
    };
    write!(std::io::stdout().lock(), "{}", made.to_json())?;
    Ok(())
}

async fn archive_part(desk: &Desk, file: &Path, before: &str) -> Result<(), Failure> {
    let before = moment(Some(before), desk.config.timezone)?.unwrap_or_default();
    let signer = desk::signer(&desk.config)?;
    let mut out = std::io::stdout().lock();
    match archive::archive(&desk.db, &signer, &desk.stamp(), before, file).await? {
        Some(archived) => {
            let (from, last) = (archived.from, archived.size - 1);
            writeln!(
                out,
                "entries {from} to {last} are in {} now; keep it, nothing else has them",
                file.display()
            )?;
        }
        None => writeln!(out, "nothing to archive: parts hold {} old entries or more", tree::BLOCK)?,
    }
    Ok(())
}

/// The heads in a file: notes one behind the other, or the last head of an export.
///
/// # Errors
/// When the file can't be read or holds no head.
pub fn heads_from(path: &Path) -> anyhow::Result<Vec<SignedHead>> {
    let named = || path.display().to_string();
    let file = BufReader::new(fs::File::open(path).with_context(named)?);
    let mut text = String::new();
    for line in file.split(b'\n') {
        let line = String::from_utf8(line.with_context(named)?).with_context(named)?;
        // Of an export only the last line counts; a note begins with the log's name, never with a brace.
        if line.starts_with('{') {
            text = line;
        } else {
            text = text + &line + "\n";
        }
    }
    if text.starts_with('{') {
        let last: serde_json::Value = serde_json::from_str(&text).with_context(named)?;
        text = last["head"]
            .as_str()
            .with_context(|| format!("{}: its last line has no head", named()))?
            .to_owned();
    }
    checkpoint::parse_heads(&text).with_context(named)
}

/// A time as people write it: RFC 3339, or a date, or a date and a time of day, in `zone`.
fn moment(text: Option<&str>, zone: Tz) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(Some(moment.to_utc()));
    }
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN));
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").or_else(|_| date());
    match local.ok().and_then(|local| zone.from_local_datetime(&local).earliest()) {
        Some(moment) => Ok(Some(moment.to_utc())),
        None => Err(Failure::Usage(format!(
            "{text:?} is no time; write 2026-11-22, \"2026-11-22 14:00\" or 2026-11-22T14:00:00+07:00"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_newsrooms_zone() {
        let read =
            |text| moment(Some(text), chrono_tz::Asia::Bangkok).ok().flatten().map(|at| at.to_rfc3339());
        assert_eq!(read("2026-11-22").as_deref(), Some("2026-11-21T17:00:00+00:00"));
        assert_eq!(read("2026-11-22 14:30").as_deref(), Some("2026-11-22T07:30:00+00:00"));
        assert_eq!(read("2026-11-22T14:30:00+07:00").as_deref(), Some("2026-11-22T07:30:00+00:00"));
        assert!(
            matches!(moment(Some("22/11/2026"), Tz::UTC), Err(Failure::Usage(text)) if text.contains("22/11/2026"))
        );
    }
}
