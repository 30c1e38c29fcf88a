//! No file makes us panic, hang or read out of bounds.

use crate::programs::{PLACES, compile};
use async_inspect::target::{DebugFiles, ElfHeaders, TargetError, elf};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A small program with debug information, and one that links to it.
fn seeds() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let whole =
            compile(dir.path(), "whole", PLACES, &["-g", "-nostartfiles", "-Wl,-e,main", "-Wl,--build-id"]);
        let packed = dir.path().join("packed");
        let pack = ["--compress-debug-sections=zlib"];
        crate::programs::run(Command::new("objcopy").args(pack).args([&whole, &packed]));
        [whole, packed].map(|path| std::fs::read(path).expect("just built")).into()
    })
}

fn try_everything(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hostile");
    std::fs::write(&path, bytes).expect("room");
    let _ = ElfHeaders::read(&std::fs::File::open(&path).expect("just written"), &path);
    let _ = DebugFiles::of_file(&path, None);
    let good = dir.path().join("good");
    std::fs::write(&good, &seeds()[0]).expect("room");
    let _ = DebugFiles::of_file(&good, Some(&path));
    if let Ok(file) = elf::parse(bytes, &path) {
        for name in [".debug_info", ".debug_abbrev", ".debug_str", ".symtab"] {
            let _ = elf::section(&file, name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes(seed in 0usize..2, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = seeds()[seed].clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        try_everything(&bytes);
    }

    /// Headers are where it hurts: whole fields take extreme values.
    #[test]
    fn changed_headers(
        seed in 0usize..2,
        edits in proptest::collection::vec((0usize..1000, prop_oneof![Just(0u64), Just(u64::MAX), Just(1 << 63), Just(0xffff_ffff), any::<u64>()]), 1..6),
        tail in any::<bool>(),
    ) {
        let mut bytes = seeds()[seed].clone();
        // The section headers are at the end.
        let base = if tail { bytes.len() - 1100 } else { 0 };
        for (at, value) in edits {
            let at = base + at / 8 * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        try_everything(&bytes);
    }

    #[test]
    fn cut_short(seed in 0usize..2, len in any::<prop::sample::Index>()) {
        let bytes = &seeds()[seed];
        try_everything(&bytes[..len.index(bytes.len())]);
    }

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..4096), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 20 {
            bytes[..20].copy_from_slice(&seeds()[0][..20]);
        }
        try_everything(&bytes);
    }
}

fn headers_of(bytes: &[u8]) -> TargetError {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).expect("room");
    let by_headers =
        ElfHeaders::read(&std::fs::File::open(&path).expect("just written"), &path).expect_err("refused");
    let by_bytes = DebugFiles::of_file(&path, None).expect_err("refused");
    assert_eq!(
        std::mem::discriminant(&by_headers),
        std::mem::discriminant(&by_bytes),
        "{by_headers:?} {by_bytes:?}"
    );
    by_headers
}

#[test]
fn errors_say_what_the_file_is() {
    assert!(matches!(headers_of(b""), TargetError::NotElf { .. }));
    assert!(matches!(headers_of(b"#!/bin/sh\necho no\n and no more\n"), TargetError::NotElf { .. }));
    let seed = &seeds()[0];
    assert!(matches!(headers_of(&seed[..40]), TargetError::Truncated { needed: 64, len: 40, .. }));
    assert!(matches!(
        headers_of(&seed[..100]),
        TargetError::Truncated { what: "the program header table", .. }
    ));
    let mut arm = seed.clone();
    arm[18] = 183;
    assert!(matches!(headers_of(&arm), TargetError::OtherMachine { machine, .. } if machine == "aarch64"));
    let mut x86 = seed.clone();
    x86[4] = 1;
    x86[18] = 3;
    assert!(matches!(headers_of(&x86), TargetError::OtherMachine { machine, .. } if machine == "32-bit x86"));
}

#[test]
fn a_file_cut_in_its_sections_is_said_to_be_truncated() {
    let seed = &seeds()[0];
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cut");
    std::fs::write(&path, &seed[..seed.len() - 100]).expect("room");
    let error = DebugFiles::of_file(&path, None).expect_err("refused");
    assert!(matches!(error, TargetError::Truncated { what: "the section header table", .. }), "{error:?}");
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo: PathBuf = dir.path().join("fifo");
    crate::programs::run(Command::new("mkfifo").arg(&fifo));
    for path in [&fifo, Path::new("/dev/zero"), dir.path()] {
        assert!(matches!(DebugFiles::of_file(path, None), Err(TargetError::Unreadable { .. })), "{path:?}");
    }
}
