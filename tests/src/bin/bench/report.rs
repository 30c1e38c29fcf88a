//! What is measured, and the tables of docs/BENCHMARKS.md.

use crate::gimli_pass;
use crate::measure::{Costs, repeat};
use anyhow::{Context as _, Result};
use e2e::{Program, Tokio, Variant, build_package, inspector, workspace};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

struct Table {
    title: String,
    rows: Vec<(String, Costs, &'static str)>,
}

pub fn write(rounds: u32) -> Result<()> {
    let tables = [big(rounds)?, many(100_000, rounds)?, many(300_000, rounds)?];
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`. Page cache warm, other programs idle; median (least – most) of \
         wall time from start to exit, and the highest peak of resident memory.\n\n",
    );
    writeln!(text, "{}\n", machine()?)?;
    for table in &tables {
        table.write(&mut text)?;
    }
    let file = workspace().join("docs/BENCHMARKS.md");
    fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
    fs::write(&file, &text)?;
    println!("{text}");
    Ok(())
}

impl Table {
    fn write(&self, text: &mut String) -> Result<()> {
        writeln!(text, "## {}\n", self.title)?;
        writeln!(text, "| | wall, s | peak, MiB | promised |\n|---|---|---|---|")?;
        for (what, costs, promised) in &self.rows {
            let (median, least, most) = costs.seconds();
            let peak = costs.peak_mib();
            writeln!(text, "| {what} | {median:.3} ({least:.3} – {most:.3}) | {peak:.0} | {promised} |")?;
        }
        writeln!(text)?;
        Ok(())
    }
}

/// What the figures are of; no names.
fn machine() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let models = fs::read_to_string("/proc/cpuinfo")?;
    let model = models.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    Ok(format!("{processors} × {model}, Linux {kernel}."))
}

/// A cache directory of its own, so that an index of before is not found.
fn cache(directory: &Path) -> Vec<(String, String)> {
    vec![("XDG_CACHE_HOME".to_string(), directory.display().to_string())]
}

fn big(rounds: u32) -> Result<Table> {
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
    Ok(Table {
        title: format!("`dump --json` of a server of {whole:.0} MiB, {info:.1} MiB of it .debug_info"),
        rows: vec![
            ("without an index".to_string(), without, "0.6 s, 200 MB"),
            ("with its index".to_string(), with, "0.1 s"),
            (
                "reference: a bare gimli pass, one thread, all entries, nothing kept".to_string(),
                reference,
                "",
            ),
        ],
    })
}

fn many(tasks: u32, rounds: u32) -> Result<Table> {
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
    Ok(Table {
        title: format!("{tasks} suspended tasks of three shapes"),
        rows: vec![
            ("`dump`, grouped text".to_string(), text, promised[0]),
            ("`dump --json` to a file".to_string(), json, promised[1]),
        ],
    })
}
