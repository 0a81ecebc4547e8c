//! Wire: the mishaps every adapter must survive, for their tests.
//!
//! A server of plain sockets, because it misbehaves in ways a mock server can't: half an answer, none, a hang-up.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use reqwest::Client;
use reqwest::StatusCode;
use reqwest::header::HeaderName;
use reqwest::header::HeaderValue;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use url::Url;
use uuid::Uuid;

use crate::http;
use crate::http::Timeouts;
use crate::model::attempt::Answer;
use crate::model::attempt::SendError;
use crate::platform::Publisher;
use crate::platform::transport::Reply;

/// The moment the tests take place at.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-22T18:59:52Z".parse().unwrap()
}

/// A client with more patience than any answer here needs, even on a busy machine.
pub(crate) fn client() -> Client {
    client_with(Timeouts { connect: Duration::from_secs(20), total: Duration::from_secs(30) })
}

/// A client that soon gives up on silence.
pub(crate) fn impatient_client() -> Client {
    client_with(Timeouts { connect: Duration::from_millis(400), total: Duration::from_millis(800) })
}

fn client_with(timeouts: Timeouts) -> Client {
    http::install_tls();
    http::platform_client(timeouts).unwrap()
}

/// What the server does with a publishing request; a LINE token is always issued properly.
pub(crate) enum Act {
    /// Writes these bytes and closes.
    Write(Vec<u8>),
    /// Keeps the connection open and says nothing.
    Silence,
    /// Writes these bytes, then goes on with blanks up to [`FLOOD`] bytes, until the client hangs up.
    Flood(Vec<u8>),
    /// Writes these bytes, then a blank now and then, for ever.
    Drip(Vec<u8>),
    /// Writes these bytes once and keeps the connection; the next request on it is read and hung up on.
    HangUpLater(Vec<u8>),
}

/// What an answer without measure has: a hundred megabytes.
const FLOOD: usize = 100 * 1024 * 1024;

/// How much of it a client may take before it hangs up: its own limit, and what the sockets' buffers hold.
const TAKEN: usize = 12 * 1024 * 1024;

/// A server that treats every publishing request alike; its address, and how many of them came.
pub(crate) async fn serve(act: Act) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
    let (count, act) = (Arc::new(AtomicUsize::new(0)), Arc::new(act));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&act), Arc::clone(&counted)));
        }
    });
    (url, count)
}

async fn converse(mut stream: TcpStream, act: Arc<Act>, count: Arc<AtomicUsize>) {
    loop {
        let request = read_request(&mut stream).await;
        if !request.starts_with(|c: char| c.is_ascii_uppercase()) {
            // A TLS greeting, or the end. Silence keeps a greeting waiting, everything else hangs up.
            return match &*act {
                Act::Silence => std::future::pending().await,
                Act::Write(_) | Act::HangUpLater(_) | Act::Flood(_) | Act::Drip(_) => {}
            };
        }
        if request.contains("/oauth2/v3/token") {
            let body = r#"{"token_type":"Bearer","access_token":"issued","expires_in":899}"#;
            stream.write_all(&answer(200, &["content-type: application/json"], body)).await.unwrap();
            continue;
        }
        let earlier = count.fetch_add(1, Ordering::SeqCst);
        match &*act {
            Act::HangUpLater(bytes) if earlier == 0 => stream.write_all(bytes).await.unwrap(),
            Act::HangUpLater(_) => return,
            Act::Silence => return std::future::pending().await,
            Act::Flood(bytes) => return flood(&mut stream, bytes, &count).await,
            Act::Drip(bytes) => {
                let mut written = stream.write_all(bytes).await;
                while written.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    written = stream.write_all(b" ").await;
                }
                return;
            }
            Act::Write(bytes) => {
                // The client may hang up in the middle of a flood: that is what the flood is for.
                let _hung_up = stream.write_all(bytes).await;
                let _closed = stream.shutdown().await;
                return;
            }
        }
    }
}

/// Writes until the client has had enough. It must have soon, because it may keep in memory what it takes: one that
/// takes too much is counted as one request too many.
async fn flood(stream: &mut TcpStream, begin: &[u8], count: &AtomicUsize) {
    let blanks = vec![b' '; 64 * 1024];
    let mut written = stream.write_all(begin).await;
    for total in (0..FLOOD).step_by(blanks.len()) {
        if written.is_err() {
            return;
        }
        if total >= TAKEN {
            count.fetch_add(1, Ordering::SeqCst);
            return;
        }
        written = stream.write_all(&blanks).await;
    }
}

/// Reads a request whole, so that closing the connection is no reset.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.to_ascii_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:").map(|length| length.trim().parse::<usize>().unwrap())
            });
            body.len() >= length.unwrap_or(0)
        });
        if whole || read == 0 || request.starts_with(b"\x16") {
            return text;
        }
    }
}

/// An answer as bytes; each header without line end.
pub(crate) fn answer(status: u16, headers: &[&str], body: &str) -> Vec<u8> {
    announcing(body.len(), status, headers, body)
}

fn announcing(length: usize, status: u16, headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Runs an adapter through every way an answer can fail to come, `headers` and `body` being those of a success.
///
/// `publisher` makes a way to an address with a client. None may give a receipt, be taken for "surely not sent" once the request was out, or be sent twice.
pub(crate) async fn survive_mishaps(
    publisher: impl Fn(Url, Client) -> Publisher,
    headers: &[&str],
    body: &str,
) {
    let html = "<html><body>Something went wrong</body></html>";
    let flood = format!("{body}{}", " ".repeat(3 * 1024 * 1024));
    // A success, and behind it 64 MiB of blanks, in 64 kB.
    let bomb: &[u8] = include_bytes!("../../tests/fixtures/platform/bomb.json.gz");
    let zipped = [headers, &["content-encoding: gzip"]].concat();
    let half = announcing(body.len() * 2, 200, headers, body);
    let cut = announcing(body.len(), 200, headers, &body[..body.floor_char_boundary(body.len() / 2)]);
    let mishaps = [
        ("an empty success", Act::Write(answer(200, headers, ""))),
        ("a success that is no JSON", Act::Write(answer(200, headers, "ok"))),
        ("a success of HTML", Act::Write(answer(200, &["content-type: text/html"], html))),
        ("a success of another JSON", Act::Write(answer(200, &[], "[]"))),
        ("a success with nothing in it", Act::Write(answer(200, &[], "{}"))),
        ("204", Act::Write(answer(204, headers, ""))),
        ("half a body", Act::Write(half)),
        ("a cut body", Act::Write(cut)),
        ("a flood that begins like a success", Act::Write(answer(200, headers, &flood))),
        ("100 MB", Act::Flood(announcing(FLOOD, 200, headers, body))),
        ("100 MB of an error", Act::Flood(announcing(FLOOD, 500, headers, body))),
        ("a success that never ends", Act::Drip(announcing(FLOOD, 200, headers, body))),
        ("a bomb", Act::Write([announcing(bomb.len(), 200, &zipped, "").as_slice(), bomb].concat())),
        ("a gateway's HTML", Act::Write(answer(502, &["content-type: text/html"], html))),
        ("an empty 500", Act::Write(answer(500, headers, ""))),
        ("a 503 with a success's body", Act::Write(answer(503, headers, body))),
        ("a redirect", Act::Write(answer(302, &["location: /elsewhere"], ""))),
        ("a redirect that keeps the method", Act::Write(answer(307, &["location: /elsewhere"], body))),
        ("no answer, closed", Act::Write(Vec::new())),
        ("bytes that are no HTTP", Act::Write(b"\x16\x03\x01 what?".to_vec())),
        ("half a head", Act::Write(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        ("silence", Act::Silence),
    ];
    for (mishap, act) in mishaps {
        let client = if matches!(act, Act::Silence | Act::Drip(_)) { impatient_client() } else { client() };
        let (url, count) = serve(act).await;
        let answer = send(&publisher(url, client)).await;
        assert!(matches!(answer.result, Err(SendError::Unconfirmed { .. })), "{mishap}: {answer:?}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{mishap}");
    }

    // A connection used before must not tempt the HTTP library into sending once more by itself.
    let (url, count) = serve(Act::HangUpLater(answer(200, headers, body))).await;
    let publisher_of_two = publisher(url, client());
    assert!(send(&publisher_of_two).await.result.is_ok());
    let answer = send(&publisher_of_two).await;
    assert!(matches!(answer.result, Err(SendError::Unconfirmed { .. })), "{answer:?}");
    assert_eq!(count.load(Ordering::SeqCst), 2, "sent again on another connection");

    let (hangs_up, hung_up_on) = serve(Act::Write(Vec::new())).await;
    let (silent, waited_for) = serve(Act::Silence).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (mishap, url) in [
        ("a refused connection", format!("http://{nobody}/")),
        ("a name that doesn't resolve", "http://songkhao.invalid/".to_owned()),
        ("TLS that fails", hangs_up.as_str().replace("http:", "https:")),
        ("a connection that takes too long", silent.as_str().replace("http:", "https:")),
    ] {
        let answer = send(&publisher(url.parse().unwrap(), impatient_client())).await;
        assert!(matches!(answer.result, Err(SendError::Unreachable { .. })), "{mishap}: {answer:?}");
        assert!(!answer.result.unwrap_err().reason().contains(&url), "{mishap}");
    }
    for count in [hung_up_on, waited_for] {
        assert_eq!(count.load(Ordering::SeqCst), 0, "a TLS greeting is no request");
    }
}

/// Sends something the server doesn't look at.
pub(crate) async fn send(publisher: &Publisher) -> Answer {
    publisher.send("{}", Some(Uuid::nil()), now()).await
}

/// An answer from its parts, that came at [`now`].
pub(crate) fn reply(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    Reply::new(StatusCode::from_u16(status).unwrap(), headers, Ok(body.into()), now())
}
