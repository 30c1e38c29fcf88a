//! The async call graph as one page: a tree with search and folding, for keyboard and mouse. It opens offline and loads nothing;
//! its Content-Security-Policy would not let it.

use super::outline_json::{color, kind};
use super::outline_text::left_out;
use crate::outline::{CallGraph, Certainty, Excerpt, FunctionId, Origin, Summary};
use crate::present::call_graph::{
    Group, NOBODY, edge_notes, groups, kind_word, lines, name, starts, verb, waits_words,
};
use crate::present::call_graph_summary::{answers, counts};
use crate::present::escape::escape;
use crate::present::places::Places;
use crate::present::units::size;
use serde::Serialize;
use std::io::{self, Write};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Columns of a name in the tree.
const NAME: usize = 64;

/// All words are escaped for people's eyes already.
#[derive(Serialize)]
struct Page {
    counts: String,
    functions: Vec<Function>,
    /// Headings, and the trees below them.
    begins: Vec<(&'static str, Vec<Edge>)>,
    answers: Vec<Answer>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    /// Where that is not it.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<String>,
    kind: &'static str,
    whole_kind: &'static str,
    color: &'static str,
    own: bool,
    place: String,
    size: Option<String>,
    waits: Option<String>,
    why: Vec<String>,
    points: Vec<String>,
    below: Vec<Edge>,
}

#[derive(Serialize)]
struct Edge {
    to: u32,
    verb: &'static str,
    at: String,
    notes: Vec<String>,
    possible: bool,
}

#[derive(Serialize)]
struct Answer {
    text: String,
    items: Vec<Item>,
    left_out: usize,
}

#[derive(Serialize)]
struct Item {
    text: String,
    place: String,
}

pub fn write(out: &mut impl Write, excerpt: &Excerpt, program: &str, places: &Places) -> io::Result<()> {
    let data = serde_json::to_string(&page(excerpt, places))?;
    let program = in_markup(&escape(program));
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.write_all(before.as_bytes())?;
        let (part, after) = after.split_once("}}").unwrap_or(("", after));
        match part {
            "program" => out.write_all(program.as_bytes())?,
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            // Inside of a script element nothing but `<` can end it or begin a comment.
            _ => out.write_all(data.replace('<', "\\u003c").as_bytes())?,
        }
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

fn in_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn page(excerpt: &Excerpt, places: &Places) -> Page {
    let graph = &excerpt.graph;
    let summary = Summary::of(excerpt);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for start in starts(excerpt, places) {
        let (verb, at) = match start.how.strip_prefix("starts at ") {
            Some(at) => ("starts", at.to_owned()),
            None => ("", start.how),
        };
        let notes = start.note.into_iter().collect();
        let edge = Edge { to: start.id.0, verb, at, notes, possible: false };
        if start.known { known.push(edge) } else { unknown.push(edge) }
    }
    let answers = answers(&summary, excerpt, places).into_iter().map(|answer| Answer {
        text: answer.text,
        items: answer.items.into_iter().map(|item| Item { text: item.text, place: item.place }).collect(),
        left_out: answer.left_out,
    });
    Page {
        counts: counts(&summary),
        functions: graph.ids().map(|id| function(excerpt, id, places)).collect(),
        begins: vec![("", known), (NOBODY, unknown)],
        answers: answers.collect(),
        notes: left_out(excerpt, excerpt, None),
    }
}

fn function(excerpt: &Excerpt, id: FunctionId, places: &Places) -> Function {
    let function = excerpt.graph.function(id);
    let points = function.suspend_points.iter();
    let points = points.map(|point| {
        let at = point.place.as_ref().map_or_else(|| "?".into(), |line| places.show(line));
        match &point.expanded_from {
            Some(line) => format!("{at} (macro at {})", places.show(line)),
            None => at,
        }
    });
    let short = name(&function.name, NAME);
    Function {
        whole: Some(escape(&function.name).into_owned()).filter(|whole| *whole != short),
        name: short,
        kind: kind_word(function.kind),
        whole_kind: kind(function.kind),
        color: color(function.color),
        own: function.origin == Origin::Own,
        place: function.place.as_ref().map_or_else(String::new, |line| places.show(line)),
        size: function.size.map(size),
        waits: waits_words(&excerpt.waits_for[id.index()]),
        why: function.why_yellow.iter().map(|why| escape(why).into_owned()).collect(),
        points: points.collect(),
        below: groups(&excerpt.graph, id).iter().map(|group| edge(group, &excerpt.graph, places)).collect(),
    }
}

fn edge(group: &Group<'_>, graph: &CallGraph, places: &Places) -> Edge {
    Edge {
        to: group.first.to.0,
        verb: verb(group.first, graph.function(group.first.to)),
        at: lines(group.places.iter().copied(), places),
        notes: edge_notes(group.first),
        possible: group.first.certainty == Certainty::Possible,
    }
}

#[cfg(test)]
#[path = "outline_html_tests.rs"]
mod tests;
