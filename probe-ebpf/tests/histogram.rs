//! Classes of times: ordered, without gaps, and never wider than they are said to be.

use async_inspect_ebpf::{CLASSES, LONGEST_LOG, SHORTEST_LOG, STEPS, class_begins, class_ends, class_of};
use proptest::prelude::*;

#[test]
fn each_class_begins_where_the_one_before_ends() {
    assert_eq!(class_begins(0), 0);
    for class in 0..CLASSES - 1 {
        let end = class_ends(class).expect("only the last has no end");
        assert_eq!(end, class_begins(class + 1));
        assert!(class_begins(class) < end, "class {class} is empty");
        assert_eq!(
            (class_of(class_begins(class)), class_of(end - 1), class_of(end)),
            (class, class, class + 1)
        );
    }
    assert_eq!(class_ends(CLASSES - 1), None);
    assert_eq!(class_of(u64::MAX), CLASSES - 1);
    assert_eq!(class_begins(1), 1 << SHORTEST_LOG);
    assert_eq!(class_begins(CLASSES - 1), 1 << LONGEST_LOG);
}

/// Of every order of magnitude as many.
fn times() -> impl Strategy<Value = u64> {
    (0u32..64, any::<u64>()).prop_map(|(shift, ns)| ns >> shift)
}

proptest! {
    #[test]
    fn a_longer_time_is_in_no_lower_class(a in times(), b in times()) {
        let (short, long) = (a.min(b), a.max(b));
        prop_assert!(class_of(short) <= class_of(long));
    }

    #[test]
    fn a_time_lies_in_its_class_which_is_a_quarter_wide_at_most(ns in times()) {
        let class = class_of(ns);
        prop_assert!(class < CLASSES);
        let begin = class_begins(class);
        prop_assert!(begin <= ns);
        if let Some(end) = class_ends(class) {
            prop_assert!(ns < end);
            prop_assert!(class == 0 || end - begin <= begin / u64::from(STEPS));
        }
    }
}
