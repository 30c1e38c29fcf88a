//! The tables' slots, filled as the programs fill them.

use async_inspect_ebpf::{FREE, TASK_SLOTS, THREAD_SLOTS, WINDOW, task_slot, thread_slot};

/// How many of `keys` find no room in a table of `slots`, one after the other.
fn homeless(keys: impl Iterator<Item = u64>, slots: u32, slot: impl Fn(u64, u32) -> u32) -> usize {
    let mut table = vec![FREE; slots as usize];
    let mut homeless = 0;
    for key in keys {
        let free = (0..WINDOW).map(|nth| slot(key, nth) as usize).find(|slot| table[*slot] == FREE);
        match free {
            Some(slot) => table[slot] = key,
            None => homeless += 1,
        }
    }
    homeless
}

/// Addresses as allocators hand them out: cache-aligned, in runs, from a few arenas.
fn headers(count: u64, size: u64) -> impl Iterator<Item = u64> {
    const ARENAS: u64 = 4;
    (0..count).map(move |nth| 0x7f3a_4000_0080 + (nth % ARENAS) * (64 << 20) + nth / ARENAS * size)
}

#[test]
fn half_as_many_tasks_as_slots_find_room() {
    for size in [128, 256, 384, 640, 1024, 4096] {
        for (share, most) in [(4, 0.001), (2, 0.02)] {
            let count = u64::from(TASK_SLOTS / share);
            let homeless = homeless(headers(count, size), TASK_SLOTS, task_slot);
            let part = homeless as f64 / count as f64;
            assert!(part <= most, "1/{share} full, {size} bytes apart: {homeless} of {count}");
        }
    }
}

#[test]
fn threads_of_one_process_find_room() {
    // Threads begun one after the other have numbers that follow one another; other processes' threads come in between.
    for gap in [1, 2, 7, 500, THREAD_SLOTS - 100, THREAD_SLOTS] {
        let pools = [0, u64::from(gap) + 512].into_iter();
        let keys = pools.flat_map(|from| (0..512).map(move |nth| 4711 << 32 | (4000 + from + nth)));
        assert_eq!(homeless(keys, THREAD_SLOTS, thread_slot), 0, "{gap} numbers between two pools");
    }
}

#[test]
fn slots_are_within_the_table() {
    for key in [1, u64::MAX - 1, 0x7f3a_4000_0080, u64::from(u32::MAX), 1 << 63] {
        for nth in 0..WINDOW {
            assert!(task_slot(key, nth) < TASK_SLOTS && thread_slot(key, nth) < THREAD_SLOTS);
        }
    }
}
