//! World: nodes, platforms, a person and time, moved on by one event after another.
//!
//! Everything that happens follows from the seed. Until `calm` anything may go wrong; after it nothing does, and what
//! still moves must come to its end.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::HashSet;
use std::time::Duration;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;

use songkhao::clock;
use songkhao::model::attempt::Receipt;
use songkhao::model::attempt::SendError;
use songkhao::model::delivery::Facts;
use songkhao::model::delivery::State;
use songkhao::model::readback;
use songkhao::model::readback::NewestKnown;
use songkhao::model::readback::Sought;
use songkhao::model::transition::Event;
use songkhao::model::transition::Look;
use songkhao::model::transition::Policy;
use songkhao::model::transition::Resolution;

use crate::dice::Dice;
use crate::simulation::platform;
use crate::simulation::platform::Kind;
use crate::simulation::platform::Platform;
use crate::simulation::store::Account;
use crate::simulation::store::Claimed;
use crate::simulation::store::Row;
use crate::simulation::store::Stamp;
use crate::simulation::store::Store;

/// A fault planted into the sender, to show that the simulator would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// Looks come before the platform has made up its mind.
    HastyLooks,
    /// Every platform is believed to recognise repeats.
    RepeatsEverywhere,
    /// The age of the lease is not looked at before a send.
    BlindToTheLease,
    /// The intent is forgotten by a crash, as if it had not been synced.
    ForgetsTheIntent,
    /// An attempt is looked for as if no clock had leapt since.
    TrustsItsClock,
    /// A store that went back is believed to know everything.
    BlindToGaps,
}

const TIMEOUT: Duration = Duration::from_secs(45);
const LEASE: Duration = Duration::from_secs(120);
const CONFIRM_AFTER: Duration = Duration::from_secs(90);
const RETRY_BASE: Duration = Duration::from_secs(2);
const RETRY_CAP: Duration = Duration::from_secs(900);

/// How long lists lag and lie together; with `limbo` below `CONFIRM_AFTER` this is what the settings of design.md
/// section 4 promise to bear, even when the clock is put forward once between two looks.
const LAG: Duration = Duration::from_secs(40);

/// How long things go wrong.
const STORM: TimeDelta = TimeDelta::minutes(40);

/// How long after the storm everything must have its end: longer than any lock-out and any good-until.
const END: TimeDelta = TimeDelta::hours(80);

/// A person looks at parked posts no sooner than this after they last moved: longer than any platform's limbo.
const SECOND_THOUGHT: TimeDelta = TimeDelta::minutes(10);

/// From this seed on two nodes meet a failover; the seeds before keep their stories.
pub const FAILOVERS_FROM: u64 = 5_000;

/// How often, in a thousand, a node dies at each point where it can.
const CRASHES: u64 = 25;

/// The same where most often there is nothing to do.
const CRASHES_IDLE: u64 = 3;

/// What is going to happen.
#[derive(Debug, Clone)]
enum Job {
    /// A node looks for work.
    Wake { node: usize, boot: u64 },
    /// A claimed delivery is about to be sent.
    Send { node: usize, boot: u64, claimed: Claimed, claimed_at: DateTime<Utc> },
    /// The client learns the answer, or gives up.
    Answer { node: usize, boot: u64, claimed: Claimed, answer: Result<Receipt, SendError> },
    /// The result of a send is recorded.
    Record { node: usize, boot: u64, claimed: Claimed, event: Event },
    /// A list was asked for.
    Read { node: usize, boot: u64, claimed: Claimed },
    /// A dead node starts again.
    Start { node: usize },
    /// A request that was in the pipes gets through.
    Accept { account: usize, delivery: usize, key: u64 },
    /// A person does something.
    Person,
    /// Somebody sets a clock, sets or lifts a hold, or stops a process.
    Weather,
    /// The replica stops following; so much later it takes over.
    Lag { takes_over_after: TimeDelta },
    /// It takes over, with what it had.
    Failover { replica: (Vec<Row>, Vec<Account>) },
}

#[derive(Debug)]
struct Node {
    boot: u64,
    alive: bool,
    frozen_until: DateTime<Utc>,
    /// Its wall clock minus the true time.
    offset: TimeDelta,
    sending: HashSet<usize>,
    looking: bool,
}

/// One schedule.
pub struct World {
    dice: Dice,
    now: DateTime<Utc>,
    queue: BinaryHeap<Reverse<(DateTime<Utc>, u64)>>,
    jobs: BTreeMap<u64, Job>,
    count: u64,
    store: Store,
    nodes: Vec<Node>,
    platforms: Vec<Platform>,
    poisoned: Vec<bool>,
    calm: DateTime<Utc>,
    clock_may_leap: bool,
    sabotage: Sabotage,
    faults: Vec<String>,
    told: Option<Vec<String>>,
}

/// How a schedule ended.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// What broke a promise.
    pub faults: Vec<String>,
    /// How many deliveries ended in each state.
    pub states: BTreeMap<&'static str, usize>,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// Runs one schedule; `tell` keeps what happened.
pub fn run(seed: u64, sabotage: Sabotage, tell: bool) -> Outcome {
    let mut world = World::new(seed, sabotage, tell);
    world.run();
    world.judge()
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, tell: bool) -> World {
        let mut dice = Dice::new(seed);
        let start = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_795_000_000);
        let mut world = World {
            now: start,
            queue: BinaryHeap::new(),
            jobs: BTreeMap::new(),
            count: 0,
            store: Store::default(),
            nodes: Vec::new(),
            platforms: Vec::new(),
            poisoned: Vec::new(),
            calm: start + STORM,
            clock_may_leap: true,
            sabotage,
            faults: Vec::new(),
            told: tell.then(Vec::new),
            dice: dice.clone(),
        };
        for kind in [Kind::Plain, Kind::Filtering, Kind::Keyed] {
            world.add_account(&mut dice, kind);
        }
        for _ in 0..dice.between(1, 2) {
            world.nodes.push(Node {
                boot: 0,
                alive: false,
                frozen_until: start,
                offset: TimeDelta::zero(),
                sending: HashSet::new(),
                looking: false,
            });
        }
        for node in 0..world.nodes.len() {
            world.at(TimeDelta::milliseconds(dice.below(2_000) as i64), Job::Start { node });
        }
        for _ in 0..dice.below(6) {
            world.at(TimeDelta::seconds(dice.below(2_400) as i64), Job::Weather);
        }
        for _ in 0..dice.below(6) {
            world.at(TimeDelta::seconds(dice.below(2_400) as i64), Job::Person);
        }
        world.dice = dice;
        if seed >= FAILOVERS_FROM && world.nodes.len() > 1 {
            let mut fate = Dice::new(!seed);
            // A clock that is ahead sends what is not due yet, and a replica that lacks it can't know.
            world.clock_may_leap = false;
            let most = fate.pick(&[1, 10, 120, 900]);
            let takes_over_after = TimeDelta::milliseconds(fate.below(most * 1_000) as i64);
            world.at(TimeDelta::seconds(fate.below(1_400) as i64), Job::Lag { takes_over_after });
        }
        world
    }

    fn add_account(&mut self, dice: &mut Dice, kind: Kind) {
        let account = self.platforms.len();
        self.platforms.push(Platform {
            kind,
            posts: Vec::new(),
            out_until: self.now,
            locked_until: self.now,
            lag: LAG,
            limbo: CONFIRM_AFTER,
            timeout: TIMEOUT,
        });
        let hasty = self.sabotage == Sabotage::HastyLooks;
        let confirm_after = if hasty { Duration::from_secs(5) } else { CONFIRM_AFTER };
        let repeats = kind == Kind::Keyed || self.sabotage == Sabotage::RepeatsEverywhere;
        let policy = Policy {
            retry_base: RETRY_BASE,
            retry_cap: RETRY_CAP,
            timeout: TIMEOUT,
            confirm_after,
            recognises_repeats: repeats,
            can_read_back: kind != Kind::Keyed,
            circuit_after: 5,
        };
        let min_gap = Duration::from_secs(dice.pick(&[0, 0, 30]));
        self.store.accounts.push(Account { policy: Some(policy), min_gap, ..Account::default() });
        for _ in 0..dice.between(1, 4) {
            let due_at = self.now + TimeDelta::seconds(dice.below(900) as i64);
            let good_for = TimeDelta::minutes(dice.pick(&[10, 360, 360, 360, 2_400]));
            self.poisoned.push(dice.chance(20));
            self.store.rows.push(scheduled(account, u8::from(dice.chance(800)), due_at, due_at + good_for));
        }
    }

    /// Adds a job that happens so much later.
    fn at(&mut self, later: TimeDelta, job: Job) {
        self.count += 1;
        self.queue.push(Reverse((self.now + later, self.count)));
        self.jobs.insert(self.count, job);
    }

    fn is_calm(&self) -> bool {
        self.now >= self.calm
    }

    fn tell(&mut self, what: impl FnOnce(&World) -> String) {
        if self.told.is_some() {
            let since = self.now - (self.calm - STORM);
            let line = format!("{:>10.3} {}", since.num_milliseconds() as f64 / 1_000.0, what(self));
            self.told.get_or_insert_default().push(line);
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((moment, number))) = self.queue.pop() {
            self.now = moment.max(self.now);
            let Some(job) = self.jobs.remove(&number) else { continue };
            if self.is_calm() {
                self.store.hold = false;
                self.nodes.iter_mut().for_each(|node| node.frozen_until = node.frozen_until.min(moment));
                if !self.store.is_moving() && !self.jobs.values().any(|job| matches!(job, Job::Accept { .. }))
                {
                    return;
                }
                if self.now > self.calm + END {
                    return;
                }
            }
            self.happen(job);
        }
    }

    fn happen(&mut self, job: Job) {
        if let Some((node, boot)) = job.process() {
            let process = &self.nodes[node];
            if !process.alive || process.boot != boot {
                return;
            }
            if process.frozen_until > self.now {
                let thaw = process.frozen_until - self.now;
                self.at(thaw, job);
                return;
            }
        }
        match job {
            Job::Wake { node, boot } => {
                self.work(node);
                if self.nodes[node].alive && self.nodes[node].boot == boot {
                    self.sleep(node);
                }
            }
            Job::Send { node, claimed, claimed_at, .. } => self.send(node, claimed, claimed_at),
            Job::Answer { node, boot, claimed, answer } => {
                if !self.crashes(node, "after the answer, before recording it") {
                    let later = if self.is_calm() { 1 } else { self.dice.below(3_000) as i64 };
                    let event = Event::Answered(answer);
                    self.at(TimeDelta::milliseconds(later), Job::Record { node, boot, claimed, event });
                }
            }
            Job::Record { node, claimed, event, .. } => self.record(node, &claimed, event),
            Job::Read { node, claimed, .. } => self.read(node, &claimed),
            Job::Start { node } => self.start(node),
            Job::Accept { account, delivery, key } => {
                let made = self.platforms[account].accept(&mut self.dice, self.now, delivery, key);
                self.tell(|_| format!("platform {account} accepts {delivery} late: {made:?}"));
            }
            Job::Person => self.person(),
            Job::Weather => self.weather(),
            Job::Lag { takes_over_after } => {
                let replica = self.store.snapshot();
                self.at(takes_over_after, Job::Failover { replica });
            }
            Job::Failover { replica } => {
                self.tell(|_| "a replica takes over that lacks the newest commits".to_owned());
                if self.sabotage == Sabotage::BlindToGaps {
                    (self.store.rows, self.store.accounts) = replica;
                } else {
                    self.store.lose(replica);
                }
            }
        }
    }

    fn stamp(&self, node: usize) -> Stamp {
        let process = &self.nodes[node];
        let at = self.now + process.offset;
        // One node is SQLite and counts leases on its own clock; two have a database that has one for both.
        let lease_clock = if self.nodes.len() == 1 { at } else { self.now };
        Stamp { at, lease_clock, node, boot: process.boot }
    }

    /// Kills a node now and then; the requests it sent live on.
    fn crashes(&mut self, node: usize, point: &str) -> bool {
        self.crashes_at(CRASHES, node, point)
    }

    fn crashes_at(&mut self, chance: u64, node: usize, point: &str) -> bool {
        if self.is_calm() || !self.dice.chance(chance) {
            return false;
        }
        self.tell(|_| format!("node {node} dies {point}"));
        let process = &mut self.nodes[node];
        process.alive = false;
        process.sending.clear();
        process.looking = false;
        let most = self.dice.pick(&[1_000, 20_000, 400_000]);
        let later = TimeDelta::milliseconds(self.dice.below(most) as i64);
        self.at(later, Job::Start { node });
        true
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].alive {
            return;
        }
        self.nodes[node].alive = true;
        self.nodes[node].boot += 1;
        let boot = self.nodes[node].boot;
        self.tell(|_| format!("node {node} starts"));
        self.at(TimeDelta::milliseconds(1), Job::Wake { node, boot });
    }

    /// Sleeps until something may be due: every second at the latest in the daemon, rarer here, to save time.
    fn sleep(&mut self, node: usize) {
        let stamp = self.stamp(node);
        let longest = if self.is_calm() { TimeDelta::minutes(30) } else { TimeDelta::seconds(20) };
        let next = self.store.next_moment(stamp).map_or(longest, |moment| moment - stamp.at);
        let nap = next.clamp(TimeDelta::milliseconds(50), longest);
        self.at(nap, Job::Wake { node, boot: stamp.boot });
    }

    /// One round of the daemon's loops: release, deliver, reconcile, probe.
    fn work(&mut self, node: usize) {
        let stamp = self.stamp(node);
        let lost = self.store.release_lost(stamp);
        if lost > 0 {
            self.tell(|_| format!("node {node} releases {lost} lost leases"));
        }
        for account in 0..self.platforms.len() {
            if !self.nodes[node].sending.contains(&account) {
                self.claim(node, account);
            }
            if !self.nodes[node].alive {
                return;
            }
        }
        if !self.nodes[node].looking
            && let Some(claimed) = self.store.claim_look(stamp, LEASE)
        {
            self.nodes[node].looking = true;
            let later = TimeDelta::milliseconds(self.dice.below(2_000) as i64);
            self.at(later, Job::Read { node, boot: stamp.boot, claimed });
        }
        for account in self.store.due_probes(stamp.at) {
            if self.platforms[account].probe(self.now) {
                self.store.resume(account);
            } else {
                self.store.postpone_probe(stamp.at, account);
            }
        }
    }

    fn claim(&mut self, node: usize, account: usize) {
        if self.crashes_at(CRASHES_IDLE, node, "before it commits an intent") {
            return;
        }
        let before = (self.sabotage == Sabotage::ForgetsTheIntent).then(|| self.store.rows.clone());
        let stamp = self.stamp(node);
        let Some(claimed) = self.store.claim(stamp, account, LEASE) else { return };
        self.tell(|_| {
            format!("node {node} claims {} on {account}, attempt {}", claimed.row, claimed.attempts)
        });
        if self.crashes(node, "after it committed an intent") {
            return;
        }
        if let Some(before) = before
            && self.dice.chance(50)
        {
            self.store.rows = before;
        }
        self.nodes[node].sending.insert(account);
        // A look for what an editor posted by hand, a busy disk: the send comes a little later, and is it still ours?
        let most = if self.is_calm() { 100 } else { self.dice.pick(&[10, 10, 5_000, 100_000]) };
        let later = TimeDelta::milliseconds(self.dice.below(most) as i64);
        if !self.is_calm() && self.dice.chance(10) {
            self.nodes[node].frozen_until = self.now + TimeDelta::seconds(self.dice.below(300) as i64);
            self.tell(|_| format!("node {node} is stopped for a while"));
        }
        let job = Job::Send { node, boot: stamp.boot, claimed, claimed_at: self.now };
        self.at(later, job);
    }

    fn send(&mut self, node: usize, claimed: Claimed, claimed_at: DateTime<Utc>) {
        let stamp = self.stamp(node);
        let by_wall = stamp.at - claimed.attempt_started_at;
        let elapsed = by_wall.max(self.now - claimed_at);
        let held = self.store.is_held(&claimed);
        let too_old = elapsed + clock::span(TIMEOUT) > clock::span(LEASE);
        if (!held || too_old)
            && !matches!(self.sabotage, Sabotage::BlindToTheLease | Sabotage::ForgetsTheIntent)
        {
            self.tell(|_| format!("node {node} gives {} back unsent", claimed.row));
            let event = Event::NotSent { reason: "the lease was too far gone".to_owned() };
            self.record(node, &claimed, event);
            return;
        }
        self.check_intent(node, &claimed);
        let account = self.store.rows[claimed.row].account;
        let poisoned = self.poisoned[claimed.row];
        let calm = self.is_calm();
        let request = (claimed.row, claimed.retry_key, poisoned);
        let reply = self.platforms[account].publish(&mut self.dice, self.now, request, calm);
        self.tell(|_| format!("node {node} sends {}: {reply:?}", claimed.row));
        if let Some(later) = reply.accepts_after {
            let job = Job::Accept { account, delivery: claimed.row, key: claimed.retry_key };
            self.at(clock::span(later), job);
        }
        if self.crashes(node, "after it sent") {
            return;
        }
        let (answer, after) = if reply.after > TIMEOUT {
            (Err(SendError::Unconfirmed { reason: "time-out".to_owned() }), TIMEOUT)
        } else {
            (reply.answer, reply.after)
        };
        self.at(clock::span(after), Job::Answer { node, boot: stamp.boot, claimed, answer });
    }

    /// No send without a committed intent, and none under a lost lease.
    fn check_intent(&mut self, node: usize, claimed: &Claimed) {
        let row = &self.store.rows[claimed.row];
        let fault = if row.facts.attempts < claimed.attempts {
            "without an intent"
        } else if row.fence != claimed.fence || row.facts.state != State::Sending {
            "under a lost lease"
        } else {
            return;
        };
        self.faults
            .push(format!("{} was sent by node {node} {fault}: it is {}", claimed.row, row.facts.state));
    }

    fn record(&mut self, node: usize, claimed: &Claimed, event: Event) {
        let stamp = self.stamp(node);
        let chance = self.dice.below(1_000) as f64 / 1_000.0;
        self.store.finish(stamp, claimed, event, chance);
        self.tell(|world| format!("node {node} records {}: {}", claimed.row, world.row(claimed.row)));
        let account = self.store.rows[claimed.row].account;
        self.nodes[node].sending.remove(&account);
        if !self.crashes(node, "after it recorded a result") {
            self.work(node);
        }
    }

    /// What `pipeline::reconcile` does with a list.
    fn read(&mut self, node: usize, claimed: &Claimed) {
        self.nodes[node].looking = false;
        if self.crashes(node, "amid a look") {
            return;
        }
        let stamp = self.stamp(node);
        let look = self.look(node, claimed);
        let chance = self.dice.below(1_000) as f64 / 1_000.0;
        self.tell(|_| format!("node {node} looks for {}: {look:?}", claimed.row));
        self.store.apply(stamp, claimed.row, Some(claimed.fence), Event::Looked(look), chance);
        self.tell(|world| {
            format!("node {node} applies its look for {}: {}", claimed.row, world.row(claimed.row))
        });
        self.work(node);
    }

    fn look(&mut self, node: usize, claimed: &Claimed) -> Look {
        let stamp = self.stamp(node);
        let row = &self.store.rows[claimed.row];
        let offset = -self.nodes[node].offset.num_seconds();
        let calm = self.is_calm();
        let recent = match self.platforms[row.account].recent(&mut self.dice, self.now, offset, calm) {
            Ok(recent) => recent,
            Err(error) => return Look::Failed(error),
        };
        let first = row.facts.key_used_at.unwrap_or(row.facts.due_at);
        let since = if self.sabotage == Sabotage::TrustsItsClock { first } else { readback::since(first) };
        let link = platform::link(claimed.row);
        let sought = Sought { link: Some(&link), text: "", attempt_started_at: since };
        let ours: HashSet<String> = self.store.remote_ids(claimed.row).cloned().collect();
        if let Some(post) = readback::find(sought, &recent.posts, &ours, None, offset) {
            return Look::Found(Receipt { remote_id: post.remote_id.clone(), permalink: None });
        }
        let had_its_time = stamp.at - clock::span(CONFIRM_AFTER);
        let newest = self.store.newest_delivered(row.account, claimed.row, had_its_time);
        let newest = newest.and_then(|newest| {
            let published_at = newest.changed_at + TimeDelta::seconds(offset);
            Some(NewestKnown { remote_id: newest.remote_id.as_deref()?, published_at })
        });
        let fresh =
            readback::is_fresh(&recent, newest, u32::try_from(row.facts.looks + 1).unwrap_or(u32::MAX));
        Look::Absent { fresh }
    }

    /// An editor settles what is parked, truthfully, and sends or calls off other things.
    fn person(&mut self) {
        let row = self.dice.below(self.store.rows.len() as u64) as usize;
        let stamp = self.stamp(0);
        let Row { facts, changed_at, account, .. } = self.store.rows[row].clone();
        let posted = self.platforms[account].posts.iter().find(|post| post.delivery == row).cloned();
        let event = match facts.state {
            State::Parked if stamp.at - changed_at < SECOND_THOUGHT => return,
            State::Parked => Event::Resolved(match posted {
                _ if self.dice.chance(200) => Resolution::Drop,
                Some(post) => Resolution::There(Receipt { remote_id: post.id, permalink: None }),
                None => Resolution::Absent,
            }),
            State::Failed | State::Held if self.dice.chance(500) => Event::Retried,
            // What is forgotten is not called off before it was looked for.
            State::Scheduled | State::Failed | State::Held
                if self.dice.chance(100) && !self.store.is_clouded(row) =>
            {
                Event::Cancelled { reason: "a person".to_owned() }
            }
            _ => return,
        };
        self.store.rows[row].dropped = event == Event::Resolved(Resolution::Drop);
        self.tell(|_| format!("a person: {row} {event:?}"));
        self.store.apply(stamp, row, None, event, 0.0);
    }

    fn weather(&mut self) {
        if self.is_calm() {
            return;
        }
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        match self.dice.below(4) {
            0 => {
                self.store.hold = !self.store.hold;
                self.tell(|world| format!("hold {}", world.store.hold));
            }
            1 if self.clock_may_leap => {
                self.clock_may_leap = false;
                self.nodes[node].offset += TimeDelta::hours(1);
                self.tell(|_| format!("the clock of node {node} leaps an hour ahead"));
            }
            1 | 2 => {
                self.nodes[node].offset -= TimeDelta::hours(1);
                self.tell(|_| format!("the clock of node {node} is put back an hour"));
            }
            _ => {
                let most = self.dice.pick(&[10, 300]);
                let pause = TimeDelta::seconds(self.dice.below(most) as i64);
                self.nodes[node].frozen_until = self.now + pause;
                self.tell(|_| format!("node {node} is stopped for {} s", pause.num_seconds()));
            }
        }
    }

    fn row(&self, row: usize) -> String {
        let Row { facts, reason, .. } = &self.store.rows[row];
        format!("{} ({})", facts.state, reason.as_deref().unwrap_or("-"))
    }

    /// The promises that hold at the end.
    fn judge(mut self) -> Outcome {
        let mut states = BTreeMap::new();
        for (number, row) in self.store.rows.iter().enumerate() {
            let state = row.facts.state;
            *states.entry(state.name()).or_default() += 1;
            let posts: Vec<&str> = self.platforms[row.account]
                .posts
                .iter()
                .filter(|post| post.delivery == number)
                .map(|post| post.id.as_str())
                .collect();
            let mut fault =
                |what: &str| self.faults.push(format!("{number} {what}: {state}, {posts:?}, {row:?}"));
            if posts.len() > 1 {
                fault("is there twice");
            }
            if state.is_moving() {
                fault("has no end");
            }
            let known = row.remote_id.as_deref().is_some_and(|id| posts.contains(&id));
            if state == State::Delivered && !known {
                fault("is delivered without an acceptance");
            }
            let accounted = match state {
                State::Delivered | State::Parked => true,
                State::Held => row.facts.is_in_doubt() || self.store.is_clouded(number),
                State::Cancelled => row.dropped,
                // Nobody tried to send it again since the failover.
                State::Failed => self.store.is_clouded(number),
                _ => false,
            };
            if !posts.is_empty() && !accounted {
                fault("is there, and nobody knows");
            }
        }
        Outcome { faults: self.faults, states, story: self.told.unwrap_or_default() }
    }
}

impl Job {
    /// The process it happens in, if it is one's.
    fn process(&self) -> Option<(usize, u64)> {
        match self {
            Job::Wake { node, boot }
            | Job::Send { node, boot, .. }
            | Job::Answer { node, boot, .. }
            | Job::Record { node, boot, .. }
            | Job::Read { node, boot, .. } => Some((*node, *boot)),
            Job::Start { .. }
            | Job::Accept { .. }
            | Job::Person
            | Job::Weather
            | Job::Lag { .. }
            | Job::Failover { .. } => None,
        }
    }
}

fn scheduled(account: usize, lane: u8, due_at: DateTime<Utc>, good_until: DateTime<Utc>) -> Row {
    Row {
        account,
        lane,
        facts: Facts {
            state: State::Scheduled,
            due_at,
            good_until,
            attempts: 0,
            failures: 0,
            resends: 0,
            looks: 0,
            attempt_started_at: None,
            unconfirmed_at: None,
            key_used_at: None,
        },
        fence: 0,
        retry_key: 0,
        lease_owner: 0,
        lease_boot: 0,
        lease_until: DateTime::UNIX_EPOCH,
        changed_at: due_at,
        remote_id: None,
        reason: None,
        dropped: false,
        gap: 0,
    }
}
