//! Which functions of the code are which bodies.

use super::Body;
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::{Calls, Class, CoroutineKind, DieRef, without_parameters};
use crate::outline::Coroutines;
use crate::runtime::last_name;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Bodies {
    pub list: Vec<Body>,
    /// By the function's number in [`Calls::functions`].
    pub of: Vec<Option<usize>>,
    /// Closures that may be a part of the function around them: the name of that, without its parameters.
    pub around: HashMap<usize, String>,
    /// By index in [`Coroutines::list`]: what the body returns.
    pub returned: Vec<Option<Box<str>>>,
    /// Path of the type of each closure.
    pub closures: Vec<(String, usize)>,
    /// The same name, of every body.
    pub names: Vec<String>,
}

impl Bodies {
    pub fn of(recipes: &Recipes<'_, '_>, coroutines: &Coroutines, calls: &Calls) -> Bodies {
        let program = recipes.program;
        let mut states: HashMap<String, Option<usize>> = HashMap::new();
        for (i, one) in coroutines.list.iter().enumerate() {
            for ty in one.types.iter().filter_map(|die| program.ty(*die)) {
                // One path for two of them: no telling whose body it is.
                let known = states.entry(program.path(&ty)).or_insert(Some(i));
                *known = known.filter(|known| *known == i);
            }
        }
        let fns = coroutines.list.iter().filter(|one| one.kind == CoroutineKind::Fn);
        let shells: HashSet<(&SourceLine, String)> =
            fns.filter_map(|one| Some((one.place.as_ref()?, last_name(&one.name)))).collect();
        let mut bodies = Bodies { returned: vec![None; coroutines.list.len()], ..Bodies::default() };
        for die in &calls.bodies {
            let Some(coroutine) = states.get(&program.state_path(*die)).copied().flatten() else { continue };
            let returned = &mut bodies.returned[coroutine];
            if returned.is_none() {
                let ty = program.returned(*die).and_then(|ty| program.ty(ty));
                *returned = Some(ty.map(|ty| ty.name.clone()).unwrap_or_default());
            }
        }
        let mut known: HashMap<Body, usize> = HashMap::new();
        for function in &calls.functions {
            let body = function.die.and_then(|die| match function.class {
                Class::Coroutine => {
                    let coroutine = states.get(&program.state_path(die)).copied()??;
                    Some((Body::Coroutine(coroutine), coroutines.list[coroutine].name.clone()))
                }
                Class::Own => {
                    let (name, place) = declared(recipes, die);
                    // What is left of an `async fn` but its body: it makes the future.
                    let shell = place.as_ref().is_some_and(|at| shells.contains(&(at, last_name(&name))));
                    (!shell).then(|| (Body::Sync { name: name.clone(), place }, name))
                }
                _ => None,
            });
            bodies.of.push(body.map(|(body, name)| {
                *known.entry(body.clone()).or_insert_with(|| {
                    bodies.list.push(body);
                    let plain = without_parameters(&name);
                    let number = bodies.list.len() - 1;
                    if let Some((around, _)) = plain.rsplit_once("::{closure#") {
                        bodies.around.insert(number, around.to_owned());
                        bodies.closures.extend(function.die.map(|die| (program.state_path(die), number)));
                    }
                    bodies.names.push(plain);
                    number
                })
            }));
        }
        bodies
    }
}

fn declared(recipes: &Recipes<'_, '_>, die: DieRef) -> (Arc<str>, Option<SourceLine>) {
    let name = recipes.program.function_name(die).into();
    let place = recipes.program.function_place(die).map(|(file, line)| SourceLine { file, line });
    (name, place)
}
