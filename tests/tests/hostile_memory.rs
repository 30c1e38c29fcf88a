//! Memory that lies: core files of real programs, with words of their memory changed at random, are decoded in this process.
//! Nothing panics or hangs, and no length that memory states makes us allocate more than a bound.

use async_inspect::decode::{Inspector, Snapshot};
use async_inspect::export::json;
use async_inspect::target::{Bytes, Core, Memory as _};
use e2e::{Program, Tokio, Variant, cores, hostile, rights};
use fastrand::Rng;
use peak_alloc::PeakAlloc;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Sender;
use std::time::Duration;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What one snapshot may have allocated at its peak, over what was allocated before: caches of 64 and 8 MiB, and a tree of
/// at most 4,096 nodes for each of a few hundred tasks.
const LIMIT: usize = 128 << 20;
/// A round takes less than a second in a debug build, and a few while other tests run.
const PATIENCE: Duration = Duration::from_secs(120);
const ROUNDS: u64 = 100;

#[test]
fn corrupted_memory_of_tree() {
    corrupted("corrupted_memory_of_tree", "tree", &[]);
}

#[test]
fn corrupted_memory_of_many() {
    corrupted("corrupted_memory_of_many", "many", &["300"]);
}

fn corrupted(test: &str, name: &str, arguments: &[&str]) {
    if !rights::root_or_skip(test) || !cores::gcore_or_skip(test) || !hostile::alone(test) {
        return;
    }
    let executable = Variant::release(Tokio::Latest).build(&[name]).expect("builds").program(name);
    let directory = tempfile::tempdir().expect("room");
    let mut command = Command::new(&executable);
    // glibc's further arenas are 64 MiB of nothing each.
    command.args(arguments).env("MALLOC_ARENA_MAX", "1");
    let mut program = Program::spawn(command).expect("starts");
    program.truth().expect("stands");
    let core = cores::gcore(program.pid(), directory.path()).expect("gcore works");
    drop(program);
    hostile::rounds(name, ROUNDS, PATIENCE, move |seeds, began| run(&core, seeds, began));
}

/// Tells each round's seed before it begins; in the end what was seen.
fn run(path: &Path, seeds: Range<u64>, began: &Sender<u64>) -> String {
    let image = std::fs::read(path).expect("the core file");
    let parse = |bytes: Vec<u8>| Core::parse(Bytes::from(bytes), path, None).expect("its headers are whole");
    let core = parse(image.clone());
    let words = Words::of(&core, &image);
    let mut inspector = Inspector::open(core, &[], Vec::new(), &|_, _| {}).expect("its program is there");
    let truth = look(&mut inspector);
    assert!(truth.coverage.tasks_found > 50 && truth.coverage.tasks_found == truth.coverage.tasks_decoded);
    let (mut differ, mut highest, mut found) = (0, 0, 0);
    for seed in seeds.clone() {
        began.send(seed).expect("somebody listens");
        let mut bytes = image.clone();
        words.corrupt(&mut bytes, &mut Rng::with_seed(seed));
        inspector.process = parse(bytes);
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let seen = look(&mut inspector);
        let used = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(used <= LIMIT, "HOSTILE_SEED={seed} allocates {used} bytes");
        let same = seen.tasks.iter().map(|t| &t.tree).eq(truth.tasks.iter().map(|t| &t.tree));
        differ += u64::from(!same);
        highest = highest.max(used);
        found += seen.coverage.tasks_found;
    }
    let rounds = seeds.end - seeds.start;
    assert!(differ * 2 > rounds, "only {differ} of {rounds} rounds changed anything that is decoded");
    let average = found.checked_div(rounds).unwrap_or(0);
    format!(
        "{rounds} rounds, {differ} with other trees, {average} of {} tasks found on average, at most {} MiB allocated",
        truth.coverage.tasks_found,
        highest >> 20
    )
}

/// A snapshot, also written out: what is decoded must be fit to be shown.
fn look(inspector: &mut Inspector<Core>) -> Snapshot {
    let snapshot = inspector.snapshot(0, None).expect("a snapshot");
    json::write(&mut std::io::sink(), &snapshot, snapshot.tasks.iter(), &[]).expect("writes");
    snapshot
}

/// Places of the core file that hold words of writable memory that are not zero: heap, thread-locals, stacks, statics.
struct Words {
    places: Vec<usize>,
    /// Those that may be pointers into such memory.
    pointers: Vec<usize>,
}

impl Words {
    fn of(core: &Core, image: &[u8]) -> Words {
        let regions: Vec<_> = core.regions().iter().filter(|r| r.readable && r.writable).collect();
        let into = |value: u64| regions.iter().any(|r| (r.start.0..r.end.0).contains(&value));
        let (mut places, mut pointers) = (Vec::new(), Vec::new());
        for range in regions.iter().filter_map(|region| core.file_range(region.start)) {
            for at in range.step_by(8).filter(|at| at + 8 <= image.len()) {
                match word(image, at) {
                    0 => {}
                    value => {
                        places.push(at);
                        pointers.extend(into(value).then_some(at));
                    }
                }
            }
        }
        assert!(places.len() > 1000 && pointers.len() > 100, "{} words", places.len());
        Words { places, pointers }
    }

    fn corrupt(&self, image: &mut [u8], rng: &mut Rng) {
        // From a single word to a twentieth of all.
        let n = 1 << rng.u32(0..=(self.places.len() / 20).ilog2());
        for _ in 0..n {
            let at = self.places[rng.usize(..self.places.len())];
            let pointer = self.pointers[rng.usize(..self.pointers.len())];
            let other = self.pointers[rng.usize(..self.pointers.len())];
            match rng.u32(0..8) {
                0 => put(image, at, word(image, at) ^ 1 << rng.u32(0..64)),
                // A pointer that leads to where another one does, and two that were exchanged.
                1 => put(image, pointer, word(image, other)),
                2 => {
                    let (one, two) = (word(image, pointer), word(image, other));
                    put(image, pointer, two);
                    put(image, other, one);
                }
                3 => put(image, pointer, word(image, other).wrapping_add(rng.u64(0..256))),
                // A length, a count, a capacity; a pointer to the end of the address space.
                4 => put(
                    image,
                    at,
                    *rng.choice(&[u64::MAX, 1 << 63, 1 << 47, 1 << 32, 0xffff, i64::MAX as u64])
                        .expect("some"),
                ),
                // A discriminant, a state, a flag.
                5 => image[at + rng.usize(0..8)] = rng.u8(..),
                6 => put(image, at, rng.u64(0..16)),
                _ => put(image, at, word(image, other)),
            }
        }
    }
}

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().expect("eight bytes"))
}

fn put(image: &mut [u8], at: usize, value: u64) {
    image[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
