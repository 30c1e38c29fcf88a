//! Reading a recording: the updates again, and what is missing of them, said where it is missing.

use super::chunks::{Chunk, Chunks, Next};
use super::format::{Head, Kind, MAGIC, MAX_FRAMES, MAX_SNAPSHOT, START, VERSION};
use super::payload::{Item, Traced};
use super::sound;
use crate::decode::{Frame, FrameKind, FrameState, Frames, Snapshot, Task};
use crate::model::{End, Update};
use crate::trace::{Path, TraceEvent};
use rmp_serde::Deserializer;
use serde::de::DeserializeOwned;
use std::collections::{HashSet, VecDeque};
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;

/// Why a file is no recording to read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is no recording of async-inspect")]
    NotOne,
    #[error("it was made by a newer async-inspect: its format is {0}, and this one reads up to {VERSION}")]
    Newer(u32),
    #[error("its first chunk, which says what was recorded, is damaged or missing")]
    NoHead,
}

/// Names kept for reuse, and no longer ones.
const NAMES: usize = 100_000;
const NAME: usize = 1 << 12;
/// Bytes of all frames' texts.
const TEXTS: usize = 256 << 20;
/// Tasks of one snapshot: more than a model keeps.
const MAX_TASKS: usize = 1 << 21;
/// What those are made of: 50 futures for each of 300,000 tasks, and less than 1 GB.
const MAX_PARTS: usize = 16 << 20;
const BUFFER: usize = 1 << 16;
/// Values within values. A tree of futures (128 deep at most, see decode) takes two for each.
const MAX_NESTED: usize = 400;

/// A recording, read once from its beginning. As an iterator it gives the updates; the last one is [`Update::End`], whatever
/// the file looks like.
pub struct Reader<R> {
    head: Head,
    frames: Arc<Frames>,
    chunks: Chunks<R>,
    ready: VecDeque<Update>,
    /// Trace events given or said to be lost so far.
    events: u64,
    /// The latest time that any update spoke of.
    now_ns: u64,
    partial: Partial,
    names: HashSet<Arc<str>>,
    /// Bytes of the frames' texts.
    texts: usize,
    ended: bool,
}

/// Tasks of a snapshot whose end has not come yet.
#[derive(Default)]
struct Partial {
    number: u32,
    tasks: Vec<Task>,
    bytes: usize,
    /// What they are made of: a few bytes of a file are many of memory.
    parts: usize,
}

/// A chunk that says what it cannot mean.
struct Unsound;

impl<R: Read + Seek> Reader<R> {
    /// # Errors
    /// When it is no recording, or its first chunk is gone.
    pub fn open(input: R) -> Result<Reader<R>, Unreadable> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let mut start = Vec::new();
        input.by_ref().take(START as u64).read_to_end(&mut start)?;
        let version = match start.strip_prefix(&MAGIC) {
            Some([a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => return Err(Unreadable::NotOne),
        };
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        let mut chunks = Chunks::new(input, START as u64)?;
        let head: Head = match chunks.next()? {
            Next { skipped: 0, chunk: Some(Chunk { kind: Kind::Head, payload, .. }) } => {
                rmp_serde::from_slice(&payload).map_err(|_| Unreadable::NoHead)?
            }
            _ => return Err(Unreadable::NoHead),
        };
        Ok(Reader {
            now_ns: head.t_ns,
            head,
            frames: Arc::default(),
            chunks,
            ready: VecDeque::new(),
            events: 0,
            partial: Partial::default(),
            names: HashSet::new(),
            texts: 0,
            ended: false,
        })
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What updates refer to; it grows as they are read.
    pub fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// The latest time that any update read so far spoke of, CLOCK_MONOTONIC ns.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The next update, if it is a snapshot.
    pub fn next_snapshot(&mut self) -> Option<Box<Snapshot>> {
        let next = self.next();
        if let Some(Update::Snapshot(snapshot)) = next {
            return Some(snapshot);
        }
        if let Some(other) = next {
            self.ready.push_front(other);
        }
        None
    }

    fn read(&mut self) {
        let Next { skipped, chunk } = match self.chunks.next() {
            Ok(next) => next,
            Err(error) => return self.end_early(&error.to_string()),
        };
        let Some(chunk) = chunk else {
            let what =
                if skipped > 0 { "its last chunk is torn" } else { "nothing says that it was finished" };
            return self.end_early(what);
        };
        if skipped > 0 {
            self.say(&format!("{skipped} bytes of the recording are damaged"));
        }
        self.count_missing(chunk.events_before);
        let read = match chunk.kind {
            Kind::Head | Kind::Unknown => Ok(()),
            Kind::Frames => self.new_frames(&chunk.payload),
            Kind::Updates => self.updates(&chunk.payload),
            Kind::Tasks => self.tasks(&chunk.payload),
            Kind::Snapshot => self.snapshot(&chunk.payload),
        };
        if read.is_err() {
            let kind = format!("{:?}", chunk.kind).to_lowercase();
            let tool = self.head.tool.clone();
            self.say(&format!(
                "a chunk of the recording ({kind}) is left out: it is damaged, or from a version that this one does not understand (async-inspect {tool})"
            ));
        }
    }

    fn say(&mut self, text: &str) {
        self.ready.push_back(Update::Note(text.into()));
    }

    fn end_early(&mut self, why: &str) {
        let end = End::Failed(format!("the recording ends early: {why}"));
        self.ready.push_back(Update::End { t_ns: self.now_ns, end });
        self.ended = true;
    }

    /// What the chunk's header knows to have been before it, and was not given.
    fn count_missing(&mut self, before: u64) {
        let lost = TraceEvent::Lost { t_ns: self.now_ns, count: before.saturating_sub(self.events) };
        if before > self.events && sound::event(&lost, 0) {
            self.ready.push_back(Update::Trace(vec![lost]));
        }
        self.events = before;
    }

    fn new_frames(&mut self, payload: &[u8]) -> Result<(), Unsound> {
        let mut values = Values(payload);
        let first: u32 = values.next()?;
        let first = first as usize;
        if first < self.frames.len() || first > MAX_FRAMES {
            return Err(Unsound);
        }
        for index in self.frames.len()..first {
            self.frames.intern(missing(index));
        }
        while !values.is_empty() {
            let index = self.frames.len();
            if index >= MAX_FRAMES {
                return Err(Unsound);
            }
            let frame: Frame = values.next()?;
            self.texts += frame.function.len() + frame.type_name.len();
            if self.texts > TEXTS {
                return Err(Unsound);
            }
            // Each is there once; of a second one the index would be another's.
            if self.frames.intern(frame).0 as usize != index {
                self.frames.intern(missing(index));
            }
        }
        Ok(())
    }

    fn updates(&mut self, payload: &[u8]) -> Result<(), Unsound> {
        let mut values = Values(payload);
        let paths: Vec<Path> = values.next()?;
        while !values.is_empty() && !self.ended {
            let update = match values.next()? {
                Item::Trace(events) => Update::Trace(self.events(events, &paths)?),
                Item::Note(text) => Update::Note(text),
                Item::Cost(cost) => Update::Cost(cost),
                Item::Samples(round) if sound::round(&round, self.frames.len()) => Update::Samples(round),
                Item::Samples(_) => return Err(Unsound),
                Item::Tick(t_ns) => Update::Tick(t_ns),
                Item::End { t_ns, end } => {
                    self.ended = true;
                    Update::End { t_ns, end }
                }
            };
            self.now_ns = self.now_ns.max(super::time_of(&update).unwrap_or(0));
            self.ready.push_back(update);
        }
        Ok(())
    }

    fn events(&mut self, events: Vec<Traced>, paths: &[Path]) -> Result<Vec<TraceEvent>, Unsound> {
        let known = self.frames.len();
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            let mut event = event.resolve(paths).filter(|event| sound::event(event, known)).ok_or(Unsound)?;
            if let TraceEvent::Spawn { name, .. } = &mut event {
                self.share(name);
            }
            out.push(event);
        }
        self.events += out.len() as u64;
        Ok(out)
    }

    fn tasks(&mut self, payload: &[u8]) -> Result<(), Unsound> {
        let mut values = Values(payload);
        let number: u32 = values.next()?;
        if number != self.partial.number {
            self.partial = Partial { number, ..Partial::default() };
        }
        self.partial.bytes += payload.len();
        if self.partial.bytes > MAX_SNAPSHOT.saturating_mul(2) {
            self.partial.tasks.clear();
            return Err(Unsound);
        }
        let known = self.frames.len();
        while !values.is_empty() {
            let mut task: Task = values.next()?;
            if !sound::task(&task, known) {
                return Err(Unsound);
            }
            self.partial.parts += sound::parts(&task);
            if self.partial.tasks.len() >= MAX_TASKS || self.partial.parts > MAX_PARTS {
                self.partial.tasks = Vec::new();
                return Err(Unsound);
            }
            self.share(&mut task.name);
            self.partial.tasks.push(task);
        }
        Ok(())
    }

    /// A snapshot that lacks tasks would read as if they had ended, so it is whole or none.
    fn snapshot(&mut self, payload: &[u8]) -> Result<(), Unsound> {
        let mut values = Values(payload);
        let number: u32 = values.next()?;
        let count: u32 = values.next()?;
        let rest: Snapshot = values.next()?;
        let Partial { number: of, tasks, .. } = std::mem::take(&mut self.partial);
        let tasks = if of == number { tasks } else { Vec::new() };
        if tasks.len() != count as usize {
            let missing = (count as usize).saturating_sub(tasks.len());
            self.say(&format!("a snapshot is left out: {missing} of its {count} tasks are missing"));
            return Ok(());
        }
        let snapshot = Update::Snapshot(Box::new(Snapshot { tasks, frames: self.frames.clone(), ..rest }));
        self.now_ns = self.now_ns.max(super::time_of(&snapshot).unwrap_or(0));
        self.ready.push_back(snapshot);
        Ok(())
    }

    /// Names repeat with every snapshot: each is allocated once.
    fn share(&mut self, name: &mut Arc<str>) {
        if let Some(known) = self.names.get(&**name) {
            *name = known.clone();
        } else if self.names.len() < NAMES && name.len() <= NAME {
            self.names.insert(name.clone());
        }
    }
}

impl<R: Read + Seek> Iterator for Reader<R> {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        while self.ready.is_empty() && !self.ended {
            self.read();
        }
        self.ready.pop_front()
    }
}

/// In place of a frame whose chunk was lost. Like no other.
fn missing(index: usize) -> Frame {
    Frame {
        function: "?".into(),
        type_name: format!("frame {index}, which the recording lost").into(),
        kind: FrameKind::Future,
        state: FrameState::Unknown,
        suspend_point: None,
        line: None,
        expanded_from: None,
        size: 0,
        own_code: false,
        large_parts: Arc::default(),
    }
}

/// The values of a payload that were not read yet.
struct Values<'p>(&'p [u8]);

impl Values<'_> {
    fn next<T: DeserializeOwned>(&mut self) -> Result<T, Unsound> {
        let mut decoder = Deserializer::new(&mut self.0);
        decoder.set_max_depth(MAX_NESTED);
        T::deserialize(&mut decoder).map_err(|_| Unsound)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
