//! Tasks, transitions, wakes, aggregates. Pure, deterministic: no clock, no I/O.
