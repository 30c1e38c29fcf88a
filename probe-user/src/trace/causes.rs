//! Where tokio wakes, spawns and ends tasks: functions that survive every optimization, found by their names in the symbol table.

use super::cheap_place::{CheapPlace, cheap_place};
use crate::decode::Sites;
use crate::dwarf::{Defined, defined};
use crate::runtime::{Flavor, TaskWord};
use crate::target::{FileOffset, Image, Svma};
use async_inspect_ebpf::{COOKIE_AFTER, COOKIE_DEAR, COOKIE_HEADER, Config};
use iced_x86::Register;
use std::collections::HashSet;

/// What is asked for beside polls. Each costs the target a probe hit per event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Who wakes whom, and how long the woken wait to be polled.
    pub wakes: bool,
    /// Which task spawned which.
    pub spawns: bool,
    /// Also where a probe costs ten times what others do.
    pub dear: bool,
}

impl Wanted {
    pub const ALL: Wanted = Wanted { wakes: true, spawns: true, dear: true };
}

/// Where a task's header says what kind of task it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskHeader {
    /// Offset of the pointer to its vtable.
    pub vtable: u32,
    /// Offset of the poll function in the vtable.
    pub poll: u32,
}

/// One place to probe, which each call of a function comes by once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseProbe {
    pub offset: FileOffset,
    /// The kernel steps over the instruction there, for ten times the price of others.
    pub dear: bool,
    /// What the function does to the task may have been done when the probe is hit.
    pub after: bool,
    /// Of an end: the first argument is the task's header.
    pub header: bool,
}

impl CauseProbe {
    /// Of the function of `size` bytes at `entry`, whose arguments the program looks for in `argument`.
    fn find(program: &[u8], entry: FileOffset, size: u64, argument: Register) -> CauseProbe {
        let code = program.get(entry.0 as usize..).unwrap_or_default();
        match cheap_place(&code[..code.len().min(size as usize)], argument) {
            Some(CheapPlace { offset, after_lock }) => CauseProbe {
                offset: FileOffset(entry.0 + offset as u64),
                after: after_lock,
                ..CauseProbe::default()
            },
            None => CauseProbe { offset: entry, dear: true, ..CauseProbe::default() },
        }
    }

    /// The same, before anything is done to the task.
    fn find_before(program: &[u8], entry: FileOffset, size: u64, argument: Register) -> CauseProbe {
        let probe = CauseProbe::find(program, entry, size, argument);
        if probe.after { CauseProbe { offset: entry, dear: true, ..CauseProbe::default() } } else { probe }
    }

    pub(super) fn cookie(self) -> u64 {
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        flag(self.dear, COOKIE_DEAR) | flag(self.after, COOKIE_AFTER) | flag(self.header, COOKIE_HEADER)
    }
}

#[derive(Clone, Debug, Default)]
pub struct CausePlan {
    /// tokio's `wake_by_val` and `wake_by_ref`; the first argument is the header.
    pub wakes: Vec<CauseProbe>,
    /// Instances of tokio's `OwnedTasks::bind_inner`; the second argument is the header.
    pub spawns: Vec<CauseProbe>,
    /// tokio's `State::transition_to_complete`, whose argument is the header; where that was inlined, at least at places,
    /// `Schedule::release` of each scheduler as well, whose second argument leads to it. Always watched: what a task has come to is seen nowhere else for certain, as its
    /// memory may be another's when its last poll returns.
    pub ends: Vec<CauseProbe>,
    /// std's `rust_panic`. Watched where ends are: a task that nobody joins leaves nothing else that tells.
    pub panics: Vec<CauseProbe>,
    /// Instances of tokio's `raw::shutdown`; the first argument is the header. Watched where `ends` lacks a scheduler: they are hit when
    /// a runtime or a `LocalSet` shuts down, and without them a task that then takes the place of another would be taken for that one.
    pub drops: Vec<CauseProbe>,
    pub header: TaskHeader,
    /// What was asked for and cannot be had; for people.
    pub notes: Vec<String>,
}

/// Of many more a busy program's probes take seconds to take out (2,001 beside as many poll functions: two, without them a quarter).
const MOST_DROPS: usize = 200;

impl CausePlan {
    /// `program`: the executable's bytes; `separate`: its debug file's, whose symbol table may be the only one.
    pub fn find(
        wanted: Wanted,
        program: &[u8],
        separate: Option<&[u8]>,
        image: &Image,
        sites: &Sites,
    ) -> CausePlan {
        let mut found = Found::default();
        for object in std::iter::once(program).chain(separate) {
            defined(object, &mut |symbol| found.add(symbol));
        }
        let all_end = !found.completes.is_empty() || found.covers(sites);
        let entries = |list: Vec<(Svma, u64)>, wanted: bool| {
            let at = |(at, size): (Svma, u64)| Some((image.file_offset(at)?, size));
            let mut entries: Vec<_> = list.into_iter().filter(|_| wanted).filter_map(at).collect();
            entries.sort_unstable();
            // Equal functions may have been folded, and both tables may name one.
            entries.dedup_by_key(|(entry, _)| *entry);
            entries.into_iter()
        };
        let probe = |argument| move |(entry, size)| CauseProbe::find(program, entry, size, argument);
        let drop = |(entry, size)| CauseProbe::find_before(program, entry, size, Register::RDI);
        let mut plan = CausePlan {
            wakes: entries(found.wakes, wanted.wakes).map(probe(Register::RDI)).collect(),
            spawns: entries(found.spawns, wanted.spawns).map(probe(Register::RSI)).collect(),
            ends: Vec::new(),
            panics: Vec::new(),
            drops: entries(found.drops, true).take(MOST_DROPS + 1).map(drop).collect(),
            header: TaskHeader { vtable: sites.header_vtable() as u32, poll: sites.vtable.poll as u32 },
            notes: Vec::new(),
        };
        if wanted.wakes && plan.wakes.is_empty() {
            plan.notes.push(
                "wakes are not seen: no symbol tells where tokio wakes a task (the symbol table was stripped?)".into(),
            );
        }
        if wanted.spawns && plan.spawns.is_empty() {
            plan.notes.push(
                "who spawned a task is not seen: no symbol tells where tokio binds a new one (it is older than 1.29, or \
                 the symbol table was stripped)"
                    .into(),
            );
        }
        let completes = |(entry, size)| CauseProbe {
            header: true,
            ..CauseProbe::find_before(program, entry, size, Register::RDI)
        };
        let lets_go = entries(found.ends, found.completes.is_empty()).map(probe(Register::RSI));
        let completes =
            entries(found.completes, true).chain(entries(found.completes_at_places, true)).map(completes);
        let ends: Vec<_> = completes.chain(lets_go).collect();
        let panics: Vec<_> = entries(found.panics, true).map(probe(Register::RDI)).collect();
        if wanted.dear || !ends.iter().chain(&panics).any(|probe| probe.dear) {
            (plan.ends, plan.panics) = (ends, panics);
        }
        if all_end && !plan.ends.is_empty() {
            plan.drops.clear();
        }
        plan.keep_few_drops();
        if !wanted.dear {
            plan.spare();
        }
        plan
    }

    fn keep_few_drops(&mut self) {
        if self.drops.len() > MOST_DROPS {
            self.drops.clear();
            self.notes.push(format!(
                "tasks that the shutdown of a runtime drops are told late, and others of their kind may be taken for them: more than \
                 {MOST_DROPS} functions would be probed for it"
            ));
        }
    }

    /// Leaves out what would cost ten times what a poll does. Of wakes all: with some of them unseen no delay would be certain.
    fn spare(&mut self) {
        for (probes, what, list) in [
            (&mut self.wakes, "wakes are", "wakes,spawns"),
            (&mut self.spawns, "who spawned a task is", "spawns"),
        ] {
            if probes.iter().any(|probe| probe.dear) {
                probes.clear();
                self.notes.push(format!(
                    "{what} not watched: probes there are dear in this target (--events {list})"
                ));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        [&self.wakes, &self.spawns, &self.ends, &self.drops].into_iter().all(Vec::is_empty)
    }

    /// `entry_only`: that a poll is under way is not known then. So a wake whose probe is hit late is not told from one that no poll
    /// has answered, and how long tasks wait is not told at all.
    pub(super) fn configured(&self, config: Config, entry_only: bool) -> Config {
        let TaskHeader { vtable: vtable_off, poll: poll_slot } = self.header;
        let late = self.wakes.iter().any(|probe| probe.after);
        let notified = if entry_only && late { 0 } else { TaskWord::NOTIFIED };
        let busy_or_over = TaskWord::RUNNING | TaskWord::COMPLETE;
        Config { vtable_off, poll_slot, notified, busy_or_over, ..config }
    }

    /// Whether any probe costs ten times what others do.
    pub fn is_dear(&self) -> bool {
        let lists = [&self.wakes, &self.spawns, &self.ends, &self.panics];
        lists.into_iter().flatten().any(|probe| probe.dear)
    }
}

#[derive(Default)]
struct Found {
    /// With their sizes.
    wakes: Vec<(Svma, u64)>,
    spawns: Vec<(Svma, u64)>,
    completes: Vec<(Svma, u64)>,
    /// As it is called from some places, and inlined at others.
    completes_at_places: Vec<(Svma, u64)>,
    ends: Vec<(Svma, u64)>,
    /// Schedulers of `ends`.
    let_go: HashSet<Flavor>,
    panics: Vec<(Svma, u64)>,
    drops: Vec<(Svma, u64)>,
}

/// Parts of the mangled paths of tokio's schedulers.
const SCHEDULERS: [(&str, Flavor); 3] = [
    ("12multi_thread", Flavor::MultiThread),
    ("14current_thread", Flavor::CurrentThread),
    ("4task5local", Flavor::LocalSet),
];

impl Found {
    /// Parts of mangled names, the same in both manglings.
    fn add(&mut self, symbol: Defined<'_>) {
        let Defined { name, at, size, is_global } = symbol;
        // In no namespace before Rust 1.89, and then in one of the compiler's own.
        if name == "rust_panic" || name.ends_with("___rustc10rust_panic") {
            self.panics.push((at, size));
        }
        if let Some(flavor) = lets_go(name) {
            self.ends.push((at, size));
            self.let_go.insert(flavor);
        }
        let Some((_, function)) = name.split_once("7runtime4task") else { return };
        // A part that was split off begins in the middle of the function.
        if function.contains("closure") || function.ends_with(".cold") {
            return;
        }
        if function.starts_with("5waker11wake_by_val") || function.starts_with("5waker11wake_by_ref") {
            self.wakes.push((at, size));
        }
        if function.starts_with("5state") && function.contains("22transition_to_complete") {
            let list = if is_global { &mut self.completes } else { &mut self.completes_at_places };
            list.push((at, size));
        }
        if function.starts_with("3raw8shutdown") {
            self.drops.push((at, size));
        }
        if function.starts_with("4list")
            && function.contains("OwnedTasks")
            && function.contains("10bind_inner")
        {
            self.spawns.push((at, size));
        }
    }
}

impl Found {
    /// Whether each scheduler that tasks are known to be of lets go of them where that is seen.
    fn covers(&self, sites: &Sites) -> bool {
        let seen = |flavor| flavor == Flavor::Blocking || self.let_go.contains(&flavor);
        sites.iter().all(|site| site.flavor.is_some_and(seen))
    }
}

/// The scheduler whose `Schedule::release` has this name. Looks at the end first: there are a hundred thousand names.
fn lets_go(name: &str) -> Option<Flavor> {
    const LEGACY_HASH: usize = "17h0123456789abcdefE".len();
    // A function that the linker's optimizer made local has a suffix of its own.
    let name = match name.rsplit_once('.') {
        Some((function, _)) => function.strip_suffix(".llvm").unwrap_or(name),
        None => name,
    };
    let is_legacy = name.starts_with("_ZN");
    let name = if is_legacy { name.get(..name.len().checked_sub(LEGACY_HASH)?)? } else { name };
    let path = name.strip_suffix("7release")?;
    let of_trait = path.contains("4task8Schedule") || path.contains("task..Schedule");
    let place = path.split_once("5tokio").filter(|_| of_trait)?.1;
    // The first is where the function stands, and not of which type it is.
    let at = |part: &str| place.find(part);
    let found = SCHEDULERS.iter().filter_map(|(part, flavor)| Some((at(part)?, *flavor)));
    found.min_by_key(|(at, _)| *at).map(|(_, flavor)| flavor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_let_go() {
        let names = [
            (
                "_ZN5tokio4task5local111_$LT$impl$u20$tokio..runtime..task..Schedule$u20$for$u20$alloc..sync..Arc$LT$tokio..task..local..Shared$GT$$GT$7release17h2ba51b9e415d0b19E",
                Some(Flavor::LocalSet),
            ),
            (
                "_ZN5tokio7runtime9scheduler14current_thread134_$LT$impl$u20$tokio..runtime..task..Schedule$u20$for$u20$alloc..sync..Arc$LT$tokio..runtime..scheduler..current_thread..Handle$GT$$GT$7release17h37567283e5d807c1E",
                Some(Flavor::CurrentThread),
            ),
            (
                "_RNvXs_NtNtNtNtCslGPRoOWljK4_5tokio7runtime9scheduler12multi_thread6handleINtNtCslNYArtu3iFV_5alloc4sync3ArcNtB4_6HandleENtNtBa_4task8Schedule7release",
                Some(Flavor::MultiThread),
            ),
            ("_ZN5tokio7runtime2io16registration_set15RegistrationSet7release17h37567283e5d807c1E", None),
            (
                "_RNvXs2_NtNtNtCs8wLz1nGFJNe_5tokio7runtime9scheduler14current_threadINtNtCslNYArtu3iFV_5alloc4sync3ArcNtB5_6HandleENtNtB9_4task8Schedule7release.llvm.7163565757498051100",
                Some(Flavor::CurrentThread),
            ),
            ("_ZN5tokio4sync15batch_semaphore9Semaphore7release17h37567283e5d807c1E", None),
        ];
        for (name, flavor) in names {
            assert_eq!(lets_go(name), flavor, "{name}");
        }
    }

    #[test]
    fn functions_are_known_by_both_manglings() {
        let mut found = Found::default();
        let names = [
            "_ZN5tokio7runtime4task5waker11wake_by_val17h51954f8ead40fcb3E",
            "_RNvNtNtNtCs7_5tokio7runtime4task5waker11wake_by_ref",
            "_ZN5tokio7runtime4task5waker11clone_waker17h51954f8ead40fcb3E",
            "_ZN5tokio7runtime4task4list19OwnedTasks$LT$S$GT$10bind_inner17h51954f8ead40fcb3E",
            "_RNvMs0_NtNtNtCs7_5tokio7runtime4task4listINtB5_10OwnedTasksINtNtC_4sync3ArcE10bind_innerCs8_3app",
            "_ZN5tokio7runtime4task4list24LocalOwnedTasks$LT$S$GT$4bind17h51954f8ead40fcb3E",
            "_ZN5tokio7runtime4task3raw8shutdown17h51954f8ead40fcb3E",
            "_RINvNtNtNtCs7_5tokio7runtime4task3raw8shutdownNCNvCs8_3app4workEB1_",
            "_RNvCsfLfy6EI15iL_7___rustc10rust_panic",
            "rust_panic",
            "_RNvCsfLfy6EI15iL_7___rustc18___rust_start_panic",
            "_ZN5tokio7runtime4task5state5State22transition_to_complete17h51954f8ead40fcb3E",
        ];
        for (nth, name) in names.iter().enumerate() {
            found.add(Defined { name, at: Svma(nth as u64), size: 9, is_global: true });
        }
        assert_eq!((found.wakes, found.spawns, found.drops, found.panics, found.completes), {
            let at = |nth: u64| (Svma(nth), 9);
            (vec![at(0), at(1)], vec![at(3), at(4)], vec![at(6), at(7)], vec![at(8), at(9)], vec![at(11)])
        });
    }
}
