//! Which faults, when: all of it from the seed, before the first one.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::evidence::Hit;

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `memora-srs serve`.
    Sidecar(usize),
    /// `memora-srs worker`.
    Worker(usize),
    /// RQ's own worker, if there is one.
    Rq,
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The Redis with schedules and sessions.
    Cache,
    /// The Redis with the queue.
    Queue,
    /// MariaDB.
    MariaDb,
}

/// What becomes of the network between a program and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Connections are closed, new ones too.
    Cut,
    /// Nothing comes through, nothing is refused.
    Hang,
    /// Requests come through, answers do not.
    HoldAnswers,
    /// Everything later by so many milliseconds.
    Slow(u64),
}

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// kill -9 of a program, started again at the end.
    KillProgram(Program),
    /// SIGSTOP of a program, SIGCONT at the end.
    StopProgram(Program),
    /// kill -9 of a server, started again at the end; a cache comes back empty.
    KillServer(Server),
    /// SIGSTOP of a server, SIGCONT at the end.
    StopServer(Server),
    /// FLUSHALL of the cache, at the beginning.
    Wipe,
    /// Random keys of the cache go, again and again.
    Evict,
    /// The cache ends, and comes back with what it held some seconds before.
    OldDump,
    /// The network of one program to one server.
    Link(Program, Server, Network),
    /// MariaDB answers everybody later by so many milliseconds.
    SlowMariaDb(u64),
    /// All workers stand still.
    StopWorkers,
    /// A program loses both Redis, and after a tenth of the time its life, with all that
    /// it knew.
    Isolate(Program),
    /// MariaDB hangs, workers stand still; then the sidecars die, and only when all jobs
    /// have had their time they are started again.
    DieWithoutJournal,
    /// The declared double fault: MariaDB is away, and the queue and the host's disk with
    /// the spool are lost.
    LoseBoth,
}

/// One or two faults at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Quiet time before.
    pub after: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What is done.
    pub deeds: Vec<Deed>,
}

/// Which faults are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// A rule that is broken on purpose: faults under which that shows. Or a part of a
    /// kind's name: faults of that kind.
    pub aim: Option<String>,
    /// The declared double fault too.
    pub double_fault: bool,
}

/// Programs of each kind.
pub const SIDECARS: usize = 2;
/// Native workers.
pub const WORKERS: usize = 2;

/// The faults of `seed` within `time`.
pub fn plan(seed: u64, time: Duration, wanted: &Wanted) -> Vec<Planned> {
    let mut dice = Dice::new(seed);
    let mut plan = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        let planned = match &wanted.aim {
            Some(rule) => aimed(rule, &mut dice),
            None => any(&mut dice, wanted.double_fault),
        };
        at += planned.after + planned.lasts;
        if at > time {
            return plan;
        }
        plan.push(planned);
    }
}

fn any(dice: &mut Dice, double_fault: bool) -> Planned {
    let mut deeds = vec![deed(dice)];
    if double_fault && dice.percent(15) {
        deeds = vec![Deed::LoseBoth];
    } else if dice.percent(30) {
        let second = deed(dice);
        // Two faults of one thing are one.
        if !deeds[0]
            .hits()
            .iter()
            .any(|hit| second.hits().contains(hit))
        {
            deeds.push(second);
        }
    }
    Planned {
        after: millis(dice, 1000, 5000),
        lasts: millis(dice, 800, 6000),
        deeds,
    }
}

fn deed(dice: &mut Dice) -> Deed {
    match dice.below(21) {
        0..=1 => Deed::KillProgram(program(dice)),
        2..=3 => Deed::StopProgram(program(dice)),
        4..=6 => Deed::KillServer(server(dice)),
        7..=9 => Deed::StopServer(server(dice)),
        10 => Deed::Wipe,
        11..=12 => Deed::Evict,
        13 => Deed::OldDump,
        14..=17 => Deed::Link(program(dice), server(dice), network(dice)),
        18 => Deed::SlowMariaDb(dice.between(100, 1500) as u64),
        19 => Deed::StopWorkers,
        _ => Deed::DieWithoutJournal,
    }
}

fn program(dice: &mut Dice) -> Program {
    match dice.below(7) {
        0..=3 => Program::Sidecar(dice.below(SIDECARS)),
        4..=5 => Program::Worker(dice.below(WORKERS)),
        _ => Program::Rq,
    }
}

fn server(dice: &mut Dice) -> Server {
    match dice.below(3) {
        0 => Server::Cache,
        1 => Server::Queue,
        _ => Server::MariaDb,
    }
}

fn network(dice: &mut Dice) -> Network {
    match dice.below(4) {
        0 => Network::Cut,
        1 => Network::Hang,
        2 => Network::HoldAnswers,
        _ => Network::Slow(dice.between(20, 700) as u64),
    }
}

/// Faults under which a broken rule shows soon.
fn aimed(rule: &str, dice: &mut Dice) -> Planned {
    let (deeds, lasts) = match rule {
        "no_overlay" => (vec![Deed::StopWorkers, Deed::Evict], 4000),
        // All are cold at once; without workers nothing is mended.
        "no_dirty" => (vec![Deed::StopWorkers, Deed::Wipe], 4000),
        "two_snapshots" => (vec![Deed::Evict], 5000),
        // One sidecar acknowledges without the journal what the other then writes there.
        "no_token" => {
            let lone = Program::Sidecar(dice.below(SIDECARS));
            let hang = Deed::Link(lone, Server::MariaDb, Network::Hang);
            (vec![hang, Deed::StopWorkers], 12_000)
        }
        "no_instance" => (vec![Deed::OldDump], 2000),
        "ack_before_journal" => {
            let both = [Server::MariaDb, Server::Queue];
            (both.map(Deed::KillServer).to_vec(), 3000)
        }
        // Its rows have no job; they are swept after half a minute.
        "no_reassert" => {
            let lone = Program::Sidecar(dice.below(SIDECARS));
            (vec![Deed::Isolate(lone)], 42_000)
        }
        // Shows without any.
        "wall_time" => (Vec::new(), 1000),
        kind => {
            let found = (0..10_000)
                .map(|_| deed(dice))
                .find(|deed| deed.kind().contains(kind));
            (found.into_iter().collect(), 5000)
        }
    };
    Planned {
        after: millis(dice, 300, 1500),
        lasts: Duration::from_millis(lasts),
        deeds,
    }
}

fn millis(dice: &mut Dice, low: usize, high: usize) -> Duration {
    Duration::from_millis(dice.between(low, high) as u64)
}

impl Deed {
    /// What it hits.
    pub fn hits(self) -> Vec<Hit> {
        match self {
            Self::KillProgram(program) | Self::StopProgram(program) => vec![hit(program)],
            Self::KillServer(server) | Self::StopServer(server) => vec![server.into()],
            Self::Wipe | Self::Evict | Self::OldDump => vec![Hit::Cache],
            Self::Link(_, server, _) => vec![server.into()],
            Self::SlowMariaDb(_) => vec![Hit::MariaDb],
            Self::StopWorkers => vec![Hit::Worker],
            Self::Isolate(program) => vec![hit(program), Hit::Cache, Hit::Queue],
            Self::LoseBoth | Self::DieWithoutJournal => {
                let sidecars = (0..SIDECARS).map(Hit::Sidecar);
                let mut hits = vec![Hit::MariaDb, Hit::Worker];
                hits.extend((self == Self::LoseBoth).then_some(Hit::Queue));
                hits.extend(sidecars);
                hits
            }
        }
    }

    /// Servers that are away for everybody.
    pub fn away(self) -> Vec<Hit> {
        match self {
            Self::KillServer(server) | Self::StopServer(server) => vec![server.into()],
            Self::OldDump => vec![Hit::Cache],
            Self::LoseBoth => vec![Hit::MariaDb, Hit::Queue],
            Self::DieWithoutJournal => vec![Hit::MariaDb],
            _ => Vec::new(),
        }
    }

    /// Its kind, for a summary.
    pub fn kind(self) -> String {
        match self {
            Self::KillProgram(program) => format!("kill {}", program.kind()),
            Self::StopProgram(program) => format!("stop {}", program.kind()),
            Self::KillServer(server) => format!("kill {server}"),
            Self::StopServer(server) => format!("stop {server}"),
            Self::Wipe => "wipe cache".to_owned(),
            Self::Evict => "evict keys".to_owned(),
            Self::OldDump => "old dump".to_owned(),
            Self::Link(program, server, network) => {
                let how = match network {
                    Network::Cut => "cut",
                    Network::Hang => "hang",
                    Network::HoldAnswers => "hold answers",
                    Network::Slow(_) => "slow",
                };
                format!("{how} {}-{server}", program.kind())
            }
            Self::SlowMariaDb(_) => "slow MariaDB".to_owned(),
            Self::StopWorkers => "stop workers".to_owned(),
            Self::Isolate(program) => format!("isolate {}", program.kind()),
            Self::DieWithoutJournal => "sidecars die without MariaDB".to_owned(),
            Self::LoseBoth => "declared double fault".to_owned(),
        }
    }
}

fn hit(program: Program) -> Hit {
    match program {
        Program::Sidecar(n) => Hit::Sidecar(n),
        Program::Worker(_) | Program::Rq => Hit::Worker,
    }
}

impl Program {
    fn kind(self) -> &'static str {
        match self {
            Self::Sidecar(_) => "sidecar",
            Self::Worker(_) => "worker",
            Self::Rq => "RQ worker",
        }
    }
}

impl From<Server> for Hit {
    fn from(server: Server) -> Self {
        match server {
            Server::Cache => Self::Cache,
            Server::Queue => Self::Queue,
            Server::MariaDb => Self::MariaDb,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache",
            Self::Queue => "queue",
            Self::MariaDb => "MariaDB",
        })
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())?;
        let program = match self {
            Self::KillProgram(p)
            | Self::StopProgram(p)
            | Self::Link(p, _, _)
            | Self::Isolate(p) => *p,
            Self::SlowMariaDb(ms) => return write!(f, " by {ms} ms"),
            _ => return Ok(()),
        };
        match program {
            Program::Sidecar(n) | Program::Worker(n) => write!(f, " (number {n})")?,
            Program::Rq => {}
        }
        match self {
            Self::Link(_, _, Network::Slow(ms)) => write!(f, " by {ms} ms"),
            _ => Ok(()),
        }
    }
}
