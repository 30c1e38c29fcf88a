//! `check`: what can be seen of a target, and why not more.

use super::text::debuginfo_words;
use super::{json, json::SCHEMA};
use crate::decode::{DebugInfoLevel, RuntimeKind};
use crate::model::Mode;
use crate::present::escape::escape;
use crate::present::paint::Paint;
use crate::present::units::{count, span};
use crate::runtime::is_too_old;
use serde::Serialize;
use std::io::{self, Write};

/// Filled by whoever looks; what was not looked at or is unknown stays None.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// None for a file.
    pub pid: Option<u32>,
    pub exe: String,
    pub kernel: Kernel,
    pub privileges: Vec<Privilege>,
    pub debuginfo: DebugInfoLevel,
    /// Where the debug information was found.
    pub debuginfo_from: Option<String>,
    pub runtimes: Vec<FoundRuntime>,
    pub coverage: Option<Coverage>,
    /// The way `attach` would watch this target; None: it could not.
    pub attach_mode: Option<Mode>,
    /// Whether `dump` would work.
    pub dump: bool,
    /// One line each: what is missing, and what to type or add.
    pub advice: Vec<String>,
}

impl CheckReport {
    fn tokio_version(&self) -> Option<&str> {
        self.runtimes.iter().find(|runtime| runtime.kind == RuntimeKind::Tokio)?.version.as_deref()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    pub uprobes: Option<bool>,
    pub uprobe_multi: Option<bool>,
    pub uprobe_session: Option<bool>,
    pub btf: Option<bool>,
    /// A seccomp filter in the target that may not know the return trampoline's system call.
    pub seccomp: Option<bool>,
}

#[derive(Clone, Debug)]
pub struct Privilege {
    /// `CAP_BPF`, `read /proc/PID/mem`.
    pub name: String,
    pub held: bool,
    /// What it is needed for.
    pub needed_for: String,
}

#[derive(Clone, Debug)]
pub struct FoundRuntime {
    pub kind: RuntimeKind,
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Executor poll functions found, and those a probe can be put on.
    pub poll_sites: u64,
    pub poll_sites_probeable: u64,
    /// Coroutine types, and those whose states are understood.
    pub coroutine_types: u64,
    pub coroutine_types_walked: u64,
    /// Tasks seen now; None for a file.
    pub tasks: Option<u64>,
    /// What one poll costs the target more while attached, ns.
    pub cost_per_poll_ns: Option<u64>,
    pub issues: Vec<String>,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    pid: Option<u32>,
    exe: &'a str,
    kernel: KernelJson<'a>,
    privileges: Vec<PrivilegeJson<'a>>,
    debuginfo: &'static str,
    debuginfo_from: Option<&'a str>,
    runtimes: Vec<RuntimeJson<'a>>,
    coverage: Option<CoverageJson<'a>>,
    attach_mode: Option<&'static str>,
    dump: bool,
    advice: &'a [String],
}

#[derive(Serialize)]
struct KernelJson<'a> {
    release: &'a str,
    uprobes: Option<bool>,
    uprobe_multi: Option<bool>,
    uprobe_session: Option<bool>,
    btf: Option<bool>,
    seccomp: Option<bool>,
}

#[derive(Serialize)]
struct PrivilegeJson<'a> {
    name: &'a str,
    held: bool,
    needed_for: &'a str,
}

#[derive(Serialize)]
struct RuntimeJson<'a> {
    kind: &'static str,
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct CoverageJson<'a> {
    poll_sites: u64,
    poll_sites_probeable: u64,
    coroutine_types: u64,
    coroutine_types_walked: u64,
    tasks: Option<u64>,
    cost_per_poll_ns: Option<u64>,
    issues: &'a [String],
}

pub fn write_json(out: &mut impl Write, report: &CheckReport) -> io::Result<()> {
    let kernel = &report.kernel;
    let object = Json {
        schema: SCHEMA,
        pid: report.pid,
        exe: &report.exe,
        kernel: KernelJson {
            release: &kernel.release,
            uprobes: kernel.uprobes,
            uprobe_multi: kernel.uprobe_multi,
            uprobe_session: kernel.uprobe_session,
            btf: kernel.btf,
            seccomp: kernel.seccomp,
        },
        privileges: report
            .privileges
            .iter()
            .map(|p| PrivilegeJson { name: &p.name, held: p.held, needed_for: &p.needed_for })
            .collect(),
        debuginfo: json::debuginfo_word(report.debuginfo),
        debuginfo_from: report.debuginfo_from.as_deref(),
        runtimes: report
            .runtimes
            .iter()
            .map(|r| RuntimeJson { kind: json::runtime_word(r.kind), version: r.version.as_deref() })
            .collect(),
        coverage: report.coverage.as_ref().map(|c| CoverageJson {
            poll_sites: c.poll_sites,
            poll_sites_probeable: c.poll_sites_probeable,
            coroutine_types: c.coroutine_types,
            coroutine_types_walked: c.coroutine_types_walked,
            tasks: c.tasks,
            cost_per_poll_ns: c.cost_per_poll_ns,
            issues: &c.issues,
        }),
        attach_mode: report.attach_mode.map(Mode::as_str),
        dump: report.dump,
        advice: &report.advice,
    };
    serde_json::to_writer_pretty(&mut *out, &object)?;
    writeln!(out)
}

pub fn write_text(out: &mut impl Write, report: &CheckReport, paint: Paint) -> io::Result<()> {
    let exe = escape(&report.exe);
    match report.pid {
        Some(pid) => writeln!(out, "{}  (pid {pid})", paint.bold(&exe))?,
        None => writeln!(out, "{}", paint.bold(&exe))?,
    }
    let row = |out: &mut dyn Write, good: Option<bool>, what: &str, text: &str| {
        let mark = match good {
            Some(true) => paint.good("yes").to_string(),
            Some(false) => paint.warn("no ").to_string(),
            None => paint.dim("-  ").to_string(),
        };
        writeln!(out, "  {mark}  {:<14} {text}", what)
    };
    let limits = limits(report);
    let attach = match report.attach_mode {
        Some(Mode::Snapshots) => match limits {
            Some(limits) => format!("by snapshots: {limits}; no poll counts"),
            None => "by snapshots: states and places, but no poll counts".into(),
        },
        Some(mode) => format!(
            "by probes ({}){}",
            mode.as_str(),
            limits.map_or(String::new(), |l| format!(": polls; {l}"))
        ),
        None => "not possible".to_string(),
    };
    let dump = match limits {
        _ if !report.dump => "not possible".to_owned(),
        Some(limits) => format!("works: {limits}"),
        None => "works".to_owned(),
    };
    row(out, Some(report.dump), "dump", &dump)?;
    row(out, Some(report.attach_mode.is_some()), "attach", &attach)?;
    kernel_rows(out, &report.kernel, &row)?;
    for privilege in &report.privileges {
        row(out, Some(privilege.held), &escape(&privilege.name), &privilege.needed_for)?;
    }
    let full = report.debuginfo == DebugInfoLevel::Full;
    let words = debuginfo_words(report.debuginfo, report.tokio_version());
    // What to do about it is among the advice.
    let mut words = words.split(": ").next().unwrap_or(&words).to_owned();
    if let Some(from) = &report.debuginfo_from {
        words += &format!(", from {}", escape(from));
    }
    row(out, Some(full), "debug info", &words)?;
    let runtimes: Vec<_> = report
        .runtimes
        .iter()
        .map(|r| match &r.version {
            Some(version) => format!("{} {}", json::runtime_word(r.kind), escape(version)),
            None => json::runtime_word(r.kind).into(),
        })
        .collect();
    let found = if runtimes.is_empty() { "none found".into() } else { runtimes.join(", ") };
    row(out, Some(!runtimes.is_empty()), "runtime", &found)?;
    if let Some(coverage) = &report.coverage {
        coverage_rows(out, coverage, paint)?;
    }
    for advice in &report.advice {
        writeln!(out, "  {} {}", paint.bold("→"), escape(advice))?;
    }
    Ok(())
}

/// What is seen of tasks where not all is.
fn limits(report: &CheckReport) -> Option<&'static str> {
    let too_old = report.tokio_version().is_some_and(is_too_old);
    match report.debuginfo {
        DebugInfoLevel::Full => None,
        DebugInfoLevel::UnknownLayout if too_old => Some("what threads block on, but no tasks"),
        DebugInfoLevel::UnknownLayout | DebugInfoLevel::Names | DebugInfoLevel::Symbols => {
            Some("names and states, but no places")
        }
        DebugInfoLevel::None => Some("states, but no names and no places"),
    }
}

type WriteRow<'a> = dyn Fn(&mut dyn Write, Option<bool>, &str, &str) -> io::Result<()> + 'a;

fn kernel_rows(out: &mut dyn Write, kernel: &Kernel, row: &WriteRow) -> io::Result<()> {
    row(out, kernel.uprobes, "kernel", &format!("{}, uprobes", escape(&kernel.release)))?;
    row(out, kernel.uprobe_multi, "", "uprobe_multi (from 6.6): hundreds of probes in one link")?;
    row(out, kernel.uprobe_session, "", "uprobe sessions (from 6.13): entry and return in one probe")?;
    row(out, kernel.btf, "", "type information of the kernel (BTF)")?;
    if kernel.seccomp == Some(true) {
        row(
            out,
            None,
            "seccomp",
            "the target has a filter: return probes only where the kernel lets them pass",
        )?;
    }
    Ok(())
}

fn coverage_rows(out: &mut impl Write, coverage: &Coverage, paint: Paint) -> io::Result<()> {
    let (probeable, sites) = (count(coverage.poll_sites_probeable), count(coverage.poll_sites));
    writeln!(out, "       {:<14} {probeable} of {sites} can be probed", "poll sites")?;
    let (walked, types) = (count(coverage.coroutine_types_walked), count(coverage.coroutine_types));
    writeln!(out, "       {:<14} {walked} of {types} understood", "coroutines")?;
    if let Some(tasks) = coverage.tasks {
        writeln!(out, "       {:<14} {} now", "tasks", count(tasks))?;
    }
    if let Some(ns) = coverage.cost_per_poll_ns {
        writeln!(out, "       {:<14} about {} more per poll while attached", "cost", span(ns))?;
    }
    for issue in &coverage.issues {
        writeln!(out, "  {}    {}", paint.warn("issue"), escape(issue))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
