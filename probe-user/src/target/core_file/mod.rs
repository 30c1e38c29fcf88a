//! A process as its core file keeps it: written by the kernel when it died (core(5)), or by gdb's gcore while it lived.

mod memory;
mod notes;
mod program;
mod regions;
mod segments;

pub use notes::CoreThread;

use super::process::without_deleted_mark;
use super::{
    Avma, Bias, Bytes, DebugFiles, ElfHeaders, Image, Memory, ReadError, Region, Subject, TargetError,
    ThreadPlace, ThreadPointer, ThreadPointers, files, region_of,
};
use memory::Dumped;
use notes::{AT_ENTRY, Notes};
use program::{Known, ProgramFile};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Cheap to open: the file is mapped, and only its headers are read.
#[derive(Debug)]
pub struct Core {
    path: PathBuf,
    pid: u32,
    dumped: Dumped,
    /// By thread id.
    threads: Vec<CoreThread>,
    regions: Vec<Region>,
    /// As the process saw it.
    program_path: PathBuf,
    program: ProgramFile,
    /// What was not dumped of the program's file is as the file has it.
    untouched: bool,
    written: Option<SystemTime>,
    issues: Vec<String>,
}

impl Core {
    /// `exe`: the program that ran, where it is no longer at the path that the core file tells.
    ///
    /// # Errors
    /// `Unreadable`, `NotElf`, `OtherMachine`, `NotCore`; `Truncated` where headers are missing; `UnknownProgram`, `NoProgram`
    /// and `OtherProgram` where the executable is not told, is not there, or is not the one that ran.
    pub fn open(path: &Path, exe: Option<&Path>) -> Result<Core, TargetError> {
        let unreadable = |source| TargetError::Unreadable { path: path.to_owned(), source };
        let file = files::open_here(path).map_err(unreadable)?;
        let written = file.metadata().ok().and_then(|meta| meta.modified().ok());
        let core = Core::parse(Bytes::open(&file, path)?, path, exe)?;
        Ok(Core { written, ..core })
    }

    /// Of a core file's bytes; `path` is for messages. Errors as those of [`Core::open`].
    pub fn parse(bytes: Bytes, path: &Path, exe: Option<&Path>) -> Result<Core, TargetError> {
        let segments = segments::parse(&bytes, path)?;
        let mut notes = Notes::default();
        for (range, align) in &segments.notes {
            notes.add(&bytes[range.clone()], *align);
        }
        let mut threads = std::mem::take(&mut notes.threads);
        let pid = notes.pid.or(threads.first().map(|first| first.registers.tid));
        threads.sort_by_key(|thread| thread.registers.tid);
        threads.dedup_by_key(|thread| thread.registers.tid);

        let mut issues = losses(&segments, &notes, bytes.len() as u64);
        if threads.is_empty() {
            issues.push("the core file tells of no thread: tasks are looked for in memory only".to_owned());
        }
        if pid.is_none() {
            issues.push("the core file does not tell the process's id: 0 stands for it".to_owned());
        }
        let cut = segments.whole_len > bytes.len() as u64;
        let dumped = Dumped::new(bytes, segments.loads, &notes.files);
        let untouched = regions::anonymous_is_dumped(&dumped, &notes);
        if !untouched {
            let why = "neither heap nor stacks were dumped (coredump_filter of core(5) leaves them out), so no task is seen";
            issues.push(why.to_owned());
        }
        let (program_path, program, known) = find_program(&dumped, &notes, path, exe, cut)?;
        if known == Known::Layout {
            let program = program.path.display();
            issues.push(format!(
                "that {program} is what ran is known by its layout only: nothing of it was dumped"
            ));
        }
        let regions = regions::of(&dumped, &notes, |at| untouched.then(|| program.mapped_at(at)).flatten());
        Ok(Core {
            path: path.to_owned(),
            pid: pid.unwrap_or(0),
            dumped,
            threads,
            regions,
            program_path,
            program,
            untouched,
            written: None,
            issues,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// By thread id.
    pub fn threads(&self) -> &[CoreThread] {
        &self.threads
    }

    /// When the file was last written to; the format has no time.
    pub fn written(&self) -> Option<SystemTime> {
        self.written
    }

    /// Where in the file the bytes from this address on are, to the end of what was dumped of its mapping.
    pub fn file_range(&self, at: Avma) -> Option<Range<usize>> {
        let load = self.dumped.load_of(at)?;
        let into = usize::try_from(at.0 - load.start.0).ok()?;
        (into < load.file.len()).then(|| load.file.start + into..load.file.end)
    }

    fn at(&self, at: Avma) -> Option<&[u8]> {
        if let Some(bytes) = self.dumped.at(at) {
            return Some(bytes);
        }
        if !self.untouched || self.dumped.is_cut_at(at) {
            return None;
        }
        let load = self.dumped.load_of(at)?;
        let bytes = self.program.mapped_at(at)?;
        let left = usize::try_from(load.end().0 - at.0).unwrap_or(usize::MAX);
        Some(&bytes[..bytes.len().min(left)])
    }
}

/// What is missing for good; for people.
fn losses(segments: &segments::Segments, notes: &Notes, len: u64) -> Vec<String> {
    let mut issues = Vec::new();
    let missing: u64 = segments.loads.iter().map(|load| load.missing).fold(0, u64::saturating_add);
    if segments.whole_len > len || missing > 0 {
        issues.push(format!(
            "the core file is truncated: of {} bytes it has {len}, so {missing} bytes of memory are missing; what is only \
             there is not seen",
            segments.whole_len
        ));
    }
    if notes.broken {
        issues.push("a note of the core file broke off: threads or mapped files may be missing".to_owned());
    }
    if segments.refused > 0 {
        let n = segments.refused;
        issues.push(format!("{n} mappings of the core file contradict others and are left out"));
    }
    issues
}

/// The executable as the process saw it, where it is, and how we know it.
fn find_program(
    dumped: &Dumped,
    notes: &Notes,
    core: &Path,
    exe: Option<&Path>,
    cut: bool,
) -> Result<(PathBuf, ProgramFile, Known), TargetError> {
    let entry = notes.auxv(AT_ENTRY);
    let named = notes.files.iter().find(|file| entry.is_some_and(|entry| file.addresses.contains(&entry)));
    let named = named.map(|file| without_deleted_mark(&file.path).0);
    let Some(path) = exe.map(Path::to_owned).or_else(|| named.clone()) else {
        let why =
            if cut { "it is truncated, and that stood at its end" } else { "it has no list of mapped files" };
        return Err(TargetError::UnknownProgram { core: core.to_owned(), why });
    };
    let program = ProgramFile::open(&path, entry, dumped).map_err(|error| TargetError::NoProgram {
        core: core.to_owned(),
        program: path.clone(),
        why: error.to_string(),
    })?;
    match program.compare(dumped) {
        Ok(known) => Ok((named.unwrap_or(path), program, known)),
        Err(differs) => Err(TargetError::OtherProgram { core: core.to_owned(), program: path, differs }),
    }
}

impl Memory for Core {
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut done = 0;
        while done < buf.len() {
            let here = Avma(at.0.checked_add(done as u64).ok_or(ReadError::Unmapped(at))?);
            let bytes = self.at(here).ok_or(ReadError::Unmapped(here))?;
            let n = bytes.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&bytes[..n]);
            done += n;
        }
        Ok(())
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }
}

impl Subject for Core {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn refresh(&mut self) -> Result<(), TargetError> {
        Ok(())
    }

    fn check_same(&self) -> Result<(), TargetError> {
        let torn = [(&self.dumped.bytes, &self.path), (&self.program.bytes, &self.program.path)];
        match torn.into_iter().find(|(bytes, _)| bytes.is_torn()) {
            None => Ok(()),
            Some((_, path)) => Err(TargetError::Malformed {
                path: path.clone(),
                what: "it shrank while it was read".to_owned(),
            }),
        }
    }

    fn main_image(&self) -> Result<Image, TargetError> {
        Ok(Image {
            path: self.program_path.clone(),
            deleted: false,
            bias: self.program.bias,
            headers: self.program.headers.clone(),
            open_path: self.program.path.clone(),
        })
    }

    /// Libraries of which the file at the same path begins as what was mapped; others are left out.
    fn other_images(&self) -> Vec<Image> {
        let entry = self.program.headers.entry.to_avma(self.program.bias);
        let own = region_of(&self.regions, entry).map_or(0, |region| region.inode);
        let begins = self.regions.iter().filter(|r| r.inode != 0 && r.inode != own && r.file_offset == 0);
        begins.filter_map(|region| self.library(region)).collect()
    }

    fn debug_files(&self, image: &Image, explicit: Option<&Path>) -> Result<DebugFiles, TargetError> {
        DebugFiles::of_file(&image.open_path, explicit)
    }

    fn tids(&self) -> Vec<u32> {
        self.threads.iter().map(|thread| thread.registers.tid).collect()
    }

    /// In a core file nothing runs: whatever a thread did, it stands there.
    fn thread_place(&self, tid: u32) -> ThreadPlace {
        let at = self.threads.binary_search_by_key(&tid, |thread| thread.registers.tid);
        at.map_or(ThreadPlace::Unknown, |at| ThreadPlace::Asleep(self.threads[at].registers))
    }

    fn thread_pointers(&self) -> Result<ThreadPointers, TargetError> {
        let mut pointers = ThreadPointers::default();
        for thread in &self.threads {
            let tid = thread.registers.tid;
            if thread.fs_base.is_null() {
                pointers.missing.push(super::Thread { tid, ns_tid: tid, comm: String::new() });
            } else {
                pointers.found.push(ThreadPointer { tid, fs_base: thread.fs_base });
            }
        }
        Ok(pointers)
    }

    fn issues(&self) -> &[String] {
        &self.issues
    }
}

impl Core {
    /// The file whose beginning is mapped there, if it is an ELF file that begins as what was dumped.
    fn library(&self, first: &Region) -> Option<Image> {
        const PAGE: usize = 4096;
        let dumped = self.dumped.at(first.start)?;
        let dumped = dumped.get(..PAGE).filter(|page| page.starts_with(b"\x7fELF"))?;
        let (path, deleted) = without_deleted_mark(Path::new(&first.path));
        let file = files::open_here(&path).ok()?;
        let mut begins = [0; PAGE];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut begins, 0).ok()?;
        if begins != *dumped {
            return None;
        }
        let headers = ElfHeaders::read(&file, &path).ok()?;
        let stated = headers.segments.iter().find(|segment| segment.file_offset.0 == 0)?.address;
        let bias = Bias(first.start.0.wrapping_sub(stated.0));
        Some(Image { open_path: path.clone(), path, deleted, bias, headers })
    }
}
