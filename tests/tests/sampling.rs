//! `attach --sample`, and looks while the probes are out: what looks from outside say is what the program says of itself, and what an exact trace of the same run says;
//! and nothing was put into the program for it.

use anyhow::{Context as _, Result, ensure};
use e2e::{Program, Tokio, Variant, inspector};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Enough looks for shares to be known to a few percent.
const WATCH: Duration = Duration::from_secs(6);
/// Of the normal distribution: 99.9 % lie within this many standard deviations.
const Z: f64 = 3.29;
/// What the windows of two observers may differ by, as a share of either.
const EDGES: f64 = 0.01;

/// What the program says of one await of one task.
#[derive(Debug, Deserialize)]
struct Told {
    id: String,
    line: u32,
    t_ns: u64,
    busy_ns: u64,
    rested_ns: u64,
}

/// Shares of the time by task and line: in polls, and at rest.
type Shares = HashMap<(String, u32), (f64, f64)>;

fn told(program: &mut Program) -> Result<Vec<Told>> {
    program.say("tell")?;
    let mut all = Vec::new();
    while let Some(line) = program.line()? {
        if line.contains("waiting") {
            return Ok(all);
        }
        all.push(serde_json::from_str(&line).with_context(|| line.clone())?);
    }
    anyhow::bail!("the program ended")
}

fn shares(before: &[Told], after: &[Told]) -> Shares {
    let share = |(before, after): (&Told, &Told)| {
        let of = |from: u64, to: u64| (to - from) as f64 / (after.t_ns - before.t_ns) as f64;
        let shares = (of(before.busy_ns, after.busy_ns), of(before.rested_ns, after.rested_ns));
        ((after.id.clone(), after.line), shares)
    };
    before.iter().zip(after).map(share).collect()
}

/// A running `attach --json`, past its `ready`.
struct Watcher {
    child: Child,
    lines: BufReader<ChildStdout>,
    seen: Vec<Value>,
}

impl Watcher {
    fn attach(pid: u32, options: &[&str]) -> Result<Watcher> {
        let mut command: Command = inspector::command();
        command.args(["attach", "--json"]).args(options).arg(pid.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::with_capacity(1 << 20, child.stdout.take().context("stdout is a pipe")?);
        let mut watcher = Watcher { child, lines, seen: Vec::new() };
        while watcher.line()? {
            if watcher.seen.last().is_some_and(|line| line["event"] == "ready") {
                return Ok(watcher);
            }
        }
        anyhow::bail!("it ended before it was ready: {:?}", watcher.child.wait()?)
    }

    fn line(&mut self) -> Result<bool> {
        let mut text = String::new();
        if self.lines.read_line(&mut text)? == 0 {
            return Ok(false);
        }
        self.seen.push(serde_json::from_str(&text).with_context(|| text.clone())?);
        Ok(true)
    }

    fn finish(mut self) -> Result<Vec<Value>> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        while self.line()? {}
        ensure!(self.child.wait()?.success(), "attach failed");
        Ok(std::mem::take(&mut self.seen))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(tokio: Tokio, arguments: &[&str]) -> Result<Program> {
    let executable = Variant::release(tokio).build(&["shares"])?.program("shares");
    let mut program = Program::start(&executable, arguments)?;
    program.truth()?;
    // Every await has been come to.
    std::thread::sleep(Duration::from_millis(500));
    Ok(program)
}

fn events<'l>(lines: &'l [Value], event: &str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["event"] == event)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// Wilson's interval, worked out here once more, of the time that was looked at; in the rest anything may have been.
fn interval(length: &Value) -> (f64, f64) {
    let (n, share) = (number(&length["looks"]), number(&length["hits"]) / number(&length["looks"]));
    let unseen = number(&length["missed"]) / (n + number(&length["missed"]));
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half) * (1.0 - unseen) - EDGES, (middle + half) * (1.0 - unseen) + unseen + EDGES)
}

/// What of the program's word does not lie in the intervals, in words.
fn differences(lines: &[Value], truth: &Shares) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((id, line), (busy, rested)) in truth {
        let of_task: Vec<&Value> = events(lines, "time").filter(|time| time["task"] == **id).collect();
        let here = |time: &&&Value| time["at"]["line"] == *line && time["elsewhere"] == false;
        let times: Vec<&&Value> = of_task.iter().filter(here).collect();
        if of_task.is_empty() || times.len() > 1 {
            wrong.push(format!("#{id} line {line}: {times:?} of {of_task:?}"));
            continue;
        }
        for (what, share) in [("busy", busy), ("wait", rested)] {
            let mut nothing = of_task[0][what].clone();
            nothing["hits"] = 0.into();
            let length = times.first().map_or(&nothing, |time| &time[what]);
            let (low, high) = interval(length);
            println!("#{id} line {line}: {what} {share:.4}, by looks {low:.4} to {high:.4}");
            if !(low..=high).contains(share) {
                wrong.push(format!(
                    "#{id} line {line}: {what} {share:.4}, not in {low:.4} to {high:.4}: {length}"
                ));
            }
        }
    }
    wrong
}

/// `busy` of a task's `time` lines, all places together.
fn busy_at_all_places(lines: &[Value], task: &str) -> Value {
    let mut sum = serde_json::json!({"hits": 0, "looks": 0, "missed": 0});
    for time in events(lines, "time").filter(|time| time["task"] == task) {
        let hits = number(&sum["hits"]) + number(&time["busy"]["hits"]);
        sum = time["busy"].clone();
        sum["hits"] = hits.into();
    }
    sum
}

/// Watches a program by looks, and compares.
fn watch(tokio: Tokio) -> Result<()> {
    let mut program = start(tokio, &[])?;
    let watcher = Watcher::attach(program.pid(), &["--sample", "1000"])?;
    let before = told(&mut program)?;
    std::thread::sleep(WATCH);
    let after = told(&mut program)?;
    let text = std::fs::read_to_string(format!("/proc/{}/maps", program.pid()))?;
    ensure!(!text.contains("[uprobes]"), "a page for probes was mapped into it");
    let lines = watcher.finish()?;
    ensure!(lines[0]["mode"] == "sample", "{}", lines[0]);
    let (looks, missed) = events(&lines, "sample")
        .fold((0.0, 0.0), |sums, s| (sums.0 + number(&s["looks"]), sums.1 + number(&s["missed"])));
    println!("{tokio:?}: {looks} looks, {missed} missed");
    // On a busy machine many are missed; then fewer are known, and that is said.
    ensure!(looks > 500.0 && looks + missed >= 5500.0, "{looks} looks, {missed} missed");
    let wrong = differences(&lines, &shares(&before, &after));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let polls: f64 = events(&lines, "poll").map(|poll| number(&poll["duration_ns"])).sum();
    let end = lines.last().context("an end")?;
    ensure!(number(&end["totals"]["busy_ns"]) == polls && end["totals"]["polls"].is_null(), "{end}");
    ensure!(events(&lines, "poll").all(|poll| poll["sampled"] == true && poll["count"] == 0));
    Ok(())
}

#[test]
fn shares_are_what_the_program_says() {
    watch(Tokio::Latest).expect("looks tell the truth");
}

#[test]
fn shares_in_older_runtimes() {
    // Ids in an `Option` with a tag of its own, and without.
    for tokio in [Tokio::V1_28, Tokio::V1_38] {
        watch(tokio).expect("looks tell the truth");
    }
}

#[test]
fn looks_and_an_exact_trace_of_the_same_run_agree() {
    if !e2e::rights::root_or_skip("looks beside a trace") {
        return;
    }
    let compared = || -> Result<()> {
        let mut program = start(Tokio::Latest, &[])?;
        let exact = Watcher::attach(program.pid(), &["--max-overhead", "100"])?;
        let looks = Watcher::attach(program.pid(), &["--sample", "1000"])?;
        told(&mut program)?;
        std::thread::sleep(WATCH);
        let (looks, exact) = (looks.finish()?, exact.finish()?);
        let span = |lines: &[Value]| {
            let at = |line: Option<&Value>| line.map_or(f64::NAN, |line| number(&line["t_ns"]));
            at(lines.last()) - at(events(lines, "ready").next())
        };
        let mut busy: HashMap<&str, f64> = HashMap::new();
        for poll in events(&exact, "poll") {
            *busy.entry(poll["task"].as_str().context("a task")?).or_default() +=
                number(&poll["duration_ns"]);
        }
        ensure!(busy.len() >= 4, "{busy:?}");
        for (task, ns) in busy {
            let share = ns / span(&exact);
            let (low, high) = interval(&busy_at_all_places(&looks, task));
            ensure!((low..=high).contains(&share), "#{task}: {share:.4}, not in {low:.4} to {high:.4}");
        }
        Ok(())
    };
    compared().expect("both say the same");
}

#[test]
fn a_runtime_that_keeps_no_id_is_watched_by_snapshots() {
    let watched = || -> Result<()> {
        let mut program = start(Tokio::V1_21, &[])?;
        let watcher = Watcher::attach(program.pid(), &["--sample", "1000"])?;
        told(&mut program)?;
        let lines = watcher.finish()?;
        let why = lines[0]["because"].as_str().unwrap_or_default();
        ensure!(lines[0]["mode"] == "snapshots" && why.contains("no thread tells"), "{}", lines[0]);
        Ok(())
    };
    watched().expect("it says why");
}

/// How long the probes were in, of the time from `ready` to the end; there are looks while they are out, and none while they are in.
fn in_for(lines: &[Value]) -> Result<f64> {
    let ready = events(lines, "ready").next().context("it was ready")?;
    let (mut inside, mut since, mut sampled) = (0.0, Some(number(&ready["t_ns"])), 0);
    for line in lines {
        match (line["event"].as_str().unwrap_or_default(), since) {
            ("budget", Some(begin)) => {
                ensure!(line["probes"] == "out", "twice: {line}");
                inside += number(&line["t_ns"]) - begin;
                since = None;
            }
            ("budget", None) => {
                ensure!(line["probes"] == "in", "twice: {line}");
                since = Some(number(&line["t_ns"]));
            }
            ("sample", in_since) => {
                ensure!(in_since.is_none(), "a look while the probes are in: {line}");
                sampled += 1;
            }
            ("poll", in_since) if line["sampled"] == true => {
                ensure!(in_since.is_none() && line["count"] == 0, "a look while the probes are in: {line}");
            }
            ("end", Some(begin)) => inside += number(&line["t_ns"]) - begin,
            _ => {}
        }
    }
    ensure!(sampled > 10, "{sampled} rounds of looks");
    Ok(inside)
}

/// While the probes are out there are looks, and both together tell how long each task was busy.
fn watch_by_probes_and_looks() -> Result<()> {
    let mut program = start(Tokio::Latest, &["hurried"])?;
    let watcher = Watcher::attach(program.pid(), &[])?;
    let before = told(&mut program)?;
    std::thread::sleep(WATCH);
    let after = told(&mut program)?;
    let lines = watcher.finish()?;
    let inside = in_for(&lines)?;
    let end = lines.last().context("an end")?;
    let ready = events(&lines, "ready").next().context("it was ready")?;
    let all = number(&end["t_ns"]) - number(&ready["t_ns"]);
    let looked_at = number(&end["totals"]["sampled_ns"]);
    // While probes are on their way in or out, and until the first look, nobody knows.
    let unknown = 1.0 - (inside + looked_at) / all;
    println!("in for {:.3}, looked at {:.3} of the time", inside / all, looked_at / all);
    ensure!(looked_at > all / 4.0 && unknown < 0.5, "{inside} and {looked_at} of {all}");

    let mut exact: HashMap<&str, f64> = HashMap::new();
    for poll in events(&lines, "poll").filter(|poll| poll["sampled"].is_null()) {
        *exact.entry(poll["task"].as_str().context("a task")?).or_default() +=
            poll["duration_ns"].as_f64().unwrap_or(0.0);
    }
    ensure!((exact.values().sum::<f64>() - number(&end["totals"]["busy_ns"])).abs() < 1.0, "{end}");
    // One poll of each task may be under way each time, and is not measured then; the longest lasts so long.
    let changes = events(&lines, "budget").count() as f64;
    let torn = changes * 16e6 / all;
    let mut truth: HashMap<String, f64> = HashMap::new();
    for ((id, _), (busy, _)) in shares(&before, &after) {
        *truth.entry(id).or_default() += busy;
    }
    ensure!(truth.len() == 4, "{truth:?}");
    for (id, share) in truth {
        let measured = exact.get(&*id).copied().unwrap_or(0.0) / all;
        let (low, high) = interval(&busy_at_all_places(&lines, &id));
        let (low, high) = (measured + low * looked_at / all, measured + high * looked_at / all);
        let (low, high) = (low - EDGES - torn * share, high + EDGES + torn * share + unknown.max(0.0));
        println!("#{id}: busy {share:.4}; {measured:.4} measured, with looks {low:.4} to {high:.4}");
        ensure!((low..=high).contains(&share), "#{id}: busy {share:.4}, not in {low:.4} to {high:.4}");
    }
    Ok(())
}

#[test]
fn while_the_probes_are_out_there_are_looks() {
    if !e2e::rights::root_or_skip("looks while the probes are out") {
        return;
    }
    watch_by_probes_and_looks().expect("both tell the truth");
}
