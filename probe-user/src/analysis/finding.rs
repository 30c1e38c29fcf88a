//! What a lint found: the bug, the line and the culprit.

use crate::decode::{Certainty, ResourceKind, SourceLine, TaskId};
use crate::target::Avma;
use std::borrow::Cow;
use std::sync::Arc;

/// Words with names in them. Each view writes the names in its own way: in full, or short and escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sentence(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Ours, or of the kernel: nothing that was read from the target.
    Words(Cow<'static, str>),
    /// Read from the target, and not escaped.
    Name(Arc<str>),
    Task(TaskId),
    Thread(u32),
    At(SourceLine),
    Thing(ResourceKind, Avma),
    Count(u64),
    /// ns
    Span(u64),
    /// Bytes.
    Size(u64),
}

/// A sentence of words, names, tasks and places, in this order: whatever is a [`Part`].
macro_rules! sentence {
    ($($part:expr),+ $(,)?) => { $crate::analysis::Sentence(vec![$($crate::analysis::Part::from($part)),+]) };
}
pub(crate) use sentence;

impl Sentence {
    pub fn add(&mut self, part: impl Into<Part>) {
        self.0.push(part.into());
    }

    pub fn append(&mut self, mut other: Sentence) {
        self.0.append(&mut other.0);
    }
}

impl From<&'static str> for Part {
    fn from(words: &'static str) -> Part {
        Part::Words(words.into())
    }
}

impl From<String> for Part {
    fn from(words: String) -> Part {
        Part::Words(words.into())
    }
}

impl From<&Arc<str>> for Part {
    fn from(name: &Arc<str>) -> Part {
        Part::Name(name.clone())
    }
}

impl From<TaskId> for Part {
    fn from(task: TaskId) -> Part {
        Part::Task(task)
    }
}

impl From<u64> for Part {
    fn from(count: u64) -> Part {
        Part::Count(count)
    }
}

impl From<&SourceLine> for Part {
    fn from(line: &SourceLine) -> Part {
        Part::At(line.clone())
    }
}

/// A place of the target's source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FoundPlace {
    /// The full path with generics, as in a snapshot's frames.
    pub function: Arc<str>,
    pub line: Option<SourceLine>,
}

/// One bug, or what looks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// [`super::Lint::name`]
    pub lint: &'static str,
    pub certainty: Certainty,
    /// Those involved, in the order in which the message names them.
    pub tasks: Vec<TaskId>,
    /// Where to look in the source, the most telling first.
    pub places: Vec<FoundPlace>,
    pub resources: Vec<Avma>,
    /// What is wrong, in a sentence.
    pub message: Sentence,
    /// What that rests on, each in a sentence.
    pub evidence: Vec<Sentence>,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What makes two findings of different times the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FindingKey {
    lint: &'static str,
    /// Of what lies in memory of its own: that. Else where it is, and whose it is if it is one task's.
    resources: Vec<Avma>,
    places: Vec<FoundPlace>,
    task: Option<TaskId>,
}

impl Finding {
    pub fn key(&self) -> FindingKey {
        if !self.resources.is_empty() {
            let mut resources = self.resources.clone();
            resources.sort_unstable();
            return FindingKey { lint: self.lint, resources, places: Vec::new(), task: None };
        }
        // What many tasks do at one place stays the same bug while those tasks come and go.
        let at_a_place = self.places.iter().any(|place| place.line.is_some());
        let task = if let [only] = self.tasks[..] { Some(only).filter(|_| !at_a_place) } else { None };
        FindingKey { lint: self.lint, resources: Vec::new(), places: self.places.clone(), task }
    }
}
