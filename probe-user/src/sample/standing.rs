//! At which await a running task stands, or rather left.
//!
//! A coroutine's state is written when it suspends, and stays so while it runs on from there
//! (<https://github.com/rust-lang/rust/blob/1.95.0/compiler/rustc_mir_transform/src/coroutine.rs>). So a task's memory tells,
//! while it runs, at which await its poll began. What that await kept may be overwritten meanwhile; what is read there
//! then fits no state, as a rule, and the path ends above it.

use super::Words;
use crate::decode::FrameId;
use crate::target::Avma;
use crate::trace::{NONE, Path, TracePlan, WalkArm, WalkNode};
use async_inspect_ebpf::{BLOCK, MAX_ARMS, PATH_BAD_TABLE, PATH_BROKEN, Walk, walk};
use std::collections::HashMap;
use std::io;

/// Of the vtable pointer in a task's Header, which is `#[repr(C)]`: state, queue_next, vtable.
const HEADER_VTABLE: usize = 0x10;
/// In the Header's first word.
const RUNNING: u64 = 1;
/// Vtables and paths remembered; a target has few of either.
const REMEMBERED: usize = 10_000;

/// What the walk goes by: the same tables that the kernel gets.
#[derive(Debug)]
pub struct Tables {
    nodes: Vec<WalkNode>,
    arms: Vec<WalkArm>,
    frames: Vec<Option<FrameId>>,
    /// By the address of a `dyn Future`'s vtable.
    dynamic: HashMap<u64, u32>,
    /// By the address of a poll function: where the walk starts, and where the task's id is.
    sites: HashMap<u64, (u32, u32)>,
    /// Of the poll function in a task's vtable.
    poll_slot: u64,
    /// Sites by vtables seen.
    vtables: HashMap<u64, Option<(u32, u32)>>,
    paths: HashMap<Vec<u32>, Path>,
}

impl Tables {
    /// `poll_slot`: where in a task's vtable the poll function is.
    pub fn new(plan: TracePlan, poll_slot: u64) -> Tables {
        let typed = plan.sites.iter().filter(|site| site.root != NONE && site.id_offset != NONE);
        Tables {
            sites: typed.map(|site| (site.address.0, (site.root, site.id_offset))).collect(),
            dynamic: plan.vtables.iter().map(|(vtable, node)| (vtable.0, *node)).collect(),
            nodes: plan.nodes,
            arms: plan.arms,
            frames: plan.arm_frames,
            poll_slot,
            vtables: HashMap::new(),
            paths: HashMap::new(),
        }
    }

    /// The path of the task with this id, whose header is at `header`. None where it is not there or does not run, or nothing
    /// describes it.
    ///
    /// # Errors
    /// When the target has gone.
    pub(super) fn path(&mut self, words: &mut dyn Words, header: Avma, id: u64) -> io::Result<Option<Path>> {
        let mut block = [0; BLOCK];
        let len = words.block(header.0, &mut block)?;
        let mut task = Task { tables: self, words, header: header.0, block: &block[..len], arms: Vec::new() };
        let (Some(state), Some(vtable)) =
            (task.word(header.0), task.word(header.offset(HEADER_VTABLE as u64).0))
        else {
            return Ok(None);
        };
        let Some((root, id_offset)) = task.site(vtable).filter(|_| state & RUNNING != 0) else {
            return Ok(None);
        };
        if task.word(header.offset(u64::from(id_offset)).0) != Some(id) {
            return Ok(None);
        }
        let why = walk(&mut task, root, header.0);
        let arms = task.arms;
        // Of a chain whose root makes no sense nothing is known; else as much as was read.
        let senseless = arms.is_empty() && why & PATH_BROKEN != 0;
        Ok((why & PATH_BAD_TABLE == 0 && !senseless).then(|| self.intern(arms)))
    }

    fn intern(&mut self, arms: Vec<u32>) -> Path {
        if let Some(path) = self.paths.get(&arms) {
            return path.clone();
        }
        if self.paths.len() >= REMEMBERED {
            self.paths.clear();
        }
        let path: Path = arms.iter().filter_map(|arm| *self.frames.get(*arm as usize)?).collect();
        self.paths.insert(arms, path.clone());
        path
    }
}

/// A task as it is read while it runs.
struct Task<'t> {
    tables: &'t mut Tables,
    words: &'t mut dyn Words,
    header: u64,
    block: &'t [u8],
    arms: Vec<u32>,
}

impl Task<'_> {
    fn word(&mut self, at: u64) -> Option<u64> {
        Walk::read(self, at, 8)
    }

    fn site(&mut self, vtable: u64) -> Option<(u32, u32)> {
        if let Some(known) = self.tables.vtables.get(&vtable) {
            return *known;
        }
        let poll = self.word(vtable.wrapping_add(self.tables.poll_slot))?;
        let site = self.tables.sites.get(&poll).copied();
        if self.tables.vtables.len() < REMEMBERED {
            self.tables.vtables.insert(vtable, site);
        }
        site
    }
}

impl Walk for Task<'_> {
    fn node(&mut self, index: u32) -> Option<WalkNode> {
        self.tables.nodes.get(index as usize).copied()
    }

    fn arm(&mut self, index: u32) -> Option<WalkArm> {
        self.tables.arms.get(index as usize).copied()
    }

    fn vtable(&mut self, address: u64) -> Option<u32> {
        self.tables.dynamic.get(&address).copied()
    }

    fn read(&mut self, at: u64, width: u32) -> Option<u64> {
        let width = width.clamp(1, 8) as usize;
        let mut word = [0; 8];
        let offset = usize::try_from(at.wrapping_sub(self.header)).ok();
        match offset.and_then(|offset| self.block.get(offset..offset.checked_add(width)?)) {
            Some(bytes) => word[..width].copy_from_slice(bytes),
            None => {
                let read = self.words.block(at, &mut word[..width]).ok()?;
                (read == width).then_some(())?;
            }
        }
        Some(u64::from_le_bytes(word))
    }

    fn record(&mut self, arm: u32) -> bool {
        let room = self.arms.len() < MAX_ARMS;
        if room {
            self.arms.push(arm);
        }
        room
    }

    fn ended(&mut self) {}
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
