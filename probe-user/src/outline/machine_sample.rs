//! A made-up async fn, for tests.

use super::layout::{Described, Inside, Part, Role};
use super::machine::{Machine, Order, State, StateKind};
use super::sizes::{FutureSize, Sizes, TaskSize};
use super::{Bounds, FunctionKind, Origin};
use crate::decode::SourceLine;

fn place(line: u32) -> Option<SourceLine> {
    Some(SourceLine { file: "/srv/shop/src/api.rs".into(), line })
}

pub fn part(role: Role, name: Option<&str>, offset: u64, bytes: u64, ty: &str) -> Part {
    let described = Described { offset: Some(offset), bytes, type_name: ty.into(), future: None };
    Part { role, name: name.map(Into::into), described: Some(described) }
}

fn awaited(function: &str, offset: u64, bytes: u64) -> Part {
    let mut part = part(Role::Awaited, None, offset, bytes, &format!("{function}::{{async_fn_env#0}}"));
    if let Some(described) = &mut part.described {
        described.future = Some(Inside { function: function.into(), bytes, by_value: true });
    }
    part
}

fn state(kind: StateKind, value: u64, line: u32, saved: Vec<Part>, in_use: u64) -> State {
    State { kind, value: Some(value), place: place(line), expanded_from: None, saved, in_use }
}

/// `fetch_user(id: u64, client: &Client)`, which awaits at lines 155 and 156. What its text has in it is for terminals and
/// formats to stumble over.
pub fn fetch_user() -> Machine {
    let id = |role, offset| part(role, Some("id"), offset, 8, "u64");
    let shadow = Part { role: Role::Local, name: Some("user".into()), described: None };
    let mut states = vec![
        state(StateKind::Start, 0, 150, Vec::new(), 17),
        state(
            StateKind::Await(0),
            3,
            155,
            vec![awaited("shop::db::find<shop::User>", 64, 1200), id(Role::Local, 32)],
            1225,
        ),
        state(
            StateKind::Await(1),
            4,
            156,
            vec![
                awaited("shop::db::\u{1b}[31mposts", 64, 96),
                part(Role::Local, Some("user"), 160, 40, "shop::User"),
                shadow,
                part(Role::Temporary, None, 41, 1, "bool"),
            ],
            154,
        ),
        state(StateKind::Returned, 1, 158, Vec::new(), 0),
        state(StateKind::Panicked, 2, 158, Vec::new(), 0),
    ];
    states[2].expanded_from = place(9);
    Machine {
        function: "shop::api::fetch_user".into(),
        kind: FunctionKind::AsyncFn,
        origin: Origin::Own,
        place: place(150),
        size: 1264,
        align: 8,
        discriminant: Some((40, 1)),
        made_with: vec![id(Role::Argument, 0), part(Role::Argument, Some("client"), 8, 8, "&shop::Client")],
        states,
        order: Order::Source(String::new()),
        steps: vec![(0, 1), (1, 2), (2, 3)],
        padding: 16,
        is_partial: true,
    }
}

/// `fetch_user`, a small future, one of a dependency, and two kinds of task.
pub fn sizes() -> Sizes {
    let small = |name: &str, origin| {
        let mut machine = fetch_user();
        machine.states.truncate(1);
        (machine.function, machine.size, machine.origin) = (name.into(), 64, origin);
        (machine.padding, machine.is_partial) = (0, false);
        FutureSize::of(machine)
    };
    let task = |future: &str, bytes, future_bytes, boxed_bytes| TaskSize {
        future: future.into(),
        bytes,
        align: 128,
        future_bytes,
        boxed_bytes,
        flavor: Some("multi_thread"),
    };
    Sizes {
        futures: vec![
            FutureSize::of(fetch_user()),
            small("shop::ping", Origin::Own),
            small("hyper::idle", Origin::Dependency),
        ],
        tasks: vec![
            task("shop::upload", 128, 8, Some(20_000)),
            task("shop::api::fetch_user", 1408, 1264, None),
        ],
        bounds: Bounds::default(),
    }
}
