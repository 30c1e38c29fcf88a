//! Reading chunk by chunk, past whatever is damaged.

use super::format::{HEADER, Header, Kind};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use zstd::bulk::Decompressor;

/// Chunks whose checksum is wrong, before the rest is given up: each costs reading it, and then a search from its beginning.
const MAX_DAMAGED: u32 = 256;

#[derive(Debug)]
pub(super) struct Chunk {
    pub kind: Kind,
    pub events_before: u64,
    pub payload: Vec<u8>,
}

pub(super) struct Chunks<R> {
    input: BufReader<R>,
    /// Where the next chunk should begin.
    at: u64,
    damaged: u32,
    unpack: Decompressor<'static>,
}

/// What came of looking for the next chunk; `skipped`: bytes before it, or before the end, that are no whole chunk.
#[derive(Debug)]
pub(super) struct Next {
    pub skipped: u64,
    pub chunk: Option<Chunk>,
}

impl<R: Read + Seek> Chunks<R> {
    /// `input` stands at `at`, where the first chunk begins.
    pub fn new(input: BufReader<R>, at: u64) -> io::Result<Chunks<R>> {
        Ok(Chunks { input, at, damaged: 0, unpack: Decompressor::new()? })
    }

    pub fn next(&mut self) -> io::Result<Next> {
        let from = self.at;
        loop {
            let begin = self.at;
            let mut bytes = [0; HEADER];
            if fill(&mut self.input, &mut bytes)? == 0 {
                return Ok(Next { skipped: begin - from, chunk: None });
            }
            if let Some(header) = Header::from_bytes(&bytes) {
                if let Some(payload) = self.payload(&header)? {
                    self.at = begin + (HEADER as u64) + u64::from(header.stored);
                    let chunk = Chunk { kind: header.kind, events_before: header.events_before, payload };
                    return Ok(Next { skipped: begin - from, chunk: Some(chunk) });
                }
                self.damaged += 1;
                if self.damaged > MAX_DAMAGED {
                    let end = self.input.seek(SeekFrom::End(0))?;
                    self.at = end;
                    return Ok(Next { skipped: end - from, chunk: None });
                }
            }
            self.find(begin + 1)?;
        }
    }

    /// None where it is cut short, or not what its checksum says. How an unknown kind is packed is not known.
    fn payload(&mut self, header: &Header) -> io::Result<Option<Vec<u8>>> {
        let mut packed = Vec::new();
        self.input.by_ref().take(header.stored.into()).read_to_end(&mut packed)?;
        if packed.len() != header.stored as usize || crc32fast::hash(&packed) != header.checksum {
            return Ok(None);
        }
        if header.kind == Kind::Unknown {
            return Ok(Some(Vec::new()));
        }
        let raw = header.raw as usize;
        Ok(self.unpack.decompress(&packed, raw).ok().filter(|payload| payload.len() == raw))
    }

    /// Goes to the next mark at or after `from`; to the end if there is none.
    fn find(&mut self, from: u64) -> io::Result<()> {
        // Relative: what is in the buffer stays there, so that a search costs one reading however many marks it meets.
        let now = self.input.stream_position()?;
        self.input.seek_relative(from.cast_signed() - now.cast_signed())?;
        self.at = from;
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let (step, found) = match Header::find_mark(bytes) {
                Some(at) => (at, true),
                None => (bytes.len(), false),
            };
            self.input.consume(step);
            self.at += step as u64;
            if found {
                // It may be half of one, cut by the buffer's end: whoever reads a header here will see.
                return Ok(());
            }
        }
    }
}

/// Reads until `bytes` is full or the input ends. How much that was.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match input.read(&mut bytes[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
