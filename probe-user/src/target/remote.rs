//! A live process's memory, by `process_vm_readv`.

use super::{Avma, Memory, Process, ReadError, Region};
use crate::sys::process_vm;
use std::io;

impl Memory for Process {
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len();
        if len == 0 {
            return Ok(());
        }
        match process_vm::read(self.pid(), &mut [(at.0, buf)]) {
            Ok(read) if read == len => Ok(()),
            Ok(read) => Err(ReadError::Unmapped(at.offset(read as u64))),
            Err(e) => Err(read_error(&e, at)),
        }
    }

    fn regions(&self) -> &[Region] {
        self.mapped()
    }

    fn read_many(&self, requests: &mut [(Avma, &mut [u8])]) -> Vec<usize> {
        let mut failed = Vec::new();
        let mut vectors: Vec<process_vm::Request<'_>> = Vec::with_capacity(process_vm::MAX_VECTORS);
        let mut start = 0;
        while start < requests.len() {
            let end = requests.len().min(start + process_vm::MAX_VECTORS);
            vectors.extend(requests[start..end].iter_mut().map(|(at, buf)| (at.0, &mut **buf)));
            let outcome = process_vm::read(self.pid(), &mut vectors);
            let lens = vectors.iter().map(|(_, buf)| buf.len());
            match outcome {
                Ok(read) => {
                    let done = complete(lens, read);
                    start += done;
                    if start < end {
                        // The kernel stops at the first vector it cannot fill; the rest is tried without it.
                        failed.push(start);
                        start += 1;
                    }
                }
                Err(e) => match read_error(&e, Avma(0)) {
                    ReadError::Unmapped(_) => {
                        failed.push(start);
                        start += 1;
                    }
                    ReadError::Gone | ReadError::NotPermitted => {
                        failed.extend(start..requests.len());
                        return failed;
                    }
                },
            }
            vectors = recycle(vectors);
        }
        failed
    }
}

/// How many vectors of these lengths `read` bytes fill.
fn complete(lens: impl Iterator<Item = usize>, read: usize) -> usize {
    let mut left = read;
    lens.take_while(|len| {
        let filled = *len <= left;
        left = left.saturating_sub(*len);
        filled
    })
    .count()
}

/// The allocation without its borrows.
fn recycle<'a>(mut vectors: Vec<process_vm::Request<'_>>) -> Vec<process_vm::Request<'a>> {
    vectors.clear();
    vectors.into_iter().map(|_| unreachable!("just cleared")).collect()
}

fn read_error(e: &io::Error, at: Avma) -> ReadError {
    match e.raw_os_error() {
        Some(libc::ESRCH) => ReadError::Gone,
        Some(libc::EPERM) => ReadError::NotPermitted,
        _ => ReadError::Unmapped(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_reads_fail_one_by_one() {
        let process = Process::open(std::process::id()).expect("ourselves");
        let data: Vec<u64> = (0..5000).collect();
        let mut into = vec![[0u8; 8]; data.len()];
        let bad = [0, 7, 1023, 1024, 2500, 4999];
        let mut requests: Vec<(Avma, &mut [u8])> = (into.iter_mut().enumerate())
            .map(|(i, buf)| {
                (if bad.contains(&i) { Avma(8) } else { Avma(&raw const data[i] as u64) }, &mut buf[..])
            })
            .collect();
        assert_eq!(process.read_many(&mut requests), bad);
        for i in (0..data.len()).filter(|i| !bad.contains(i)) {
            assert_eq!(u64::from_le_bytes(into[i]), data[i]);
        }
    }
}
