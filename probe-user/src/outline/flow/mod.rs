//! What can follow what in a coroutine, from the code that resumes it.
//!
//! A function that resumes a coroutine begins with a jump on the state, and stores the state before it returns. So from each
//! state every way through the function is taken, and the states are noted in which it returns. The function must be there out
//! of line, as a whole; where any of its instructions is not understood, nothing is said.

mod effect;
mod value;
mod walk;

use super::machine::{Machine, Order, StateKind};
use crate::decode::Recipes;
use crate::dwarf::{Constants, DieRef, FunctionCode, Program};
use crate::target::Svma;
use iced_x86::{FlowControl, Register};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use walk::{Surroundings, Walk, decoder};

/// Functions that go on in others are followed this far, to find out whether they return.
const MAX_TAILS: usize = 4;
/// The registers that may have the future's address: of a function whose result is stored by address, the second.
const FIRST_ARGUMENTS: [Register; 2] = [Register::RDI, Register::RSI];

/// What is read of one program's code.
pub struct Flow<'f> {
    program: &'f Program<'f>,
    constants: Constants<'f>,
    returns: RefCell<HashMap<Svma, bool>>,
}

impl<'f> Flow<'f> {
    /// `file`: the program's own bytes.
    pub fn new(recipes: &Recipes<'f, 'f>, file: &'f [u8]) -> Flow<'f> {
        Flow { program: recipes.program, constants: Constants::of(file), returns: RefCell::default() }
    }

    /// Puts what can follow what into the machine, from its code; else says there why it is from the source.
    /// `types`: all entries of the coroutine's type.
    pub fn follow(&self, machine: &mut Machine, types: &[DieRef]) {
        machine.order = match self.steps(machine, types) {
            Ok(steps) => {
                machine.steps = steps;
                Order::ControlFlow
            }
            Err(why) => Order::Source(why),
        };
    }

    fn steps(&self, machine: &Machine, types: &[DieRef]) -> Result<Vec<(usize, usize)>, String> {
        let Some((state_at, 1)) = machine.discriminant else { return Err("its state is no byte".into()) };
        let bodies = self.program.bodies(types);
        let mut copies = bodies.iter().map(|body| self.of_body(machine, *body, state_at as i64));
        let first = copies.next().ok_or("its code stands only within that of others")??;
        // Copies are made of one source.
        if copies.any(|other| other.as_ref() != Ok(&first)) {
            return Err("copies of its code differ".into());
        }
        Ok(first.into_iter().collect())
    }

    fn of_body(
        &self,
        machine: &Machine,
        code: FunctionCode<'_>,
        state_at: i64,
    ) -> Result<BTreeSet<(usize, usize)>, String> {
        let around = Surroundings { constants: &self.constants, returns: &|at| self.returns(at, MAX_TAILS) };
        let walk = Walk::new(code, &around, state_at);
        let mut why = "the jump on its state was not found in its code".to_owned();
        for future in FIRST_ARGUMENTS {
            match of_register(machine, &walk, future) {
                Ok(Some(steps)) => return Ok(steps),
                Ok(None) => {}
                Err(unclear) => why = unclear.to_string(),
            }
        }
        Err(why)
    }

    /// Whether a function ever returns; true where it cannot be told.
    fn returns(&self, at: Svma, left: usize) -> bool {
        if let Some(known) = self.returns.borrow().get(&at) {
            return *known;
        }
        let answer = !self.program.is_diverging(at) && self.has_a_way_out(at, left);
        self.returns.borrow_mut().insert(at, answer);
        answer
    }

    /// There is a return in its code, or a jump out of it to one that returns.
    fn has_a_way_out(&self, at: Svma, left: usize) -> bool {
        let Some(code) = self.program.function_code(at) else { return true };
        decoder(code, code.start.0).into_iter().any(|instruction| match instruction.flow_control() {
            FlowControl::Return | FlowControl::IndirectBranch => true,
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                let target = Svma(instruction.near_branch_target());
                !code.covers(target) && (left == 0 || self.returns(target, left - 1))
            }
            _ => false,
        })
    }
}

/// The steps, if the future's address is in that register: then no call in the returned state returns, and every other one
/// does so at an await or at the end. None where this is not so.
fn of_register(
    machine: &Machine,
    walk: &Walk<'_>,
    future: Register,
) -> Result<Option<BTreeSet<(usize, usize)>>, walk::Unclear> {
    let mut steps = BTreeSet::new();
    for (from, state) in machine.states.iter().enumerate() {
        let Some(value) = state.value.and_then(|value| u8::try_from(value).ok()) else { return Ok(None) };
        let ends = walk.ends(future, value)?;
        match state.kind {
            StateKind::Returned | StateKind::Panicked => {
                if !ends.is_empty() {
                    return Ok(None);
                }
            }
            StateKind::Start | StateKind::Await(_) => {
                for end in ends {
                    let to = machine.states.iter().position(|s| s.value == Some(end.into()));
                    let is_end = |to: &usize| {
                        matches!(machine.states[*to].kind, StateKind::Await(_) | StateKind::Returned)
                    };
                    let Some(to) = to.filter(is_end) else { return Ok(None) };
                    steps.insert((from, to));
                }
            }
        }
    }
    // A future that is never polled to an await or an end is none that was understood.
    let begins = steps.iter().any(|(from, _)| machine.states[*from].kind == StateKind::Start);
    Ok(begins.then_some(steps))
}
