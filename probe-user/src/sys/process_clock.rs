//! The CPU clock of another process.

#![expect(unsafe_code, reason = "the clock's number is made from the process's")]

use std::io;
use std::mem::MaybeUninit;

/// CPU time that all threads of process `pid` have used, those that ended included, ns. To the nanosecond, where /proc counts
/// in hundredths of a second.
///
/// # Errors
/// ESRCH or EINVAL where there is no such process.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    // `clock_getcpuclockid(3)` makes the same number: `MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)` in
    // include/linux/posix-timers.h.
    const CPUCLOCK_SCHED: i32 = 2;
    let clock = (!(pid as i32) << 3) | CPUCLOCK_SCHED;
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel fills `time` where it answers 0.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        time.assume_init()
    };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on() {
        let before = process_cpu_ns(std::process::id()).expect("we run");
        let mut sum = 0u64;
        while process_cpu_ns(std::process::id()).expect("we run") < before + 1_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        // Above any `pid_max`.
        assert!(process_cpu_ns(i32::MAX as u32 >> 4).is_err());
    }
}
