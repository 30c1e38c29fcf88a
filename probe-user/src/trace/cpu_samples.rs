//! What threads compute in polls that take long, added up by place.

use crate::decode::{CodeFrame, SourceLine};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Places that are told apart; what is found elsewhere is counted.
const SPOTS: usize = 32;

/// Looks at a thread's stack, while it was on a CPU in a poll that takes long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSamples {
    pub count: u64,
    /// Of them, those at which nothing tells where it was: they were lost on the way, or the stack cannot be followed.
    pub unknown: u64,
    /// Where it was at others, in the order in which these were seen first; at most 32.
    pub spots: Vec<CpuSpot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSpot {
    pub count: u64,
    /// One that was seen there: what was called since the poll began, innermost first.
    pub stack: Box<[CodeFrame]>,
}

impl CpuSpot {
    /// The innermost of the program's own code that has a line.
    pub fn own(&self) -> Option<&CodeFrame> {
        self.stack.iter().find(|frame| is_own(frame))
    }

    /// What that called, but for parts of std that the compiler made parts of it: these are a loop's own steps. Else itself. Without
    /// own code, the innermost function that has a name.
    pub fn function(&self) -> Option<&Arc<str>> {
        let Some(own) = self.stack.iter().position(is_own) else {
            return self.stack.iter().find_map(|frame| frame.function.as_ref());
        };
        let mut called = self.stack[..own].iter().rev().skip_while(|frame| is_part_of_std(frame));
        called.find_map(|frame| frame.function.as_ref()).or(self.stack[own].function.as_ref())
    }

    fn place(&self) -> Option<(Option<&SourceLine>, &Arc<str>)> {
        Some((self.own().and_then(|own| own.line.as_ref()), self.function()?))
    }
}

fn is_own(frame: &CodeFrame) -> bool {
    frame.own_code && frame.line.is_some()
}

fn is_part_of_std(frame: &CodeFrame) -> bool {
    let of_std = |line: &SourceLine| line.file.starts_with("/rustc/") || line.file.contains("/library/core/");
    frame.inlined && frame.line.as_ref().is_some_and(of_std)
}

impl CpuSamples {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One more; an empty stack tells nothing.
    pub fn add(&mut self, stack: Box<[CodeFrame]>) {
        self.count = self.count.saturating_add(1);
        let spot = CpuSpot { count: 1, stack };
        if spot.place().is_none() {
            self.unknown = self.unknown.saturating_add(1);
        } else {
            self.join(spot);
        }
    }

    /// So many that tell nothing.
    pub fn add_unknown(&mut self, count: u64) {
        self.count = self.count.saturating_add(count);
        self.unknown = self.unknown.saturating_add(count);
    }

    pub fn merge(&mut self, other: &CpuSamples) {
        self.count = self.count.saturating_add(other.count);
        self.unknown = self.unknown.saturating_add(other.unknown);
        other.spots.iter().for_each(|spot| self.join(spot.clone()));
    }

    fn join(&mut self, spot: CpuSpot) {
        if let Some(known) = self.spots.iter_mut().find(|known| known.place() == spot.place()) {
            known.count = known.count.saturating_add(spot.count);
        } else if self.spots.len() < SPOTS {
            self.spots.push(spot);
        }
    }

    /// Where it was most often.
    pub fn most(&self) -> Option<&CpuSpot> {
        self.spots.iter().rev().max_by_key(|spot| spot.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: Option<&str>, line: u32) -> CodeFrame {
        CodeFrame {
            function: Some(function.into()),
            line: file.map(|file| SourceLine { file: file.into(), line }),
            inlined: file.is_some_and(|file| file.starts_with("/rustc/")),
            own_code: file.is_some_and(|file| file.starts_with("/srv/")),
        }
    }

    fn stack(functions: &[(&str, Option<&str>, u32)]) -> Box<[CodeFrame]> {
        functions.iter().map(|(function, file, line)| frame(function, *file, *line)).collect()
    }

    #[test]
    fn the_most_frequent_place_of_the_programs_own() {
        let own = Some("/srv/shop/src/api.rs");
        let mut samples = CpuSamples::default();
        for line in [12, 13, 12] {
            samples.add(stack(&[
                ("serde_json::ser::format", Some("/x/.cargo/registry/src/ser.rs"), 7),
                ("serde_json::to_vec", Some("/x/.cargo/registry/src/ser.rs"), 9),
                ("shop::api::list", own, line),
                ("tokio::runtime::task::raw::poll", None, 0),
            ]));
        }
        samples.add(Box::default());
        let mut twice = samples.clone();
        twice.merge(&samples);
        twice.add_unknown(2);
        assert_eq!((twice.count, twice.unknown, twice.spots.len()), (10, 4, 2));
        let most = twice.most().expect("some");
        assert_eq!((most.count, most.function().map(|name| &**name)), (4, Some("serde_json::to_vec")));
        assert_eq!(most.own().and_then(|own| own.line.as_ref()).map(|line| line.line), Some(12));
    }

    #[test]
    fn steps_of_a_loop_are_not_what_it_does() {
        let spot = |frames: &[_]| CpuSpot { count: 1, stack: stack(frames) };
        let own = Some("/srv/shop/src/api.rs");
        let next = ("core::iter::range::next", Some("/rustc/4/library/core/src/iter/range.rs"), 3);
        let looping = spot(&[next, ("shop::crunch", own, 5), ("shop::api::list", own, 9)]);
        assert_eq!(looping.function().map(|name| &**name), Some("shop::crunch"));
        let foreign = spot(&[("memcpy", None, 0), ("hyper::poll", None, 0)]);
        assert_eq!((foreign.own(), foreign.function().map(|name| &**name)), (None, Some("memcpy")));
        let unnamed = CodeFrame { function: None, line: None, inlined: false, own_code: false };
        assert_eq!(CpuSpot { count: 1, stack: Box::new([unnamed]) }.place(), None);
    }

    #[test]
    fn no_more_places_than_there_is_room_for() {
        let mut samples = CpuSamples::default();
        (0..100).for_each(|n| samples.add(stack(&[("shop::f", Some("/srv/shop/src/f.rs"), n)])));
        assert_eq!((samples.count, samples.unknown, samples.spots.len()), (100, 0, SPOTS));
    }
}
