//! How a target is watched: the arguments that `attach` and `record` share.

use super::source::{ProbeMode, TraceOptions};
use crate::trace::{DEFAULT_PERCENT, Wanted};
use clap::{Args, ValueEnum};
use std::time::Duration;

#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// Use no return probes: poll durations stay unknown, backtraces of the target stay whole
    #[arg(long)]
    pub entry_only: bool,
    /// No probes: look from outside, this many times a second, at which task each thread polls
    #[arg(long, value_name = "HZ", conflicts_with_all = ["entry_only", "max_overhead", "probe_mode", "events", "no_events"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sample: Option<u32>,
    /// What the probes may cost, in percent of the target's CPU time: beyond that they go out for a while. Two thousandths of a CPU are always allowed. 100: whatever they cost
    #[arg(long, value_name = "PCT", default_value_t = DEFAULT_PERCENT, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub max_overhead: u8,
    /// What to watch beside polls, each at a price: scheduling (how long the woken wait, and who woke them), wakes (with --json, a line for each as well), spawns (who spawned whom). Unless given: all whose probes are cheap in this target
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',', hide_possible_values = true)]
    pub events: Vec<Events>,
    /// Watch polls alone
    #[arg(long, conflicts_with = "events")]
    pub no_events: bool,
    /// Tell what holds up a poll that takes longer than this, in milliseconds, and how long threads are off CPU within polls. 0: neither
    #[arg(long, value_name = "MS", default_value_t = 10, conflicts_with = "sample", value_parser = clap::value_parser!(u32).range(..=3_600_000))]
    pub blocked_after: u32,
    #[arg(long, value_enum, default_value_t, value_name = "MODE", hide = true)]
    pub probe_mode: ProbeMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Events {
    Scheduling,
    Wakes,
    Spawns,
}

impl ProbeArgs {
    pub fn options(&self) -> TraceOptions {
        TraceOptions {
            entry_only: self.entry_only,
            probe_mode: self.probe_mode,
            max_overhead: self.max_overhead,
            wanted: self.wanted(),
            blocked_after: self.blocked_after(),
        }
    }

    fn blocked_after(&self) -> Option<Duration> {
        (self.blocked_after > 0).then(|| Duration::from_millis(self.blocked_after.into()))
    }

    fn asks(&self, events: Events) -> bool {
        !self.no_events && (self.events.is_empty() || self.events.contains(&events))
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            wakes: self.asks(Events::Scheduling) || self.asks(Events::Wakes),
            spawns: self.asks(Events::Spawns),
            dear: !self.no_events && (!self.events.is_empty() || self.max_overhead == 100),
        }
    }

    /// With `--json`: a line for every wake.
    pub fn each_wake(&self) -> bool {
        self.asks(Events::Wakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn what_is_watched_beside_polls() {
        let parse = |args: &[&str]| {
            let cli =
                Cli::try_parse_from([&["async-inspect", "attach", "42"], args].concat()).expect("parses");
            let Command::Attach(args) = cli.command else { panic!("not attach") };
            (args.probes.wanted(), args.probes.each_wake())
        };
        let all = Wanted { wakes: true, spawns: true, dear: true };
        assert_eq!(parse(&[]), (Wanted { dear: false, ..all }, true));
        assert_eq!(parse(&["--max-overhead", "100"]), (all, true));
        assert_eq!(parse(&["--no-events"]), (Wanted::default(), false));
        assert_eq!(parse(&["--events", "scheduling"]), (Wanted { spawns: false, ..all }, false));
        assert_eq!(parse(&["--events", "wakes,spawns"]), (all, true));
    }
}
