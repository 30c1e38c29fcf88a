//! Where in the source an address of code is: a function with file and line for each inlined call.

use super::demangle::{demangled, impl_self, split_path};
use super::index::path_hash;
use super::program::Program;
use super::scopes::{Named, Scope};
use super::units::DieRef;
use crate::target::Svma;
use object::{Object, ObjectSymbol, SymbolKind};
use std::sync::Arc;

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePlace {
    /// Full path; an async fn's body has the path of the fn.
    pub function: String,
    /// Where in it: the call of the next, inner one, or of the innermost the address itself.
    pub line: Option<(Arc<str>, u32)>,
    /// It has no frame of its own.
    pub inlined: bool,
}

impl Program<'_> {
    /// The functions at an address, innermost first. Empty where debug information knows none.
    pub fn code_places(&self, address: Svma) -> Vec<CodePlace> {
        let Some(chain) = self.functions_at(address) else { return Vec::new() };
        let Some(unit) = self.units().get(chain.unit) else { return Vec::new() };
        let mut line = unit.line_at(chain.address.0);
        let innermost_first = chain.scopes.iter().enumerate().rev();
        let places = innermost_first.map(|(depth, scope)| {
            let call = scope.call.and_then(|(file, line)| Some((unit.file(file)?, line)));
            let outer = call.filter(|(_, line)| *line != 0);
            let line = std::mem::replace(&mut line, outer);
            CodePlace { function: self.scope_path(scope), line, inlined: depth > 0 }
        });
        places.collect()
    }

    fn scope_path(&self, scope: &Scope<'_>) -> String {
        self.path_of(&scope.name, scope.linkage.as_deref(), scope.die)
    }

    /// Full path of a function by its entry, or by that of a call of it; an async fn's body has the path of the fn.
    pub fn function_name(&self, die: DieRef) -> String {
        let Named { name, linkage, die } = self.named(die);
        self.path_of(&name.unwrap_or_default(), linkage.as_deref(), die)
    }

    /// The path of the type whose state a coroutine's body works on: `app::f::{async_fn_env#0}<u8>` of the function
    /// `{async_fn#0}<u8>` in `app::f`. Of a closure's code the path of the closure's type, in the same way.
    pub fn state_path(&self, body: DieRef) -> String {
        let Named { name, die, .. } = self.named(body);
        let mut path = self.namespaces(die).join("::");
        path.push_str("::");
        path.push_str(&name.unwrap_or_default().replacen('#', "_env#", 1));
        path
    }

    /// Where a function is declared.
    pub fn function_place(&self, die: DieRef) -> Option<(Arc<str>, u32)> {
        let die = self.named(die).die;
        let unit = self.units().get(die.unit)?;
        let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
        let line = entry.attr_value(gimli::DW_AT_decl_line)?.udata_value()?;
        Some((self.declared_in(die)?, u32::try_from(line).ok()?))
    }

    fn path_of(&self, name: &str, linkage: Option<&str>, die: DieRef) -> String {
        let linkage = linkage.filter(|_| !name.starts_with('{'));
        if let Some(path) = linkage.and_then(|linkage| linked_path(&demangled(linkage), name)) {
            return path;
        }
        let mut segments: Vec<String> = Vec::new();
        let mut hash = 0;
        for (depth, segment) in self.namespaces(die).into_iter().enumerate() {
            hash = path_hash(hash, segment.as_bytes());
            // The body of an async fn is a closure of the fn to rustc; people know one function.
            if segment.starts_with("{async_fn#") {
                continue;
            }
            match segment.starts_with("{impl").then(|| self.impl_self(hash, depth)).flatten() {
                Some(own) => segments = vec![own],
                None => segments.push(segment),
            }
        }
        let body = name.strip_prefix("{async_fn#").and_then(|rest| rest.split_once('}'));
        match body {
            Some((_, parameters)) if !segments.is_empty() => segments.join("::") + parameters,
            _ => {
                segments.push(name.to_owned());
                segments.join("::")
            }
        }
    }
}

/// `<shop::Api>::fetch` and `fetch<u8>` → `shop::Api::fetch<u8>`. None where the two are not of one function.
fn linked_path(demangled: &str, name: &str) -> Option<String> {
    let mut segments = split_path(demangled);
    if segments.len() > 1 && segments.last()?.starts_with('<') {
        segments.pop();
    }
    let plain = name.split('<').next()?;
    if *segments.last()? != plain {
        return None;
    }
    Some(format!("{}::{name}", impl_self(&segments.join("::"), 1)?))
}

/// The function that stands at an address by the symbol table, or by what a library exports. None where no symbol covers it.
pub fn function_symbol(object: &[u8], address: Svma) -> Option<String> {
    let file = object::File::parse(object).ok()?;
    let covers = |symbol: &object::Symbol<'_, '_>| {
        symbol.kind() == SymbolKind::Text
            && symbol.address() <= address.0
            && address.0 - symbol.address() < symbol.size()
    };
    // Of several names for one place the shortest: `nanosleep`, not `__nanosleep`.
    let names = file.symbols().chain(file.dynamic_symbols()).filter(covers);
    let names = names.filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())));
    let (_, name) = names.max_by_key(|(start, name)| (*start, std::cmp::Reverse(name.len())))?;
    Some(demangled(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_its_type() {
        let path = |demangled, name| linked_path(demangled, name).unwrap_or_default();
        assert_eq!(path("<shop::Api>::fetch", "fetch"), "shop::Api::fetch");
        assert_eq!(path("shop::Api::fetch", "fetch<u8>"), "shop::Api::fetch<u8>");
        assert_eq!(path("<shop::Api<u8>>::fetch::<u16>", "fetch<u8, u16>"), "shop::Api<u8>::fetch<u8, u16>");
        assert_eq!(path("<shop::Api as shop::Svc>::call", "call"), "<shop::Api as shop::Svc>::call");
        assert_eq!(path("shop::main", "main"), "shop::main");
        assert_eq!(linked_path("shop::other", "main"), None);
        assert_eq!(linked_path("main", "main"), None);
    }
}
