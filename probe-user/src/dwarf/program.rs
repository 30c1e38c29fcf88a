//! The static model of one program: what its debug information says, read when asked.

use super::index::{CellDie, Index, Lead, Namespace, PollSite, PoolType, RunSite, name_hash, path_hash};
use super::invocation::{self, Invocations};
use super::known::Known;
use super::scopes::Scopes;
use super::sections::{DwarfError, Sections};
use super::types::{self, CoroutineKind, Decl, Type};
use super::units::{DieRef, OpenSibling, Units};
use super::{MAX_DEPTH, coroutines, demangle, lines, scan, symbols};
use crate::target::Svma;
use foldhash::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

/// A piece of executable code at its stated address.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    pub start: Svma,
    pub bytes: &'a [u8],
}

/// Path by unit and file number; None where the line table has none.
type Files = HashMap<(u32, u64), Option<Arc<str>>>;

/// Answers about types and places of one program. Shared by all threads.
#[derive(Debug)]
pub struct Program<'a> {
    pub(super) units: Units<'a>,
    index: Index,
    pub(super) code: Vec<Code<'a>>,
    known: Known,
    files: RwLock<Files>,
    invocations: OnceLock<Invocations>,
    coroutines: OnceLock<Vec<DieRef>>,
    pub(super) scopes: Scopes<'a>,
    /// What could not be read, for people.
    pub issues: Vec<String>,
}

impl<'a> Program<'a> {
    /// `index` is one that [`Program::index`] gave for the same files, else the pass over all entries is made.
    pub fn new(
        sections: &'a Sections<'a>,
        open_sibling: &'a OpenSibling<'a>,
        index: Option<Index>,
        code: Vec<Code<'a>>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DwarfError> {
        let (units, damaged) = Units::new(sections, open_sibling)?;
        let mut issues = Vec::new();
        if let Some(error) = damaged {
            issues.push(format!("the list of debug units is damaged: {error}"));
        }
        let mut index = index.unwrap_or_else(|| scan::scan(&units, progress));
        let known = Known::new(std::mem::take(&mut index.known));
        if units.missing() > 0 {
            let (bad, all) = (units.missing(), units.len());
            issues.push(format!(
                "the split debug information of {bad} of {all} units was not found (.dwp or .dwo files)"
            ));
        }
        if index.damaged_units > 0 {
            let (bad, all) = (index.damaged_units, units.len());
            issues.push(format!("{bad} of {all} debug units are damaged and were read in part"));
        }
        let invocations = OnceLock::new();
        if let Some(known) = &index.invocations {
            let _ = invocations.set(known.clone());
        }
        let coroutines = OnceLock::new();
        if let Some(known) = &index.coroutines {
            let _ = coroutines.set(known.clone());
        }
        Ok(Program {
            units,
            index,
            code,
            known,
            files: RwLock::default(),
            invocations,
            coroutines,
            scopes: Scopes::default(),
            issues,
        })
    }

    /// The index for the disk cache: everything that is dear to find again.
    pub fn index(&self, leads: Vec<Lead>) -> Index {
        let (known, invocations) = (self.known.to_keep(), self.invocations.get().cloned());
        Index { known, invocations, coroutines: self.coroutines.get().cloned(), leads, ..self.index.clone() }
    }

    /// Those that an index brought along.
    pub fn leads(&self) -> &[Lead] {
        &self.index.leads
    }

    /// True where [`Program::index`] would save more than it was made from.
    pub fn learned_more(&self) -> bool {
        let invocations = self.invocations.get().is_some() && self.index.invocations.is_none();
        let coroutines = self.coroutines.get().is_some() && self.index.coroutines.is_none();
        self.known.learned_more() || invocations || coroutines
    }

    /// Every entry that describes the state of an async fn, block or closure, in the order of the file. Each unit of a crate
    /// that needs a type has an entry of its own for it.
    pub fn coroutines(&self) -> &[DieRef] {
        self.coroutines.get_or_init(|| coroutines::find(&self.units))
    }

    /// rustc described types, as it does with `debug = 2`.
    pub fn has_types(&self) -> bool {
        self.index.types
    }

    /// Types of tokio's tasks are described, whatever their layout.
    pub fn has_cells(&self) -> bool {
        !self.index.cells.is_empty()
    }

    /// Everything that the debug information refers to was there: worth keeping on disk.
    pub fn is_whole(&self) -> bool {
        self.units.missing() == 0
    }

    pub fn poll_sites(&self) -> &[PollSite] {
        &self.index.poll_sites
    }

    /// Functions called `poll<F, S>` in line tables, which have no namespaces, and the future each polls.
    pub fn flat_polls(&self) -> impl Iterator<Item = (Svma, String)> {
        self.index.flat_polls.iter().filter_map(|site| Some((site.address(), self.future_of(site)?)))
    }

    pub fn code(&self) -> &[Code<'a>] {
        &self.code
    }

    /// Run functions of async-task's tasks.
    pub fn run_sites(&self) -> &[RunSite] {
        &self.index.run_sites
    }

    /// None where no code of the program keeps tasks so.
    pub fn pool_type(&self, what: PoolType) -> Option<DieRef> {
        self.index.pool_types.iter().find(|(known, _)| *known == what).map(|(_, die)| *die)
    }

    pub fn unit_count(&self) -> usize {
        self.units.len()
    }

    /// Whether a panic unwinds the stack. False also where nothing tells.
    pub fn unwinds(&self) -> bool {
        self.index.unwinds
    }

    pub fn producer(&self) -> Option<&str> {
        self.index.producer.as_deref()
    }

    /// Layouts of the task allocation that a poll function works on; the one from its own unit first.
    pub fn cells(&self, site: &PollSite) -> Vec<DieRef> {
        let from = self.index.cells.partition_point(|c| c.arguments < site.arguments);
        let same = |c: &&CellDie| c.arguments == site.arguments;
        let mut cells: Vec<DieRef> =
            self.index.cells[from..].iter().take_while(same).map(|c| c.die).collect();
        cells.sort_by_key(|die| (die.unit != site.die.unit, *die));
        cells
    }

    /// The concrete type behind a trait object with this vtable.
    pub fn behind_vtable(&self, vtable: Svma) -> Option<DieRef> {
        let i = self.index.vtables.binary_search_by_key(&vtable.0, |v| v.address).ok()?;
        self.ty(self.index.vtables[i].ty)?.containing
    }

    /// Vtables of `dyn Future` that stand in the file.
    pub fn future_vtables(&self) -> impl Iterator<Item = Svma> + '_ {
        self.index.vtables.iter().filter(|v| v.future).map(|v| Svma(v.address))
    }

    /// Type and offset in the TLS block of tokio's thread-local context; several where units disagree.
    pub fn contexts(&self) -> impl Iterator<Item = (DieRef, u64)> + '_ {
        self.index.contexts.iter().map(|c| (c.ty, c.tls_offset))
    }

    /// Type and address of tokio's table of signals.
    pub fn signals(&self) -> impl Iterator<Item = (DieRef, Svma)> + '_ {
        self.index.signals.iter().map(|s| (s.ty, Svma(s.address)))
    }

    pub fn ty(&self, die: DieRef) -> Option<Arc<Type>> {
        self.known.ty(die, || types::read(&self.units, die))
    }

    /// File and line of a declaration.
    pub fn place(&self, decl: Decl) -> Option<(Arc<str>, u32)> {
        let key = (decl.unit, decl.file);
        if let Some(known) = self.files.read().expect("no panic while held").get(&key) {
            return known.clone().map(|file| (file, decl.line));
        }
        let file = self.units.get(decl.unit).and_then(|unit| unit.file(decl.file));
        self.files.write().expect("no panic while held").insert(key, file.clone());
        file.map(|file| (file, decl.line))
    }

    /// Of the package that the program's `main` is in, or not where cargo keeps what others wrote.
    pub fn is_own_code(&self, file: &str) -> bool {
        let of_main =
            |package: &String| file.strip_prefix(&**package).is_some_and(|rest| rest.starts_with('/'));
        self.index.package.as_ref().is_some_and(of_main) || lines::is_own_code(file)
    }

    /// The future that a poll function polls, by the function's own printed name: all that debug=1 leaves.
    pub fn future_of(&self, site: &PollSite) -> Option<String> {
        let unit = self.units.get(site.die.unit)?;
        let entry = unit.unit.entry(gimli::UnitOffset(site.die.offset as usize)).ok()?;
        let name = String::from_utf8_lossy(unit.string(entry.attr_value(gimli::DW_AT_name)?)?);
        let arguments = name.strip_prefix("poll<")?.strip_suffix('>')?;
        symbols::first_argument(arguments).map(|future| symbols::future_name(&future))
    }

    /// File that declares a function or type.
    pub fn declared_in(&self, die: DieRef) -> Option<Arc<str>> {
        let unit = self.units.get(die.unit)?;
        let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
        match entry.attr_value(gimli::DW_AT_decl_file)? {
            gimli::AttributeValue::FileIndex(file) => unit.file(file),
            value => unit.file(value.udata_value()?),
        }
    }

    /// Version of the crate whose method a run site is, from the path of its sources: `…/async-task-4.7.1/src/raw.rs`
    /// → `4.7.1` for `async-task-`.
    pub fn version_of_method(&self, site: &RunSite, prefix: &str) -> Option<String> {
        let unit = self.units.get(site.raw_task.unit)?;
        let mut tree = unit.unit.entries_tree(Some(gimli::UnitOffset(site.raw_task.offset as usize))).ok()?;
        let mut children = tree.root().ok()?.children();
        while let Ok(Some(child)) = children.next() {
            let file = match child.entry().attr_value(gimli::DW_AT_decl_file) {
                Some(gimli::AttributeValue::FileIndex(file)) => unit.file(file),
                Some(value) => value.udata_value().and_then(|file| unit.file(file)),
                None => None,
            };
            let version =
                file.as_deref().and_then(|f| f.split('/').find_map(|part| part.strip_prefix(prefix)));
            if let Some(version) = version {
                return Some(version.to_owned());
            }
        }
        None
    }

    fn invocations(&self) -> &Invocations {
        self.invocations.get_or_init(|| invocation::find(&self.units, &self.index.poll_fns, &self.code))
    }

    /// Where the macro was called that awaits this `PollFn<closure>`; `poll_fn` is that type's DWARF name.
    /// None where nothing calls it under its own name, or several places do.
    pub fn invocation(&self, poll_fn: &str) -> Option<(Arc<str>, u32)> {
        let closure = name_hash(poll_fn.strip_prefix("PollFn<")?.strip_suffix('>')?.as_bytes());
        let all = self.invocations();
        let from = all.partition_point(|(of, ..)| *of < closure);
        match all[from..].split(|(of, ..)| *of != closure).next()? {
            [(_, file, line)] => Some((file.as_str().into(), *line)),
            _ => None,
        }
    }

    /// Lines of a part of a file where any `PollFn` is called, in order.
    pub fn invocation_lines(&self, file: &str, lines: std::ops::RangeInclusive<u32>) -> Vec<u32> {
        let here = self.invocations().iter().filter(|(_, f, line)| f == file && lines.contains(line));
        let mut found: Vec<u32> = here.map(|(.., line)| *line).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(super) fn units(&self) -> &Units<'a> {
        &self.units
    }

    /// Where the innermost namespace around an entry begins and ends in its unit.
    pub(super) fn namespace_around(&self, die: DieRef) -> Option<(u32, u32)> {
        let spans = self.index.namespaces.get(die.unit as usize)?;
        let mut at = spans.partition_point(|s| s.start < die.offset).checked_sub(1);
        for _ in 0..MAX_DEPTH {
            let span = spans.get(at?)?;
            if die.offset < span.end {
                return Some((span.start, span.end));
            }
            at = Some(span.parent as usize);
        }
        None
    }

    /// Units of the crate that this unit is a part of.
    pub(super) fn units_of_crate(&self, unit: u32) -> impl Iterator<Item = u32> + '_ {
        let wanted = self.index.crates.get(unit as usize).copied().filter(|hash| *hash != 0);
        let all = self.index.crates.iter().enumerate();
        all.filter(move |(_, hash)| wanted == Some(**hash)).map(|(number, _)| number as u32)
    }

    /// Where the namespaces of this path begin and end in a unit.
    pub(super) fn namespaces_of<'p>(
        &'p self,
        unit: u32,
        path: &'p [String],
    ) -> impl Iterator<Item = (u32, u32)> + 'p {
        let spans = self.index.namespaces.get(unit as usize).map_or(&[][..], |spans| spans);
        let inside = move |span: &Namespace| DieRef { unit, offset: span.start.saturating_add(1) };
        spans.iter().filter(move |span| self.namespaces(inside(span)) == path).map(|s| (s.start, s.end))
    }

    /// Names of the namespaces around an entry, outermost first.
    pub(super) fn namespaces(&self, die: DieRef) -> Vec<String> {
        let Some(spans) = self.index.namespaces.get(die.unit as usize) else { return Vec::new() };
        let mut at = spans.partition_point(|s| s.start < die.offset).checked_sub(1);
        let mut names = Vec::new();
        while let Some(span) = at.and_then(|i| spans.get(i))
            && names.len() < MAX_DEPTH
        {
            if die.offset < span.end {
                let namespace = DieRef { unit: die.unit, offset: span.start };
                names.push(self.known.namespace(namespace, || self.name_of(namespace)).to_string());
            }
            at = Some(span.parent as usize);
        }
        names.reverse();
        names
    }

    /// Name of an entry; empty where it has none.
    fn name_of(&self, die: DieRef) -> String {
        let name = self.units.get(die.unit).and_then(|unit| {
            let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
            unit.string(entry.attr_value(gimli::DW_AT_name)?)
        });
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }

    /// Full path of a type, as rustc names it: `tokio::sync::mutex::Mutex<u32>`.
    pub fn path(&self, ty: &Type) -> String {
        let mut path = self.namespaces(ty.die).join("::");
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&ty.name);
        path
    }

    /// Name of the function that a coroutine type is the body of: an async fn's own path, blocks and closures
    /// keep `{async_block#N}`; an impl is named by its self type where a linkage name tells it.
    pub fn function(&self, ty: &Type, kind: CoroutineKind) -> String {
        let generics = ty.name.find('}').map_or("", |end| &ty.name[end + 1..]);
        let mut arguments = demangle::split_arguments(generics);
        let mut segments: Vec<String> = Vec::new();
        let mut hash = 0;
        for (depth, name) in self.namespaces(ty.die).into_iter().enumerate() {
            hash = path_hash(hash, name.as_bytes());
            // The body of an async fn is a closure of the fn to rustc; people know one function.
            if name.starts_with("{async_fn#") {
                continue;
            }
            let own = if name.starts_with("{impl") { self.impl_self(hash, depth) } else { None };
            match own {
                Some(own) => segments = vec![demangle::substitute(&own, &mut arguments)],
                None => segments.push(name),
            }
        }
        let head = ty.name.find('}').map_or(&*ty.name, |end| &ty.name[..=end]);
        match kind {
            CoroutineKind::Fn => {}
            CoroutineKind::Block | CoroutineKind::Closure => segments.push(head.replacen("_env#", "#", 1)),
        }
        let mut path = segments.join("::");
        if !arguments.is_empty() {
            path.push_str(&format!("<{}>", arguments.join(", ")));
        }
        path
    }

    /// Self type of the impl whose namespace path has this hash and `depth` namespaces above it.
    pub(super) fn impl_self(&self, hash: u64, depth: usize) -> Option<String> {
        let i = self.index.impls.binary_search_by_key(&hash, |i| i.0).ok()?;
        let die = self.index.impls[i].1;
        let unit = self.units.get(die.unit)?;
        let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
        let linkage = unit.string(entry.attr_value(gimli::DW_AT_linkage_name)?)?;
        // Namespaces below the impl, and the function itself.
        let below = self.namespaces(die).len().checked_sub(depth + 1)? + 1;
        demangle::impl_self(&demangle::demangled(&String::from_utf8_lossy(linkage)), below)
    }
}
