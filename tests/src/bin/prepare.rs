//! Builds what the end-to-end tests look at before they run: each build with all of its programs at once, and two builds at a
//! time. Tests build one after the other, since most wait for the program that they look at. What is not named here is built by
//! the test that wants it.

use anyhow::{Context as _, Result};
use e2e::real::PROGRAMS;
use e2e::{Lto, Mangling, Panic, Strip, Tokio, Variant, build_package};
use std::time::Instant;

/// In every build.
const TREES: [&str; 2] = ["tree", "current_thread"];

/// What is looked at without being watched.
const OUTLINES: [&str; 3] = ["awaits", "outline_calls", "outline_states"];

/// How long a build took, or that it failed. The tests that want it fail then, and say why.
fn build(name: &str, build: impl FnOnce() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    build().with_context(|| format!("{name} could not be built"))?;
    println!("{:>6.1} s  {name}", begin.elapsed().as_secs_f64());
    Ok(())
}

fn all(builds: Vec<(Variant, Vec<&'static str>)>) -> Result<()> {
    for (variant, programs) in builds {
        build(&variant.name(), || variant.build(&programs).map(drop))?;
    }
    Ok(())
}

fn main() -> Result<()> {
    std::thread::scope(|scope| {
        let (wide, narrow) = (scope.spawn(wide), scope.spawn(narrow));
        wide.join().expect("it does not panic").and(narrow.join().expect("it does not panic"))
    })
}

/// What `Lane::Wide` has.
fn wide() -> Result<()> {
    build("big", || build_package("big", &["big"]).map(drop))?;
    build("crates", || build_package("crates", &["others_waits"]).map(drop))?;
    let plain = Variant::release(Tokio::Latest);
    let mut builds: Vec<_> = Variant::covering()
        .into_iter()
        .filter(|variant| variant.lto == Lto::Local)
        .map(|variant| (variant, [TREES.as_slice(), further(variant).as_slice()].concat()))
        .collect();
    let few = vec!["tree", "forever"];
    for variant in [
        Variant { debug: 1, ..plain },
        Variant { line_tables: true, ..plain },
        Variant { debug: 0, ..plain },
        Variant { debug: 0, mangling: Mangling::V0, ..plain },
        Variant { strip: Strip::Symbols, ..plain },
    ] {
        builds.push((variant, few.clone()));
    }
    let twin = |variant, program| (Variant { twin: true, ..variant }, vec![program]);
    builds.extend([
        twin(Variant { strip: Strip::Symbols, ..plain }, "tree"),
        twin(Variant { debug: 0, ..plain }, "forever"),
        twin(Variant { debug: 1, ..plain }, "forever"),
        (Variant { strip: Strip::Symbols, debug: 0, ..plain }, vec!["forever"]),
        (Variant { pie: false, ..plain }, vec!["tree"]),
        (Variant { unstable: true, ..plain }, vec!["spawned"]),
    ]);
    all(builds)
}

/// What `Lane::Narrow` has, and the programs of crates.io.
fn narrow() -> Result<()> {
    let plain = Variant::release(Tokio::Latest);
    let fat = Variant { lto: Lto::Fat, codegen_units: 1, ..plain };
    let smallest = Variant::smallest(Tokio::Latest);
    build("real programs", || {
        PROGRAMS.iter().filter(|real| real.cheap).try_for_each(|real| real.install().map(drop))
    })?;
    let other = ["smol_tasks", "async_std_tasks", "futures_pool", "actix_arbiters", "two_runtimes"];
    for (variant, programs) in [(plain, [other.as_slice(), &["states"]].concat()), (fat, other.to_vec())] {
        build(&format!("others {}", variant.name()), || variant.build_of("others", &programs).map(drop))?;
    }
    for variant in [plain, smallest] {
        build(&format!("futures {}", variant.name()), || {
            variant.build_package("futures", &["collections"]).map(drop)
        })?;
    }
    for (package, program) in [("executors", "executors"), ("plain", "no_runtime"), ("seccomp", "seccomp")] {
        build(package, || build_package(package, &[program]).map(drop))?;
    }
    let covering = Variant::covering().into_iter().filter(|variant| variant.lto != Lto::Local);
    let mut builds: Vec<_> =
        covering.map(|variant| (variant, [TREES.as_slice(), further(variant).as_slice()].concat())).collect();
    let few = vec!["tree", "forever"];
    for variant in
        [Variant { debug: 1, ..fat }, Variant { line_tables: true, ..fat }, Variant { debug: 0, ..fat }]
    {
        builds.push((variant, few.clone()));
    }
    all(builds)
}

/// What is looked at beside trees: each program where a test names it.
fn further(variant: Variant) -> Vec<&'static str> {
    let tokio = variant.tokio;
    let plain = variant == Variant::release(tokio);
    let smallest = variant == Variant::smallest(tokio);
    if plain {
        let named: &[&str] = match tokio {
            Tokio::Latest => &[
                "blockers",
                "busy",
                "causes",
                "counts",
                "exits_early",
                "many",
                "roots",
                "shares",
                "spawned",
                "timed",
            ],
            Tokio::V1_43 => &["causes", "counts", "roots"],
            Tokio::V1_38 => &["blockers", "counts", "outline_states", "roots", "shares"],
            Tokio::V1_28 => &["causes", "shares"],
            Tokio::V1_21 => &["shares", "timed"],
        };
        let recent: &[&str] =
            if Tokio::ALL.contains(&tokio) { &["panics", "waits", "holders", "cycles"] } else { &[] };
        let outlines: &[&str] = if tokio == Tokio::Latest { &OUTLINES } else { &[] };
        return [named, recent, outlines, &["local_set", "many_runtimes", "forever", "queues"]].concat();
    }
    let named: &[&str] = match tokio {
        Tokio::Latest if smallest => &["blockers", "causes", "counts", "roots", "waits", "holders", "cycles"],
        Tokio::Latest if variant.codegen_units == 1 => {
            &["causes", "forever", "roots", "waits", "holders", "cycles"]
        }
        Tokio::Latest if variant.panic == Panic::Abort => &["panics", "roots"],
        Tokio::Latest if variant.split => &["roots", "awaits"],
        Tokio::Latest if variant.mangling == Mangling::Legacy => &["roots"],
        Tokio::V1_38 if smallest => &["causes", "counts"],
        _ => &[],
    };
    let outlines = tokio == Tokio::Latest
        && (smallest || variant.codegen_units == 1 || variant.lto == Lto::Fat)
        && !variant.split;
    let outlines: &[&str] = if outlines { &OUTLINES } else { &[] };
    [named, outlines].concat()
}
