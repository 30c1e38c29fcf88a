//! Programs that nobody here wrote are told as well as ours. `REAL_PROGRAMS=all` builds those that take minutes too.

use anyhow::{Result, ensure};
use e2e::real::{MINIMUM, PROGRAMS, Real, table};
use e2e::rights;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // Each has its own server, but the tool and the builds share two cores.
    arguments.test_threads.get_or_insert(1);
    let all = std::env::var("REAL_PROGRAMS").is_ok_and(|which| which == "all");
    let (chosen, left): (Vec<&Real>, Vec<&Real>) = PROGRAMS.iter().partition(|real| real.cheap || all);
    for real in left {
        rights::skipped(real.name, "it takes minutes to build; REAL_PROGRAMS=all builds it");
    }
    let trials = chosen.into_iter().map(|real| Trial::test(real.name, move || check(real)));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn check(real: &Real) -> Result<(), Failed> {
    let decoded = real.measure().map_err(|error| format!("{error:#}"))?;
    let share = decoded.share();
    println!("{}", table(&[(real, decoded)]));
    enough(real, share).map_err(|error| error.to_string().into())
}

fn enough(real: &Real, share: f64) -> Result<()> {
    ensure!(share >= MINIMUM, "{}: {:.1} % of the suspended frames are told", real.name, share * 100.0);
    Ok(())
}
