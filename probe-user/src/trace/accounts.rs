//! The accounts that the programs keep of tasks, read from outside.

use super::TraceError;
use super::object::Programs;
use super::slots::{Slot, Table};
use async_inspect_ebpf::{Account, TASK_SLOTS};

/// An account that nobody has touched for so long may make room for another, in ns. Longer than a thread is preempted while
/// it adds to one.
const RESTED: u64 = 10_000_000_000;
/// Room is scarce when more than so many slots are in use: by then a few tasks in a thousand find none free near theirs.
const SCARCE: usize = TASK_SLOTS as usize / 4;

/// The table `TASKS`.
pub(super) struct Accounts {
    table: Table<Account>,
    /// What each said when it was last read.
    known: foldhash::HashMap<u64, Known>,
}

/// As much of an account as tells whether there is news in it, and where it stands.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    slot: Slot,
    task: u64,
    polls: u64,
    begun: u32,
    is_over: bool,
}

impl Known {
    fn of(slot: Slot, account: &Account) -> Known {
        let Account { task, polls, begun, .. } = *account;
        Known { slot, task, polls, begun, is_over: account.is_over() }
    }
}

/// What one look at all of them gives.
pub(super) struct Read {
    /// By the address of the task's header.
    pub news: Vec<(u64, Account)>,
    /// Headers of accounts that can go; only where room is scarce.
    pub resting: Option<Vec<u64>>,
}

impl Accounts {
    pub fn of(programs: &Programs) -> Result<Self, TraceError> {
        let table = Table::of(programs, "TASK_KEYS", "TASKS", TASK_SLOTS)?;
        Ok(Accounts { table, known: foldhash::HashMap::default() })
    }

    /// As they were before the first was made. No program may run meanwhile.
    pub fn clear(&self) {
        self.table.clear();
    }

    /// As of the last [`Accounts::read`].
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// `epoch`: how many times the probes were put in anew.
    pub fn read(&mut self, epoch: u32) -> Read {
        let (mut news, mut resting) = (Vec::new(), Vec::new());
        let (mut all, mut latest) = (0, 0);
        for (slot, header) in self.table.keys() {
            let account = self.table.value(slot);
            let now = Known::of(slot, &account);
            if self.known.insert(header, now) != Some(now) {
                news.push((header, account));
            }
            all += 1;
            latest = latest.max(account.last_end_ns);
            if account.at_rest(epoch) {
                resting.push((header, account.last_end_ns));
            }
        }
        let rested = |(header, last_end_ns): (u64, u64)| {
            (last_end_ns.saturating_add(RESTED) < latest).then_some(header)
        };
        let resting = (all > SCARCE).then(|| resting.into_iter().filter_map(rested).collect());
        Read { news, resting }
    }

    /// Makes room, and says what the account had when it went. None: it stays, as its task has been polled since it was read.
    pub fn remove(&mut self, header: u64) -> Option<Account> {
        let known = *self.known.get(&header)?;
        if Known::of(known.slot, &self.table.value(known.slot)) != known {
            return None;
        }
        self.known.remove(&header);
        self.table.free(known.slot);
        Some(self.table.value(known.slot))
    }
}
