//! Async functions whose states are known from their source: what each await keeps, how large each future is, and what can
//! follow what. Sizes are the compiler's own; what can follow what is what was seen when every way through was taken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Waits as often as the script says.
struct Step {
    left: u32,
}

impl Step {
    fn new() -> Step {
        Step { left: u32::from(decide()) + u32::from(decide()) }
    }
}

impl Future for Step {
    type Output = u64;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        if self.left == 0 {
            return Poll::Ready(7);
        }
        self.left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// An await, as the source has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Await {
    line: u32,
    awaiting: &'static str,
    size: usize,
    kept: Vec<(&'static str, usize)>,
}

thread_local! {
    /// Answers still to be given, and how many were asked for.
    static SCRIPT: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// Lines of the function that is looked at, and that of its await that was reached last.
    static AT: Cell<(u32, u32, u32)> = const { Cell::new((0, 0, 0)) };
    static AWAITS: RefCell<BTreeSet<Await>> = const { RefCell::new(BTreeSet::new()) };
}

/// The next answer of the script.
#[inline(never)]
fn decide() -> bool {
    let (bits, asked) = SCRIPT.get();
    SCRIPT.set((bits >> 1, asked + 1));
    black_box(bits & 1 == 1)
}

/// The function is about to await, on that line.
#[inline(never)]
fn at(line: u32, awaiting: &'static str, size: usize, kept: &[(&'static str, usize)]) {
    let (first, last, _) = AT.get();
    if !(first..last).contains(&line) {
        return;
    }
    AT.set((first, last, line));
    AWAITS.with_borrow_mut(|awaits| awaits.insert(Await { line, awaiting, size, kept: kept.to_vec() }));
}

fn steps(line: u32, kept: &[(&'static str, usize)]) {
    at(line, "outline_states::Step", size_of::<Step>(), kept);
}

/// Bytes of what a closure makes, without making it.
fn size_made<F>(_make: impl FnOnce() -> F) -> usize {
    size_of::<F>()
}

async fn chain(first: [u8; 100], second: u64) -> u64 {
    steps(line!() + 1, &[("first", 100), ("second", 8)]);
    Step::new().await;
    let head = u64::from(black_box(first)[0]);
    steps(line!() + 1, &[("second", 8), ("head", 8)]);
    Step::new().await;
    let third = black_box([head; 5]);
    steps(line!() + 1, &[("second", 8), ("third", 40)]);
    let last = Step::new().await;
    second + black_box(third)[1] + last
}

async fn nothing() -> u32 {
    black_box(7)
}

async fn outer() -> u64 {
    let size = size_made(|| chain([0; 100], 1));
    at(line!() + 1, "outline_states::chain", size, &[]);
    let sum = chain([1; 100], 2).await;
    steps(line!() + 1, &[("sum", 8)]);
    let number = Step::new().await;
    sum + number
}

async fn later() -> u64 {
    let size = size_made(|| chain([0; 100], 1));
    let work = chain([1; 100], 2);
    steps(line!() + 1, &[("size", 8), ("work", size)]);
    Step::new().await;
    at(line!() + 1, "outline_states::chain", size, &[]);
    work.await
}

async fn twice<F: Future<Output = u64>>(work: F) -> u64 {
    steps(line!() + 1, &[("work", size_of::<F>())]);
    Step::new().await;
    at(line!() + 1, "outline_states::chain", size_of::<F>(), &[]);
    work.await
}

async fn shadowed() -> u64 {
    let x = black_box([1u8; 40]);
    let inner = {
        let x = black_box([2u16; 30]);
        steps(line!() + 1, &[("x", 40), ("x", 60)]);
        Step::new().await;
        u64::from(black_box(x)[3])
    };
    steps(line!() + 1, &[("x", 40), ("inner", 8)]);
    Step::new().await;
    u64::from(black_box(x)[2]) + inner
}

async fn branches(number: u64) -> u64 {
    if decide() {
        steps(line!() + 1, &[("number", 8)]);
        Step::new().await;
    } else {
        steps(line!() + 1, &[("number", 8)]);
        Step::new().await;
    }
    steps(line!() + 1, &[("number", 8)]);
    Step::new().await;
    if decide() {
        return number;
    }
    steps(line!() + 1, &[("number", 8)]);
    Step::new().await + number
}

/// Awaited by one function only, which the compiler puts it into.
async fn inlined(number: u64) -> u64 {
    steps(line!() + 1, &[("number", 8)]);
    Step::new().await;
    if decide() {
        return number;
    }
    steps(line!() + 1, &[("number", 8)]);
    let last = Step::new().await;
    number + last
}

async fn around(number: u64) -> u64 {
    let sum = inlined(number).await;
    returned();
    let last = Step::new().await;
    sum + last
}

/// The function that is looked at has returned.
#[inline(never)]
fn returned() {
    let (first, last, _) = AT.get();
    AT.set((first, last, RETURNED));
}

async fn rounds(number: u64) -> u64 {
    let mut sum = number;
    while decide() {
        steps(line!() + 1, &[("sum", 8)]);
        sum += Step::new().await;
        steps(line!() + 1, &[("sum", 8)]);
        sum ^= Step::new().await;
    }
    sum
}

/// A future that cannot be returned in registers moves the function's other arguments by one.
async fn large_output(number: u64) -> [u64; 9] {
    steps(line!() + 1, &[("number", 8)]);
    Step::new().await;
    [black_box(number); 9]
}

fn block(bytes: [u8; 33]) -> impl Future<Output = u64> {
    async move {
        steps(line!() + 1, &[]);
        let number = Step::new().await;
        u64::from(black_box(bytes)[4]) + number
    }
}

/// Bytes that differ between two builds.
const HEAVY: usize = if cfg!(feature = "recent") { 20_000 } else { 30_000 };

async fn heavy() -> u64 {
    let buffer = black_box([3u8; HEAVY]);
    steps(line!() + 1, &[("buffer", HEAVY)]);
    let number = Step::new().await;
    u64::from(black_box(buffer)[9]) + number
}

/// Takes every way through a function, and tells in which states polls began and ended. The function is polled through a
/// trait object, of which the compiler does not know which it is: so its code stands by itself.
fn ways<F: Future + 'static>(make: impl Fn() -> F, answers: u32) -> BTreeSet<(u32, u32)> {
    let mut seen = BTreeSet::new();
    for bits in 0..1 << answers {
        SCRIPT.set((bits, 0));
        let mut future: Pin<Box<dyn Future<Output = F::Output>>> = black_box(Box::pin(make()));
        let mut from = START;
        AT.set((AT.get().0, AT.get().1, START));
        loop {
            let poll = black_box(&mut future).as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let to = if poll.is_ready() { RETURNED } else { AT.get().2 };
            seen.insert((from, to));
            // Of one that lies in another the rest does not matter.
            if poll.map(black_box).is_ready() || to == RETURNED {
                break;
            }
            from = to;
        }
    }
    seen
}

const START: u32 = 0;
const RETURNED: u32 = u32::MAX;

/// Tells all of one function. `answers`: of the longest script that shows something new.
fn tell<F: Future + 'static>(function: &str, line: u32, make: impl Fn() -> F, answers: u32) {
    tell_inlined(function, line, &make, &make, answers);
}

/// Of one that is only polled by another.
fn tell_inlined<I, F: Future + 'static>(
    function: &str,
    line: u32,
    _inner: impl Fn() -> I,
    make: impl Fn() -> F,
    answers: u32,
) {
    AWAITS.take();
    let lines = include_str!("outline_states.rs").lines().skip(line as usize);
    let length = lines.take_while(|text| !text.starts_with('}')).count() as u32;
    AT.set((line, line + length + 1, 0));
    let ways = ways(&make, answers);
    let awaits = AWAITS.take();
    let listed = |items: Vec<String>| items.join(",");
    let kept = |one: &Await| listed(one.kept.iter().map(|(name, size)| format!("[{name:?},{size}]")).collect());
    let states = awaits.iter().map(|one| {
        let Await { line, awaiting, size, .. } = one;
        format!("{{\"line\":{line},\"awaiting\":{awaiting:?},\"size\":{size},\"kept\":[{}]}}", kept(one))
    });
    let place = |line: u32| match line {
        START => "\"start\"".to_owned(),
        RETURNED => "\"returned\"".to_owned(),
        line => format!("\"{line}\""),
    };
    let ways = ways.iter().map(|(from, to)| format!("[{},{}]", place(*from), place(*to)));
    println!(
        "{{\"truth\":\"machine\",\"function\":{function:?},\"file\":{:?},\"line\":{line},\"size\":{},\"align\":{},\"awaits\":[{}],\"ways\":[{}]}}",
        file!(),
        size_of::<I>(),
        align_of::<I>(),
        listed(states.collect()),
        listed(ways.collect()),
    );
}

/// What was allocated while somebody listens.
struct Listening;

static HEARD: Mutex<Option<Vec<(usize, usize)>>> = Mutex::new(None);

// SAFETY: all is the system's allocator's.
unsafe impl GlobalAlloc for Listening {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The list's own growth is not heard: the lock is held.
        if let Ok(mut heard) = HEARD.try_lock()
            && let Some(list) = &mut *heard
        {
            list.push((layout.size(), layout.align()));
        }
        // SAFETY: as asked.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as asked.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Listening = Listening;

/// What spawning a future allocates: the task, and the future itself where tokio boxes it.
fn tell_task<F: Future<Output = u64> + Send + 'static>(name: &str, future: F) {
    let size = size_of::<F>();
    *HEARD.lock().expect("nobody panics") = Some(Vec::with_capacity(1024));
    let task = tokio::spawn(future);
    let heard = HEARD.lock().expect("nobody panics").take().unwrap_or_default();
    task.abort();
    let boxed = heard.iter().find(|(bytes, align)| *bytes == size && *align == align_of::<F>());
    // The only thing so aligned.
    let (bytes, align) = heard.iter().max_by_key(|(_, align)| *align).copied().unwrap_or_default();
    let boxed = boxed.map_or("null".to_owned(), |(bytes, _)| bytes.to_string());
    println!("{{\"truth\":\"task_size\",\"name\":{name:?},\"size\":{bytes},\"align\":{align},\"future\":{size},\"boxed\":{boxed}}}");
}

/// The line of a function, by the text of its head.
fn line_of(head: &str) -> u32 {
    let lines = include_str!("outline_states.rs").lines();
    lines.zip(1..).find(|(line, _)| line.trim_start().starts_with(head)).expect("it is there").1
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let tasks = runtime.enter();
    tell("outline_states::chain", line_of("async fn chain"), || chain([1; 100], 2), 6);
    tell("outline_states::nothing", line_of("async fn nothing"), nothing, 0);
    tell("outline_states::outer", line_of("async fn outer"), outer, 8);
    tell("outline_states::later", line_of("async fn later"), later, 8);
    tell("outline_states::twice", line_of("async fn twice"), || twice(chain([1; 100], 2)), 8);
    tell("outline_states::shadowed", line_of("async fn shadowed"), shadowed, 4);
    tell("outline_states::branches", line_of("async fn branches"), || branches(3), 8);
    let head = line_of("async fn inlined");
    tell_inlined("outline_states::inlined", head, || inlined(3), || around(3), 7);
    tell("outline_states::rounds", line_of("async fn rounds"), || rounds(3), 12);
    tell("outline_states::large_output", line_of("async fn large_output"), || large_output(3), 2);
    tell("outline_states::block::{async_block#0}", line_of("async move"), || block([1; 33]), 2);
    tell("outline_states::heavy", line_of("async fn heavy"), heavy, 2);
    tell_task("outline_states::chain", chain([1; 100], 2));
    tell_task("outline_states::heavy", heavy());
    tell_task("outline_states::block::{async_block#0}", block([1; 33]));
    drop(tasks);
    truth::ready();
}
