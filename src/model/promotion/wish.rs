//! Wish: holds a promotion as people write it, all of it text.
//!
//! Every field is text. [`Wish::read`] finds all faults at once, each with its column, in English and in Thai;
//! [`Promotion::wish`] writes the one form that is stored, compared and exported.

use chrono::{DateTime, SecondsFormat, Utc, Weekday, WeekdaySet};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::model::promotion::Limits;
use crate::model::promotion::Plan;
use crate::model::promotion::Promotion;
use crate::model::promotion::Window;
use crate::model::promotion::field::DAYS;
use crate::model::promotion::field::MISFIRES;
use crate::model::promotion::field::REVIEWS;
use crate::model::promotion::field::accounts;
use crate::model::promotion::field::cron;
use crate::model::promotion::field::days;
use crate::model::promotion::field::given;
use crate::model::promotion::field::label;
use crate::model::promotion::field::link;
use crate::model::promotion::field::moment;
use crate::model::promotion::field::name;
use crate::model::promotion::field::name_of;
use crate::model::promotion::field::next_day;
use crate::model::promotion::field::number;
use crate::model::promotion::field::once;
use crate::model::promotion::field::shown_end;
use crate::model::promotion::field::shown_start;
use crate::model::promotion::field::slots;
use crate::model::promotion::field::span;
use crate::model::promotion::field::word;
use crate::model::schedule::duration_text;
use crate::text::quote::shown;

/// How long a post of a promotion stays worth sending if nothing is said: as for routes.
const GOOD_FOR: &str = "6h";

/// A promotion as it was written; an empty field was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// The name.
    pub name: String,
    /// The wordings.
    pub texts: Vec<String>,
    /// The accounts, with commas between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub accounts: String,
    /// One moment: `2026-12-01T09:00`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub once: String,
    /// A cron line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cron: String,
    /// Times of day, with commas between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub slots: String,
    /// The first day, or moment.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The last day, or the moment at which it ends.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub until: String,
    /// Days of the week, with commas between.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub days: String,
    /// The most firings on one day.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub per_day: String,
    /// The most firings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub in_all: String,
    /// The smallest distance between two.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub distance: String,
    /// Where it leads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub link: String,
    /// The word that marks paid content.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// How long a post stays worth sending.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub good_for: String,
    /// skip, once or catch_up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub misfire: String,
    /// never or always.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub review: String,
}

/// A field of a [`Wish`] that is one text: its name in tables and options, its name in Thai tables, and its place.
#[derive(Debug)]
pub struct Column {
    /// The name.
    pub name: &'static str,
    /// The name in Thai, also taken.
    pub thai: &'static str,
    /// Its place in a wish.
    pub place: fn(&mut Wish) -> &mut String,
}

/// The columns but for the texts, in the order of a table.
pub const COLUMNS: &[Column] = &[
    Column { name: "name", thai: "ชื่อ", place: |wish| &mut wish.name },
    Column { name: "accounts", thai: "บัญชี", place: |wish| &mut wish.accounts },
    Column { name: "once", thai: "ครั้งเดียว", place: |wish| &mut wish.once },
    Column { name: "cron", thai: "ตาราง", place: |wish| &mut wish.cron },
    Column { name: "slots", thai: "เวลา", place: |wish| &mut wish.slots },
    Column { name: "from", thai: "ตั้งแต่", place: |wish| &mut wish.from },
    Column { name: "until", thai: "ถึง", place: |wish| &mut wish.until },
    Column { name: "days", thai: "วัน", place: |wish| &mut wish.days },
    Column { name: "per_day", thai: "ต่อวัน", place: |wish| &mut wish.per_day },
    Column { name: "in_all", thai: "ทั้งหมด", place: |wish| &mut wish.in_all },
    Column { name: "distance", thai: "ห่างกัน", place: |wish| &mut wish.distance },
    Column { name: "link", thai: "ลิงก์", place: |wish| &mut wish.link },
    Column { name: "label", thai: "ป้าย", place: |wish| &mut wish.label },
    Column { name: "good_for", thai: "ใช้ได้นาน", place: |wish| &mut wish.good_for },
    Column { name: "misfire", thai: "ถ้าพลาดเวลา", place: |wish| &mut wish.misfire },
    Column { name: "review", thai: "ตรวจ", place: |wish| &mut wish.review },
];

/// The column of the text at `index`: `text`, `text_2`, `text_3` …
pub fn text_column(index: usize) -> String {
    if index == 0 { "text".to_owned() } else { format!("text_{}", index + 1) }
}

/// What is wrong in one column, for the command line and for editors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column}: {text}")]
pub struct Fault {
    /// The column.
    pub column: String,
    /// What is wrong, and the cure.
    pub text: String,
    /// The same in Thai.
    pub thai: String,
}

impl Fault {
    /// A fault in `column`.
    pub fn new(column: &str, text: impl Into<String>, thai: impl Into<String>) -> Fault {
        Fault { column: column.to_owned(), text: text.into(), thai: thai.into() }
    }
}

impl Wish {
    /// Reads the wish; times of day are of `tz`.
    ///
    /// # Errors
    /// All faults, in the order of the columns.
    pub fn read(&self, tz: Tz) -> Result<Promotion, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut note = |fault| faults.push(fault);
        let name = keep(name(&self.name), &mut note);
        let texts: Vec<String> = self.texts.iter().map(|text| text.trim().to_owned()).collect();
        let texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            note(Fault::new("text", "is empty; write what the promotion says", "ว่างอยู่ ใส่ข้อความของโปรโมชัน"));
        }
        let accounts = keep(accounts(&self.accounts), &mut note);
        let plan = keep(self.plan(tz), &mut note);
        let from = keep(moment("from", &self.from, tz), &mut note).flatten();
        let until = keep(moment("until", &self.until, tz), &mut note).flatten();
        let days = keep(days(&self.days), &mut note);
        let per_day = keep(number("per_day", &self.per_day), &mut note);
        let in_all = keep(number("in_all", &self.in_all), &mut note);
        let distance = keep(span("distance", &self.distance), &mut note);
        let link = keep(link(&self.link), &mut note);
        let label = keep(label(&self.label), &mut note);
        let good_for =
            keep(span("good_for", if given(&self.good_for) { &self.good_for } else { GOOD_FOR }), &mut note);
        let misfire = keep(word("misfire", &self.misfire, MISFIRES), &mut note);
        let review = keep(word("review", &self.review, REVIEWS), &mut note);
        let from = from.map(|from| from.wall);
        // A day as the end is a part of the campaign.
        let until =
            until.and_then(|until| if until.is_day { next_day(until.wall) } else { Some(until.wall) });
        if let (Some(from), Some(until)) = (from, until)
            && until <= from
        {
            let text = format!(
                "{} lies before the start {}; let it end later",
                shown(&self.until),
                shown(&self.from)
            );
            let thai = format!("{} อยู่ก่อนวันเริ่ม {} แก้ให้จบหลังเริ่ม", shown(&self.until), shown(&self.from));
            note(Fault::new("until", text, thai));
        }
        let read = || {
            Some(Promotion {
                name: name?,
                texts,
                accounts: accounts?,
                link: link?,
                label: label?,
                plan: plan?,
                window: Window { from, until, days: days? },
                limits: Limits { per_day: per_day?, in_all: in_all?, distance: distance? },
                good_for: good_for??,
                misfire: misfire?,
                review: review?,
            })
        };
        match read() {
            Some(promotion) if faults.is_empty() => Ok(promotion),
            _ => Err(faults),
        }
    }

    fn plan(&self, tz: Tz) -> Result<Plan, Fault> {
        match (given(&self.once), given(&self.cron), given(&self.slots)) {
            (true, false, false) => once(&self.once, tz),
            (false, true, false) => cron(&self.cron),
            (false, false, true) => slots(&self.slots),
            (false, false, false) => Err(Fault::new(
                "once",
                "no time is given; give one of once, cron and slots",
                "ยังไม่ได้บอกเวลา ใส่ once, cron หรือ slots อย่างใดอย่างหนึ่ง",
            )),
            _ => Err(Fault::new(
                "once",
                "more than one of once, cron and slots is given; keep one",
                "ใส่ once, cron และ slots ได้เพียงอย่างเดียว เหลือไว้อย่างเดียว",
            )),
        }
    }
}

impl Promotion {
    /// The promotion as it is stored and exported; reading it gives the same promotion.
    pub fn wish(&self, tz: Tz) -> Wish {
        let or_empty = |text: Option<String>| text.unwrap_or_default();
        let mut wish = Wish {
            name: self.name.clone(),
            texts: self.texts.clone(),
            accounts: self.accounts.join(","),
            from: or_empty(self.window.from.map(shown_start)),
            until: or_empty(self.window.until.map(shown_end)),
            per_day: or_empty(self.limits.per_day.map(|most| most.to_string())),
            in_all: or_empty(self.limits.in_all.map(|most| most.to_string())),
            distance: or_empty(self.limits.distance.map(duration_text)),
            link: or_empty(self.link.clone()),
            label: or_empty(self.label.clone()),
            good_for: duration_text(self.good_for),
            misfire: name_of(MISFIRES, self.misfire),
            review: name_of(REVIEWS, self.review),
            ..Wish::default()
        };
        match &self.plan {
            Plan::Once(at) => wish.once = at.with_timezone(&tz).to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Plan::Cron(cron) => wish.cron = cron.to_string(),
            Plan::Slots(slots) => {
                let times: Vec<String> =
                    slots.times().iter().map(|time| time.format("%H:%M").to_string()).collect();
                wish.slots = times.join(",");
            }
        }
        if self.window.days != WeekdaySet::ALL {
            let days: Vec<&str> = self
                .window
                .days
                .iter(Weekday::Mon)
                .map(|day| DAYS[day.num_days_from_monday() as usize].0)
                .collect();
            wish.days = days.join(",");
        }
        wish
    }

    /// Why it would never go out after `now`; `None` if it will.
    pub fn never_fires(&self, now: DateTime<Utc>, tz: Tz) -> Option<Fault> {
        if self.next_after(now, tz).is_some() {
            return None;
        }
        let over = self.window.until.is_some_and(|until| until <= now.with_timezone(&tz).naive_local());
        Some(match &self.plan {
            Plan::Once(at) if *at <= now => {
                let shown = at.with_timezone(&tz).format("%Y-%m-%d %H:%M:%S");
                let thai = format!("{shown} ผ่านไปแล้ว ใส่เวลาที่ยังมาไม่ถึง");
                Fault::new("once", format!("{shown} has passed; give a time to come"), thai)
            }
            _ if over => Fault::new(
                "until",
                "the campaign is over already; let it end later",
                "แคมเปญจบไปแล้ว ใส่วันจบที่ยังมาไม่ถึง",
            ),
            plan => {
                let column = match plan {
                    Plan::Once(_) => "once",
                    Plan::Cron(_) => "cron",
                    Plan::Slots(_) => "slots",
                };
                Fault::new(
                    column,
                    "it would never go out: no such time lies between start and end on the days given",
                    "จะไม่ได้ออกเลย: ไม่มีเวลานี้ในวันที่เลือกระหว่างเริ่มกับจบ",
                )
            }
        })
    }
}

/// The value, or the fault noted.
fn keep<T>(read: Result<T, Fault>, note: &mut impl FnMut(Fault)) -> Option<T> {
    read.map_err(note).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::NaiveDate;
    use chrono::NaiveTime;
    use chrono_tz::Asia::Bangkok;
    use proptest::prelude::*;

    use super::*;

    fn wish() -> Wish {
        Wish {
            name: "ลดราคา".into(),
            texts: vec!["ลดทั้งร้าน".into()],
            accounts: "page,line".into(),
            slots: "09:00".into(),
            ..Wish::default()
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-22T03:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Wish), column: &str, part: &str, thai: &str) {
        let mut wish = wish();
        change(&mut wish);
        let faults = match wish.read(Bangkok) {
            Ok(promotion) => promotion.never_fires(now(), Bangkok).into_iter().collect(),
            Err(faults) => faults,
        };
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!(fault.column, column);
        assert!(fault.text.contains(part) && fault.thai.contains(thai), "{fault:?}");
    }

    #[test]
    fn each_fault_is_told_with_its_column_in_both_languages() {
        check(|it| it.name = "-x".into(), "name", "no name", "ใช้เป็นชื่อไม่ได้");
        check(|it| it.texts = vec![" ".into()], "text", "empty", "ว่าง");
        check(|it| it.accounts = " ".into(), "accounts", "no account", "ยังไม่ได้เลือกบัญชี");
        check(|it| it.accounts = "a,a".into(), "accounts", "twice", "ซ้ำ");
        check(|it| it.slots = "".into(), "once", "no time is given", "ยังไม่ได้บอกเวลา");
        check(|it| it.cron = "0 9 * * *".into(), "once", "more than one", "เพียงอย่างเดียว");
        check(|it| it.slots = "25:00".into(), "slots", "no time of day", "ไม่ใช่เวลา");
        check(|it| it.from = "31/2/2569".into(), "from", "is no time", "อ่านเป็นวันเวลาไม่ได้");
        check(|it| it.days = "mon,xyz".into(), "days", "\"xyz\"", "ไม่ใช่วันในสัปดาห์");
        check(|it| it.per_day = "0".into(), "per_day", "from 1 on", "ตั้งแต่ 1");
        check(|it| it.in_all = "-3".into(), "in_all", "from 1 on", "ตั้งแต่ 1");
        check(|it| it.distance = "2 hours".into(), "distance", "no duration", "ไม่ใช่ระยะเวลา");
        check(|it| it.link = "www.example.com".into(), "link", "no address", "ไม่ใช่ลิงก์");
        check(|it| it.label = "สอง\nบรรทัด".into(), "label", "one line", "บรรทัดเดียว");
        check(|it| it.good_for = "0s".into(), "good_for", "no duration", "ไม่ใช่ระยะเวลา");
        check(|it| it.misfire = "never".into(), "misfire", "skip", "ไม่รู้จัก");
        check(|it| it.review = "sometimes".into(), "review", "always", "ไม่รู้จัก");
    }

    #[test]
    fn what_would_never_go_out_is_refused() {
        let cron =
            |line: &'static str| move |it: &mut Wish| (it.slots, it.cron) = (String::new(), line.into());
        check(cron("0 9 30 2 *"), "cron", "never fires", "ไม่มีวันนี้ในปฏิทิน");
        check(cron("99 9 * * *"), "cron", "no minute", "ห้าช่อง");
        let once = |at: &'static str| move |it: &mut Wish| (it.slots, it.once) = (String::new(), at.into());
        check(once("2026-11-22T09:59"), "once", "has passed", "ผ่านไปแล้ว");
        check(once("2026-11-23"), "once", "no time of day", "ไม่มีเวลา");
        check(|it| it.until = "2026-11-21".into(), "until", "is over", "จบไปแล้ว");
        check(
            |it| (it.from, it.until) = ("2026-12-02".into(), "2026-12-01".into()),
            "until",
            "before the start",
            "อยู่ก่อนวันเริ่ม",
        );
        // 2026-12-01 is a Tuesday.
        check(
            |it| (it.from, it.until, it.days) = ("2026-12-01".into(), "2026-12-01".into(), "mon".into()),
            "slots",
            "never go out",
            "จะไม่ได้ออกเลย",
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let bad = Wish { name: String::new(), days: "x".into(), per_day: "y".into(), ..wish() };
        let columns: Vec<String> = bad.read(Bangkok).unwrap_err().into_iter().map(|it| it.column).collect();
        assert_eq!(columns, ["name", "days", "per_day"]);
    }

    #[test]
    fn days_and_moments_are_read_as_thai_tables_write_them() {
        let read = |wish: Wish| wish.read(Bangkok).unwrap();
        let same = [
            ("2026-12-01", "2026-12-31"),
            ("1/12/2026", "31/12/2569"),
            ("2569-12-01", "2026-12-31"),
            ("2026-12-01 00:00", "1/1/2570 0:00"),
            ("2026-11-30T17:00:00Z", "2027-01-01T00:00:00+07:00"),
        ];
        for (from, until) in same {
            let wish = read(Wish { from: from.into(), until: until.into(), ..wish() }).wish(Bangkok);
            assert_eq!(
                (wish.from.as_str(), wish.until.as_str()),
                ("2026-12-01", "2026-12-31"),
                "{from} {until}"
            );
        }
        for days in ["mon-wed,sun", "จันทร์ อังคาร พุธ อาทิตย์", "sun-wed", "Monday;tue|WED;อา."]
        {
            assert_eq!(
                read(Wish { days: days.into(), ..wish() }).wish(Bangkok).days,
                "mon,tue,wed,sun",
                "{days}"
            );
        }
        let slots = read(Wish { slots: "18:30 9:00".into(), ..wish() });
        assert_eq!(slots.wish(Bangkok).slots, "09:00,18:30");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let wish = wish().read(Bangkok).unwrap().wish(Bangkok);
        assert_eq!(
            (wish.good_for.as_str(), wish.misfire.as_str(), wish.review.as_str()),
            ("6h", "once", "never")
        );
        assert_eq!((wish.days.as_str(), wish.from.as_str()), ("", ""));
    }

    proptest! {
        #[test]
        fn a_written_promotion_reads_back_the_same(
            second in 0..4_000_000_000i64, nanos in prop::sample::select(vec![0, 250_000_000u32]),
            minutes in prop::option::of(0..1_000_000i64), length in 1..1_000_000i64, days in 1..128u8,
            per_day in prop::option::of(1..9u32), distance in prop::option::of(1..100_000u64),
        ) {
            let from = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_time(NaiveTime::MIN);
            let from = minutes.map(|minutes| from + chrono::TimeDelta::minutes(minutes));
            let chosen = (0..7u8).filter(|bit| days & (1 << bit) != 0).map(|bit| Weekday::try_from(bit).unwrap());
            let promotion = Promotion {
                plan: Plan::Once(DateTime::from_timestamp(second, nanos).unwrap()),
                window: Window {
                    from,
                    until: from.map(|from| from + chrono::TimeDelta::minutes(length)),
                    days: chosen.collect(),
                },
                limits: Limits { per_day, in_all: None, distance: distance.map(Duration::from_secs) },
                ..wish().read(Bangkok).unwrap()
            };
            let written = promotion.wish(Bangkok);
            prop_assert_eq!(written.read(Bangkok).unwrap(), promotion.clone());
            let json = serde_json::to_string(&written).unwrap();
            prop_assert_eq!(serde_json::from_str::<Wish>(&json).unwrap(), written);
        }

        #[test]
        fn no_text_breaks_the_reading(text in "\\PC{0,30}", column in 0..16usize) {
            let mut wish = wish();
            *(COLUMNS[column].place)(&mut wish) = text;
            if let Ok(promotion) = wish.read(Bangkok) {
                promotion.never_fires(now(), Bangkok);
            }
        }
    }
}
