//! Promotion: adds, shows, stops and brings in editors' own messages.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::anyhow;
use chrono::DateTime;
use chrono::Utc;
use chrono_tz::Tz;
use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::clock;
use crate::config::account::Account;
use crate::model::account::Platform;
use crate::model::audit;
use crate::model::lane::Lane;
use crate::model::promotion::Plan;
use crate::model::promotion::Promotion;
use crate::model::promotion::wish::Fault;
use crate::model::promotion::wish::Wish;
use crate::pipeline::import;
use crate::pipeline::import::Report;
use crate::pipeline::promote;
use crate::store::audit as log;
use crate::store::hold;
use crate::store::listing;
use crate::store::post;
use crate::store::promotion;
use crate::store::promotion::Stored;
use crate::text::quote::shown;

/// Lines of each list that `show` prints.
const SHOWN: usize = 20;

/// `songkhao promotion …`
#[derive(Debug, Subcommand)]
pub enum PromotionCommand {
    /// Add a promotion. Words too long for an account are refused, never cut.
    Add(Box<Add>),
    /// All promotions.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// One promotion: its rules, firings, posts and history.
    Show {
        /// The promotion.
        name: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// When a promotion goes out next, caps and distance reckoned in.
    Next {
        /// The promotion.
        name: String,
        /// How many times at most.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Stop a promotion and call off what of it waits to go out.
    Stop {
        /// The promotion.
        name: String,
        /// Why; everybody sees it.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a stopped promotion go on from now; what was planned meanwhile stays out.
    Resume {
        /// The promotion.
        name: String,
    },
    /// Say yes to exactly the bytes that `show` shows; any change of them asks again.
    Approve {
        /// The promotion.
        name: String,
    },
    /// Bring a CSV table in; doing so twice changes nothing the second time.
    Import {
        /// The table: heading name,text,accounts,… as `promotion export` writes it.
        file: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print all promotions as the CSV table that `import` reads.
    Export,
}

/// What `promotion add` takes.
#[derive(Debug, Args)]
pub struct Add {
    /// A name for it.
    name: String,
    /// The words; given again, the wordings take turns.
    #[arg(long = "text", value_name = "TEXT", required = true)]
    texts: Vec<String>,
    /// An account to post to (may be given again).
    #[arg(long = "account", value_name = "NAME", required = true)]
    accounts: Vec<String>,
    #[command(flatten)]
    plan: Times,
    /// Not before this day or moment: 2026-12-01, 1/12/2569, 2026-12-01T08:00.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Up to the end of this day, or up to this moment.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Only on these days of the week: mon,tue or mon-fri.
    #[arg(long)]
    days: Option<String>,
    /// At most so often on one day.
    #[arg(long, value_name = "N")]
    per_day: Option<String>,
    /// At most so often altogether.
    #[arg(long, value_name = "N")]
    in_all: Option<String>,
    /// The smallest distance between two: 90s, 30m, 2h, 7d.
    #[arg(long)]
    distance: Option<String>,
    /// Where it leads.
    #[arg(long, value_name = "URL")]
    link: Option<String>,
    /// The word that marks paid content, such as "โฆษณา"; it stands first.
    #[arg(long)]
    label: Option<String>,
    /// How long after its time a post may still go out [default: 6h].
    #[arg(long, value_name = "DURATION")]
    good_for: Option<String>,
    /// What happens to times missed while songkhao was down: skip, once or catch_up [default: once].
    #[arg(long)]
    misfire: Option<String>,
    /// Whether a person approves it first: never or always [default: never].
    #[arg(long, num_args = 0..=1, default_missing_value = "always")]
    review: Option<String>,
}

/// When a promotion goes out: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Times {
    /// Once: 2026-12-01T09:00, in the newsroom's zone unless an offset is given.
    #[arg(long, value_name = "TIME")]
    once: Option<String>,
    /// By a cron line of five fields: "0 9 * * 1-5".
    #[arg(long, value_name = "LINE")]
    cron: Option<String>,
    /// Every day at these times: 09:00,18:30.
    #[arg(long, value_name = "TIMES")]
    slots: Option<String>,
}

impl From<Add> for Wish {
    fn from(add: Add) -> Wish {
        Wish {
            name: add.name,
            texts: add.texts,
            accounts: add.accounts.join(","),
            once: add.plan.once.unwrap_or_default(),
            cron: add.plan.cron.unwrap_or_default(),
            slots: add.plan.slots.unwrap_or_default(),
            from: add.from.unwrap_or_default(),
            until: add.until.unwrap_or_default(),
            days: add.days.unwrap_or_default(),
            per_day: add.per_day.unwrap_or_default(),
            in_all: add.in_all.unwrap_or_default(),
            distance: add.distance.unwrap_or_default(),
            link: add.link.unwrap_or_default(),
            label: add.label.unwrap_or_default(),
            good_for: add.good_for.unwrap_or_default(),
            misfire: add.misfire.unwrap_or_default(),
            review: add.review.unwrap_or_default(),
        }
    }
}

/// Carries out a promotion command.
///
/// # Errors
/// Faults of what was typed (exit 2); a name that is taken or unknown, bad rows (exit 1); what the database says.
pub async fn promotion(config: Option<&Path>, command: PromotionCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    match command {
        PromotionCommand::Add(add) => self::add(&desk, &Wish::from(*add)).await,
        PromotionCommand::List { json } => list(&desk, json).await,
        PromotionCommand::Show { name, json } => show(&desk, &name, json).await,
        PromotionCommand::Next { name, count, json } => next(&desk, &name, count.into(), json).await,
        PromotionCommand::Stop { name, reason } => {
            find(&desk, &name).await?;
            let stopped =
                promotion::stop(&desk.db, &desk.stamp(), &name, reason.as_deref(), &desk.policy()).await?;
            let Some(called_off) = stopped else {
                return Err(anyhow!("{} is stopped already", shown(&name)).into());
            };
            say(&format!("promotion {name} stopped; {called_off} posts called off"))
        }
        PromotionCommand::Resume { name } => {
            find(&desk, &name).await?;
            if !promotion::resume(&desk.db, &desk.stamp(), &name, desk.config.timezone).await? {
                return Err(anyhow!("{} is not stopped", shown(&name)).into());
            }
            say(&format!("promotion {name} goes on"))
        }
        PromotionCommand::Approve { name } => approve(&desk, &name).await,
        PromotionCommand::Import { file, dry_run } => import(&desk, &file, dry_run).await,
        PromotionCommand::Export => {
            let table = import::export(&desk.db, &desk.config).await?;
            Ok(std::io::stdout().lock().write_all(&table)?)
        }
    }
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

async fn find(desk: &Desk, name: &str) -> Result<Stored, Failure> {
    let found = promotion::find(&desk.db, name).await?;
    found.ok_or_else(|| {
        anyhow!("no promotion is called {}; `promotion list` shows those there are", shown(name)).into()
    })
}

async fn add(desk: &Desk, wish: &Wish) -> Result<(), Failure> {
    let (stamp, tz) = (desk.stamp(), desk.config.timezone);
    let refused = |faults: Vec<Fault>| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("songkhao: {fault}")).collect();
        Failure::Usage(lines.join("\n"))
    };
    let promotion = wish.read(tz).map_err(refused)?;
    let mut faults = promote::faults(&promotion, &desk.config);
    faults.extend(promotion.never_fires(stamp.at, tz));
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    let mut tx = desk.db.begin().await?;
    if promotion::insert(&mut tx, &stamp, &promotion, tz).await?.is_none() {
        let name = &promotion.name;
        return Err(anyhow!(
            "a promotion is called {} already; take another name, or change it by `promotion import`",
            shown(name)
        )
        .into());
    }
    tx.commit().await?;
    let first = promotion.next_after(stamp.at, tz).map(|at| moment(at, tz)).unwrap_or_default();
    say(&format!("promotion {} added; it goes out first at {first}", promotion.name))?;
    let refuses = |account: &str| {
        let platform = desk.config.accounts.iter().find(|it| it.name == account).map(Account::platform);
        matches!(platform, Some(Platform::Facebook | Platform::X))
    };
    let repeats = promotion.texts.len() == 1 && !matches!(promotion.plan, Plan::Once(_));
    if repeats && promotion.accounts.iter().any(|account| refuses(account)) {
        say(
            "note: Facebook refuses the same words twice in a row, and X within about a day; such a turn goes by there. Give --text again for wordings that take turns",
        )?;
    }
    Ok(())
}

fn moment(at: DateTime<Utc>, tz: Tz) -> String {
    at.with_timezone(&tz).format("%a %Y-%m-%d %H:%M:%S").to_string()
}

/// Whether it runs, was stopped, or has nothing more to come.
fn state(stored: &Stored) -> &'static str {
    match (&stored.stopped, stored.next_at) {
        (Some(_), _) => "stopped",
        (None, Some(_)) => "running",
        (None, None) => "ended",
    }
}

fn as_json(desk: &Desk, stored: &Stored) -> Value {
    let wish = stored.promotion.wish(desk.config.timezone);
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let listed =
        |text: &str| text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let Promotion { limits, accounts, texts, .. } = &stored.promotion;
    let once = match &stored.promotion.plan {
        Plan::Once(at) => Some(*at),
        Plan::Cron(_) | Plan::Slots(_) => None,
    };
    json!({
        "promotion": stored.id.to_string(), "name": wish.name, "state": state(stored),
        "approved": promote::is_approved(stored, &desk.config), "approved_by": stored.approved_by,
        "next": stored.next_at, "fired": stored.fired, "skip": stored.skip,
        "stopped_at": stored.stopped.as_ref().map(|it| it.at),
        "stopped_by": stored.stopped.as_ref().map(|it| it.by.clone()),
        "stop_reason": stored.stopped.as_ref().and_then(|it| it.reason.clone()),
        "texts": texts, "accounts": accounts, "link": given(&wish.link), "label": given(&wish.label),
        "once": once, "cron": given(&wish.cron), "slots": listed(&wish.slots),
        "from": given(&wish.from), "until": given(&wish.until), "days": listed(&wish.days),
        "per_day": limits.per_day, "in_all": limits.in_all, "distance": given(&wish.distance),
        "good_for": wish.good_for, "misfire": wish.misfire, "review": wish.review,
        "made_at": stored.made_at, "made_by": stored.made_by,
    })
}

async fn list(desk: &Desk, json: bool) -> Result<(), Failure> {
    let promotions = promotion::list(&desk.db).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let all: Vec<Value> = promotions.iter().map(|stored| as_json(desk, stored)).collect();
        writeln!(out, "{}", Value::from(all))?;
        return Ok(());
    }
    for stored in &promotions {
        writeln!(out, "{}", row(desk, stored))?;
    }
    Ok(())
}

fn row(desk: &Desk, stored: &Stored) -> String {
    let tz = desk.config.timezone;
    let next = stored.next_at.map_or_else(|| "-".to_owned(), |at| moment(at, tz));
    let skip = stored.skip.as_deref().map(|reason| format!(" (last time: {reason})")).unwrap_or_default();
    let review = if promote::is_approved(stored, &desk.config) { "" } else { " [not approved]" };
    format!(
        "{:<8} {next:<23} {:>4}x  {} → {}{review}{skip}",
        state(stored),
        stored.fired,
        stored.promotion.name,
        stored.promotion.accounts.join(", ")
    )
}

async fn show(desk: &Desk, name: &str, as_one_json: bool) -> Result<(), Failure> {
    let stored = find(desk, name).await?;
    let firings = promotion::list_firings(&desk.db, stored.id, SHOWN as i64).await?;
    let filter = listing::Filter {
        origin: Some(stored.origin()),
        limit: Some(SHOWN as i64),
        ..listing::Filter::default()
    };
    let posts = listing::list(&desk.db, &filter).await?;
    let bytes = promote::bytes(&stored.promotion, &desk.config);
    let mut out = std::io::stdout().lock();
    if as_one_json {
        let mut shown = as_json(desk, &stored);
        shown["firings"] = json!(firings);
        shown["posts"] = json!(posts);
        shown["payloads"] = bytes
            .iter()
            .map(|(account, payload)| json!({ "account": account, "text": payload.text, "payload_hash": payload.hash }))
            .collect();
        writeln!(out, "{shown}")?;
        return Ok(());
    }
    writeln!(out, "{}", row(desk, &stored))?;
    if let Some(stopped) = &stored.stopped {
        let reason = stopped.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        writeln!(out, "  stopped by {} at {}{reason}", stopped.by, moment(stopped.at, desk.config.timezone))?;
    }
    let wish = serde_json::to_value(stored.promotion.wish(desk.config.timezone))?;
    for (key, value) in
        wish.as_object().into_iter().flatten().filter(|(key, _)| *key != "name" && *key != "texts")
    {
        writeln!(out, "  {key}: {}", value.as_str().unwrap_or_default())?;
    }
    for (account, payload) in &bytes {
        writeln!(out, "── {account}, {} ──\n{}", &payload.hash[..8], payload.text)?;
    }
    for line in &posts {
        let reason = line.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(
            out,
            "  post {} on {}, due {}: {}{reason}",
            line.post,
            line.account,
            line.due.to_rfc3339(),
            line.state
        )?;
    }
    history(desk, &stored, &mut out).await
}

/// What happened to a promotion, as the audit log tells it.
async fn history(desk: &Desk, stored: &Stored, out: &mut impl Write) -> Result<(), Failure> {
    let object = format!("promotion {}", stored.promotion.name);
    for entry in log::list_of_object(&desk.db, &object, SHOWN).await? {
        writeln!(out, "  {}", audit::describe_th(&entry, desk.config.timezone))?;
    }
    Ok(())
}

/// The promotions that lead to `link`, each with its history: `songkhao why`. Returns how many there are.
///
/// # Errors
/// What the database says.
pub async fn tell_by_link(
    desk: &Desk,
    link: &str,
    as_one_json: bool,
    out: &mut impl Write,
) -> Result<usize, Failure> {
    let promotions = promotion::list_by_link(&desk.db, link).await?;
    for stored in &promotions {
        if as_one_json {
            writeln!(out, "{}", as_json(desk, stored))?;
        } else {
            writeln!(out, "promotion {}", row(desk, stored))?;
            history(desk, stored, out).await?;
        }
    }
    Ok(promotions.len())
}

async fn next(desk: &Desk, name: &str, count: usize, as_one_json: bool) -> Result<(), Failure> {
    let stored = find(desk, name).await?;
    let (now, tz) = (clock::now(), desk.config.timezone);
    let mut tx = desk.db.begin().await?;
    let history = promotion::history(&mut tx, stored.id, tz).await?;
    tx.roll_back().await?;
    let moments = match stored.next_at {
        Some(_) => stored.promotion.next_firings(history, now.max(stored.passed_at), tz, count),
        None => Vec::new(),
    };
    let mut out = std::io::stdout().lock();
    if as_one_json {
        writeln!(out, "{}", json!(moments))?;
        return Ok(());
    }
    for (number, at) in (history.in_all..).zip(&moments) {
        let wording = stored.promotion.turn(number) + 1;
        writeln!(out, "{}  text {wording}", moment(*at, tz))?;
    }
    if let Some(stopped) = &stored.stopped {
        writeln!(out, "note: stopped by {}; `promotion resume` lets it go on", stopped.by)?;
    } else if moments.is_empty() {
        writeln!(out, "note: nothing more comes; its campaign is over")?;
    }
    let held = |lane: &Option<String>| lane.as_deref().is_none_or(|lane| lane == Lane::Promotion.name());
    for hold in hold::list(&desk.db).await?.iter().filter(|hold| held(&hold.lane)) {
        let account = hold.account.as_deref().unwrap_or("all accounts");
        writeln!(out, "note: a hold is on for {account}: {}", hold.reason)?;
    }
    Ok(())
}

async fn approve(desk: &Desk, name: &str) -> Result<(), Failure> {
    let stored = find(desk, name).await?;
    let hash = promote::approval_hash(&stored.promotion, &desk.config);
    if !promotion::approve(&desk.db, &desk.stamp(), &stored, &hash).await? {
        return Err(anyhow!("{} changed meanwhile; look at it again", shown(name)).into());
    }
    // Its posts that wait with these very bytes are meant too.
    let bytes = promote::bytes(&stored.promotion, &desk.config);
    let mut approved = 0;
    for (post, hash) in promotion::list_in_review(&desk.db, stored.id).await? {
        if bytes.iter().any(|(_, payload)| payload.hash == hash) {
            let decided = post::decide(&desk.db, &desk.stamp(), post, true, Some(&hash), None).await?;
            approved += usize::from(decided.is_ok());
        }
    }
    say(&format!("promotion {name} approved, {approved} waiting posts with it"))
}

async fn import(desk: &Desk, file: &Path, dry_run: bool) -> Result<(), Failure> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let report =
        import::import(&desk.db, &desk.config, &desk.stamp(), &desk.policy(), &bytes, dry_run).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for bad in &report.bad {
        for fault in &bad.faults {
            writeln!(out, "แถว {} คอลัมน์ {}: {}", bad.row, fault.column, fault.thai)?;
        }
    }
    let Report { added, changed, unchanged, bad } = &report;
    let tried = if dry_run { "ทดลอง ยังไม่ได้บันทึก: " } else { "" };
    writeln!(out, "{tried}เพิ่ม {added} แก้ไข {changed} เหมือนเดิม {unchanged} ผิด {} แถว", bad.len())?;
    out.flush()?;
    if bad.is_empty() { Ok(()) } else { Err(Failure::No) }
}
