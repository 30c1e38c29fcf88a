//! One thing that can be wrong with an async program, and how it is told.

use super::{Case, Finding};
use std::time::Duration;

/// Looks at the facts, and says what follows from them: pure, the same facts always give the same answer.
pub trait Lint: Sync {
    /// As `--fail-on` takes it and JSON gives it: `blocked-executor`.
    fn name(&self) -> &'static str;

    /// What it looks for, in some words, for lists of lints.
    fn what(&self) -> &'static str;

    /// Whether it rests on what tasks await: where no task is decoded it sees nothing.
    fn needs_trees(&self) -> bool {
        false
    }

    fn look(&self, case: &Case<'_>) -> Answer;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing of the kind, as far as is seen.
    Fine,
    Found(Vec<Finding>),
    /// Something may be wrong, and the facts do not tell yet: look again after so long.
    LookAgain(Duration),
    /// What would tell is not watched, and why.
    Blind(&'static str),
}

impl Answer {
    /// [`Answer::Fine`] where nothing was found.
    pub fn of(found: Vec<Finding>) -> Answer {
        if found.is_empty() { Answer::Fine } else { Answer::Found(found) }
    }
}
