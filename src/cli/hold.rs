//! Hold: stops posting, with a reason, and lifts it again.

use std::io::Write;
use std::path::Path;

use clap::Subcommand;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::model::lane::Lane;
use crate::store::hold;

/// `songkhao hold …`
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Stop posting on all lanes and accounts, or on those named.
    On {
        /// Why; everybody sees it.
        #[arg(long)]
        reason: String,
        /// Only this lane (may be given again).
        #[arg(long = "lane")]
        lanes: Vec<Lane>,
        /// Only this account (may be given again).
        #[arg(long = "account")]
        accounts: Vec<String>,
    },
    /// Lift every hold. What came due meanwhile stays held: `post list --state held`, then `post retry` or `post cancel`.
    Off,
    /// The holds that are on.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Carries out a hold command.
///
/// # Errors
/// An unknown account, or what the database says.
pub async fn hold(config: Option<&Path>, command: HoldCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    let mut out = std::io::stdout().lock();
    match command {
        HoldCommand::On { reason, lanes, accounts } => {
            for name in &accounts {
                if !desk.config.accounts.iter().any(|account| account.name == *name) {
                    return Err(Failure::Usage(format!("songkhao: no account is called {name:?}")));
                }
            }
            hold::set(&desk.db, &desk.stamp(), &reason, &lanes, &accounts).await?;
            writeln!(out, "hold on: {reason}")?;
        }
        HoldCommand::Off => {
            let lifted = hold::lift_all(&desk.db, &desk.stamp()).await?;
            writeln!(out, "{lifted} holds lifted")?;
        }
        HoldCommand::List { json } => {
            let holds = hold::list(&desk.db).await?;
            if json {
                writeln!(out, "{}", serde_json::to_string(&holds)?)?;
                return Ok(());
            }
            for hold in holds {
                let (lane, account) = (
                    hold.lane.as_deref().unwrap_or("all lanes"),
                    hold.account.as_deref().unwrap_or("all accounts"),
                );
                writeln!(
                    out,
                    "{}  {lane} on {account}: {} ({}, {})",
                    hold.id, hold.reason, hold.set_by, hold.set_at
                )?;
            }
        }
    }
    Ok(())
}
