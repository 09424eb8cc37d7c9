//! Rounds: mount, compare with the ledgers, work, die. Then everything is sent, and the cloud compared.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::hand::Hand;
use crate::life::{Life, Point, flush};
use crate::points::Plan;
use crate::rng::Rng;
use crate::tree::{Entry, Tree};
use crate::world::World;
use crate::{asked, cloud, seed};

const HANDS: usize = 2;
/// Rounds on one account.
const SERIES: u64 = 50;
/// A named point that is not come by after this long is done without.
const PATIENCE: Duration = Duration::from_secs(2);
/// Short, so that sending and working meet.
const FLAGS: [&str; 2] = ["--writeback-delay", "20ms"];
const DRIVE: &str = "drive";
/// Folders of a new account.
const WELCOME: [&str; 2] = ["Family", "Personal"];

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    play("random moments", |_, rng| Plan::random(rng));
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_every_named_point() {
    let (planned, reached) = play("named points", |round, rng| Plan::named(round, HANDS, rng));
    assert!(reached * 4 >= planned, "of {planned} named points only {reached} were come by");
}

/// All rounds of a test; how many named points there were, and were reached.
fn play(what: &str, plan: impl Fn(u64, &mut Rng) -> Plan) -> (u64, u64) {
    let (rounds, seed) = (asked("INXTFS_ROUNDS", 200) / 2, seed());
    println!("{what}: {rounds} rounds; to repeat: INXTFS_SEED={seed}");
    let mut rng = Rng::new(seed);
    let (mut planned, mut reached, mut round) = (0, 0, 0);
    while round < rounds {
        let mut series = Series::new(rng.next());
        for _ in 0..SERIES.min(rounds - round) {
            let plan = plan(round, &mut rng);
            let there = series.round(round, plan).unwrap_or_else(|story| {
                panic!("{what}, INXTFS_SEED={seed}, round {round}, killed {}:\n{story}", plan.told())
            });
            if matches!(plan, Plan::Served(..) | Plan::Returned(..)) {
                planned += 1;
                reached += u64::from(there);
            }
            round += 1;
        }
        series.settle().unwrap_or_else(|story| panic!("{what}, INXTFS_SEED={seed}, at the end:\n{story}"));
    }
    println!("{what}: {round} rounds are right; of {planned} named points {reached} were come by");
    (planned, reached)
}

/// Rounds on one account, with one local state.
struct Series {
    hands: Vec<Hand>,
    // Cleared before the world goes.
    _point: Point,
    world: World,
}

impl Series {
    fn new(seed: u64) -> Series {
        let world = World::logged_in();
        let point = Point::make(&world, DRIVE);
        let mut life = Life::start(&world, DRIVE, &FLAGS);
        life.stand();
        let hand = |n: usize| {
            let name = format!("hand{n}");
            std::fs::create_dir(life.root().join(&name)).unwrap();
            Hand::new(&name, life.root(), seed.wrapping_add(n as u64))
        };
        let hands = (0..HANDS).map(hand).collect();
        life.end();
        Series { hands, _point: point, world }
    }

    /// One life, and its end. Whether the end came where it was planned.
    fn round(&mut self, round: u64, plan: Plan) -> Result<bool, String> {
        self.world.shared().knobs.clear_probes();
        self.hands.iter_mut().for_each(|hand| hand.note(format!("== round {round}: killed {}", plan.told())));
        let mut life = Life::start(&self.world, DRIVE, &FLAGS);
        if let Plan::Starting(ms) = plan {
            std::thread::sleep(Duration::from_millis(ms));
            life.end();
            life = Life::start(&self.world, DRIVE, &FLAGS);
        }
        life.stand();
        let there = self.check(&life).and_then(|()| self.work(&life, plan));
        let there = there.map_err(|story| format!("{story}\nthe program said:\n{}", life.told()))?;
        life.end();
        Ok(there)
    }

    fn check(&mut self, life: &Life) -> Result<(), String> {
        let mut there: Vec<_> =
            std::fs::read_dir(life.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
        let known = |n: &str| WELCOME.contains(&n) || self.hands.iter().any(|hand| hand.name == n);
        there.retain(|name| !known(name.to_str().unwrap()));
        if !there.is_empty() {
            return Err(format!("beside the hands there are {there:?}"));
        }
        self.hands.iter_mut().try_for_each(Hand::check)
    }

    fn work(&mut self, life: &Life, plan: Plan) -> Result<bool, String> {
        let killer = life.killer();
        let served = plan.arm(&self.world, &killer);
        let outcome = std::thread::scope(|scope| {
            let work = |(n, hand): (usize, &'_ mut Hand)| {
                let stop = match plan {
                    Plan::Returned(who, stop) if who == n => Some(stop),
                    _ => None,
                };
                hand.work(killer.clone(), stop)
            };
            let hands: Vec<_> =
                self.hands.iter_mut().enumerate().map(|hand| scope.spawn(move || work(hand))).collect();
            let patience = match plan {
                Plan::After(ms) | Plan::Starting(ms) => Duration::from_millis(ms),
                _ => PATIENCE,
            };
            let start = Instant::now();
            while start.elapsed() < patience && !killer.has_killed() && !hands.iter().any(|h| h.is_finished())
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            killer.kill();
            hands.into_iter().map(|hand| hand.join().unwrap()).collect::<Result<Vec<()>, String>>()
        });
        outcome?;
        Ok(served.load(Ordering::SeqCst) || self.hands.iter().any(|hand| hand.reached))
    }

    /// Everything is sent; the mount, the cloud and the ledgers are one.
    fn settle(mut self) -> Result<(), String> {
        self.world.shared().knobs.clear_probes();
        let mut life = Life::start(&self.world, DRIVE, &FLAGS);
        life.stand();
        self.check(&life)?;
        let ran = flush(&self.world, DRIVE, 80);
        if ran.code != 0 {
            let status = self.world.status();
            return Err(format!("flush: {}\n{}\n{status:#}\n{}", ran.code, ran.err, life.told()));
        }
        self.check(&life)?;
        let mut want = Tree(WELCOME.map(|name| (name.to_owned(), Entry::Dir)).into());
        for hand in &self.hands {
            want = want.with(&hand.name, Entry::Dir);
            let below = hand.sure.0.iter();
            want.0.extend(below.map(|(path, entry)| (format!("{}/{path}", hand.name), entry.timeless())));
        }
        let differences = want.differences(&cloud::tree(&self.world));
        if !differences.is_empty() {
            let stories: Vec<_> = self.hands.iter().map(Hand::told).collect();
            let (lines, stories) = (differences.join("\n  "), stories.join("\n"));
            return Err(format!("the cloud is not as it should be:\n  {lines}\n{stories}\n{}", life.told()));
        }
        let harm = self.world.harm();
        if !harm.is_empty() {
            return Err(format!("data on the server was harmed:\n  {}", harm.join("\n  ")));
        }
        life.leave();
        Ok(())
    }
}
