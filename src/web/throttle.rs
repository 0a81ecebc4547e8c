//! Throttle: counts tries to sign in, by name and by address.
//!
//! Each has a bucket of tries that fills up again with time. Kept in memory: a restart forgives, a second node counts
//! for itself, and both only double what a guesser gets.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

/// How many tries a bucket holds and how long one takes to come back.
#[derive(Debug, Clone, Copy)]
struct Pace {
    tries: i32,
    refill: TimeDelta,
}

/// By name: ten at once, then two a minute: 3,000 a day against a password of eight characters.
const BY_NAME: Pace = Pace { tries: 10, refill: TimeDelta::seconds(30) };

/// By address: a newsroom behind one address signs in at nine in the morning.
const BY_ADDRESS: Pace = Pace { tries: 40, refill: TimeDelta::seconds(6) };

/// The most buckets that are remembered; the fullest are forgotten first.
const MOST: usize = 10_000;

/// The tries made lately.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<String, Bucket>>);

/// When the bucket will be full again: later means emptier.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: DateTime<Utc>,
}

impl Throttle {
    /// Takes a try for a name from a network.
    ///
    /// # Errors
    /// How many seconds to wait, when there is none left for either; nothing is taken then.
    pub fn take(&self, name: &str, network: &str, now: DateTime<Utc>) -> Result<(), i64> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            forget(&mut buckets, now);
        }
        let keys = [(format!("name {name}"), BY_NAME), (format!("address {network}"), BY_ADDRESS)];
        let wait = keys.iter().filter_map(|(key, pace)| pace.wait(buckets.get(key), now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for (key, pace) in keys {
            let full_at = buckets.get(&key).map_or(now, |bucket| bucket.full_at.max(now)) + pace.refill;
            buckets.insert(key, Bucket { full_at });
        }
        Ok(())
    }

    /// Gives a name its tries back: the right password came. The address keeps its count.
    pub fn forgive(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&format!("name {name}"));
    }
}

impl Pace {
    /// Seconds until a try is there again; `None` when there is one.
    fn wait(self, bucket: Option<&Bucket>, now: DateTime<Utc>) -> Option<i64> {
        let free_at = bucket?.full_at - self.refill * (self.tries - 1);
        (free_at > now).then(|| (free_at - now).num_seconds() + 1)
    }
}

fn forget(buckets: &mut HashMap<String, Bucket>, now: DateTime<Utc>) {
    buckets.retain(|_, bucket| bucket.full_at > now);
    if buckets.len() >= MOST {
        let mut ends: Vec<DateTime<Utc>> = buckets.values().map(|bucket| bucket.full_at).collect();
        let (_, &mut middle, _) = ends.select_nth_unstable(MOST / 2);
        buckets.retain(|_, bucket| bucket.full_at > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_name_has_ten_tries_and_then_two_a_minute() {
        let throttle = Throttle::default();
        for network in 0..10 {
            assert_eq!(throttle.take("a", &network.to_string(), at(0)), Ok(()));
        }
        assert_eq!(throttle.take("a", "10", at(0)), Err(31));
        assert_eq!(throttle.take("b", "10", at(0)), Ok(()));
        assert_eq!(throttle.take("a", "10", at(30)), Ok(()));
        assert!(throttle.take("a", "10", at(31)).is_err());
    }

    #[test]
    fn an_address_has_forty_tries_whatever_the_names() {
        let throttle = Throttle::default();
        for name in 0..40 {
            assert_eq!(throttle.take(&name.to_string(), "x", at(0)), Ok(()));
        }
        assert!(throttle.take("new", "x", at(0)).is_err());
        assert_eq!(throttle.take("new", "y", at(0)), Ok(()));
    }

    #[test]
    fn the_right_password_gives_a_name_its_tries_back() {
        let throttle = Throttle::default();
        for _ in 0..10 {
            throttle.take("a", "x", at(0)).unwrap();
        }
        throttle.forgive("a");
        assert_eq!(throttle.take("a", "x", at(0)), Ok(()));
    }

    #[test]
    fn a_flood_of_names_is_forgotten_in_parts() {
        let throttle = Throttle::default();
        for name in 0..i64::try_from(MOST).unwrap() {
            assert!(throttle.take(&name.to_string(), &name.to_string(), at(name / 1000)).is_ok());
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST + 2);
    }
}
