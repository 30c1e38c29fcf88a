use super::*;

fn place(code: &[u8]) -> Option<(usize, bool)> {
    cheap_place(code, Register::RDI).map(|place| (place.offset, place.after_lock))
}

#[test]
fn what_is_dear_to_probe() {
    for cheap in [&[0x53][..], &[0x41, 0x57], &[0xe9, 0, 0, 0, 0], &[0x0f, 0x1f, 0x44, 0, 0]] {
        assert!(is_emulated(cheap), "{cheap:x?}");
        assert_eq!(place(cheap), Some((0, false)));
    }
    // mov %rdi,%rax; sub $24,%rsp; nothing
    for dear in [&[0x48, 0x89, 0xf8][..], &[0x48, 0x83, 0xec, 0x18], &[]] {
        assert!(!is_emulated(dear), "{dear:x?}");
        assert_eq!(place(dear), None);
    }
}

/// Of the shape of tokio 1.54's `wake_by_ref`: a loop around a compare-and-exchange with ways around it, then one test.
const LOOPS: &[u8] = &[
    0x48, 0x83, 0xec, 0x18, // 0: sub $24,%rsp
    0x48, 0x8b, 0x07, // 4: mov (%rdi),%rax
    0xa8, 0x02, // 7: test $2,%al
    0x75, 0x0d, // 9: jne 24
    0xa8, 0x01, // 11: test $1,%al
    0x75, 0x09, // 13: jne 24
    0x40, 0xb6, 0x01, // 15: mov $1,%sil
    0xf0, 0x4c, 0x0f, 0xb1, 0x07, // 18: lock cmpxchg %r8,(%rdi)
    0x90, // 23: nop
    0x75, 0xed, // 24: jne 7
    0x40, 0x84, 0xf6, // 26: test %sil,%sil
    0x74, 0x07, // 29: je 38
    0x48, 0x8b, 0x47, 0x10, // 31: mov 16(%rdi),%rax
    0xff, 0x60, 0x08, // 35: jmp *8(%rax)
    0xc3, // 38: ret
];

#[test]
fn the_place_behind_a_loop_is_come_by_once() {
    assert_eq!(place(LOOPS), Some((29, true)));
}

#[test]
fn an_argument_that_is_gone_is_no_argument() {
    let mut code = LOOPS.to_vec();
    // mov 16(%rdi),%rdi at 4 would not fit: xor %edi,%edi and a byte that does nothing.
    code[4..7].copy_from_slice(&[0x31, 0xff, 0xf8]);
    assert_eq!(place(&code), None);
    // Behind a call all is gone.
    let calls = [0x48, 0x89, 0xf8, 0xff, 0xd0, 0x74, 0x00, 0xc3];
    assert_eq!(place(&calls), None);
}

#[test]
fn a_place_that_some_calls_go_around_is_none() {
    // mov %rdi,%rax; js 6; ret (js is on every way) …
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0x78, 0x01, 0xc3, 0xc3]), Some((3, false)));
    // … and where an indirect jump leaves before it, it is not.
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0xff, 0xe0, 0x78, 0x01, 0xc3, 0xc3]), None);
}

/// The kernel may put a call in its place, which writes where a function that calls no other keeps its locals.
#[test]
fn a_long_nop_inside_is_none() {
    // mov %rdi,%rax; nopl 0(%rax,%rax); ret
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0x0f, 0x1f, 0x44, 0, 0, 0xc3]), None);
    // … and with a short one it would do.
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0x90, 0xc3]), Some((3, false)));
}

#[test]
fn what_runs_on_behind_the_end_leaves() {
    // js 6; mov %rdi,%rax — and no ret: what follows is not known.
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0x74, 0x01, 0xc3, 0x90]), Some((3, false)));
    assert_eq!(place(&[0x48, 0x89, 0xf8, 0xff, 0xe0]), None);
}

#[test]
fn whatever_bytes_there_are_it_ends() {
    let mut word = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..2_000 {
        let code: Vec<u8> = (0..96)
            .map(|_| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                word as u8
            })
            .collect();
        if let Some(place) = cheap_place(&code, Register::RDI) {
            assert!(is_emulated(&code[place.offset..]));
        }
    }
}
