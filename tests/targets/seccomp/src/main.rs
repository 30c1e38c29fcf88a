//! A tokio program under a strict filter: a system call that is not on the list kills the process.
//! Says `waiting`, and when it reads a line works for half a second and says `ready`.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::io::BufRead as _;
use std::time::Duration;

/// What tokio, std and the allocator call. No `uretprobe` (335): a kernel whose return probes are a system call has to
/// let that one pass by itself.
const ALLOWED: [i64; 35] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_futex,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_prctl,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

fn install() {
    let rules = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().expect("a known architecture");
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)
        .expect("a filter of plain numbers");
    let program: BpfProgram = filter.try_into().expect("it fits into a BPF program");
    seccompiler::apply_filter_all_threads(&program).expect("a process may filter itself");
}

async fn ticks(nth: u64) -> u64 {
    let mut sum = 0;
    for turn in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tokio::task::yield_now().await;
        sum += turn * nth;
    }
    sum
}

fn main() {
    truth::end_by_itself();
    install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime with two workers");
    let _inside = runtime.enter();
    let handles: Vec<_> = (0..10).map(|nth| tokio::spawn(ticks(nth))).collect();
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");
    let more: Vec<_> = (10..20).map(|nth| tokio::spawn(ticks(nth))).collect();
    for handle in handles.into_iter().chain(more) {
        println!("{}", runtime.block_on(handle).expect("no task panics"));
    }
    truth::ready();
    std::process::exit(6);
}
