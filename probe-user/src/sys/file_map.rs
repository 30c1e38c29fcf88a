//! Files mapped so that their truncation cannot kill us.
//!
//! A debug file of 100 MB must open in microseconds and only the parts that are read may cost memory, so it is mapped,
//! not copied. But a build may truncate the file under our eyes, and touching a mapped page past the end of a file
//! raises SIGBUS. So every mapping is registered here, and a SIGBUS inside one is answered by zero pages and a mark that
//! the bytes are torn; parsers bound everything they read, and whoever holds the bytes looks at the mark. A SIGBUS anywhere
//! else goes to whoever handled it before us.
#![expect(unsafe_code, reason = "mapping files, and a signal handler")]

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// As many mappings may exist at once; more are refused.
const SLOTS: usize = 256;

struct Slot {
    /// 0: free. Claimed by its `start`, valid once `end` is above it.
    start: AtomicUsize,
    end: AtomicUsize,
    torn: AtomicBool,
}

static MAPPED: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), torn: AtomicBool::new(false) } };
        SLOTS];

/// What handled SIGBUS before us; set once, before our handler can run.
static BEFORE_US: OnceLock<libc::sigaction> = OnceLock::new();

/// A whole file, read-only.
#[derive(Debug)]
pub struct FileMap {
    map: Mmap,
    slot: usize,
}

impl FileMap {
    /// Errors where the file is empty or cannot be mapped, or [`SLOTS`] are in use: read it instead.
    pub fn new(file: &File) -> io::Result<FileMap> {
        install_handler()?;
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a private read-only mapping of our own. Its bytes may change when the file does; they are plain bytes,
        // of which every parser expects any value. Pages that vanish are replaced by the handler.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        let start = map.as_ptr() as usize;
        let slot = MAPPED
            .iter()
            .position(|slot| {
                slot.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            })
            .ok_or(io::ErrorKind::QuotaExceeded)?;
        MAPPED[slot].torn.store(false, Ordering::Relaxed);
        MAPPED[slot].end.store(start + len, Ordering::Release);
        Ok(FileMap { map, slot })
    }

    /// Parts of the file were gone when they were read; what was read there are zeroes.
    pub fn is_torn(&self) -> bool {
        MAPPED[self.slot].torn.load(Ordering::Acquire)
    }
}

impl std::ops::Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // Before the memory goes: another thread's mapping may get the same address at once.
        MAPPED[self.slot].end.store(0, Ordering::Release);
        MAPPED[self.slot].start.store(0, Ordering::Release);
    }
}

fn install_handler() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        // SAFETY: an all-zero sigaction is a valid one (SIG_DFL, empty mask).
        let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
        ours.sa_sigaction = handler as *const () as usize;
        // The alternate stack that std sets up for its overflow detection is used where there is one.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: only asks; both pointers are valid for the call.
        if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) } != 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
        }
        let _ = BEFORE_US.set(before);
        // SAFETY: `on_sigbus` is async-signal-safe: it touches atomics and makes system calls only.
        if unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL));
        }
        Ok(())
    });
    installed.map_err(io::Error::from_raw_os_error)
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo, and SIGBUS carries an address.
    let at = unsafe { (*info).si_addr() } as usize;
    let slot = MAPPED.iter().find(|slot| {
        let (start, end) = (slot.start.load(Ordering::Acquire), slot.end.load(Ordering::Acquire));
        start != 0 && start <= at && at < end
    });
    if let Some(slot) = slot
        && replace_by_zeroes(at, slot.end.load(Ordering::Acquire))
    {
        slot.torn.store(true, Ordering::Release);
        return;
    }
    // Not ours: the faulting instruction runs again, under the handler that was there before.
    if let Some(before) = BEFORE_US.get() {
        // SAFETY: what sigaction itself gave us.
        unsafe { libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()) };
    }
}

/// Everything from the page of `at` on: what is past the end of a file stays so.
fn replace_by_zeroes(at: usize, end: usize) -> bool {
    const PAGE: usize = 4096;
    let page = at & !(PAGE - 1);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: errno belongs to the code we interrupted, and is put back.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: [page, end) lies in a mapping that a live FileMap owns (it is registered), and stays readable.
    let new = unsafe {
        libc::mmap(std::ptr::without_provenance_mut(page), end - page, libc::PROT_READ, flags, -1, 0)
    };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    new != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_truncated_while_mapped_reads_as_zeroes_and_says_so() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 64 * 1024]).expect("written");
        let map = FileMap::new(&file).expect("mapped");
        assert_eq!((map[0], map[40_000], map.is_torn()), (7, 7, false));
        file.set_len(8192).expect("truncated");
        assert_eq!((map[0], map[40_000], map[65_535]), (7, 0, 0));
        assert!(map.is_torn());
        let other = FileMap::new(&file).expect("mapped anew");
        assert_eq!((other.len(), other.is_torn()), (8192, false));
    }

    /// Run by the next test in a process of its own.
    #[test]
    fn touches_what_is_not_ours() {
        if std::env::var_os("TOUCH_WHAT_IS_NOT_OURS").is_none() {
            return;
        }
        let file = tempfile::tempfile().expect("a file");
        file.set_len(8192).expect("room");
        let _ours = FileMap::new(&file).expect("mapped");
        let other = tempfile::tempfile().expect("a file");
        other.set_len(8192).expect("room");
        // SAFETY: a mapping of our own, which is meant to raise SIGBUS.
        let map = unsafe { MmapOptions::new().len(8192).map(&other) }.expect("mapped");
        other.set_len(0).expect("truncated");
        std::hint::black_box(map[5000]);
    }

    #[test]
    fn another_sigbus_kills_as_ever() {
        use std::os::unix::process::ExitStatusExt;
        let mut again = std::process::Command::new(std::env::current_exe().expect("ourselves"));
        again.args(["--exact", "sys::file_map::tests::touches_what_is_not_ours"]);
        let output = again.env("TOUCH_WHAT_IS_NOT_OURS", "1").output().expect("run");
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
