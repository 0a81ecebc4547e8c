//! Fault: what goes wrong on a fake platform, when, and how often.
//!
//! Whether a chance fault strikes is a pure function of (seed, kind, platform, item, attempt): the same run
//! meets the same faults, whatever the order in which requests arrive.

use std::collections::HashMap;

use serde::Deserialize;
use serde::Serialize;

use crate::model::account::Platform;
use crate::model::hash;

/// What goes wrong. "Accept" means that the post is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The connection closes (FIN) without an answer; nothing is accepted.
    DropBeforeAccept,
    /// The connection is reset (RST) without an answer; nothing is accepted.
    Reset,
    /// No answer ever comes; nothing is accepted.
    StallBeforeAccept,
    /// The platform's own 500; nothing is accepted.
    #[serde(rename = "error_500")]
    Error500,
    /// The platform's own 503; nothing is accepted.
    #[serde(rename = "error_503")]
    Error503,
    /// The platform's own rate-limit answer; nothing is accepted.
    #[serde(rename = "error_429")]
    Error429,
    /// The platform says that the token is dead.
    Unauthorized,
    /// The month's quota (LINE), the credit (X) or the Page's call budget (Facebook) is used up.
    OutOfBudget,
    /// A 307 to the same address with a mark in its query; following it would post.
    RedirectOnPost,
    /// Nothing happens until the client gives up; `ms` later the post is accepted all the same.
    LateAccept,
    /// Accepted; then the connection closes (FIN) without an answer.
    AcceptThenDrop,
    /// Accepted; then the connection is reset (RST) without an answer.
    AcceptThenReset,
    /// Accepted; the answer is a 500.
    #[serde(rename = "accept_then_500")]
    AcceptThen500,
    /// Accepted; the answer is a gateway's 502 page in HTML.
    #[serde(rename = "accept_then_502_html")]
    AcceptThen502Html,
    /// Accepted; the answer is a 200 whose body is no JSON.
    #[serde(rename = "accept_then_garbage_200")]
    AcceptThenGarbage200,
    /// Accepted; half of the answer's body arrives, then the connection breaks.
    AcceptThenHalfBody,
    /// Accepted; the answer comes `ms` later.
    Slow,
    /// Accepted; no answer ever comes.
    Stall,
    /// Accepted; a success without the post's id.
    #[serde(rename = "200_without_id")]
    WithoutId,
    /// Accepted; the answer's JSON is 64 MiB long.
    HugeBody,
    /// A list leaves out every post younger than `ms`, with a 200 as if all were well.
    LyingReadback,
}

/// Which requests a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Making, editing or deleting a post.
    Publish,
    /// Reading posts back.
    Read,
    /// Issuing or refreshing a token.
    Token,
    /// What helps but is not needed: scrape, validate, quota, insight, profile.
    Aid,
    /// Every request.
    Any,
}

/// A fault, armed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Where; `None` is everywhere.
    pub platform: Option<Platform>,
    /// What.
    pub kind: Kind,
    /// On which requests.
    pub on: Scope,
    /// How often at most; `None` is for ever.
    pub times: Option<u32>,
    /// With which chance each request is struck, 0 to 1.
    pub probability: f64,
    /// What the chance depends on.
    pub seed: u64,
    /// The fault's span in milliseconds, where it has one.
    pub ms: u64,
}

/// How long `slow` waits, `late_accept` lags and `lying_readback` hides when nobody says.
pub const DEFAULT_MS: u64 = 5_000;

impl Fault {
    /// One strike of `kind` on the next request it fits.
    pub fn once(platform: Platform, kind: Kind) -> Fault {
        let on = if kind == Kind::LyingReadback { Scope::Read } else { Scope::Publish };
        Fault {
            platform: Some(platform),
            kind,
            on,
            times: Some(1),
            probability: 1.0,
            seed: 0,
            ms: DEFAULT_MS,
        }
    }

    /// Struck this many times instead.
    #[must_use]
    pub fn times(self, times: u32) -> Fault {
        Fault { times: Some(times), ..self }
    }

    /// Struck until faults are cleared.
    #[must_use]
    pub fn forever(self) -> Fault {
        Fault { times: None, ..self }
    }

    /// Struck for ever with a chance that `seed` decides.
    #[must_use]
    pub fn with_chance(self, probability: f64, seed: u64) -> Fault {
        Fault { probability, seed, times: None, ..self }
    }

    /// Struck on other requests.
    #[must_use]
    pub fn on(self, on: Scope) -> Fault {
        Fault { on, ..self }
    }

    /// With another span.
    #[must_use]
    pub fn ms(self, ms: u64) -> Fault {
        Fault { ms, ..self }
    }

    fn fits(&self, platform: Platform, scope: Scope) -> bool {
        self.platform.is_none_or(|its| its == platform) && (self.on == Scope::Any || self.on == scope)
    }

    fn strikes(&self, platform: Platform, item: &str, attempt: u32) -> bool {
        if self.probability >= 1.0 {
            return true;
        }
        let text = format!("{}/{:?}/{platform}/{item}/{attempt}", self.seed, self.kind);
        chance(&text) < self.probability
    }
}

/// The armed faults, in the order they were armed; the first that strikes wins.
#[derive(Debug, Default)]
pub struct Plan {
    armed: Vec<Fault>,
    attempts: HashMap<(Platform, String), u32>,
}

impl Plan {
    /// Arms one more fault.
    pub fn arm(&mut self, fault: Fault) {
        self.armed.push(fault);
    }

    /// Disarms all of them.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// What is armed.
    pub fn armed(&self) -> &[Fault] {
        &self.armed
    }

    /// The fault that strikes this request, if one does; `item` is what attempts have in common.
    pub fn pick(&mut self, platform: Platform, scope: Scope, item: String) -> Option<Fault> {
        let attempt = self.attempts.entry((platform, item.clone())).or_default();
        *attempt += 1;
        let attempt = *attempt;
        let at = self.armed.iter().position(|fault| {
            fault.times != Some(0) && fault.fits(platform, scope) && fault.strikes(platform, &item, attempt)
        })?;
        let fault = &mut self.armed[at];
        fault.times = fault.times.map(|left| left - 1);
        let struck = fault.clone();
        self.armed.retain(|fault| fault.times != Some(0));
        Some(struck)
    }
}

/// A number in [0, 1) that is always the same for the same text.
fn chance(text: &str) -> f64 {
    let digits = &hash::sha256_hex(text.as_bytes())[..13];
    // 13 hex digits are 52 bits, which a float holds exactly.
    digits.chars().fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit.to_digit(16).unwrap_or_default()))
        / 16f64.powi(13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_told_and_where_it_fits() {
        let mut plan = Plan::default();
        plan.arm(Fault::once(Platform::X, Kind::Stall).times(2));
        assert_eq!(plan.pick(Platform::Line, Scope::Publish, "a".into()), None);
        assert_eq!(plan.pick(Platform::X, Scope::Read, "a".into()), None);
        assert!(plan.pick(Platform::X, Scope::Publish, "a".into()).is_some());
        assert!(plan.pick(Platform::X, Scope::Publish, "a".into()).is_some());
        assert_eq!(plan.pick(Platform::X, Scope::Publish, "a".into()), None);
    }

    #[test]
    fn a_chance_fault_depends_on_the_item_and_not_on_the_order() {
        let strikes = |order: &[&str]| {
            let mut plan = Plan::default();
            plan.arm(Fault::once(Platform::Facebook, Kind::Reset).with_chance(0.5, 7));
            let mut struck: Vec<String> = Vec::new();
            for item in order {
                if plan.pick(Platform::Facebook, Scope::Publish, (*item).into()).is_some() {
                    struck.push((*item).to_owned());
                }
            }
            struck.sort();
            struck
        };
        let forth = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mut back = forth;
        back.reverse();
        let struck = strikes(&forth);
        assert_eq!(struck, strikes(&back));
        assert!(!struck.is_empty() && struck.len() < forth.len(), "{struck:?}");
    }

    #[test]
    fn a_chance_is_near_its_probability() {
        let fault = Fault::once(Platform::X, Kind::Stall).with_chance(0.2, 1);
        let hits = (0..5000).filter(|n| fault.strikes(Platform::X, &n.to_string(), 1)).count();
        assert!((850..1150).contains(&hits), "{hits}");
    }

    #[test]
    fn every_kind_is_written_as_the_control_call_writes_it() {
        for name in ["accept_then_502_html", "200_without_id", "error_429", "drop_before_accept"] {
            let kind: Kind = serde_json::from_value(name.into()).unwrap();
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
        }
    }
}
