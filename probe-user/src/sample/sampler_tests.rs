use super::*;
use crate::runtime::CurrentTask;
use crate::trace::TracePlan;
use std::sync::atomic::{AtomicU64, Ordering};

fn no_tables() -> Tables {
    Tables::new(TracePlan::default(), 0)
}

fn thread(tid: u32, id: u64, tag: Option<u64>) -> PollingThread {
    PollingThread { tid, current: CurrentTask { id: Avma(id), tag: tag.map(Avma) } }
}

/// Word 1 is 7 in two looks out of five, word 2 is always 9, word 3 is 0, word 4 names a worker; nothing else can be read.
struct Made(u32);

impl Words for Made {
    fn read(&mut self, at: &[u64], words: &mut Vec<Option<u64>>) -> io::Result<()> {
        self.0 += 1;
        let first = if self.0 % 5 < 2 { 7 } else { 0 };
        let word = |at: &u64| match at {
            1 => Some(first),
            2 => Some(9),
            3 => Some(0),
            4 => Some(4),
            _ => None,
        };
        words.clear();
        words.extend(at.iter().map(word));
        Ok(())
    }

    fn block(&mut self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

fn polling(threads: Vec<PollingThread>) -> Polling {
    Polling { threads, workers: [4].into() }
}

fn hits(round: &Round, task: u64, tid: u32) -> u32 {
    round.runs.iter().find(|run| (run.task, run.tid) == (task, tid)).map_or(0, |run| run.hits)
}

#[test]
fn a_round_counts_who_was_seen_where() {
    let (mut sampler, scout) = Sampler::over(Box::new(Made(0)), no_tables(), 1000);
    // The second has ended; of the fourth the tag says that there is no task, of the fifth that there is.
    let threads = [
        thread(11, 1, None),
        thread(12, 0, None),
        thread(13, 2, None),
        thread(14, 2, Some(3)),
        thread(15, 1, Some(2)),
        thread(16, 4, None),
    ];
    scout.tell(&polling(threads.into()), HashMap::new());
    let round = sampler.round(&|| true).expect("made-up words");
    assert_eq!((round.period_ns, round.threads), (1_000_000, 6), "{round:?}");
    // More where the test itself was held up.
    assert!(round.looks + round.missed >= 100, "{round:?}");
    assert!(round.looks > 0 && hits(&round, 9, 13) == round.looks, "{round:?}");
    assert_eq!(hits(&round, 7, 11), hits(&round, 7, 15));
    assert!(hits(&round, 7, 11).abs_diff(round.looks * 2 / 5) <= 1, "{round:?}");
    assert_eq!(round.runs.len(), 3, "{round:?}");
}

#[test]
fn who_sees_nothing_says_so() {
    let (mut sampler, scout) = Sampler::over(Box::new(Made(0)), no_tables(), 10_000);
    assert_eq!(sampler.round(&|| true).expect("made-up words").looks, 0, "no thread is known");
    scout.tell(&polling(vec![thread(11, 0, None)]), HashMap::new());
    let round = sampler.round(&|| true).expect("made-up words");
    assert_eq!((round.looks, round.runs.len()), (0, 0));
    assert!(round.missed >= 1000, "{round:?}");
}

#[test]
fn more_threads_than_fit_are_counted() {
    let (_, scout) = Sampler::over(Box::new(Made(0)), no_tables(), 100);
    let many: Vec<_> = (0..THREADS as u32 + 3).map(|tid| thread(tid, 1, None)).collect();
    assert_eq!(scout.tell(&polling(many), HashMap::new()), 3);
}

#[test]
fn ones_own_words_can_be_read() {
    static WORD: AtomicU64 = AtomicU64::new(1 << 40);
    let mut remote = Remote { pid: std::process::id() };
    let mut words = Vec::new();
    let at = &raw const WORD as u64;
    remote.read(&[at, 8, at, 16], &mut words).expect("we live");
    let value = Some(WORD.load(Ordering::Relaxed));
    assert_eq!(words, [value, None, value, None]);
    // Above any `pid_max`.
    assert!(Remote { pid: i32::MAX as u32 }.read(&[at], &mut words).is_err());
}

#[test]
fn looks_are_drawn_within_their_period() {
    struct Moments(Arc<Mutex<Vec<u64>>>);
    impl Words for Moments {
        fn read(&mut self, _: &[u64], words: &mut Vec<Option<u64>>) -> io::Result<()> {
            self.0.lock().expect("nobody panicked").push(now_ns());
            words.clear();
            Ok(())
        }

        fn block(&mut self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    let moments = Arc::default();
    let (mut sampler, _) = Sampler::over(Box::new(Moments(Arc::clone(&moments))), no_tables(), 100);
    let (begin, period) = (sampler.begin_ns, sampler.period_ns);
    for _ in 0..5 {
        sampler.round(&|| true).expect("made-up words");
    }
    let moments = moments.lock().expect("nobody panicked");
    let into: Vec<u64> = moments.iter().map(|at| (at - begin) % period).collect();
    let numbers: Vec<u64> = moments.iter().map(|at| (at - begin) / period).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]), "{numbers:?}");
    let (early, late) = (into.iter().min().expect("looked"), into.iter().max().expect("looked"));
    assert!(late - early > period / 4, "not always at the same point: {into:?}");
}
