//! Web: the newsroom's pages, the JSON API, and what operators ask.
//!
//! Everything is rendered here and works without a script; a page with one looks again when something changes.
//! Who may do what is asked of `model::user::Role::may` alone, by [`gate`], for every route in [`route`].

pub mod words;
pub mod moment;
pub mod reason;
pub mod asset;
pub mod address;
pub mod throttle;
pub mod health;
pub mod failure;
pub mod gate;
pub mod route;
pub mod page;
pub mod row;
pub mod plan;
pub mod home;
pub mod post;
pub mod delivery;
pub mod article;
pub mod account;
pub mod source;
pub mod hold;
pub mod audit;
pub mod sign_in;
pub mod event;
pub mod api;
pub mod server;
#[cfg(test)]
mod test;

use std::fmt;
use std::sync::Arc;

use chrono::DateTime;
use chrono::Utc;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::user::Role;
use crate::pipeline::Context;
use crate::secret::SecretString;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::session;
use crate::store::session::Kind;
use crate::store::user;
use crate::web::throttle::Throttle;

pub use crate::web::route::router;
pub use crate::web::server::serve;

/// Tells when the daemon last looked at its queue in earnest.
pub type LastCycle = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How many passwords are hashed at once: each takes 19 MiB and a processor for a while.
const HASHERS: usize = 2;

/// What every page needs. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    context: watch::Receiver<Arc<Context>>,
    last_cycle: LastCycle,
    throttle: Throttle,
    hashers: Semaphore,
    closing: CancellationToken,
}

impl App {
    /// Pages over `context`, which a reload may swap, of a daemon whose pulse is `last_cycle`.
    pub fn new(context: watch::Receiver<Arc<Context>>, last_cycle: LastCycle) -> App {
        App(Arc::new(Shared {
            context,
            last_cycle,
            throttle: Throttle::default(),
            hashers: Semaphore::new(HASHERS),
            closing: CancellationToken::new(),
        }))
    }

    /// The context in force.
    pub fn context(&self) -> Arc<Context> {
        self.0.context.borrow().clone()
    }

    /// Whether browsers reach us by https, so that cookies must not travel by anything else.
    pub(crate) fn is_https(&self) -> bool {
        self.0.context.borrow().config.web.public_url.scheme() == "https"
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App(…)")
    }
}

/// What `songkhao demo` hands out: a way in that needs no password.
#[derive(Debug)]
pub struct Invitation {
    /// The path and query that sign in, once, within 15 minutes; to be put behind the address of the pages.
    pub path: String,
    /// A bearer token for the API.
    pub token: SecretString,
}

/// Makes a user called `demo` with `role`, a link that signs in once, and a token for the API.
///
/// # Errors
/// What the engine says.
pub async fn sign_in_link(db: &Db, stamp: &Stamp, role: Role) -> Result<Invitation> {
    use crate::secret::ExposeSecret as _;
    let demo = match user::add(db, stamp, "demo", role, None).await? {
        Ok(user) => user,
        Err(refusal) => match user::find(db, "demo").await? {
            Some(user) => user,
            None => {
                return Err(crate::store::db::Error::BadValue { column: "user", value: refusal.to_string() });
            }
        },
    };
    let link = session::issue(db, stamp, &demo, Kind::Link).await?.secret;
    let token = session::issue(db, stamp, &demo, Kind::Token).await?.secret;
    Ok(Invitation { path: format!("/enter?with={}", link.expose_secret()), token })
}
