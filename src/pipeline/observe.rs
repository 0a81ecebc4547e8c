//! Observe: says how the daemon does, for `/metrics` and for `doctor`.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::clock;
use crate::config::Config;
use crate::metric;
use crate::metric::Level;
use crate::model::lane::Lane;
use crate::pipeline::Context;
use crate::store::account;
use crate::store::account::Account;
use crate::store::db::Result;
use crate::store::gauge;
use crate::store::gauge::Gauges;
use crate::store::gauge::Queue;
use crate::store::source;
use crate::store::source::Source;

/// A scrape does not wait longer for the database; what was counted is shown without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The page of metrics in Prometheus' text format. With the database away it has the counters and says so.
pub async fn render(context: &Context) -> String {
    let now = context.now();
    let seen = tokio::time::timeout(PATIENCE, look(context, now)).await;
    let mut levels = vec![
        level("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        level("database_up", &[], f64::from(u8::from(matches!(seen, Ok(Ok(_)))))),
    ];
    if let Ok(Ok(seen)) = seen {
        levels.extend(seen.levels(&context.config, now));
    }
    metric::page(&levels)
}

/// What the database knows of the queue, the accounts and the sources.
struct Seen {
    gauges: Gauges,
    accounts: Vec<Account>,
    sources: Vec<Source>,
}

async fn look(context: &Context, now: DateTime<Utc>) -> Result<Seen> {
    let asked = clock::monotonic();
    gauge::probe(&context.db).await?;
    metric::database_read(asked.elapsed());
    Ok(Seen {
        gauges: gauge::read(&context.db, now).await?,
        accounts: account::list(&context.db).await?,
        sources: source::list(&context.db).await?,
    })
}

impl Seen {
    fn levels(&self, config: &Config, now: DateTime<Utc>) -> Vec<Level> {
        let gauges = &self.gauges;
        let mut levels = self.queue_levels(config, now);
        levels.extend(self.source_levels(config, now));
        for (step, articles) in
            [("read", gauges.unread), ("summarize", gauges.settling), ("compose", gauges.summarized)]
        {
            levels.push(level("articles_waiting", &[("step", step)], count(articles)));
        }
        levels.push(level("review_posts", &[], count(gauges.review)));
        levels.push(level("audit_unsealed_entries", &[], count(gauges.unsealed)));
        levels.extend(gauges.head_at.map(|at| level("audit_head_age_seconds", &[], seconds(at, now))));
        levels
    }

    fn queue_levels(&self, config: &Config, now: DateTime<Utc>) -> Vec<Level> {
        let gauges = &self.gauges;
        let mut levels = Vec::new();
        for lane in Lane::ALL {
            let queues = || gauges.queue.iter().filter(move |queue| queue.lane == lane);
            let labels = [("lane", lane.name())];
            levels.push(level("queue_depth", &labels, count(queues().map(|queue| queue.depth).sum())));
            levels.push(level("queue_due", &labels, count(queues().map(|queue| queue.due).sum())));
        }
        for account in &config.accounts {
            let labels = [("account", account.name.as_str())];
            let since = overdue_since(config, gauges, &self.accounts, &account.name, now);
            levels.push(level(
                "overdue_age_seconds",
                &labels,
                since.map_or(0.0, |since| seconds(since, now)),
            ));
            for (state, name) in [
                ("unconfirmed", "unconfirmed_deliveries"),
                ("parked", "parked_deliveries"),
                ("held", "held_deliveries"),
            ] {
                let of = gauges.stuck.iter().filter(|it| it.account == account.name && it.state == state);
                levels.push(level(name, &labels, count(of.map(|it| it.deliveries).sum())));
            }
            let known = self.accounts.iter().find(|known| known.name == account.name);
            let pause = known.and_then(|known| known.pause.as_deref());
            for kind in ["auth", "quota", "throttle", "circuit"] {
                let labels = [labels[0], ("pause", kind)];
                levels.push(level("account_paused", &labels, f64::from(u8::from(pause == Some(kind)))));
            }
        }
        levels
    }

    fn source_levels(&self, config: &Config, now: DateTime<Utc>) -> Vec<Level> {
        let mut levels = Vec::new();
        let configured = |known: &&Source| config.sources.iter().any(|source| source.name == known.name);
        for known in self.sources.iter().filter(configured) {
            let labels = [("source", known.name.as_str())];
            levels.push(level("source_errors", &labels, count(known.errors)));
            let staleness = known.answered_at.map(|at| seconds(at, now));
            levels.extend(staleness.map(|age| level("source_staleness_seconds", &labels, age)));
        }
        levels
    }
}

/// Since when an account could have sent what is due on it and has not; `None` when nothing is overdue.
///
/// What waits for a good reason is not overdue: a paused account, the distance between two posts, quiet hours.
/// Holds need no word here, because what they stop leaves the queue. Pure.
pub fn overdue_since(
    config: &Config,
    gauges: &Gauges,
    accounts: &[Account],
    name: &str,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let known = accounts.iter().find(|known| known.name == name)?;
    let configured = config.accounts.iter().find(|account| account.name == name)?;
    if matches!(known.pause.as_deref(), Some("auth" | "quota")) {
        return None;
    }
    let free_at = |queue: &Queue| {
        let at = queue.first_due_at.max(known.pause_until);
        if queue.lane == Lane::Breaking {
            return at;
        }
        let at = at.max(known.next_send_at);
        configured.quiet_hours.end_of_quiet(at, config.timezone).unwrap_or(at)
    };
    let queues = gauges.queue.iter().filter(|queue| queue.account == name && queue.due > 0);
    queues.map(free_at).min().filter(|at| *at <= now)
}

fn level(name: &'static str, labels: &[(&'static str, &str)], value: f64) -> Level {
    let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Level { name, labels, value }
}

fn count(number: i64) -> f64 {
    number as f64
}

fn seconds(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - since).as_seconds_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use crate::model::account::Platform;

    /// Noon on a day in Bangkok, and so many seconds more.
    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_323_600 + second, 0).unwrap()
    }

    fn config(quiet: &str) -> Config {
        let text = format!(
            "[[account]]\nname = \"a\"\nplatform = \"line\"\nchannel_id = \"1\"\n\
             channel_secret = {{ env = \"S\" }}\nquiet_hours = {quiet}\n"
        );
        let env = BTreeMap::from([("S".to_owned(), "secret".to_owned())]);
        crate::config::parse("test.toml", &text, &env).unwrap()
    }

    fn account() -> Account {
        Account {
            name: "a".into(),
            platform: Platform::Line,
            next_send_at: DateTime::UNIX_EPOCH,
            failures: 0,
            pause: None,
            pause_reason: None,
            pause_until: DateTime::UNIX_EPOCH,
            clock_offset: 0,
            remote_user: None,
        }
    }

    fn due(lane: Lane, second: i64) -> Gauges {
        let queue = Queue { account: "a".into(), lane, depth: 2, due: 1, first_due_at: at(second) };
        Gauges { queue: vec![queue], ..Gauges::default() }
    }

    #[track_caller]
    fn check(account: Account, gauges: &Gauges, quiet: &str, expected: Option<i64>) {
        let since = overdue_since(&config(quiet), gauges, &[account], "a", at(100));
        assert_eq!(since, expected.map(at));
    }

    #[test]
    fn what_is_due_and_free_to_go_is_overdue_since_it_was_both() {
        check(account(), &due(Lane::Normal, 40), "[]", Some(40));
        check(Account { next_send_at: at(70), ..account() }, &due(Lane::Normal, 40), "[]", Some(70));
        check(Account { next_send_at: at(70), ..account() }, &due(Lane::Breaking, 40), "[]", Some(40));
        let circuit = Account { pause: Some("circuit".into()), pause_until: at(90), ..account() };
        check(circuit, &due(Lane::Normal, 40), "[]", Some(90));
    }

    #[test]
    fn what_waits_for_a_good_reason_is_not_overdue() {
        check(account(), &Gauges::default(), "[]", None);
        check(Account { next_send_at: at(101), ..account() }, &due(Lane::Normal, 40), "[]", None);
        for kind in ["auth", "quota"] {
            let paused = Account { pause: Some(kind.into()), pause_until: at(60), ..account() };
            check(paused, &due(Lane::Breaking, 40), "[]", None);
        }
        let throttled = Account { pause: Some("throttle".into()), pause_until: at(101), ..account() };
        check(throttled, &due(Lane::Breaking, 40), "[]", None);
    }

    #[test]
    fn quiet_hours_keep_all_but_breaking_news_from_being_overdue() {
        let noon = r#"["11:00-13:00"]"#;
        check(account(), &due(Lane::Normal, 40), noon, None);
        check(account(), &due(Lane::Breaking, 40), noon, Some(40));
        let ended = r#"["11:00-12:01"]"#;
        check(account(), &due(Lane::Normal, 40), ended, Some(60));
    }

    #[test]
    fn every_level_has_its_meaning() {
        let seen = Seen {
            gauges: Gauges { head_at: Some(at(0)), ..due(Lane::Normal, 40) },
            accounts: vec![account()],
            sources: Vec::new(),
        };
        let levels = seen.levels(&config("[]"), at(100));
        assert!(levels.len() > 15);
        for level in &levels {
            assert!(metric::LEVELS.iter().any(|(name, _)| *name == level.name), "{}", level.name);
        }
        let overdue = levels.iter().find(|level| level.name == "overdue_age_seconds").unwrap();
        assert_eq!(overdue.value, 60.0);
    }
}
