//! What a dump takes, of a large program and of many tasks.

use crate::document::Table;
use crate::gimli_pass;
use crate::measure::{Costs, repeat};
use crate::tables::Effort;
use anyhow::{Context as _, Result};
use e2e::{Program, Tokio, Variant, build_package, inspector};
use std::fs;
use std::path::Path;

const HEAD: [&str; 4] = ["", "wall, s", "peak, MiB", "promised"];
const HOW: &str = "Page cache warm; wall time from start to exit, and the highest peak of resident memory.";

fn row(what: &str, costs: &Costs, promised: &str) -> Vec<String> {
    let (median, least, most) = costs.seconds();
    let wall = format!("{median:.3} ({least:.3} – {most:.3})");
    vec![what.to_owned(), wall, format!("{:.0}", costs.peak_mib()), promised.to_owned()]
}

/// A cache directory of its own, so that an index of before is not found.
fn cache(directory: &Path) -> Vec<(String, String)> {
    vec![("XDG_CACHE_HOME".to_string(), directory.display().to_string())]
}

pub fn big(effort: Effort) -> Result<Vec<Table>> {
    let rounds = effort.rounds(15);
    let executable = build_package("big", &["big"])?.program("big");
    let mut program = Program::start(&executable, &[])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let tool = inspector::executable().to_str().context("a path of UTF-8")?;
    let dump = [tool, "dump", "--json", &pid];

    let directory = tempfile::tempdir()?;
    let mut nth = 0;
    let without = repeat(rounds, &dump, || {
        nth += 1;
        let fresh = directory.path().join(nth.to_string());
        fs::create_dir_all(&fresh)?;
        Ok(cache(&fresh))
    })?;
    let kept = directory.path().join("kept");
    fs::create_dir_all(&kept)?;
    let with = repeat(rounds, &dump, || Ok(cache(&kept)))?;

    let own = std::env::current_exe()?;
    let own = own.to_str().context("a path of UTF-8")?;
    let file = executable.to_str().context("a path of UTF-8")?;
    let reference = repeat(rounds, &[own, "gimli-pass", file], || Ok(Vec::new()))?;
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let (whole, info) = (mib(fs::metadata(&executable)?.len()), mib(gimli_pass::size(&executable)?));
    let title = format!("`dump --json` of a server of {whole:.0} MiB, {info:.1} MiB of it .debug_info");
    let mut table = Table::new(title, format!("{HOW} {rounds} runs each."), &HEAD);
    table.rows = vec![
        row("without an index", &without, "0.6 s, 200 MB"),
        row("with its index", &with, "0.1 s"),
        row("reference: a bare gimli pass, one thread, all entries, nothing kept", &reference, ""),
    ];
    Ok(vec![table])
}

pub fn many(effort: Effort) -> Result<Vec<Table>> {
    [100_000, 300_000].into_iter().map(|tasks| suspended(tasks, effort.rounds(15))).collect()
}

fn suspended(tasks: u32, rounds: u32) -> Result<Table> {
    let executable = Variant::release(Tokio::Latest).build(&["many"])?.program("many");
    let mut program = Program::start(&executable, &[&tasks.to_string()])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let tool = inspector::executable().to_str().context("a path of UTF-8")?;
    let directory = tempfile::tempdir()?;
    let run = |command: &[&str]| repeat(rounds, command, || Ok(cache(directory.path())));
    let text = run(&[tool, "dump", &pid])?;
    let json = run(&[tool, "dump", "--json", &pid])?;
    let promised = match tasks {
        100_000 => ["1.0 s", "2.0 s"],
        _ => ["3 s, 1 GB", "1 GB"],
    };
    let title = format!("{tasks} suspended tasks of three shapes");
    let mut table = Table::new(title, format!("{HOW} {rounds} runs each."), &HEAD);
    table.rows = vec![
        row("`dump`, grouped text", &text, promised[0]),
        row("`dump --json` to a file", &json, promised[1]),
    ];
    Ok(table)
}

/// Every lint over 100,000 tasks that wait for 10,000 locks.
pub fn lints(effort: Effort) -> Result<Vec<Table>> {
    let rounds = effort.rounds(15);
    let executable = Variant::release(Tokio::Latest).build(&["locks"])?.program("locks");
    let mut program = Program::start(&executable, &["100000", "10000"])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let tool = inspector::executable().to_str().context("a path of UTF-8")?;
    let directory = tempfile::tempdir()?;
    let command = [tool, "diagnose", "-d", "0", "--json", &pid];
    let whole = repeat(rounds, &command, || Ok(cache(directory.path())))?;
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..rounds {
        let outcome = inspector::run(&["diagnose", "-v", "-d", "0", "--json", &pid])?;
        let said =
            outcome.stderr.lines().filter_map(|line| line.split_once("the lints took ")?.1.split(' ').next());
        let looks: Vec<f64> = said.map(str::parse).collect::<Result<_, _>>()?;
        took.push(looks.into_iter().reduce(f64::max).context("-v tells how long the lints took")? / 1000.0);
    }
    took.sort_by(f64::total_cmp);
    let lints = format!("{:.3} ({:.3} – {:.3})", took[took.len() / 2], took[0], took[took.len() - 1]);
    let mut table = Table::new(
        "`diagnose -d 0` of 100,000 tasks and 10,000 locks",
        format!("{HOW} {rounds} runs each."),
        &HEAD,
    );
    table.rows = vec![
        row("all of it: memory read two or three times, a fifth of a second and more between", &whole, ""),
        vec![
            "all lints over one reading, the longest of each run".into(),
            lints,
            String::new(),
            "0.5 s".into(),
        ],
    ];
    Ok(vec![table])
}
