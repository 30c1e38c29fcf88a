//! What can follow what in a coroutine, from the code that resumes it.
//!
//! A function that resumes a coroutine begins with a jump on the state, and stores the state before it returns. So from each
//! state every way through the function is taken, and the states are noted in which it returns. The function must be there out
//! of line, as a whole; where any of its instructions is not understood, nothing is said.

mod effect;
mod value;
mod walk;
mod within;

use super::machine::{Machine, Order, StateKind};
use super::{Coroutine, Coroutines};
use crate::decode::Recipes;
use crate::dwarf::{Constants, FunctionCode, Program};
use crate::target::Svma;
use iced_x86::{FlowControl, Register};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use walk::{Surroundings, Walk, decoder};
use within::Within;

/// Functions that go on in others are followed this far, to find out whether they return.
const MAX_TAILS: usize = 4;
/// The registers that may have the future's address: of a function whose result is stored by address, the second.
const FIRST_ARGUMENTS: [Register; 2] = [Register::RDI, Register::RSI];

/// What is read of one program's code.
pub struct Flow<'f, 'p, 'a> {
    program: &'p Program<'a>,
    recipes: &'f Recipes<'p, 'a>,
    coroutines: &'f Coroutines,
    constants: Constants<'f>,
    returns: RefCell<HashMap<Svma, bool>>,
    /// Instructions that may yet be followed.
    left: Cell<usize>,
}

type Steps = BTreeSet<(usize, usize)>;

impl<'f, 'p, 'a> Flow<'f, 'p, 'a> {
    /// `file`: the program's own bytes.
    pub fn new(recipes: &'f Recipes<'p, 'a>, coroutines: &'f Coroutines, file: &'f [u8]) -> Self {
        let constants = Constants::of(file);
        let (returns, left) = (RefCell::default(), Cell::default());
        Flow { program: recipes.program, recipes, coroutines, constants, returns, left }
    }

    /// Puts what can follow what into the machine of a coroutine, from its code; else says there why it is from the source.
    pub fn follow(&self, machine: &mut Machine, coroutine: &Coroutine) {
        self.left.set(walk::MAX_STEPS_IN_ALL);
        machine.order = match self.steps(machine, coroutine) {
            Ok(steps) => {
                machine.steps = steps.into_iter().collect();
                Order::ControlFlow
            }
            Err(why) => Order::Source(why),
        };
    }

    fn steps(&self, machine: &Machine, coroutine: &Coroutine) -> Result<Steps, String> {
        let Some((state_at, 1)) = machine.discriminant else { return Err("its state is no byte".into()) };
        let bodies = self.program.bodies(&coroutine.types);
        if bodies.is_empty() {
            return self.inlined(machine, coroutine, state_at);
        }
        let tracked = [(state_at, 0)];
        agreed(bodies.into_iter().map(|body| self.of_body(machine, body, &tracked)))
    }

    /// Of code that stands only within that of coroutines that await it.
    fn inlined(&self, machine: &Machine, coroutine: &Coroutine, state_at: u64) -> Result<Steps, String> {
        let within = Within::of(self.recipes, self.coroutines);
        let mut bodies: HashMap<usize, Vec<FunctionCode<'a>>> = HashMap::new();
        let mut bodies_of = |index: usize| {
            let types = &self.coroutines.list[index].types;
            bodies.entry(index).or_insert_with(|| self.program.bodies(types)).clone()
        };
        let index = within::index_of(self.coroutines, coroutine).ok_or("it is not in the list")?;
        let places = within.places(index, &mut |outer| !bodies_of(outer).is_empty());
        let walked = places.into_iter().flat_map(|place| {
            let own = (state_at.saturating_add(place.offset), 0);
            let tracked: Vec<(u64, u8)> = [own].into_iter().chain(place.states).collect();
            let bodies = bodies_of(place.outermost);
            bodies.into_iter().map(|body| self.of_body(machine, body, &tracked)).collect::<Vec<_>>()
        });
        // Where it is not inlined after all, its jump is not found.
        let walked: Vec<_> = walked.collect();
        let found: Vec<_> = walked.iter().filter(|steps| steps.is_ok()).cloned().collect();
        let why = "its code stands only within that of others";
        match (found.is_empty(), walked.into_iter().find_map(Result::err)) {
            (false, _) => agreed(found.into_iter()),
            (true, Some(reason)) => Err(format!("{why}, and {reason}")),
            (true, None) => Err(why.into()),
        }
    }

    /// `tracked`: offset of the coroutine's state in the future that the code resumes; then those of what awaits it there, and
    /// their values meanwhile.
    fn of_body(
        &self,
        machine: &Machine,
        code: FunctionCode<'_>,
        tracked: &[(u64, u8)],
    ) -> Result<Steps, String> {
        let polls = |at| self.program.result(at).is_some_and(|ty| &*ty.name == "Poll<()>");
        let returns = |at| self.returns(at, MAX_TAILS);
        let (constants, left) = (&self.constants, &self.left);
        let around = Surroundings { constants, returns: &returns, polls: &polls, left };
        let offsets = tracked.iter().map(|(at, _)| *at as i64).collect();
        let walk = Walk::new(code, &around, offsets);
        let mut states: Vec<u8> = tracked.iter().map(|(_, state)| *state).collect();
        let mut why = "the jump on its state was not found in its code".to_owned();
        for future in FIRST_ARGUMENTS {
            match of_register(machine, &walk, future, &mut states) {
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

/// Copies of code are made of one source: what one allows the others do.
fn agreed(mut copies: impl Iterator<Item = Result<Steps, String>>) -> Result<Steps, String> {
    let first = copies.next().ok_or("it has no code")??;
    match copies.all(|other| other.as_ref() == Ok(&first)) {
        true => Ok(first),
        false => Err("copies of its code differ".into()),
    }
}

/// The steps, if the future's address is in that register: then no call in the returned state returns, and every other one
/// does so at an await or at the end. None where this is not so.
fn of_register(
    machine: &Machine,
    walk: &Walk<'_>,
    future: Register,
    states: &mut [u8],
) -> Result<Option<Steps>, walk::Unclear> {
    let mut steps = BTreeSet::new();
    for (from, state) in machine.states.iter().enumerate() {
        let Some(value) = state.value.and_then(|value| u8::try_from(value).ok()) else { return Ok(None) };
        states[0] = value;
        let ends = walk.ends(future, states)?;
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
