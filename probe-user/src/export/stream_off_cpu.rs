//! `attach --json`: time off CPU within polls, and what holds up those that take long.

use super::json::Line;
use super::stream::About;
use crate::decode::CodeFrame;
use crate::trace::{CpuSamples, CpuSpot, Doing, LongPoll, OffCpu};
use serde::Serialize;

/// Part of the polls' duration; absent where it is not watched.
#[derive(Serialize)]
pub(super) struct OffCpuJson {
    off_cpu_ns: u64,
    /// Of it, the time in which the thread slept; in the rest it was ready to run.
    blocked_ns: u64,
}

impl From<OffCpu> for OffCpuJson {
    fn from(off_cpu: OffCpu) -> OffCpuJson {
        OffCpuJson { off_cpu_ns: off_cpu.sum_ns(), blocked_ns: off_cpu.blocked_ns }
    }
}

#[derive(Serialize)]
pub(super) struct LongPollJson<'a> {
    #[serde(flatten)]
    about: About,
    name: &'a str,
    thread: u32,
    /// How long the poll has been under way.
    for_ns: u64,
    /// It does not sleep: it runs, or waits for a CPU.
    on_cpu: bool,
    doing: &'static str,
    #[serde(flatten)]
    off_cpu: Option<OffCpuJson>,
    system_call: Option<&'a str>,
    /// Of a poll that computes: where it was most often.
    stack: Vec<CodeFrameJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<SamplesJson>,
}

/// How often it was looked at what a poll computes.
#[derive(Serialize)]
struct SamplesJson {
    count: u64,
    /// Of them, at the innermost own place of `stack`.
    here: u64,
    unknown: u64,
}

impl From<&CpuSamples> for SamplesJson {
    fn from(cpu: &CpuSamples) -> SamplesJson {
        let here = cpu.most().map_or(0, |spot| spot.count);
        SamplesJson { count: cpu.count, here, unknown: cpu.unknown }
    }
}

#[derive(Serialize)]
struct CodeFrameJson<'a> {
    function: Option<&'a str>,
    #[serde(flatten)]
    line: Option<Line<'a>>,
    inlined: bool,
    own_code: bool,
}

impl<'a> LongPollJson<'a> {
    pub fn new(about: About, t_ns: u64, thread: u32, name: &'a str, poll: &'a LongPoll) -> Self {
        let asleep = poll.doing == Doing::Asleep;
        let computing = || poll.cpu.most().map(|spot: &CpuSpot| &spot.stack);
        let stack = if asleep { &poll.stack } else { computing().unwrap_or(&poll.stack) };
        LongPollJson {
            about,
            name,
            thread,
            for_ns: t_ns.saturating_sub(poll.since_ns),
            on_cpu: !asleep,
            doing: match poll.doing {
                Doing::Asleep => "asleep",
                Doing::Running => "running",
                Doing::Ready => "ready",
            },
            off_cpu: poll.off_cpu.map(OffCpuJson::from),
            system_call: poll.system_call.as_deref(),
            stack: stack.iter().map(CodeFrameJson::from).collect(),
            samples: (!asleep && !poll.cpu.is_empty()).then(|| SamplesJson::from(&poll.cpu)),
        }
    }
}

impl<'a> From<&'a CodeFrame> for CodeFrameJson<'a> {
    fn from(frame: &'a CodeFrame) -> Self {
        CodeFrameJson {
            function: frame.function.as_deref(),
            line: frame.line.as_ref().map(Line::from),
            inlined: frame.inlined,
            own_code: frame.own_code,
        }
    }
}
