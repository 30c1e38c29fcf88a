//! What tasks are called where debug information has no types: from what their vtables' functions call.

use super::sites::{Site, TaskVtable};
use crate::dwarf::{Code, Evidence, TaskNames};
use crate::runtime::VtableLayout;
use crate::target::{Avma, Bias, Memory, Svma};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// One vtable and what is known of the future behind it.
struct Clues {
    poll: Svma,
    /// Its `schedule` function, which tells the scheduler's type apart.
    schedule: u64,
    evidence: Vec<Evidence>,
}

/// A function is evidence of one type, unless tasks of one scheduler with different poll functions share it: then it was
/// folded, and its name is that of one of several types.
pub fn name_by_calls<M: Memory + ?Sized>(
    vtables: &mut HashMap<Avma, Arc<TaskVtable>>,
    names: &TaskNames,
    code: &[Code<'_>],
    layout: &VtableLayout,
    memory: &M,
    bias: Bias,
) {
    if names.is_empty() {
        return;
    }
    let clues: HashMap<Avma, Clues> = vtables
        .iter()
        .map(|(address, vtable)| {
            let word = |slot: u64| memory.read_u64(address.offset(slot)).ok();
            let dealloc = word(layout.dealloc).map(|at| Avma(at).to_svma(bias));
            let functions = [Some(vtable.site.poll), dealloc];
            let evidence = functions.into_iter().flatten().flat_map(|at| names.evidence(code, at)).collect();
            let schedule = word(layout.poll + 8).unwrap_or(0);
            (*address, Clues { poll: vtable.site.poll, schedule, evidence })
        })
        .collect();
    let folded = folded(clues.values());
    for (address, vtable) in vtables {
        if let Some(name) = name(&clues[address], &folded) {
            let site = Site { name: name.into(), ..(*vtable.site).clone() };
            *vtable = Arc::new(TaskVtable { site: Arc::new(site), ..(**vtable).clone() });
        }
    }
}

/// Functions that several poll functions of one scheduler lead to, and how many do.
fn folded<'c>(clues: impl Iterator<Item = &'c Clues>) -> HashMap<Svma, usize> {
    let mut polls: HashMap<(u64, Svma), HashSet<Svma>> = HashMap::new();
    for clue in clues {
        for evidence in &clue.evidence {
            polls.entry((clue.schedule, evidence.function)).or_default().insert(clue.poll);
        }
    }
    let mut folded = HashMap::new();
    for ((_, function), polls) in polls.into_iter().filter(|(_, polls)| polls.len() > 1) {
        let most = folded.entry(function).or_insert(0);
        *most = polls.len().max(*most);
    }
    folded
}

/// None where nothing tells it.
fn name(clues: &Clues, folded: &HashMap<Svma, usize>) -> Option<String> {
    let (mut shared, mut own): (Vec<_>, Vec<_>) =
        clues.evidence.iter().partition(|e| folded.contains_key(&e.function));
    if own.iter().any(|e| e.told.in_full) {
        own.retain(|e| e.told.in_full);
    }
    if let Some((candidates, agreed)) = common(&own) {
        return Some(one_of(&candidates, agreed));
    }
    // As many names as poll functions: all are there. Of a private function that was folded no name is left.
    let all_there = |e: &Evidence| e.told.futures.len() >= folded[&e.function];
    let complete = shared.iter().any(|e| all_there(e));
    if complete {
        shared.retain(|e| all_there(e));
    }
    common(&shared).map(|(candidates, agreed)| one_of(&candidates, agreed && complete))
}

/// Types that all evidence allows; or, where it contradicts itself, all that any names, and false.
fn common(evidence: &[&Evidence]) -> Option<(BTreeSet<String>, bool)> {
    let (first, rest) = evidence.split_first()?;
    let in_all = |future: &&String| rest.iter().all(|e| e.told.futures.contains(*future));
    let common: BTreeSet<String> = first.told.futures.iter().filter(in_all).cloned().collect();
    if common.is_empty() {
        return Some((evidence.iter().flat_map(|e| e.told.futures.iter().cloned()).collect(), false));
    }
    Some((common, true))
}

/// Most names of one task.
const NAMES: usize = 4;

/// `complete`: it is one of these and no other.
fn one_of(candidates: &BTreeSet<String>, complete: bool) -> String {
    if let (1, true, Some(only)) = (candidates.len(), complete, candidates.first()) {
        return only.clone();
    }
    let named: Vec<&str> = candidates.iter().take(NAMES).map(String::as_str).collect();
    let more = if complete && candidates.len() <= NAMES { "" } else { ", …" };
    format!("one of: {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dwarf::Told;

    fn evidence(function: u64, futures: &[&str]) -> Evidence {
        let futures = futures.iter().map(|f| (*f).to_owned()).collect();
        Evidence { function: Svma(function), told: Told { futures, in_full: false } }
    }

    fn clues(poll: u64, schedule: u64, evidence: Vec<Evidence>) -> Clues {
        Clues { poll: Svma(poll), schedule, evidence }
    }

    #[test]
    fn two_schedulers_share_a_function_because_the_future_is_the_same() {
        let drop = || evidence(9, &["app::f"]);
        let all = [clues(1, 100, vec![drop()]), clues(2, 200, vec![drop()])];
        assert_eq!(name(&all[0], &folded(all.iter())).as_deref(), Some("app::f"));
    }

    #[test]
    fn debug_information_is_believed_before_a_symbol_that_says_less() {
        let mut described = evidence(8, &["app::f"]);
        described.told.in_full = true;
        let clues = clues(1, 100, vec![evidence(9, &["app::f::{{closure}}"]), described]);
        assert_eq!(name(&clues, &HashMap::new()).as_deref(), Some("app::f"));
    }

    #[test]
    fn a_folded_function_is_one_of_several_even_where_one_name_is_left() {
        let all = [
            clues(1, 100, vec![evidence(9, &["app::f"])]),
            clues(2, 100, vec![evidence(9, &["app::f"]), evidence(8, &["app::g"])]),
            clues(3, 100, vec![evidence(7, &["app::h", "app::i"])]),
            clues(4, 100, vec![]),
            // Two polls, two names: no third is missing.
            clues(5, 100, vec![evidence(6, &["app::j", "app::k"])]),
            clues(6, 100, vec![evidence(6, &["app::j", "app::k"]), evidence(9, &["app::f"])]),
            // What contradicts itself is not the whole of it.
            clues(7, 100, vec![evidence(5, &["app::l"]), evidence(4, &["app::m"])]),
        ];
        let folded = folded(all.iter());
        let names: Vec<_> = all.iter().map(|clue| name(clue, &folded)).collect();
        let expected = [
            Some("one of: app::f, …"),
            Some("app::g"),
            Some("one of: app::h, app::i"),
            None,
            Some("one of: app::j, app::k"),
            Some("one of: app::j, app::k"),
            Some("one of: app::l, app::m, …"),
        ];
        assert_eq!(names.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }
}
