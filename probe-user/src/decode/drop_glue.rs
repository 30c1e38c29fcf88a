//! Which locks a suspended task would let go of if it were dropped now: those it holds.
//!
//! Debug information lists locals in a state that were moved away or dropped before, if they had been borrowed. The
//! program's own drop glue knows better: it drops what is there, testing the drop flags that belong to it. So it is run, here,
//! on a copy of the memory, with the task as its argument, and watched.

use super::emulate::{CodeImage, Machine, Outside, Overlay, Stop, argument};
use super::holds::RawHold;
use crate::runtime::{LockLayout, LockState, Reflect, Routine, Routines, TaskWord};
use crate::target::{Avma, Memory};
use std::collections::HashMap;
use std::ops::Range;

/// What is needed to drop any task of a program.
#[derive(Debug)]
pub(super) struct DropGlue<'g> {
    pub code: CodeImage<'g>,
    /// By the address where the function is in the process.
    pub known: HashMap<u64, Routine>,
    /// Slot of a task's vtable: the function that drops and frees the task.
    pub dealloc: u64,
    /// Thread pointer of any thread: whose thread-locals a drop would see.
    pub thread: Option<Avma>,
}

/// A task's claim on a lock, and what the lock looks like.
#[derive(Debug)]
pub(super) struct Asked<'q> {
    pub raw: &'q RawHold,
    pub layout: LockLayout,
    pub lock: Avma,
    /// That the claim takes.
    pub permits: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Dropping the task drops this guard, and that lets go of the lock.
    Keeps,
    /// Dropping the task drops all that the future has in its state, and this guard is not of it.
    Gone,
    Unknown,
}

impl<'g> DropGlue<'g> {
    pub fn new<M: Memory + ?Sized>(
        code: CodeImage<'g>,
        routines: &Routines,
        memory: &M,
        dealloc: u64,
        thread: Option<Avma>,
    ) -> Self {
        let bias = code.bias;
        let mut known: HashMap<u64, Routine> =
            routines.own.iter().map(|(at, routine)| (at.to_avma(bias).0, *routine)).collect();
        for (slot, routine) in &routines.imports {
            known.extend(memory.read_u64(slot.to_avma(bias)).ok().map(|at| (at, *routine)));
        }
        DropGlue { code, known, dealloc, thread }
    }

    /// One verdict per claim of the task whose header is at `header`.
    pub fn verdicts<M: Memory + ?Sized>(
        &self,
        reflect: &Reflect<'_, '_, M>,
        header: Avma,
        vtable: u64,
        asked: &[Asked<'_>],
    ) -> Vec<Verdict> {
        let memory = reflect.memory;
        let word = || memory.read_u64(header).ok().filter(|word| !TaskWord(*word).running());
        let before = word();
        let verdicts = || {
            let vtable = memory.read_u64(header.offset(vtable)).ok()?;
            let function = Avma(memory.read_u64(Avma(vtable).offset(self.dealloc)).ok()?);
            Some(self.drop(reflect, function, header, asked))
        };
        let found = before.and_then(|_| verdicts()).filter(|_| word() == before);
        found.unwrap_or_else(|| vec![Verdict::Unknown; asked.len()])
    }

    fn drop<M: Memory + ?Sized>(
        &self,
        reflect: &Reflect<'_, '_, M>,
        function: Avma,
        header: Avma,
        asked: &[Asked<'_>],
    ) -> Vec<Verdict> {
        let slots = asked.iter().map(|one| range(one.raw.slot, one.raw.size));
        let states = asked.iter().map(|one| match one.raw.state {
            Some((at, width)) => range(at, u64::from(width)),
            None => 0..0,
        });
        let overlay = Overlay::new(reflect.memory, slots.chain(states));
        let mut machine = Machine::new(overlay, self.thread);
        for one in asked {
            let (at, width) = one.layout.number(one.lock);
            // Into the copy, so that before and after are told of the same memory.
            let _ = machine.memory.load(at.0, &mut [0; 8][..usize::from(width).min(8)]);
        }
        let before: Vec<Option<LockState>> =
            asked.iter().map(|one| state(reflect, &machine.memory, one)).collect();
        let mut calls = Calls { known: &self.known, released: HashMap::new() };
        let ended = machine.run(&self.code, function, header, &mut calls);
        tracing::debug!(%header, claims = asked.len(), steps = machine.steps(), ?ended, "drop glue");
        let released = |i: usize| {
            let one = &asked[i];
            // Permits of tokio's semaphore go to whoever is in line.
            if one.layout.has_line() {
                return calls.released.get(&one.layout.key(one.lock)).copied().unwrap_or(0);
            }
            let after = state(reflect, &machine.memory, one);
            before[i].as_ref().zip(after).map_or(0, |(before, after)| before.given_back(&after))
        };
        let observe = |(i, one): (usize, &Asked<'_>)| Observed {
            lock: one.layout.key(one.lock),
            permits: one.permits,
            owned: one.raw.owned,
            read: machine.memory.was_read(i),
            visited: machine.memory.was_read(asked.len() + i),
            released: released(i),
        };
        let observed: Vec<Observed> = asked.iter().enumerate().map(observe).collect();
        observed.iter().map(|one| one.verdict(&observed, ended.is_ok())).collect()
    }
}

/// What a run did about one claim.
#[derive(Clone, Copy, Debug)]
struct Observed {
    lock: Avma,
    permits: u64,
    owned: bool,
    /// The guard was read.
    read: bool,
    /// So was the state of the future that has it.
    visited: bool,
    /// All permits that the lock got back.
    released: u64,
}

impl Observed {
    /// A lock that was let go of tells which guard did it where it was enough for all that were read. What was not read was
    /// not dropped: that says something only of a run that came to its end and past the guard's future.
    fn verdict(&self, all: &[Observed], ended: bool) -> Verdict {
        let read = all.iter().filter(|other| other.read && other.lock == self.lock);
        let wanted = read.map(|other| other.permits).fold(0, u64::saturating_add);
        match self.read {
            true if wanted > 0 && self.released >= wanted => Verdict::Keeps,
            false if ended && self.visited && self.owned => Verdict::Gone,
            _ => Verdict::Unknown,
        }
    }
}

fn range(at: Avma, size: u64) -> Range<u64> {
    at.0..at.0.saturating_add(size)
}

fn state<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    memory: &Overlay<'_, M>,
    one: &Asked<'_>,
) -> Option<LockState> {
    let reflect = Reflect { program: reflect.program, memory };
    one.layout.count(&reflect, one.lock)
}

struct Calls<'k> {
    known: &'k HashMap<u64, Routine>,
    /// Permits that were given back, by semaphore.
    released: HashMap<Avma, u64>,
}

impl<M: Memory + ?Sized> Outside<M> for Calls<'_> {
    fn call(&mut self, at: u64, machine: &mut Machine<'_, M>) -> Result<Option<u64>, Stop> {
        let Some(routine) = self.known.get(&at) else { return Ok(None) };
        let [first, second, third] = argument::FIRST_THREE.map(|register| machine.registers[register]);
        let result = match routine {
            Routine::Nothing => 0,
            Routine::Write => third,
            Routine::Copy => machine.copy(first, second, third).map(|()| first)?,
            Routine::Fill => machine.fill(first, second as u8, third).map(|()| first)?,
            Routine::Compare => machine.compare(first, second, third)? as i32 as u32 as u64,
            Routine::SystemCall if wakes_only(first, third) => 0,
            Routine::SystemCall => return Err(Stop::Call(at)),
            Routine::AddPermits => {
                self.give_back(machine, at, first, second, third)?;
                0
            }
        };
        Ok(Some(result))
    }
}

impl Calls<'_> {
    /// Who gets the permits next is no business of this drop. The queue's lock, which the function would let go of, is its
    /// third argument; that it lies in the semaphore shows that arguments are where they should be.
    fn give_back<M: Memory + ?Sized>(
        &mut self,
        machine: &mut Machine<'_, M>,
        at: u64,
        semaphore: u64,
        permits: u64,
        lock: u64,
    ) -> Result<(), Stop> {
        const SEMAPHORE: u64 = 128;
        const PERMITS: Range<u64> = 1..1 << 61;
        let inside = lock.checked_sub(semaphore).is_some_and(|offset| offset < SEMAPHORE);
        if !inside || !PERMITS.contains(&permits) {
            return Err(Stop::Call(at));
        }
        let all = self.released.entry(Avma(semaphore)).or_default();
        *all = all.saturating_add(permits);
        // Both of std's and parking_lot's locks say 1 in their first byte while they are held and nobody waits.
        machine.memory.store(lock, &[0])
    }
}

/// `FUTEX_WAKE` and `FUTEX_WAKE_BITSET` (include/uapi/linux/futex.h) change no memory.
fn wakes_only(number: u64, operation: u64) -> bool {
    const FUTEX: u64 = 202;
    const COMMAND: u64 = 0x7f;
    number == FUTEX && matches!(operation & COMMAND, 1 | 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dwarf::Code;
    use crate::target::{Bias, ReadError, Region, Svma};

    const GUARD: Observed =
        Observed { lock: Avma(0x1000), permits: 1, owned: true, read: true, visited: true, released: 1 };

    fn verdicts(all: &[Observed], ended: bool) -> Vec<Verdict> {
        all.iter().map(|one| one.verdict(all, ended)).collect()
    }

    #[test]
    fn a_guard_that_was_dropped_was_kept_even_if_the_rest_is_not_known() {
        assert_eq!(verdicts(&[GUARD], true), [Verdict::Keeps]);
        assert_eq!(verdicts(&[GUARD], false), [Verdict::Keeps]);
        let in_arc = Observed { owned: false, ..GUARD };
        assert_eq!(verdicts(&[in_arc], true), [Verdict::Keeps]);
    }

    #[test]
    fn a_guard_that_was_passed_by_is_gone() {
        let stale = Observed { read: false, released: 0, ..GUARD };
        assert_eq!(verdicts(&[stale], true), [Verdict::Gone]);
        assert_eq!(verdicts(&[stale], false), [Verdict::Unknown], "the rest of the run may have dropped it");
        let elsewhere = Observed { visited: false, ..stale };
        assert_eq!(verdicts(&[elsewhere], true), [Verdict::Unknown], "nobody came by");
        let in_arc = Observed { owned: false, ..stale };
        assert_eq!(verdicts(&[in_arc], true), [Verdict::Unknown], "others may own it");
    }

    #[test]
    fn one_release_does_not_prove_two_guards() {
        assert_eq!(verdicts(&[GUARD, GUARD], true), [Verdict::Unknown; 2]);
        let moved_from = Observed { read: false, ..GUARD };
        assert_eq!(verdicts(&[GUARD, moved_from], true), [Verdict::Keeps, Verdict::Gone]);
        let both = Observed { released: 2, ..GUARD };
        assert_eq!(verdicts(&[both, both], true), [Verdict::Keeps; 2]);
        let other = Observed { lock: Avma(0x2000), ..GUARD };
        assert_eq!(verdicts(&[GUARD, other], true), [Verdict::Keeps; 2]);
        let copied = Observed { released: 0, ..GUARD };
        assert_eq!(verdicts(&[copied], true), [Verdict::Unknown], "it was read, not dropped");
    }

    struct Nothing;

    impl Memory for Nothing {
        fn read(&self, at: Avma, _: &mut [u8]) -> Result<(), ReadError> {
            Err(ReadError::Unmapped(at))
        }

        fn regions(&self) -> &[Region] {
            &[]
        }
    }

    /// Calls `add_permits_locked` with a semaphore on the stack, and this many permits; the lock is so far behind it.
    fn release(permits: u8, lock: u8) -> (Result<(), Stop>, HashMap<Avma, u64>) {
        // lea rdi, [rsp-64]; mov esi, permits; lea rdx, [rdi+lock]; mov eax, 0x2000; jmp rax
        let bytes = [0x48, 0x8d, 0x7c, 0x24, 0xc0, 0xbe, permits, 0, 0, 0, 0x48, 0x8d, 0x57, lock];
        let bytes = [&bytes[..], &[0xb8, 0, 0x20, 0, 0, 0xff, 0xe0]].concat();
        let code = [Code { start: Svma(0x1000), bytes: &bytes }];
        let known = HashMap::from([(0x2000, Routine::AddPermits)]);
        let mut calls = Calls { known: &known, released: HashMap::new() };
        let mut machine = Machine::new(Overlay::new(&Nothing, []), None);
        let image = CodeImage { code: &code, bias: Bias(0) };
        let ended = machine.run(&image, Avma(0x1000), Avma(0), &mut calls);
        (ended, calls.released)
    }

    #[test]
    fn permits_that_are_given_back_are_counted_where_the_arguments_make_sense() {
        let (ended, released) = release(3, 16);
        assert_eq!((ended, released.into_values().collect::<Vec<_>>()), (Ok(()), vec![3]));
        assert_eq!(release(0, 16), (Err(Stop::Call(0x2000)), HashMap::new()));
        assert_eq!(
            release(3, 0x80),
            (Err(Stop::Call(0x2000)), HashMap::new()),
            "a lock before the semaphore"
        );
    }

    #[test]
    fn only_waking_calls_of_the_system_are_passed_over() {
        assert!(wakes_only(202, 0x81) && wakes_only(202, 10));
        assert!(!wakes_only(202, 0x80) && !wakes_only(202, 9) && !wakes_only(1, 1));
    }
}
