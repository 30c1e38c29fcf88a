//! Booting a kernel on the image, until its tests are over.

use super::console::Console;
use super::kernel::Kernel;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// All tests of one kernel, emulated, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Longer than any one test takes.
const SILENCE: Duration = Duration::from_secs(400);
/// A boot takes seconds.
const PROOF: Duration = Duration::from_secs(60);

/// What the guest's processors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processors {
    Kvm,
    /// Two that take turns on one thread.
    ///
    /// Linux writes over its own code while processors run it (`text_poke_bp` in arch/x86/kernel/alternative.c). With a thread for
    /// each, qemu 7.2 was seen to let one meet the breakpoint of such a change when the change was over, which to the kernel is an
    /// oops: 6.12, in `__schedule`, after the first `perf_event_open` had turned on its hook there.
    Emulated,
}

/// Boots it and runs tests. Returns what they report.
///
/// # Errors
/// What failed, the kernel's complaints, or that it fell silent; and the end of what it said.
pub fn run(kernel: &Kernel, image: &Path, tests: &[&str], processors: Processors) -> Result<Vec<String>> {
    let machine = machine(kernel, image, tests, processors).spawn().context("qemu did not start")?;
    watch(kernel.series.name, machine, PATIENCE, SILENCE)
}

/// /dev/kvm may open where guests then stand still, as in a virtual machine on a host that lets none be nested.
pub fn prove_kvm(kernel: &Kernel, image: &Path) -> Result<()> {
    let machine = machine(kernel, image, &[], Processors::Kvm).spawn().context("qemu did not start")?;
    watch("KVM", machine, PROOF, PROOF).context("KVM does not work here: leave out --kvm")?;
    Ok(())
}

fn machine(kernel: &Kernel, image: &Path, tests: &[&str], processors: Processors) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-M", "q35", "-smp", "2"]);
    qemu.args(["-m", "2048", "-serial", "stdio"]);
    // Five levels of page tables are emulated at the cost of a fifth look.
    qemu.args(match processors {
        Processors::Kvm => ["-accel", "kvm", "-cpu", "host"],
        Processors::Emulated => ["-accel", "tcg,thread=single", "-cpu", "max,la57=off"],
    });
    qemu.arg("-drive").arg(format!("file={},format=raw,if=none,id=disk,snapshot=on", image.display()));
    qemu.args(["-device", "nvme,drive=disk,serial=disk"]);
    // Words with `=` that the kernel does not know become the environment of its first process, what follows `--` its
    // arguments. The watchdogs are off: an emulated processor may stand still for long.
    let mode = kernel.series.mode;
    let words = format!(
        "console=ttyS0 root=/dev/nvme0n1 rw init=/vm/guest panic=-1 quiet loglevel=5 nowatchdog mitigations=off \
         rcupdate.rcu_cpu_stall_suppress=1 E2E_PROBE_MODE={mode} -- {}",
        tests.join(" ")
    );
    qemu.arg("-kernel").arg(&kernel.image).args(["-append", &words]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    qemu
}

/// Others may run beside it, so each line tells whose it is.
fn watch(name: &str, mut qemu: Child, patience: Duration, silence: Duration) -> Result<Vec<String>> {
    let lines = lines(&mut qemu)?;
    let deadline = Instant::now() + patience;
    let mut console = Console::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(silence.min(left)) {
            Ok(line) => {
                eprintln!("{name} | {line}");
                console.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                qemu.kill()?;
                qemu.wait()?;
                bail!(
                    "it said nothing for {silence:?}, or was not done after {patience:?}\n{}",
                    console.last()
                );
            }
        }
    }
    let mut words = String::new();
    qemu.stderr.take().context("stderr is a pipe")?.read_to_string(&mut words)?;
    let status = qemu.wait()?;
    if !status.success() {
        bail!("qemu ended with {status}: {}\n{}", words.trim(), console.last());
    }
    console.verdict()
}

fn lines(qemu: &mut Child) -> Result<Receiver<String>> {
    let mut stdout = BufReader::new(qemu.stdout.take().context("stdout is a pipe")?);
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    Ok(lines)
}
