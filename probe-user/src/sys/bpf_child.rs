//! Child processes to try probes on: one under a seccomp filter, to find out whether this kernel's return probes survive
//! one; and one that calls a function as often as it is told, to find out what a probe costs.

#![expect(unsafe_code, reason = "fork, and system calls between it and the end")]

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Waits behind a strict filter for the word to call a function and end.
#[derive(Debug)]
pub struct FilteredChild {
    pid: libc::pid_t,
    go: OwnedFd,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    Fine,
    /// By SIGSYS: the filter met a system call that it does not allow.
    KilledByFilter,
    /// The raw wait status.
    Other(i32),
}

impl FilteredChild {
    /// The child is a fork of this process, and calls `function` with `argument`, which must need neither locks
    /// nor memory: other threads may have held the allocator's lock when it was made.
    pub fn start(function: extern "C" fn(&[u64; 8]), argument: &'static [u64; 8]) -> io::Result<Self> {
        let filter = filter();
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let wait_fd = wait.as_fd().as_raw_fd();
        // SAFETY: the child only makes the system calls below and never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: as above.
            0 => unsafe { in_child(wait_fd, &program, function, argument) },
            pid => Ok(FilteredChild { pid, go }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Lets it call the function, and waits for its end.
    pub fn finish(self) -> io::Result<ChildEnd> {
        // It may have ended already; the status tells.
        let _ = rustix::io::write(&self.go, b"g");
        let mut status = 0;
        loop {
            // SAFETY: `status` outlives the call.
            if unsafe { libc::waitpid(self.pid, &raw mut status, 0) } >= 0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(match status {
            0 => ChildEnd::Fine,
            _ if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS => {
                ChildEnd::KilledByFilter
            }
            _ => ChildEnd::Other(status),
        })
    }
}

/// # Safety
/// For the child of a fork only; ends the process.
unsafe fn in_child(
    wait: i32,
    program: &libc::sock_fprog,
    function: extern "C" fn(&[u64; 8]),
    argument: &'static [u64; 8],
) -> ! {
    // SAFETY: plain system calls on memory that outlives them; none of them takes a lock.
    unsafe {
        // No core file if the filter strikes.
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const *program) != 0
        {
            libc::_exit(1);
        }
        let mut word = 0u8;
        libc::read(wait, (&raw mut word).cast(), 1);
        function(argument);
        libc::_exit(0);
    }
}

/// Reads its task, so that the page is there for the probes to read too, and begins as poll functions do, with a push: the
/// kernel emulates that. Another first instruction may have to be single-stepped elsewhere, for several times the price
/// (`arch_uprobe_analyze_insn` in arch/x86/kernel/uprobes.c).
#[unsafe(naked)]
pub extern "C" fn like_a_poll(_header: &[u64; 8]) {
    std::arch::naked_asm!("push rbx", "mov rbx, [rdi]", "pop rbx", "ret")
}

/// Begins with an instruction that the kernel does not emulate.
#[unsafe(naked)]
pub extern "C" fn begins_dear(_header: &[u64; 8]) {
    std::arch::naked_asm!("sub rsp, 24", "mov rax, [rdi]", "add rsp, 24", "ret")
}

/// Calls one of some functions when it is told to, and times it. Ends when this is dropped, or its parent ends.
#[derive(Debug)]
pub struct CallingChild {
    pid: libc::pid_t,
    go: OwnedFd,
    done: OwnedFd,
}

/// Called so many times when it is told to: the middle one is about the same each time.
const CALLS: usize = 21;
/// The most that is written before each call, bytes.
const SWEPT: usize = 8 << 20;
const WORDS_OF_LINE: usize = 8;

static SWEPT_WORDS: [AtomicU64; SWEPT / 8] = [const { AtomicU64::new(0) }; SWEPT / 8];

impl CallingChild {
    /// The child is a fork of this process: what is said of [`FilteredChild::start`] holds for each of `functions`. Until it
    /// ends it holds every file that is open now. Before each call it writes to `swept` bytes of other memory, 8 MiB at most.
    pub fn start(
        functions: &'static [extern "C" fn(&[u64; 8])],
        argument: &'static [u64; 8],
        swept: usize,
    ) -> io::Result<Self> {
        let swept = &SWEPT_WORDS[..swept.min(SWEPT) / 8];
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let ((wait, go), (done, tell)) = (pipe()?, pipe()?);
        let (wait, tell) = (wait.as_fd().as_raw_fd(), tell.as_fd().as_raw_fd());
        let (their_go, their_done) = (go.as_fd().as_raw_fd(), done.as_fd().as_raw_fd());
        // SAFETY: the child only makes the system calls below and never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: as above.
            0 => unsafe {
                // Its own ends of the pipes would keep them open when the parent has gone.
                libc::close(their_go);
                libc::close(their_done);
                call_as_told(wait, tell, functions, argument, swept)
            },
            pid => Ok(CallingChild { pid, go, done }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Has it call the `nth` function some times, and waits until it has. How long a call took, ns, in the median: so that it
    /// does not matter who else wants the CPU, unless all the time.
    ///
    /// # Errors
    /// EPIPE where the child has ended.
    pub fn call(&self, nth: u32) -> io::Result<u64> {
        rustix::io::write(&self.go, &nth.to_ne_bytes())?;
        let mut answer = [0; 8];
        match rustix::io::read(&self.done, &mut answer)? {
            8 => Ok(u64::from_ne_bytes(answer)),
            _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }
}

impl Drop for CallingChild {
    fn drop(&mut self) {
        // SAFETY: our own child, not waited for by anyone else.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// # Safety
/// For the child of a fork only; ends the process.
unsafe fn call_as_told(
    wait: i32,
    tell: i32,
    functions: &'static [extern "C" fn(&[u64; 8])],
    argument: &'static [u64; 8],
    swept: &'static [AtomicU64],
) -> ! {
    let mut told = [0u8; 4];
    loop {
        // SAFETY: plain system calls on memory that outlives them.
        unsafe {
            if libc::read(wait, told.as_mut_ptr().cast(), told.len()) != told.len() as isize {
                libc::_exit(0);
            }
        }
        let function = functions.get(u32::from_ne_bytes(told) as usize);
        let took = function.map_or(0, |function| time_of(*function, argument, swept)).to_ne_bytes();
        // SAFETY: as above.
        unsafe {
            if libc::write(tell, took.as_ptr().cast(), took.len()) != took.len() as isize {
                libc::_exit(0);
            }
        }
    }
}

/// Of a call, ns; the median of some. Needs neither locks nor memory.
fn time_of(
    function: extern "C" fn(&[u64; 8]),
    argument: &'static [u64; 8],
    swept: &'static [AtomicU64],
) -> u64 {
    let mut took = [0; CALLS];
    for one in &mut took {
        for line in swept.iter().step_by(WORDS_OF_LINE) {
            // Written: pages that were only ever read are all one.
            line.store(line.load(Relaxed).wrapping_add(1), Relaxed);
        }
        let before = now_ns();
        function(argument);
        *one = now_ns().wrapping_sub(before);
    }
    took.sort_unstable();
    took[CALLS / 2]
}

fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Allows read, exit and exit_group; kills for anything else.
fn filter() -> [libc::sock_filter; 6] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let allow = |call: i64, jump| libc::sock_filter { code: JUMP_EQUAL, jt: jump, jf: 0, k: call as u32 };
    [
        statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32),
        allow(libc::SYS_read, 3),
        allow(libc::SYS_exit_group, 2),
        allow(libc::SYS_exit, 1),
        statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    static NOTHING: [u64; 8] = [0; 8];

    extern "C" fn harmless(_: &[u64; 8]) {}

    extern "C" fn forbidden(_: &[u64; 8]) {
        // SAFETY: no arguments.
        unsafe { libc::getpid() };
    }

    fn end_of(function: extern "C" fn(&[u64; 8])) -> ChildEnd {
        let child = FilteredChild::start(function, &NOTHING).expect("fork works");
        child.finish().expect("it is our child")
    }

    #[test]
    fn a_calling_child_tells_what_a_call_takes() {
        extern "C" fn spin(_: &[u64; 8]) {
            for i in 0..10_000u64 {
                std::hint::black_box(i);
            }
        }
        let child = CallingChild::start(&[harmless, spin], &NOTHING, 1 << 20).expect("fork works");
        let [nothing, spun] = [0, 1].map(|nth| child.call(nth).expect("it answers"));
        // Ten thousand additions at ten a nanosecond at the very best.
        assert!(spun >= nothing + 500, "{nothing} ns, {spun} ns");
        assert_eq!(child.call(2).expect("it answers"), 0, "there is no such function");
    }

    #[test]
    fn the_filter_kills_for_what_it_does_not_know() {
        assert_eq!(end_of(harmless), ChildEnd::Fine);
        assert_eq!(end_of(forbidden), ChildEnd::KilledByFilter);
    }
}
