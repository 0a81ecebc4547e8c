//! User: adds and lists the people who sign in.

use std::io::Write;
use std::path::Path;

use clap::Subcommand;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::model::user::Role;
use crate::secret::SecretString;
use crate::store::user;

/// `songkhao user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user.
    Add {
        /// The name to sign in with.
        name: String,
        /// viewer, editor, approver or admin.
        #[arg(long)]
        role: Role,
        /// The environment variable that holds the password.
        #[arg(long, value_name = "NAME")]
        password_env: String,
    },
    /// Give a user another role.
    Role {
        /// The user.
        name: String,
        /// viewer, editor, approver or admin.
        role: Role,
    },
    /// Give a user another password; every session and token made under the old one ends.
    Password {
        /// The user.
        name: String,
        /// The environment variable that holds the password.
        #[arg(long, value_name = "NAME")]
        password_env: String,
    },
    /// Remove a user; what that person did stays in the audit log.
    Remove {
        /// The user.
        name: String,
    },
    /// The users.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Carries out a user command.
///
/// # Errors
/// A missing variable (exit 2), a refused name or password (exit 1), or what the database says.
pub async fn user(config: Option<&Path>, command: UserCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    let stamp = desk.stamp();
    let mut out = std::io::stdout().lock();
    match command {
        UserCommand::Add { name, role, password_env } => {
            let password = password_from(&password_env)?;
            let added = user::add(&desk.db, &stamp, &name, role, Some(&password)).await?;
            let added = added.map_err(|refusal| anyhow::anyhow!(refusal))?;
            writeln!(out, "user {} added as {}", added.name, added.role)?;
        }
        UserCommand::Role { name, role } => {
            user::set_role(&desk.db, &stamp, &name, role)
                .await?
                .map_err(|refusal| anyhow::anyhow!(refusal))?;
            writeln!(out, "user {name} is {role} now")?;
        }
        UserCommand::Password { name, password_env } => {
            let password = password_from(&password_env)?;
            let set = user::set_password(&desk.db, &stamp, &name, &password).await?;
            set.map_err(|refusal| anyhow::anyhow!(refusal))?;
            writeln!(out, "user {name} has a new password; all sessions ended")?;
        }
        UserCommand::Remove { name } => {
            user::remove(&desk.db, &stamp, &name).await?.map_err(|refusal| anyhow::anyhow!(refusal))?;
            writeln!(out, "user {name} removed")?;
        }
        UserCommand::List { json } => {
            let users = user::list(&desk.db).await?;
            if json {
                let rows: Vec<_> = users
                    .iter()
                    .map(|user| serde_json::json!({ "name": user.name, "role": user.role }))
                    .collect();
                writeln!(out, "{}", serde_json::to_string(&rows)?)?;
                return Ok(());
            }
            for user in users {
                writeln!(out, "{}  {}", user.name, user.role)?;
            }
        }
    }
    Ok(())
}

fn password_from(variable: &str) -> Result<SecretString, Failure> {
    match std::env::var(variable) {
        Ok(password) => Ok(SecretString::from(password)),
        Err(_) => Err(Failure::Usage(format!(
            "songkhao: the environment variable {variable:?} is not set; put the password into it, for instance with `read -rs {variable} && export {variable}`"
        ))),
    }
}
