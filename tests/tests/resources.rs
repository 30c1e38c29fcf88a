//! What tasks wait for and hold is what they say themselves, in the builds that move things about most; and the table of it in
//! the docs is what was found. `UPDATE=1` writes the table.

use anyhow::{Result, bail, ensure};
use e2e::stuck::{Demand, look};
use e2e::{Built, Panic, Tokio, Variant, build_package, rights, table, workspace};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::HashSet;
use std::path::Path;

/// Stuck at every kind of thing; keeping every kind of guard; waiting for each other in rings.
const PROGRAMS: [&str; 3] = ["waits", "holders", "cycles"];
/// What crates around tokio make, in a workspace of its own.
const OTHERS: (&str, &str) = ("crates", "others_waits");
const TABLE: &str = "docs/RESOURCES.md";

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    if rights::root_or_skip("resources") {
        for variant in Variant::few() {
            trials.extend(PROGRAMS.map(|program| {
                let name = format!("{program} {}", variant.name());
                trial(name, move || check(&built(variant)?.program(program), demand(variant)))
            }));
        }
        let (package, program) = OTHERS;
        trials.push(trial(program.to_string(), move || {
            let executable = build_package(package, &[program])?.program(program);
            check(&executable, Demand { proof: true, lines: false })
        }));
        trials.push(trial("table".to_string(), the_table_is_true));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: String, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || run().map_err(|error| Failed::from(format!("{error:#}"))))
}

fn built(variant: Variant) -> Result<Built> {
    variant.build(&PROGRAMS)
}

fn demand(variant: Variant) -> Demand {
    let plain = variant == Variant::release(variant.tokio);
    Demand { proof: variant.panic == Panic::Unwind, lines: plain }
}

fn check(executable: &Path, demand: Demand) -> Result<()> {
    let looked = look(executable)?;
    ensure!(!looked.truth.is_empty(), "the program says nothing of itself");
    let wrong = looked.differences(demand);
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} of {} cases and more:\n{}", wrong.len(), looked.truth.len(), wrong.join("\n"))
}

/// The committed table is what this run found in the plain builds.
fn the_table_is_true() -> Result<()> {
    let mut columns = Vec::new();
    for tokio in Tokio::ALL {
        let built = built(Variant::release(tokio))?;
        let (waits, holders) = (look(&built.program("waits"))?, look(&built.program("holders"))?);
        columns.push(table::Column { tokio, waits, holders });
    }
    let (package, program) = OTHERS;
    let others = look(&build_package(package, &[program])?.program(program))?;
    let found = table::write(&columns, &others);
    let path = workspace().join(TABLE);
    if std::env::var_os("UPDATE").is_some() {
        return Ok(std::fs::write(path, found)?);
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let only = |sign: char, these: &str, those: &str| {
        let there: HashSet<&str> = those.lines().collect();
        let only = these.lines().filter(|line| !there.contains(line));
        only.map(|line| format!("{sign}{line}")).collect::<Vec<_>>()
    };
    let changed = [only('-', &committed, &found), only('+', &found, &committed)].concat();
    ensure!(committed == found, "{TABLE} is not what was found; UPDATE=1 writes it:\n{}", changed.join("\n"));
    Ok(())
}
