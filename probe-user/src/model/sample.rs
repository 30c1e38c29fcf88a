//! A made-up shop server, for tests and for trying the screen: `examples/screen.rs` includes this file.

use crate::decode::{
    Certainty, Coverage, DebugInfoLevel, Frame, FrameId, FrameKind, FrameState, Frames, Hold, HoldRole, Node,
    Queue, QueueKind, ResourceKind, RuntimeInfo, RuntimeKind, Snapshot, SourceLine, Task, TaskId, TaskState,
    Wait, waits_of,
};
use crate::target::Avma;
use std::sync::Arc;

pub const SECOND: u64 = 1_000_000_000;
pub const MS: u64 = 1_000_000;

pub fn tokio(id: u64) -> TaskId {
    TaskId { runtime: RuntimeKind::Tokio, id }
}

#[derive(Default)]
pub struct Shop {
    pub frames: Arc<Frames>,
}

impl Shop {
    pub fn new() -> Shop {
        Shop::default()
    }

    pub fn frame(&self, function: &str, kind: FrameKind, place: Option<(&str, u32, u32)>) -> FrameId {
        let own_code = function.starts_with("shop::");
        self.frames.intern(Frame {
            function: function.into(),
            type_name: match kind {
                FrameKind::AsyncFn => format!("{function}::{{async_fn_env#0}}").into(),
                _ => function.into(),
            },
            kind,
            state: match (kind, place) {
                (FrameKind::Leaf | FrameKind::Combinator, _) | (_, Some(_)) => FrameState::Suspended,
                _ => FrameState::Unresumed,
            },
            suspend_point: place.map(|(.., point)| point),
            line: place.map(|(file, line, _)| SourceLine { file: file.into(), line }),
            expanded_from: None,
            size: 128,
            own_code,
            large_parts: Arc::default(),
        })
    }

    /// One of the places that `fetch_user` awaits at: 155 connects, 156 reads.
    fn fetch_user(&self, line: u32) -> FrameId {
        let place = ("/srv/shop/src/api.rs", line, line.saturating_sub(155));
        self.frame("shop::api::fetch_user", FrameKind::AsyncFn, Some(place))
    }

    /// `fetch_user` before its first poll.
    pub fn unresumed(&self) -> Vec<FrameId> {
        vec![self.frame("shop::api::fetch_user", FrameKind::AsyncFn, None)]
    }

    /// `fetch_user` reading a reply.
    pub fn reading(&self) -> Vec<FrameId> {
        const REQWEST: &str = "/home/ada/.cargo/registry/src/registry-0123456789abcdef/reqwest-0.12.4/src";
        const TOKIO: &str = "/home/ada/.cargo/registry/src/registry-0123456789abcdef/tokio-1.54.0/src";
        let client = format!("{REQWEST}/async_impl/client.rs");
        let body = format!("{REQWEST}/async_impl/body.rs");
        let read = format!("{TOKIO}/io/util/read.rs");
        vec![
            self.fetch_user(156),
            self.frame("shop::api::fetch_posts", FrameKind::AsyncFn, Some(("/srv/shop/src/api.rs", 171, 0))),
            self.frame("reqwest::Client::execute", FrameKind::AsyncFn, Some((&client, 2101, 2))),
            self.frame("reqwest::async_impl::body::collect", FrameKind::AsyncFn, Some((&body, 88, 1))),
            self.frame("tokio::io::util::read::Read<TcpStream>", FrameKind::Leaf, Some((&read, 52, 0))),
        ]
    }

    /// `fetch_user` sleeping before it connects.
    pub fn sleeping(&self) -> Vec<FrameId> {
        let sleep = self.frame("tokio::time::sleep::Sleep", FrameKind::Leaf, None);
        vec![self.fetch_user(155), sleep]
    }

    pub fn locked(&self) -> Vec<FrameId> {
        let cart = ("/srv/shop/src/cart.rs", 40, 0);
        vec![
            self.frame("shop::cart::checkout<u32>", FrameKind::AsyncFn, Some(cart)),
            self.frame("tokio::sync::mutex::Mutex<T>::lock", FrameKind::AsyncFn, Some(("mutex.rs", 430, 0))),
            self.frame("tokio::sync::batch_semaphore::Acquire", FrameKind::Leaf, None),
        ]
    }

    pub fn chain(&self, frames: &[FrameId], address: u64) -> Node {
        let (first, rest) = frames.split_first().expect("a chain has a root");
        let awaiting = if rest.is_empty() { vec![] } else { vec![self.chain(rest, address + 0x40)] };
        Node {
            frame: *first,
            more: 0,
            address: Avma(address),
            awaiting: awaiting.into(),
            held: Box::default(),
        }
    }

    /// A background task in a `select!` of a timer and a channel.
    pub fn selecting(&self, address: u64) -> Node {
        let main = ("/srv/shop/src/main.rs", 30, 0);
        let root = self.frame("shop::main::{async_block#1}", FrameKind::AsyncBlock, Some(main));
        let select = self.frame("core::future::poll_fn::PollFn<select>", FrameKind::Combinator, None);
        let tick = self.frame("tokio::time::interval::Interval::tick", FrameKind::Leaf, None);
        let recv = self.frame("tokio::sync::mpsc::bounded::Receiver::recv", FrameKind::Leaf, None);
        let leaf = |frame, at: u64| Node {
            frame,
            more: 0,
            address: Avma(at),
            awaiting: Box::default(),
            held: Box::default(),
        };
        let both = vec![leaf(tick, address + 0x80), leaf(recv, address + 0xc0)].into();
        let select = Node {
            frame: select,
            more: 0,
            address: Avma(address + 0x40),
            awaiting: both,
            held: Box::default(),
        };
        Node {
            frame: root,
            more: 0,
            address: Avma(address),
            awaiting: vec![select].into(),
            held: Box::default(),
        }
    }

    pub fn task(&self, id: u64, name: &str, state: TaskState, tree: Option<Node>) -> Task {
        let address = Avma(0x7f00_0000_0000 + id * 0x100);
        let waits = tree.as_ref().filter(|_| state != TaskState::Running);
        let waits = waits.map(|tree| waits_of(tree, &self.frames)).unwrap_or_default().into();
        let name = name.into();
        Task {
            spawned_at: None,
            queue: None,
            wakers: None,
            id: tokio(id),
            address,
            state,
            stale: false,
            name,
            owner: Some(0),
            tree,
            waits,
            holds: Box::default(),
        }
    }

    pub fn fetching(&self, id: u64, path: &[FrameId]) -> Task {
        let tree = self.chain(path, 0x7f00_0000_0038 + id * 0x100);
        self.task(id, "shop::api::fetch_user", TaskState::Idle, Some(tree))
    }

    pub fn snapshot(&self, t_ns: u64, tasks: Vec<Task>) -> Snapshot {
        let count = tasks.len() as u64;
        Snapshot {
            pid: 4242,
            exe: "/srv/shop/target/release/shop".into(),
            taken_at_ns: 1_767_225_600 * SECOND + t_ns,
            t_ns: Some(t_ns),
            debuginfo: DebugInfoLevel::Full,
            runtimes: vec![RuntimeInfo {
                kind: RuntimeKind::Tokio,
                version: Some("1.54.0".into()),
                flavor: Some("multi_thread".into()),
                workers: Some(4),
                tasks: count,
                address: Avma(0x7f00_1000),
                closed: None,
            }],
            coverage: Coverage {
                tasks_found: count,
                tasks_decoded: tasks.iter().filter(|task| task.tree.is_some()).count() as u64,
                torn_retries: 0,
                issues: vec![],
            },
            tasks,
            frames: self.frames.clone(),
            polls: None,
        }
    }

    /// Tasks of every kind at once.
    pub fn busy_day(&self, t_ns: u64) -> Snapshot {
        let selecting = Some(self.selecting(0x7f00_0000_0138));
        let mut tasks = vec![self.task(1, "shop::main::{async_block#1}", TaskState::Idle, selecting)];
        tasks.extend((10..15).map(|id| self.fetching(id, &self.reading())));
        tasks.extend((20..22).map(|id| self.fetching(id, &self.sleeping())));
        let checkout = Some(self.chain(&self.locked(), 0x7f00_0000_3038));
        let queue = Some(Queue { kind: QueueKind::Local, worker: Some(1), position: 2, length: 17 });
        let checkout = self.task(30, "shop::cart::checkout<u32>", TaskState::Scheduled, checkout);
        tasks.push(Task { queue, ..checkout });
        let mut running = self.fetching(40, &self.reading());
        running.state = TaskState::Running;
        running.waits = Box::default();
        running.stale = true;
        tasks.push(running);
        tasks.push(self.task(50, "evil\x1b[2Jname", TaskState::Idle, None));
        let mut snapshot = self.snapshot(t_ns, tasks);
        snapshot.coverage.torn_retries = 1;
        snapshot.coverage.issues.push("task #50: no type describes its future".into());
        snapshot
    }

    /// A task in one place of `file`, with what it waits for and keeps.
    fn stuck(&self, id: u64, function: &str, (file, line): (&str, u32), waits: Vec<Wait>) -> Task {
        let frame = self.frame(function, FrameKind::AsyncFn, Some((file, line, 0)));
        let tree = self.chain(&[frame], 0x7f00_0000_0038 + id * 0x100);
        let waits = waits.into_iter().map(|wait| Wait { at: Some(frame), ..wait }).collect();
        Task { waits, ..self.task(id, function, TaskState::Idle, Some(tree)) }
    }

    fn wait(&self, kind: ResourceKind, address: u64, holders: &[u64], certainty: Certainty) -> Wait {
        let leaf = self.frame("tokio::sync::batch_semaphore::Acquire", FrameKind::Leaf, None);
        Wait {
            address: Some(Avma(address)),
            holders: holders.iter().map(|id| tokio(*id)).collect(),
            certainty: (!holders.is_empty()).then_some(certainty),
            ..Wait::of_kind(kind, leaf)
        }
    }

    fn hold(&self, kind: ResourceKind, role: HoldRole, address: u64, local: &str) -> Hold {
        let frame = self.frame("shop::cart::checkout", FrameKind::AsyncFn, None);
        let (certainty, local) = (Certainty::Proven, local.into());
        Hold {
            kind,
            role,
            address: Avma(address),
            certainty,
            local,
            frame,
            acquired_at: None,
            unpolled: None,
            blocks_threads: false,
            backlog: None,
            word: None,
        }
    }

    /// `checkout` and `reserve` hold what the other wants, `main` joins the first, three more want what it holds; a mailer
    /// waits for room in a channel whose receiver waits for a socket; two readers each have a socket of their own.
    pub fn deadlock(&self, t_ns: u64) -> Snapshot {
        const CART: u64 = 0x7f00_2000_0010;
        const STOCK: u64 = 0x7f00_2000_0050;
        const MAIL: u64 = 0x7f00_2000_0090;
        use Certainty::{Possible, Proven};
        use ResourceKind::{Io, Join, Mpsc, Mutex};
        let mut join = self.wait(Join, 0x7f00_0000_0200, &[], Proven);
        join.task = Some(tokio(2));
        let main = self.stuck(1, "shop::main", ("/srv/shop/src/main.rs", 12), vec![join]);
        let mut stock = self.wait(Mutex, STOCK, &[3], Proven);
        stock.acquired_at = Some(SourceLine { file: "/srv/shop/src/stock.rs".into(), line: 7 });
        let mut checkout = self.stuck(2, "shop::cart::checkout", ("/srv/shop/src/cart.rs", 41), vec![stock]);
        checkout.holds = [self.hold(Mutex, HoldRole::Exclusive, CART, "cart")].into();
        let wants_cart = || vec![self.wait(Mutex, CART, &[2], Proven)];
        let mut reserve = self.stuck(3, "shop::stock::reserve", ("/srv/shop/src/stock.rs", 9), wants_cart());
        reserve.holds = [self.hold(Mutex, HoldRole::Exclusive, STOCK, "stock")].into();
        let mut full = self.wait(Mpsc, MAIL, &[5], Possible);
        full.detail = Some("sends, 8 of 8 slots taken".into());
        let mut mailer = self.stuck(4, "shop::mail::queue", ("/srv/shop/src/mail.rs", 20), vec![full]);
        mailer.holds = [self.hold(Mpsc, HoldRole::Sender, MAIL, "mails")].into();
        let socket = |fd: i32| {
            let mut wait = self.wait(Io, 0x7f00_3000_0000 + fd as u64 * 0x80, &[], Proven);
            wait.fd = Some(fd);
            wait.detail =
                Some(format!("reads fd {fd}, TCP 10.0.0.7:51034 → \"mail\" <10.0.0.5:{fd}>").into());
            vec![wait]
        };
        let mut worker = self.stuck(5, "shop::mail::worker", ("/srv/shop/src/mail.rs", 33), socket(12));
        worker.holds = [self.hold(Mpsc, HoldRole::Receiver, MAIL, "self.inbox")].into();
        let mut tasks = vec![main, checkout, reserve, mailer, worker];
        let place = ("/srv/shop/src/cart.rs", 60);
        tasks.extend((10..13).map(|id| self.stuck(id, "shop::cart::total", place, wants_cart())));
        let place = ("/srv/shop/src/api.rs", 171);
        tasks.extend([20, 21].map(|id| self.stuck(id, "shop::api::read", place, socket(id as i32))));
        self.snapshot(t_ns, tasks)
    }

    /// The same with `evil` for every string that comes from the target.
    pub fn hostile(&self, evil: &str) -> Snapshot {
        let mut snapshot = self.deadlock(SECOND);
        snapshot.exe = evil.into();
        for task in &mut snapshot.tasks {
            task.name = evil.into();
            task.waits.iter_mut().for_each(|wait| wait.detail = Some(evil.into()));
            task.holds.iter_mut().for_each(|hold| hold.local = evil.into());
        }
        snapshot
    }
}
