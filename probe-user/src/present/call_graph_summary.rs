//! What a call graph answers, in words.

use super::call_graph::{lines, thing};
use super::escape::escape;
use super::names;
use super::places::Places;
use super::units::{count, counted};
use crate::decode::SourceLine;
use crate::outline::{Boundary, BoundaryKind, Excerpt, FunctionId, Summary};

/// Functions named under each point.
const NAMED: usize = 8;
/// Functions named of those that wait for one kind of thing.
const OF_A_KIND: usize = 4;

/// An answer, and the functions it is about. All is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub items: Vec<Item>,
    pub left_out: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub text: String,
    pub place: String,
}

pub fn answers(summary: &Summary, excerpt: &Excerpt, places: &Places) -> Vec<Answer> {
    let says = Says { excerpt, places };
    vec![
        says.needed(summary),
        says.boundaries(&summary.boundaries),
        says.breakable(summary),
        says.bottlenecks(summary),
    ]
}

/// `of your own: 20 async functions (18 red, 2 green, 0 yellow), 3 sync functions`.
pub fn counts(summary: &Summary) -> String {
    let Summary { async_functions, sync_functions, red, green, yellow, .. } = summary;
    let mut words = format!("of your own: {}", counted(*async_functions as u64, "async function"));
    if *async_functions > 0 {
        let [red, green, yellow] = [red, green, yellow].map(|n| count(*n as u64));
        words.push_str(&format!(" ({red} red, {green} green, {yellow} yellow)"));
    }
    if *sync_functions > 0 {
        words.push_str(&format!(", {}", counted(*sync_functions as u64, "sync function")));
    }
    words
}

struct Says<'a> {
    excerpt: &'a Excerpt,
    places: &'a Places,
}

impl Says<'_> {
    fn needed(&self, summary: &Summary) -> Answer {
        let Summary { async_functions, red, yellow, .. } = summary;
        if summary.needed.is_empty() {
            let text = format!(
                "Where async is necessary: of {}, {} await something; what for in the end is not known.",
                counted(*async_functions as u64, "async function"),
                count((red + yellow) as u64)
            );
            return Answer { text, items: vec![], left_out: 0 };
        }
        let text = format!(
            "Where async is necessary: {} of {} await something. What all this waiting is for in the end:",
            count((red + yellow) as u64),
            counted(*async_functions as u64, "async function")
        );
        let items = summary.needed.iter().map(|(kind, who)| {
            let mut words: Vec<String> = who
                .iter()
                .take(OF_A_KIND)
                .map(|(id, places)| format!("{} {}", self.name(*id), lines(places, self.places)))
                .collect();
            if who.len() > OF_A_KIND {
                words.push(format!("{} more", count((who.len() - OF_A_KIND) as u64)));
            }
            (format!("{}: {}", thing(*kind), words.join(", ")), None)
        });
        self.answer(text, items)
    }

    fn boundaries(&self, boundaries: &[Boundary]) -> Answer {
        if boundaries.is_empty() {
            let text = "Where sync and async meet: no block_on, spawn_blocking or spawn from sync code of your own \
                        was found.";
            return Answer { text: text.into(), items: vec![], left_out: 0 };
        }
        let items = boundaries.iter().map(|boundary| {
            let (from, to) = (self.name(boundary.from), self.name(boundary.to));
            let words = match boundary.kind {
                BoundaryKind::BlocksOn => format!("{from} (sync) blocks its thread on {to} (async)"),
                BoundaryKind::SpawnsFromSync => format!("{from} (sync) spawns {to} (async)"),
                BoundaryKind::GivesToThreads => format!("{from} gives {to} (sync) to threads that may block"),
            };
            (words, boundary.place.as_ref())
        });
        self.answer("Where sync and async meet:".into(), items)
    }

    fn breakable(&self, summary: &Summary) -> Answer {
        if summary.awaits_nothing.is_empty() {
            let text = "Where a chain could be broken: every async function awaits something.";
            return Answer { text: text.into(), items: vec![], left_out: 0 };
        }
        let text = format!(
            "Where a chain could be broken: {} {} nothing and could be sync: a plain call, or spawn_blocking where it \
             takes long:",
            counted(summary.awaits_nothing.len() as u64, "async function"),
            if summary.awaits_nothing.len() == 1 { "awaits" } else { "await" }
        );
        self.answer(text, summary.awaits_nothing.iter().map(|id| (self.name(*id), self.declared(*id))))
    }

    fn bottlenecks(&self, summary: &Summary) -> Answer {
        if summary.bottlenecks.is_empty() {
            return Answer { text: "Bottlenecks: none seen.".into(), items: vec![], left_out: 0 };
        }
        let items = summary.bottlenecks.iter().map(|id| {
            let why = self.excerpt.graph.function(*id).why_yellow.join("; ");
            (format!("{}: {}", self.name(*id), escape(&why)), self.declared(*id))
        });
        self.answer(
            "Bottlenecks: what blocks belongs into spawn_blocking, what is large into a Box:".into(),
            items,
        )
    }

    fn answer<'a>(
        &self,
        text: String,
        items: impl Iterator<Item = (String, Option<&'a SourceLine>)>,
    ) -> Answer {
        let all: Vec<_> = items.collect();
        let left_out = all.len().saturating_sub(NAMED);
        let items =
            all.into_iter().take(NAMED).map(|(text, line)| Item { text, place: self.place(line) }).collect();
        Answer { text, items, left_out }
    }

    fn place(&self, line: Option<&SourceLine>) -> String {
        line.map_or_else(String::new, |line| self.places.show(line))
    }

    fn name(&self, id: FunctionId) -> String {
        names::function(&self.excerpt.graph.function(id).name)
    }

    fn declared(&self, id: FunctionId) -> Option<&SourceLine> {
        self.excerpt.graph.function(id).place.as_ref()
    }
}
