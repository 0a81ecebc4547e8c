//! Notify: tells places outside: a file, a webhook, a mailbox.
//!
//! All addresses are the operator's own, so trusted. Each function tells once and says how it went; whoever
//! calls decides whether to try again, and repeats must be harmless.

use std::path::Path;
use std::time::Duration;

use lettre::AsyncSmtpTransport;
use lettre::AsyncTransport as _;
use lettre::Message;
use lettre::Tokio1Executor;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use crate::config::audit::Mail;
use crate::http;
use crate::http::Timeouts;
use crate::secret::ExposeSecret as _;

/// How long telling may take.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(20) };

/// The most that is kept of an answer, in characters.
const LONGEST_REASON: usize = 200;

/// Appends `text` to a file, which is made if need be, and sees it onto the disk.
///
/// # Errors
/// In words: why the file can't be written.
pub async fn append(path: &Path, text: &str) -> Result<(), String> {
    let write = async {
        let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
        file.write_all(text.as_bytes()).await?;
        file.sync_all().await
    };
    write.await.map_err(|error| format!("{}: {error}", path.display()))
}

/// Posts `body` as JSON; any 2xx is a yes.
///
/// # Errors
/// In words: what went wrong, without the address, which may hold a password.
pub async fn post(address: &str, body: &serde_json::Value) -> Result<(), String> {
    let told = |error: reqwest::Error| chain(&error.without_url());
    let client = http::platform_client(TIMEOUTS).map_err(told)?;
    let response = client.post(address).json(body).send().await.map_err(told)?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the webhook answered {status}")),
    }
}

/// Sends a mail of plain text to all readers at once; the server's yes is a yes.
///
/// # Errors
/// In words: what went wrong, without the server's address, which may hold a password.
pub async fn mail(mail: &Mail, subject: &str, text: &str) -> Result<(), String> {
    let mailbox = |address: &str| {
        address.parse::<Mailbox>().map_err(|error| format!("{address:?} is no mail address: {error}"))
    };
    let mut message = Message::builder().from(mailbox(&mail.from)?).subject(subject);
    for reader in &mail.to {
        message = message.to(mailbox(reader)?);
    }
    let message = message.header(ContentType::TEXT_PLAIN).body(text.to_owned());
    let message = message.map_err(|error| error.to_string())?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(mail.smtp.expose_secret())
        .map_err(|_| "audit.heads_mail.smtp is no address such as smtps://USER:PASSWORD@HOST".to_owned())?
        .timeout(Some(TIMEOUTS.total))
        .build();
    transport.send(message).await.map_err(|error| chain(&error))?;
    Ok(())
}

/// An error with its causes, in one line of bounded length.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told.chars().take(LONGEST_REASON).collect()
}
