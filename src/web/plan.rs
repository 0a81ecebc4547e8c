//! Plan: when what waits will go out, as far as can be told.
//!
//! A forecast for people, by the rules of the claim: one at a time on an account, lane before due time, `min_gap`
//! and quiet hours for all but breaking news. Nothing decides by it.

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;
use chrono_tz::Tz;

use crate::clock;
use crate::model::lane::Lane;
use crate::model::schedule::QuietHours;
use crate::store::listing::Line;

/// What an account lets through.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Nothing but breaking news goes out before.
    pub free_at: DateTime<Utc>,
    /// Nothing at all goes out before; `None`: nobody knows when.
    pub open_at: Option<DateTime<Utc>>,
    /// The least distance between two.
    pub min_gap: Duration,
    /// When only breaking news goes out.
    pub quiet: QuietHours,
}

/// A line with the moment at which it is expected to go out; `None`: nobody can tell.
#[derive(Debug)]
pub struct Planned {
    /// The line.
    pub line: Line,
    /// When it will go out.
    pub at: Option<DateTime<Utc>>,
}

/// Tells when each line will go out, in that order; what nobody can tell comes last.
pub fn plan(lines: Vec<Line>, passes: &HashMap<String, Pass>, zone: Tz, now: DateTime<Utc>) -> Vec<Planned> {
    let mut by_account: HashMap<String, Vec<Line>> = HashMap::new();
    for line in lines {
        by_account.entry(line.account.clone()).or_default().push(line);
    }
    let mut planned = Vec::new();
    for (account, lines) in by_account {
        match passes.get(&account) {
            Some(pass) => queue(lines, pass, zone, now, &mut planned),
            None => planned.extend(lines.into_iter().map(|line| Planned { line, at: None })),
        }
    }
    planned.sort_by(|a, b| {
        let key = |it: &Planned| (it.at.is_none(), it.at.unwrap_or(it.line.due), it.line.post.len());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.line.post.cmp(&b.line.post))
            .then_with(|| a.line.account.cmp(&b.line.account))
    });
    planned
}

/// One account's queue: whoever has the first lane among those that are due goes next.
fn queue(mut lines: Vec<Line>, pass: &Pass, zone: Tz, now: DateTime<Utc>, planned: &mut Vec<Planned>) {
    let Some(open_at) = pass.open_at else {
        planned.extend(lines.into_iter().map(|line| Planned { line, at: None }));
        return;
    };
    let open_at = open_at.max(now);
    let mut free_at = pass.free_at.max(open_at);
    let mut clock = open_at;
    while !lines.is_empty() {
        let may_go = |line: &Line| {
            if lane(line) == Lane::Breaking {
                return line.due.max(open_at).max(clock);
            }
            let at = line.due.max(free_at).max(clock);
            pass.quiet.end_of_quiet(at, zone).unwrap_or(at)
        };
        let next = lines
            .iter()
            .enumerate()
            .map(|(index, line)| (may_go(line), lane(line), line.due, index))
            .min()
            .map_or((clock, 0), |(at, _, _, index)| (at, index));
        let (at, index) = next;
        let line = lines.swap_remove(index);
        clock = at;
        free_at = at + clock::span(pass.min_gap);
        planned.push(Planned { line, at: Some(at) });
    }
}

fn lane(line: &Line) -> Lane {
    line.lane.parse().unwrap_or(Lane::Normal)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-22T03:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn line(post: &str, lane: Lane, due: i64) -> Line {
        Line {
            post: post.into(),
            delivery: None,
            act: None,
            account: "a".into(),
            platform: "x".into(),
            lane: lane.name().into(),
            state: "scheduled".into(),
            due: at(due),
            good_until: None,
            article: None,
            title: None,
            article_url: None,
            text: String::new(),
            remote_id: None,
            permalink: None,
            attempts: 0,
            reason: None,
        }
    }

    fn pass() -> Pass {
        Pass {
            free_at: at(0),
            open_at: Some(at(0)),
            min_gap: Duration::from_secs(600),
            quiet: QuietHours::default(),
        }
    }

    #[track_caller]
    fn check(lines: &[(&str, Lane, i64)], pass: Pass, expected: &[(&str, Option<i64>)]) {
        let lines = lines.iter().map(|&(post, lane, due)| line(post, lane, due)).collect();
        let planned = plan(lines, &HashMap::from([("a".into(), pass)]), chrono_tz::Asia::Bangkok, at(0));
        let found: Vec<_> = planned
            .iter()
            .map(|it| (it.line.post.as_str(), it.at.map(|at_| (at_ - at(0)).num_minutes())))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn posts_keep_their_distance_and_breaking_news_does_not() {
        use Lane::Breaking;
        use Lane::Normal;
        use Lane::Promotion;
        check(
            &[("1", Normal, -5), ("2", Normal, -4), ("3", Breaking, 3)],
            pass(),
            &[("1", Some(0)), ("3", Some(3)), ("2", Some(13))],
        );
        check(&[("1", Promotion, -5), ("2", Normal, -4)], pass(), &[("2", Some(0)), ("1", Some(10))]);
    }

    #[test]
    fn nothing_goes_out_in_a_pause() {
        let paused = Pass { open_at: Some(at(30)), ..pass() };
        check(
            &[("1", Lane::Breaking, 0), ("2", Lane::Normal, 40)],
            paused,
            &[("1", Some(30)), ("2", Some(40))],
        );
        let unknown = Pass { open_at: None, ..pass() };
        check(&[("1", Lane::Breaking, 0)], unknown, &[("1", None)]);
    }

    #[test]
    fn quiet_hours_are_waited_out() {
        let hours = "09:00-11:00".parse().unwrap();
        let quiet = Pass { quiet: QuietHours::new(vec![hours]).unwrap(), ..pass() };
        // 03:00 UTC is 10:00 in Bangkok.
        check(&[("1", Lane::Normal, 0), ("2", Lane::Breaking, 0)], quiet, &[("2", Some(0)), ("1", Some(60))]);
    }
}
