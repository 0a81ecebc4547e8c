//! Audit entry: tells who did what to which, when, with the exact bytes.
//!
//! An entry is written as JSON once, by [`Entry::canonical`]. That string is what the store keeps,
//! what is hashed and what is exported; nothing ever serialises it a second time. Format: docs/audit.md.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, Timelike, Utc};
use chrono_tz::Tz;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::model::post::Payload;

/// What every canonical entry begins with; the export's line format leans on it.
pub const OPENING: &str = "{\"at\":\"";

/// When a canonical entry was made, from its bytes alone; `None` if they don't begin as one does.
pub fn moment_of(canonical: &[u8]) -> Option<DateTime<Utc>> {
    let text = canonical.strip_prefix(OPENING.as_bytes())?.get(..27)?;
    Some(DateTime::parse_from_rfc3339(std::str::from_utf8(text).ok()?).ok()?.to_utc())
}

/// Who acted. JSON: an object whose first key tells which kind it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Actor {
    /// A step of songkhao itself, on the entry's node.
    Step {
        /// The step's name: collect, compose, deliver, reconcile, seal …
        step: String,
    },
    /// A person through the pages or the API. A failed sign-in knows only the name and the address.
    User {
        /// The name under which the person signs in.
        user: String,
        /// The role at that moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// The session's fingerprint (`secret::fingerprint`), never the session's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// The address the request came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// A person at the command line of the entry's node.
    Shell {
        /// The operating system's name for that person.
        shell: String,
    },
}

impl Actor {
    /// The step `step` of songkhao.
    pub fn step(step: impl Into<String>) -> Actor {
        Actor::Step { step: step.into() }
    }

    /// The bare name: of the step, the user, or the person at the shell.
    pub fn name(&self) -> &str {
        match self {
            Actor::Step { step: name } | Actor::User { user: name, .. } | Actor::Shell { shell: name } => {
                name
            }
        }
    }
}

/// One audit entry. Ids are strings, as everywhere outside the database.
///
/// Never put in a secret (a fingerprint at most) or a reader's personal data. Numbers in `detail` are
/// whole: a fraction may not read back as it was written, so money is micros or a string.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, UTC, to the microsecond.
    pub at: DateTime<Utc>,
    /// The node on which it happened.
    pub node: String,
    /// Who.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// The thing acted on where it is none of the ids below: `source inn`, `user somchai`, `hold 3`.
    #[serde(default)]
    pub object: Option<String>,
    /// The post.
    #[serde(default)]
    pub post: Option<String>,
    /// The delivery; with one, `post` and `remote_id` are always written, as null if unknown.
    #[serde(default)]
    pub delivery: Option<String>,
    /// The platform's id of what was published; on LINE the id of the accepted request.
    #[serde(default)]
    pub remote_id: Option<String>,
    /// The account's name.
    #[serde(default)]
    pub account: Option<String>,
    /// The article.
    #[serde(default)]
    pub article: Option<String>,
    /// SHA-256 of the exact payload bytes, in hex.
    #[serde(default)]
    pub payload_hash: Option<String>,
    /// The exact payload bytes, where this entry is the one that shows them.
    #[serde(default)]
    pub payload: Option<String>,
    /// Everything else: before and after, reason, answers, evidence. Null is not written.
    #[serde(default)]
    pub detail: Value,
}

impl Entry {
    /// An entry about nothing in particular yet; set the fields that apply.
    pub fn new(at: DateTime<Utc>, node: impl Into<String>, actor: Actor, action: Action) -> Entry {
        Entry {
            at: at.trunc_subsecs(6),
            node: node.into(),
            actor,
            action,
            object: None,
            post: None,
            delivery: None,
            remote_id: None,
            account: None,
            article: None,
            payload_hash: None,
            payload: None,
            detail: Value::Null,
        }
    }

    /// Shows the exact bytes of `payload` with their hash.
    #[must_use]
    pub fn with_payload(mut self, payload: &Payload) -> Entry {
        self.payload_hash = Some(payload.hash.clone());
        self.payload = Some(payload.body.clone());
        self
    }

    /// The one byte form: compact JSON, keys in the order of the fields, absent where there is nothing.
    #[expect(clippy::expect_used, reason = "serde_json fails only on maps with keys that are no strings")]
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("an entry is plain JSON")
    }

    /// Reads a canonical entry, to show it. To check one, use its bytes.
    pub fn parse(canonical: &str) -> Result<Entry, serde_json::Error> {
        serde_json::from_str(canonical)
    }
}

/// By hand, because the keys a delivery's entry must carry depend on another field.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &self.at.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        map.serialize_entry("node", &self.node)?;
        map.serialize_entry("actor", &self.actor)?;
        map.serialize_entry("action", &self.action)?;
        let delivery = self.delivery.is_some();
        for (key, value, always) in [
            ("object", &self.object, false),
            ("post", &self.post, delivery),
            ("delivery", &self.delivery, false),
            ("remote_id", &self.remote_id, delivery),
            ("account", &self.account, false),
            ("article", &self.article, false),
            ("payload_hash", &self.payload_hash, false),
            ("payload", &self.payload, false),
        ] {
            if value.is_some() || always {
                map.serialize_entry(key, value)?;
            }
        }
        if !self.detail.is_null() {
            map.serialize_entry("detail", &self.detail)?;
        }
        map.end()
    }
}

/// What a store files an entry under, beside its bytes. It follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The action's name.
    pub action: String,
    /// The article, if it is called by a number.
    pub article: Option<i64>,
    /// The post.
    pub post: Option<i64>,
    /// The delivery.
    pub delivery: Option<i64>,
    /// The account's name.
    pub account: Option<String>,
}

/// The few keys of an entry that [`Columns`] follow from; the rest is skipped unread.
#[derive(Deserialize)]
struct Filed<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(default)]
    article: Option<Cow<'a, str>>,
    #[serde(default)]
    post: Option<Cow<'a, str>>,
    #[serde(default)]
    delivery: Option<Cow<'a, str>>,
    #[serde(default)]
    account: Option<Cow<'a, str>>,
}

impl Columns {
    /// What a canonical entry is filed under; `None` if it can't be read.
    pub fn of(canonical: &str) -> Option<Columns> {
        let filed: Filed<'_> = serde_json::from_str(canonical).ok()?;
        let number = |id: Option<Cow<'_, str>>| id.and_then(|id| id.parse().ok());
        Some(Columns {
            at: moment_of(canonical.as_bytes())?.timestamp_micros(),
            action: filed.action.into_owned(),
            article: number(filed.article),
            post: number(filed.post),
            delivery: number(filed.delivery),
            account: filed.account.map(Cow::into_owned),
        })
    }
}

/// One table for the enum, the names and the Thai labels, so that none can be forgotten.
macro_rules! actions {
    ($($variant:ident $name:literal $label:literal;)*) => {
        /// What was done: each act of a person or a step that is worth an entry.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = concat!("`", $name, "`: ", $label)] $variant,)*
        }

        impl Action {
            /// All actions, by noun.
            pub const ALL: &[Action] = &[$(Action::$variant),*];

            /// The name in rows, exports and filters: noun, full stop, what happened to it.
            pub fn name(self) -> &'static str {
                match self { $(Action::$variant => $name),* }
            }

            /// The name on the page, in Thai.
            pub fn label_th(self) -> &'static str {
                match self { $(Action::$variant => $label),* }
            }
        }
    };
}

actions! {
    DaemonStarted "daemon.started" "เริ่มทำงาน";
    DaemonStopped "daemon.stopped" "หยุดทำงาน";
    ClockJumped "clock.jumped" "นาฬิกาเครื่องกระโดด";
    ConfigLoaded "config.loaded" "โหลดการตั้งค่า";
    ConfigRefused "config.refused" "ไม่รับการตั้งค่า";
    BackupMade "backup.made" "สำรองข้อมูล";
    BackupRestored "backup.restored" "กู้คืนข้อมูลสำรอง";
    GapFound "gap.found" "พบช่วงเวลาที่ฐานข้อมูลจำไม่ได้";
    SourceFailing "source.failing" "แหล่งข่าวขัดข้อง";
    SourceRecovered "source.recovered" "แหล่งข่าวกลับมาปกติ";
    SourceFlooded "source.flooded" "ข่าวเข้ามากผิดปกติ";
    ArticleSeen "article.seen" "บันทึกว่าเห็นข่าวแล้ว ไม่โพสต์";
    ArticleCollected "article.collected" "รับข่าวใหม่";
    ArticleRead "article.page_read" "อ่านหน้าข่าวเต็ม";
    ArticleUnreadable "article.page_failed" "อ่านหน้าข่าวไม่ได้ ใช้ข้อความจากฟีด";
    ArticleChanged "article.changed" "ข่าวถูกแก้ไข";
    ArticleGone "article.gone" "ข่าวถูกถอดจากต้นทาง";
    SummaryMade "summary.made" "สรุปข่าว";
    PostComposed "post.composed" "เขียนโพสต์";
    PostReviewed "post.sent_to_review" "ส่งโพสต์ให้ตรวจ";
    PostEdited "post.edited" "แก้ไขโพสต์";
    PostRescheduled "post.rescheduled" "เลื่อนเวลาโพสต์";
    PostApproved "post.approved" "อนุมัติโพสต์";
    PostRejected "post.rejected" "ไม่อนุมัติโพสต์";
    PostCorrected "post.corrected" "สั่งแก้โพสต์ที่เผยแพร่แล้ว";
    PostRetracted "post.retracted" "สั่งถอนโพสต์ที่เผยแพร่แล้ว";
    DeliveryScheduled "delivery.scheduled" "ตั้งเวลาส่ง";
    DeliverySending "delivery.sending" "เริ่มส่ง";
    DeliveryDelivered "delivery.delivered" "ส่งสำเร็จ";
    DeliveryDeferred "delivery.deferred" "เลื่อนไปลองใหม่";
    DeliveryUnconfirmed "delivery.unconfirmed" "ไม่รู้ว่าส่งถึงหรือไม่";
    DeliveryReadBack "delivery.read_back" "อ่านกลับจากแพลตฟอร์ม";
    DeliveryFailed "delivery.failed" "แพลตฟอร์มไม่รับ";
    DeliveryParked "delivery.parked" "รอคนตัดสิน";
    DeliveryResolved "delivery.resolved" "คนตัดสินการส่งที่ค้าง";
    DeliveryHeld "delivery.held" "ค้างเพราะพักการโพสต์";
    DeliveryExpired "delivery.expired" "หมดเวลา ไม่ส่ง";
    DeliveryCancelled "delivery.cancelled" "ยกเลิกการส่ง";
    DeliveryRetried "delivery.retried" "สั่งส่งใหม่";
    AccountConnected "account.connected" "เชื่อมบัญชี";
    AccountImported "account.imported" "นำเข้าสิทธิ์ของบัญชี";
    AccountRefused "account.token_refused" "แพลตฟอร์มไม่รับสิทธิ์ก่อนหมดอายุ";
    AccountRefreshing "account.refreshing" "เริ่มต่ออายุสิทธิ์ของบัญชี";
    AccountRefreshed "account.refreshed" "ต่ออายุสิทธิ์ของบัญชี";
    AccountUnrefreshed "account.refresh_failed" "ต่ออายุสิทธิ์ของบัญชีไม่สำเร็จ";
    AccountRevoked "account.revoked" "สิทธิ์ของบัญชีถูกเพิกถอน";
    AccountPaused "account.paused" "พักบัญชี";
    AccountResumed "account.resumed" "ใช้บัญชีต่อ";
    AccountChecked "account.checked" "ตรวจบัญชี";
    AccountRemoved "account.removed" "เอาบัญชีออก";
    BudgetChanged "budget.changed" "แก้โควตา";
    BudgetSpent "budget.spent" "โควตาหมด";
    HoldOn "hold.on" "พักการโพสต์";
    HoldOff "hold.off" "เลิกพักการโพสต์";
    PromotionAdded "promotion.added" "เพิ่มโปรโมชัน";
    PromotionChanged "promotion.changed" "แก้โปรโมชัน";
    PromotionRemoved "promotion.removed" "ลบโปรโมชัน";
    PromotionFired "promotion.fired" "ถึงเวลาโปรโมชัน";
    PromotionSkipped "promotion.skipped" "ข้ามรอบโปรโมชัน";
    PromotionStopped "promotion.stopped" "หยุดโปรโมชัน";
    PromotionResumed "promotion.resumed" "ใช้โปรโมชันต่อ";
    PromotionApproved "promotion.approved" "อนุมัติโปรโมชัน";
    UserAdded "user.added" "เพิ่มผู้ใช้";
    UserChanged "user.changed" "แก้ผู้ใช้หรือสิทธิ์";
    UserRemoved "user.removed" "ลบผู้ใช้";
    UserSignedIn "user.signed_in" "เข้าสู่ระบบ";
    UserRefused "user.sign_in_failed" "เข้าสู่ระบบไม่สำเร็จ";
    UserSignedOut "user.signed_out" "ออกจากระบบ";
    TokenMade "token.made" "ออกโทเคน API";
    TokenRevoked "token.revoked" "เพิกถอนโทเคน API";
    AuditExported "audit.exported" "ส่งออกบันทึกตรวจสอบ";
    AuditVerified "audit.verified" "ตรวจบันทึกตรวจสอบ";
    AuditReceipt "audit.receipt" "ออกใบรับรองบันทึก";
    AuditPruned "audit.pruned" "ย้ายบันทึกเก่าเข้าคลัง";
    AuditKeyChanged "audit.key_changed" "เปลี่ยนกุญแจลงนาม";
    AuditGapFound "audit.gap_found" "พบว่าบันทึกขาดหายไปจากที่เคยส่งออก";
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Action::ALL.iter().copied().find(|action| action.name() == name).ok_or_else(|| {
            format!(
                "no audit action is called {name:?}; actions look like delivery.delivered or post.approved"
            )
        })
    }
}

/// One readable Thai line: when (in `zone`, Buddhist era), who, what, to which, why.
///
/// Values come from outside, so what could forge a second line or turn the text around is taken out.
pub fn describe_th(entry: &Entry, zone: Tz) -> String {
    let mut line =
        format!("{} · {} · {}", moment_th(entry.at, zone), actor_th(entry), entry.action.label_th());
    let reason = entry.detail.get("reason").and_then(Value::as_str);
    for (label, value) in [
        ("", entry.object.as_deref()),
        ("บัญชี ", entry.account.as_deref()),
        ("ข่าว ", entry.article.as_deref()),
        ("โพสต์ ", entry.post.as_deref()),
        ("การส่ง ", entry.delivery.as_deref()),
        ("เลขบนแพลตฟอร์ม ", entry.remote_id.as_deref()),
        ("เหตุผล: ", reason),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _infallible = write!(line, " · {label}{}", shown(value));
        }
    }
    line
}

fn actor_th(entry: &Entry) -> String {
    match &entry.actor {
        Actor::Step { step } => format!("{}@{}", shown(step), shown(&entry.node)),
        Actor::Shell { shell } => format!("{} (บรรทัดคำสั่ง @{})", shown(shell), shown(&entry.node)),
        Actor::User { user, role, session: _, address } => {
            let mut who = shown(user);
            if let Some(role) = role {
                who = format!("{who} ({})", role_th(role));
            }
            if let Some(address) = address {
                who = format!("{who} จาก {}", shown(address));
            }
            who
        }
    }
}

fn role_th(role: &str) -> String {
    match role {
        "viewer" => "ผู้ชม".to_owned(),
        "editor" => "บรรณาธิการ".to_owned(),
        "approver" => "ผู้อนุมัติ".to_owned(),
        "admin" => "ผู้ดูแลระบบ".to_owned(),
        other => shown(other),
    }
}

/// `22 พ.ย. 2569 14:05:12`
fn moment_th(at: DateTime<Utc>, zone: Tz) -> String {
    const MONTHS: [&str; 12] =
        ["ม.ค.", "ก.พ.", "มี.ค.", "เม.ย.", "พ.ค.", "มิ.ย.", "ก.ค.", "ส.ค.", "ก.ย.", "ต.ค.", "พ.ย.", "ธ.ค."];
    let local = at.with_timezone(&zone);
    format!(
        "{} {} {} {:02}:{:02}:{:02}",
        local.day(),
        MONTHS[local.month0() as usize],
        local.year() + 543,
        local.hour(),
        local.minute(),
        local.second()
    )
}

/// At most 200 characters of one line, without controls and marks that reorder text.
fn shown(value: &str) -> String {
    const LONGEST: usize = 200;
    let reorders =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let mut chars = value.chars().filter(|&c| !reorders(c)).map(line);
    let mut out: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-11-22T07:05:12.123456Z".parse().unwrap()
    }

    fn delivered() -> Entry {
        let body = r#"{"message":"ฝนตกหนัก\nทั่วกรุง","link":"https://x.example/1"}"#;
        let payload = Payload::freeze(body.to_owned(), String::new(), None);
        let mut entry = Entry::new(at(), "a", Actor::step("deliver"), Action::DeliveryDelivered);
        entry.post = Some("12".to_owned());
        entry.delivery = Some("34".to_owned());
        entry.remote_id = Some("100_200".to_owned());
        entry.account = Some("inn-facebook".to_owned());
        entry.detail = json!({"status": 200, "attempt": 1});
        entry.with_payload(&payload)
    }

    #[test]
    fn an_entry_has_one_byte_form() {
        let canonical = delivered().canonical();
        assert_eq!(
            canonical,
            concat!(
                r#"{"at":"2026-11-22T07:05:12.123456Z","node":"a","actor":{"step":"deliver"},"#,
                r#""action":"delivery.delivered","post":"12","delivery":"34","remote_id":"100_200","#,
                r#""account":"inn-facebook","#,
                r#""payload_hash":"b714666cdce8c6ec3e07318f5dba5971662626a9577637bff607a3baedbf7cb6","#,
                r#""payload":"{\"message\":\"ฝนตกหนัก\\nทั่วกรุง\",\"link\":\"https://x.example/1\"}","#,
                r#""detail":{"status":200,"attempt":1}}"#
            )
        );
        assert!(canonical.starts_with(OPENING));
    }

    #[test]
    fn an_entry_about_a_delivery_always_names_post_and_remote_id() {
        let mut entry = Entry::new(at(), "a", Actor::step("deliver"), Action::DeliverySending);
        assert!(!entry.canonical().contains("remote_id"));
        entry.delivery = Some("34".to_owned());
        assert!(entry.canonical().ends_with(r#""post":null,"delivery":"34","remote_id":null}"#));
    }

    #[test]
    fn each_actor_reads_back() {
        let user = |role: Option<&str>| Actor::User {
            user: "somchai".to_owned(),
            role: role.map(str::to_owned),
            session: role.map(|_| "1a2b3c4d".to_owned()),
            address: Some("10.0.0.5".to_owned()),
        };
        for (actor, json) in [
            (Actor::step("seal"), r#"{"step":"seal"}"#),
            (Actor::Shell { shell: "root".to_owned() }, r#"{"shell":"root"}"#),
            (user(None), r#"{"user":"somchai","address":"10.0.0.5"}"#),
            (
                user(Some("editor")),
                r#"{"user":"somchai","role":"editor","session":"1a2b3c4d","address":"10.0.0.5"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&actor).unwrap(), json);
            assert_eq!(serde_json::from_str::<Actor>(json).unwrap(), actor);
        }
    }

    #[test]
    fn action_names_are_distinct_and_read_back() {
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>().as_ref(), Ok(action));
            let noun_and_verb = action.name().split_once('.').unwrap();
            assert!(!noun_and_verb.0.is_empty() && !noun_and_verb.1.is_empty());
            assert!(!action.label_th().is_empty() && !action.label_th().is_ascii());
        }
        assert!("delivery.exploded".parse::<Action>().unwrap_err().contains("delivery.exploded"));
    }

    #[test]
    fn an_entry_is_told_in_one_thai_line() {
        let mut entry = delivered();
        entry.detail = json!({"reason": "บรรณาธิการสั่ง\n23 พ.ย. 2569 · ปลอม\u{202e}"});
        assert_eq!(
            describe_th(&entry, chrono_tz::Asia::Bangkok),
            "22 พ.ย. 2569 14:05:12 · deliver@a · ส่งสำเร็จ · บัญชี inn-facebook · โพสต์ 12 · การส่ง 34 · \
             เลขบนแพลตฟอร์ม 100_200 · เหตุผล: บรรณาธิการสั่ง 23 พ.ย. 2569 · ปลอม"
        );
        let who = Actor::User {
            user: "สมชาย".to_owned(),
            role: Some("approver".to_owned()),
            session: None,
            address: Some("10.0.0.5".to_owned()),
        };
        let mut entry = Entry::new("2026-01-31T23:59:59Z".parse().unwrap(), "a", who, Action::HoldOn);
        entry.object = Some("ก".repeat(300));
        assert_eq!(
            describe_th(&entry, chrono_tz::Asia::Bangkok),
            format!("1 ก.พ. 2569 06:59:59 · สมชาย (ผู้อนุมัติ) จาก 10.0.0.5 · พักการโพสต์ · {}…", "ก".repeat(200))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_is_one_line(
            micros in 0i64..4_000_000_000_000_000, node in any::<String>(), step in any::<String>(),
            post in any::<Option<String>>(), delivery in any::<Option<String>>(),
            payload in any::<Option<String>>(), key in any::<String>(), value in any::<i64>(),
        ) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let mut entry = Entry::new(at, node, Actor::Step { step }, Action::PostComposed);
            (entry.post, entry.delivery, entry.payload) = (post, delivery, payload);
            entry.detail = json!({ key: value });
            let canonical = entry.canonical();
            prop_assert!(canonical.starts_with(OPENING) && !canonical.contains('\n'));
            let read = Entry::parse(&canonical).unwrap();
            prop_assert_eq!(&read, &entry);
            prop_assert_eq!(read.canonical(), canonical);
            prop_assert!(!describe_th(&entry, Tz::Asia__Bangkok).contains('\n'));
        }
    }
}
