//! Files that lie: programs whose debug information, code, unwinding tables or relocations were changed at random go through every
//! view of `analyze` in this process. Nothing panics or hangs, and no number in a file makes us allocate more than a bound.

use async_inspect::decode::{Recipes, StaticModel};
use async_inspect::export::outline_text::Options;
use async_inspect::export::{
    machine_dot, machine_json, machine_mermaid, machine_text, outline_blocking, outline_dot, outline_html,
    outline_json, outline_mermaid, outline_text, sizes_json,
};
use async_inspect::outline::{self, Choice, Coroutines, Excerpt, Flow, Machine, SizeChanges, Sizes};
use async_inspect::present::machine::MachineWords;
use async_inspect::present::paint::Paint;
use async_inspect::present::places::Places;
use async_inspect::present::source::NoSource;
use async_inspect::present::{size_changes, sizes};
use async_inspect::target::{DebugFiles, ElfHeaders};
use e2e::{Lto, Mangling, Panic, Tokio, Variant, hostile};
use fastrand::Rng;
use object::{Object as _, ObjectSection as _};
use peak_alloc::PeakAlloc;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What one file may take at its peak, over what was allocated before; the whole one takes a few MiB.
const LIMIT: usize = 256 << 20;
/// A round takes a few seconds in a debug build.
const PATIENCE: Duration = Duration::from_secs(180);
const ROUNDS: u64 = 30;

/// Sections that `analyze` reads, beside the strings.
const SECTIONS: [&str; 9] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_line",
    ".debug_str",
    ".text",
    ".eh_frame",
    ".rela.dyn",
];

#[test]
fn corrupted_files_of_outline_calls() {
    corrupted("corrupted_files_of_outline_calls", "outline_calls");
}

#[test]
fn corrupted_files_of_outline_states() {
    corrupted("corrupted_files_of_outline_states", "outline_states");
}

fn corrupted(test: &str, name: &str) {
    if !hostile::alone(test) {
        return;
    }
    // The smallest of the builds: everything is in few units, so that damage hits what matters.
    let variant = Variant {
        lto: Lto::Fat,
        codegen_units: 1,
        panic: Panic::Abort,
        mangling: Mangling::V0,
        ..Variant::release(Tokio::Latest)
    };
    let executable = variant.build(&[name]).expect("builds").program(name);
    hostile::rounds(name, ROUNDS, PATIENCE, move |seeds, began| run(&executable, seeds, began));
}

fn run(path: &Path, seeds: Range<u64>, began: &Sender<u64>) -> String {
    let image = std::fs::read(path).expect("the program");
    let sections = sections(&image);
    let directory = tempfile::tempdir().expect("room");
    let changed = directory.path().join("program");
    let truth = views(path).expect("it is whole");
    assert!(truth.functions > 20 && truth.machines > 10, "{truth:?}");
    let (mut refused, mut differ, mut highest) = (0, 0, 0);
    let rounds = seeds.end - seeds.start;
    for seed in seeds {
        began.send(seed).expect("somebody listens");
        let mut bytes = image.clone();
        corrupt(&mut bytes, &sections, &mut Rng::with_seed(seed));
        std::fs::write(&changed, &bytes).expect("room");
        drop(bytes);
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        match views(&changed) {
            Some(seen) => differ += u64::from(seen != truth),
            None => refused += 1,
        }
        let used = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(used <= LIMIT, "HOSTILE_SEED={seed} allocates {used} bytes");
        highest = highest.max(used);
    }
    assert!((differ + refused) * 3 > rounds, "only {differ} of {rounds} rounds changed anything");
    let mib = highest >> 20;
    format!("{rounds} rounds, {differ} with other views, {refused} refused, at most {mib} MiB allocated")
}

/// Where the sections are in the file, and where each one's header is.
fn sections(image: &[u8]) -> Vec<(Range<usize>, usize)> {
    let file = object::File::parse(image).expect("an ELF file");
    let table = u64::from_le_bytes(image[0x28..0x30].try_into().expect("eight bytes")) as usize;
    let header = |index: usize| table + 64 * index;
    let of = |name: &&str| {
        let section = file.section_by_name(name)?;
        let (start, size) = section.file_range()?;
        Some((start as usize..(start + size) as usize, header(section.index().0)))
    };
    let found: Vec<_> = SECTIONS.iter().filter_map(of).filter(|(range, _)| range.len() > 64).collect();
    assert!(found.len() >= 7, "{found:?}");
    found
}

fn corrupt(image: &mut [u8], sections: &[(Range<usize>, usize)], rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        let (range, header) = rng.choice(sections).expect("some").clone();
        // sh_size: the section ends early.
        if rng.u32(0..8) == 0 {
            let size = rng.u64(0..range.len() as u64);
            image[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
            continue;
        }
        // From a single place to one in a hundred bytes.
        let many = 1 << rng.u32(0..=(range.len() / 100).max(1).ilog2());
        for _ in 0..many {
            let at = rng.usize(range.clone());
            let end = (at + rng.usize(1..32)).min(range.end);
            match rng.u32(0..7) {
                0 => image[at] ^= 1 << rng.u32(0..8),
                1 => image[at] = rng.u8(..),
                2 => image[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0xff]).expect("some"),
                // Numbers of LEB128 that do not end.
                3 => image[at..end].fill(0x80 | rng.u8(..)),
                4 => image[at..end].fill(0xff),
                // A place that looks like another one.
                5 => {
                    let from = rng.usize(range.start..=range.end - (end - at));
                    image.copy_within(from..from + (end - at), at);
                }
                // A reference or an offset to elsewhere in the section.
                _ if range.end - at >= 4 => {
                    let to = rng.u32(0..range.len() as u32).to_le_bytes();
                    image[at..at + 4].copy_from_slice(&to);
                }
                _ => image[at] = 0,
            }
        }
    }
}

/// What was written, in numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    functions: usize,
    edges: usize,
    machines: usize,
    bytes: u64,
}

/// Counts what it is given.
impl io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As `analyze` opens a file, and all that it writes of one. None of a file that it refuses.
fn views(path: &Path) -> Option<Seen> {
    let files = DebugFiles::of_file(path, None).ok()?;
    let headers = ElfHeaders::read(&File::open(path).expect("it is there"), path).ok()?;
    let executable = headers.segments.iter().filter(|segment| segment.executable);
    let code = executable
        .map(|s| (s.address, s.file_offset.0..s.file_offset.0.saturating_add(s.file_size)))
        .collect::<Vec<_>>();
    let model = StaticModel::load(files, &code, Vec::new(), &|_, _| {}).ok()?;
    let main = &model.files.main;
    let mut seen = Seen::default();
    graphs(&model, &mut seen);
    let (recipes, places) = (&model.recipes, Places::of(&model.recipes.frames));
    for deps in [false, true] {
        let found = outline::blocking(recipes, main, deps);
        outline_blocking::write_text(&mut seen, &found, &places, Paint { color: true }).expect("writes");
        outline_blocking::write_json(&mut seen, &found).expect("writes");
    }
    let coroutines = Coroutines::of(recipes);
    let all = Sizes::of(recipes, &model.sites, &coroutines);
    let extent = sizes::Extent { deps: true, all: true };
    sizes::write(&mut seen, &all, &places, extent, Paint { color: false }).expect("writes");
    sizes_json::write(&mut seen, &all, true).expect("writes");
    let changes = SizeChanges::of(&Sizes::default(), &all, true);
    size_changes::write(&mut seen, &changes, ["", ""], true, Paint { color: false }).expect("writes");
    sizes_json::write_changes(&mut seen, &changes, "", "").expect("writes");
    machines(recipes, &coroutines, main, &places, &mut seen);
    Some(seen)
}

fn graphs(model: &StaticModel, seen: &mut Seen) {
    let graph = outline::call_graph(&model.recipes, &model.sites, &model.files.main);
    (seen.functions, seen.edges) = (graph.functions.len(), graph.edges.len());
    let places = Places::default();
    for (deps, depth) in [(false, None), (true, Some(3))] {
        let excerpt = Excerpt::of(&graph, &Choice { deps, roots: Vec::new(), depth });
        let options = Options { paint: Paint { color: false }, width: 100 };
        outline_text::write(seen, &excerpt, "program", &places, options).expect("writes");
        outline_json::write(seen, &excerpt).expect("writes");
        outline_dot::write(seen, &excerpt, &places).expect("writes");
        outline_mermaid::write(seen, &excerpt, &places).expect("writes");
        outline_html::write(seen, &excerpt, "program", &places).expect("writes");
    }
}

fn machines(
    recipes: &Recipes<'_, '_>,
    coroutines: &Coroutines,
    main: &[u8],
    places: &Places,
    seen: &mut Seen,
) {
    let flow = Flow::new(recipes, coroutines, main);
    for one in &coroutines.list {
        let Some(mut machine) = Machine::of(recipes, one) else { continue };
        seen.machines += 1;
        flow.follow(&mut machine, one);
        let words = MachineWords { machine: &machine, places, sources: &NoSource };
        machine_text::write(seen, &words, Paint { color: false }).expect("writes");
        machine_json::write(seen, &machine, &NoSource).expect("writes");
        machine_dot::write(seen, &words).expect("writes");
        machine_mermaid::write(seen, &words).expect("writes");
    }
}
