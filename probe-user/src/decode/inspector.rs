//! A target opened for snapshots: its files indexed once, its memory read each time.

use super::discover::{Discovery, Scope, Search};
use super::drop_glue::DropGlue;
use super::emulate::CodeImage;
use super::executors::{Executors, add_executors};
use super::relations::{Described, relate};
use super::snapshot::{SnapshotParts, tasks};
use super::threads::Threads;
use super::{DebugInfoLevel, Frames, Polling, Recipes, RuntimeKind, Sites, Snapshot};
use crate::dwarf::{self, Code, DwarfError, INDEX_SCHEMA, Index, OpenSibling, Program, Sections, TaskNames};
use crate::runtime::Routines;
use crate::target::{
    Avma, CachedMemory, DebugFiles, Doing, DwarfSource, Identity, Image, IndexCache, Process, Region,
    Subject, Svma, TargetError, ThreadPointers,
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
    pub routines: Routines,
    /// Kinds of task that are not tokio's.
    pub executors: Executors,
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
        let (main, dwarf) = StaticModel::bytes(files);
        let separate = (!std::ptr::eq(main, dwarf)).then_some(dwarf);
        // Neither needs the other.
        let (model, routines) = rayon::join(
            || StaticModel::without_routines(files, code, user_crates, progress),
            || Routines::new(main, separate),
        );
        Ok(StaticModel { routines, ..model? })
    }

    /// Of the program, and of what describes it.
    fn bytes(files: &'static DebugFiles) -> (&'static [u8], &'static [u8]) {
        let main: &'static [u8] = &files.main;
        (main, files.dwarf().map_or(main, |bytes| bytes))
    }

    fn without_routines(
        files: &'static DebugFiles,
        code: &[(Svma, std::ops::Range<u64>)],
        user_crates: Vec<String>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<StaticModel, OpenError> {
        let (main, dwarf) = StaticModel::bytes(files);
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
        let mut executors = Executors::new(&recipes);
        let level = match (sites.typed() + executors.typed(), sites.len()) {
            (1.., _) => DebugInfoLevel::Full,
            (0, 1..) if program.has_types() => DebugInfoLevel::UnknownLayout,
            (0, 1..) => DebugInfoLevel::Names,
            (0, 0) => {
                executors.async_task.add_symbols(dwarf::run_symbols(main));
                let level = untyped(&mut sites, program, main, dwarf);
                let no_tasks = sites.is_empty() && executors.async_task.is_empty();
                match level {
                    // Nothing is spawned: there is only what a thread waits for.
                    _ if program.has_types() && no_tasks && !program.has_cells() => DebugInfoLevel::Full,
                    _ if program.has_types() => DebugInfoLevel::UnknownLayout,
                    DebugInfoLevel::None if !no_tasks => DebugInfoLevel::Symbols,
                    level => level,
                }
            }
        };
        let routines = Routines::default();
        let mut issues = program.issues.clone();
        issues.extend(files.refused.iter().map(|refused| refused.to_string()));
        let model = StaticModel { files, recipes, sites, routines, executors, level, issues, identity };
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
        !self.runtime_kinds().is_empty()
    }

    /// Kinds of runtime whose code the program has; whether it uses them a snapshot tells.
    pub fn runtime_kinds(&self) -> Vec<RuntimeKind> {
        let mentioned = dwarf::mentioned_runtimes(&self.files.main);
        let kinds = [
            (RuntimeKind::Tokio, !self.sites.is_empty() || mentioned.tokio),
            (RuntimeKind::AsyncTask, !self.executors.async_task.is_empty() || mentioned.async_task),
            (RuntimeKind::Futures, self.executors.futures.is_some() || mentioned.futures_executor),
        ];
        kinds.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
    }

    /// Keeps what a command found in the program beyond what the index had, for the next one. False where that is not much.
    pub fn keep_learned(&self) -> bool {
        let more = self.program().is_whole() && self.program().learned_more();
        if more {
            self.save_index();
        }
        more
    }

    /// Best effort: without a cache the next start is slower, nothing else.
    fn save_index(&self) {
        // A file that changed under us may have been read half old, half new.
        if self.files.is_torn() {
            return;
        }
        if let Some(identity) = self.identity {
            let index = self.program().index(self.recipes.leads.to_keep()).to_bytes();
            let _ = IndexCache::from_environment().store(identity, INDEX_SCHEMA, &index);
        }
    }
}

/// Kinds of task out of symbol tables and line tables; what they allow.
fn untyped(sites: &mut Sites, program: &Program<'_>, main: &[u8], separate: &[u8]) -> DebugInfoLevel {
    let mut symbols = dwarf::poll_symbols(main);
    if symbols.is_empty() {
        symbols = dwarf::poll_symbols(separate);
    }
    sites.add_symbols(symbols);
    sites.names = TaskNames::new(&[main, separate], program);
    let line_tables = program.flat_polls().next().is_some();
    match (line_tables, sites.is_empty()) {
        (true, _) => DebugInfoLevel::Names,
        (false, false) => DebugInfoLevel::Symbols,
        (false, true) => DebugInfoLevel::None,
    }
}

/// The first of the named files and directories that has debug information of the program; without any, what lies where
/// debug information is looked for.
pub fn find_files(
    named: &[PathBuf],
    open: &dyn Fn(Option<&Path>) -> Result<DebugFiles, TargetError>,
) -> Result<DebugFiles, TargetError> {
    let mut last = None;
    let mut refused = Vec::new();
    for path in named {
        match open(Some(path)) {
            Ok(files) if files.debug.is_some() || files.dwp.is_some() => return Ok(files),
            Ok(files) if files.refused.is_empty() => {
                refused.push(TargetError::NothingFor { directory: path.clone() });
            }
            Ok(files) => refused.extend(files.refused),
            Err(error) => last = Some(error),
        }
    }
    if let Some(error) = last {
        return Err(error);
    }
    let mut files = open(None)?;
    // Those that lie where it is looked for anyway were refused twice.
    refused.retain(|new| files.refused.iter().all(|known| known.to_string() != new.to_string()));
    files.refused.extend(refused);
    Ok(files)
}

/// A process, living or in a core file, with its static model.
#[derive(Debug)]
pub struct Inspector<S: Subject = Process> {
    pub process: S,
    pub image: Image,
    pub model: StaticModel,
    /// Offset of the id in tasks with this poll function, as the latest snapshot found it.
    pub ids: HashMap<Svma, u64>,
    /// Threads that tell which task they poll, as the latest snapshot found them.
    pub polling: Polling,
    /// What the first snapshot learned is in the index cache.
    saved: bool,
    pub(super) threads: Threads,
}

impl<S: Subject> Inspector<S> {
    pub fn open(
        process: S,
        debuginfo: &[PathBuf],
        user_crates: Vec<String>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Inspector<S>, OpenError> {
        let image = process.main_image()?;
        let files = find_files(debuginfo, &|explicit| process.debug_files(&image, explicit))?;
        let code: Vec<_> = image
            .text_segments()
            .map(|s| (s.address, s.file_offset.0..s.file_offset.0.saturating_add(s.file_size)))
            .collect();
        let model = StaticModel::load(files, &code, user_crates, progress)?;
        Ok(Inspector {
            process,
            image,
            model,
            ids: HashMap::new(),
            polling: Polling::default(),
            saved: false,
            threads: Threads::default(),
        })
    }

    /// Reads every task now. Times are the caller's: this module has no clock. `t_ns`: None where the target's clock is not
    /// known.
    pub fn snapshot(&mut self, taken_at_ns: u64, t_ns: Option<u64>) -> Result<Snapshot, TargetError> {
        self.process.refresh()?;
        let pointers = self.process.thread_pointers()?;
        let tls_blocks = self.tls_blocks(&pointers);
        let discovery = self.discover(&pointers, &tls_blocks)?;
        self.ids.clone_from(&discovery.ids);
        self.polling = self.polling(&tls_blocks, &discovery);
        let version = self.model.sites.tokio_version.as_deref();
        let (recipes, bias) = (&self.model.recipes, self.image.bias);
        let mut parts = tasks(recipes, &self.process, bias, &discovery, version);
        self.add_queues(&mut parts, &discovery, &tls_blocks);
        add_executors(recipes, &self.process, bias, &discovery.executors, &mut parts);
        self.add_threads(&mut parts, &discovery, &tls_blocks, t_ns.is_some());
        let SnapshotParts { claims, runtimes, mut coverage, polls } = parts;
        let descriptors = self.process.descriptors();
        let describe = |fd, doing: Doing| match &descriptors {
            Some(descriptors) => {
                Described { words: descriptors.tell(fd, doing), outgoing: descriptors.is_outgoing(fd) }
            }
            None => Described { words: format!("{} fd {fd}", doing.verb()), outgoing: false },
        };
        let glue = self.drop_glue(&pointers);
        let mut tasks = relate(&self.model.recipes, &self.process, &glue, claims, &describe);
        // By keys alone: the tasks themselves are large.
        tasks.sort_by_cached_key(|task| (task.owner, task.id));
        self.process.check_same()?;
        coverage.issues.extend(self.process.issues().iter().cloned());
        coverage.issues.extend(self.model.issues.iter().cloned());
        self.saved = self.saved || self.model.keep_learned();
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
            polls,
        })
    }

    /// The program's own thread-locals, by tid.
    fn tls_blocks(&self, pointers: &ThreadPointers) -> HashMap<u32, Avma> {
        let Some(below) = self.image.tls_block_offset() else { return HashMap::new() };
        pointers.found.iter().map(|t| (t.tid, t.fs_base.offset(below.wrapping_neg()))).collect()
    }

    fn discover(
        &self,
        pointers: &ThreadPointers,
        tls_blocks: &HashMap<u32, Avma>,
    ) -> Result<Discovery, TargetError> {
        let mut by_tid: Vec<(&u32, &Avma)> = tls_blocks.iter().collect();
        by_tid.sort_unstable();
        let tls_blocks: Vec<Avma> = by_tid.into_iter().map(|(_, block)| *block).collect();
        let data: Vec<Region> =
            self.image.headers.segments.iter().filter(|s| s.writable).map(|s| self.region(s)).collect();
        let constant = |s: &&crate::target::Segment| !s.writable && !s.executable;
        let constants: Vec<Region> =
            self.image.headers.segments.iter().filter(constant).map(|s| self.region(s)).collect();
        let text: Vec<Region> = self.image.text_segments().map(|s| self.region(s)).collect();
        let stacks: Vec<Avma> =
            pointers.found.iter().filter(|t| t.tid != self.process.pid()).map(|t| t.fs_base).collect();
        let heap = heap(self.process.regions(), &stacks);
        let cache = CachedMemory::new(&self.process, SEARCH_CACHE);
        let scope = Scope {
            bias: self.image.bias,
            tls_blocks: &tls_blocks,
            data: &data,
            constants: &constants,
            heap: &heap,
            text: &text,
        };
        let search =
            Search { program: self.model.program(), sites: &self.model.sites, memory: &cache, scope: &scope };
        let mut discovery = search.run();
        discovery.executors = self.model.executors.find(&self.model.recipes, &cache, &scope);
        if !pointers.missing.is_empty() {
            let (n, s) = (pointers.missing.len(), if pointers.missing.len() == 1 { "" } else { "s" });
            discovery.issues.push(format!("the thread-locals of {n} thread{s} were not found"));
        }
        Ok(discovery)
    }

    fn drop_glue(&self, pointers: &ThreadPointers) -> DropGlue<'_> {
        let code = CodeImage { code: self.model.program().code(), bias: self.image.bias };
        // Any but the first, which may know no runtime.
        let thread = pointers.found.last().map(|thread| thread.fs_base);
        DropGlue::new(code, &self.model.routines, &self.process, self.model.sites.vtable.dealloc, thread)
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
