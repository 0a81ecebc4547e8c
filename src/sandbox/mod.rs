//! Sandbox: plays Facebook, X, LINE and a news site over real HTTP.
//!
//! It behaves as the platform sheets say, errors included, and can be told to misbehave. It shares no wire
//! types with `platform`: both are written from the documents, so that one checks the other.

pub mod fault;

mod call;
mod control;
mod exchange;
mod facebook;
mod line;
mod newsroom;
mod page;
mod picture;
mod wire;
mod x;

#[cfg(test)]
mod test;

use std::fmt;
use std::future::Future;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::Router;
use chrono::DateTime;
use chrono::Utc;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::model::account::Platform;

pub use crate::sandbox::newsroom::NewArticle;
pub use crate::sandbox::x::Renewal;

/// How long requests in flight may go on after `stop`.
const GRACE: Duration = Duration::from_secs(3);

/// Where the sandbox's time comes from.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How a sandbox starts.
#[derive(Clone)]
pub struct Options {
    /// Whether rate limits, usage headers and quotas are enforced.
    pub limits: bool,
    /// The address readers and platforms know it by, as `http://127.0.0.1:9000`, without a slash at the end.
    pub base: String,
    /// What time it is.
    pub clock: Clock,
    /// How many of the sample articles the feed shows from the start; the rest wait for `publish`.
    pub articles: usize,
}

impl Options {
    /// No limits, all sample articles, the given address and clock.
    pub fn at(base: impl Into<String>, clock: Clock) -> Options {
        Options { limits: false, base: base.into(), clock, articles: usize::MAX }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("base", &self.base)
            .field("articles", &self.articles)
            .finish_non_exhaustive()
    }
}

/// One post a fake platform accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Where.
    pub platform: Platform,
    /// Whose: the Page's id, the X user's id, the LINE channel.
    pub account: String,
    /// The platform's id; LINE's is the request id.
    pub remote_id: String,
    /// What a reader reads; the texts of LINE's bubbles one a line.
    pub text: String,
    /// Every link a reader can follow.
    pub links: Vec<String>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// Whether it was deleted since.
    pub deleted: bool,
    /// The request body as it came.
    pub body: String,
}

/// What can be set while it runs.
#[derive(Debug, Clone)]
struct Settings {
    limits: bool,
    /// How long a new post stays out of lists: Facebook, X. LINE has no lists.
    read_lag: [Duration; 3],
    /// Whether Facebook and X refuse what they just accepted.
    duplicate_filter: [bool; 3],
    /// How many friends a LINE channel has: what a broadcast costs.
    line_friends: u64,
    /// How many LINE messages a month holds; `None` is no limit.
    line_quota: Option<u64>,
    /// How many seconds X's access tokens live.
    x_access_life: i64,
    /// Whether X takes no access token but those it issued.
    x_issued_only: bool,
}

impl Settings {
    fn new(limits: bool) -> Settings {
        Settings {
            limits,
            read_lag: [Duration::ZERO; 3],
            duplicate_filter: [true; 3],
            line_friends: 500,
            line_quota: limits.then_some(15_000),
            x_access_life: 7_200,
            x_issued_only: false,
        }
    }

    fn read_lag(&self, platform: Platform) -> chrono::Duration {
        crate::clock::span(self.read_lag[index(platform)])
    }

    fn duplicate_filter(&self, platform: Platform) -> bool {
        self.duplicate_filter[index(platform)]
    }
}

fn index(platform: Platform) -> usize {
    match platform {
        Platform::Facebook => 0,
        Platform::X => 1,
        Platform::Line => 2,
    }
}

/// What a platform may look at and write to while it answers a call.
struct Desk<'a> {
    settings: &'a Settings,
    newsroom: &'a newsroom::Newsroom,
    ledger: &'a mut Vec<Published>,
    base: &'a str,
}

/// Everything that changes.
struct State {
    settings: Settings,
    newsroom: newsroom::Newsroom,
    ledger: Vec<Published>,
    facebook: facebook::Facebook,
    x: x::X,
    line: line::Line,
    faults: fault::Plan,
}

impl State {
    fn new(options: &Options) -> State {
        State {
            settings: Settings::new(options.limits),
            newsroom: newsroom::Newsroom::new(&options.base, (options.clock)(), options.articles),
            ledger: Vec::new(),
            facebook: facebook::Facebook::default(),
            x: x::X::default(),
            line: line::Line::default(),
            faults: fault::Plan::default(),
        }
    }
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    closing: CancellationToken,
}

/// The fake platforms and the sample feed; clones share one state.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with nothing published and no faults.
    pub fn new(options: Options) -> Sandbox {
        let state = Mutex::new(State::new(&options));
        Sandbox { shared: Arc::new(Shared { options, state, closing: CancellationToken::new() }) }
    }

    /// All its addresses. Only [`serve`] can cut connections; under another server, the faults that
    /// fall silent break the answer's body off instead.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(exchange::router(self.clone()))
            .merge(newsroom::router(self.clone()))
            .merge(control::router(self.clone()))
            .merge(page::router(self.clone()))
    }

    /// Everything accepted since the start or the last reset, in order, the deleted posts too.
    pub fn published(&self) -> Vec<Published> {
        self.state().ledger.clone()
    }

    /// Arms a fault.
    pub fn arm(&self, fault: fault::Fault) {
        self.state().faults.arm(fault);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// From now on new posts stay out of a platform's lists for this long.
    pub fn set_read_lag(&self, platform: Platform, lag: Duration) {
        self.state().settings.read_lag[index(platform)] = lag;
    }

    /// Whether a platform refuses a post that repeats an earlier one.
    pub fn set_duplicate_filter(&self, platform: Platform, on: bool) {
        self.state().settings.duplicate_filter[index(platform)] = on;
    }

    /// How many friends a LINE channel has, and how many messages its month holds (`None`: no limit).
    pub fn set_line_plan(&self, friends: u64, quota: Option<u64>) {
        let mut state = self.state();
        state.settings.line_friends = friends;
        state.settings.line_quota = quota;
    }

    /// How many seconds X's access tokens live from now on, and whether X takes no others than its own.
    pub fn set_x_tokens(&self, life: i64, issued_only: bool) {
        let mut state = self.state();
        state.settings.x_access_life = life;
        state.settings.x_issued_only = issued_only;
    }

    /// Every refresh token that was presented to X, in order.
    pub fn renewals(&self) -> Vec<Renewal> {
        self.state().x.renewals().to_vec()
    }

    /// Puts one more sample article into the feed, dated now, and gives its link; `None` when all are out.
    pub fn publish_next(&self) -> Option<String> {
        let now = self.now();
        self.state().newsroom.publish_next(now)
    }

    /// Puts an article of the caller's into the feed, dated now, and gives its link.
    pub fn publish(&self, article: NewArticle) -> String {
        let now = self.now();
        self.state().newsroom.publish(article, now)
    }

    /// Back to the start: nothing published, no faults, the feed as at first.
    pub fn reset(&self) {
        let fresh = State::new(&self.shared.options);
        *self.state() = fresh;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic amid a change leaves at worst half a post in a toy's memory.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> DateTime<Utc> {
        (self.shared.options.clock)()
    }
}

/// Serves a sandbox until `stop`; then requests in flight get three seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    sandbox: Sandbox,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let app = sandbox.router().into_make_service_with_connect_info::<wire::Wire>();
    let closing = sandbox.shared.closing.clone();
    let drained = closing.clone();
    let server = axum::serve(wire::WireListener(listener), app).with_graceful_shutdown(async move {
        stop.await;
        closing.cancel();
    });
    tokio::select! {
        ended = server.into_future() => ended?,
        () = async { drained.cancelled().await; tokio::time::sleep(GRACE).await; } => {}
    }
    Ok(())
}
