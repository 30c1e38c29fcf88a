use crate::programs::{PLACES, Running, compile, run, symbol};
use async_inspect::target::{
    Avma, Denied, Memory, Process, ReadError, SeccompMode, Svma, TargetError, resolve,
};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// The image of a program that printed [`PLACES`] agrees with what it printed.
fn check_image(running: &Running, program: &Path) {
    let process = Process::open(running.pid()).expect("our own child");
    let image = process.main_image().expect("an image");
    assert_eq!(image.path, program);
    let bytes = std::fs::read(&image.open_path).expect("the executable");
    let (main, initialized) = (Svma(symbol(&bytes, "main")), Svma(symbol(&bytes, "initialized")));
    assert_eq!(image.to_avma(main), Avma(running.address("main")));
    assert_eq!(image.to_avma(initialized), Avma(running.address("initialized")));
    assert_eq!(image.to_svma(Avma(running.address("main"))), Some(main));
    // The code in the file at the offset is the code in memory.
    let offset = image.file_offset(main).expect("in the file").0 as usize;
    let mut code = [0; 16];
    process.read(image.to_avma(main), &mut code).expect("mapped");
    assert_eq!(code, bytes[offset..offset + 16]);
    assert!(image.text_segments().any(|s| s.address <= main));
    let mut value = [0; 4];
    process.read(image.to_avma(initialized), &mut value).expect("mapped");
    assert_eq!(i32::from_le_bytes(value), 42);
}

#[test]
fn every_kind_of_executable_is_found_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, flags) in [
        ("pie", &["-pie", "-fPIE"][..]),
        ("no_pie", &["-no-pie", "-fno-pie"]),
        ("static_no_pie", &["-static", "-no-pie", "-fno-pie"]),
        ("static_pie", &["-static-pie", "-fPIE"]),
        ("large_pages", &["-pie", "-fPIE", "-Wl,-z,max-page-size=0x200000"]),
        ("joined", &["-pie", "-fPIE", "-Wl,-z,noseparate-code"]),
    ] {
        let program = compile(dir.path(), name, PLACES, flags);
        let running = Running::start(&mut Command::new(&program));
        check_image(&running, &program);
        // Its path names it; and no process runs the directory.
        assert_eq!(resolve(&program.display().to_string()).ok(), Some(running.pid()));
        let nobody = resolve(&dir.path().display().to_string());
        assert!(matches!(nobody, Err(TargetError::NotRun { is_there: true, .. })), "{nobody:?}");
    }
}

#[test]
fn a_deleted_or_replaced_executable_is_still_the_one_that_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "gone", PLACES, &[]);
    let bytes = std::fs::read(&program).expect("just built");
    let running = Running::start(&mut Command::new(&program));

    std::fs::remove_file(&program).expect("ours");
    check_image(&running, &program);
    let image = Process::open(running.pid()).and_then(|p| p.main_image()).expect("an image");
    assert!(image.deleted);

    // As a build does: another file under the same name.
    std::fs::write(&program, b"something else").expect("ours");
    check_image(&running, &program);
    assert_eq!(std::fs::read(&image.open_path).expect("the executable"), bytes);
}

#[test]
fn libraries_are_images_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "dynamic", PLACES, &[]);
    let running = Running::start(&mut Command::new(&program));
    let process = Process::open(running.pid()).expect("our own child");
    let images = process.other_images();
    let libc = images.iter().find(|i| i.path.to_string_lossy().contains("libc")).expect("libc");
    let mut magic = [0; 4];
    process.read(libc.to_avma(libc.headers.segments[0].address), &mut magic).expect("mapped");
    assert_eq!(&magic, b"\x7fELF");
    assert!(images.iter().all(|i| i.path != program), "the program itself is no library");
}

#[test]
fn another_program_in_the_same_process_is_another_generation() {
    let dir = tempfile::tempdir().expect("a directory");
    let again = PLACES
        .replace("main(void) {", "main(int count, char **args) { if (count > 1) sleep(600);")
        .replace("sleep(600);\n}", "getchar(); execl(args[0], args[0], \"again\", NULL);\n}");
    let program = compile(dir.path(), "again", &again, &["-no-pie"]);
    let mut running = Running::start(Command::new(&program).stdin(Stdio::piped()));
    let process = Process::open(running.pid()).expect("our own child");
    assert!(!process.has_execed());
    assert_eq!(Process::open(running.pid()).expect("our own child").key(), process.key());
    drop(running.child.stdin.take());
    // The end of its input is what it waits for.
    let started = std::time::Instant::now();
    while !process.has_execed() {
        assert!(started.elapsed().as_secs() < 30, "it never was another program");
        std::thread::yield_now();
    }
    assert!(process.is_alive());
}

#[test]
fn its_own_pid_namespace() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "inside", PLACES, &[]);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(&program);
    if !Command::new("unshare").args(["--pid", "--fork", "true"]).status().is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: this user cannot make PID namespaces");
        return;
    }
    let running = Running::start(&mut command);
    assert_eq!(running.address("pid"), 1);
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid())).expect("a list");
    let pid = children.trim().parse().expect("one child");
    let process = Process::open(pid).expect("our grandchild");
    assert_eq!((process.pid(), process.ns_pid(), process.key().pid), (pid, 1, 1));
    let ours = Process::open(std::process::id()).expect("ourselves");
    assert_ne!(process.key().pid_ns, ours.key().pid_ns);
    let threads = process.threads().expect("threads");
    assert_eq!((threads[0].tid, threads[0].ns_tid), (pid, 1));
    let pointers = process.thread_pointers().expect("thread pointers");
    assert_eq!((pointers.found.len(), pointers.found[0].tid), (1, pid));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let open = |pid| Process::open(pid).map(|_| ());
    assert!(matches!(open(0), Err(TargetError::NoSuchProcess { pid: 0 })));
    assert!(matches!(open(u32::MAX), Err(TargetError::NoSuchProcess { .. })));

    let mut zombie = Command::new("true").spawn().expect("true exists");
    let is_zombie =
        || std::fs::read_to_string(format!("/proc/{}/stat", zombie.id())).is_ok_and(|s| s.contains(") Z"));
    while !is_zombie() {
        std::thread::yield_now();
    }
    assert!(matches!(open(zombie.id()), Err(TargetError::Zombie { .. })));
    zombie.wait().expect("our child");
    assert!(matches!(open(zombie.id()), Err(TargetError::NoSuchProcess { .. })));

    // 2 is kthreadd, unless we are in a PID namespace of our own.
    if std::fs::read("/proc/2/comm").is_ok_and(|comm| comm == b"kthreadd\n") {
        assert!(matches!(open(2), Err(TargetError::KernelThread { pid: 2, name }) if name == "kthreadd"));
    } else {
        eprintln!("SKIPPED: kernel threads are not visible here");
    }
}

#[test]
fn a_thread_is_not_a_process() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let link = std::fs::read_link("/proc/thread-self").expect("procfs");
            send.send(link.file_name().and_then(|n| n.to_str()?.parse().ok()).expect("a tid"))
                .expect("receiver");
            let _ = wait.recv();
        });
        let tid: u32 = receive.recv().expect("sender");
        let us = std::process::id();
        let result = Process::open(tid).map(|_| ());
        drop(done);
        assert!(matches!(result, Err(TargetError::IsThread { tid: t, pid }) if t == tid && pid == us));
    });
}

/// Run by the next test as another user: environment AS_NOBODY holds a PID that this user must not read.
#[test]
fn as_nobody() {
    let Some(pid) = std::env::var("AS_NOBODY").ok().and_then(|pid| pid.parse().ok()) else { return };
    let ours = std::fs::metadata("/proc/self").expect("procfs").uid();
    let hidden = std::env::var_os("PROC_HIDES").is_some();
    match Process::open(pid).map(|_| ()).expect_err("another user's process") {
        TargetError::NotPermitted { why: Denied::OtherUser { ours: o, theirs }, .. } => {
            assert!(!hidden && o == ours && theirs != ours);
        }
        TargetError::NotPermitted { why: Denied::Hidden, .. } => assert!(hidden),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_users_process_is_refused_with_the_reason() {
    if std::fs::metadata("/proc/self").expect("procfs").uid() != 0 {
        let error = Process::open(1).map(|_| ()).expect_err("root's process");
        assert!(
            matches!(error, TargetError::NotPermitted { why: Denied::OtherUser { theirs: 0, .. }, .. }),
            "{error:?}"
        );
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
    let copy = dir.path().join("test");
    std::fs::copy(std::env::current_exe().expect("ourselves"), &copy).expect("room");
    let sleeper = Running::start(Command::new("sh").args(["-c", "echo ready; exec sleep 600"]));
    let as_nobody =
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" --exact process::as_nobody";
    let shell = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&copy).env("AS_NOBODY", sleeper.pid().to_string());
        command.current_dir("/");
        command
    };
    assert!(run(&mut shell(as_nobody)).contains("1 passed"));
    // A /proc of its own, in a mount namespace of its own.
    let hiding = format!("mount -t proc -o hidepid=2 proc /proc && {as_nobody}");
    assert!(run(shell(&hiding).env("PROC_HIDES", "1")).contains("1 passed"));
}

#[test]
fn seccomp_of_any_thread_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = r#"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
static void *filtered(void *unused) {
    struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog program = { 1, allow };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 0;
    printf("ready\n");
    fflush(stdout);
    sleep(600);
    return unused;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, filtered, 0);
    pthread_join(thread, 0);
}
"#;
    let program = compile(dir.path(), "filtered", source, &[]);
    let running = Running::start(&mut Command::new(&program));
    assert_eq!(Process::open(running.pid()).expect("our own child").seccomp_mode(), SeccompMode::Filter);
}

#[test]
fn a_process_that_ends_is_gone_and_not_its_successor() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "short", PLACES, &[]);
    let running = Running::start(&mut Command::new(&program));
    let mut process = Process::open(running.pid()).expect("our own child");
    drop(running);
    assert!(!process.is_alive());
    assert_eq!(process.read(Avma(4096), &mut [0]), Err(ReadError::Gone));
    assert_eq!(process.read_many(&mut [(Avma(4096), &mut [0]), (Avma(8192), &mut [0])]), [0, 1]);
    assert!(matches!(process.main_image(), Err(TargetError::Gone { .. })));
    assert!(matches!(process.refresh_regions(), Err(TargetError::Gone { .. })));
}
