//! Renewal: random lives of a token whose nodes crash, sleep and overtake each other at every point.
//!
//! The store is real, the platform a toy that knows X's rule: a refresh token works once, and takes the pair before it
//! with it. Each seed is a life; one that fails is a life to be kept as a test of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use songkhao::model::account::Platform;
use songkhao::model::audit::Actor;
use songkhao::model::token::Action;
use songkhao::model::token::RefreshError;
use songkhao::model::token::State;
use songkhao::model::transition::Policy;
use songkhao::secret::ExposeSecret;
use songkhao::secret::Grant;
use songkhao::secret::Keys;
use songkhao::store::account;
use songkhao::store::audit::Stamp;
use songkhao::store::db::Db;
use songkhao::store::token;
use songkhao::store::token::Claimed;
use songkhao::store::token::Origin;

use crate::dice::Dice;

/// How many lives every run lives unless `SONGKHAO_RENEWALS` says otherwise, and how long each is, in moments.
const LIVES: u64 = 40;
const MOMENTS: u64 = 50;

/// How long a renewal may take; some moments are longer.
const LEASE: Duration = Duration::from_secs(120);

/// X, as far as its tokens go.
#[derive(Default)]
struct X {
    newest: u64,
    spent: BTreeMap<String, Vec<bool>>,
}

impl X {
    fn grant(&self) -> Grant {
        Grant {
            access: format!("access-{}", self.newest).into(),
            refresh: Some(format!("refresh-{}", self.newest).into()),
            scopes: Vec::new(),
            // Due for renewal at every moment.
            life: Some(Duration::from_secs(1)),
        }
    }

    fn present(&mut self, refresh: &str) -> Result<Grant, RefreshError> {
        let granted = refresh == format!("refresh-{}", self.newest);
        self.spent.entry(refresh.to_owned()).or_default().push(granted);
        if !granted {
            return Err(RefreshError::Refused { reason: "invalid_request".into() });
        }
        self.newest += 1;
        Ok(self.grant())
    }
}

/// A renewal under way on a node.
struct Flight {
    node: usize,
    claimed: Claimed,
    answer: Option<Result<Grant, RefreshError>>,
}

struct World {
    db: Db,
    keys: Keys,
    now: DateTime<Utc>,
    boots: [u64; 2],
    x: X,
    flights: Vec<Flight>,
    given_up: Option<String>,
}

impl World {
    fn stamp(&self, node: usize) -> Stamp {
        Stamp { at: self.now, node: format!("node-{node}"), actor: Actor::step("refresh") }
    }

    async fn connect(&mut self) {
        // A person's sign-in makes a pair of its own.
        self.x.newest += 1;
        let (stamp, grant) = (self.stamp(0), self.x.grant());
        token::keep(&self.db, &self.keys, &stamp, "x", Origin::Connected, &grant, None).await.unwrap();
        self.given_up = None;
    }

    async fn claim(&mut self, node: usize) {
        let (stamp, boot) = (self.stamp(node), format!("boot-{}", self.boots[node]));
        let claimed = token::claim(&self.db, &self.keys, &stamp, "x", &boot, LEASE, &policy()).await.unwrap();
        self.flights.extend(claimed.map(|claimed| Flight { node, claimed, answer: None }));
    }

    async fn present(&mut self, at: usize, dice: &mut Dice) {
        let flight = &mut self.flights[at];
        if flight.answer.is_some() {
            return;
        }
        if !token::is_held(&self.db, &flight.claimed).await.unwrap() {
            flight.answer = Some(Err(RefreshError::NotSpent { retry_after: None, reason: "lease".into() }));
            return;
        }
        let refresh = flight.claimed.refresh.as_ref().unwrap().expose_secret().to_owned();
        assert_ne!(self.given_up.as_ref(), Some(&refresh), "presented after it was given up");
        let reason = || "w".to_owned();
        flight.answer = Some(match dice.below(10) {
            0 => Err(RefreshError::NotSpent { retry_after: None, reason: reason() }),
            1 => Err(RefreshError::Unknown { reason: reason() }),
            2 => Err(RefreshError::App { reason: reason() }),
            3 | 4 => self.x.present(&refresh).and(Err(RefreshError::Unknown { reason: reason() })),
            _ => self.x.present(&refresh),
        });
    }

    async fn record(&mut self, at: usize) {
        let Flight { node, claimed, answer } = self.flights.swap_remove(at);
        let Some(answer) = answer else { return };
        let stamp = self.stamp(node);
        let before = token::find(&self.db, "x").await.unwrap().unwrap();
        let recorded = token::record(&self.db, &self.keys, &stamp, &claimed, &answer, &policy(), 1.0).await;
        let after = token::find(&self.db, "x").await.unwrap().unwrap();
        assert!(after.generation >= before.generation);
        match recorded.unwrap() {
            Some(Action::GiveUp { doubt }) => {
                let refresh = claimed.refresh.unwrap().expose_secret().to_owned();
                assert!(!self.x.spent[&refresh].is_empty(), "given up without a word from the platform");
                assert!(doubt, "nobody revoked it, so an answer was lost");
                self.given_up = Some(refresh);
            }
            Some(Action::Keep) => self.given_up = None,
            _ => {}
        }
    }

    /// One thing happens.
    async fn moment(&mut self, dice: &mut Dice) {
        // Now and then long enough for every lease and pause to end.
        self.now += TimeDelta::seconds(dice.pick(&[1, 1, 1, 1, 1, 1, 1, 5, 20, 1000]));
        match dice.below(20) {
            0 => {
                let node = dice.pick(&[0, 1]);
                self.boots[node] += 1;
                self.flights.retain(|flight| flight.node != node);
            }
            1..=6 => self.claim(dice.pick(&[0, 1])).await,
            7..=12 if !self.flights.is_empty() => {
                let at = usize::try_from(dice.below(self.flights.len() as u64)).unwrap();
                self.present(at, dice).await;
            }
            13..=18 if !self.flights.is_empty() => {
                let at = usize::try_from(dice.below(self.flights.len() as u64)).unwrap();
                if self.flights[at].answer.is_some() {
                    self.record(at).await;
                }
            }
            19 if self.given_up.is_some() && self.flights.is_empty() => self.connect().await,
            _ => {}
        }
        self.check().await;
    }

    async fn check(&self) {
        let stored = token::find(&self.db, "x").await.unwrap().unwrap();
        for (refresh, answers) in &self.x.spent {
            assert!(answers.iter().filter(|granted| **granted).count() <= 1, "{refresh} worked twice");
        }
        let newest =
            stored.access(&self.keys).unwrap().expose_secret() == format!("access-{}", self.x.newest);
        let paused = account::find(&self.db, "x").await.unwrap().unwrap().pause;
        match stored.facts.state {
            State::Lost => {
                assert!(!newest, "given up while the stored token was good");
                assert_eq!(paused.as_deref(), Some("auth"), "nobody is asked to connect it");
            }
            // Without doubt there is none: what is stored is what the platform takes.
            State::Good if stored.facts.presented == 0 => assert!(newest, "{stored:?}"),
            State::Good | State::Refreshing => {}
        }
    }

    /// After everything is calm the account goes on, or a person is asked.
    async fn settle(&mut self) {
        self.boots = self.boots.map(|boot| boot + 1);
        self.flights.clear();
        for _ in 0..2 {
            self.now += TimeDelta::seconds(2000);
            self.claim(0).await;
            if let Some(flight) = self.flights.last_mut() {
                let refresh = flight.claimed.refresh.as_ref().unwrap().expose_secret();
                flight.answer = Some(self.x.present(refresh));
                self.record(0).await;
            }
        }
        self.check().await;
        let stored = token::find(&self.db, "x").await.unwrap().unwrap();
        assert!(matches!(stored.facts.state, State::Good | State::Lost), "{stored:?}");
    }
}

fn policy() -> Policy {
    Policy {
        retry_base: Duration::from_secs(2),
        retry_cap: Duration::from_secs(900),
        timeout: Duration::from_secs(45),
        confirm_after: Duration::from_secs(90),
        recognises_repeats: false,
        can_read_back: true,
        circuit_after: 5,
    }
}

#[tokio::test]
async fn whatever_happens_a_token_is_given_up_only_when_its_pair_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = BTreeMap::new();
    let lives = std::env::var("SONGKHAO_RENEWALS").map_or(LIVES, |lives| lives.parse().unwrap());
    for seed in 0..lives {
        let mut dice = Dice::new(seed);
        let now: DateTime<Utc> = "2026-11-22T19:00:00Z".parse().unwrap();
        let url = format!("sqlite:{}", folder.path().join(format!("{seed}.db")).display());
        let db = Db::open(&url, now).await.unwrap();
        account::ensure(&db, &[("x".to_owned(), Platform::X)]).await.unwrap();
        let keys = Keys::derive(&[7; 32]).unwrap();
        let x = X::default();
        let mut world = World { db, keys, now, boots: [0; 2], x, flights: Vec::new(), given_up: None };
        println!("seed {seed}");
        world.connect().await;
        for _ in 0..MOMENTS {
            world.moment(&mut dice).await;
        }
        world.settle().await;
        let stored = token::find(&world.db, "x").await.unwrap().unwrap();
        *ends.entry(stored.facts.state.name()).or_insert(0) += 1;
        world.db.close().await;
    }
    // Both ends were met, or the lives prove nothing.
    assert!(ends.len() == 2, "{ends:?}");
    println!("{lives} lives: {ends:?}");
}
