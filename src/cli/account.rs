//! Account: lists accounts and asks one whether it may send.

use std::io::Write;
use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::store::account;

/// `songkhao account …`
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// The accounts with their state.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Ask the platform now; an account that was paused and is not refused any more goes on.
    Check {
        /// Its name.
        name: String,
    },
}

/// Carries out an account command.
///
/// # Errors
/// An unknown account, a refused credential (exit 1), or what the database says.
pub async fn account(config: Option<&Path>, command: AccountCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    match command {
        AccountCommand::List { json } => list(&desk, json).await,
        AccountCommand::Check { name } => check(desk, &name).await,
    }
}

async fn list(desk: &Desk, as_json: bool) -> Result<(), Failure> {
    let stored = account::list(&desk.db).await?;
    let rows: Vec<_> = desk
        .config
        .accounts
        .iter()
        .map(|account| {
            let known = stored.iter().find(|known| known.name == account.name);
            json!({
                "account": account.name, "platform": account.platform(), "mode": account.mode,
                "pause": known.and_then(|known| known.pause.clone()),
                "reason": known.and_then(|known| known.pause_reason.clone()),
                "failures": known.map_or(0, |known| known.failures),
            })
        })
        .collect();
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        return Ok(());
    }
    for (account, row) in desk.config.accounts.iter().zip(&rows) {
        let state = row["pause"].as_str().map_or("sending".to_owned(), |pause| {
            format!("paused ({pause}): {}", row["reason"].as_str().unwrap_or_default())
        });
        writeln!(out, "{}  {}  {state}", account.name, account.platform())?;
    }
    Ok(())
}

async fn check(desk: Desk, name: &str) -> Result<(), Failure> {
    let stamp = desk.stamp();
    let context = desk.context().await?;
    let Some((_, publisher)) = context.account(name) else {
        return Err(Failure::Usage(format!("songkhao: no account is called {name:?}")));
    };
    let mut out = std::io::stdout().lock();
    match publisher.probe(context.now()).await {
        Ok(health) => {
            writeln!(out, "{name}: good, {}", health.name)?;
            for (what, value) in &health.details {
                writeln!(out, "  {what}: {value}")?;
            }
            account::resume(&context.db, &stamp, name, "account check was not refused").await?;
            Ok(())
        }
        Err(error) => {
            writeln!(out, "{name}: {error}")?;
            Err(Failure::No)
        }
    }
}
