//! Field: reads one field of a wish and says what is wrong with it.
//!
//! Days are read as Thai spreadsheets write them: day before month, and years of the Buddhist era too.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday, WeekdaySet};
use chrono_tz::Tz;
use url::Url;

use crate::model::cron::Cron;
use crate::model::cron::first_instant;
use crate::model::promotion::Plan;
use crate::model::promotion::Review;
use crate::model::promotion::wish::Fault;
use crate::model::schedule::Misfire;
use crate::model::schedule::Slots;
use crate::model::schedule::duration;
use crate::model::schedule::time_of_day;
use crate::text::quote::shown;

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;
/// The longest label, in characters.
const LONGEST_LABEL: usize = 60;
/// From this year on a year is of the Buddhist era, which is 543 ahead.
const BUDDHIST: i32 = 2400;

pub(super) fn given(text: &str) -> bool {
    !text.trim().is_empty()
}

/// The items of a list, however they are parted.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || ",;|".contains(c)).filter(|item| !item.is_empty())
}

pub(super) fn name(text: &str) -> Result<String, Fault> {
    let name = text.trim();
    let good = (1..=LONGEST_NAME).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && !name.starts_with('-');
    good.then(|| name.to_owned()).ok_or_else(|| {
        Fault::new(
            "name",
            format!(
                "{} is no name; use 1 to {LONGEST_NAME} characters on one line, not beginning with `-`",
                shown(name)
            ),
            format!("{} ใช้เป็นชื่อไม่ได้ ใช้ 1 ถึง {LONGEST_NAME} ตัวอักษรในบรรทัดเดียว และไม่ขึ้นต้นด้วย -", shown(name)),
        )
    })
}

pub(super) fn accounts(text: &str) -> Result<Vec<String>, Fault> {
    let mut accounts: Vec<String> = Vec::new();
    for name in items(text) {
        if accounts.iter().any(|known| known == name) {
            let thai = format!("บัญชี {} ซ้ำ เอาออกหนึ่งที่", shown(name));
            return Err(Fault::new(
                "accounts",
                format!("{} stands there twice; take one out", shown(name)),
                thai,
            ));
        }
        accounts.push(name.to_owned());
    }
    if accounts.is_empty() {
        return Err(Fault::new("accounts", "names no account; name one", "ยังไม่ได้เลือกบัญชี ใส่อย่างน้อยหนึ่งบัญชี"));
    }
    Ok(accounts)
}

pub(super) fn once(text: &str, tz: Tz) -> Result<Plan, Fault> {
    let Some(moment) = moment("once", text, tz)? else { return Err(no_moment("once", text)) };
    if moment.is_day {
        return Err(Fault::new(
            "once",
            format!("{} has no time of day; write it as \"2026-12-01T09:00\"", shown(text)),
            format!("{} ไม่มีเวลา เขียนแบบ 2026-12-01 09:00", shown(text)),
        ));
    }
    let at = moment.instant.or_else(|| first_instant(moment.wall, tz));
    at.map(Plan::Once).ok_or_else(|| no_moment("once", text))
}

pub(super) fn cron(text: &str) -> Result<Plan, Fault> {
    text.parse::<Cron>().map(Plan::Cron).map_err(|fault| {
        let thai = if fault.contains("never fires") {
            format!("{} ไม่มีวันถึงเวลา เพราะไม่มีวันนี้ในปฏิทิน", shown(text))
        } else {
            format!(
                "{} อ่านไม่ได้ เขียนห้าช่อง: นาที ชั่วโมง วันที่ เดือน วันในสัปดาห์ (0 คืออาทิตย์) เช่น 0 9 * * 1-5 ({fault})",
                shown(text)
            )
        };
        Fault::new("cron", fault, thai)
    })
}

pub(super) fn slots(text: &str) -> Result<Plan, Fault> {
    let mut times = Vec::new();
    for item in items(text) {
        // Tables lose the zero in front: 9:00.
        let padded = if item.len() == 4 { format!("0{item}") } else { item.to_owned() };
        times.push(time_of_day(&padded).map_err(|fault| {
            Fault::new(
                "slots",
                fault,
                format!("{} ไม่ใช่เวลา เขียนชั่วโมงกับนาที 00:00 ถึง 23:59 เช่น 09:00,18:30", shown(item)),
            )
        })?);
    }
    Slots::new(times)
        .map(Plan::Slots)
        .map_err(|fault| Fault::new("slots", fault, "ไม่มีเวลาเลย เขียนแบบ 09:00,18:30"))
}

/// A day, or a moment on the wall clock; with an offset also an instant.
pub(super) struct Moment {
    pub(super) wall: NaiveDateTime,
    pub(super) is_day: bool,
    pub(super) instant: Option<DateTime<Utc>>,
}

pub(super) fn no_moment(column: &str, text: &str) -> Fault {
    Fault::new(
        column,
        format!(
            "{} is no time; write \"2026-12-01\", \"2026-12-01T09:00\" or \"1/12/2569 9:00\"",
            shown(text)
        ),
        format!(
            "{} อ่านเป็นวันเวลาไม่ได้ เขียนแบบ 2026-12-01 หรือ 2026-12-01 09:00 หรือ 1/12/2569 9:00",
            shown(text)
        ),
    )
}

pub(super) fn moment(column: &str, text: &str, tz: Tz) -> Result<Option<Moment>, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let wall = at.with_timezone(&tz).naive_local();
        return Ok(Some(Moment { wall, is_day: false, instant: Some(at.to_utc()) }));
    }
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, Some(time.trim())),
        None => (text, None),
    };
    let read = || {
        let day = self::day(day)?;
        let time = time.map(|time| {
            NaiveTime::parse_from_str(time, "%H:%M:%S%.f")
                .or_else(|_| NaiveTime::parse_from_str(time, "%H:%M"))
        });
        let wall = day.and_time(time.unwrap_or(Ok(NaiveTime::MIN)).ok()?);
        Some(Moment { wall, is_day: time.is_none(), instant: None })
    };
    read().map(Some).ok_or_else(|| no_moment(column, text))
}

/// A day as `2026-12-01` or, as tables write it, `1/12/2026`; years of the Buddhist era too.
fn day(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split(['-', '/']).map(|part| part.parse::<i32>().ok());
    let (first, second, third) = (parts.next()??, parts.next()??, parts.next()??);
    let (year, month, day) = if text.contains('/') { (third, second, first) } else { (first, second, third) };
    if parts.next().is_some() || !(1_000..=9_999).contains(&year) {
        return None;
    }
    let year = if year >= BUDDHIST { year - 543 } else { year };
    NaiveDate::from_ymd_opt(year, month.try_into().ok()?, day.try_into().ok()?)
}

pub(super) fn next_day(wall: NaiveDateTime) -> Option<NaiveDateTime> {
    Some(wall.date().succ_opt()?.and_time(NaiveTime::MIN))
}

pub(super) fn shown_start(wall: NaiveDateTime) -> String {
    if wall.time() == NaiveTime::MIN { wall.date().to_string() } else { shown_wall(wall) }
}

/// The end as people say it: the last day, where it is one's midnight.
pub(super) fn shown_end(wall: NaiveDateTime) -> String {
    match wall.date().pred_opt() {
        Some(day) if wall.time() == NaiveTime::MIN => day.to_string(),
        _ => shown_wall(wall),
    }
}

fn shown_wall(wall: NaiveDateTime) -> String {
    wall.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

/// The days of a week from Monday on: the name that is written, and what else is read.
pub(super) const DAYS: [(&str, &[&str]); 7] = [
    ("mon", &["monday", "จันทร์", "จ."]),
    ("tue", &["tuesday", "อังคาร", "อ."]),
    ("wed", &["wednesday", "พุธ", "พ."]),
    ("thu", &["thursday", "พฤหัสบดี", "พฤหัส", "พฤ."]),
    ("fri", &["friday", "ศุกร์", "ศ."]),
    ("sat", &["saturday", "เสาร์", "ส."]),
    ("sun", &["sunday", "อาทิตย์", "อา."]),
];

pub(super) fn days(text: &str) -> Result<WeekdaySet, Fault> {
    let mut days = WeekdaySet::EMPTY;
    for item in items(text) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (Some(first), Some(last)) = (weekday(first), weekday(last)) else {
            return Err(Fault::new(
                "days",
                format!(
                    "{} is no day of the week; write mon,tue,wed,thu,fri,sat,sun or mon-fri",
                    shown(item)
                ),
                format!("{} ไม่ใช่วันในสัปดาห์ เขียนแบบ mon,wed,fri หรือ mon-fri หรือ จันทร์,พุธ", shown(item)),
            ));
        };
        let mut day = first;
        days.insert(day);
        while day != last {
            day = day.succ();
            days.insert(day);
        }
    }
    Ok(if days.is_empty() { WeekdaySet::ALL } else { days })
}

fn weekday(text: &str) -> Option<Weekday> {
    let text = text.to_lowercase();
    let place = DAYS.iter().position(|(name, more)| text == *name || more.contains(&text.as_str()))?;
    Weekday::try_from(u8::try_from(place).ok()?).ok()
}

pub(super) fn number(column: &str, text: &str) -> Result<Option<u32>, Fault> {
    if !given(text) {
        return Ok(None);
    }
    let plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    match text.trim().parse() {
        Ok(number) if plain && number > 0 => Ok(Some(number)),
        _ => Err(Fault::new(
            column,
            format!("{} is no number from 1 on; leave it out for no limit", shown(text)),
            format!("{} ไม่ใช่จำนวนตั้งแต่ 1 ขึ้นไป ถ้าไม่จำกัดให้เว้นว่าง", shown(text)),
        )),
    }
}

pub(super) fn span(column: &str, text: &str) -> Result<Option<Duration>, Fault> {
    if !given(text) {
        return Ok(None);
    }
    match duration(text.trim()) {
        Some(span) if !span.is_zero() => Ok(Some(span)),
        _ => Err(Fault::new(
            column,
            format!("{} is no duration; write \"90s\", \"30m\", \"2h\" or \"7d\"", shown(text)),
            format!("{} ไม่ใช่ระยะเวลา เขียนแบบ 30m (นาที) 2h (ชั่วโมง) 7d (วัน)", shown(text)),
        )),
    }
}

pub(super) fn link(text: &str) -> Result<Option<String>, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && !text.contains(char::is_whitespace) => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(Fault::new(
            "link",
            format!("{} is no address; give a whole one, with https://", shown(text)),
            format!("{} ไม่ใช่ลิงก์ ใส่ให้ครบ ขึ้นต้นด้วย https://", shown(text)),
        )),
    }
}

pub(super) fn label(text: &str) -> Result<Option<String>, Fault> {
    let label = text.trim();
    if label.is_empty() {
        return Ok(None);
    }
    let good = label.chars().count() <= LONGEST_LABEL && !label.chars().any(char::is_control);
    good.then(|| Some(label.to_owned())).ok_or_else(|| {
        Fault::new(
            "label",
            format!("a label has one line of at most {LONGEST_LABEL} characters, such as \"โฆษณา\""),
            format!("ป้ายต้องเป็นบรรทัดเดียว ไม่เกิน {LONGEST_LABEL} ตัวอักษร เช่น โฆษณา"),
        )
    })
}

/// The words for what happens to missed moments; the first holds if nothing is said.
pub(super) const MISFIRES: &[(&str, Misfire)] =
    &[("once", Misfire::Once), ("skip", Misfire::Skip), ("catch_up", Misfire::CatchUp)];

/// The words for who looks; the first holds if nothing is said.
pub(super) const REVIEWS: &[(&str, Review)] = &[("never", Review::Never), ("always", Review::Always)];

pub(super) fn word<T: Copy>(column: &str, text: &str, words: &[(&str, T)]) -> Result<T, Fault> {
    let text = text.trim();
    let known = words.iter().find(|(word, _)| *word == text).or(words.first().filter(|_| text.is_empty()));
    known.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let all = all.join(", ");
        Fault::new(
            column,
            format!("{} isn't known; there are {all}", shown(text)),
            format!("ไม่รู้จัก {} ใช้ได้: {all}", shown(text)),
        )
    })
}

pub(super) fn name_of<T: PartialEq>(words: &[(&str, T)], value: T) -> String {
    words.iter().find(|(_, known)| *known == value).map_or_else(String::new, |(word, _)| (*word).to_owned())
}
