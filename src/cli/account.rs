//! Account: lists accounts, gives them tokens, asks one whether it may send.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;
use serde_json::json;
use url::Url;

use crate::cli::Failure;
use crate::cli::connect;
use crate::cli::desk::Desk;
use crate::clock;
use crate::config::account::Account;
use crate::config::account::Connection;
use crate::config::account::XAuth;
use crate::model::token::State;
use crate::pipeline::Context;
use crate::pipeline::refresh;
use crate::pipeline::refresh::Ready;
use crate::secret::Grant;
use crate::secret::SecretString;
use crate::store::account;
use crate::store::audit::Stamp;
use crate::store::token;
use crate::store::token::Origin;
use crate::store::token::Token;

/// `songkhao account …`
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// The accounts with their state and what they sign with.
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
    /// Connect an X account with `oauth2` through a browser; its token is renewed from then on.
    Connect {
        /// Its name.
        name: String,
        /// Paste the address the browser was sent to, instead of letting it come back to this machine.
        #[arg(long)]
        paste: bool,
        /// Where the browser comes back to; must stand in the app's settings at X, letter by letter.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8723/callback")]
        redirect: Url,
    },
    /// Take over tokens got elsewhere: a pair for X with `oauth2`, a Page token for Facebook.
    Import {
        /// Its name.
        name: String,
        /// The environment variable that holds the access token.
        #[arg(long, value_name = "NAME")]
        access_token_env: String,
        /// The environment variable that holds the refresh token (X).
        #[arg(long, value_name = "NAME")]
        refresh_token_env: Option<String>,
        /// How long the access token still lives, such as 7200 (seconds) or 2h; left out, it is used until it is refused.
        #[arg(long, value_name = "TIME", value_parser = life)]
        expires_in: Option<Duration>,
    },
    /// Forget the stored token; what the configuration points to counts again.
    Forget {
        /// Its name.
        name: String,
    },
}

/// Carries out an account command.
///
/// # Errors
/// An unknown account or unfit command (exit 2), a refused credential (exit 1), or what the database says.
pub async fn account(config: Option<&Path>, command: AccountCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    let stamp = desk.stamp();
    match command {
        AccountCommand::List { json } => list(&desk, json).await,
        AccountCommand::Check { name } => {
            let context = at_the_shell(desk, &name).await?;
            check(&context, &stamp, &name).await
        }
        AccountCommand::Connect { name, paste, redirect } => {
            let context = at_the_shell(desk, &name).await?;
            through_a_browser(&context, &stamp, &name, paste, &redirect).await
        }
        AccountCommand::Import { name, access_token_env, refresh_token_env, expires_in } => {
            let context = at_the_shell(desk, &name).await?;
            let refresh = refresh_token_env.as_deref().map(secret_from).transpose()?;
            let grant = Grant {
                access: secret_from(&access_token_env)?,
                refresh,
                scopes: Vec::new(),
                life: expires_in,
            };
            import(&context, &stamp, &name, &grant).await
        }
        AccountCommand::Forget { name } => {
            let context = at_the_shell(desk, &name).await?;
            let words = match token::forget(&context.db, &stamp, &name).await? {
                true => "its stored token is forgotten; revoke it at the platform too",
                false => "no token is stored",
            };
            Ok(writeln!(std::io::stdout().lock(), "{name}: {words}")?)
        }
    }
}

/// What the steps need, for a person: not a start of the node, so what is under way there is left alone.
async fn at_the_shell(desk: Desk, name: &str) -> Result<Context, Failure> {
    let mut context = desk.context().await?;
    context.node.push_str(" (command line)");
    let Some((account, _)) = context.account(name) else {
        return Err(Failure::Usage(format!("songkhao: no account is called {name:?}")));
    };
    account::ensure(&context.db, &[(name.to_owned(), account.platform())]).await?;
    Ok(context)
}

async fn list(desk: &Desk, as_json: bool) -> Result<(), Failure> {
    let stored = account::list(&desk.db).await?;
    let tokens = token::list(&desk.db).await?;
    let rows: Vec<_> = desk
        .config
        .accounts
        .iter()
        .map(|account| {
            let known = stored.iter().find(|known| known.name == account.name);
            let token = tokens.iter().find(|token| token.account == account.name);
            json!({
                "account": account.name, "platform": account.platform(), "mode": account.mode,
                "pause": known.and_then(|known| known.pause.clone()),
                "reason": known.and_then(|known| known.pause_reason.clone()),
                "failures": known.map_or(0, |known| known.failures),
                "credential": credential(account),
                "token": token.filter(|_| account.takes_tokens()).map(shown),
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
        let token = tokens.iter().find(|token| token.account == account.name);
        writeln!(out, "    {}", told(account, token.filter(|_| account.takes_tokens())))?;
    }
    Ok(())
}

/// What an account signs with by its configuration.
fn credential(account: &Account) -> &'static str {
    match account.connection {
        Connection::Facebook { .. } => "page_token",
        Connection::X { auth: XAuth::OAuth1 { .. } } => "oauth1",
        Connection::X { auth: XAuth::OAuth2 { .. } } => "oauth2",
        Connection::Line { .. } => "channel_secret",
    }
}

fn shown(token: &Token) -> Value {
    json!({
        "state": token.facts.state.name(), "from": token.origin, "fingerprint": token.access_print,
        "scopes": token.scopes, "got": token.got_at, "refreshed": token.refreshed_at,
        "expires": token.facts.expires_at, "renewed_by_itself": token.facts.renewable, "reason": token.reason,
    })
}

/// What an account signs with, on a line.
fn told(account: &Account, token: Option<&Token>) -> String {
    let Some(token) = token else {
        return match account.connection {
            Connection::Facebook { .. } => "Page token of the configuration".to_owned(),
            Connection::X { auth: XAuth::OAuth1 { .. } } => "oauth1: four secrets without an end".to_owned(),
            Connection::X { auth: XAuth::OAuth2 { .. } } => {
                format!("oauth2: not connected; run songkhao account connect {}", account.name)
            }
            Connection::Line { .. } => "channel secret: tokens of 15 minutes, issued when needed".to_owned(),
        };
    };
    let minute = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
    let mut parts = vec![format!("token {}, {} {}", token.access_print, token.origin, minute(token.got_at))];
    parts.extend(token.refreshed_at.map(|at| format!("renewed {}", minute(at))));
    parts.push(match token.facts.expires_at {
        Some(at) => format!("ends {}", minute(at)),
        None => "no end known".to_owned(),
    });
    if !token.scopes.is_empty() {
        parts.push(token.scopes.join(" "));
    }
    match token.facts.state {
        State::Good => {}
        State::Refreshing => parts.push("being renewed".to_owned()),
        State::Lost => parts.push(format!("LOST: run songkhao account connect {}", account.name)),
    }
    if let Some(reason) = token.reason.as_ref().filter(|_| token.facts.state == State::Good) {
        parts.push(format!("the last renewal failed: {reason}"));
    }
    parts.join(", ")
}

async fn check(context: &Context, stamp: &Stamp, name: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let error = match ask(context, stamp, name).await? {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    writeln!(out, "{name}: {error}")?;
    Err(Failure::No)
}

/// Asks who the account is, tells it, and lets it go on; or what is in the way.
async fn ask(context: &Context, stamp: &Stamp, name: &str) -> Result<Result<(), String>, Failure> {
    let mut last = String::new();
    // A token that is refused is renewed, and the new one tried.
    for _ in 0..2 {
        let credential = match refresh::ready(context, name).await? {
            Ready::Yes(credential) => credential,
            Ready::NotYet(reason) => return Ok(Err(reason)),
        };
        let Some((account, publisher)) = context.account(name) else { break };
        let error = match publisher.probe(context.now()).await {
            Ok(health) => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{name}: good, {}", health.name)?;
                for (what, value) in &health.details {
                    writeln!(out, "  {what}: {value}")?;
                }
                drop(out);
                let token = token::find(&context.db, name).await?.filter(|_| account.takes_tokens());
                writeln!(std::io::stdout(), "  signs with: {}", told(account, token.as_ref()))?;
                refresh::proved(context, name, credential).await;
                if let Some(id) = publisher.user_id() {
                    account::note_remote_user(&context.db, name, id).await?;
                }
                account::resume(&context.db, stamp, name, "account check was not refused").await?;
                return Ok(Ok(()));
            }
            Err(error) => error,
        };
        last = error.to_string();
        if !refresh::mends(context, name, credential, &error).await {
            break;
        }
    }
    Ok(Err(last))
}

async fn through_a_browser(
    context: &Context,
    stamp: &Stamp,
    name: &str,
    pasting: bool,
    redirect: &Url,
) -> Result<(), Failure> {
    let Some((account, publisher)) = context.account(name) else { return Err(Failure::No) };
    let Some(app) = publisher.app() else { return Err(unfit(account)) };
    let invitation = app.invite(redirect.as_str())?;
    let mut out = std::io::stdout();
    writeln!(out, "Open this address in a browser that is signed in to X as the profile to post from:\n")?;
    writeln!(out, "  {}\n", invitation.url)?;
    let (invitation, code) = if pasting {
        writeln!(out, "Then paste the address the browser is sent to, though that page does not load:")?;
        connect::paste(invitation, std::io::stdin().lock())?
    } else {
        writeln!(out, "Waiting for the browser at {redirect} (ten minutes)")?;
        connect::wait(invitation, redirect).await?
    };
    let granted = app.exchange(invitation, code, context.now()).await;
    let grant = granted.map_err(|error| anyhow::anyhow!("X gave no token: {error}; run it again"))?;
    if grant.refresh.is_none() {
        return Err(anyhow::anyhow!("X gave no refresh token: the app must be allowed offline.access").into());
    }
    take(context, stamp, name, Origin::Connected, &grant).await
}

async fn import(context: &Context, stamp: &Stamp, name: &str, grant: &Grant) -> Result<(), Failure> {
    let Some((account, _)) = context.account(name) else { return Err(Failure::No) };
    let text = match (&account.connection, &grant.refresh) {
        (Connection::X { auth: XAuth::OAuth2 { .. } }, Some(_)) | (Connection::Facebook { .. }, None) => {
            return take(context, stamp, name, Origin::Imported, grant).await;
        }
        (Connection::X { auth: XAuth::OAuth2 { .. } }, None) => {
            "without --refresh-token-env it would end within two hours; give it, or use account connect"
        }
        (Connection::Facebook { .. }, Some(_)) => {
            "a Page token is renewed by nothing; leave --refresh-token-env out"
        }
        _ => return Err(unfit(account)),
    };
    Err(Failure::Usage(format!("songkhao: {name}: {text}")))
}

/// Keeps a new token and tells whose it is.
async fn take(
    context: &Context,
    stamp: &Stamp,
    name: &str,
    origin: Origin,
    grant: &Grant,
) -> Result<(), Failure> {
    let before = account::find(&context.db, name).await?.and_then(|known| known.remote_user);
    let stamp = Stamp { at: clock::now(), ..stamp.clone() };
    token::keep(&context.db, &context.keys, &stamp, name, origin, grant, None).await?;
    let mut out = std::io::stdout();
    writeln!(out, "{name}: {}", origin.name())?;
    if let Err(error) = ask(context, &stamp, name).await? {
        writeln!(out, "{name}: kept, but it could not be tried: {error}; run songkhao account check {name}")?;
        return Err(Failure::No);
    }
    let after = account::find(&context.db, name).await?.and_then(|known| known.remote_user);
    if let (Some(before), Some(after)) = (before, after)
        && before != after
    {
        writeln!(out, "note: it is another profile than before ({before}); is that meant?")?;
    }
    Ok(())
}

/// Why an account can't be given a token, and what to do instead.
fn unfit(account: &Account) -> Failure {
    let cure = match account.connection {
        Connection::Facebook { .. } => {
            "a Page token is imported: songkhao account import NAME --access-token-env VARIABLE"
        }
        Connection::X { .. } => {
            "it signs by oauth1, whose secrets stand in the configuration; give it oauth2 = { client_id = … } instead"
        }
        Connection::Line { .. } => {
            "channel_id and channel_secret are all it needs; tokens are issued by themselves"
        }
    };
    Failure::Usage(format!("songkhao: {}: {cure}", account.name))
}

fn secret_from(variable: &str) -> Result<SecretString, Failure> {
    let usage = |what: &str| {
        Failure::Usage(format!(
            "songkhao: the environment variable {variable:?} {what}; put the token into it, for instance with `read -rs {variable} && export {variable}`"
        ))
    };
    let value = std::env::var(variable).map_err(|_| usage("is not set"))?;
    match !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(value.into()),
        false => Err(usage("holds no token, or one with spaces or line ends")),
    }
}

/// Seconds, or a time as the configuration writes it.
fn life(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    let span =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs);
    span.filter(|span| !span.is_zero() && *span <= Duration::from_secs(366 * 86_400))
        .ok_or_else(|| "it looks like 7200, 90m, 2h or 60d, and is at most a year".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_seconds_or_a_time() {
        for (text, seconds) in [("7200", 7200), ("90s", 90), ("2h", 7200), ("60d", 5_184_000)] {
            assert_eq!(life(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "h", "0", "2 h", "2w", "-1", "99999999999999999999", "400d"] {
            life(text).unwrap_err();
        }
    }
}
