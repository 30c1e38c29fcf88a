//! What a virtual machine says on its serial console, and what that means. Its exit status means nothing: a guest that panics
//! ends like one that powers off.

use anyhow::{Result, bail};
use std::collections::VecDeque;

/// Lines of interest, as they come.
#[derive(Debug, Default)]
pub struct Console {
    /// For the summary: `guest: …`, `kernel: …`.
    said: Vec<String>,
    /// Of the kernel itself.
    complaints: Vec<String>,
    failed: Vec<String>,
    /// The end of all that was said, until something failed: what failed is told in the lines before that is said.
    last: VecDeque<String>,
    done: bool,
}

/// Of a machine that fails.
const LAST: usize = 30;

/// What a kernel says when something is wrong with it, be it by our doing. Not the watchdogs': an emulated machine is slow.
const COMPLAINTS: [&str; 5] = ["BUG: ", "WARNING: ", "Oops: ", "Kernel panic", "general protection fault"];

impl Console {
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        if !line.is_empty() && self.failed.is_empty() {
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(line.to_owned());
        }
        if let Some(said) = line.strip_prefix("guest: ") {
            self.done |= said == "done, 0 failed";
            if said.contains("FAILED") || said.starts_with("broken") {
                self.failed.push(said.to_owned());
            }
            self.said.push(said.to_owned());
        } else if let Some(said) = line.strip_prefix("kernel: ") {
            self.said.push(said.to_owned());
        } else if line.starts_with('[') && COMPLAINTS.iter().any(|word| line.contains(word)) {
            self.complaints.push(line.to_owned());
        }
    }

    /// The end of what was said, as lines below one that says what that is.
    pub fn last(&self) -> String {
        self.last.iter().map(|line| format!("    | {line}")).collect::<Vec<_>>().join("\n")
    }

    /// What to report, if all went well.
    ///
    /// # Errors
    /// What went wrong, and below that the end of what was said; also where the guest just ended.
    pub fn verdict(self) -> Result<Vec<String>> {
        if !self.failed.is_empty() {
            bail!("{}\n{}", self.failed.join("; "), self.last());
        }
        if !self.complaints.is_empty() {
            bail!("the kernel complains: {}\n{}", self.complaints.join("; "), self.last());
        }
        if !self.done {
            bail!(
                "it ended before its tests did; the last heard of it: {}\n{}",
                self.said.last().map_or("nothing", |s| s),
                self.last()
            );
        }
        Ok(self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Result<Vec<String>> {
        let mut console = Console::default();
        lines.iter().for_each(|line| console.line(line));
        console.verdict()
    }

    #[test]
    fn only_a_guest_that_says_so_is_done() {
        assert!(verdict(&[]).is_err());
        assert!(verdict(&["guest: counts: ok after 2.0 s"]).is_err());
        let said = verdict(&["test x ... ok", "kernel: attach uses perf\r", "guest: done, 0 failed"]);
        assert_eq!(said.expect("it is done"), ["attach uses perf", "done, 0 failed"]);
        assert!(verdict(&["guest: counts: FAILED: it ended", "guest: done, 1 failed"]).is_err());
        assert!(verdict(&["guest: broken: mounting /proc"]).is_err());
    }

    #[test]
    fn what_failed_is_told_with_what_was_said_before() {
        let lines =
            ["first", "thread 'x' panicked", "", "guest: counts: FAILED: it ended", "guest: seccomp: ok"];
        let error = verdict(&lines).expect_err("one failed").to_string();
        let expected = "counts: FAILED: it ended\n    | first\n    | thread 'x' panicked\n    | guest: counts: FAILED: it ended";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_kernel_that_complains_fails() {
        let warning = "[    3.1] WARNING: CPU: 1 PID: 70 at kernel/events/uprobes.c:1";
        assert!(verdict(&[warning, "guest: done, 0 failed"]).is_err());
        assert!(verdict(&["WARNING: a program's own word", "guest: done, 0 failed"]).is_ok());
    }
}
