//! `analyze` of programs that nobody here wrote: every async function, block and closure that their debug information describes is
//! there, with its declaration and its awaits. What it describes is found by a reading of its own. `REAL_PROGRAMS=all` builds
//! those that take minutes too.

use anyhow::{Context as _, Result, ensure};
use e2e::real::{PROGRAMS, Real};
use e2e::{inspector, rights};
use gimli::{AttributeValue, EndianSlice, LittleEndian, constants as dw};
use libtest_mimic::{Arguments, Trial};
use object::{Object as _, ObjectSection as _};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Name of the file, and the lines: where it is declared, and each of its awaits outside of macros.
type Described = (String, u32, Vec<u32>);

#[derive(Deserialize)]
struct Graph {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    kind: String,
    file: Option<String>,
    line: Option<u32>,
    suspend_points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    line: Option<u32>,
    expanded_from: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    line: u32,
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let all = std::env::var("REAL_PROGRAMS").is_ok_and(|which| which == "all");
    let (chosen, left): (Vec<&Real>, Vec<&Real>) = PROGRAMS.iter().partition(|real| real.cheap || all);
    for real in left {
        rights::skipped(real.name, "it takes minutes to build; REAL_PROGRAMS=all builds it");
    }
    let check = |real: &'static Real| move || check(real).map_err(|error| format!("{error:#}").into());
    let trials = chosen.into_iter().map(|real| Trial::test(real.name, check(real)));
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn check(real: &Real) -> Result<()> {
    let executable = real.install()?;
    let path = executable.to_str().context("a path of UTF-8")?;
    let outcome = inspector::run(&["analyze", "--show-call-graph", "--deps", "-f", "json", path])?;
    ensure!(outcome.code == Some(0), "{:?}: {}", outcome.code, outcome.stderr);
    let graph: Graph = serde_json::from_str(&outcome.stdout)?;
    let told: BTreeSet<Described> = graph.functions.iter().filter_map(told).collect();
    let described = described(&executable)?;
    let missing: Vec<_> = described.difference(&told).collect();
    let invented: Vec<_> = told.difference(&described).collect();
    println!("{}: {} coroutines of different places", real.name, described.len());
    ensure!(!described.is_empty(), "its debug information describes none");
    ensure!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, invented {invented:?}");
    Ok(())
}

fn told(function: &Function) -> Option<Described> {
    if !function.kind.starts_with("async") {
        return None;
    }
    let own = |point: &Point| point.expanded_from.as_ref().map(|place| place.line).or(point.line);
    let lines = function.suspend_points.iter().filter_map(own).collect();
    Some((last(function.file.as_deref()?), function.line?, lines))
}

fn last(file: &str) -> String {
    Path::new(file).file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

/// What a plain walk over all entries finds.
fn described(executable: &Path) -> Result<BTreeSet<Described>> {
    let bytes = std::fs::read(executable)?;
    let object = object::File::parse(bytes.as_slice())?;
    let section = |id: gimli::SectionId| -> Result<Slice<'_>> {
        let data = object.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section)?;
    let mut found = BTreeSet::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let name =
                entry.attr_value(dw::DW_AT_name).and_then(|value| dwarf.attr_string(&unit, value).ok());
            let is_coroutine = name.is_some_and(|name| name.slice().starts_with(b"{async_"));
            if entry.tag() == dw::DW_TAG_structure_type && is_coroutine {
                found.extend(coroutine(&dwarf, &unit, entry.offset())?);
            }
        }
    }
    Ok(found)
}

/// The places of its variants, in the order of their names.
fn coroutine<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &gimli::Unit<Slice<'a>>,
    at: gimli::UnitOffset,
) -> Result<Option<Described>> {
    let mut tree = unit.entries_tree(Some(at))?;
    let mut places: Vec<(u64, String, u32)> = Vec::new();
    let mut children = tree.root()?.children();
    while let Some(child) = children.next()? {
        if child.entry().tag() != dw::DW_TAG_variant_part {
            continue;
        }
        let mut variants = child.children();
        while let Some(variant) = variants.next()? {
            let mut members = variant.children();
            let Some(member) = members.next()? else { continue };
            let entry = member.entry();
            let text =
                |value| dwarf.attr_string(unit, value).ok().map(|text| text.to_string_lossy().into_owned());
            let Some(number) = entry.attr_value(dw::DW_AT_name).and_then(text) else { continue };
            let Ok(number) = number.parse() else { continue };
            let file = match entry.attr_value(dw::DW_AT_decl_file) {
                Some(AttributeValue::FileIndex(file)) => file,
                Some(value) => value.udata_value().context("a number")?,
                None => continue,
            };
            let line = entry.attr_value(dw::DW_AT_decl_line).and_then(|line| line.udata_value());
            let header = unit.line_program.as_ref().context("a line table")?.header();
            let name = text(header.file(file).context("a file")?.path_name()).context("a name")?;
            places.push((number, last(&name), line.context("a line")? as u32));
        }
    }
    places.sort();
    // Unresumed, Returned and Panicked come first.
    let Some((_, file, line)) = places.first().cloned() else { return Ok(None) };
    Ok(Some((file, line, places.into_iter().skip(3).map(|(_, _, line)| line).collect())))
}
