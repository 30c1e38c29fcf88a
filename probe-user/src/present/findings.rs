//! Findings for people: names short, places relative, all escaped.

use super::names;
use super::places::Places;
use super::units::{count, size, span};
use super::{escape::escape, paint::Paint};
use crate::analysis::{Finding, Part, Sentence};
use crate::decode::Certainty;
use std::io::{self, Write};

pub fn sentence(sentence: &Sentence, places: &Places) -> String {
    let part = |part: &Part| match part {
        Part::Words(words) => escape(words).into_owned(),
        Part::Name(name) => names::function(name),
        Part::Task(task) => format!("#{}", task.id),
        Part::Thread(tid) => format!("thread {tid}"),
        Part::At(line) => places.show(line),
        Part::Thing(kind, address) => format!("{} {address}", kind.as_str()),
        Part::Count(n) => count(*n),
        Part::Span(ns) => span(*ns),
        Part::Size(bytes) => size(*bytes),
    };
    sentence.0.iter().map(part).collect()
}

pub fn certainty_word(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Proven => "proven",
        Certainty::Possible => "possible",
    }
}

/// A paragraph: which lint, what it found, what that rests on, what to do.
pub fn write(out: &mut impl Write, finding: &Finding, places: &Places, paint: Paint) -> io::Result<()> {
    let certainty = certainty_word(finding.certainty);
    let title = format!("{}, {certainty}", finding.lint);
    let title = match finding.certainty {
        Certainty::Proven => paint.bad(title),
        Certainty::Possible => paint.warn(title),
    };
    writeln!(out, "{title}: {}", paint.bold(sentence(&finding.message, places)))?;
    for line in &finding.evidence {
        writeln!(out, "    {}", sentence(line, places))?;
    }
    for (i, place) in finding.places.iter().enumerate() {
        let Some(line) = &place.line else { continue };
        let label = if i == 0 { "at" } else { "" };
        writeln!(out, "  {label:<8}{}  {}", places.show(line), names::function(&place.function))?;
    }
    writeln!(out, "  {:<8}{}", "remedy", finding.remedy)
}

/// In a line: for a list of what happens.
pub fn line(finding: &Finding, places: &Places) -> String {
    let certainty = certainty_word(finding.certainty);
    format!("{}, {certainty}: {}", finding.lint, sentence(&finding.message, places))
}
