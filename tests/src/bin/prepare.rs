//! Builds what the end-to-end tests look at before they run: each build with all of its programs at once, and two builds at a
//! time. Tests build one after the other, since most wait for the program that they look at. What is not named here is built by
//! the test that wants it.

use anyhow::{Context as _, Result};
use e2e::real::PROGRAMS;
use e2e::{Lto, Strip, Tokio, Variant, build_package};
use std::time::Instant;

/// In every build.
const TREES: [&str; 2] = ["tree", "current_thread"];

/// In builds with less debug information.
const FEW: [&str; 2] = ["tree", "forever"];

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
    let plain = Variant::release(Tokio::Latest);
    // First what ends with one large crate after the other; last many small ones, which keep both processors busy.
    build("big", || build_package("big", &["big"]).map(drop))?;
    build("crates", || build_package("crates", &["others_waits"]).map(drop))?;
    all(covering(|variant| variant.lto == Lto::Local))?;
    // Over what the plain build with the latest tokio is over.
    futures(plain)?;
    for (package, program) in [("executors", "executors"), ("plain", "no_runtime"), ("seccomp", "seccomp")] {
        build(package, || build_package(package, &[program]).map(drop))?;
    }
    let stripped = Variant { strip: Strip::Symbols, ..plain };
    all(levels(plain).into_iter().chain([stripped]).map(|variant| (variant, FEW.to_vec())).collect())?;
    all([0, 1].map(|debug| (Variant { twin: true, debug, ..plain }, vec!["forever"])).into())
}

/// What `Lane::Narrow` has, and the programs of crates.io.
fn narrow() -> Result<()> {
    let plain = Variant::release(Tokio::Latest);
    let fat = Variant { lto: Lto::Fat, codegen_units: 1, ..plain };
    build("real programs", || {
        PROGRAMS.iter().filter(|real| real.cheap).try_for_each(|real| real.install().map(drop))
    })?;
    all(covering(|variant| variant.lto != Lto::Local))?;
    futures(Variant::smallest(Tokio::Latest))?;
    all(levels(fat).into_iter().map(|variant| (variant, FEW.to_vec())).collect())?;
    let other = ["smol_tasks", "async_std_tasks", "futures_pool", "actix_arbiters", "two_runtimes"];
    for (variant, programs) in [(plain, [other.as_slice(), &["states"]].concat()), (fat, other.to_vec())] {
        build(&format!("others {}", variant.name()), || variant.build_of("others", &programs).map(drop))?;
    }
    Ok(())
}

/// Of what CI has time for.
fn covering(which: impl Fn(&Variant) -> bool) -> Vec<(Variant, Vec<&'static str>)> {
    let builds = Variant::covering().into_iter().filter(which);
    builds.map(|variant| (variant, [TREES.as_slice(), further(variant).as_slice()].concat())).collect()
}

/// The same with less debug information.
fn levels(base: Variant) -> [Variant; 3] {
    [Variant { debug: 1, ..base }, Variant { line_tables: true, ..base }, Variant { debug: 0, ..base }]
}

fn futures(variant: Variant) -> Result<()> {
    build(&format!("futures {}", variant.name()), || {
        variant.build_package("futures", &["collections"]).map(drop)
    })
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
                "computes",
                "counts",
                "dropped",
                "exits_early",
                "faults",
                "many",
                "outcomes",
                "paced",
                "roots",
                "shares",
                "spawned",
                "timed",
            ],
            Tokio::V1_43 => &["causes", "counts", "roots"],
            Tokio::V1_38 => &["blockers", "counts", "outcomes", "outline_states", "roots", "shares"],
            Tokio::V1_28 => &["causes", "shares"],
            Tokio::V1_21 => &["shares", "timed"],
        };
        let recent: &[&str] =
            if Tokio::ALL.contains(&tokio) { &["panics", "waits", "holders", "cycles"] } else { &[] };
        let outlines: &[&str] = if tokio == Tokio::Latest { &OUTLINES } else { &[] };
        return [named, recent, outlines, &["local_set", "many_runtimes", "forever", "queues"]].concat();
    }
    let named: &[&str] = match tokio {
        Tokio::Latest if smallest => {
            &["blockers", "causes", "computes", "counts", "roots", "waits", "holders", "cycles"]
        }
        Tokio::Latest if variant == Variant::in_one_unit(tokio) => {
            &["causes", "forever", "roots", "waits", "holders", "cycles"]
        }
        Tokio::Latest if variant == Variant::thin(tokio) => &["panics", "roots", "spawned"],
        Tokio::Latest if variant.lto == Lto::Fat => &["outcomes", "roots"],
        Tokio::Latest => &["roots"],
        Tokio::V1_38 if smallest => &["causes", "counts", "dropped"],
        _ => &[],
    };
    let outlines: &[&str] = if tokio == Tokio::Latest && variant.lto != Lto::Thin { &OUTLINES } else { &[] };
    [named, outlines].concat()
}
