//! Pipeline: holds the verbs, one file a step.
//!
//! Each step reads the noun on its left and writes the noun on its right.
//!
//! A step does one unit of work and says whether there was any; it may run twice, or on several nodes
//! at once, with the same result, because identities are unique in the database. What it decides is pure
//! and table-tested; the loops that call it live in `daemon`.

pub mod collect;
pub mod read;
pub mod summarize;
pub mod template;
pub mod compose;
pub mod fire;
pub mod promote;
pub mod import;
pub mod enqueue;
pub mod deliver;
pub mod reconcile;
pub mod probe;
pub mod refresh;
pub mod seal;
pub mod anchor;
pub mod verify;
pub mod export;
pub mod prove;
pub mod archive;
pub mod observe;

#[cfg(test)]
mod test;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::config::Config;
use crate::config::account::Account;
use crate::feed::reader::Reader;
use crate::http;
use crate::http::Timeouts;
use crate::http::fetch::Fetcher;
use crate::http::guard::Guard;
use crate::model::checkpoint::Signer;
use crate::model::transition::Policy;
use crate::pipeline::read::Troubles;
use crate::pipeline::template::Wording;
use crate::platform::Publisher;
use crate::secret::Keys;
use crate::secret::SecretString;
use crate::store::account;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::token::Token;

/// Whether a step found anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did one unit of work; there may be more.
    Worked,
    /// Nothing is to be done now.
    Idle,
}

/// Reads the time; the daemon passes the real clock, tests one they turn by hand.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What every step needs: the database, the configuration, and the ways out.
pub struct Context {
    /// The database.
    pub db: Db,
    /// The configuration in force.
    pub config: Config,
    /// This node's name.
    pub node: String,
    /// This start of the daemon, told apart from earlier ones.
    pub boot: String,
    /// Reads the time.
    pub clock: Clock,
    /// Fetches what sources and pages offer.
    pub fetcher: Fetcher,
    /// Reads article pages.
    pub reader: Reader,
    /// Sites whose pages can't be read lately.
    pub troubles: Troubles,
    /// Words posts.
    pub wording: Wording,
    /// Signs audit heads.
    pub signer: Signer,
    /// Opens and seals stored tokens.
    pub keys: Keys,
    ways: RwLock<HashMap<String, Way>>,
}

/// An account's way to its platform, and what it signs with there.
struct Way {
    publisher: Arc<Publisher>,
    /// The stored token's generation; `None` for what the file points to.
    generation: Option<i64>,
    /// Whether it is still to be noted that the platform takes that token.
    unproven: bool,
}

/// How long fetching a feed or a page may take (feeds.md section 5).
const FETCH: Timeouts = Timeouts { connect: Duration::from_secs(8), total: Duration::from_secs(20) };

impl Context {
    /// Makes ready what the steps need; asks nobody but the database.
    ///
    /// # Errors
    /// When an account's client can't be built, a template does not compile, or the database fails.
    pub async fn new(
        db: Db,
        config: Config,
        boot: String,
        clock: Clock,
        signer: Signer,
        reader: Reader,
        keys: Keys,
    ) -> anyhow::Result<Context> {
        http::install_tls();
        let mut ways = HashMap::new();
        for account in &config.accounts {
            let mut publisher = Publisher::new(account, timeouts(&config), None)?;
            if let Some(id) = account::find(&db, &account.name).await?.and_then(|known| known.remote_user) {
                publisher = publisher.with_user_id(id);
            }
            let way = Way { publisher: Arc::new(publisher), generation: None, unproven: false };
            ways.insert(account.name.clone(), way);
        }
        let guard = Guard::new(config.http.allow_private_networks.clone());
        Ok(Context {
            fetcher: Fetcher::new(FETCH, guard)?,
            reader,
            troubles: Troubles::default(),
            wording: Wording::compile(&config)?,
            node: config.node.name.as_str().to_owned(),
            db,
            config,
            boot,
            clock,
            signer,
            keys,
            ways: RwLock::new(ways),
        })
    }

    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The stamp of a step, now.
    pub fn stamp(&self, step: &str) -> Stamp {
        Stamp::step(self.now(), &self.node, step)
    }

    /// A configured account with its way to the platform, signing as [`refresh::latest`] last found it.
    pub fn account(&self, name: &str) -> Option<(&Account, Arc<Publisher>)> {
        let account = self.config.accounts.iter().find(|account| account.name == name)?;
        Some((account, self.ways().get(name)?.publisher.clone()))
    }

    /// The generation of the stored token that an account signs with; `None` where it is the file's secrets.
    fn signs_with(&self, account: &str) -> Option<i64> {
        self.ways().get(account)?.generation
    }

    /// Lets an account sign with a stored token from now on, or with the file's secrets again. `user` is the
    /// platform's own id of the account, where it is known.
    fn sign(
        &self,
        account: &Account,
        stored: Option<(&Token, &SecretString)>,
        user: Option<String>,
    ) -> anyhow::Result<()> {
        let generation = stored.map(|(token, _)| token.generation);
        if self.signs_with(&account.name) == generation {
            return Ok(());
        }
        let mut publisher =
            Publisher::new(account, timeouts(&self.config), stored.map(|(_, access)| access))?;
        if let Some(id) = user {
            publisher = publisher.with_user_id(id);
        }
        let unproven = stored.is_some_and(|(token, _)| !token.facts.proven);
        let way = Way { publisher: Arc::new(publisher), generation, unproven };
        self.ways.write().unwrap_or_else(PoisonError::into_inner).insert(account.name.clone(), way);
        Ok(())
    }

    /// Whether it is still to be noted that the platform takes this token; said once.
    fn is_news(&self, account: &str, generation: i64) -> bool {
        let mut ways = self.ways.write().unwrap_or_else(PoisonError::into_inner);
        let way = ways.get_mut(account).filter(|way| way.generation == Some(generation));
        way.is_some_and(|way| std::mem::take(&mut way.unproven))
    }

    fn ways(&self) -> RwLockReadGuard<'_, HashMap<String, Way>> {
        // A panic amid an insertion leaves the map as it was.
        self.ways.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of the delivery rules for an account; one that is not configured any more is never repeated
    /// and never read back.
    pub fn policy(&self, account: &str) -> Policy {
        let publisher = self.ways().get(account).map(|way| way.publisher.clone());
        let delivery = &self.config.delivery;
        Policy {
            retry_base: delivery.retry_base,
            retry_cap: delivery.retry_cap,
            timeout: delivery.timeout,
            confirm_after: delivery.confirm_after,
            recognises_repeats: publisher.as_ref().is_some_and(|it| it.recognises_repeats()),
            can_read_back: publisher.as_ref().is_some_and(|it| it.can_read_back()),
            circuit_after: delivery.circuit_after,
        }
    }
}

fn timeouts(config: &Config) -> Timeouts {
    Timeouts { connect: config.delivery.connect_timeout, total: config.delivery.timeout }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("node", &self.node).field("boot", &self.boot).finish_non_exhaustive()
    }
}
