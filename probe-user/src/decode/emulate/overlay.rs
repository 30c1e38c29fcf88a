//! A copy of the target's memory, made page by page as it is needed. Writes go to the copy and nowhere else.

use super::Stop;
use crate::target::{Avma, Memory, ReadError, Region};
use std::collections::HashMap;
use std::ops::Range;

const PAGE: usize = 4096;
/// Pages of one run, read or written: 2 MiB.
const MAX_PAGES: usize = 512;

/// The stack of a run lies in the kernel's half of the address space, where nothing of a process is.
pub(in crate::decode) const STACK: Range<u64> = 0xffff_9000_0000_0000..0xffff_9000_0004_0000;

/// Memory as it would be if the code that is run had really run.
pub(in crate::decode) struct Overlay<'m, M: Memory + ?Sized> {
    below: &'m M,
    pages: HashMap<u64, Box<[u8; PAGE]>>,
    watched: Vec<(Range<u64>, bool)>,
}

impl<'m, M: Memory + ?Sized> Overlay<'m, M> {
    /// Tells of each watched range afterwards whether any byte of it was read.
    pub fn new(below: &'m M, watched: impl IntoIterator<Item = Range<u64>>) -> Self {
        let watched = watched.into_iter().map(|range| (range, false)).collect();
        Overlay { below, pages: HashMap::new(), watched }
    }

    /// By the number of the watched range.
    pub fn was_read(&self, watched: usize) -> bool {
        self.watched.get(watched).is_some_and(|(_, read)| *read)
    }

    pub fn load(&mut self, at: u64, buf: &mut [u8]) -> Result<(), Stop> {
        let end = at.checked_add(buf.len() as u64).ok_or(Stop::Unreadable(at))?;
        for (range, read) in &mut self.watched {
            *read |= range.start < end && at < range.end;
        }
        for (at, part) in split(at, buf.len()) {
            let into = at as usize % PAGE;
            let page = self.page(at)?;
            buf[part.clone()].copy_from_slice(&page[into..into + part.len()]);
        }
        Ok(())
    }

    pub fn store(&mut self, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        at.checked_add(bytes.len() as u64).ok_or(Stop::Unreadable(at))?;
        for (at, part) in split(at, bytes.len()) {
            let into = at as usize % PAGE;
            let page = self.page(at)?;
            page[into..into + part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    fn page(&mut self, at: u64) -> Result<&mut [u8; PAGE], Stop> {
        let number = at / PAGE as u64;
        if !self.pages.contains_key(&number) {
            if self.pages.len() >= MAX_PAGES {
                return Err(Stop::Memory);
            }
            let mut page = Box::new([0; PAGE]);
            if !STACK.contains(&at) {
                self.below
                    .read(Avma(number * PAGE as u64), &mut page[..])
                    .map_err(|_| Stop::Unreadable(at))?;
            }
            self.pages.insert(number, page);
        }
        self.pages.get_mut(&number).map(|page| &mut **page).ok_or(Stop::Memory)
    }
}

/// Pieces within one page each: address, and place in the buffer. `at + len` does not overflow.
fn split(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = at + done as u64;
        let here = (len - done).min(PAGE - at as usize % PAGE);
        let part = done..done + here;
        done += here;
        (here > 0).then_some((at, part))
    })
}

/// As it is after what was run so far.
impl<M: Memory + ?Sized> Memory for Overlay<'_, M> {
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        at.0.checked_add(buf.len() as u64).ok_or(ReadError::Unmapped(at))?;
        for (at, part) in split(at.0, buf.len()) {
            let into = at as usize % PAGE;
            match self.pages.get(&(at / PAGE as u64)) {
                Some(page) => buf[part.clone()].copy_from_slice(&page[into..into + part.len()]),
                None => self.below.read(Avma(at), &mut buf[part])?,
            }
        }
        Ok(())
    }

    fn regions(&self) -> &[Region] {
        self.below.regions()
    }
}
