//! App: songkhao whole, but for its endless loops, on a clock turned by hand.
//!
//! Real are the database, HTTP, the platforms of the sandbox and a news site that says what a test wants. When an
//! app is dropped it tells on songkhao: a delivery left in `sending`, a change of state without its entry, a log
//! that does not verify, or a story that stands twice on an account fails the test.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use songkhao::config;
use songkhao::config::Config;
use songkhao::daemon;
use songkhao::feed::reader::Reader;
use songkhao::http;
use songkhao::http::Timeouts;
use songkhao::model::account::Platform;
use songkhao::model::audit::Actor;
use songkhao::model::audit::Entry;
use songkhao::model::chain::Chain;
use songkhao::model::checkpoint::SignedHead;
use songkhao::model::checkpoint::Signer;
use songkhao::model::evidence::Checker;
use songkhao::model::evidence::Trust;
use songkhao::model::merkle;
use songkhao::model::transition::Event;
use songkhao::pipeline;
use songkhao::pipeline::Context;
use songkhao::pipeline::Step;
use songkhao::sandbox;
use songkhao::sandbox::Options;
use songkhao::sandbox::Published;
use songkhao::sandbox::Sandbox;
use songkhao::secret::Keys;
use songkhao::store::account;
use songkhao::store::article;
use songkhao::store::article::Article;
use songkhao::store::audit;
use songkhao::store::audit::Stamp;
use songkhao::store::claim::Claim;
use songkhao::store::claim::Terms;
use songkhao::store::claim::Wish;
use songkhao::store::db::Db;
use songkhao::store::db::Value;
use songkhao::store::delivery;
use songkhao::store::listing;
use songkhao::store::listing::Line;
use songkhao::store::node::Seat;
use songkhao::store::post;
use songkhao::store::source;
use songkhao::store::turn;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use wiremock::Mock;
use wiremock::MockServer;
use wiremock::ResponseTemplate;
use wiremock::matchers;

use crate::site::Item;
use crate::site::START;
use crate::site::Site;

/// The interval at which the app's sources are polled.
pub const POLL: Duration = Duration::from_secs(120);

/// A clock that only moves when it is told.
#[derive(Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    fn new() -> Clock {
        Clock(Arc::new(AtomicI64::new(START.parse::<DateTime<Utc>>().unwrap().timestamp_micros())))
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    fn reader(&self) -> pipeline::Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

/// What a test wants otherwise than usual; each text is keys of the configuration, in TOML.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Keys of the source `inn`.
    pub source: &'static str,
    /// Keys of the account `page`, on Facebook.
    pub page: &'static str,
    /// Keys of the account `profile`, on X.
    pub profile: &'static str,
    /// Keys of the account `line`.
    pub line: &'static str,
    /// The routes; empty: one that takes everything to all three accounts at once.
    pub routes: &'static str,
    /// Leaves the account `profile` out.
    pub without_profile: bool,
    /// Whole tables to add.
    pub more: &'static str,
    /// The database; `None` makes a new SQLite file.
    pub database: Option<String>,
    /// Whether the platforms enforce limits and quotas.
    pub limits: bool,
}

const ROUTE: &str =
    "[[route]]\nname = 'all-news'\nsources = ['inn']\naccounts = ['page', 'profile', 'line']\n";

impl Plan {
    fn text(&self, node: &str, base: &str, site: &str, database: &str) -> String {
        // A key given twice is a fault in TOML: the test's own goes before ours.
        let table = |own: &str, usual: &str| {
            let given: Vec<&str> =
                own.lines().filter_map(|line| line.split('=').next().map(str::trim)).collect();
            let usual =
                usual.lines().filter(|line| !given.contains(&line.split('=').next().unwrap_or("").trim()));
            format!("{own}\n{}\n", usual.collect::<Vec<_>>().join("\n"))
        };
        let more = self.more.replace("{base}", base).replace("{site}", site);
        let source = table(self.source, &format!("url = '{site}/feed/inn'\npoll = '2m'\nsettle = '0s'"));
        let page = table(
            self.page,
            &format!(
                "page_id = '100000000000001'\naccess_token = {{ env = 'SECRET' }}\nmin_gap = '0s'\nbase_url = '{base}/facebook'"
            ),
        );
        let keys = "oauth1 = { consumer_key = { env = 'SECRET' }, consumer_secret = { env = 'SECRET' }, access_token = { env = 'SECRET' }, access_token_secret = { env = 'SECRET' } }";
        let keys = if self.profile.contains("oauth2") { "" } else { keys };
        let profile = table(self.profile, &format!("{keys}\nmin_gap = '0s'\nbase_url = '{base}/x'"));
        let line = table(
            self.line,
            &format!(
                "channel_id = '1234567890'\nchannel_secret = {{ env = 'SECRET' }}\nmin_gap = '0s'\nbase_url = '{base}/line'"
            ),
        );
        let routes = if self.routes.is_empty() { ROUTE } else { self.routes };
        let profile = if self.without_profile {
            String::new()
        } else {
            format!("[[account]]\nname = 'profile'\nplatform = 'x'\n{profile}")
        };
        format!(
            "[node]\nname = '{node}'\n[database]\nurl = '{database}'\n\
             [delivery]\ntimeout = '5s'\nconnect_timeout = '2s'\nlease = '30s'\nconfirm_after = '10s'\n\
             [[source]]\nname = 'inn'\n{source}\
             [[account]]\nname = 'page'\nplatform = 'facebook'\n{page}{profile}\
             [[account]]\nname = 'line'\nplatform = 'line'\n{line}\
             {routes}\n{more}\n"
        )
    }
}

/// songkhao with everything around it.
pub struct App {
    pub context: Context,
    pub sandbox: Sandbox,
    pub site: Site,
    pub clock: Clock,
    /// Whether a story may stand twice on an account: a test put it there by hand.
    pub repeats_allowed: bool,
    base: String,
    server: MockServer,
    database: String,
    seat: Option<Seat>,
    _sandbox_stops: DropGuard,
    _folder: TempDir,
}

impl App {
    /// An app whose source `inn` was read once, and empty: what it shows from now on is news.
    pub async fn start(plan: Plan) -> App {
        let app = App::start_unread(plan).await;
        app.site.show("inn", &[]);
        app.run_until_idle().await;
        app.clock.advance(POLL);
        app
    }

    /// An app that has polled nothing yet.
    pub async fn start_unread(plan: Plan) -> App {
        http::install_tls();
        let clock = Clock::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let options = Options { articles: 0, limits: plan.limits, ..Options::at(&base, clock.reader()) };
        let sandbox = Sandbox::new(options);
        let stop = CancellationToken::new();
        tokio::spawn(sandbox::serve(listener, sandbox.clone(), stop.clone().cancelled_owned()));
        let server = MockServer::start().await;
        let site = Site::default();
        Mock::given(matchers::path_regex("^/feed/")).respond_with(site.clone()).mount(&server).await;
        let folder = tempfile::tempdir().unwrap();
        let file = format!("sqlite:{}", folder.path().join("songkhao.db").display());
        let database = plan.database.clone().unwrap_or(file);
        let context = context(&plan.text("a", &base, &server.uri(), &database), &clock).await;
        let seat = Some(daemon::take_seat(&context).await.unwrap());
        App {
            context,
            sandbox,
            site,
            clock,
            repeats_allowed: false,
            base,
            server,
            database,
            seat,
            _sandbox_stops: stop.drop_guard(),
            _folder: folder,
        }
    }

    /// Starts songkhao again, perhaps configured otherwise; what was in flight is lost, as in a crash.
    pub async fn restart(&mut self, plan: Plan) {
        // The name is free once nobody sits there.
        self.seat = None;
        self.context =
            context(&plan.text("a", &self.base, &self.server.uri(), &self.database), &self.clock).await;
        self.seat = Some(daemon::take_seat(&self.context).await.unwrap());
    }

    /// A second node on the same database, for tests that run its steps by hand.
    pub async fn another_node(&self, plan: Plan) -> Context {
        context(&plan.text("b", &self.base, &self.server.uri(), &self.database), &self.clock).await
    }

    /// Works until nothing is left to do at this moment.
    pub async fn run_until_idle(&self) {
        run_until_idle(&self.context).await;
    }

    /// Turns the clock, then works until nothing is left to do.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.run_until_idle().await;
    }

    /// Polls the sources once more and works until nothing is left to do.
    pub async fn poll(&self) {
        self.pass(POLL).await;
    }

    /// The address of a path on the news site.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    /// What the news site answers at a path, feeds apart.
    pub async fn serve(&self, path: &str, answer: ResponseTemplate) {
        Mock::given(matchers::path(path)).respond_with(answer).mount(&self.server).await;
    }

    /// Shows these articles at source `inn` and lets songkhao do its work.
    pub async fn publish(&self, items: &[Item]) {
        self.site.show("inn", items);
        self.poll().await;
    }

    /// What stands on a platform, oldest first.
    pub fn published(&self, platform: Platform) -> Vec<Published> {
        self.sandbox
            .published()
            .into_iter()
            .filter(|post| post.platform == platform && !post.deleted)
            .collect()
    }

    /// The texts that stand on a platform, oldest first.
    pub fn texts(&self, platform: Platform) -> Vec<String> {
        self.published(platform).into_iter().map(|post| post.text).collect()
    }

    /// What `post list` tells.
    pub async fn lines(&self) -> Vec<Line> {
        listing::list(&self.context.db, &listing::Filter::default()).await.unwrap()
    }

    /// The line of an account's only post.
    pub async fn line(&self, account: &str) -> Line {
        let mut lines = self.lines().await;
        lines.retain(|line| line.account == account);
        assert_eq!(lines.len(), 1, "{account}: {lines:?}");
        lines.remove(0)
    }

    /// Account and state of every post, by account.
    pub async fn states(&self) -> Vec<String> {
        let mut states: Vec<String> =
            self.lines().await.iter().map(|line| format!("{} {}", line.account, line.state)).collect();
        states.sort();
        states
    }

    /// The newest article.
    pub async fn article(&self) -> Article {
        article::list_newest(&self.context.db, 1).await.unwrap().remove(0)
    }

    /// The error that a source is remembered with.
    pub async fn source_error(&self, name: &str) -> Option<String> {
        let sources = source::list(&self.context.db).await.unwrap();
        sources.into_iter().find(|source| source.name == name).unwrap().error
    }

    /// Why an account is paused.
    pub async fn pause(&self, account: &str) -> Option<String> {
        account::find(&self.context.db, account).await.unwrap().unwrap().pause
    }

    /// The stamp of a person at the command line, now.
    pub fn person(&self) -> Stamp {
        let actor = Actor::Shell { shell: "somchai".into() };
        Stamp { at: self.clock.now(), node: "a".into(), actor }
    }

    /// A person says yes to a post.
    pub async fn approve(&self, post: &str) {
        let id = post.parse().unwrap();
        post::decide(&self.context.db, &self.person(), id, true, None, None).await.unwrap().unwrap();
    }

    /// A person does something to a delivery.
    pub async fn apply(&self, delivery: &str, event: Event) {
        let (id, policy) = (delivery.parse().unwrap(), self.context.policy(""));
        delivery::apply(&self.context.db, &self.person(), id, None, event.into(), &policy)
            .await
            .unwrap()
            .unwrap();
    }

    /// `account check`: asks the platform, and lets the account go on if it is not refused.
    pub async fn check_account(&self, name: &str) {
        let (_, publisher) = self.context.account(name).unwrap();
        publisher.probe(self.clock.now()).await.unwrap();
        account::resume(&self.context.db, &self.person(), name, "account check").await.unwrap();
    }

    /// An editor shares a link on the Facebook Page without songkhao; the post's id.
    pub async fn post_by_hand(&self, link: &str) -> String {
        let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(5) };
        let client = http::platform_client(timeouts).unwrap();
        let url = format!("{}/facebook/v26.0/100000000000001/feed", self.base);
        let body = serde_json::json!({ "message": "ด่วน", "link": link });
        let answer = client.post(url).bearer_auth("by-hand").json(&body).send().await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Claims what is due on the account, publishes it, and dies before the answer is recorded.
    pub async fn crash_while_sending(&self, name: &str) {
        let (account, publisher) = self.context.account(name).unwrap();
        let terms = Terms {
            shadow: false,
            quiet: false,
            min_gap: account.min_gap,
            lease: self.context.config.delivery.lease,
            boot: self.context.boot.clone(),
            policy: self.context.policy(name),
        };
        let wish = Wish { account: name.to_owned(), terms };
        let turn = turn::turn(&self.context.db, &self.context.stamp("deliver"), &[], &[wish]).await.unwrap();
        let [Claim::Sending(claimed)] = &turn.claims[..] else { panic!("{turn:?}") };
        assert!(publisher.send(&claimed.body, None, self.clock.now()).await.result.is_ok());
    }

    /// The last request to a feed: its conditions.
    pub async fn last_conditions(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        let headers = &requests.last().unwrap().headers;
        let value =
            |name: &str| headers.get(name).map(|value| format!("{name}: {}", value.to_str().unwrap()));
        ["if-none-match", "if-modified-since"].into_iter().filter_map(value).collect()
    }
}

async fn context(text: &str, clock: &Clock) -> Context {
    let env = BTreeMap::from([("SECRET".to_owned(), "geheim-geheim".to_owned())]);
    let config: Config =
        config::parse("test.toml", text, &env).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let db = Db::open(config.database.url.expose(), clock.now()).await.unwrap();
    let boot = uuid::Uuid::new_v4().to_string();
    let (reader, keys) = (Reader::at(env!("CARGO_BIN_EXE_songkhao")), Keys::derive(&[7; 32]).unwrap());
    Context::new(db, config, boot, clock.reader(), signer(), reader, keys).await.unwrap()
}

fn signer() -> Signer {
    Signer::from_secret("songkhao", &[7; 32]).unwrap()
}

/// The daemon's loops, without their end.
pub async fn run_until_idle(context: &Context) {
    let mut rounds = 0;
    while round(context).await == Step::Worked {
        rounds += 1;
        assert!(rounds < 2_000, "the steps go round in circles");
    }
}

async fn round(context: &Context) -> Step {
    let mut steps = vec![
        pipeline::collect::step(context).await.unwrap(),
        pipeline::read::step(context).await.unwrap(),
        pipeline::summarize::step(context).await.unwrap(),
        pipeline::compose::step(context).await.unwrap(),
        pipeline::fire::step(context).await.unwrap(),
        pipeline::promote::step(context).await.unwrap(),
        pipeline::enqueue::step(context).await.unwrap(),
        pipeline::reconcile::release(context).await.unwrap(),
        pipeline::reconcile::step(context).await.unwrap(),
        pipeline::probe::step(context).await.unwrap(),
    ];
    for account in &context.config.accounts {
        steps.push(deliver(context, &account.name).await);
    }
    steps.push(pipeline::seal::step(context).await.unwrap());
    if steps.contains(&Step::Worked) { Step::Worked } else { Step::Idle }
}

/// Sends what goes out next on one account.
pub async fn deliver(context: &Context, account: &str) -> Step {
    let claims = pipeline::deliver::turn(context, &[], &[account.to_owned()]).await.unwrap();
    let idle = claims.sends.is_empty()
        && claims.stale.is_empty()
        && claims.again.is_empty()
        && claims.renew.is_empty();
    for name in &claims.renew {
        pipeline::refresh::ready(context, name).await.unwrap();
    }
    for stale in &claims.stale {
        pipeline::deliver::reword(context, stale).await;
    }
    for claimed in claims.sends {
        let outcome = pipeline::deliver::send(context, claimed).await;
        pipeline::deliver::turn(context, &[outcome], &[]).await.unwrap();
    }
    if idle { Step::Idle } else { Step::Worked }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let published = self.sandbox.published();
        if !self.repeats_allowed {
            let repeated = repeated(&published);
            assert!(repeated.is_empty(), "stands twice: {repeated:?}");
        }
        // A drop can't wait for a database, so another thread does.
        let (database, now) = (self.database.clone(), self.clock.now());
        let inspected = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let db = Db::open(&database, now).await.unwrap();
                inspect_deliveries(&db, &published).await;
                inspect_log(&db, now).await;
            });
        });
        if let Err(fault) = inspected.join() {
            std::panic::resume_unwind(fault);
        }
    }
}

/// Account and link of every story that stands more than once.
fn repeated(published: &[Published]) -> Vec<String> {
    let mut seen = HashSet::new();
    let standing = published.iter().filter(|post| !post.deleted);
    standing
        .map(|post| {
            format!(
                "{} {}",
                post.account,
                if post.links.is_empty() { post.text.clone() } else { post.links.join(" ") }
            )
        })
        .filter(|story| !seen.insert(story.clone()))
        .collect()
}

/// Replays the entries of every delivery: each must begin where the last one ended, and the row must stand where
/// the last one left it.
async fn inspect_deliveries(db: &Db, published: &[Published]) {
    let sql = "SELECT d.id, d.state, d.attempts, d.remote_id, d.account,
                      (SELECT count(*) FROM attempt t WHERE t.delivery = d.id) AS opened FROM delivery d";
    for row in db.all(sql, Vec::new()).await.unwrap() {
        let id = row.int("id").unwrap();
        let state = row.text("state").unwrap();
        assert_ne!(state, "sending", "delivery {id} was left in flight");
        let entries = entries_of(db, id).await;
        let mut at: Option<String> = None;
        for entry in &entries {
            let action = entry.action.name();
            if entry.detail.get("late_answer").is_some() {
                continue;
            }
            let from = entry.detail.get("from").and_then(|from| from.as_str().map(str::to_owned));
            assert_eq!(from, at, "delivery {id}: {action} does not follow");
            at = Some(state_after(action).to_owned());
        }
        assert_eq!(at.as_deref(), Some(state.as_str()), "delivery {id}: {entries:?}");
        let sends = entries.iter().filter(|entry| entry.action.name() == "delivery.sending").count();
        let (attempts, opened) = (row.int("attempts").unwrap(), row.int("opened").unwrap());
        assert_eq!((attempts, opened), (sends as i64, sends as i64), "delivery {id}: attempts");
        if state == "delivered" {
            let remote_id = row.text("remote_id").unwrap();
            let stands = published.iter().any(|post| post.remote_id == remote_id);
            assert!(stands, "delivery {id} says {remote_id}, and the platform knows nothing of it");
        }
    }
}

async fn entries_of(db: &Db, delivery: i64) -> Vec<Entry> {
    let sql = "SELECT entry FROM audit WHERE delivery = $1 ORDER BY id";
    let rows = db.all(sql, vec![Value::from(delivery)]).await.unwrap();
    rows.iter().map(|row| Entry::parse(&row.text("entry").unwrap()).unwrap()).collect()
}

fn state_after(action: &str) -> &'static str {
    match action {
        "delivery.scheduled" | "delivery.deferred" | "delivery.retried" => "scheduled",
        "delivery.sending" => "sending",
        "delivery.unconfirmed" | "delivery.read_back" => "unconfirmed",
        "delivery.delivered" => "delivered",
        "delivery.failed" => "failed",
        "delivery.parked" => "parked",
        "delivery.held" => "held",
        "delivery.expired" => "expired",
        "delivery.cancelled" => "cancelled",
        other => panic!("what state does {other} lead to?"),
    }
}

/// Seals what waits and verifies the whole log.
async fn inspect_log(db: &Db, now: DateTime<Utc>) {
    while audit::seal(db, &signer(), now).await.unwrap() > 0 {}
    let head: SignedHead = audit::newest_head(db).await.unwrap().unwrap().parse().unwrap();
    let mut checker = Checker::new(Chain::new(), Vec::new());
    for sealed in audit::list_sealed(db, 0, i64::MAX).await.unwrap() {
        let link = merkle::from_hex(sealed.link.unwrap().as_bytes()).unwrap();
        checker.entry(sealed.seq.unwrap(), &link, sealed.entry.as_bytes()).unwrap();
    }
    let key = signer().public_key().clone();
    checker.finish(&head, key, Vec::new(), Trust::Given).unwrap();
    assert_eq!(audit::list_stray(db).await.unwrap(), []);
}
