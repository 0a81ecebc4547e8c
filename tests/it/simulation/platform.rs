//! Platform: a service that takes posts and tells the truth about it only sometimes.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use songkhao::clock;
use songkhao::model::attempt::Receipt;
use songkhao::model::attempt::SendError;
use songkhao::model::readback::Recent;
use songkhao::model::readback::RemotePost;

use crate::dice::Dice;

/// How a service treats repeats, and how it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Takes everything and can be read back (Facebook).
    Plain,
    /// Refuses the same text for half an hour (X with its filter on).
    Filtering,
    /// Recognises a repeat by its key for 24 hours; can't be read back (LINE).
    Keyed,
}

/// LINE's memory for keys; X's filter is reported to hold for 30 to 60 minutes (reliability.md section 2).
const KEY_MEMORY: Duration = Duration::from_secs(24 * 3600);
const FILTER_MEMORY: Duration = Duration::from_secs(30 * 60);

/// A post that readers see.
#[derive(Debug, Clone)]
pub struct Post {
    pub id: String,
    /// Which delivery it came from: what its link tells in the real world.
    pub delivery: usize,
    pub key: u64,
    pub accepted_at: DateTime<Utc>,
    /// When lists begin to show it.
    pub listed_at: DateTime<Utc>,
}

/// What the platform does with one request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// What the client learns, unless it gives up before.
    pub answer: Result<Receipt, SendError>,
    /// How long the answer takes.
    pub after: Duration,
    /// The request is still in the pipes and may be accepted so much later.
    pub accepts_after: Option<Duration>,
}

#[derive(Debug)]
pub struct Platform {
    pub kind: Kind,
    pub posts: Vec<Post>,
    /// Nothing answers before this moment.
    pub out_until: DateTime<Utc>,
    /// The credential is refused until then.
    pub locked_until: DateTime<Utc>,
    /// The longest a list lags or lies.
    pub lag: Duration,
    /// The longest a request may be accepted after the client gave up.
    pub limbo: Duration,
    pub timeout: Duration,
}

fn reason(words: &str) -> String {
    words.to_owned()
}

impl Platform {
    /// Answers one publishing request. `poisoned` posts break its rules.
    pub fn publish(
        &mut self,
        dice: &mut Dice,
        now: DateTime<Utc>,
        (delivery, key, poisoned): (usize, u64, bool),
        calm: bool,
    ) -> Reply {
        let millis =
            |dice: &mut Dice, most: Duration| Duration::from_millis(dice.below(most.as_millis() as u64 + 1));
        let plain = |answer, after| Reply { answer, after, accepts_after: None };
        let soon = Duration::from_millis(200);
        let unconfirmed = |words: &str| Err(SendError::Unconfirmed { reason: reason(words) });
        if now < self.out_until {
            let after = millis(dice, Duration::from_secs(5));
            return plain(Err(SendError::Unreachable { reason: reason("refused") }), after);
        }
        if now < self.locked_until {
            return plain(Err(SendError::Unauthorized { reason: reason("token") }), soon);
        }
        if poisoned {
            return plain(Err(SendError::Rejected { reason: reason("rules") }), soon);
        }
        if calm {
            return plain(self.accept(dice, now, delivery, key), soon);
        }
        let timeout = self.timeout;
        match dice.below(100) {
            0..40 => {
                let after = millis(dice, Duration::from_secs(3));
                plain(self.accept(dice, now, delivery, key), after)
            }
            40..47 => plain(Err(SendError::Unreachable { reason: reason("reset") }), millis(dice, soon)),
            47..58 => {
                // Accepted, and the answer is lost, broken, a 500 or garbage.
                let after = millis(dice, timeout);
                match self.accept(dice, now, delivery, key) {
                    Err(refused) => plain(Err(refused), after),
                    Ok(_) => plain(unconfirmed("lost"), after),
                }
            }
            58..64 => {
                // Accepted; the answer may come after the client gave up.
                let after = millis(dice, timeout + Duration::from_secs(30));
                plain(self.accept(dice, now, delivery, key), after)
            }
            64..71 => plain(unconfirmed("500"), millis(dice, timeout)),
            71..84 => {
                let accepts_after = Some(millis(dice, timeout + self.limbo));
                Reply { answer: unconfirmed("silence"), after: timeout, accepts_after }
            }
            84..90 => {
                let wait = dice.chance(500).then(|| millis(dice, Duration::from_secs(600)));
                plain(Err(SendError::RateLimited { retry_after: wait, reason: reason("429") }), soon)
            }
            90..94 => {
                // Mostly minutes; now and then longer than LINE remembers a key.
                let most = if dice.chance(50) { 30 * 3600 } else { 1_800 };
                self.locked_until = now + clock::span(Duration::from_secs(dice.below(most)));
                plain(Err(SendError::Unauthorized { reason: reason("token") }), soon)
            }
            94..96 => plain(Err(SendError::OutOfBudget { reason: reason("quota") }), soon),
            _ => {
                self.out_until = now + clock::span(Duration::from_secs(dice.below(900)));
                plain(Err(SendError::Unreachable { reason: reason("down") }), soon)
            }
        }
    }

    /// Makes the post, unless the platform recognises a repeat.
    pub fn accept(
        &mut self,
        dice: &mut Dice,
        now: DateTime<Utc>,
        delivery: usize,
        key: u64,
    ) -> Result<Receipt, SendError> {
        let known = self.posts.iter().find(|post| match self.kind {
            Kind::Plain => false,
            Kind::Filtering => {
                post.delivery == delivery && now - post.accepted_at < clock::span(FILTER_MEMORY)
            }
            Kind::Keyed => post.key == key && now - post.accepted_at < clock::span(KEY_MEMORY),
        });
        let receipt = |id: &str| Receipt { remote_id: id.to_owned(), permalink: None };
        if let Some(known) = known {
            return match self.kind {
                Kind::Keyed => Ok(receipt(&known.id)),
                _ => Err(SendError::Duplicate { reason: reason("duplicate") }),
            };
        }
        let id = format!("p{}-{delivery}", self.posts.len());
        let lag = Duration::from_millis(dice.below(self.lag.as_millis() as u64 / 2 + 1));
        let listed_at = now + clock::span(lag);
        self.posts.push(Post { id: id.clone(), delivery, key, accepted_at: now, listed_at });
        Ok(receipt(&id))
    }

    /// Shows the recent posts, sometimes as they were a while ago, or says why not. `offset` is its clock minus the
    /// caller's, in seconds.
    pub fn recent(
        &self,
        dice: &mut Dice,
        now: DateTime<Utc>,
        offset: i64,
        calm: bool,
    ) -> Result<Recent, SendError> {
        if now < self.out_until {
            return Err(SendError::Unreachable { reason: reason("refused") });
        }
        if now < self.locked_until {
            return Err(SendError::Unauthorized { reason: reason("token") });
        }
        let mut shown_until = now;
        let mut complete = true;
        if !calm {
            match dice.below(100) {
                0..10 => return Err(SendError::Unconfirmed { reason: reason("garbage") }),
                10..14 => return Err(SendError::RateLimited { retry_after: None, reason: reason("429") }),
                14..18 => return Err(SendError::Unreachable { reason: reason("reset") }),
                18..35 => {
                    let lie = Duration::from_millis(dice.below(self.lag.as_millis() as u64 / 2 + 1));
                    shown_until = now - clock::span(lie);
                }
                35..38 => complete = false,
                _ => {}
            }
        }
        let shown =
            self.posts.iter().filter(|post| post.listed_at <= shown_until && post.accepted_at <= shown_until);
        let posts = shown.map(|post| RemotePost {
            remote_id: post.id.clone(),
            permalink: None,
            text: String::new(),
            links: vec![link(post.delivery)],
            created_at: post.accepted_at,
            application: None,
        });
        Ok(Recent { posts: posts.collect(), clock_offset: Some(offset), complete })
    }

    /// Whether a read shows that the credential works.
    pub fn probe(&self, now: DateTime<Utc>) -> bool {
        now >= self.out_until && now >= self.locked_until
    }
}

/// The link of a delivery's article.
pub fn link(delivery: usize) -> String {
    format!("https://news.example/{delivery}")
}
