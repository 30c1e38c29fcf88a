//! What the programs write and we read.

use super::TraceError;
use super::accounts::Accounts;
use super::object::{Programs, map_error};
use super::slots::{Table, Values};
use super::times::TimesRead;
use async_inspect_ebpf::{COUNTERS, Counter, THREAD_SLOTS, Target, Thread};
use aya::maps::{MapData, PerCpuArray, PerCpuValues, RingBuf};
use std::mem::offset_of;
use std::sync::Arc;

pub(super) struct Written {
    pub ring: RingBuf<MapData>,
    pub cause_ring: RingBuf<MapData>,
    pub threads: Arc<Table<Thread>>,
    pub accounts: Accounts,
    pub times: TimesRead,
    tally: PerCpuArray<MapData, u64>,
    target: Values<Target>,
}

impl Written {
    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn of(programs: &Programs, sites: usize) -> Result<Written, TraceError> {
        Ok(Written {
            ring: programs.map("EVENTS")?,
            cause_ring: programs.map("CAUSES")?,
            threads: Arc::new(Table::of(programs, "THREAD_KEYS", "THREADS", THREAD_SLOTS)?),
            accounts: Accounts::of(programs)?,
            times: TimesRead::of(programs, sites)?,
            tally: programs.map("TALLY")?,
            target: Values::of(programs, "TARGET", 1)?,
        })
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        const _: () = assert!((Counter::Samples as u32) < COUNTERS);
        self.tally.get(&(counter as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// As if no program had run. None may run meanwhile.
    ///
    /// # Errors
    /// As of [`Written::of`].
    pub fn clear(&mut self) -> Result<(), TraceError> {
        while self.ring.next().is_some() {}
        while self.cause_ring.next().is_some() {}
        self.threads.clear();
        self.accounts.clear();
        self.times.clear();
        for counter in 0..COUNTERS {
            let cpus = self.tally.get(&counter, 0).map_err(map_error)?;
            let zeros = PerCpuValues::try_from(vec![0; cpus.len()]);
            let zeros = zeros.map_err(|error| TraceError::Io { doing: "use BPF maps", error })?;
            self.tally.set(counter, zeros, 0).map_err(map_error)?;
        }
        self.forget_target();
        Ok(())
    }

    /// As it is before a thread of the target was hit. No program may run meanwhile.
    pub fn forget_target(&self) {
        self.target.clear(0);
    }

    /// One thread less is off CPU within a poll.
    pub fn forget_off_cpu(&self) {
        self.target.subtract(0, offset_of!(Target, off_cpu) / 8, 1);
    }
}
