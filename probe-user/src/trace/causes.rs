//! Where tokio wakes and spawns tasks: functions that survive every optimization, found by their names in the symbol table.

use crate::decode::Sites;
use crate::dwarf::defined;
use crate::target::{FileOffset, Image, Svma};
use async_inspect_ebpf::Config;

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

/// One function to probe at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseProbe {
    pub offset: FileOffset,
    /// The kernel steps over its first instruction, for ten times the price of others.
    pub dear: bool,
}

#[derive(Clone, Debug, Default)]
pub struct CausePlan {
    /// tokio's `wake_by_val` and `wake_by_ref`; the first argument is the header.
    pub wakes: Vec<CauseProbe>,
    /// Instances of tokio's `OwnedTasks::bind_inner`; the second argument is the header.
    pub spawns: Vec<CauseProbe>,
    pub header: TaskHeader,
    /// What was asked for and cannot be had; for people.
    pub notes: Vec<String>,
}

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
        if wanted.wakes || wanted.spawns {
            for object in std::iter::once(program).chain(separate) {
                defined(object, &mut |name, at| found.add(name, at));
            }
        }
        let probes = |list: Vec<Svma>, wanted: bool| {
            let mut offsets: Vec<_> = list.into_iter().filter_map(|at| image.file_offset(at)).collect();
            offsets.sort_unstable();
            // Equal functions may have been folded, and both tables may name one.
            offsets.dedup();
            let code = |offset: FileOffset| program.get(offset.0 as usize..).unwrap_or_default();
            let probe = |offset| CauseProbe { offset, dear: !is_emulated(code(offset)) };
            offsets.into_iter().filter(|_| wanted).map(probe).collect()
        };
        let mut plan = CausePlan {
            wakes: probes(found.wakes, wanted.wakes),
            spawns: probes(found.spawns, wanted.spawns),
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
        if !wanted.dear {
            plan.spare();
        }
        plan
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
        self.wakes.is_empty() && self.spawns.is_empty()
    }

    pub(super) fn configured(&self, config: Config) -> Config {
        Config { vtable_off: self.header.vtable, poll_slot: self.header.poll, ..config }
    }

    /// Whether any probe costs ten times what others do.
    pub fn is_dear(&self) -> bool {
        self.wakes.iter().chain(&self.spawns).any(|probe| probe.dear)
    }
}

#[derive(Default)]
struct Found {
    wakes: Vec<Svma>,
    spawns: Vec<Svma>,
}

impl Found {
    /// Parts of mangled names, the same in both manglings.
    fn add(&mut self, name: &str, at: Svma) {
        let Some((_, function)) = name.split_once("7runtime4task") else { return };
        // A part that was split off begins in the middle of the function.
        if function.contains("closure") || function.ends_with(".cold") {
            return;
        }
        if function.starts_with("5waker11wake_by_val") || function.starts_with("5waker11wake_by_ref") {
            self.wakes.push(at);
        }
        if function.starts_with("4list")
            && function.contains("OwnedTasks")
            && function.contains("10bind_inner")
        {
            self.spawns.push(at);
        }
    }
}

/// Whether the kernel carries out the instruction at a probe by itself. Others are stepped over elsewhere, for ten times the
/// price (`arch_uprobe_analyze_insn` in arch/x86/kernel/uprobes.c).
fn is_emulated(code: &[u8]) -> bool {
    match code {
        // push of any register
        [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..] => true,
        // jmp and call, relative; jumps on a condition; nop
        [0xeb | 0xe9 | 0xe8 | 0x70..=0x7f | 0x90, ..] | [0x0f, 0x80..=0x8f, ..] => true,
        // the five-byte nop
        [0x0f, 0x1f, 0x44, 0x00, 0x00, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (nth, name) in names.iter().enumerate() {
            found.add(name, Svma(nth as u64));
        }
        assert_eq!((found.wakes, found.spawns), (vec![Svma(0), Svma(1)], vec![Svma(3), Svma(4)]));
    }

    #[test]
    fn what_is_dear_to_probe() {
        for cheap in [&[0x53][..], &[0x41, 0x57], &[0xe9, 0, 0, 0, 0], &[0x0f, 0x1f, 0x44, 0, 0]] {
            assert!(is_emulated(cheap), "{cheap:x?}");
        }
        // mov %rdi,%rax; sub $24,%rsp; nothing
        for dear in [&[0x48, 0x89, 0xf8][..], &[0x48, 0x83, 0xec, 0x18], &[]] {
            assert!(!is_emulated(dear), "{dear:x?}");
        }
    }
}
