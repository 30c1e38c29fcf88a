//! The files that describe a program: itself, and its debug information wherever the build or the distribution put it.

use super::bytes::Bytes;
use super::elf::{self, Elf};
use super::files::{FileView, open_here};
use super::image::Image;
use super::matching::{self, Matched, hex};
use super::{Process, TargetError};
use object::Object;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file of debug information that belongs to the program.
#[derive(Clone, Debug)]
pub struct Located {
    pub path: PathBuf,
    pub bytes: Bytes,
    pub matched: Matched,
}

/// Which file holds the program's DWARF units (whole ones, or the skeletons of split ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DwarfSource {
    Main,
    Separate,
    /// There is none: symbols at best.
    Nowhere,
}

#[derive(Debug)]
pub struct DebugFiles {
    /// The executable (or library) that is mapped, from the very inode.
    pub main: Bytes,
    /// As the target sees it.
    pub main_path: PathBuf,
    /// A separate file, where the program itself has no DWARF or one was named explicitly.
    pub debug: Option<Located>,
    /// The package of split units.
    pub dwp: Option<Located>,
    /// Files that stood where debug information is looked for, and why they were not used.
    pub refused: Vec<TargetError>,
    view: FileView,
}

impl DebugFiles {
    /// Of an image of a live process. `explicit` is a file, or a directory to look in first; a file that does not
    /// belong to the program is an error, other mismatches are listed in `refused`.
    pub fn of_image(
        process: &Process,
        image: &Image,
        explicit: Option<&Path>,
    ) -> Result<DebugFiles, TargetError> {
        let main = Bytes::open(&image.open()?, &image.path)?;
        DebugFiles::locate(main, image.path.clone(), FileView::of(process.proc_dir()), explicit)
    }

    /// Of a program on disk that need not run.
    pub fn of_file(path: &Path, explicit: Option<&Path>) -> Result<DebugFiles, TargetError> {
        let main = open_bytes(path)?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        DebugFiles::locate(main, path, FileView::ours(), explicit)
    }

    fn locate(
        main: Bytes,
        main_path: PathBuf,
        view: FileView,
        explicit: Option<&Path>,
    ) -> Result<DebugFiles, TargetError> {
        let mut files = DebugFiles { main, main_path, debug: None, dwp: None, refused: Vec::new(), view };
        let main = files.main.clone();
        let parsed = elf::parse(&main, &files.main_path)?;
        match explicit {
            Some(path) if path.is_dir() => files.look_in(path, &parsed),
            Some(path) => files.take_explicit(path, &parsed)?,
            None => {}
        }
        if files.debug.is_none() && !elf::has_dwarf(&parsed) {
            files.look_for_debug_file(&parsed);
        }
        if files.dwp.is_none() {
            files.look_for_package(&parsed);
        }
        Ok(files)
    }

    /// Which of the files DWARF comes from; `dwp` holds what its skeletons point to.
    pub fn dwarf_source(&self) -> DwarfSource {
        if self.debug.is_some() {
            DwarfSource::Separate
        } else if elf::parse(&self.main, &self.main_path).is_ok_and(|file| elf::has_dwarf(&file)) {
            DwarfSource::Main
        } else {
            DwarfSource::Nowhere
        }
    }

    /// Bytes of the file that [`DebugFiles::dwarf_source`] names.
    pub fn dwarf(&self) -> Option<&Bytes> {
        match self.dwarf_source() {
            DwarfSource::Main => Some(&self.main),
            DwarfSource::Separate => self.debug.as_ref().map(|located| &located.bytes),
            DwarfSource::Nowhere => None,
        }
    }

    /// A file that DWARF names (`comp_dir` + `dwo_name`), as the target sees it or else as we do. The caller checks its
    /// dwo id. A relative path is taken from the program's directory.
    pub fn open_sibling(&self, path: &Path) -> Option<Bytes> {
        let path = self.directory().join(path);
        Bytes::open(&self.view.open(&path).ok()?, &path).ok()
    }

    /// Some file shrank while it was read.
    pub fn is_torn(&self) -> bool {
        let others = self.debug.iter().chain(&self.dwp).map(|located| &located.bytes);
        std::iter::once(&self.main).chain(others).any(Bytes::is_torn)
    }

    fn directory(&self) -> &Path {
        self.main_path.parent().unwrap_or(Path::new("/"))
    }

    fn take_explicit(&mut self, path: &Path, main: &Elf<'_>) -> Result<(), TargetError> {
        let bytes = open_bytes(path)?;
        let candidate = elf::parse(&bytes, path)?;
        if elf::is_package(&candidate) {
            self.dwp = Some(self.package(path, &bytes, &candidate, main)?);
        } else {
            self.debug = Some(separate(path, &bytes, &candidate, main, None)?);
        }
        Ok(())
    }

    fn look_in(&mut self, directory: &Path, main: &Elf<'_>) {
        let main_path = self.main_path.clone();
        let name = main_path.file_name().unwrap_or_default();
        let in_full = main_path.strip_prefix("/").unwrap_or(&main_path);
        let mut candidates: Vec<PathBuf> =
            build_id_path(main).map(|p| directory.join(p)).into_iter().collect();
        for base in [Path::new(name), in_full] {
            candidates.extend([directory.join(with_suffix(base, ".debug")), directory.join(base)]);
        }
        let open = |path: &Path| open_here(path).ok().and_then(|file| Bytes::open(&file, path).ok());
        for path in candidates {
            if let Some(bytes) = open(&path) {
                self.consider(&path, &bytes, main, None);
            }
            if self.debug.is_some() {
                break;
            }
        }
        let path = directory.join(with_suffix(Path::new(name), ".dwp"));
        if let Some(bytes) = open(&path) {
            self.consider_package(&path, &bytes, main);
        }
    }

    /// Where gdb looks: build-id directories, then what `.gnu_debuglink` names beside the program, in `.debug` and
    /// under the global directory (GDB manual, "Separate Debug Files"); then debuginfod's own cache of earlier fetches.
    fn look_for_debug_file(&mut self, main: &Elf<'_>) {
        const GLOBAL: &str = "/usr/lib/debug";
        let mut candidates: Vec<(PathBuf, Option<u32>)> = Vec::new();
        candidates.extend(build_id_path(main).map(|p| (Path::new(GLOBAL).join(p), None)));
        if let Ok(Some((name, crc))) = main.gnu_debuglink() {
            let name = Path::new(OsStr::from_bytes(name));
            // A bare name, says the format; anything else would let a program point us anywhere.
            if name.file_name() == Some(name.as_os_str()) {
                let directory = self.directory();
                let global = Path::new(GLOBAL).join(directory.strip_prefix("/").unwrap_or(directory));
                for place in [directory.to_owned(), directory.join(".debug"), global] {
                    candidates.push((place.join(name), Some(crc)));
                }
            }
        }
        candidates.extend(debuginfod_cache(main).map(|p| (p, None)));
        for (path, crc) in candidates {
            let Ok(file) = self.view.open(&path) else { continue };
            let Ok(bytes) = Bytes::open(&file, &path) else { continue };
            self.consider(&path, &bytes, main, crc);
            if self.debug.is_some() {
                return;
            }
        }
    }

    /// rustc's `split-debuginfo=packed` writes `<program>.dwp` beside the program
    /// (`link_dwarf_object` in compiler/rustc_codegen_ssa/src/back/link.rs).
    fn look_for_package(&mut self, main: &Elf<'_>) {
        let mut candidates = vec![with_suffix(&self.main_path, ".dwp")];
        if let Some(debug) = &self.debug {
            candidates.extend([with_suffix(&debug.path, ".dwp"), debug.path.with_extension("dwp")]);
        }
        for path in candidates {
            let Ok(file) = self.view.open(&path) else { continue };
            let Ok(bytes) = Bytes::open(&file, &path) else { continue };
            self.consider_package(&path, &bytes, main);
            if self.dwp.is_some() {
                return;
            }
        }
    }

    fn consider(&mut self, path: &Path, bytes: &Bytes, main: &Elf<'_>, crc: Option<u32>) {
        let outcome =
            elf::parse(bytes, path).and_then(|candidate| separate(path, bytes, &candidate, main, crc));
        match outcome {
            Ok(located) => self.debug = Some(located),
            Err(e) => self.refused.push(e),
        }
    }

    fn consider_package(&mut self, path: &Path, bytes: &Bytes, main: &Elf<'_>) {
        let outcome =
            elf::parse(bytes, path).and_then(|candidate| self.package(path, bytes, &candidate, main));
        match outcome {
            Ok(located) => self.dwp = Some(located),
            Err(e) => self.refused.push(e),
        }
    }

    fn package(
        &self,
        path: &Path,
        bytes: &Bytes,
        candidate: &Elf<'_>,
        main: &Elf<'_>,
    ) -> Result<Located, TargetError> {
        let mismatch = |differs| TargetError::DebugMismatch { path: path.to_owned(), differs };
        let matched = match &self.debug {
            Some(debug) => matching::package(&elf::parse(&debug.bytes, &debug.path)?, candidate),
            None => matching::package(main, candidate),
        };
        Ok(Located { path: path.to_owned(), bytes: bytes.clone(), matched: matched.map_err(mismatch)? })
    }
}

fn separate(
    path: &Path,
    bytes: &Bytes,
    candidate: &Elf<'_>,
    main: &Elf<'_>,
    crc: Option<u32>,
) -> Result<Located, TargetError> {
    let matched = matching::debug_file(main, candidate, bytes, crc)
        .map_err(|differs| TargetError::DebugMismatch { path: path.to_owned(), differs })?;
    if !elf::has_dwarf(candidate) {
        return Err(TargetError::NoDebugInfo { path: path.to_owned() });
    }
    Ok(Located { path: path.to_owned(), bytes: bytes.clone(), matched })
}

fn open_bytes(path: &Path) -> Result<Bytes, TargetError> {
    let file = open_here(path).map_err(|source| TargetError::Unreadable { path: path.to_owned(), source })?;
    Bytes::open(&file, path)
}

/// `.build-id/ab/cdef….debug`; an id too short or too long to be one gives none.
fn build_id_path(main: &Elf<'_>) -> Option<PathBuf> {
    let id = main.build_id().ok()?.filter(|id| (4..=64).contains(&id.len()))?;
    Some(PathBuf::from(format!(".build-id/{}/{}.debug", hex(&id[..1]), hex(&id[1..]))))
}

/// `~/.cache/debuginfod_client/<build-id>/debuginfo` (debuginfod-find(1)); nothing is ever fetched.
fn debuginfod_cache(main: &Elf<'_>) -> Option<PathBuf> {
    let id = main.build_id().ok()?.filter(|id| (4..=64).contains(&id.len()))?;
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("DEBUGINFOD_CACHE_PATH").or_else(|| {
        let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(cache.join("debuginfod_client"))
    })?;
    Some(cache.join(hex(id)).join("debuginfo"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
