//! Connect: leads through a platform's consent page.
//!
//! It begins with an address to open and ends with the code that answers it.
//! The browser comes back to a listener on this machine, or a person pastes the address it was sent to. Either way the
//! answer must carry the state of this very invitation, once, within ten minutes.

use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Host;
use url::Url;

use crate::cli::Failure;
use crate::clock;
use crate::platform::x::token::Invitation;
use crate::secret::SecretString;

/// How long a person may take (ASVS 10.2.1).
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What a browser brings back.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    state: String,
    code: Option<SecretString>,
    error: Option<String>,
}

/// An invitation with its code.
pub type Accepted = (Invitation, SecretString);

/// Why an answer counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("the answer is not to this invitation: its state is another's, or was used before")]
    Foreign,
    #[error("the consent page said no: {0}")]
    Denied(String),
}

/// Waits for the browser to come back to `redirect` on this machine.
///
/// # Errors
/// When `redirect` is not on this machine, its port is taken, the person says no, or ten minutes are over.
pub async fn wait(invitation: Invitation, redirect: &Url) -> Result<Accepted, Failure> {
    let listener = bind(redirect).await?;
    let (sender, answered) = oneshot::channel();
    let door = Arc::new(Mutex::new(Some(Door { invitation, sender })));
    let app = Router::new().route(redirect.path(), get(come_back)).with_state(door);
    let stop = CancellationToken::new();
    let served = tokio::spawn(
        axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future(),
    );
    let answer = tokio::time::timeout(PATIENCE, answered).await;
    stop.cancel();
    // The browser's last page is on its way; a browser that keeps its connection open is not waited for.
    let _said_or_not = tokio::time::timeout(Duration::from_secs(2), served).await;
    match answer {
        Ok(Ok(accepted)) => Ok(accepted.map_err(anyhow::Error::from)?),
        _ => Err(anyhow::anyhow!("nobody answered within ten minutes; run it again").into()),
    }
}

/// Takes the address that the browser was sent to, as a person pastes it.
///
/// # Errors
/// When it is no answer to this invitation, the consent page said no, or ten minutes are over.
pub fn paste(invitation: Invitation, mut from: impl BufRead) -> Result<Accepted, Failure> {
    let began = clock::monotonic();
    let mut line = String::new();
    from.read_line(&mut line)?;
    if began.elapsed() > PATIENCE {
        return Err(anyhow::anyhow!("ten minutes are over; run it again").into());
    }
    let whole =
        "paste the whole address the browser was sent to, from http to the end; it holds state and code";
    let address: Url = line.trim().parse().map_err(|_| anyhow::anyhow!("{whole}"))?;
    let Ok(Query(answer)) = Query::<Answer>::try_from_uri(&address.as_str().parse()?) else {
        return Err(anyhow::anyhow!("{whole}").into());
    };
    let code = check(&invitation, answer).map_err(anyhow::Error::from)?;
    Ok((invitation, code))
}

/// The code of an answer that belongs to the invitation.
fn check(invitation: &Invitation, answer: Answer) -> Result<SecretString, Refusal> {
    if !invitation.is_answered_by(&answer.state) {
        return Err(Refusal::Foreign);
    }
    answer.code.ok_or_else(|| {
        let plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
        Refusal::Denied(answer.error.unwrap_or_default().chars().filter(plain).take(100).collect())
    })
}

async fn bind(redirect: &Url) -> Result<TcpListener, Failure> {
    let usage = || {
        Failure::Usage(format!(
            "songkhao: {redirect} is not on this machine; give --redirect http://127.0.0.1:PORT/PATH, or --paste"
        ))
    };
    let ip = match redirect.host() {
        Some(Host::Ipv4(ip)) if ip.is_loopback() => ip.into(),
        Some(Host::Ipv6(ip)) if ip.is_loopback() => ip.into(),
        Some(Host::Domain("localhost")) => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => return Err(usage()),
    };
    let port = redirect.port_or_known_default().filter(|_| redirect.scheme() == "http").ok_or_else(usage)?;
    let address = SocketAddr::new(ip, port);
    let bound = TcpListener::bind(address).await;
    Ok(bound.with_context(|| format!("{address} can't be listened on; stop what uses it, or use --paste"))?)
}

/// Where an invitation waits for its one answer.
struct Door {
    invitation: Invitation,
    sender: oneshot::Sender<Result<Accepted, Refusal>>,
}

async fn come_back(State(door): State<Arc<Mutex<Option<Door>>>>, Query(answer): Query<Answer>) -> Response {
    let mut door = door.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = door.as_ref().is_some_and(|it| it.invitation.is_answered_by(&answer.state));
    let Some(Door { invitation, sender }) = (if fits { door.take() } else { None }) else {
        return page(
            StatusCode::BAD_REQUEST,
            "ลิงก์นี้ไม่ใช่ของคำขอนี้ หรือใช้ไปแล้ว · Not an answer to this request, or used before.",
        );
    };
    let accepted = check(&invitation, answer).map(|code| (invitation, code));
    let words = match &accepted {
        Ok(_) => "กลับไปที่เทอร์มินัล แล้วปิดหน้านี้ได้ · Return to the terminal; you may close this page.",
        Err(_) => "ยังไม่ได้เชื่อม กลับไปที่เทอร์มินัล · Not connected; return to the terminal.",
    };
    // Nobody waits any more after ten minutes.
    let _told = sender.send(accepted);
    page(StatusCode::OK, words)
}

fn page(status: StatusCode, words: &'static str) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        // The address of this page holds the code.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONNECTION, "close"),
    ];
    let body = format!(
        "<!doctype html><html lang=th><meta charset=utf-8><title>songkhao</title><p>{words}</p></html>"
    );
    (status, headers, Html(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;
    use crate::http::Timeouts;
    use crate::platform::x::token::App;
    use crate::secret::ExposeSecret;

    fn invitation() -> (Invitation, String) {
        http::install_tls();
        let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
        let client = http::platform_client(timeouts).unwrap();
        let app = App::new(client, &"http://127.0.0.1:1".parse().unwrap(), "client", None).unwrap();
        let invitation = app.invite("http://127.0.0.1:8723/callback").unwrap();
        let state = invitation.url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
        (invitation, state)
    }

    fn pasted(address: impl FnOnce(&str) -> String) -> Result<String, String> {
        let (invitation, state) = invitation();
        match paste(invitation, format!("{}\n", address(&state)).as_bytes()) {
            Ok((_, code)) => Ok(code.expose_secret().to_owned()),
            Err(Failure::Failed(error)) => Err(error.to_string()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pasted_address_must_answer_this_invitation() {
        let whole = |state: &str| format!("http://127.0.0.1:8723/callback?state={state}&code=c0de");
        assert_eq!(pasted(whole), Ok("c0de".to_owned()));
        assert!(pasted(|_| whole("another")).unwrap_err().contains("not to this invitation"));
        assert!(pasted(|_| "http://127.0.0.1:8723/callback?code=c0de".into()).unwrap_err().contains("state"));
        assert!(pasted(|_| "c0de".into()).unwrap_err().contains("whole address"));
        assert!(pasted(|_| String::new()).unwrap_err().contains("whole address"));
        let denied = pasted(|state| format!("http://x.example/?state={state}&error=access_denied%1b"));
        assert_eq!(denied.unwrap_err(), "the consent page said no: access_denied");
    }

    #[tokio::test]
    async fn the_listener_takes_one_answer_and_only_its_own() {
        let (invitation, state) = invitation();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redirect: Url = format!("http://127.0.0.1:{port}/callback").parse().unwrap();
        let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(5) };
        let client = http::platform_client(timeouts).unwrap();
        let base = redirect.clone();
        let browser = async move {
            let get = async |query: String| loop {
                match client.get(format!("{base}?{query}")).send().await {
                    Ok(answer) => return answer,
                    // The listener is about to listen.
                    Err(error) => assert!(error.is_connect(), "{error}"),
                }
            };
            assert_eq!(get("state=another&code=stolen".into()).await.status(), 400);
            assert_eq!(get("code=stolen".into()).await.status(), 400);
            let answer = get(format!("state={state}&code=c0de")).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["referrer-policy"]),
                (200, &"no-referrer".parse().unwrap())
            );
        };
        let (accepted, ()) = tokio::join!(wait(invitation, &redirect), browser);
        assert_eq!(accepted.unwrap().1.expose_secret(), "c0de");
    }

    #[tokio::test]
    async fn only_this_machine_is_listened_on() {
        for redirect in ["https://127.0.0.1/x", "http://news.example/callback", "http://192.168.1.1:80/"] {
            let refused = bind(&redirect.parse().unwrap()).await;
            assert!(matches!(refused, Err(Failure::Usage(_))), "{redirect}");
        }
    }
}
