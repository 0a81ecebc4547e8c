//! Promote: makes the posts of a promotion whose moment has come.
//!
//! One planned moment at a time, decided under the lock of its promotion. What goes by without a post is told once
//! for each run of the same reason. An editor's words go out whole or not at all: nothing here cuts them.

use std::collections::BTreeMap;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use serde_json::json;
use tracing::info;

use crate::clock;
use crate::config::Config;
use crate::config::account::Account;
use crate::model::account::Mode;
use crate::model::account::Platform;
use crate::model::audit::Action;
use crate::model::hash;
use crate::model::lane::Lane;
use crate::model::post::Message;
use crate::model::post::Payload;
use crate::model::promotion::Firing;
use crate::model::promotion::Promotion;
use crate::model::promotion::Review;
use crate::model::promotion::Skip;
use crate::model::promotion::wish::Fault;
use crate::model::promotion::wish::text_column;
use crate::model::schedule::Misfire;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::pipeline::compose;
use crate::pipeline::template::ascii_link;
use crate::platform;
use crate::platform::Unfit;
use crate::store::audit;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::db::Tx;
use crate::store::gap;
use crate::store::hold;
use crate::store::post;
use crate::store::post::Draft;
use crate::store::promotion;
use crate::store::promotion::Stored;
use crate::text::quote::shown;

/// Why a post of a promotion waits for a person.
const REVIEW: &str = "the promotion is not approved";

/// Why a post waits whose moment the database forgot: after a restore its firing may be gone and its post public.
const FORGOTTEN: &str = "it may have gone out while the database forgot";

/// X refuses a text that it has had "recently" and publishes no number; Facebook refuses one that repeats the Page's
/// last post (platforms/x.md, platforms/facebook.md section 10).
const SAME_ON_X: TimeDelta = TimeDelta::hours(24);

/// Decides about the planned moment that came first, and makes its posts.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let stamp = context.stamp("promote");
    if promotion::next_moment(&context.db).await?.is_none_or(|next| next > stamp.at) {
        return Ok(Step::Idle);
    }
    let tz = context.config.timezone;
    let mut tx = context.db.begin().await?;
    let Some(stored) = promotion::lock_due(&mut tx, stamp.at).await? else {
        tx.roll_back().await?;
        return Ok(Step::Idle);
    };
    let history = promotion::history(&mut tx, stored.id, tz).await?;
    let decision = stored.promotion.decide(stored.passed_at, &history, stamp.at, tz);
    let mut next_at = stored.promotion.next_after(decision.passed, tz);
    let planned = decision.come.as_ref().map(|(firing, _)| firing.planned);
    let outcome = match decision.come {
        None => (decision.missed > 0).then_some(Err(Skip::Missed(decision.missed))),
        Some((_, Err(skip))) => Some(Err(skip)),
        Some((firing, Ok(()))) => {
            let wording = stored.promotion.turn(history.in_all);
            let turn = Turn { firing, wording, is_last: next_at.is_none() };
            fire(context, &mut tx, &stamp, &stored, turn).await?
        }
    };
    let fired = u32::from(matches!(outcome, Some(Ok(_))));
    if stored.promotion.limits.in_all.is_some_and(|most| history.in_all + fired >= most) {
        next_at = None;
    }
    let skip = outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
    let told = skip.map(|skip| (skip.kind(), skip.to_string()));
    let told = told.as_ref().map(|(kind, reason)| (*kind, reason.as_str()));
    promotion::pass(&mut tx, stored.id, decision.passed, next_at, told).await?;
    let detail = json!({ "planned": planned, "missed": decision.missed, "next": next_at });
    tell(&mut tx, &stamp, &stored, &outcome, detail).await?;
    tx.commit().await?;
    Ok(Step::Worked)
}

/// The next moment at which a promotion is planned.
///
/// # Errors
/// What the database says.
pub async fn next_moment(context: &Context) -> Result<Option<DateTime<Utc>>> {
    promotion::next_moment(&context.db).await
}

/// Appends the entry about a moment that fired, or about the first one of a run that went by.
async fn tell(
    tx: &mut Tx,
    stamp: &Stamp,
    stored: &Stored,
    outcome: &Option<std::result::Result<Fired, Skip>>,
    mut detail: serde_json::Value,
) -> Result<()> {
    let name = &stored.promotion.name;
    let mut entry = match outcome {
        None => return Ok(()),
        Some(Err(skip)) if stored.skip_kind.as_deref() == Some(skip.kind()) => return Ok(()),
        Some(Err(skip)) => {
            detail["reason"] = json!(skip.to_string());
            info!(promotion.name = name, "Promotion {name} goes by: {skip}");
            stored.entry(stamp, Action::PromotionSkipped)
        }
        Some(Ok(fired)) => {
            let posts: Vec<String> = fired.posts.iter().map(ToString::to_string).collect();
            detail["posts"] = json!(posts);
            detail["wording"] = json!(fired.wording + 1);
            if !fired.skipped.is_empty() {
                detail["skipped"] = json!(fired.skipped);
            }
            info!(
                promotion.name = name,
                posts = posts.len(),
                "Promotion {name} fired with {} posts",
                posts.len()
            );
            stored.entry(stamp, Action::PromotionFired)
        }
    };
    if let Some(fields) = detail.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && *value != json!(0));
    }
    entry.detail = detail;
    audit::append(tx, &entry).await
}

/// A firing that is to be made.
struct Turn {
    firing: Firing,
    /// Which wording, from 0.
    wording: usize,
    /// No other moment comes after it.
    is_last: bool,
}

/// What a firing made.
struct Fired {
    wording: usize,
    posts: Vec<i64>,
    /// Why an account got none.
    skipped: BTreeMap<String, String>,
}

/// Makes the posts of a firing. `None`: it fired before. Where no account gets a post it did not fire, and counts for
/// nothing.
async fn fire(
    context: &Context,
    tx: &mut Tx,
    stamp: &Stamp,
    stored: &Stored,
    turn: Turn,
) -> Result<Option<std::result::Result<Fired, Skip>>> {
    let approved = is_approved(stored, &context.config);
    let mut drafts = Vec::new();
    let mut skipped = BTreeMap::new();
    let mut first_skip = None;
    for name in &stored.promotion.accounts {
        match draft(context, tx, stamp, stored, &turn, name).await? {
            Ok(draft) => drafts.push(draft),
            Err(skip) => {
                skipped.insert(name.clone(), skip.to_string());
                first_skip.get_or_insert(skip);
            }
        }
    }
    if let Some(skip) = first_skip.filter(|_| drafts.is_empty()) {
        return Ok(Some(Err(skip)));
    }
    if !promotion::fire(tx, stored.id, turn.firing, turn.wording).await? {
        return Ok(None);
    }
    let forgotten = gap::covers(tx, turn.firing.planned).await?;
    let mut posts = Vec::new();
    for mut draft in drafts {
        if !approved {
            draft.reasons.push(REVIEW.to_owned());
        }
        if forgotten {
            draft.reasons.push(FORGOTTEN.to_owned());
        }
        posts.extend(post::insert(tx, stamp, &draft).await?);
    }
    Ok(Some(Ok(Fired { wording: turn.wording, posts, skipped })))
}

/// The post of a firing on one account, or why it gets none.
async fn draft(
    context: &Context,
    tx: &mut Tx,
    stamp: &Stamp,
    stored: &Stored,
    turn: &Turn,
    name: &str,
) -> Result<std::result::Result<Draft, Skip>> {
    let wish = &stored.promotion;
    let Some((account, _)) = context.account(name) else { return Ok(Err(Skip::Unconfigured)) };
    // What comes again lets a hold go by; what doesn't becomes `held` at its claim, and a person decides.
    let held = hold::list_in(tx).await?.iter().any(|hold| hold.stops(name, Lane::Promotion));
    if !turn.is_last && held {
        return Ok(Err(Skip::Held));
    }
    let standing = promotion::standing(tx, stored.id, name, stamp.at).await?;
    if standing.waiting && wish.misfire != Misfire::CatchUp {
        return Ok(Err(Skip::Waiting));
    }
    let Firing { planned, counted } = turn.firing;
    // The last post may have left later than it was planned: readers see the distance all the same.
    let apart =
        standing.sent_at.zip(wish.limits.distance).map(|(sent, least)| (sent + clock::span(least), least));
    let not_before = apart.map_or(counted, |(free, _)| free.max(counted));
    let Ok(good_for) = (planned + clock::span(wish.good_for) - not_before).to_std() else {
        return Ok(Err(Skip::Distance(wish.limits.distance.unwrap_or_default())));
    };
    if not_before > counted && !wish.window.holds(not_before, context.config.timezone) {
        return Ok(Err(Skip::Distance(wish.limits.distance.unwrap_or_default())));
    }
    let silent = compose::quiet_at(context, account, not_before);
    let text = wish.texts.get(turn.wording).map_or("", String::as_str);
    let payload = match payload(wish, text, account.platform(), silent) {
        Ok(payload) => payload,
        Err(unfit) => return Ok(Err(Skip::Unfit(unfit.to_string()))),
    };
    // Sent all the same, it would come back as a doubt that only a person can settle.
    let refused = match account.platform() {
        Platform::Facebook => promotion::is_newest(tx, name, &payload.hash).await?,
        Platform::X => {
            promotion::went_out_since(tx, stored.id, name, &payload.hash, not_before - SAME_ON_X).await?
        }
        Platform::Line => false,
    };
    if refused {
        return Ok(Err(Skip::Repeated));
    }
    Ok(Ok(Draft {
        account: name.to_owned(),
        platform: account.platform(),
        origin: stored.origin(),
        occasion: planned.to_rfc3339(),
        article: None,
        digest: Vec::new(),
        route: None,
        lane: Lane::Promotion,
        reasons: Vec::new(),
        payload,
        template: "promotion".to_owned(),
        not_before,
        good_for,
    }))
}

/// The exact bytes of one wording on a platform: label, text and link, nothing left out.
///
/// # Errors
/// The platform's limit that it breaks.
pub fn payload(
    promotion: &Promotion,
    text: &str,
    platform: Platform,
    silent: bool,
) -> std::result::Result<Payload, Unfit> {
    let words = match &promotion.label {
        Some(label) => format!("{label}\n{text}"),
        None => text.to_owned(),
    };
    let whole = match &promotion.link {
        Some(link) if !words.contains(link.as_str()) => format!("{words}\n\n{}", ascii_link(link)),
        _ => words.clone(),
    };
    let link = promotion.link.clone();
    platform::freeze(&match platform {
        Platform::Facebook => Message::Facebook { message: words, link },
        Platform::X => Message::X { text: whole },
        Platform::Line => Message::LineText { text: whole, link, silent },
    })
}

/// Everything that keeps a promotion from going out on its accounts as it is configured now.
pub fn faults(promotion: &Promotion, config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut on_x: Option<&str> = None;
    for name in &promotion.accounts {
        let Some(account) = find(config, name) else {
            let known: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
            let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
            faults.push(Fault::new(
                "accounts",
                format!("no account is called {}; there are {known}", shown(name)),
                format!("ไม่มีบัญชีชื่อ {} ในการตั้งค่า มี {known}", shown(name)),
            ));
            continue;
        };
        let live_on_x = account.platform() == Platform::X && account.mode == Mode::Live;
        if let Some(first) = on_x.filter(|_| live_on_x) {
            faults.push(Fault::new(
                "accounts",
                format!("{first} and {name} are both on X, which suspends accounts for the same post on several profiles; keep one"),
                format!("{first} กับ {name} อยู่บน X ทั้งคู่ X ระงับบัญชีที่โพสต์เรื่องเดียวกันหลายบัญชี เหลือไว้บัญชีเดียว"),
            ));
        }
        on_x = on_x.or(live_on_x.then_some(name.as_str()));
        for (index, text) in promotion.texts.iter().enumerate() {
            if let Err(unfit) = payload(promotion, text, account.platform(), false) {
                faults.push(misfit(index, name, &unfit));
            }
        }
    }
    faults
}

/// A platform's refusal of one wording, as a fault of its column.
fn misfit(index: usize, account: &str, unfit: &Unfit) -> Fault {
    match unfit {
        Unfit::TooLong { length, limit, unit, .. } => Fault::new(
            &text_column(index),
            format!(
                "on {account} it has {length} {unit}, label and link included; at most {limit} are allowed, shorten it"
            ),
            format!("บนบัญชี {account} นับได้ {length} (รวมป้ายและลิงก์) เกินที่รับได้ {limit} ตัดให้สั้นลง"),
        ),
        Unfit::Invalid { field, .. } if field == "link" => {
            Fault::new("link", format!("on {account}: {unfit}"), format!("บัญชี {account} ไม่รับลิงก์นี้: {unfit}"))
        }
        _ => Fault::new(
            &text_column(index),
            format!("on {account}: {unfit}"),
            format!("บัญชี {account} ไม่รับข้อความนี้: {unfit}"),
        ),
    }
}

/// The hash over the exact bytes of every wording on every account: what a person's approval is bound to.
pub fn approval_hash(promotion: &Promotion, config: &Config) -> String {
    let hashes: Vec<String> = bytes(promotion, config).into_iter().map(|(_, payload)| payload.hash).collect();
    hash::sha256_hex(hashes.join("\n").as_bytes())
}

/// What each account would get, each wording in turn.
pub fn bytes(promotion: &Promotion, config: &Config) -> Vec<(String, Payload)> {
    let accounts = promotion.accounts.iter().filter_map(|name| find(config, name));
    let pairs = accounts.flat_map(|account| promotion.texts.iter().map(move |text| (account, text)));
    pairs
        .filter_map(|(account, text)| {
            Some((account.name.clone(), payload(promotion, text, account.platform(), false).ok()?))
        })
        .collect()
}

/// Whether its posts may go out without another look.
pub fn is_approved(stored: &Stored, config: &Config) -> bool {
    stored.promotion.review == Review::Never
        || stored.approved_hash.as_deref() == Some(approval_hash(&stored.promotion, config).as_str())
}

/// Promotions that still run and name accounts which the configuration doesn't know, as (promotion, account).
///
/// # Errors
/// What the database says.
pub async fn orphans(db: &Db, config: &Config) -> Result<Vec<(String, String)>> {
    let promotions = promotion::list(db).await?.into_iter().filter(|stored| stored.next_at.is_some());
    Ok(promotions
        .flat_map(|stored| {
            let Promotion { name, accounts, .. } = stored.promotion;
            accounts.into_iter().map(move |account| (name.clone(), account))
        })
        .filter(|(_, account)| find(config, account).is_none())
        .collect())
}

fn find<'c>(config: &'c Config, name: &str) -> Option<&'c Account> {
    config.accounts.iter().find(|account| account.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::config;
    use crate::model::promotion::wish::Wish;

    use super::*;

    const ACCOUNTS: &str = "[[account]]\nname = 'page'\nplatform = 'facebook'\npage_id = '1'\naccess_token = { env = 'S' }\n\
        [[account]]\nname = 'x'\nplatform = 'x'\noauth1 = { consumer_key = { env = 'S' }, consumer_secret = { env = 'S' }, access_token = { env = 'S' }, access_token_secret = { env = 'S' } }\n\
        [[account]]\nname = 'line'\nplatform = 'line'\nchannel_id = '1'\nchannel_secret = { env = 'S' }\n";

    fn config() -> Config {
        let env = BTreeMap::from([("S".to_owned(), "geheim-geheim".to_owned())]);
        config::parse("test.toml", ACCOUNTS, &env).unwrap()
    }

    fn promotion(text: &str, accounts: &str) -> Promotion {
        let wish = Wish {
            name: "ลด".into(),
            texts: vec!["สั้น".into(), text.into()],
            accounts: accounts.into(),
            slots: "09:00".into(),
            link: "https://shop.co.th/ลด".into(),
            label: "โฆษณา".into(),
            ..Wish::default()
        };
        wish.read(config().timezone).unwrap()
    }

    #[test]
    fn label_words_and_link_stand_whole_on_every_platform() {
        let promotion = promotion("ลดทั้งร้าน", "page");
        let text = |platform| payload(&promotion, "ลดทั้งร้าน", platform, false).unwrap();
        assert_eq!(
            text(Platform::Facebook).body,
            r#"{"message":"โฆษณา\nลดทั้งร้าน","link":"https://shop.co.th/ลด"}"#
        );
        // X and LINE end an address at the first Thai letter, so there it is escaped.
        let escaped = "โฆษณา\nลดทั้งร้าน\n\nhttps://shop.co.th/%E0%B8%A5%E0%B8%94";
        assert_eq!(text(Platform::X).text, escaped);
        assert_eq!(text(Platform::Line).text, escaped);
    }

    #[test]
    fn a_link_that_the_words_hold_is_not_repeated() {
        let promotion = promotion("x", "page");
        let words = "ดูที่ https://shop.co.th/ลด วันนี้";
        assert_eq!(payload(&promotion, words, Platform::X, false).unwrap().text, format!("โฆษณา\n{words}"));
    }

    #[test]
    fn words_too_long_for_an_account_are_refused_with_count_and_limit() {
        let promotion = promotion(&"ก".repeat(270), "page,x,line");
        let faults = faults(&promotion, &config());
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!(fault.column, "text_2");
        // 5 for the label, 1 and 2 for the line breaks, 23 for the link.
        assert!(fault.text.contains("on x it has 301") && fault.text.contains("at most 280"), "{fault}");
        assert!(fault.thai.contains("301") && fault.thai.contains("280"), "{fault:?}");
    }

    #[test]
    fn an_account_that_is_not_configured_is_refused_with_those_that_are() {
        let faults = faults(&promotion("x", "pgae"), &config());
        assert_eq!(faults[0].text, "no account is called \"pgae\"; there are page, x, line");
    }

    #[test]
    fn an_approval_is_bound_to_every_byte() {
        let hash = |text, accounts| approval_hash(&promotion(text, accounts), &config());
        let approved = hash("ลด 50%", "page,line");
        assert_eq!(hash("ลด 50%", "page,line"), approved);
        assert_ne!(hash("ลด 60%", "page,line"), approved);
        assert_ne!(hash("ลด 50%", "page,x"), approved);
    }
}
