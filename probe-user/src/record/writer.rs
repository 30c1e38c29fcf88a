//! Writing a recording: append only, one write per chunk, so that whoever dies loses the last chunk at most.

use super::format::{
    CHUNK, HEADER, Head, Header, Kind, MAGIC, MAX_FRAMES, MAX_PAYLOAD, MAX_SNAPSHOT, VERSION,
};
use super::payload::{Item, PathTable, TracedRef};
use crate::decode::{FrameId, Frames, Snapshot};
use crate::model::Update;
use crate::trace::TraceEvent;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use zstd::bulk::Compressor;

/// zstd's own default: faster than events come, and half the size that level 1 gives.
const LEVEL: i32 = 3;
/// Trace events in one item; more are split, which means the same to a model.
const EVENTS: usize = 4096;

/// What a recording holds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Trace events, closed chunks or not.
    pub events: u64,
    pub snapshots: u64,
    /// Bytes handed to the file.
    pub bytes: u64,
    /// Records that the trace itself says it lost.
    pub lost: u64,
    /// Tasks of snapshots, and whole updates, that were larger than a recording takes.
    pub left_out: u64,
}

/// Takes updates, and writes them to `out`. What it holds back is at most one chunk: see [`Writer::flush`].
pub struct Writer<W> {
    out: W,
    frames: Arc<Frames>,
    frames_written: u32,
    /// Of the chunk that is open.
    paths: PathTable,
    items: Vec<u8>,
    /// Trace events in closed chunks.
    closed: u64,
    compressor: Compressor<'static>,
    written: Written,
}

impl<W: Write> Writer<W> {
    /// Begins a recording. `frames` is the table that updates will refer to.
    ///
    /// # Errors
    /// Those of `out`, here and below.
    pub fn begin(mut out: W, head: &Head, frames: Arc<Frames>) -> io::Result<Writer<W>> {
        out.write_all(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?;
        let bytes = (MAGIC.len() + 4) as u64;
        let mut writer = Writer {
            out,
            frames,
            frames_written: 0,
            paths: PathTable::default(),
            items: Vec::new(),
            closed: 0,
            compressor: Compressor::new(LEVEL)?,
            written: Written { bytes, ..Written::default() },
        };
        let mut payload = Vec::new();
        put(&mut payload, head)?;
        writer.chunk(Kind::Head, &payload)?;
        Ok(writer)
    }

    pub fn written(&self) -> Written {
        self.written
    }

    pub fn update(&mut self, update: &Update) -> io::Result<()> {
        match update {
            Update::Trace(events) => {
                for events in events.chunks(EVENTS) {
                    self.events(events)?;
                }
                Ok(())
            }
            Update::Snapshot(snapshot) => self.snapshot(snapshot),
            Update::Note(text) => self.item(&Item::Note(text.clone())),
            Update::Cost(cost) => self.item(&Item::Cost(*cost)),
            Update::Samples(round) => self.item(&Item::Samples(round.clone())),
            Update::Tick(t_ns) => self.item(&Item::Tick(*t_ns)),
            Update::End { t_ns, end } => self.item(&Item::End { t_ns: *t_ns, end: end.clone() }),
        }
    }

    /// Closes the chunk that is open: what was taken so far can be replayed.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.items.is_empty() {
            return Ok(());
        }
        self.new_frames()?;
        let mut payload = Vec::new();
        put(&mut payload, &self.paths.take())?;
        payload.append(&mut self.items);
        self.chunk(Kind::Updates, &payload)?;
        self.closed = self.written.events;
        self.out.flush()
    }

    /// The file, with all in it, and what that is.
    pub fn finish(mut self) -> io::Result<(W, Written)> {
        self.flush()?;
        Ok((self.out, self.written))
    }

    fn events(&mut self, events: &[TraceEvent]) -> io::Result<()> {
        let paths = &mut self.paths;
        let item = Item::Trace(events.iter().map(|event| paths.put(event)).collect());
        self.written.events += events.len() as u64;
        for event in events {
            if let TraceEvent::Lost { count, .. } = event {
                self.written.lost += count;
            }
        }
        put(&mut self.items, &item)?;
        self.close_if_full()
    }

    fn item(&mut self, item: &Item<TracedRef<'_>>) -> io::Result<()> {
        put(&mut self.items, item)?;
        self.close_if_full()
    }

    fn close_if_full(&mut self) -> io::Result<()> {
        if self.items.len() + self.paths.bytes() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Tasks first, then what says that these were all.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.flush()?;
        self.new_frames()?;
        let number = self.written.snapshots as u32;
        let (mut payload, mut total, mut tasks) = (Vec::new(), 0, 0u32);
        for task in &snapshot.tasks {
            if payload.is_empty() {
                put(&mut payload, &number)?;
            }
            let before = payload.len();
            put(&mut payload, task)?;
            total += payload.len() - before;
            if total > MAX_SNAPSHOT || payload.len() > MAX_PAYLOAD {
                payload.truncate(before);
                self.written.left_out += u64::from(snapshot.tasks.len() as u32 - tasks);
                break;
            }
            tasks += 1;
            if payload.len() >= CHUNK {
                self.chunk(Kind::Tasks, &payload)?;
                payload.clear();
            }
        }
        if !payload.is_empty() {
            self.chunk(Kind::Tasks, &payload)?;
        }
        payload.clear();
        put(&mut payload, &number)?;
        // Of all: where some were left out, a reader must not take the others for all.
        put(&mut payload, &(snapshot.tasks.len() as u32))?;
        put(&mut payload, snapshot)?;
        self.written.snapshots += 1;
        self.chunk(Kind::Snapshot, &payload)?;
        self.out.flush()
    }

    /// Frames that were interned since the last chunk that held any.
    fn new_frames(&mut self) -> io::Result<()> {
        let known = self.frames.len().min(MAX_FRAMES) as u32;
        while self.frames_written < known {
            let mut payload = Vec::new();
            put(&mut payload, &self.frames_written)?;
            while self.frames_written < known && payload.len() < CHUNK {
                put(&mut payload, &*self.frames.get(FrameId(self.frames_written)))?;
                self.frames_written += 1;
            }
            self.chunk(Kind::Frames, &payload)?;
        }
        Ok(())
    }

    fn chunk(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let packed = self.compressor.compress(payload)?;
        if payload.len().max(packed.len()) > MAX_PAYLOAD {
            self.written.left_out += 1;
            return Ok(());
        }
        let header = Header {
            kind,
            stored: packed.len() as u32,
            raw: payload.len() as u32,
            events_before: self.closed,
            checksum: crc32fast::hash(&packed),
        };
        let mut bytes = Vec::with_capacity(HEADER + packed.len());
        bytes.extend(header.to_bytes());
        bytes.extend(packed);
        self.out.write_all(&bytes)?;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Appends a value as MessagePack.
fn put(bytes: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    rmp_serde::encode::write(bytes, value).map_err(io::Error::other)
}
