//! Test: meets the sandbox from outside, over real HTTP.
//!
//! Every test has a port of its own and a clock turned by hand.

mod facebook;
mod fault;
mod feed;
mod line;
mod page;
mod x;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use reqwest::RequestBuilder;
use reqwest::Response;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::http::Timeouts;
use crate::http::install_tls;
use crate::http::platform_client;
use crate::sandbox::Options;
use crate::sandbox::Sandbox;
use crate::sandbox::serve;

/// 22 November 2026, 18:59:52 UTC.
const START: i64 = 1_795_373_992;

/// A sandbox that is being served, and a client for it.
struct World {
    base: String,
    sandbox: Sandbox,
    http: reqwest::Client,
    seconds: Arc<AtomicI64>,
    _stop: oneshot::Sender<()>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Seen {
    async fn read(response: Response) -> Seen {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Seen { status, headers, text: response.text().await.unwrap() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    #[track_caller]
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }
}

async fn world() -> World {
    world_with(|_| {}).await
}

async fn world_with(change: impl FnOnce(&mut Options)) -> World {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seconds = Arc::new(AtomicI64::new(START));
    let hand = Arc::clone(&seconds);
    let clock = move || DateTime::from_timestamp(hand.load(Ordering::SeqCst), 0).unwrap();
    let mut options = Options::at(&base, Arc::new(clock));
    change(&mut options);
    let sandbox = Sandbox::new(options);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = sandbox.clone();
    tokio::spawn(async move {
        serve(listener, served, async { stopped.await.unwrap_or_default() }).await.unwrap();
    });
    let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
    World { base, sandbox, http: platform_client(timeouts).unwrap(), seconds, _stop: stop }
}

impl World {
    fn turn(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    async fn control(&self, path: &str, body: Value) -> Seen {
        Seen::read(self.post(path).json(&body).send().await.unwrap()).await
    }

    /// Arms a fault over HTTP.
    async fn fault(&self, order: Value) {
        let seen = self.control("/control/fault", order).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
    }

    /// Posts on Facebook as the Page 100.
    async fn facebook(&self, body: Value) -> Seen {
        let request = self.post("/facebook/v26.0/100/feed").bearer_auth("token").json(&body);
        Seen::read(request.send().await.unwrap()).await
    }

    fn tweet(&self, text: &str) -> RequestBuilder {
        self.post("/x/2/tweets").bearer_auth("77-token").json(&json!({ "text": text }))
    }

    async fn x(&self, text: &str) -> Seen {
        Seen::read(self.tweet(text).send().await.unwrap()).await
    }

    async fn line(&self, path: &str, body: Value) -> Seen {
        let request = self.post(&format!("/line/v2/bot/message/{path}")).bearer_auth("token").json(&body);
        Seen::read(request.send().await.unwrap()).await
    }
}

/// A LINE request with one plain message.
fn hello(text: &str) -> Value {
    json!({ "messages": [{ "type": "text", "text": text }] })
}
