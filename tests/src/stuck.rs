//! Is what tasks are said to wait for and to hold what they say themselves?

use crate::schema::{Certainty, Dump, Location, Resource, Task};
use crate::{Claim, Program, Stuck, TrueHold, TrueWait, inspector};
use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// What a build lets one ask for.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// What is said to be proven in truth must be so in the dump. Builds that abort on panic keep fewer drop flags.
    pub proof: bool,
    /// Where a proven guard was taken must be told; elsewhere it must be right if it is told.
    pub lines: bool,
}

/// A program's own words, and what was decoded of it.
pub struct Looked {
    pub truth: Vec<Stuck>,
    pub dump: Dump,
    /// CLOCK_MONOTONIC before and after, in ns.
    between: (u64, u64),
}

/// Runs a program until it is stuck, and looks at it.
pub fn look(executable: &Path) -> Result<Looked> {
    let mut program = Program::start(executable, &[])?;
    let truth = program.stuck()?;
    let before = now_ns();
    let dump = inspector::dump(program.pid())?;
    Ok(Looked { truth, dump, between: (before, now_ns()) })
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Looked {
    /// All that is wrong, one line each.
    pub fn differences(&self, demand: Demand) -> Vec<String> {
        let decoded: HashMap<&str, &Task> =
            self.dump.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
        let mut wrong = Vec::new();
        let mut channels = Channels::default();
        for stuck in &self.truth {
            let Some(task) = decoded.get(stuck.id.as_str()) else {
                wrong.push(format!("{}: no task {}", stuck.case, stuck.id));
                continue;
            };
            let mut found = Vec::new();
            place(stuck, task, &mut found);
            if task.state != stuck.state {
                found.push(format!("is {:?}, not {:?}", stuck.state, task.state));
            }
            self.waits(stuck, task, demand, &mut channels, &mut found);
            holds(stuck, task, demand, &mut found);
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", stuck.case)));
        }
        for stuck in &self.truth {
            if let Some(task) = decoded.get(stuck.id.as_str()) {
                let found = channels.ends(stuck, task);
                wrong.extend(found.into_iter().map(|what| format!("{}: {what}", stuck.case)));
            }
        }
        wrong.extend(channels.mixed_up());
        wrong.extend(self.strangers());
        wrong
    }

    /// Who has another end of that channel than this one.
    fn across<'a>(&'a self, stuck: &Stuck, name: &'a str) -> impl Iterator<Item = &'a str> {
        let at = |hold: &&TrueHold| hold.channel.as_deref() == Some(name);
        let ours: Vec<String> = stuck.holds.iter().filter(at).map(|hold| hold.role.clone()).collect();
        let is_other = move |hold: &TrueHold| at(&hold) && !ours.contains(&hold.role);
        let others = self.truth.iter().filter(move |stuck| stuck.holds.iter().any(&is_other));
        others.map(|stuck| stuck.id.as_str())
    }

    /// Tasks of which the program says nothing hold nothing.
    fn strangers(&self) -> Vec<String> {
        let known: BTreeSet<&str> = self.truth.iter().map(|stuck| stuck.id.as_str()).collect();
        let strangers = self.dump.tasks.iter().filter(|task| !known.contains(task.id.as_str()));
        let proven = strangers.flat_map(|task| {
            let holds = task.holds.iter().flatten().filter(|hold| hold.certainty == Some(Certainty::Proven));
            holds.map(|hold| format!("task {}, a stranger, holds {}", task.id, shown(hold)))
        });
        proven.collect()
    }

    fn waits(
        &self,
        stuck: &Stuck,
        task: &Task,
        demand: Demand,
        channels: &mut Channels,
        wrong: &mut Vec<String>,
    ) {
        let mut left: Vec<&Resource> = task.waiting_on.iter().flatten().collect();
        for wanted in &stuck.waits {
            // The likeliest one, so that what is said of it is told and not that it is missing.
            let likeness = |got: &&Resource| {
                let same_address = wanted.address.is_some() && wanted.address == got.address;
                let same_fd = wanted.fd.is_some() && wanted.fd == got.fd;
                let same_task = wanted.task.is_some() && wanted.task == got.task;
                [same_address, same_fd, same_task].into_iter().filter(|same| *same).count()
            };
            let of_kind = left.iter().enumerate().filter(|(_, got)| is_kind(wanted, got));
            let Some((nth, _)) = of_kind.max_by_key(|(nth, got)| (likeness(got), usize::MAX - nth)) else {
                let got: Vec<_> = left.iter().map(|got| shown(got)).collect();
                wrong.push(format!("does not wait for {}, but for [{}]", wanted.kind, got.join("; ")));
                continue;
            };
            let got = left.remove(nth);
            self.wait(stuck, wanted, got, demand, wrong);
            if let Some(name) = &wanted.channel {
                match &got.address {
                    Some(address) => channels.at(name, address),
                    None => wrong.push(format!("waits at channel {name:?} without an address")),
                }
            }
        }
        // What a future of no known kind waits for is not known, and said so.
        left.retain(|got| !(stuck.waits.is_empty() && got.kind == "unknown"));
        if !stuck.more {
            wrong.extend(left.into_iter().map(|got| format!("does not wait for {}", shown(got))));
        }
    }

    fn wait(
        &self,
        stuck: &Stuck,
        wanted: &TrueWait,
        got: &Resource,
        demand: Demand,
        wrong: &mut Vec<String>,
    ) {
        let mut differs = |what: &str, wanted: &dyn std::fmt::Debug| {
            wrong.push(format!("{what} {wanted:?}, not {}", shown(got)));
        };
        if wanted.address.is_some() && wanted.address != got.address {
            differs("waits at", &wanted.address);
        }
        if wanted.fd.is_some() && wanted.fd != got.fd {
            differs("waits on fd", &wanted.fd);
        }
        if wanted.task.is_some() && wanted.task != got.task {
            differs("joins task", &wanted.task);
        }
        // What is an alternative to the inside of somebody else's crate nobody says.
        if wanted.any != got.any && !stuck.more {
            differs("as one of several", &wanted.any);
        }
        let detail = got.detail.as_deref().unwrap_or_default();
        let missing: Vec<_> = wanted.words.iter().filter(|word| !detail.contains(word.as_str())).collect();
        if !missing.is_empty() {
            differs("its detail has", &missing);
        }
        if let Some(deadline) = wanted.deadline_ns {
            let ms = |at: u64| (i128::from(deadline) - i128::from(at)) / 1_000_000;
            // What is left was told between before and after.
            let range = ms(self.between.1) - 1..=ms(self.between.0) + 1;
            if !got.deadline_in_ms.is_some_and(|left| range.contains(&i128::from(left))) {
                differs("has ms left within", &range);
            }
        }
        let of: BTreeSet<&str> = got.holders.iter().map(String::as_str).collect();
        let mut wants: BTreeSet<&str> = wanted.holders.iter().map(String::as_str).collect();
        let proven = got.certainty == Some(Certainty::Proven) && !of.is_empty();
        match wanted.certainty {
            None => {
                // A joined task is who must act, and whoever is at the channel's other end may be.
                let at_channel = wanted.channel.as_deref().map(|name| self.across(stuck, name));
                wants.extend(wanted.task.as_deref());
                // The program does not know the id of a closure that tokio itself gave to its pool.
                if wanted.kind == "join" && wanted.task.is_none() {
                    wants.extend(got.task.as_deref());
                }
                wants.extend(at_channel.into_iter().flatten());
                // Whoever is inside somebody else's crate may be found as well; and known to be the only one, where a channel's
                // end cannot be cloned, or its senders are counted.
                let may_be_known = ["mpsc", "oneshot"].contains(&got.kind.as_str());
                if !of.is_subset(&wants) && (!stuck.more || proven && !may_be_known) {
                    differs("is kept waiting only by", &wants);
                }
                if proven && wanted.channel.is_some() {
                    differs("not proven to be kept waiting by", &wants);
                }
            }
            Some(Claim::Proven | Claim::Told) if of != wants => differs("is kept waiting by", &wants),
            Some(Claim::Proven) if demand.proof && !proven => differs("proven to be kept waiting by", &wants),
            Some(Claim::Any) if proven && of != wants => differs("is kept waiting by", &wants),
            Some(Claim::Possible) if proven => differs("not proven to be kept waiting by", &wants),
            Some(Claim::Possible) if !of.is_subset(&wants) => differs("can be kept waiting only by", &wants),
            _ => {}
        }
        let must = wanted.certainty == Some(Claim::Proven) && demand.lines;
        if of == wants && line_differs(wanted.acquired_line, got.acquired_at.as_ref(), must) {
            differs("it was taken at line", &wanted.acquired_line);
        }
    }
}

fn is_kind(wanted: &TrueWait, got: &Resource) -> bool {
    wanted.kind.split('|').any(|kind| kind == got.kind)
}

fn line_differs(wanted: Option<u32>, got: Option<&Location>, must: bool) -> bool {
    match (wanted, got) {
        (Some(wanted), Some(got)) => wanted != got.line,
        (Some(_), None) => must,
        (None, _) => false,
    }
}

fn place(stuck: &Stuck, task: &Task, wrong: &mut Vec<String>) {
    let file = stuck.file.trim_start_matches("../");
    let same = |at: &Location| at.line == stuck.line && at.file.ends_with(file);
    if !task.location.as_ref().is_some_and(same) {
        wrong.push(format!("stands at {file}:{}, not {:?}", stuck.line, task.location));
    }
}

fn holds(stuck: &Stuck, task: &Task, demand: Demand, wrong: &mut Vec<String>) {
    let got: Vec<&Resource> = task.holds.iter().flatten().collect();
    for wanted in stuck.holds.iter().filter(|hold| hold.address.is_some()) {
        let same: Vec<_> = got.iter().filter(|got| is_hold(wanted, got)).collect();
        let proven = same.iter().any(|got| got.certainty == Some(Certainty::Proven));
        let told: Vec<_> = same.iter().map(|got| shown(got)).collect();
        let what = format!("{} {} {:?}", wanted.kind, wanted.role, wanted.address);
        match wanted.certainty {
            Claim::Proven | Claim::Told if same.is_empty() => wrong.push(format!("holds {what}: not told")),
            Claim::Proven if demand.proof && !proven => wrong.push(format!("holds {what}: not proven")),
            Claim::Possible if proven => wrong.push(format!("does not hold {what}: told {told:?}")),
            _ => {}
        }
        let must = wanted.certainty == Claim::Proven && demand.lines;
        for got in same {
            if line_differs(wanted.acquired_line, got.acquired_at.as_ref(), must) {
                wrong.push(format!("took {what} at line {:?}: told {}", wanted.acquired_line, shown(got)));
            }
        }
    }
    // Permits to send are told with the ends of their channel.
    let ends = |got: &Resource| stuck.holds.iter().any(|hold| hold.channel.is_some() && is_of(hold, got));
    for got in got.iter().filter(|got| !ends(got)) {
        if !stuck.holds.iter().any(|wanted| is_hold(wanted, got)) {
            wrong.push(format!("does not hold {}", shown(got)));
        }
    }
}

fn is_hold(wanted: &TrueHold, got: &Resource) -> bool {
    wanted.address == got.address && is_of(wanted, got)
}

/// Whether kind and role are those of truth, which may leave a choice of roles with `|`.
pub fn is_of(wanted: &TrueHold, got: &Resource) -> bool {
    wanted.kind == got.kind && wanted.role.split('|').any(|role| Some(role) == got.role.as_deref())
}

/// Channels have names in truth and addresses in a dump: the same for all who are at one.
#[derive(Default)]
struct Channels {
    addresses: BTreeMap<String, BTreeSet<String>>,
}

impl Channels {
    fn at(&mut self, name: &str, address: &str) {
        self.addresses.entry(name.to_string()).or_default().insert(address.to_string());
    }

    fn ends(&mut self, stuck: &Stuck, task: &Task) -> Vec<String> {
        let mut wrong = Vec::new();
        for wanted in &stuck.holds {
            let Some(name) = &wanted.channel else { continue };
            let known = self.addresses.get(name);
            let all = task.ends.iter().chain(task.holds.iter().flatten());
            let mut of_role = all.filter(|got| is_of(wanted, got));
            let is_here = |got: &&Resource| {
                known.is_none_or(|known| got.address.as_ref().is_some_and(|at| known.contains(at)))
            };
            match of_role.find(is_here).and_then(|got| got.address.clone()) {
                Some(address) => self.at(name, &address),
                None => wrong.push(format!("has the {} of channel {name:?}: not told", wanted.role)),
            }
        }
        wrong
    }

    fn mixed_up(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for (name, addresses) in &self.addresses {
            if addresses.len() > 1 {
                wrong.push(format!("channel {name:?} has several addresses: {addresses:?}"));
            }
            for address in addresses {
                if let Some(other) = owners.insert(address, name) {
                    wrong.push(format!("channels {name:?} and {other:?} have one address: {address}"));
                }
            }
        }
        wrong
    }
}

/// A resource in a few words, for a failed test.
pub fn shown(got: &Resource) -> String {
    let mut text = got.kind.clone();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={value}"));
        }
    };
    add("role", got.role.clone());
    add("address", got.address.clone());
    add("detail", got.detail.as_ref().map(|detail| format!("{detail:?}")));
    add("fd", got.fd.map(|fd| fd.to_string()));
    add("task", got.task.clone());
    add("ms", got.deadline_in_ms.map(|ms| ms.to_string()));
    add("holders", (!got.holders.is_empty()).then(|| got.holders.join(",")));
    add("certainty", got.certainty.map(|certainty| format!("{certainty:?}")));
    add("any", got.any.then(|| "true".to_string()));
    add("local", got.local.clone());
    add("line", got.acquired_at.as_ref().map(|at| at.line.to_string()));
    text
}
