//! What each task vtable stands for: the future type, its layout and its recipe.

use super::Recipes;
use super::discover::HEADER_VTABLE;
use super::recipe::RecipeId;
use crate::dwarf::{CoroutineKind, DieRef, PollSite, PollSymbol, Program, TaskNames};
use crate::runtime::{CellLayout, Flavor, SchedulerLayout, VtableLayout};
use crate::target::{Avma, Bias, Memory, Svma};
use std::collections::HashMap;
use std::sync::Arc;

/// One kind of task: a future type on a scheduler type.
#[derive(Clone, Debug)]
pub struct Site {
    pub poll: Svma,
    /// The root future's name, or the poll function's address where nothing tells it.
    pub name: Arc<str>,
    pub flavor: Option<Flavor>,
    pub typed: Option<Typed>,
    /// Why `typed` is missing, for people.
    pub issue: Option<String>,
}

/// What debug information with types adds.
#[derive(Clone, Debug)]
pub struct Typed {
    pub cell: CellLayout,
    /// Of the Stage, which holds the future while it runs.
    pub root: RecipeId,
}

/// A vtable in the target: its address, and what it says about the tasks that have it.
#[derive(Clone, Debug)]
pub struct TaskVtable {
    pub address: Avma,
    pub site: Arc<Site>,
    /// Offset of the task's id in the Cell, where known.
    pub id: Option<u64>,
    pub trailer: Option<u64>,
}

/// All kinds of task that debug information knows, by the address of their poll function.
#[derive(Debug)]
pub struct Sites {
    /// Several where the linker folded equal functions into one.
    by_poll: HashMap<Svma, Vec<Arc<Site>>>,
    pub vtable: VtableLayout,
    /// `tokio-1.54.1`, from the path of tokio's sources.
    pub tokio_version: Option<String>,
    /// What names tasks where debug information has no types.
    pub names: TaskNames,
}

impl Sites {
    pub fn new(recipes: &Recipes<'_, '_>) -> Self {
        let program = recipes.program;
        let mut by_poll: HashMap<Svma, Vec<Arc<Site>>> = HashMap::new();
        let mut vtable = None;
        for site in program.poll_sites() {
            let cells = program.cells(site);
            vtable = vtable.or_else(|| cells.first().and_then(|cell| VtableLayout::of(program, *cell)));
            let made = Arc::new(make(recipes, site, &cells));
            by_poll.entry(site.address()).or_default().push(made);
        }
        let source = program.poll_sites().first().and_then(|s| program.declared_in(s.die()));
        Sites {
            by_poll,
            vtable: vtable.unwrap_or_default(),
            tokio_version: source.and_then(|f| version_in(&f)),
            names: TaskNames::default(),
        }
    }

    /// Kinds of task that only the symbol table knows.
    pub fn add_symbols(&mut self, symbols: Vec<PollSymbol>) {
        for symbol in symbols {
            let name = symbol.future.unwrap_or_else(|| format!("?{}", symbol.address)).into();
            let site = Site {
                poll: symbol.address,
                name,
                flavor: None,
                typed: None,
                issue: Some("there is no debug information with types".into()),
            };
            self.by_poll.entry(symbol.address).or_insert_with(|| vec![Arc::new(site)]);
        }
    }

    /// Offset of the vtable's pointer in a task's header.
    pub fn header_vtable(&self) -> u64 {
        let typed = self.iter().find_map(|site| site.typed.as_ref());
        typed.map_or(HEADER_VTABLE, |typed| typed.cell.vtable)
    }

    /// Types of the futures that are spawned as tasks.
    pub fn futures(&self) -> impl Iterator<Item = DieRef> + '_ {
        self.iter().filter_map(|site| site.typed.as_ref()).map(|typed| typed.cell.future_ty)
    }

    pub fn typed(&self) -> usize {
        self.iter().filter(|site| site.typed.is_some()).count()
    }

    pub fn len(&self) -> usize {
        self.by_poll.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_poll.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.by_poll.values().flatten()
    }

    /// Reads the vtable at `address`; None where its poll slot leads to no known task kind.
    pub fn vtable_at<M: Memory + ?Sized>(&self, memory: &M, bias: Bias, address: Avma) -> Option<TaskVtable> {
        let word = |slot: u64| memory.read_u64(address.offset(slot)).ok();
        let poll = Avma(word(self.vtable.poll)?).to_svma(bias);
        let candidates = self.by_poll.get(&poll)?;
        let told = |slot: Option<u64>| slot.and_then(word);
        let (id, trailer) = (told(self.vtable.id_offset), told(self.vtable.trailer_offset));
        let fits = |site: &&Arc<Site>| {
            site.typed.as_ref().is_some_and(|t| {
                id.is_none_or(|id| id == t.cell.id) && trailer.is_none_or(|at| at == t.cell.trailer)
            })
        };
        let site = match candidates.as_slice() {
            [only] => only.clone(),
            several => {
                let mut fitting = several.iter().filter(fits);
                match (fitting.next(), fitting.next()) {
                    (Some(one), None) => one.clone(),
                    _ => Arc::new(ambiguous(several)),
                }
            }
        };
        let id = id.or(site.typed.as_ref().map(|t| t.cell.id));
        let trailer = trailer.or(site.typed.as_ref().map(|t| t.cell.trailer));
        Some(TaskVtable { address, site, id, trailer })
    }
}

/// A vtable that nothing names, taken for one by its shape.
pub fn anonymous(
    address: Avma,
    poll: Svma,
    layout: &VtableLayout,
    words: &dyn Fn(u64) -> Option<u64>,
) -> TaskVtable {
    let told = |slot: Option<u64>| slot.and_then(words);
    let site = Site {
        poll,
        name: format!("?{poll}").into(),
        flavor: None,
        typed: None,
        issue: Some("the binary is stripped: tasks are told by the shape of their vtables".into()),
    };
    let (id, trailer) = (told(layout.id_offset), told(layout.trailer_offset));
    TaskVtable { address, site: Arc::new(site), id, trailer }
}

/// The linker folded poll functions of several future types, and nothing tells them apart.
fn ambiguous(several: &[Arc<Site>]) -> Site {
    let names: Vec<&str> = several.iter().map(|s| &*s.name).collect();
    Site {
        poll: several[0].poll,
        name: format!("one of: {}", names.join(", ")).into(),
        flavor: several[0].flavor.filter(|f| several.iter().all(|s| s.flavor == Some(*f))),
        typed: None,
        issue: Some("several future types share one poll function".into()),
    }
}

fn make(recipes: &Recipes<'_, '_>, site: &PollSite, cells: &[DieRef]) -> Site {
    let program = recipes.program;
    let poll = site.address();
    let unnamed = || program.future_of(site).map_or_else(|| Arc::from(format!("?{poll}")), Arc::from);
    let layout = match cells.first() {
        None => Err("its debug information has no layout of the task".to_owned()),
        Some(cell) => CellLayout::of(program, *cell).map_err(|e| e.to_string()),
    };
    match layout {
        Err(issue) => Site { poll, name: unnamed(), flavor: None, typed: None, issue: Some(issue) },
        Ok(cell) => {
            let scheduler = program.ty(cell.scheduler_ty).map(|ty| program.path(&ty));
            let flavor = scheduler.and_then(|path| Flavor::of(&path));
            let name = future_name(program, cell.future_ty).unwrap_or_else(unnamed);
            recipes.is_spawned(cell.future_ty);
            let root = recipes.future(cell.stage_ty);
            Site { poll, name, flavor, typed: Some(Typed { cell, root }), issue: None }
        }
    }
}

/// Name of a future as its task's name: through pins and boxes, the function of a coroutine, else the type's path.
pub(super) fn future_name(program: &Program<'_>, die: DieRef) -> Option<Arc<str>> {
    let ty = program.ty(die)?;
    if ty.name.starts_with("BlockingTask<")
        && let Some(closure) = ty.argument("T").and_then(|closure| program.ty(closure))
    {
        // The future around the closure given to `spawn_blocking`, which never awaits.
        return Some(program.function(&closure, CoroutineKind::Closure).into());
    }
    let name = match ty.coroutine() {
        Some(kind) => program.function(&ty, kind),
        None => program.path(&ty),
    };
    Some(name.into())
}

/// `…/tokio-1.54.1/src/runtime/task/raw.rs` → `1.54.1`.
fn version_in(file: &str) -> Option<String> {
    let part = file.split('/').find(|part| part.starts_with("tokio-1"))?;
    part.strip_prefix("tokio-").map(str::to_owned)
}

/// Layout of the scheduler that owns a kind of task; made once per scheduler type.
#[derive(Debug, Default)]
pub struct Schedulers {
    known: HashMap<DieRef, Option<SchedulerLayout>>,
}

impl Schedulers {
    pub fn get(&mut self, program: &Program<'_>, scheduler: DieRef) -> Option<SchedulerLayout> {
        let make = || SchedulerLayout::of(program, scheduler).ok();
        self.known.entry(scheduler).or_insert_with(make).clone()
    }
}
