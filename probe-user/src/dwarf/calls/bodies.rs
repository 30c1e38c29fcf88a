//! Who calls whom within the code of one unit: from the trees of inlined calls, and from the instructions.
//!
//! A call belongs to the innermost function that is told of ([`Class::is_told`]) around it; what is inlined between the two
//! (`Option::map`, `Pin::poll`) is not. Below a marked function nothing more is told, up to the next function that is: what
//! `tokio::spawn` does inside is its own affair, while a future that `block_on` polls has calls of its own.

use super::code::{Reference, references};
use super::functions::{Class, Functions, Known, Wanted, file_number};
use crate::dwarf::program::Program;
use crate::dwarf::sections::Slice;
use crate::dwarf::units::{DieRef, Unit};
use crate::target::Svma;
use foldhash::HashSet;
use gimli::{AttributeValue, constants as dw};
use std::cmp::Reverse;
use std::ops::{AddAssign, Range};
use std::sync::atomic::{AtomicU64, Ordering};

/// Inlined calls of one function.
const MAX_NODES: usize = 1 << 18;
/// Pieces of code of one function or inlined call.
const MAX_PIECES: usize = 4096;
/// Functions of an honest file share little code: no more than so many times all of it is read.
pub(super) const READINGS: u64 = 4;
/// Pieces of code of all functions and inlined calls. A file of 40 MB of debug information has some hundred thousands.
pub(super) const PIECES: u64 = 1 << 26;

/// What may yet be read of the whole program; of a hostile one it is not enough.
pub(super) struct Budget {
    /// Bytes of code.
    pub code: AtomicU64,
    pub pieces: AtomicU64,
}

impl Budget {
    fn take(of: &AtomicU64, many: u64) -> bool {
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(many)).is_ok()
    }
}

/// What was beyond a bound, and is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Inlined calls of functions that have too many: what they call counts as their function's own.
    pub inlined: u64,
    /// Functions and inlined calls that are in too many pieces: some of their code is left out, or counts as that around it.
    pub pieces: u64,
    /// Functions whose code was not read, as all of it has been read several times by then.
    pub unread: u64,
}

impl AddAssign for Cut {
    fn add_assign(&mut self, other: Cut) {
        self.inlined += other.inlined;
        self.pieces += other.pieces;
        self.unread += other.unread;
    }
}

/// A function as the end of a call: its entry, where it is one that is told of or marked; else where its code begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum End {
    Entry(DieRef),
    Code(u64),
}

/// File, by its number in the unit, and line.
pub(super) type Line = (u64, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub from: End,
    pub to: End,
    pub line: Option<Line>,
    /// The dependency's function that makes the call, inlined or `from` itself.
    pub by: Option<DieRef>,
}

#[derive(Debug, Default)]
pub(super) struct OfUnit {
    pub calls: Vec<Found>,
    /// The function, the vtable whose address it takes, and where.
    pub vtables: Vec<(End, u64, Option<Line>)>,
    /// Calls of code that several functions share, as equal ones were folded: whose they are is not known.
    pub ambiguous: usize,
    pub cut: Cut,
}

pub(super) fn of_unit(
    program: &Program<'_>,
    functions: &Functions,
    wanted: &Wanted<'_>,
    vtables: &HashSet<u64>,
    budget: &Budget,
    number: u32,
) -> OfUnit {
    let Some(unit) = program.units().load(number) else { return OfUnit::default() };
    let mut bodies = Bodies {
        program,
        functions,
        wanted,
        vtables,
        budget,
        unit: &unit,
        number,
        rows: None,
        found: OfUnit::default(),
    };
    // What stands before a damaged entry is kept.
    let _ = bodies.run();
    let mut found = bodies.found;
    found.calls.sort_unstable();
    found.calls.dedup();
    found.vtables.sort_unstable();
    found.vtables.dedup();
    found
}

/// Where code is.
#[derive(Clone, Copy, Debug)]
enum Extent<'a> {
    Nowhere,
    Span(u64, u64),
    List(AttributeValue<Slice<'a>>),
}

/// A function with code of its own (the first), or a call that was inlined into it.
struct Node<'a> {
    parent: usize,
    known: Option<Known>,
    call: Option<Line>,
    extent: Extent<'a>,
}

impl Node<'_> {
    fn class(&self) -> Class {
        self.known.map_or(Class::Dependency, |known| known.class)
    }

    fn dependency(&self) -> Option<DieRef> {
        self.known.filter(|known| known.class == Class::Dependency).map(|known| known.die)
    }
}

/// Where in its function a call is.
#[derive(Clone, Copy, Debug)]
enum Site {
    /// In its very own code: the line table tells.
    Itself,
    /// In what was inlined at this line.
    Inlined(Option<Line>),
}

/// To whom code belongs.
#[derive(Clone, Copy, Debug)]
struct Owner {
    function: End,
    site: Site,
    /// Within a marked function.
    mute: bool,
    /// The innermost function of a dependency around.
    by: Option<DieRef>,
}

struct Bodies<'p, 'a> {
    program: &'p Program<'a>,
    functions: &'p Functions,
    wanted: &'p Wanted<'p>,
    vtables: &'p HashSet<u64>,
    budget: &'p Budget,
    unit: &'p Unit<'a>,
    number: u32,
    /// Of the line table; sorted. Read when first needed.
    rows: Option<Vec<(u64, u64, u32)>>,
    found: OfUnit,
}

impl<'a> Bodies<'_, 'a> {
    fn run(&mut self) -> gimli::Result<()> {
        let unit = self.unit;
        let mut entries = unit.unit.entries_raw(None)?;
        let mut nodes: Vec<Node<'a>> = Vec::new();
        // Depth and number of the nodes that are open.
        let mut open: Vec<(isize, usize)> = Vec::new();
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let offset = entries.next_offset().0 as u32;
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            while open.pop_if(|(above, _)| *above >= depth).is_some() {
                if open.is_empty() {
                    self.body(&nodes);
                    nodes.clear();
                }
            }
            let wanted = match abbreviation.tag() {
                dw::DW_TAG_subprogram => open.is_empty() && has_code(abbreviation),
                dw::DW_TAG_inlined_subroutine => !open.is_empty(),
                _ => false,
            };
            let fits = nodes.len() < MAX_NODES;
            self.found.cut.inlined += u64::from(wanted && !fits);
            if !wanted || !fits {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let parent = open.last().map_or(0, |(_, number)| *number);
            let own = DieRef { unit: self.number, offset };
            let node = self.node(&mut entries, abbreviation, own, parent)?;
            open.push((depth, nodes.len()));
            nodes.push(node);
        }
        self.body(&nodes);
        Ok(())
    }

    fn node(
        &self,
        entries: &mut gimli::EntriesRaw<'_, Slice<'a>>,
        abbreviation: &gimli::Abbreviation,
        own: DieRef,
        parent: usize,
    ) -> gimli::Result<Node<'a>> {
        let (mut refers_to, mut file, mut line) = (None, None, None);
        let (mut low, mut high, mut ranges) = (None, None, None);
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute_inline(*spec)?;
            let value = attribute.value();
            match spec.name() {
                dw::DW_AT_abstract_origin | dw::DW_AT_specification => {
                    refers_to = self.program.units().reference(self.number, value);
                }
                dw::DW_AT_call_file => file = file_number(value),
                dw::DW_AT_call_line => line = value.udata_value().and_then(|line| u32::try_from(line).ok()),
                dw::DW_AT_low_pc => low = self.unit.dwarf.attr_address(&self.unit.unit, value)?,
                dw::DW_AT_high_pc => high = Some(value),
                dw::DW_AT_ranges => ranges = Some(value),
                _ => {}
            }
        }
        let end = |low: u64| match high? {
            AttributeValue::Addr(end) => Some(end),
            value => value.udata_value().map(|size| low.wrapping_add(size)),
        };
        let span = low.and_then(|low| Some(Extent::Span(low, end(low)?)));
        let extent = span.or(ranges.map(Extent::List)).unwrap_or(Extent::Nowhere);
        let known = self.functions.known(refers_to.unwrap_or(own));
        let call = file.zip(line.filter(|line| *line != 0));
        Ok(Node { parent, known, call, extent })
    }

    /// Pieces of code. 0 is what a linker leaves of a function that it dropped.
    fn pieces(&mut self, extent: Extent<'a>) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        match extent {
            Extent::Nowhere => {}
            Extent::Span(begin, end) => found.push(begin..end),
            Extent::List(value) => {
                let (dwarf, unit) = (&self.unit.dwarf, &self.unit.unit);
                let offset = dwarf.attr_ranges_offset(unit, value).ok().flatten();
                let Some(mut list) = offset.and_then(|offset| dwarf.ranges(unit, offset).ok()) else {
                    return found;
                };
                while let Ok(Some(piece)) = list.next() {
                    if found.len() >= MAX_PIECES || !Budget::take(&self.budget.pieces, 1) {
                        self.found.cut.pieces += 1;
                        break;
                    }
                    found.push(piece.begin..piece.end);
                }
            }
        }
        found.retain(|piece| piece.start != 0 && piece.start < piece.end);
        found
    }

    fn map(&mut self, nodes: &[Node<'a>]) -> Map {
        let mut pieces = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            pieces.extend(self.pieces(node.extent).into_iter().map(|piece| (piece, number)));
        }
        Map::of(pieces)
    }

    /// One function and all that is inlined into it.
    fn body(&mut self, nodes: &[Node<'a>]) {
        let Some(root) = nodes.first() else { return };
        let pieces = self.pieces(root.extent);
        let Some(start) = pieces.first().map(|piece| piece.start) else { return };
        let inlined = nodes[1..].iter().any(|node| node.class().is_told() || node.class() == Class::Marked);
        let owners = if inlined || root.class().is_told() { self.owners(nodes, start) } else { Vec::new() };
        let map = if owners.is_empty() { Map::default() } else { self.map(nodes) };
        let plain = Owner {
            function: End::Code(start),
            site: Site::Inlined(None),
            mute: root.class() == Class::Marked,
            by: root.dependency(),
        };
        let code = self.program.code();
        for piece in &pieces {
            if !Budget::take(&self.budget.code, piece.end - piece.start) {
                self.found.cut.unread += 1;
                break;
            }
            references(code, piece, &mut |reference| {
                let owner = |at| match owners.len() {
                    0 => plain,
                    _ => owners[map.innermost(at)],
                };
                match reference {
                    Reference::Call { at, to } => self.call(owner(at), at, to),
                    // Within the function's other pieces it is a mere jump.
                    Reference::Jump { to, .. } if pieces.iter().any(|piece| piece.contains(&to)) => {}
                    Reference::Jump { at, to } if self.functions.begins_at(to) => {
                        self.call(owner(at), at, to);
                    }
                    Reference::Through { at, word } => {
                        if let Some(to) = self.wanted.words.get(&Svma(word)) {
                            self.call(owner(at), at, to.0);
                        }
                    }
                    Reference::Address { at, of } if self.vtables.contains(&of) => {
                        let owner = owner(at);
                        let line = self.line(owner.site, at);
                        self.found.vtables.push((owner.function, of, line));
                    }
                    _ => {}
                }
            });
        }
    }

    /// To whom the code of each node belongs; what is told of those that are inlined.
    fn owners(&mut self, nodes: &[Node<'a>], start: u64) -> Vec<Owner> {
        let mut owners: Vec<Owner> = Vec::with_capacity(nodes.len());
        for (number, node) in nodes.iter().enumerate() {
            let class = node.class();
            let told = node.known.filter(|known| known.class.is_told());
            let fresh = |function| Owner { function, site: Site::Itself, mute: false, by: None };
            if number == 0 {
                owners.push(match told {
                    Some(known) => fresh(End::Entry(known.die)),
                    None => Owner {
                        mute: class == Class::Marked,
                        by: node.dependency(),
                        site: Site::Inlined(None),
                        ..fresh(End::Code(start))
                    },
                });
                continue;
            }
            let around = owners[node.parent];
            let site = match around.site {
                Site::Itself => Site::Inlined(node.call),
                inlined => inlined,
            };
            let line = match site {
                Site::Inlined(line) => line,
                Site::Itself => None,
            };
            let by = node.dependency().or(around.by);
            if let Some(known) = node.known.filter(|_| told.is_some() || class == Class::Marked)
                && !around.mute
            {
                let (from, to) = (around.function, End::Entry(known.die));
                self.found.calls.push(Found { from, to, line, by: around.by });
            }
            owners.push(match told {
                Some(known) => fresh(End::Entry(known.die)),
                None => Owner { site, mute: around.mute || class == Class::Marked, by, ..around },
            });
        }
        owners
    }

    fn call(&mut self, owner: Owner, at: u64, to: u64) {
        if owner.mute {
            return;
        }
        let mut told: Vec<Known> = self.functions.at(to).collect();
        told.dedup();
        let end = match told[..] {
            [] => End::Code(to),
            [one] if one.class.is_told() || one.class == Class::Marked => End::Entry(one.die),
            [_] => End::Code(to),
            _ if told.iter().any(|one| one.class.is_told() || one.class == Class::Marked) => {
                self.found.ambiguous += 1;
                return;
            }
            _ => End::Code(to),
        };
        if end == owner.function && matches!(end, End::Code(_)) {
            return;
        }
        // Lines of calls between others are of no use to anybody.
        let line = match owner.function {
            End::Entry(_) => self.line(owner.site, at),
            End::Code(_) => None,
        };
        self.found.calls.push(Found { from: owner.function, to: end, line, by: owner.by });
    }

    fn line(&mut self, site: Site, at: u64) -> Option<Line> {
        match site {
            Site::Inlined(line) => line,
            Site::Itself => {
                let rows = self.rows.get_or_insert_with(|| self.unit.line_rows());
                let (_, file, line) =
                    rows[rows.partition_point(|(start, ..)| *start <= at).checked_sub(1)?];
                (line != 0).then_some((file, line))
            }
        }
    }
}

/// Which node an address belongs to: the innermost whose code it is in.
#[derive(Debug, Default)]
struct Map {
    /// From this address on it is this node. Sorted; the last of one address counts.
    marks: Vec<(u64, usize)>,
}

impl Map {
    /// Pieces, and whose they are, in the order of the nodes: those around others first. A piece that is in part within another
    /// ends where that does, as no compiler makes such.
    fn of(mut pieces: Vec<(Range<u64>, usize)>) -> Map {
        pieces.sort_by_key(|(piece, node)| (piece.start, Reverse(piece.end), *node));
        let mut marks = Vec::with_capacity(2 * pieces.len());
        let mut open: Vec<(u64, usize)> = Vec::new();
        for (piece, node) in pieces {
            close(&mut open, piece.start, &mut marks);
            let end = open.last().map_or(piece.end, |(end, _)| piece.end.min(*end));
            marks.push((piece.start, node));
            open.push((end, node));
        }
        close(&mut open, u64::MAX, &mut marks);
        Map { marks }
    }

    /// The function itself where no piece is.
    fn innermost(&self, at: u64) -> usize {
        let after = self.marks.partition_point(|(start, _)| *start <= at);
        after.checked_sub(1).map_or(0, |i| self.marks[i].1)
    }
}

/// Marks what goes on after the pieces that end until here.
fn close(open: &mut Vec<(u64, usize)>, until: u64, marks: &mut Vec<(u64, usize)>) {
    while let Some((end, _)) = open.pop_if(|(end, _)| *end <= until) {
        marks.push((end, open.last().map_or(0, |(_, node)| *node)));
    }
}

fn has_code(abbreviation: &gimli::Abbreviation) -> bool {
    let code =
        |spec: &gimli::AttributeSpecification| matches!(spec.name(), dw::DW_AT_low_pc | dw::DW_AT_ranges);
    abbreviation.attributes().iter().any(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_piece_counts() {
        let map = Map::of(vec![(10..100, 0), (20..60, 1), (20..30, 2), (40..50, 3), (60..70, 4)]);
        let at = [9, 10, 20, 29, 30, 40, 50, 59, 60, 69, 70, 99, 100];
        assert_eq!(at.map(|at| map.innermost(at)), [0, 0, 2, 2, 1, 3, 1, 1, 4, 4, 0, 0, 0]);
        assert_eq!(Map::default().innermost(5), 0);
    }

    #[test]
    fn equal_pieces_belong_to_the_inner_one_and_none_leaves_its_own() {
        let map = Map::of(vec![(0..9, 0), (2..8, 1), (2..8, 2), (6..20, 3)]);
        assert_eq!([1, 2, 6, 7, 8, 10].map(|at| map.innermost(at)), [0, 2, 3, 3, 0, 0]);
    }
}
