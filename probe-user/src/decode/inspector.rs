//! A target opened for snapshots: its files indexed once, its memory read each time.

use super::discover::{Discovery, Scope, Search};
use super::{DebugInfoLevel, Frames, Recipes, Sites, Snapshot, SnapshotParts, tasks};
use crate::dwarf::{self, Code, DwarfError, INDEX_SCHEMA, Index, OpenSibling, Program, Sections};
use crate::target::{
    Avma, CachedMemory, DebugFiles, DwarfSource, Identity, Image, IndexCache, Memory, Process, Region, Svma,
    TargetError,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum OpenError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Dwarf(#[from] DwarfError),
}

/// Everything that is known of a program without running it.
///
/// Lives until the process ends: a command looks at one program, and what borrows from its files borrows for good.
#[derive(Debug)]
pub struct StaticModel {
    pub files: &'static DebugFiles,
    pub recipes: Recipes<'static, 'static>,
    pub sites: Sites,
    pub level: DebugInfoLevel,
    pub issues: Vec<String>,
    identity: Option<Identity>,
}

/// Block cache of one search for tasks.
const SEARCH_CACHE: usize = 64 << 20;
/// Rust gives its threads 2 MiB of stack, below the thread's control block.
const STACK: u64 = 2 << 20;

impl StaticModel {
    /// `progress` is told units done and in all, while debug information is indexed.
    pub fn load(
        files: DebugFiles,
        code: &[(Svma, std::ops::Range<u64>)],
        user_crates: Vec<String>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<StaticModel, OpenError> {
        let files: &'static DebugFiles = Box::leak(Box::new(files));
        let main: &'static [u8] = &files.main;
        let dwarf: &'static [u8] = files.dwarf().map_or(main, |bytes| bytes);
        let package = files.dwp.as_ref().map(|located| &*located.bytes);
        let sections: &'static Sections<'static> = Box::leak(Box::new(Sections::load(dwarf, package)?));
        let open_sibling: &'static OpenSibling<'static> = Box::leak(Box::new(|path: &Path| {
            files.open_sibling(path).map(|bytes| &**Box::leak(Box::new(bytes)))
        }));
        let described = files.dwarf_source() != DwarfSource::Nowhere;
        let identity = described.then(|| crate::target::identity(files));
        let cached = identity.and_then(|id| IndexCache::from_environment().load(id, INDEX_SCHEMA));
        let index = cached.and_then(|bytes| Index::from_bytes(&bytes));
        let fresh = index.is_none();
        let code = code.iter().filter_map(|(start, range)| {
            let bytes = main.get(range.start as usize..range.end as usize)?;
            Some(Code { start: *start, bytes })
        });
        let program: &'static Program<'static> =
            Box::leak(Box::new(Program::new(sections, open_sibling, index, code.collect(), progress)?));
        let recipes = Recipes::new(program, Arc::new(Frames::default()), user_crates);
        let mut sites = Sites::new(&recipes);
        let level = match (sites.typed(), sites.len()) {
            (1.., _) => DebugInfoLevel::Full,
            (0, 1..) => DebugInfoLevel::Names,
            (0, 0) => {
                sites.add_symbols(dwarf::poll_symbols(main));
                if sites.is_empty() { DebugInfoLevel::None } else { DebugInfoLevel::Symbols }
            }
        };
        let mut issues = program.issues.clone();
        issues.extend(files.refused.iter().map(|refused| refused.to_string()));
        let model = StaticModel { files, recipes, sites, level, issues, identity };
        if fresh && model.program().is_whole() {
            model.save_index();
        }
        Ok(model)
    }

    pub fn program(&self) -> &'static Program<'static> {
        self.recipes.program
    }

    /// Whether the program has a runtime that is known here.
    pub fn has_runtime(&self) -> bool {
        !self.sites.is_empty() || dwarf::mentions_tokio(&self.files.main)
    }

    /// Best effort: without a cache the next start is slower, nothing else.
    fn save_index(&self) {
        // A file that changed under us may have been read half old, half new.
        if self.files.is_torn() {
            return;
        }
        if let Some(identity) = self.identity {
            let index = self.program().index().to_bytes();
            let _ = IndexCache::from_environment().store(identity, INDEX_SCHEMA, &index);
        }
    }
}

/// The first of the named files and directories that has debug information of the program; without any, what lies where
/// debug information is looked for.
pub fn find_files(
    named: &[PathBuf],
    open: &dyn Fn(Option<&Path>) -> Result<DebugFiles, TargetError>,
) -> Result<DebugFiles, TargetError> {
    let mut last = None;
    for path in named {
        match open(Some(path)) {
            Ok(files) if files.debug.is_some() || files.dwp.is_some() => return Ok(files),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    last.map_or_else(|| open(None), Err)
}

/// A running process with its static model.
#[derive(Debug)]
pub struct Inspector {
    pub process: Process,
    pub image: Image,
    pub model: StaticModel,
    /// Offset of the id in tasks with this poll function, as the latest snapshot found it.
    pub ids: HashMap<Svma, u64>,
    /// What the first snapshot learned is in the index cache.
    saved: bool,
}

impl Inspector {
    pub fn open(
        process: Process,
        debuginfo: &[PathBuf],
        user_crates: Vec<String>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Inspector, OpenError> {
        let image = process.main_image()?;
        let files = find_files(debuginfo, &|explicit| DebugFiles::of_image(&process, &image, explicit))?;
        let code: Vec<_> = image
            .text_segments()
            .map(|s| (s.address, s.file_offset.0..s.file_offset.0.saturating_add(s.file_size)))
            .collect();
        let model = StaticModel::load(files, &code, user_crates, progress)?;
        Ok(Inspector { process, image, model, ids: HashMap::new(), saved: false })
    }

    /// Reads every task now. Times are the caller's: this module has no clock.
    pub fn snapshot(&mut self, taken_at_ns: u64, t_ns: u64) -> Result<Snapshot, TargetError> {
        self.process.refresh_regions()?;
        let discovery = self.discover()?;
        self.ids.clone_from(&discovery.ids);
        let version = self.model.sites.tokio_version.as_deref();
        let SnapshotParts { tasks, runtimes, mut coverage } =
            tasks(&self.model.recipes, &self.process, self.image.bias, &discovery, version);
        // After an exec another program runs there, which the static model does not describe.
        if !self.process.is_alive() || self.process.has_execed() {
            return Err(TargetError::Gone { pid: self.process.pid() });
        }
        coverage.issues.extend(self.model.issues.iter().cloned());
        if self.model.program().learned_more() && !self.saved {
            self.saved = true;
            self.model.save_index();
        }
        Ok(Snapshot {
            pid: self.process.pid(),
            exe: self.image.path.display().to_string(),
            taken_at_ns,
            t_ns,
            debuginfo: self.model.level,
            runtimes,
            coverage,
            tasks,
            frames: self.model.recipes.frames.clone(),
        })
    }

    fn discover(&self) -> Result<Discovery, TargetError> {
        let pointers = self.process.thread_pointers()?;
        let below = self.image.tls_block_offset();
        let tls_blocks: Vec<Avma> =
            pointers.found.iter().filter_map(|t| Some(t.fs_base.offset(below?.wrapping_neg()))).collect();
        let data: Vec<Region> =
            self.image.headers.segments.iter().filter(|s| s.writable).map(|s| self.region(s)).collect();
        let text: Vec<Region> = self.image.text_segments().map(|s| self.region(s)).collect();
        let stacks: Vec<Avma> =
            pointers.found.iter().filter(|t| t.tid != self.process.pid()).map(|t| t.fs_base).collect();
        let heap = heap(self.process.regions(), &stacks);
        let cache = CachedMemory::new(&self.process, SEARCH_CACHE);
        let scope =
            Scope { bias: self.image.bias, tls_blocks: &tls_blocks, data: &data, heap: &heap, text: &text };
        let search =
            Search { program: self.model.program(), sites: &self.model.sites, memory: &cache, scope: &scope };
        let mut discovery = search.run();
        if !pointers.missing.is_empty() {
            let n = pointers.missing.len();
            discovery.issues.push(format!("the thread-locals of {n} threads were not found"));
        }
        Ok(discovery)
    }

    fn region(&self, segment: &crate::target::Segment) -> Region {
        let start = self.image.to_avma(segment.address);
        Region {
            start,
            end: start.offset(segment.size),
            readable: true,
            writable: segment.writable,
            executable: segment.executable,
            file_offset: segment.file_offset.0,
            device: (0, 0),
            inode: 0,
            path: String::new(),
        }
    }
}

/// Writable anonymous memory without what lies below a thread's control block: half-built tasks and old copies of
/// them lie on stacks.
fn heap(regions: &[Region], stacks: &[Avma]) -> Vec<Region> {
    let mut heap: Vec<Region> = Vec::new();
    let anonymous = |r: &&Region| r.writable && r.readable && r.inode == 0 && r.path != "[stack]";
    for region in regions.iter().filter(anonymous) {
        let mut rest = region.clone();
        let mut inside: Vec<Avma> = stacks.iter().copied().filter(|s| region.contains(*s)).collect();
        inside.sort_unstable();
        for top in inside {
            let bottom = Avma(top.0.saturating_sub(STACK).max(rest.start.0));
            if bottom > rest.start {
                heap.push(Region { end: bottom, ..rest.clone() });
            }
            rest.start = top;
        }
        if !rest.is_empty() {
            heap.push(rest);
        }
    }
    heap
}
