//! Backup: copies the database as it stands, and puts a copy in its place.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk;
use crate::cli::desk::Desk;
use crate::clock;
use crate::config::Config;
use crate::model::audit::Action;
use crate::store::audit;
use crate::store::db;
use crate::store::db::Db;
use crate::store::gap;
use crate::store::gap::Cause;
use crate::store::migration;
use crate::store::node;
use crate::store::sqlite;
use crate::store::sqlite::Candidate;

/// `songkhao backup FILE`.
///
/// # Errors
/// A file that exists or can't be written; a database that isn't SQLite's (exit 2), with the tool for it.
pub async fn backup(config: Option<&Path>, file: &Path) -> Result<(), Failure> {
    let settings = desk::read(config)?;
    let database = file_of(&settings, "pg_dump --format=custom --file FILE ADDRESS, while songkhao runs")?;
    if !database.exists() {
        let text = format!("{} is not there yet; there is nothing to back up", database.display());
        return Err(Failure::Failed(anyhow::anyhow!(text)));
    }
    let made = sqlite::back_up(database, file).await;
    let schema = made.with_context(|| format!("no backup was made in {}", file.display()))?;
    let bytes = std::fs::metadata(file)?.len();
    // Before an upgrade the new program makes the backup: it must not migrate what it is to keep.
    if schema == migration::KNOWN {
        let desk = Desk { db: desk::open(&settings).await?, config: settings };
        let mut entry = desk.stamp().entry(Action::BackupMade);
        entry.detail = json!({ "file": file.display().to_string(), "bytes": bytes });
        audit::record(&desk.db, &entry).await?;
        desk.db.close().await;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {bytes} bytes; keep songkhao.key apart from it", file.display())?;
    Ok(())
}

/// `songkhao restore FILE`.
///
/// # Errors
/// A live daemon; a file that is no whole backup of ours, before anything was touched; a database that isn't
/// SQLite's (exit 2), with the tool for it.
pub async fn restore(config: Option<&Path>, file: &Path) -> Result<(), Failure> {
    let settings = desk::read(config)?;
    let tool = "pg_restore --clean --if-exists --dbname ADDRESS FILE, with every node stopped; \
                songkhao notices it at its next start";
    let database = file_of(&settings, tool)?.to_owned();
    let now = clock::now();
    let _nobody_starts = node::close(&database, settings.node.name.as_str()).map_err(|error| match error {
        db::Error::NodeTaken { node } => Failure::Failed(anyhow::anyhow!(
            "nothing was restored: node {node} runs on this database; stop songkhao first (systemctl stop songkhao)"
        )),
        error => Failure::Failed(anyhow::Error::new(error).context("nothing was restored")),
    })?;
    let candidate = Candidate::of(file, &database)
        .await
        .map_err(|reason| Failure::Failed(anyhow::anyhow!("nothing was restored: {reason}")))?;
    let db = Db::open(&candidate.url(), now).await.context("nothing was restored")?;
    let desk = Desk { db, config: settings };
    let detail = json!({ "file": file.display().to_string(), "head": audit::newest_head(&desk.db).await? });
    let gap = gap::open(&desk.db, &desk.stamp(), Cause::Restored, None, detail).await?;
    desk.db.close().await;
    let kept = candidate.take_over(now).await.context("the backup could not take the database's place")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} is restored from {}", database.display(), file.display())?;
    if let Some(kept) = kept {
        writeln!(out, "the database it replaced is kept: {}", kept.display())?;
    }
    writeln!(
        out,
        "it knows nothing of {} to {}. Start songkhao: what may have been sent then is looked for on Facebook and X \
         before it is sent; what was due on LINE is parked (songkhao post list --state parked)",
        gap.since.format("%Y-%m-%d %H:%M:%SZ"),
        gap.until.format("%Y-%m-%d %H:%M:%SZ")
    )?;
    if desk.config.keys.secret.is_none() && !desk.config.key_file().exists() {
        writeln!(
            out,
            "{} is missing: put it back before songkhao makes a new one",
            desk.config.key_file().display()
        )?;
    }
    Ok(())
}

/// SQLite's file; else which of PostgreSQL's tools does it.
fn file_of<'c>(config: &'c Config, tool: &str) -> Result<&'c Path, Failure> {
    config.database.url.sqlite_path().ok_or_else(|| {
        let text = "this database is PostgreSQL's, whose own tools back it up and restore it";
        Failure::Usage(format!("songkhao: {text}: {tool} (docs/operations.md, \"Backup\")"))
    })
}
