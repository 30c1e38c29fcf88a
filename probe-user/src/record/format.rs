//! The bytes: a file begins with [`MAGIC`] and [`VERSION`]; then comes chunk after chunk, each a header and a payload.
//!
//! A header has a checksum of its own, so its lengths can be trusted before the payload is read. It begins with a mark
//! that a reader looks for where a chunk is damaged, and says how many trace events stand in the chunks before: what
//! damage took is known by number.

use crate::model::Mode;
use serde::{Deserialize, Serialize};

/// Not text, and broken by whoever changes line ends or cuts the eighth bit.
pub(super) const MAGIC: [u8; 8] = *b"\x89AIREC\r\n";
/// Raised when older readers would misunderstand a file; not when they would skip a chunk.
pub const VERSION: u32 = 1;
/// Magic and version.
pub(super) const START: usize = 12;

const MARK: [u8; 4] = [0xf3, 0x1a, b'c', b'h'];
pub(super) const HEADER: usize = 32;

/// The writer closes a chunk when its payload has grown to this.
pub(super) const CHUNK: usize = 1 << 20;
/// The reader takes no payload larger than this, compressed or not. One task with the largest tree fits several times.
pub(super) const MAX_PAYLOAD: usize = 16 << 20;
/// Tasks of one snapshot, as bytes of payload; the writer leaves out those beyond.
pub(super) const MAX_SNAPSHOT: usize = 512 << 20;
/// Frames of one recording.
pub(super) const MAX_FRAMES: usize = 1 << 20;

/// What a chunk's payload is. Each payload is one or more MessagePack values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// [`Head`]: the first chunk.
    Head,
    /// Index of the first frame, and a list of frames: those that later chunks refer to.
    Frames,
    /// The paths of this chunk, then updates.
    Updates,
    /// Number of the snapshot, then tasks of it.
    Tasks,
    /// Number of the snapshot, how many tasks it has, and the rest of it: its tasks came before.
    Snapshot,
    /// Of a later version: skipped.
    Unknown,
}

const KINDS: [(Kind, [u8; 4]); 5] = [
    (Kind::Head, *b"HEAD"),
    (Kind::Frames, *b"FRAM"),
    (Kind::Updates, *b"UPDT"),
    (Kind::Tasks, *b"TASK"),
    (Kind::Snapshot, *b"SNAP"),
];

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    /// Bytes of the compressed payload.
    pub stored: u32,
    /// Bytes of the payload.
    pub raw: u32,
    /// Trace events in all chunks before this one.
    pub events_before: u64,
    /// Of the compressed payload.
    pub checksum: u32,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER] {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or([0; 4], |(_, name)| *name);
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MARK);
        bytes[4..8].copy_from_slice(&kind);
        bytes[8..12].copy_from_slice(&self.stored.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.raw.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.events_before.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// None where these bytes are no header, or one that no writer of ours made.
    pub fn from_bytes(bytes: &[u8; HEADER]) -> Option<Header> {
        let word = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or_default();
        if bytes[..4] != MARK || word(28) != crc32fast::hash(&bytes[..28]) {
            return None;
        }
        let kind =
            KINDS.iter().find(|(_, name)| bytes[4..8] == *name).map_or(Kind::Unknown, |(kind, _)| *kind);
        let header = Header {
            kind,
            stored: word(8),
            raw: word(12),
            events_before: u64::from(word(16)) | u64::from(word(20)) << 32,
            checksum: word(24),
        };
        let fits = |length: u32| length as usize <= MAX_PAYLOAD;
        (fits(header.stored) && fits(header.raw)).then_some(header)
    }

    /// Where the next mark stands in `bytes`, or as much of one as is there.
    pub fn find_mark(bytes: &[u8]) -> Option<usize> {
        memchr::memchr_iter(MARK[0], bytes).find(|at| MARK.starts_with(&bytes[*at..bytes.len().min(at + 4)]))
    }
}

/// What is known once watching has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the tool that made it.
    pub tool: String,
    pub pid: u32,
    pub exe: String,
    /// When the executable was written, CLOCK_REALTIME ns.
    pub built_ns: Option<u64>,
    pub mode: Mode,
    /// Why there are no probes.
    pub because: Option<String>,
    /// When watching began, CLOCK_MONOTONIC ns: what all times in it are measured against.
    pub t_ns: u64,
    /// The same moment, CLOCK_REALTIME ns.
    pub began_at_ns: u64,
    /// Whether the first update is the snapshot that was taken before anything else.
    pub has_first: bool,
}
