//! `check`: looks at a target and at this machine, and says what could be seen and why not more.

use super::live::{failure, inspect};
use super::source::{OpenOptions, Progress};
use super::{Exit, Failure, binary};
use crate::decode::{DebugInfoLevel, Inspector, Recipe, RuntimeKind, StaticModel};
use crate::export::check::{CheckReport, Coverage, FoundRuntime, Kernel, Privilege};
use crate::export::ps::ProcessRow;
use crate::export::text::debuginfo_words;
use crate::model::Mode;
use crate::target::{self, DebugFiles, DwarfSource, Process, SeccompMode};
use crate::trace::{self, ProbeMode};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Looks at TARGET, a PID, a name or an executable file, and tells what could be seen of it.
///
/// # Errors
/// As [`super::live::open`], but what is merely missing goes into the report.
pub fn check(target: &str, options: &OpenOptions, progress: &dyn Progress) -> Result<CheckReport, Failure> {
    if target.parse::<u32>().is_err() && Path::new(target).is_file() {
        return check_file(Path::new(target), options, progress);
    }
    if target.contains('/') && !Path::new(target).exists() {
        return Err(Failure {
            exit: Exit::NoTarget,
            tried: format!("checking {target}"),
            why: "there is no such file".into(),
            next: "async-inspect check FILE, a program; or a PID or a process's name: async-inspect ps"
                .into(),
        });
    }
    let mut inspector = inspect(target, options, progress)?;
    let seccomp = inspector.process.seccomp_mode();
    let tasks = inspector.snapshot(0, None).map(|snapshot| snapshot.coverage.tasks_found);
    let mut report = report(&inspector.model, Some(&inspector));
    report.pid = Some(inspector.process.pid());
    report.exe = inspector.image.path.display().to_string();
    report.kernel.seccomp = Some(seccomp != SeccompMode::Disabled);
    report.dump = tasks.is_ok() && inspector.model.has_runtime();
    if let (Some(coverage), Ok(tasks)) = (&mut report.coverage, tasks) {
        coverage.tasks = Some(tasks);
    }
    Ok(report)
}

fn check_file(path: &Path, options: &OpenOptions, progress: &dyn Progress) -> Result<CheckReport, Failure> {
    let model = binary::open(path, options, progress)?;
    let mut report = report(&model, None);
    report.exe = path.display().to_string();
    report.dump = model.has_runtime();
    Ok(report)
}

fn report(model: &StaticModel, inspector: Option<&Inspector>) -> CheckReport {
    let kernel = kernel();
    let privileges = privileges();
    let held = |name: &str| privileges.iter().any(|p| p.name == name && p.held);
    let attach_mode = match (held("CAP_BPF") && held("CAP_PERFMON"), &kernel) {
        _ if !model.has_runtime() => None,
        _ if model.sites.is_empty() => Some(Mode::Snapshots),
        (false, _) => Some(Mode::Snapshots),
        (true, Kernel { uprobe_session: Some(true), .. }) => Some(Mode::Session),
        (true, Kernel { uprobe_multi: Some(true), .. }) => Some(Mode::Multi),
        (true, Kernel { uprobes: Some(true), .. }) => Some(Mode::PerfEvents),
        (true, _) => Some(Mode::Snapshots),
    };
    let source = match model.files.dwarf_source() {
        DwarfSource::Main => Some(model.files.main_path.display().to_string()),
        DwarfSource::Separate => model.files.debug.as_ref().map(|l| l.path.display().to_string()),
        DwarfSource::Nowhere => None,
    };
    let package = model.files.dwp.as_ref().map(|l| l.path.display().to_string());
    CheckReport {
        pid: None,
        exe: String::new(),
        privileges,
        debuginfo: model.level,
        debuginfo_from: source.map(|s| package.map_or(s.clone(), |p| format!("{s}, {p}"))),
        runtimes: runtimes(model),
        coverage: Some(coverage(model, inspector)),
        attach_mode,
        dump: false,
        advice: advice(model, &kernel),
        kernel,
    }
}

fn runtimes(model: &StaticModel) -> Vec<FoundRuntime> {
    let version = |kind| match kind {
        RuntimeKind::Tokio => model.sites.tokio_version.clone(),
        RuntimeKind::AsyncTask => model.executors.async_task.version.clone(),
        RuntimeKind::Futures | RuntimeKind::BlockOn => None,
    };
    model.runtime_kinds().into_iter().map(|kind| FoundRuntime { kind, version: version(kind) }).collect()
}

/// Counts what the state walk reaches from the poll functions.
fn coverage(model: &StaticModel, inspector: Option<&Inspector>) -> Coverage {
    let probeable = |site: &&std::sync::Arc<crate::decode::Site>| {
        inspector.is_none_or(|i| i.image.file_offset(site.poll).is_some())
    };
    let mut open: Vec<_> = model.sites.iter().filter_map(|s| s.typed.as_ref().map(|t| t.root)).collect();
    let mut seen = HashSet::new();
    let (mut coroutines, mut walked) = (0, 0);
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match &*model.recipes.get(id) {
            Recipe::Fixed(arm) => open.extend(arm.awaiting.iter().map(|c| c.recipe)),
            Recipe::Switch { arms, discriminant, .. } => {
                let coroutine = arms.first().is_some_and(|arm| arm.frame.is_some());
                coroutines += u64::from(coroutine);
                walked += u64::from(coroutine && discriminant.is_some());
                open.extend(arms.iter().flat_map(|arm| arm.awaiting.iter().map(|c| c.recipe)));
            }
            Recipe::Slice { element, .. } => open.push(*element),
            Recipe::Select { inner, .. } => open.push(inner.recipe),
            Recipe::List(list) => open.push(list.element()),
            Recipe::Dyn { .. } | Recipe::Tasks { .. } | Recipe::Unknown => {}
        }
    }
    Coverage {
        poll_sites: model.sites.len() as u64,
        poll_sites_probeable: model.sites.iter().filter(probeable).count() as u64,
        coroutine_types: coroutines,
        coroutine_types_walked: walked,
        tasks: None,
        cost_per_poll_ns: None,
        issues: model.issues.clone(),
    }
}

fn kernel() -> Kernel {
    let uname = rustix::system::uname();
    let features = trace::features();
    Kernel {
        release: uname.release().to_string_lossy().into_owned(),
        uprobes: features.as_ref().ok().map(|modes| modes.contains(&ProbeMode::Perf)),
        uprobe_multi: features.as_ref().ok().map(|modes| modes.contains(&ProbeMode::Multi)),
        uprobe_session: features.as_ref().ok().map(|modes| modes.contains(&ProbeMode::Session)),
        btf: Some(Path::new("/sys/kernel/btf/vmlinux").exists()),
        seccomp: None,
    }
}

/// Capabilities by their numbers in include/uapi/linux/capability.h.
fn privileges() -> Vec<Privilege> {
    let effective = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let effective = effective.unwrap_or(0);
    let admin = effective & (1 << 21) != 0;
    let one = |name: &str, bit: u32, needed_for: &str| Privilege {
        name: name.to_owned(),
        // CAP_SYS_ADMIN stands in for the two that were split off it.
        held: effective & (1 << bit) != 0 || (admin && bit >= 38),
        needed_for: needed_for.to_owned(),
    };
    vec![
        one("CAP_SYS_PTRACE", 19, "reading the memory of other users' processes (dump, attach)"),
        one("CAP_PERFMON", 38, "uprobes (attach)"),
        one("CAP_BPF", 39, "BPF programs (attach)"),
    ]
}

fn advice(model: &StaticModel, kernel: &Kernel) -> Vec<String> {
    if !model.has_runtime() {
        // Nothing that one could do to it would help.
        return vec!["no async runtime is known in this program: async-inspect ps".to_owned()];
    }
    let mut advice = Vec::new();
    if model.level != DebugInfoLevel::Full {
        let words = debuginfo_words(model.level, model.sites.tokio_version.as_deref());
        advice.push(format!("debug information: {words}"));
    }
    if model.level == DebugInfoLevel::None {
        advice.push(
            "or build a twin, the same build again with RUSTFLAGS=-Cstrip=none, and give it with --debuginfo: it is \
             taken if its code is the same"
                .into(),
        );
    }
    if kernel.uprobes == Some(false) {
        advice.push("this kernel has no BPF uprobes; dump works, attach takes snapshots".into());
    }
    advice
}

/// Every process of this host that looks like an async Rust program, and those that could not be looked at.
///
/// # Errors
/// When /proc cannot be read.
pub fn processes() -> Result<(Vec<ProcessRow>, Vec<target::Listed>), Failure> {
    let listed = target::list().map_err(failure)?;
    let rows = listed.iter().filter_map(row).collect();
    let closed = listed.into_iter().filter(|one| one.access == target::Access::NotPermitted);
    Ok((rows, closed.collect()))
}

fn row(listed: &target::Listed) -> Option<ProcessRow> {
    let process = Process::open(listed.pid).ok()?;
    let image = process.main_image().ok()?;
    let files = DebugFiles::of_image(&process, &image, None).ok()?;
    let mentioned = crate::dwarf::mentioned_runtimes(&files.main);
    let runtimes = [
        (mentioned.tokio, "tokio"),
        (mentioned.async_task, "async-task"),
        // Much that runs on another runtime has it along, for its block_on.
        (mentioned.futures_executor && !mentioned.tokio && !mentioned.async_task, "futures"),
    ];
    let runtimes: Vec<&str> = runtimes.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    if runtimes.is_empty() {
        return None;
    }
    let symbols = !crate::dwarf::poll_symbols(&files.main).is_empty();
    let dwarf = files.dwarf_source() != DwarfSource::Nowhere;
    let level = match files.dwarf_source() {
        // What kind of debug information it is takes an index to tell; `check` does.
        DwarfSource::Main | DwarfSource::Separate => None,
        DwarfSource::Nowhere if symbols => Some("symbols".to_owned()),
        DwarfSource::Nowhere => Some("none".to_owned()),
    };
    let uid = fs::metadata(format!("/proc/{}", listed.pid)).ok().map(|meta| meta.uid());
    Some(ProcessRow {
        pid: listed.pid,
        name: listed.name.clone(),
        exe: image.path.display().to_string(),
        user: uid.map_or_else(|| "?".to_owned(), |uid| uid.to_string()),
        runtime: Some(runtimes.join("+")),
        debuginfo: level,
        dwarf,
    })
}
