//! Types, read one at a time when something asks for them.

use super::sections::Slice;
use super::units::{DieRef, Unit, Units};
use gimli::{AttributeValue, constants as dw};
use serde::{Deserialize, Serialize};

/// A place in source: file number in the unit's line table, and line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decl {
    pub unit: u32,
    pub file: u64,
    pub line: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    pub name: Box<str>,
    pub ty: DieRef,
    /// Bytes from the start of the type that has it.
    pub offset: u64,
    pub decl: Option<Decl>,
}

/// How the active variant is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discriminant {
    pub offset: u64,
    /// 1, 2, 4 or 8 bytes (16 is not read: no layout here needs it).
    pub width: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variant {
    /// Discriminant values, as unsigned numbers of the discriminant's width; empty: the default variant.
    pub values: Box<[(u64, u64)]>,
    /// The member that holds the payload; its decl is the await's place in a coroutine.
    pub payload: Member,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variants {
    /// None for an enum of one variant.
    pub discriminant: Option<Discriminant>,
    pub list: Box<[Variant]>,
}

impl Variants {
    /// The variant that a discriminant selects.
    pub fn select(&self, value: u64) -> Option<usize> {
        let exact = |v: &Variant| v.values.iter().any(|(low, high)| (*low..=*high).contains(&value));
        let default = |v: &Variant| v.values.is_empty();
        self.list.iter().position(exact).or_else(|| self.list.iter().position(default))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoroutineKind {
    Fn,
    Block,
    Closure,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum TypeKind {
    Base,
    /// A thin pointer; `Box<T>` of a sized T is one too, told by its name. None: to a type nothing describes.
    Pointer(Option<DieRef>),
    /// Structs, tuples, closures, fat pointers.
    Struct,
    /// Enums with payload, coroutines.
    Enum(Variants),
    Array {
        element: DieRef,
        count: u64,
    },
    /// Unions, C-like enums, function types: nothing is reached through them.
    Other,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Type {
    pub die: DieRef,
    /// As DWARF has it: without its namespaces, with its generic arguments.
    pub name: Box<str>,
    /// Bytes.
    pub size: u64,
    pub align: u64,
    pub kind: TypeKind,
    /// Members, sorted as DWARF lists them.
    pub members: Box<[Member]>,
    /// Generic type arguments by name (`T`, `S`).
    pub arguments: Box<[(Box<str>, DieRef)]>,
    /// Of a vtable's type: the concrete type behind the trait object.
    pub containing: Option<DieRef>,
}

impl Type {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| &*m.name == name)
    }

    pub fn argument(&self, name: &str) -> Option<DieRef> {
        self.arguments.iter().find(|(n, _)| &**n == name).map(|(_, ty)| *ty)
    }

    pub fn variants(&self) -> Option<&Variants> {
        match &self.kind {
            TypeKind::Enum(variants) => Some(variants),
            _ => None,
        }
    }

    /// rustc names coroutines `{async_fn_env#N}` and so on; see `rustc_codegen_ssa::debuginfo::type_names`
    /// (<https://github.com/rust-lang/rust/blob/1.95.0/compiler/rustc_codegen_ssa/src/debuginfo/type_names.rs>).
    pub fn coroutine(&self) -> Option<CoroutineKind> {
        let kinds = [
            ("{async_fn_env#", CoroutineKind::Fn),
            ("{async_block_env#", CoroutineKind::Block),
            ("{async_closure_env#", CoroutineKind::Closure),
        ];
        let (_, kind) = kinds.iter().find(|(prefix, _)| self.name.starts_with(prefix))?;
        self.variants().map(|_| *kind)
    }
}

/// Reads a type's entry. None where there is none, or it is damaged.
pub(super) fn read(units: &Units<'_>, die: DieRef) -> Option<Type> {
    let unit = units.get(die.unit)?;
    Reader { units, unit: &unit, number: die.unit }.read(die)
}

struct Reader<'r, 'a> {
    units: &'r Units<'a>,
    unit: &'r Unit<'a>,
    number: u32,
}

type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type Children<'x, 'y, 'a> = gimli::EntriesTreeIter<'x, 'y, Slice<'a>>;

impl<'a> Reader<'_, 'a> {
    fn read(&self, die: DieRef) -> Option<Type> {
        let mut tree = self.unit.unit.entries_tree(Some(gimli::UnitOffset(die.offset as usize))).ok()?;
        let root = tree.root().ok()?;
        let entry = root.entry();
        let tag = entry.tag();
        let mut ty = Type {
            die,
            name: self.name(entry).unwrap_or_default(),
            size: number(entry, dw::DW_AT_byte_size).unwrap_or(0),
            align: number(entry, dw::DW_AT_alignment).unwrap_or(1),
            kind: TypeKind::Other,
            members: Box::default(),
            arguments: Box::default(),
            containing: self.reference(entry, dw::DW_AT_containing_type),
        };
        match tag {
            dw::DW_TAG_base_type => ty.kind = TypeKind::Base,
            dw::DW_TAG_pointer_type => {
                ty.size = 8;
                ty.kind = TypeKind::Pointer(self.reference(entry, dw::DW_AT_type));
            }
            dw::DW_TAG_structure_type => {
                ty.kind = TypeKind::Struct;
                self.children(root.children(), &mut ty)?;
            }
            dw::DW_TAG_array_type => {
                let element = self.reference(entry, dw::DW_AT_type)?;
                ty.kind = TypeKind::Array { element, count: self.array_count(root.children()) };
            }
            dw::DW_TAG_union_type => self.children(root.children(), &mut ty)?,
            dw::DW_TAG_enumeration_type | dw::DW_TAG_subroutine_type => {}
            // Anything else is not a type: a hostile file's reference to the wrong place.
            _ => return None,
        }
        Some(ty)
    }

    fn children(&self, mut children: Children<'_, '_, 'a>, ty: &mut Type) -> Option<()> {
        let mut members = Vec::new();
        let mut arguments = Vec::new();
        while let Ok(Some(child)) = children.next() {
            let entry = child.entry();
            match entry.tag() {
                dw::DW_TAG_member => members.extend(self.member(entry)),
                dw::DW_TAG_template_type_parameter => {
                    let argument = self.reference(entry, dw::DW_AT_type);
                    arguments.extend(self.name(entry).zip(argument));
                }
                dw::DW_TAG_variant_part => {
                    let discriminant = self.reference(entry, dw::DW_AT_discr);
                    ty.kind = TypeKind::Enum(self.variants(discriminant, child.children()));
                }
                _ => {}
            }
        }
        ty.members = members.into();
        ty.arguments = arguments.into();
        Some(())
    }

    fn variants(&self, discriminant: Option<DieRef>, mut children: Children<'_, '_, 'a>) -> Variants {
        let mut told = None;
        let mut list = Vec::new();
        while let Ok(Some(child)) = children.next() {
            let entry = child.entry();
            match entry.tag() {
                dw::DW_TAG_member if discriminant.is_some_and(|d| d.offset == entry.offset().0 as u32) => {
                    told = self.discriminant(entry);
                }
                dw::DW_TAG_variant => {
                    let values = discriminant_values(entry);
                    let mut inner = child.children();
                    if let Ok(Some(payload)) = inner.next()
                        && let Some(payload) = self.member(payload.entry())
                    {
                        list.push(Variant { values, payload });
                    }
                }
                _ => {}
            }
        }
        if let Some(discriminant) = told {
            let mask = u64::MAX >> (64 - 8 * u32::from(discriminant.width));
            for variant in &mut list {
                for (low, high) in &mut variant.values {
                    (*low, *high) = (*low & mask, *high & mask);
                }
            }
        }
        Variants { discriminant: told, list: list.into() }
    }

    fn discriminant(&self, entry: &Entry<'a>) -> Option<Discriminant> {
        let ty = self.units.get(self.reference(entry, dw::DW_AT_type)?.unit)?;
        let base = self.reference(entry, dw::DW_AT_type)?;
        let base = ty.unit.entry(gimli::UnitOffset(base.offset as usize)).ok()?;
        // A niche in a pointer has a pointer's type, which has no size of its own.
        let width = number(&base, dw::DW_AT_byte_size).unwrap_or(8);
        let width = u8::try_from(width).ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
        Some(Discriminant { offset: number(entry, dw::DW_AT_data_member_location)?, width })
    }

    fn member(&self, entry: &Entry<'a>) -> Option<Member> {
        let line = number(entry, dw::DW_AT_decl_line).and_then(|l| u32::try_from(l).ok());
        let file = match entry.attr_value(dw::DW_AT_decl_file) {
            Some(AttributeValue::FileIndex(file)) => Some(file),
            Some(value) => value.udata_value(),
            None => None,
        };
        Some(Member {
            name: self.name(entry).unwrap_or_default(),
            ty: self.reference(entry, dw::DW_AT_type)?,
            offset: number(entry, dw::DW_AT_data_member_location).unwrap_or(0),
            decl: file.zip(line).map(|(file, line)| Decl { unit: self.number, file, line }),
        })
    }

    fn array_count(&self, mut children: Children<'_, '_, 'a>) -> u64 {
        while let Ok(Some(child)) = children.next() {
            let entry = child.entry();
            if entry.tag() == dw::DW_TAG_subrange_type {
                return number(entry, dw::DW_AT_count)
                    .or_else(|| number(entry, dw::DW_AT_upper_bound).map(|n| n.saturating_add(1)))
                    .unwrap_or(0);
            }
        }
        0
    }

    fn name(&self, entry: &Entry<'a>) -> Option<Box<str>> {
        let bytes = self.unit.string(entry.attr_value(dw::DW_AT_name)?)?;
        Some(String::from_utf8_lossy(bytes).into())
    }

    fn reference(&self, entry: &Entry<'a>, attribute: gimli::DwAt) -> Option<DieRef> {
        self.units.reference(self.number, entry.attr_value(attribute)?)
    }
}

fn number(entry: &Entry<'_>, attribute: gimli::DwAt) -> Option<u64> {
    entry.attr_value(attribute)?.udata_value()
}

fn discriminant_values(entry: &Entry<'_>) -> Box<[(u64, u64)]> {
    let Some(value) = entry.attr_value(dw::DW_AT_discr_value) else {
        return Box::default();
    };
    // LLVM writes the value signed or unsigned; the caller masks it to the discriminant's width.
    let value = value.udata_value().or_else(|| value.sdata_value().map(|v| v as u64));
    value.map(|v| Box::from([(v, v)])).unwrap_or_default()
}
