//! Doctor: looks over what an operator checks first, on one page.
//!
//! It changes nothing and asks nobody outside; `check --online` does that. What it knows of credentials is only
//! whether the platform refused them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::desk;
use crate::clock;
use crate::config::Config;
use crate::pipeline::observe;
use crate::store::account;
use crate::store::account::Account;
use crate::store::db;
use crate::store::db::Db;
use crate::store::gap;
use crate::store::gap::Gap;
use crate::store::gauge;
use crate::store::gauge::Clock;
use crate::store::gauge::Gauges;
use crate::store::hold;
use crate::store::hold::Hold;
use crate::store::migration;
use crate::store::node;
use crate::store::node::Node;
use crate::store::source;
use crate::store::source::Source;

/// No songkhao is older than this, 1 October 2026; a clock before it was never set.
const FIRST_DAY: i64 = 1_790_812_800;

/// Clocks further apart than this spoil read-backs, whose own margin is five minutes.
const CLOCK_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// A daemon says every five seconds that it lives.
const ALIVE_WITHIN: TimeDelta = TimeDelta::seconds(30);

/// What could go out and did not for so long shows that nobody sends.
const OVERDUE: TimeDelta = TimeDelta::seconds(60);

/// Errors in a row from which a source needs a person: polling slows down then.
const SOURCE_ERRORS: i64 = 3;

/// Entries are sealed within a second; after this the sealing has stopped.
const SEAL_LAG: TimeDelta = TimeDelta::seconds(60);

/// With less room than this, in KiB, a database soon takes no more posts.
const LITTLE_ROOM: u64 = 512 * 1024;

/// How long after it a gap in the database's memory is worth a line.
const GAP_SHOWN: TimeDelta = TimeDelta::days(7);

/// What a finding asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// Nothing.
    Good,
    /// To be known; it passes by itself, or somebody wanted it so.
    Note,
    /// A person.
    Person,
}

/// One line of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    verdict: Verdict,
    about: String,
    text: String,
}

fn good(about: &str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Good, about: about.to_owned(), text: text.into() }
}

fn note(about: &str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Note, ..good(about, text) }
}

fn person(about: &str, text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Person, ..good(about, text) }
}

/// `songkhao doctor`.
///
/// # Errors
/// Faults of the configuration (exit 2). Exit 1 when something needs a person.
pub async fn doctor(path: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let config = desk::read(path)?;
    let findings = examine(&config, clock::now()).await;
    let mut out = std::io::stdout().lock();
    if as_json {
        let needy = findings.iter().any(|finding| finding.verdict == Verdict::Person);
        let report = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "schema": migration::KNOWN, "good": !needy, "findings": findings,
        });
        writeln!(out, "{report}")?;
    } else {
        out.write_all(page(&findings).as_bytes())?;
    }
    let needy = findings.iter().any(|finding| finding.verdict == Verdict::Person);
    if needy { Err(Failure::No) } else { Ok(()) }
}

/// The page for people.
fn page(findings: &[Finding]) -> String {
    let mut page = format!("songkhao {}, schema {}\n\n", env!("CARGO_PKG_VERSION"), migration::KNOWN);
    let widest = findings.iter().map(|finding| finding.about.chars().count()).max().unwrap_or_default();
    for Finding { verdict, about, text } in findings {
        let mark = match verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Person => "FIX",
        };
        // Words of platforms and sources may hold anything; a page for a terminal may not.
        let text = text.replace(char::is_control, " ");
        // Writing to a String cannot fail.
        let _infallible = writeln!(page, "{mark:<5} {about:<widest$}  {text}");
    }
    let needy = findings.iter().filter(|finding| finding.verdict == Verdict::Person).count();
    page.push_str(&match needy {
        0 => "\nNothing needs a person.\n".to_owned(),
        1 => "\n1 thing needs a person.\n".to_owned(),
        needy => format!("\n{needy} things need a person.\n"),
    });
    page
}

async fn examine(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        config.remarks().into_iter().map(|text| note("configuration", text)).collect();
    if findings.is_empty() {
        findings.push(good("configuration", "no faults"));
    }
    findings.extend(config.database.url.sqlite_path().map(disk));
    if config.database.url.sqlite_path().is_some_and(|path| !path.exists()) {
        let text = format!("{} is not there yet; songkhao run makes it", config.database.url.shown());
        findings.push(note("database", text));
        return findings;
    }
    match look(config, now).await {
        Ok(seen) => findings.extend(seen.judge(config, now)),
        Err(error) => {
            let error = format!("{error:#}");
            findings.push(person("database", error));
        }
    }
    findings
}

/// How much room the database's folder has.
fn disk(database: &Path) -> Finding {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // The standard library knows no file systems; df does, on every system this runs on.
    let asked = Command::new("df").arg("-Pk").arg(folder).output();
    let Some((free, share)) = asked.ok().and_then(|output| room(&String::from_utf8_lossy(&output.stdout)))
    else {
        return note("disk", format!("the room in {} can't be learnt", folder.display()));
    };
    let text = format!("{} MB free in {} ({share} used)", free / 1024, folder.display());
    if free < LITTLE_ROOM {
        person("disk", text + "; make room before the database is full")
    } else {
        good("disk", text)
    }
}

/// Free KiB and the share in use, from what `df -Pk` prints for one folder.
fn room(df: &str) -> Option<(u64, String)> {
    let mut columns = df.lines().nth(1)?.split_whitespace().rev();
    // From the end, because the device in front may have spaces: mount point, share, free.
    let (_mount, share, free) = (columns.next()?, columns.next()?, columns.next()?);
    Some((free.parse().ok()?, share.to_owned()))
}

/// What the database and the key file tell.
struct Seen {
    gauges: Gauges,
    clock: Clock,
    nodes: Vec<Node>,
    sources: Vec<Source>,
    accounts: Vec<Account>,
    holds: Vec<Hold>,
    gap: Option<Gap>,
    /// The mode of the key file, if keys come from one and it is there.
    key_mode: Option<u32>,
}

async fn look(config: &Config, now: DateTime<Utc>) -> anyhow::Result<Seen> {
    let db = desk::open(config).await?;
    let seen = ask(&db, config, now).await;
    db.close().await;
    Ok(seen?)
}

async fn ask(db: &Db, config: &Config, now: DateTime<Utc>) -> db::Result<Seen> {
    Ok(Seen {
        clock: gauge::clock(db, now).await?,
        gauges: gauge::read(db, now).await?,
        nodes: node::list(db).await?,
        sources: source::list(db).await?,
        accounts: account::list(db).await?,
        holds: hold::list(db).await?,
        gap: gap::newest(db).await?,
        key_mode: std::fs::metadata(config.key_file()).ok().map(|file| file.mode() & 0o777),
    })
}

impl Seen {
    fn judge(&self, config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
        let mut findings = vec![good("database", format!("{} answers", config.database.url.shown()))];
        findings.push(self.time(now));
        findings.extend(self.daemons(now));
        findings.extend(config.sources.iter().map(|source| self.source(&source.name, now)));
        findings.extend(config.accounts.iter().map(|account| self.account(config, &account.name, now)));
        findings.extend(self.holds.iter().map(|hold| {
            let lane = hold.lane.as_deref().unwrap_or("all lanes");
            let account = hold.account.as_deref().unwrap_or("all accounts");
            note("hold", format!("{lane} on {account}: {} ({})", hold.reason, hold.set_by))
        }));
        findings.extend(self.gap.as_ref().filter(|gap| now - gap.until < GAP_SHOWN).map(|gap| {
            let (since, until) = (brief(gap.since), brief(gap.until));
            let text = format!(
                "{since} to {until} is forgotten ({}); parked posts from then need a person",
                gap.cause
            );
            note("gap", text)
        }));
        findings.push(self.review());
        findings.push(self.audit(config, now));
        findings
    }

    fn time(&self, now: DateTime<Utc>) -> Finding {
        let Clock { offset, newest_entry_at } = &self.clock;
        if now.timestamp() < FIRST_DAY {
            return person("clock", format!("this machine says {}, long past; set its clock", brief(now)));
        }
        if let Some(newest) = newest_entry_at.filter(|newest| *newest > now + CLOCK_MARGIN) {
            let text = format!(
                "this machine says {}, but an entry is of {}; set its clock",
                brief(now),
                brief(newest)
            );
            return person("clock", text);
        }
        if offset.abs() > CLOCK_MARGIN {
            let text = format!("the database's clock is {} from ours; set them by NTP", span(offset.abs()));
            return person("clock", text);
        }
        let furthest = self.accounts.iter().max_by_key(|account| account.clock_offset.abs());
        match furthest.filter(|account| account.clock_offset.abs() > CLOCK_MARGIN.num_seconds()) {
            Some(account) => {
                let text = format!(
                    "{}'s platform is {} s from ours; set the clock by NTP",
                    account.name, account.clock_offset
                );
                person("clock", text)
            }
            None => good("clock", format!("{}, as the database and the platforms have it", brief(now))),
        }
    }

    fn daemons(&self, now: DateTime<Utc>) -> Vec<Finding> {
        // Nodes on one PostgreSQL write its time, not ours.
        let there = now + self.clock.offset;
        let alive = |node: &Node| node.stopped_at.is_none() && there - node.seen_at < ALIVE_WITHIN;
        let any_alive = self.nodes.iter().any(alive);
        let mut findings = Vec::new();
        for node in &self.nodes {
            let about = format!("node {}", node.name);
            findings.push(match node.stopped_at {
                _ if alive(node) => good(&about, "runs"),
                Some(at) => note(&about, format!("stopped at {}", brief(at))),
                None if any_alive => note(&about, format!("went silent at {}", brief(node.seen_at))),
                None => person(&about, format!("went silent at {}; start it", brief(node.seen_at))),
            });
        }
        if findings.is_empty() {
            findings.push(note("node", "no daemon has run on this database yet"));
        }
        findings
    }

    fn source(&self, name: &str, now: DateTime<Utc>) -> Finding {
        let about = format!("source {name}");
        let Some(known) = self.sources.iter().find(|known| known.name == name) else {
            return note(&about, "was not polled yet");
        };
        let answered = match known.answered_at {
            Some(at) => format!("answered {} ago", span(now - at)),
            None => "has never answered".to_owned(),
        };
        let error = known.error.as_deref().unwrap_or_default();
        match known.errors {
            0 if known.polled_at.is_none() => note(&about, "was not polled yet"),
            0 if error.is_empty() => good(&about, answered),
            0 => note(&about, format!("{answered}, with remarks: {error}")),
            errors if errors < SOURCE_ERRORS => {
                note(&about, format!("{answered}; failed {errors} times since: {error}"))
            }
            errors => person(&about, format!("{answered}; failed {errors} times in a row: {error}")),
        }
    }

    fn account(&self, config: &Config, name: &str, now: DateTime<Utc>) -> Finding {
        let about = format!("account {name}");
        let Some(known) = self.accounts.iter().find(|known| known.name == name) else {
            return note(&about, "is new; songkhao run takes it up");
        };
        let mut verdict = Verdict::Good;
        let mut parts = Vec::new();
        if let Some(pause) = known.pause.as_deref() {
            let reason = known.pause_reason.as_deref().unwrap_or_default();
            let cure = match pause {
                // The reason says already what to run.
                "auth" if reason.contains("songkhao account") => String::new(),
                "auth" => format!("; renew the credential, then songkhao account check {name}"),
                "quota" => format!("; raise the quota, then songkhao account check {name}"),
                _ => format!("; it tries again at {}", brief(known.pause_until)),
            };
            verdict = if matches!(pause, "auth" | "quota") { Verdict::Person } else { Verdict::Note };
            parts.push(format!("paused ({pause}): {reason}{cure}"));
        }
        let queues = self.gauges.queue.iter().filter(|queue| queue.account == name);
        let waiting: i64 = queues.map(|queue| queue.depth).sum();
        let since = observe::overdue_since(config, &self.gauges, &self.accounts, name, now);
        if let Some(age) = since.map(|since| now - since).filter(|age| *age > OVERDUE) {
            verdict = Verdict::Person;
            parts.push(format!("what is due was not sent for {}; does the daemon run?", span(age)));
        }
        for stuck in self.gauges.stuck.iter().filter(|stuck| stuck.account == name) {
            let oldest = span(now - stuck.since);
            let needs = match stuck.state.as_str() {
                "parked" => Some("songkhao post resolve says whether they are there"),
                "held" => Some("songkhao post retry or cancel"),
                _ => None,
            };
            verdict = match needs {
                Some(_) => Verdict::Person,
                None if verdict == Verdict::Good => Verdict::Note,
                None => verdict,
            };
            let cure = needs.map(|needs| format!(": {needs}")).unwrap_or_default();
            parts.push(format!("{} {} since {oldest}{cure}", stuck.deliveries, stuck.state));
        }
        parts.push(format!("{waiting} scheduled"));
        Finding { verdict, about, text: parts.join("; ") }
    }

    fn review(&self) -> Finding {
        match self.gauges.review {
            0 => good("review", "no post waits for approval"),
            posts => person("review", format!("{posts} posts wait for approval")),
        }
    }

    fn audit(&self, config: &Config, now: DateTime<Utc>) -> Finding {
        let unsealed = self.gauges.unsealed;
        let from_file = config.keys.secret.is_none();
        let path = config.key_file();
        match (self.gauges.head_at, self.key_mode) {
            (Some(_), None) if from_file => {
                let text = format!("{} is gone, and with it the key of the log; put it back", path.display());
                person("audit", text)
            }
            (_, Some(mode)) if from_file && mode & 0o077 != 0 => {
                let text = format!("{} is open to others (mode {mode:03o}); chmod 600 it", path.display());
                person("audit", text)
            }
            (Some(at), _) if unsealed > 0 && now - at > SEAL_LAG => {
                let text = format!(
                    "{unsealed} entries wait for the daemon to seal them; the head is {} old",
                    span(now - at)
                );
                note("audit", text)
            }
            (Some(at), _) => {
                good("audit", format!("the head was signed {} ago, {unsealed} entries wait", span(now - at)))
            }
            (None, _) => note("audit", format!("nothing is sealed yet, {unsealed} entries wait")),
        }
    }
}

/// A moment to the second, in UTC.
fn brief(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A span in its largest fitting unit.
fn span(span: TimeDelta) -> String {
    match span.num_seconds().max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use crate::model::account::Platform;
    use crate::model::lane::Lane;
    use crate::model::source::Memory;
    use crate::store::gauge::Queue;
    use crate::store::gauge::Stuck;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_323_600 + second, 0).unwrap()
    }

    fn config() -> Config {
        let text = "[keys]\nsecret = { env = \"KEY\" }\n\
                    [[source]]\nname = \"inn\"\nurl = \"https://news.example/feed\"\n\
                    [[account]]\nname = \"line\"\nplatform = \"line\"\nchannel_id = \"1\"\n\
                    channel_secret = { env = \"KEY\" }\n";
        let env = BTreeMap::from([("KEY".to_owned(), "a secret of at least thirty-two bytes".to_owned())]);
        crate::config::parse("test.toml", text, &env).unwrap()
    }

    /// A newsroom in which all is well.
    fn well() -> Seen {
        let account = Account {
            name: "line".into(),
            platform: Platform::Line,
            next_send_at: at(-500),
            failures: 0,
            pause: None,
            pause_reason: None,
            pause_until: DateTime::UNIX_EPOCH,
            clock_offset: 1,
            remote_user: None,
        };
        let source = Source {
            name: "inn".into(),
            memory: Memory::default(),
            first_read_at: Some(at(-900)),
            full_read_at: Some(at(-900)),
            polled_at: Some(at(-60)),
            answered_at: Some(at(-60)),
            next_poll_at: at(60),
            result: Some("not_modified".into()),
            error: None,
            errors: 0,
        };
        Seen {
            gauges: Gauges { head_at: Some(at(-1)), ..Gauges::default() },
            clock: Clock { offset: TimeDelta::zero(), newest_entry_at: Some(at(-1)) },
            nodes: vec![Node { name: "a".into(), seen_at: at(-3), stopped_at: None }],
            sources: vec![source],
            accounts: vec![account],
            holds: Vec::new(),
            gap: None,
            key_mode: Some(0o600),
        }
    }

    /// That exactly one finding asks for a person, with these words.
    #[track_caller]
    fn check(seen: &Seen, about: &str, words: &str) {
        let findings = seen.judge(&config(), at(0));
        let needy: Vec<&Finding> = findings.iter().filter(|it| it.verdict == Verdict::Person).collect();
        let [finding] = needy[..] else { panic!("{findings:#?}") };
        assert_eq!(finding.about, about);
        assert!(finding.text.contains(words), "{}", finding.text);
    }

    #[test]
    fn a_newsroom_in_which_all_is_well_needs_nobody() {
        let findings = well().judge(&config(), at(0));
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Good), "{findings:#?}");
        assert!(page(&findings).ends_with("\nNothing needs a person.\n"));
    }

    #[test]
    fn clocks_that_disagree_need_a_person() {
        let clock =
            |offset, newest| Clock { offset: TimeDelta::seconds(offset), newest_entry_at: Some(at(newest)) };
        check(&Seen { clock: clock(0, 3_600), ..well() }, "clock", "set its clock");
        let mut far = Seen { clock: clock(-400, -1), ..well() };
        far.nodes[0].seen_at = at(-403);
        check(&far, "clock", "6 min");
        let mut platform = well();
        platform.accounts[0].clock_offset = -90;
        check(&platform, "clock", "line's platform is -90 s");
        assert_eq!(well().time(DateTime::from_timestamp(FIRST_DAY - 1, 0).unwrap()).verdict, Verdict::Person);
    }

    #[test]
    fn a_daemon_that_went_silent_needs_a_person_unless_another_runs() {
        let silent = Node { name: "b".into(), seen_at: at(-300), stopped_at: None };
        check(&Seen { nodes: vec![silent.clone()], ..well() }, "node b", "went silent");
        let mut two = well();
        two.nodes.push(silent);
        assert!(two.daemons(at(0)).iter().all(|finding| finding.verdict != Verdict::Person));
        let stopped = Node { name: "a".into(), seen_at: at(-300), stopped_at: Some(at(-300)) };
        assert_eq!(Seen { nodes: vec![stopped], ..well() }.daemons(at(0))[0].verdict, Verdict::Note);
    }

    #[test]
    fn a_source_needs_a_person_after_its_third_error_in_a_row() {
        let mut seen = well();
        seen.sources[0].error = Some("503".into());
        seen.sources[0].errors = 2;
        assert_eq!(seen.source("inn", at(0)).verdict, Verdict::Note);
        seen.sources[0].errors = 3;
        check(&seen, "source inn", "answered 60 s ago; failed 3 times in a row: 503");
    }

    #[test]
    fn an_account_tells_its_pause_its_overdue_work_and_what_only_a_person_settles() {
        let mut paused = well();
        paused.accounts[0].pause = Some("auth".into());
        paused.accounts[0].pause_reason = Some("token expired".into());
        check(&paused, "account line", "paused (auth): token expired; renew");
        paused.accounts[0].pause = Some("throttle".into());
        assert_eq!(paused.account(&config(), "line", at(0)).verdict, Verdict::Note);

        let mut overdue = well();
        let first_due_at = at(-200);
        overdue.gauges.queue =
            vec![Queue { account: "line".into(), lane: Lane::Normal, depth: 4, due: 2, first_due_at }];
        check(&overdue, "account line", "not sent for 3 min; does the daemon run?; 4 scheduled");

        for (state, verdict) in [
            ("parked", Verdict::Person),
            ("held", Verdict::Person),
            ("unconfirmed", Verdict::Note),
            ("sending", Verdict::Note),
        ] {
            let mut stuck = well();
            let since = at(-60);
            stuck.gauges.stuck =
                vec![Stuck { account: "line".into(), state: state.into(), deliveries: 2, since }];
            let finding = stuck.account(&config(), "line", at(0));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.text.contains(&format!("2 {state} since 60 s")), "{finding:?}");
        }
    }

    #[test]
    fn posts_in_review_need_a_person() {
        let mut seen = well();
        seen.gauges.review = 2;
        check(&seen, "review", "2 posts wait");
    }

    #[test]
    fn a_key_file_that_is_gone_or_open_to_others_needs_a_person() {
        let mut config = config();
        config.keys.secret = None;
        let verdict = |key_mode| Seen { key_mode, ..well() }.audit(&config, at(0)).verdict;
        assert_eq!(verdict(Some(0o600)), Verdict::Good);
        assert_eq!(verdict(Some(0o644)), Verdict::Person);
        assert_eq!(verdict(None), Verdict::Person);
        let fresh = Seen { key_mode: None, gauges: Gauges::default(), ..well() };
        assert_eq!(fresh.audit(&config, at(0)).verdict, Verdict::Note);
    }

    #[test]
    fn df_is_read_from_its_end() {
        let df = "Filesystem     1024-blocks    Used Available Capacity Mounted on\n\
                  //host/my share   102400000 5000000  97400000       5% /var/lib\n";
        assert_eq!(room(df), Some((97_400_000, "5%".to_owned())));
        assert_eq!(room("df: /x: No such file or directory\n"), None);
        assert!(disk(Path::new("songkhao.db")).text.contains("MB free in ."));
    }

    #[test]
    fn words_from_outside_stay_on_their_line() {
        let page = page(&[person("source inn", "failed:\n\u{1b}[31mred")]);
        assert!(page.contains("failed:  [31mred\n"), "{page}");
    }

    #[tokio::test]
    async fn a_database_out_of_reach_is_a_finding_and_one_not_made_yet_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("songkhao.db");
        let with = |url: &str| {
            let env = BTreeMap::from([("SONGKHAO_DATABASE_URL".to_owned(), url.to_owned())]);
            crate::config::parse("test.toml", "", &env).unwrap()
        };
        let findings = examine(&with(&format!("sqlite:{}", file.display())), at(0)).await;
        assert!(
            findings.iter().any(|it| it.about == "database" && it.verdict == Verdict::Note),
            "{findings:?}"
        );
        assert!(!file.exists());
        let findings = examine(&with("postgres://me:geheim@127.0.0.1:1/news"), at(0)).await;
        let database = findings.iter().find(|it| it.about == "database").unwrap();
        assert_eq!(database.verdict, Verdict::Person);
        assert!(!database.text.contains("geheim"), "{database:?}");
    }
}
