//! aya: load, attach, ring buffer → events.
//!
//! [`TracePlan`] says where to probe and how to walk a task's memory; [`Tracer::attach`] loads the programs and
//! puts the probes in; [`Tracer::drain`] hands out [`TraceEvent`]s. Dropping the [`Tracer`], or dying, takes
//! the probes out.

mod accounts;
mod attach;
mod attach_causes;
mod budget;
mod causes;
mod cheap_place;
mod compile;
mod cpu_samples;
mod error;
mod event;
mod held;
mod histogram;
mod hits;
mod identity;
mod kernel;
mod kernel_types;
mod object;
mod off_cpu;
mod on_cpu;
mod plan;
mod prepared;
mod price;
mod running;
mod slots;
mod tables;
mod times;
mod tracer;
mod translate;
mod translate_causes;
mod trial;
mod written;

pub use attach::ProbeMode;
pub use budget::{ALLOWANCE_NS_PER_S, Budget, DEFAULT_PERCENT, Spending, Verdict};
pub use causes::{CausePlan, CauseProbe, TaskHeader, Wanted};
pub use compile::compile;
pub use cpu_samples::{CpuSamples, CpuSpot};
pub use error::TraceError;
pub use event::{Doer, Doing, LongPoll, OffCpu, Path, PollEnd, Timed, TraceEvent};
pub use histogram::Histogram;
pub use hits::Hits;
pub use kernel::{features, probe_modes, returns_pass_seccomp};
pub use on_cpu::{CpuSample, SAMPLE_NS, TICK_NS};
pub use plan::{SitePlan, TracePlan};
pub use prepared::{Preparation, Wish};
pub use price::Price;
pub use running::{PollUnderWay, Running};
pub use tracer::{RunningPoll, TraceTarget, Tracer};

pub use async_inspect_ebpf::{ARM_DEREF, ARM_ENDS, NONE, NodeKind, WalkArm, WalkNode};
