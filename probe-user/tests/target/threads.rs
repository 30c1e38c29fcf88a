use crate::programs::{Running, compile, compile_with, exists, number, symbol};
use async_inspect::target::{Avma, Process};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Each thread prints its id, its thread pointer and where its copy of a thread-local is. Half of the threads have
/// stacks in the middle of one large mapping, where no mapping ends.
const THREADS: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef ALIGN
#define ALIGN 8
#endif
#ifndef SIZE
#define SIZE 24
#endif
_Thread_local __attribute__((aligned(ALIGN))) char marker[SIZE] = "here";
_Thread_local char zeroes[SIZE];
static pthread_barrier_t all;
static void *thread(void *running) {
    void *fs;
    __asm__("mov %%fs:0, %0" : "=r"(fs));
    zeroes[0] = 1;
    flockfile(stdout);
    printf("thread %ld %p %p\n", syscall(SYS_gettid), fs, (void *)marker);
    fflush(stdout);
    funlockfile(stdout);
    pthread_barrier_wait(&all);
    if (running) for (;;) __asm__ volatile("pause");
    sleep(600);
    return 0;
}
int main(void) {
    enum { COUNT = 8, STACK = 1 << 20 };
    pthread_barrier_init(&all, 0, COUNT + 2);
    char *stacks = mmap(0, (COUNT + 2) * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < COUNT; i++) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        if (i % 2) pthread_attr_setstack(&attr, stacks + (i + 1) * STACK, STACK / 2);
        pthread_t id;
        if (pthread_create(&id, &attr, thread, (void *)(i == 0))) return 1;
    }
    pthread_t id;
    pthread_create(&id, 0, (void *(*)(void *))pthread_barrier_wait, &all);
    void *fs;
    __asm__("mov %%fs:0, %0" : "=r"(fs));
    flockfile(stdout);
    printf("thread %ld %p %p\n", syscall(SYS_gettid), fs, (void *)marker);
    fflush(stdout);
    funlockfile(stdout);
    pthread_barrier_wait(&all);
    pthread_join(id, 0);
    printf("ready\n");
    fflush(stdout);
    sleep(600);
}
"#;

/// Every thread is found where it says it is, and so is its thread-local.
fn check(program: &Path) {
    let running = Running::start(&mut Command::new(program));
    let process = Process::open(running.pid()).expect("our own child");
    let image = process.main_image().expect("an image");
    let marker = symbol(&std::fs::read(program).expect("just built"), "marker");
    let block = image.tls_block_offset().expect("it has thread-locals");

    let pointers = process.thread_pointers().expect("thread pointers");
    assert!(pointers.missing.is_empty(), "{program:?}: not found {:?}", pointers.missing);
    let found: BTreeMap<u64, Avma> = pointers.found.iter().map(|p| (u64::from(p.tid), p.fs_base)).collect();
    let mut said = BTreeMap::new();
    for (_, fact) in running.facts.iter().filter(|(key, _)| key == "thread") {
        let words: Vec<u64> = fact.split(' ').map(number).collect();
        said.insert(words[0], Avma(words[1]));
        assert_eq!(words[1] - block + marker, words[2], "{program:?}: the thread-local");
    }
    assert_eq!(said.len(), 9);
    assert_eq!(found, said, "{program:?}");
}

/// Shapes of the thread-local block: plain, over-aligned, and larger than what is searched at a mapping's edge.
const SHAPES: [(&str, &[&str]); 4] = [
    ("plain", &[]),
    ("aligned", &["-DALIGN=64"]),
    ("page_aligned", &["-DALIGN=4096", "-DSIZE=5000"]),
    ("large", &["-DSIZE=100000"]),
];

#[test]
fn glibc() {
    let dir = tempfile::tempdir().expect("a directory");
    for (shape, flags) in SHAPES {
        for (kind, link) in
            [("dynamic", &[][..]), ("static", &["-static"]), ("static_pie", &["-static-pie", "-fPIE"])]
        {
            let flags = [flags, link].concat();
            check(&compile(dir.path(), &format!("glibc_{kind}_{shape}"), THREADS, &flags));
        }
    }
}

#[test]
fn musl() {
    if !exists("musl-gcc") {
        eprintln!("SKIPPED: musl-gcc (package musl-tools) is not installed");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    for (shape, flags) in SHAPES {
        for (kind, link) in [("dynamic", &[][..]), ("static", &["-static"])] {
            let flags = [flags, link].concat();
            check(&compile_with("musl-gcc", dir.path(), &format!("musl_{kind}_{shape}"), THREADS, &flags));
        }
    }
}

#[test]
fn a_child_of_fork_is_found_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (fork()) { sleep(600); return 0; }
    void *fs;
    __asm__("mov %%fs:0, %0" : "=r"(fs));
    printf("child %d\nfs %p\nready\n", getpid(), fs);
    fflush(stdout);
    sleep(600);
}
"#;
    let running = Running::start(&mut Command::new(compile(dir.path(), "forks", source, &[])));
    let child = running.address("child") as u32;
    let pointers = Process::open(child).expect("our grandchild").thread_pointers().expect("thread pointers");
    let found: Vec<_> = pointers.found.iter().map(|p| (p.tid, p.fs_base)).collect();
    let _ = Command::new("kill").arg(child.to_string()).status();
    assert_eq!(found, [(child, Avma(running.address("fs")))]);
}
