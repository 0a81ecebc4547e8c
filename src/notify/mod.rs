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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufReadExt as _;
    use tokio::io::BufReader;
    use tokio::net::TcpListener;
    use wiremock::Mock;
    use wiremock::MockServer;
    use wiremock::ResponseTemplate;
    use wiremock::matchers;

    use super::*;

    #[tokio::test]
    async fn what_is_appended_stands_behind_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads");
        append(&path, "one\n").await.unwrap();
        append(&path, "two\n").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let error = append(folder.path(), "x").await.unwrap_err();
        assert!(error.starts_with(&folder.path().display().to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_webhook_that_says_no_or_nothing_is_told_without_its_address() {
        http::install_tls();
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(403);
        Mock::given(matchers::path("/no/s3cret")).respond_with(answer).mount(&server).await;
        let body = serde_json::json!({ "size": 3 });
        let yes = ResponseTemplate::new(200);
        Mock::given(matchers::path("/yes"))
            .and(matchers::body_json(&body))
            .respond_with(yes)
            .mount(&server)
            .await;
        assert_eq!(post(&format!("{}/yes", server.uri()), &body).await, Ok(()));
        let error = post(&format!("{}/no/s3cret", server.uri()), &body).await.unwrap_err();
        assert_eq!(error, "the webhook answered 403 Forbidden");
        let error = post("http://127.0.0.1:1/s3cret", &body).await.unwrap_err();
        assert!(!error.contains("s3cret") && !error.is_empty(), "{error}");
    }

    /// A mail server for one mail; gives what it was told.
    async fn mail_server(listener: TcpListener) -> Vec<String> {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut told, mut in_body) = (BufReader::new(read).lines(), Vec::new(), false);
        write.write_all(b"220 mail.example\r\n").await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            let answer = match line.as_str() {
                "DATA" => "354 go on\r\n",
                "." => "250 taken\r\n",
                _ if in_body => "",
                "QUIT" => "221 bye\r\n",
                _ => "250 yes\r\n",
            };
            in_body = line == "DATA" || (in_body && line != ".");
            write.write_all(answer.as_bytes()).await.unwrap();
            told.push(line);
        }
        told
    }

    #[tokio::test]
    async fn a_mail_reaches_every_reader() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(mail_server(listener));
        let to = Mail {
            smtp: format!("smtp://{address}").into(),
            from: "songkhao@news.example".to_owned(),
            to: vec!["editors@news.example".to_owned(), "desk@news.example".to_owned()],
        };
        mail(&to, "the audit log has 3 entries", "news.example/audit\n3\n").await.unwrap();
        let told = server.await.unwrap().join("\n");
        for wanted in [
            "RCPT TO:<editors@news.example>",
            "RCPT TO:<desk@news.example>",
            "Subject: the audit log has 3 entries",
            "news.example/audit",
        ] {
            assert!(told.contains(wanted), "{told}");
        }
    }

    #[tokio::test]
    async fn a_mail_that_can_not_go_is_told_without_the_servers_address() {
        let mut to = Mail {
            smtp: "smtp://user:s3cret@127.0.0.1:1".to_owned().into(),
            from: "songkhao@news.example".to_owned(),
            to: vec!["editors@news.example".to_owned()],
        };
        let error = mail(&to, "x", "y").await.unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
        to.smtp = "s3cret".to_owned().into();
        assert!(mail(&to, "x", "y").await.unwrap_err().contains("smtps://USER"));
        to.from = "nobody".to_owned();
        assert!(mail(&to, "x", "y").await.unwrap_err().contains("\"nobody\" is no mail address"));
    }
}
