//! A live process: its identity, memory, threads and mapped images. Never stopped, never written to.

use super::access::{absent, denied, unreadable};
use super::fds::Descriptors;
use super::image::{ElfHeaders, Image};
use super::memory::region_of;
use super::procdir::ProcDir;
use super::sockets::SocketTables;
use super::{Avma, Bias, Memory, ReadError, Region, TargetError, maps};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A process, unmistakably: PIDs are reused, and mean something else in each namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// Inode of the target's own PID namespace.
    pub pid_ns: u64,
    /// Its PID there.
    pub pid: u32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// Differs after each `exec`; not a count. A hash of what the kernel gives a program at its start (the auxiliary
    /// vector, with its addresses and 16 random bytes).
    pub exec_generation: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// As seen where this command runs.
    pub tid: u32,
    /// As the thread itself sees it; what it stores in its control block.
    pub ns_tid: u32,
    pub comm: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeccompMode {
    Disabled,
    Strict,
    Filter,
}

#[derive(Debug)]
pub struct Process {
    dir: ProcDir,
    key: ProcessKey,
    comm: String,
    regions: Vec<Region>,
    sockets: Arc<SocketTables>,
}

impl Process {
    /// `pid` as seen where this command runs.
    pub fn open(pid: u32) -> Result<Process, TargetError> {
        check_proc_is_ours()?;
        let gone = |e: io::Error| match e.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => absent(pid),
            _ => unreadable(pid, "", e),
        };
        let dir = ProcDir::open(pid).map_err(gone)?;
        let stat = dir.stat().map_err(gone)?;
        let status = dir.status().map_err(gone)?;
        if status.tgid != pid {
            return Err(TargetError::IsThread { tid: pid, pid: status.tgid });
        }
        if stat.kernel_thread {
            return Err(TargetError::KernelThread { pid, name: stat.comm });
        }
        if matches!(stat.state, 'Z' | 'X') {
            return Err(TargetError::Zombie { pid, name: stat.comm });
        }
        let regions = read_maps(&dir)?;
        let pid_ns = dir
            .open_file("ns/pid")
            .and_then(|f| f.metadata())
            .map_err(|e| denied(&dir, "the PID namespace", e))?
            .ino();
        let mut process = Process {
            key: ProcessKey {
                pid_ns,
                pid: status.ns_pid.last().copied().unwrap_or(pid),
                start_time: stat.start_time,
                exec_generation: 0,
            },
            comm: stat.comm,
            regions,
            sockets: Arc::default(),
            dir,
        };
        process.check_memory_is_ours_to_read()?;
        process.key.exec_generation = process.exec_generation()?;
        Ok(process)
    }

    /// As seen where this command runs.
    pub fn pid(&self) -> u32 {
        self.dir.pid()
    }

    /// As the target sees it.
    pub fn ns_pid(&self) -> u32 {
        self.key.pid
    }

    pub fn key(&self) -> ProcessKey {
        self.key
    }

    pub fn comm(&self) -> &str {
        &self.comm
    }

    pub fn proc_dir(&self) -> &ProcDir {
        &self.dir
    }

    /// What its file descriptors are now.
    pub fn descriptors(&self) -> Descriptors<'_> {
        Descriptors::with(&self.dir, self.sockets.clone())
    }

    /// False once it has exited, even if its PID is in use again, or is a zombie.
    pub fn is_alive(&self) -> bool {
        self.dir
            .stat()
            .is_ok_and(|stat| stat.start_time == self.key.start_time && !matches!(stat.state, 'Z' | 'X'))
    }

    /// True while a signal or a debugger keeps it from running.
    pub fn is_stopped(&self) -> bool {
        self.dir.stat().is_ok_and(|stat| matches!(stat.state, 'T' | 't'))
    }

    /// True where the process runs another program than when it was opened.
    pub fn has_execed(&self) -> bool {
        self.exec_generation().is_ok_and(|now| now != self.key.exec_generation)
    }

    /// The strictest mode of any thread: filters are per thread.
    pub fn seccomp_mode(&self) -> SeccompMode {
        let tids = self.dir.tids().unwrap_or_default();
        let modes = tids.into_iter().filter_map(|tid| self.dir.thread_status(tid).ok()).map(|s| s.seccomp);
        match modes.max().unwrap_or(0) {
            0 => SeccompMode::Disabled,
            1 => SeccompMode::Strict,
            _ => SeccompMode::Filter,
        }
    }

    /// Every thread, by tid. Those that end while we look are left out.
    pub fn threads(&self) -> Result<Vec<Thread>, TargetError> {
        let tids = self.dir.tids().map_err(|e| denied(&self.dir, "the threads", e))?;
        let thread = |tid| {
            let status = self.dir.thread_status(tid).ok()?;
            let comm = self.dir.thread_comm(tid).ok()?;
            Some(Thread { tid, ns_tid: status.ns_pid.last().copied().unwrap_or(tid), comm })
        };
        Ok(tids.into_iter().filter_map(thread).collect())
    }

    /// Once more, for another thread.
    ///
    /// # Errors
    /// As of [`Process::open`]; [`TargetError::Gone`] where another process has the number by now.
    pub fn again(&self) -> Result<Process, TargetError> {
        let pid = self.pid();
        let process = Process::open(pid)?;
        if process.key() == self.key { Ok(process) } else { Err(TargetError::Gone { pid }) }
    }

    pub(super) fn mapped(&self) -> &[Region] {
        &self.regions
    }

    /// Reads the mappings anew.
    pub fn refresh_regions(&mut self) -> Result<(), TargetError> {
        self.regions = read_maps(&self.dir)?;
        Ok(())
    }

    /// The executable, opened through `/proc/PID/exe`: works when it is deleted, replaced or in another mount namespace.
    pub fn main_image(&self) -> Result<Image, TargetError> {
        let pid = self.pid();
        let open_path = PathBuf::from(format!("/proc/{pid}/exe"));
        let link = self.dir.read_link("exe").map_err(|e| denied(&self.dir, "the executable", e))?;
        let file = self.dir.open_file("exe").map_err(|e| denied(&self.dir, "the executable", e))?;
        let headers = ElfHeaders::read(&file, &link)?;
        let bias = self
            .bias_by_auxv(&headers)
            .or_else(|| self.bias_by_path(&headers, &link))
            .ok_or_else(|| TargetError::NotMapped { path: link.clone(), pid })?;
        let (path, deleted) = without_deleted_mark(&link);
        Ok(Image { path, deleted, bias, headers, open_path })
    }

    /// Every other ELF file of which code is mapped: shared libraries, the loader. Files that cannot be opened or are
    /// not ELF are left out.
    pub fn other_images(&self) -> Vec<Image> {
        let main = self.main_image().ok().and_then(|image| {
            let entry = image.to_avma(image.headers.entry);
            region_of(&self.regions, entry).map(|r| (r.device, r.inode))
        });
        let mut seen = vec![];
        let mut images = vec![];
        for region in self.regions.iter().filter(|r| r.executable && r.inode != 0) {
            let file = (region.device, region.inode);
            if Some(file) == main || seen.contains(&file) {
                continue;
            }
            seen.push(file);
            images.extend(self.mapped_image(region));
        }
        images
    }

    fn mapped_image(&self, region: &Region) -> Option<Image> {
        let (path, deleted) = without_deleted_mark(Path::new(&region.path));
        let pid = self.pid();
        // map_files opens the very inode, but wants CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; a path may name another.
        let by_range = format!("/proc/{pid}/map_files/{:x}-{:x}", region.start.0, region.end.0);
        let by_path = format!("/proc/{pid}/root{}", path.display());
        let (open_path, file) = [by_range, by_path].into_iter().find_map(|candidate| {
            let file = std::fs::File::open(&candidate).ok()?;
            let inode = file.metadata().ok()?.ino();
            (inode == region.inode).then_some((PathBuf::from(candidate), file))
        })?;
        let headers = ElfHeaders::read(&file, &path).ok()?;
        let bias = headers.bias_of(region)?;
        Some(Image { path, deleted, bias, headers, open_path })
    }

    /// The kernel tells each program where its entry point is; believed only if that is mapped code at the right
    /// offset of a file.
    fn bias_by_auxv(&self, headers: &ElfHeaders) -> Option<Bias> {
        const AT_ENTRY: u64 = 9;
        let entry = auxv(&self.dir.read("auxv").ok()?).find(|(key, _)| *key == AT_ENTRY)?.1;
        let region = region_of(&self.regions, Avma(entry)).filter(|r| r.executable && r.inode != 0)?;
        let bias = Bias(entry.wrapping_sub(headers.entry.0));
        (headers.bias_of(region)? == bias).then_some(bias)
    }

    /// `exe` and `maps` print the same path for the same file, deleted or not.
    fn bias_by_path(&self, headers: &ElfHeaders, link: &Path) -> Option<Bias> {
        let path = link.to_string_lossy();
        self.regions.iter().filter(|r| r.executable && r.path == path).find_map(|r| headers.bias_of(r))
    }

    fn exec_generation(&self) -> Result<u64, TargetError> {
        const AT_RANDOM: u64 = 25;
        let vector = self.dir.read("auxv").map_err(|e| denied(&self.dir, "the auxiliary vector", e))?;
        let mut random = [0; 16];
        if let Some((_, at)) = auxv(&vector).find(|(key, _)| *key == AT_RANDOM) {
            // Unreadable only if the program unmapped its own first stack; then the addresses must do.
            let _ = self.read(Avma(at), &mut random);
        }
        Ok(xxhash_rust::xxh3::xxh3_64(&[&vector[..], &random[..]].concat()))
    }

    /// Reading maps wants PTRACE_MODE_READ, reading memory the stricter PTRACE_MODE_ATTACH (Yama looks at that one).
    fn check_memory_is_ours_to_read(&self) -> Result<(), TargetError> {
        let Some(region) = self.regions.iter().find(|r| r.readable && !r.is_empty()) else {
            return Err(TargetError::Gone { pid: self.pid() });
        };
        match self.read(region.start, &mut [0]) {
            Err(ReadError::NotPermitted) => {
                Err(denied(&self.dir, "the memory", io::Error::from_raw_os_error(libc::EPERM)))
            }
            Err(ReadError::Gone) => Err(TargetError::Gone { pid: self.pid() }),
            // A page that cannot be read (a device, say) is no refusal.
            Ok(()) | Err(ReadError::Unmapped(_)) => Ok(()),
        }
    }
}

/// `/proc/PID/auxv` as (type, value) pairs.
fn auxv(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let word = |b: &[u8]| u64::from_le_bytes(b.try_into().expect("chunks of 8"));
    bytes.chunks_exact(16).map(move |pair| (word(&pair[..8]), word(&pair[8..])))
}

/// The kernel appends this where the path no longer names the file (d_path in fs/d_path.c).
pub(super) fn without_deleted_mark(path: &Path) -> (PathBuf, bool) {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(rest) => (PathBuf::from(std::ffi::OsString::from_vec(rest.to_vec())), true),
        None => (path.to_owned(), false),
    }
}

fn read_maps(dir: &ProcDir) -> Result<Vec<Region>, TargetError> {
    Ok(maps::parse(&dir.read("maps").map_err(|e| denied(dir, "the mappings", e))?))
}

/// A /proc of another PID namespace would give PIDs that mean other processes to system calls.
fn check_proc_is_ours() -> Result<(), TargetError> {
    let shown = std::fs::read_link("/proc/self")
        .map_err(|source| TargetError::Unreadable { path: "/proc/self".into(), source })?;
    if shown.as_os_str().as_bytes() == std::process::id().to_string().as_bytes() {
        Ok(())
    } else {
        Err(TargetError::ForeignProc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Sleeper {
        fn new() -> Sleeper {
            let child = Command::new("sleep").arg("60").spawn().expect("sleep exists");
            // Until it has execed it is still us, and until it sleeps it is still being linked.
            let stat = || ProcDir::open(child.id()).and_then(|d| d.stat()).expect("alive");
            while (stat().comm, stat().state) != ("sleep".to_owned(), 'S') {
                std::thread::yield_now();
            }
            Sleeper(child)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_sleeper_is_opened_read_and_seen_to_die() {
        let mut sleeper = Sleeper::new();
        let process = Process::open(sleeper.0.id()).expect("our own child");
        assert_eq!(process.comm(), "sleep");
        let image = process.main_image().expect("its image");
        let mut magic = [0; 4];
        process.read(image.to_avma(image.headers.segments[0].address), &mut magic).expect("mapped");
        assert_eq!(&magic, b"\x7fELF");
        assert!(process.is_alive() && !process.has_execed());
        let threads = process.threads().expect("threads");
        assert_eq!(threads.len(), 1);
        assert_eq!((threads[0].tid, threads[0].comm.as_str()), (sleeper.0.id(), "sleep"));
        assert!(process.other_images().iter().any(|i| i.path.to_string_lossy().contains("libc")));

        sleeper.0.kill().expect("our child");
        sleeper.0.wait().expect("our child");
        assert!(!process.is_alive());
        assert_eq!(process.read(Avma(0x1000), &mut [0]), Err(ReadError::Gone));
    }
}
