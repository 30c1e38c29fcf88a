//! Decoded trees equal the truth that programs print about themselves, in every build. One test per build: of a selection that
//! has each way to build and each tokio, some ways in one build; or of all pairs, each way alone.
//!
//! ```sh
//! MATRIX=all cargo test -p e2e --test matrix
//! ```

use anyhow::{Result, bail};
use e2e::{Program, Tokio, Variant, compare, inspector, rights};
use libtest_mimic::{Arguments, Failed, Trial};

/// The programs whose trees are compared in every build; more of them in the plain build of the latest tokio.
const EVERYWHERE: [&str; 2] = ["tree", "current_thread"];
const ONCE: [&str; 3] = ["local_set", "many_runtimes", "forever"];

fn main() {
    let arguments = Arguments::from_args();
    let all = std::env::var("MATRIX").is_ok_and(|which| which == "all");
    let variants = if all { Variant::matrix() } else { Variant::covering() };
    if !all {
        let left = Variant::matrix().into_iter().filter(|variant| !variants.contains(variant)).count();
        rights::skipped(&format!("{left} builds of the matrix"), "MATRIX=all builds them");
    }
    let mut trials = Vec::new();
    for variant in variants {
        let plain = variant == Variant::release(variant.tokio);
        let programs = EVERYWHERE.into_iter().chain(ONCE.into_iter().filter(|_| plain)).collect();
        trials.push(trial(variant, programs));
    }
    assert!(trials.len() >= if all { 8 * Tokio::ALL.len() } else { 6 + 2 * Tokio::ALL.len() });
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(variant: Variant, programs: Vec<&'static str>) -> Trial {
    Trial::test(variant.name(), move || {
        let built = variant.build(&programs).map_err(|error| Failed::from(format!("{error:#}")))?;
        let mut wrong = String::new();
        for program in &programs {
            if let Err(error) = check(&built.program(program), program) {
                wrong.push_str(&format!("{program}: {error:#}\n"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failed::from(wrong)) }
    })
}

fn check(executable: &std::path::Path, name: &str) -> Result<()> {
    let mut program = Program::start(executable, &[])?;
    let truth = program.tasks()?;
    let dump = inspector::dump(program.pid())?;
    match compare::report(&compare::tasks(&dump, &truth, name)) {
        None => Ok(()),
        Some(differences) => bail!(differences),
    }
}
