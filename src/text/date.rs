//! Date: writes dates and times as Thai readers expect them.
//!
//! House style chooses the era and the digits (design.md, section 8).

use chrono::DateTime;
use chrono::Datelike;
use chrono::TimeZone;
use chrono::Timelike;

use crate::text::normal;
use crate::text::table;

/// How many years the Buddhist era is ahead.
pub const BUDDHIST_ERA: i32 = 543;

/// The weekdays from Monday.
const WEEKDAYS: [&str; 7] = ["จันทร์", "อังคาร", "พุธ", "พฤหัสบดี", "ศุกร์", "เสาร์", "อาทิตย์"];

/// Which years are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// พ.ศ.
    #[default]
    Buddhist,
    /// ค.ศ.
    Common,
}

/// Which digits are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digits {
    /// 0–9.
    #[default]
    Arabic,
    /// ๐–๙.
    Thai,
}

/// How a date is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Which years are counted.
    pub era: Era,
    /// Which digits are written.
    pub digits: Digits,
    /// Whether months are short (ก.พ.) and years have two digits.
    pub short: bool,
    /// Whether the weekday stands in front (วันพุธที่ …).
    pub weekday: bool,
    /// Whether the time follows (10.30 น.).
    pub time: bool,
}

/// A date in Thai, in the zone it carries: `22 กุมภาพันธ์ 2566`, `22 ก.พ. 66 10.30 น.`.
pub fn thai_date<Tz: TimeZone>(moment: &DateTime<Tz>, style: Style) -> String {
    let year = match style.era {
        Era::Buddhist => moment.year() + BUDDHIST_ERA,
        Era::Common => moment.year(),
    };
    let [full, short] = table::MONTHS[moment.month0() as usize];
    let date = match style.short {
        true => format!("{} {short} {:02}", moment.day(), year.rem_euclid(100)),
        false => format!("{} {full} {year}", moment.day()),
    };
    let weekday = WEEKDAYS[moment.weekday().num_days_from_monday() as usize];
    let date = if style.weekday { format!("วัน{weekday}ที่ {date}") } else { date };
    let text = if style.time { format!("{date} {}", clock(moment)) } else { date };
    written(&text, style.digits)
}

/// A time of day in Thai: `10.30 น.`.
pub fn thai_time<Tz: TimeZone>(moment: &DateTime<Tz>, digits: Digits) -> String {
    written(&clock(moment), digits)
}

fn clock<Tz: TimeZone>(moment: &DateTime<Tz>) -> String {
    format!("{:02}.{:02} น.", moment.hour(), moment.minute())
}

fn written(text: &str, digits: Digits) -> String {
    match digits {
        Digits::Arabic => text.to_owned(),
        Digits::Thai => normal::thai_digits(text),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use chrono_tz::Asia::Bangkok;

    use super::*;

    #[track_caller]
    fn check(style: Style, expected: &str) {
        let moment =
            Utc.with_ymd_and_hms(2023, 2, 22, 3, 30, 0).single().expect("a moment").with_timezone(&Bangkok);
        assert_eq!(thai_date(&moment, style), expected);
    }

    #[test]
    fn a_date_is_written_in_the_chosen_style() {
        check(Style::default(), "22 กุมภาพันธ์ 2566");
        check(Style { era: Era::Common, weekday: true, ..Style::default() }, "วันพุธที่ 22 กุมภาพันธ์ 2023");
        check(Style { short: true, time: true, ..Style::default() }, "22 ก.พ. 66 10.30 น.");
        check(Style { digits: Digits::Thai, time: true, ..Style::default() }, "๒๒ กุมภาพันธ์ ๒๕๖๖ ๑๐.๓๐ น.");
    }

    #[test]
    fn the_zone_decides_the_day() {
        let late = Utc.with_ymd_and_hms(2023, 12, 31, 18, 0, 0).single().expect("a moment");
        assert_eq!(thai_date(&late, Style::default()), "31 ธันวาคม 2566");
        assert_eq!(thai_date(&late.with_timezone(&Bangkok), Style::default()), "1 มกราคม 2567");
        assert_eq!(thai_time(&late.with_timezone(&Bangkok), Digits::Arabic), "01.00 น.");
    }
}
