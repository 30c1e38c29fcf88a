//! Core files that lie: whatever their headers and notes say, opening and reading them neither panics nor hangs, and takes no
//! more memory than the file is long.

use async_inspect::target::{Avma, Bytes, Core, ElfHeaders, Memory, Subject, TargetError, ThreadPlace};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What is allocated whatever the file says: errors, paths, the program's own headers and bytes.
const BESIDES: usize = 1 << 20;
/// A header of 56 bytes becomes two regions of at most 120, and vectors grow by doubling.
const PER_BYTE: usize = 12;

/// One at a time, so that each counts its own allocations only.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small program without a build-id.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, program) = (directory.path().join("p.c"), directory.path().join("program"));
        fs::write(&source, "const char text[] = \"constant\"; int data = 7; int main(void) { return data; }")
            .expect("room");
        let mut compile = Command::new("cc");
        compile.args(["-nostartfiles", "-nostdlib", "-Wl,-e,main", "-Wl,--build-id=none", "-o"]);
        assert!(compile.arg(&program).arg(&source).status().expect("a C compiler").success());
        (directory, program)
    });
    program
}

const BIAS: u64 = 0x5555_5555_0000;
const STACK: u64 = 0x7ffc_0000_0000;
const PAGE: u64 = 4096;
const TID: u32 = 4321;

fn words(list: &[u64]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn note(kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut note =
        [5, desc.len() as u32, kind].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    note.extend(b"CORE\0\0\0\0");
    note.extend(desc);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// As the kernel writes one: of the program's read-only pages the first only, all that can be written to, and a stack.
fn core(program: &Path) -> Vec<u8> {
    let bytes = fs::read(program).expect("just built");
    let headers = ElfHeaders::read(&File::open(program).expect("is there"), program).expect("a program");
    let mut status = vec![0; 336];
    status[32..36].copy_from_slice(&TID.to_le_bytes());
    for (register, value) in
        [(4, STACK + 64), (16, BIAS + headers.entry.0), (19, STACK + 32), (21, STACK + 128)]
    {
        status[112 + 8 * register..][..8].copy_from_slice(&u64::to_le_bytes(value));
    }
    let mut info = vec![0; 136];
    info[24..28].copy_from_slice(&4320u32.to_le_bytes());
    let mut mapped = words(&[headers.segments.len() as u64, PAGE]);
    let mut loads = Vec::new();
    for segment in &headers.segments {
        let (start, offset) = ((BIAS + segment.address.0) & !(PAGE - 1), segment.file_offset.0 & !(PAGE - 1));
        let end = (BIAS + segment.address.0 + segment.size).next_multiple_of(PAGE);
        mapped.extend(words(&[start, end, offset / PAGE]));
        let mut dumped = vec![0; if segment.writable { (end - start) as usize } else { 0 }];
        if segment.writable || offset == 0 {
            dumped.resize(dumped.len().max(PAGE as usize), 0);
            let from = &bytes[offset as usize..];
            let n = from.len().min(dumped.len());
            dumped[..n].copy_from_slice(&from[..n]);
        }
        let flags = 4 | u32::from(segment.executable) | u32::from(segment.writable) << 1;
        loads.push((start, end - start, flags, dumped));
    }
    for _ in &headers.segments {
        mapped.extend(program.to_str().expect("UTF-8").bytes().chain([0]));
    }
    loads.push((STACK, PAGE, 6, (0..PAGE).map(|at| at as u8).collect()));
    let auxv = words(&[9, BIAS + headers.entry.0, 25, STACK + 256, 0, 0]);
    let notes = [note(1, &status), note(3, &info), note(6, &auxv), note(0x4649_4c45, &mapped)].concat();

    let count = loads.len() as u16 + 1;
    let mut core = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0\x3e\0\x01\0\0\0".to_vec();
    core.extend(words(&[0, 64, 0]));
    core.extend([0, 0, 0, 0, 64, 0, 56, 0]);
    core.extend(count.to_le_bytes());
    core.extend([0; 6]);
    let mut offset = (64 + 56 * u64::from(count) + notes.len() as u64).next_multiple_of(PAGE);
    let header = |kind: u32, flags: u32, rest: &[u64]| {
        [&kind.to_le_bytes()[..], &flags.to_le_bytes(), &words(rest)].concat()
    };
    core.extend(header(4, 0, &[64 + 56 * u64::from(count), 0, 0, notes.len() as u64, 0, 4]));
    for (start, size, flags, dumped) in &loads {
        core.extend(header(1, *flags, &[offset, *start, 0, dumped.len() as u64, *size, PAGE]));
        offset += dumped.len() as u64;
    }
    core.extend(notes);
    core.resize(core.len().next_multiple_of(PAGE as usize), 0);
    loads.iter().for_each(|(.., dumped)| core.extend(dumped));
    core
}

fn seed() -> &'static [u8] {
    static SEED: OnceLock<Vec<u8>> = OnceLock::new();
    SEED.get_or_init(|| core(program()))
}

fn parse(bytes: &[u8], exe: Option<&Path>) -> Result<Core, TargetError> {
    Core::parse(Bytes::from(bytes.to_vec()), Path::new("core"), exe)
}

/// Opens it, and asks everything of what opens.
fn try_everything(bytes: &[u8]) {
    let _alone = alone();
    seed();
    let bytes = Bytes::from(bytes.to_vec());
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    for exe in [None, Some(program())] {
        let Ok(core) = Core::parse(bytes.clone(), Path::new("core"), exe) else { continue };
        let mut buffer = [0; 64];
        for region in core.regions() {
            for at in [region.start, region.end, Avma(region.end.0.wrapping_sub(8))] {
                let _ = core.read(at, &mut buffer);
                let _ = core.file_range(at);
            }
        }
        for tid in core.tids() {
            let _ = core.thread_place(tid);
        }
        let _ = (core.thread_pointers(), core.main_image(), core.other_images(), core.check_same());
    }
    let used = ALLOCATED.peak_usage().saturating_sub(before);
    assert!(used <= PER_BYTE * bytes.len() + BESIDES, "{used} bytes for a file of {}", bytes.len());
}

const EXTREMES: [u64; 7] = [0, 1, u64::MAX, 1 << 63, 0xffff_ffff, 0xffff, 1 << 40];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30)) {
        let mut bytes = seed().to_vec();
        for (at, value) in edits {
            // Headers and notes.
            let at = at.index(PAGE as usize);
            bytes[at] = value;
        }
        try_everything(&bytes);
    }

    #[test]
    fn changed_words(edits in proptest::collection::vec((0usize..512, prop_oneof![prop::sample::select(&EXTREMES[..]), any::<u64>()]), 1..8)) {
        let mut bytes = seed().to_vec();
        for (at, value) in edits {
            bytes[8 * at..8 * at + 8].copy_from_slice(&value.to_le_bytes());
        }
        try_everything(&bytes);
    }

    #[test]
    fn cut_short(len in any::<prop::sample::Index>()) {
        try_everything(&seed()[..len.index(seed().len())]);
    }

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..8192), headers in any::<bool>()) {
        let mut bytes = bytes;
        let n = if headers { 64.min(bytes.len()) } else { 0 };
        bytes[..n].copy_from_slice(&seed()[..n]);
        try_everything(&bytes);
    }
}

#[test]
fn what_was_dumped_and_what_was_not_are_read() {
    let _alone = alone();
    let core = parse(seed(), None).expect("a core file");
    assert_eq!((core.pid(), core.tids(), core.issues()), (4320, vec![TID], &[][..]));
    let image = core.main_image().expect("its program");
    assert_eq!((image.path.as_path(), image.bias.0), (program(), BIAS));
    let file = fs::read(program()).expect("is there");
    for segment in &image.headers.segments {
        let mut read = vec![0; segment.file_size as usize];
        core.read(image.to_avma(segment.address), &mut read).expect("mapped");
        assert_eq!(read, file[segment.file_offset.0 as usize..][..read.len()]);
    }
    let stack = core.regions().last().expect("a stack");
    assert_eq!((stack.path.as_str(), stack.start, stack.readable), ("[stack]", Avma(STACK), true));
    let mut across = [0; 16];
    assert!(core.read(Avma(STACK + PAGE - 8), &mut across).is_err());
    core.read(Avma(STACK + PAGE - 16), &mut across).expect("dumped");
    assert_eq!(across[15], 0xff);
    let ThreadPlace::Asleep(registers) = core.thread_place(TID) else { panic!("it stands somewhere") };
    assert_eq!((registers.sp, registers.bp), (Avma(STACK + 32), Some(STACK + 64)));
    assert_eq!(core.thread_pointers().expect("told").found[0].fs_base, Avma(STACK + 128));
}

#[test]
fn a_cut_says_what_is_missing_and_reads_fail_there() {
    let _alone = alone();
    let core = parse(&seed()[..seed().len() - 100], None).expect("a core file");
    assert!(
        core.issues()
            .iter()
            .any(|issue| issue.contains("truncated") && issue.contains("100 bytes of memory"))
    );
    assert!(core.read(Avma(STACK + PAGE - 101), &mut [0]).is_ok());
    assert!(core.read(Avma(STACK + PAGE - 100), &mut [0]).is_err());
    let readable: Vec<_> =
        core.regions().iter().rev().take(2).map(|region| (region.start.0, region.readable)).collect();
    assert_eq!(readable, [(STACK + PAGE - 100, false), (STACK, true)]);
}

#[test]
fn another_program_is_refused() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let other = directory.path().join("other");
    let mut bytes = fs::read(program()).expect("is there");
    // The section headers' place: what a strip or another debug information changes.
    bytes[0x28] ^= 1;
    fs::write(&other, &bytes).expect("room");
    let error = parse(seed(), Some(&other)).expect_err("refused");
    assert!(
        matches!(&error, TargetError::OtherProgram { differs, .. } if differs.contains("byte 0x28")),
        "{error}"
    );
    let error = parse(seed(), Some(&directory.path().join("missing"))).expect_err("refused");
    assert!(matches!(error, TargetError::NoProgram { .. }), "{error}");
    let error = parse(&bytes, None).expect_err("refused");
    assert!(matches!(error, TargetError::NotCore { .. }), "{error}");
}
