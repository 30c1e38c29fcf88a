//! The first process of a virtual machine that `cargo xtask vm` boots: it mounts what programs expect, runs the test
//! binaries that its arguments name (`counts`, or `harmless=seccomp` for the tests of one name), and powers off.
//! All goes to the serial console. The host goes by the lines that begin with `guest:`; a guest that panics prints none.

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};
use rustix::system::{RebootCommand, reboot};
use std::process::{Command, Stdio};
use std::time::Instant;

/// An emulated machine on a busy one was seen to take ten times as long as the machine itself, and programs to end, and the
/// tool to be given up, before they were looked at. Less than the host's patience with a silent guest, of 400 s.
const SLOWNESS: &str = "4";

fn main() {
    // Who starts it by hand must not have the machine switched off.
    if std::process::id() != 1 {
        eprintln!("guest is the first process of a virtual machine: cargo xtask vm");
        std::process::exit(2);
    }
    match run() {
        Ok(failed) => println!("\nguest: done, {failed} failed"),
        Err(error) => println!("\nguest: broken: {error:#}"),
    }
    let refused = reboot(RebootCommand::PowerOff);
    println!("guest: still on: {refused:?}");
}

fn run() -> Result<u32> {
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        mount(kind, place, kind, MountFlags::empty(), None).with_context(|| format!("mounting {place}"))?;
    }
    loopback_up().context("setting the loopback device up")?;
    let release = rustix::system::uname();
    println!("guest: Linux {}", release.release().to_string_lossy());
    let mut failed = 0;
    for wanted in std::env::args().skip(1) {
        let begin = Instant::now();
        let outcome = test(&wanted);
        failed += u32::from(outcome.is_err());
        let result = outcome.map_or_else(|error| format!("FAILED: {error:#}"), |()| "ok".to_owned());
        println!("\nguest: {wanted}: {result} after {:.1} s", begin.elapsed().as_secs_f64());
    }
    Ok(failed)
}

/// Programs talk to themselves over 127.0.0.1. As `ip link set lo up` does.
fn loopback_up() -> Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_AND_ACK: u16 = 1 | 4;
    const LOOPBACK: u32 = 1;
    const IFF_UP: u32 = 1;
    // struct nlmsghdr: length, type, flags, sequence, port; struct ifinfomsg: family and type, index, flags, mask.
    let mut message = Vec::from(32_u32.to_ne_bytes());
    message.extend([RTM_NEWLINK, NLM_F_REQUEST_AND_ACK].map(u16::to_ne_bytes).concat());
    message.extend([1, 0, 0, LOOPBACK, IFF_UP, IFF_UP].map(u32::to_ne_bytes).concat());
    // Protocol 0, the default, is NETLINK_ROUTE.
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(&kernel, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    // struct nlmsgerr stands behind the header: an error number, or 0.
    let mut answer = [0; 256];
    let (length, _) = recv(&kernel, &mut answer, RecvFlags::empty())?;
    let error = answer.get(16..20).filter(|_| length >= 20).context("the answer is too short")?;
    ensure!(*error == [0; 4], "refused: error {error:?}");
    Ok(())
}

/// One at a time: two processors are few for a program and who looks at it.
fn test(wanted: &str) -> Result<()> {
    let (binary, filter) = wanted.split_once('=').unwrap_or((wanted, ""));
    let mut command = Command::new(format!("/vm/{binary}"));
    command.args((!filter.is_empty()).then_some(filter)).args(["--test-threads", "1"]);
    command.env("E2E_PREBUILT", "1").env("ASYNC_INSPECT", "/vm/async-inspect").env("E2E_SLOWNESS", SLOWNESS);
    command.env("HOME", "/root").env("PATH", "/usr/bin:/bin");
    let status = command.stdin(Stdio::null()).status().context("it did not start")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
