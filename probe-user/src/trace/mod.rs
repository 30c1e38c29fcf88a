//! aya: load, attach, ring buffer → events.

mod event;

pub use event::{PollEnd, TraceEvent};
