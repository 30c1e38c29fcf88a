//! A made-up call graph, for the tests of all that draws one.

use super::*;
use crate::decode::SourceLine;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Declared by name; numbered when it is done.
#[derive(Default)]
pub struct Sketch {
    functions: BTreeMap<Arc<str>, Function>,
    edges: Vec<(Arc<str>, Arc<str>, Edge)>,
}

pub fn line(place: &str) -> Option<SourceLine> {
    let (file, line) = place.rsplit_once(':')?;
    Some(SourceLine { file: file.into(), line: line.parse().ok()? })
}

impl Sketch {
    pub fn function(&mut self, name: &str, kind: FunctionKind, color: Color, place: &str) -> &mut Function {
        let origin = match name.split("::").next() {
            Some("shop") => Origin::Own,
            Some("core" | "alloc" | "std") => Origin::Std,
            _ => Origin::Dependency,
        };
        let function = Function {
            name: name.into(),
            kind,
            place: line(place),
            origin,
            color,
            why_yellow: vec![],
            size: (kind != FunctionKind::Sync).then_some(100 + 8 * name.len() as u64),
            suspend_points: vec![],
            is_root: false,
        };
        self.functions.entry(name.into()).or_insert(function)
    }

    pub fn edge(&mut self, from: &str, kind: EdgeKind, to: &str, place: &str) -> &mut Edge {
        if kind == EdgeKind::Awaits
            && let Some(function) = self.functions.get_mut(from)
        {
            let number = function.suspend_points.len() as u32;
            function.suspend_points.push(SuspendPoint { number, place: line(place), expanded_from: None });
        }
        let nobody = FunctionId(0);
        let edge = Edge {
            from: nobody,
            to: nobody,
            kind,
            place: line(place),
            through: vec![],
            certainty: Certainty::Proven,
        };
        self.edges.push((from.into(), to.into(), edge));
        &mut self.edges.last_mut().unwrap().2
    }

    pub fn graph(&self) -> CallGraph {
        let number = |name: &Arc<str>| {
            let at = self.functions.keys().position(|known| known == name);
            FunctionId(at.unwrap_or_else(|| panic!("{name} is not declared")) as u32)
        };
        let edges = self.edges.iter();
        let mut edges: Vec<Edge> = edges
            .map(|(from, to, edge)| Edge { from: number(from), to: number(to), ..edge.clone() })
            .collect();
        edges.sort();
        edges.dedup();
        CallGraph { functions: self.functions.values().cloned().collect(), edges, ..CallGraph::default() }
    }
}

/// A web shop with one of everything: a block_on, spawns, folded chains of hyper, recursion, sharing, a trait object,
/// a macro, locks, a timer, a blocking call, a future that is large, and async functions that await nothing.
pub fn shop() -> CallGraph {
    use Color::*;
    use EdgeKind::*;
    use FunctionKind::*;
    let mut sketch = Sketch::default();
    let src = |place: &str| format!("/srv/shop/src/{place}");
    for (name, kind, color, place) in [
        ("shop::main", Sync, Green, "main.rs:20"),
        ("shop::main::{async_block#0}", AsyncBlock, Red, "main.rs:20"),
        ("shop::api::fetch_user", AsyncFn, Red, "api.rs:28"),
        ("shop::api::user_page", AsyncFn, Red, "api.rs:22"),
        ("shop::api::query", AsyncFn, Red, "api.rs:41"),
        ("shop::api::render", Sync, Green, "api.rs:70"),
        ("shop::db::Pool::query", AsyncFn, Yellow, "db.rs:30"),
        ("shop::db::Row::parse", AsyncFn, Green, "db.rs:61"),
        ("shop::mail::deliver", AsyncFn, Red, "mail.rs:32"),
        ("shop::mail::deliver::{closure#0}", Sync, Green, "mail.rs:36"),
        ("shop::stock::count", AsyncFn, Yellow, "stock.rs:9"),
        ("shop::tree::walk", AsyncFn, Red, "tree.rs:3"),
        ("shop::plugins::tax", AsyncFn, Red, "plugins.rs:7"),
        ("shop::plugins::unused", AsyncFn, Green, "plugins.rs:19"),
    ] {
        sketch.function(name, kind, color, &src(place));
    }
    for (name, kind) in [
        ("axum::serve::serve", AsyncFn),
        ("hyper::server::conn::Connection<axum::Router>", Future),
        ("hyper::proto::h1::Dispatcher<axum::Router>", Future),
        ("axum::routing::Route::call", Sync),
        ("tokio::sync::semaphore::Semaphore::acquire", AsyncFn),
        ("tokio::sync::batch_semaphore::Acquire", Future),
        ("tokio::sync::mutex::Mutex<T>::lock", AsyncFn),
        ("tokio::time::sleep::Sleep", Future),
        ("tokio::sync::mpsc::bounded::Receiver<T>::recv", AsyncFn),
        (
            "core::future::poll_fn::PollFn<tokio::sync::mpsc::bounded::{impl#1}::recv::{closure_env#0}>",
            Future,
        ),
        ("core::iter::traits::iterator::Iterator::for_each", Sync),
    ] {
        sketch.function(name, kind, Red, "/h/.cargo/registry/src/x-1/lib-1.0.0/src/lib.rs:1");
    }
    sketch.functions.values_mut().for_each(|function| {
        let roots = ["shop::main", "shop::main::{async_block#0}", "shop::mail::deliver"];
        function.is_root = roots.contains(&&*function.name);
        match &*function.name {
            "shop::db::Pool::query" => function.why_yellow = vec!["its future is 18,432 bytes".into()],
            "shop::stock::count" => {
                function.why_yellow = vec!["blocks its thread: std::thread::sleep at src/stock.rs:11".into()];
            }
            _ => {}
        }
    });
    let mut edge = |from: &str, kind, to: &str, place: &str| {
        let place = if from.starts_with("shop") { src(place) } else { place.into() };
        sketch.edge(from, kind, to, &place).clone()
    };
    edge("shop::main::{async_block#0}", Spawns, "shop::mail::deliver", "main.rs:30");
    edge("shop::main::{async_block#0}", Awaits, "axum::serve::serve", "main.rs:38");
    edge("axum::serve::serve", Spawns, "hyper::server::conn::Connection<axum::Router>", "");
    edge(
        "hyper::server::conn::Connection<axum::Router>",
        Awaits,
        "hyper::proto::h1::Dispatcher<axum::Router>",
        "",
    );
    edge("hyper::proto::h1::Dispatcher<axum::Router>", Calls, "axum::routing::Route::call", "");
    edge("axum::routing::Route::call", Awaits, "shop::api::user_page", "");
    edge("shop::api::user_page", Awaits, "shop::api::fetch_user", "api.rs:23");
    edge("shop::api::user_page", Awaits, "shop::tree::walk", "api.rs:25");
    edge("shop::api::user_page", Calls, "shop::api::render", "api.rs:26");
    edge("shop::api::fetch_user", Awaits, "shop::api::query", "api.rs:29");
    edge("shop::api::query", Awaits, "shop::db::Pool::query", "api.rs:42");
    edge("shop::db::Pool::query", Awaits, "tokio::sync::semaphore::Semaphore::acquire", "db.rs:31");
    edge("tokio::sync::semaphore::Semaphore::acquire", Awaits, "tokio::sync::batch_semaphore::Acquire", "");
    edge("shop::db::Pool::query", Awaits, "tokio::sync::mutex::Mutex<T>::lock", "db.rs:32");
    edge("shop::db::Pool::query", Awaits, "tokio::sync::mutex::Mutex<T>::lock", "db.rs:38");
    edge("tokio::sync::mutex::Mutex<T>::lock", Awaits, "tokio::sync::batch_semaphore::Acquire", "");
    edge("shop::db::Pool::query", Awaits, "shop::db::Row::parse", "db.rs:36");
    edge("shop::mail::deliver", Awaits, "tokio::sync::mpsc::bounded::Receiver<T>::recv", "mail.rs:33");
    edge(
        "tokio::sync::mpsc::bounded::Receiver<T>::recv",
        Awaits,
        "core::future::poll_fn::PollFn<tokio::sync::mpsc::bounded::{impl#1}::recv::{closure_env#0}>",
        "",
    );
    edge("shop::mail::deliver", Awaits, "tokio::time::sleep::Sleep", "mail.rs:35");
    edge("shop::mail::deliver", Awaits, "shop::api::query", "mail.rs:34");
    edge("shop::stock::count", Awaits, "tokio::sync::mutex::Mutex<T>::lock", "stock.rs:10");
    edge("shop::tree::walk", Awaits, "shop::tree::walk", "tree.rs:5");
    edge("shop::tree::walk", Awaits, "shop::stock::count", "tree.rs:6");
    edge("core::iter::traits::iterator::Iterator::for_each", Calls, "shop::api::render", "");
    edge("shop::main", Calls, "core::iter::traits::iterator::Iterator::for_each", "main.rs:19");
    sketch.edge("shop::main", Calls, "shop::main::{async_block#0}", &src("main.rs:20")).through =
        vec!["block_on".into()];
    sketch
        .edge("shop::mail::deliver", Spawns, "shop::mail::deliver::{closure#0}", &src("mail.rs:36"))
        .through = vec!["tokio::task::spawn_blocking".into()];
    let tax = sketch.edge("shop::api::user_page", Awaits, "shop::plugins::tax", &src("api.rs:24"));
    tax.certainty = Certainty::Possible;
    tax.through = vec!["dyn Future".into()];
    sketch.edge("shop::plugins::tax", Awaits, "tokio::time::sleep::Sleep", &src("plugins.rs:8")).through =
        vec!["tokio::select!".into()];
    sketch.graph()
}

/// A chain of own functions, each of which awaits so many others: thousands in few lines.
pub fn wide(levels: u32, each: u32) -> CallGraph {
    let mut sketch = Sketch::default();
    let name = |level: u32, nth: u32| format!("shop::level{level:02}::f{nth:03}");
    for level in 0..levels {
        for nth in 0..if level == 0 { 1 } else { each } {
            let place = format!("/srv/shop/src/level{level}.rs:{}", nth + 1);
            let function = sketch.function(&name(level, nth), FunctionKind::AsyncFn, Color::Red, &place);
            function.is_root = level == 0;
        }
    }
    for level in 1..levels {
        for nth in 0..each {
            let from = name(level - 1, if level == 1 { 0 } else { nth });
            let place = format!("/srv/shop/src/level{}.rs:{}", level - 1, nth + 100);
            sketch.edge(&from, EdgeKind::Awaits, &name(level, nth), &place);
        }
    }
    sketch.graph()
}
