//! Moment: dates and times as pages show them, in the newsroom's zone and era.

use chrono::DateTime;
use chrono::Datelike;
use chrono::SecondsFormat;
use chrono::TimeDelta;
use chrono::Timelike;
use chrono::Utc;
use chrono_tz::Tz;

use crate::config::Config;
use crate::config::service::Era;
use crate::web::words::Lang;
use crate::web::words::fill;

const THAI_MONTHS: [&str; 12] =
    ["ม.ค.", "ก.พ.", "มี.ค.", "เม.ย.", "พ.ค.", "มิ.ย.", "ก.ค.", "ส.ค.", "ก.ย.", "ต.ค.", "พ.ย.", "ธ.ค."];
const ENGLISH_MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How a page writes moments.
#[derive(Debug, Clone, Copy)]
pub struct Calendar {
    zone: Tz,
    era: Era,
    lang: Lang,
    now: DateTime<Utc>,
}

/// A moment, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// For the machine: RFC 3339.
    pub iso: String,
    /// `14:05` today, else `22 พ.ย. 2569 14:05`.
    pub at: String,
    /// `อีก 5 นาที`, `3 ชม.ที่แล้ว`.
    pub distance: String,
}

impl Calendar {
    /// As configured, seen from `now`. English pages count by the common era, whatever the house style of posts.
    pub fn new(config: &Config, lang: Lang, now: DateTime<Utc>) -> Calendar {
        let era = if lang == Lang::English { Era::Ce } else { config.style.era };
        Calendar { zone: config.timezone, era, lang, now }
    }

    /// The zone it writes in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Writes a moment.
    pub fn moment(&self, at: DateTime<Utc>) -> Moment {
        Moment {
            iso: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            at: self.at(at),
            distance: self.distance(at),
        }
    }

    /// The first moment of today.
    pub fn midnight(&self) -> DateTime<Utc> {
        let local = self.now.with_timezone(&self.zone);
        self.now - TimeDelta::seconds(i64::from(local.num_seconds_from_midnight()))
    }

    fn at(&self, at: DateTime<Utc>) -> String {
        let (local, today) = (at.with_timezone(&self.zone), self.now.with_timezone(&self.zone));
        let clock = format!("{:02}:{:02}", local.hour(), local.minute());
        if local.date_naive() == today.date_naive() {
            return clock;
        }
        let months = if self.lang == Lang::Thai { THAI_MONTHS } else { ENGLISH_MONTHS };
        let year = match self.era {
            Era::Be => local.year() + 543,
            Era::Ce => local.year(),
        };
        format!("{} {} {year} {clock}", local.day(), months[local.month0() as usize])
    }

    fn distance(&self, at: DateTime<Utc>) -> String {
        let t = self.lang.words();
        let seconds = (at - self.now).num_seconds();
        let (minutes, hours, days) = (seconds.abs() / 60, seconds.abs() / 3600, seconds.abs() / 86_400);
        match (seconds > 0, seconds.abs()) {
            (true, 0..=99) => fill(t.in_seconds, &[&seconds]),
            (true, ..3600) => fill(t.in_minutes, &[&minutes]),
            (true, ..172_800) if minutes % 60 == 0 => fill(t.in_hours, &[&hours]),
            (true, ..172_800) => fill(t.in_hours_minutes, &[&hours, &(minutes % 60)]),
            (true, _) => fill(t.in_days, &[&days]),
            (false, 0) => t.now.to_owned(),
            (false, ..60) => t.ago_seconds.to_owned(),
            (false, ..3600) => fill(t.ago_minutes, &[&minutes]),
            (false, ..172_800) => fill(t.ago_hours, &[&hours]),
            (false, _) => fill(t.ago_days, &[&days]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(lang: Lang) -> Calendar {
        Calendar::new(&Config::default(), lang, "2026-11-22T16:30:00Z".parse().unwrap())
    }

    #[track_caller]
    fn check(at: &str, thai: &str, distance: &str, english: &str) {
        let moment = calendar(Lang::Thai).moment(at.parse().unwrap());
        assert_eq!((moment.at.as_str(), moment.distance.as_str()), (thai, distance));
        assert_eq!(calendar(Lang::English).moment(at.parse().unwrap()).at, english);
    }

    #[test]
    fn moments_are_written_in_the_newsrooms_zone_and_era() {
        check("2026-11-22T16:30:00Z", "23:30", "ตอนนี้", "23:30");
        check("2026-11-22T16:31:30Z", "23:31", "อีก 90 วินาที", "23:31");
        check("2026-11-22T17:05:00Z", "23 พ.ย. 2569 00:05", "อีก 35 นาที", "23 Nov 2026 00:05");
        check("2026-11-23T02:45:00Z", "23 พ.ย. 2569 09:45", "อีก 10 ชม. 15 นาที", "23 Nov 2026 09:45");
        check("2026-11-22T22:30:30Z", "23 พ.ย. 2569 05:30", "อีก 6 ชม.", "23 Nov 2026 05:30");
        check("2026-11-22T16:29:30Z", "23:29", "เมื่อสักครู่", "23:29");
        check("2026-11-22T14:29:00Z", "21:29", "2 ชม.ที่แล้ว", "21:29");
        check("2025-12-31T17:00:00Z", "1 ม.ค. 2569 00:00", "325 วันที่แล้ว", "1 Jan 2026 00:00");
    }

    #[test]
    fn today_begins_at_midnight_in_the_newsroom() {
        let midnight = calendar(Lang::Thai).midnight();
        assert_eq!(midnight, "2026-11-21T17:00:00Z".parse::<DateTime<Utc>>().unwrap());
    }
}
