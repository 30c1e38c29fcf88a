//! Which tables there are, and how much is spent on each.

use crate::document::{Document, Table};
use crate::{growth, lifecycle, ping_pong, server, snapshots};
use anyhow::{Context as _, Result};
use std::time::Duration;

/// A section of the document that is measured by itself.
struct Entry {
    name: &'static str,
    what: &'static str,
    measure: fn(Effort) -> Result<Vec<Table>>,
}

/// In the document's order.
const ALL: [Entry; 9] = [
    Entry { name: "big", what: "dump of a large program", measure: snapshots::big },
    Entry { name: "many", what: "dump of many tasks", measure: snapshots::many },
    Entry { name: "lints", what: "diagnosis of many tasks and locks", measure: snapshots::lints },
    Entry { name: "ping-pong", what: "cost of a traced poll, beside all peers", measure: ping_pong::measure },
    Entry { name: "server", what: "an axum server under load, beside all peers", measure: server::measure },
    Entry { name: "lifecycle", what: "attach, first output, detach, memory", measure: lifecycle::measure },
    Entry { name: "depth", what: "cost of a poll by nesting", measure: growth::depth },
    Entry { name: "tasks", what: "cost of a poll by number of tasks", measure: growth::tasks },
    Entry { name: "sites", what: "cost of a poll by number of poll functions", measure: growth::sites },
];

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Full,
    /// To see that it works.
    Quick,
    Rounds(u32),
}

impl Effort {
    pub fn parse(text: &str) -> Result<Effort> {
        Ok(match text {
            "full" => Effort::Full,
            "quick" => Effort::Quick,
            rounds => Effort::Rounds(rounds.parse().context("full, quick or a number of rounds")?),
        })
    }

    pub fn rounds(self, full: u32) -> u32 {
        match self {
            Effort::Full => full,
            Effort::Quick => 2,
            Effort::Rounds(rounds) => rounds,
        }
    }

    pub fn span(self, full: Duration) -> Duration {
        if self == Effort::Quick { full / 4 } else { full }
    }
}

pub fn list() -> Result<()> {
    for entry in &ALL {
        println!("{:10} {}", entry.name, entry.what);
    }
    Ok(())
}

/// Measures the named tables, or all, and writes each to the document as soon as it is there.
pub fn measure(effort: Effort, names: &[&str]) -> Result<()> {
    let find = |name: &&str| {
        let found = ALL.iter().find(|entry| entry.name == *name);
        found.with_context(|| format!("no table {name}; `cargo xtask bench --list` names them"))
    };
    let chosen: Vec<&Entry> = if names.is_empty() {
        ALL.iter().collect()
    } else {
        names.iter().map(find).collect::<Result<_>>()?
    };
    let order = ALL.map(|entry| entry.name);
    for entry in chosen {
        let tables = (entry.measure)(effort).with_context(|| format!("table {}", entry.name))?;
        let text = tables.iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
        println!("{text}");
        if effort != Effort::Quick {
            let mut document = Document::open()?;
            document.replace(entry.name, &text, &order);
            document.write()?;
        }
    }
    Ok(())
}
