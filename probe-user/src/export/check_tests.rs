use super::*;

fn report() -> CheckReport {
    CheckReport {
        pid: Some(4242),
        exe: "/srv/shop".into(),
        kernel: Kernel {
            release: "6.18.0".into(),
            uprobes: Some(true),
            uprobe_multi: Some(true),
            uprobe_session: Some(false),
            btf: None,
            seccomp: Some(true),
        },
        privileges: vec![
            Privilege { name: "CAP_BPF".into(), held: false, needed_for: "loading probes".into() },
            Privilege { name: "CAP_PERFMON".into(), held: true, needed_for: "attaching probes".into() },
        ],
        debuginfo: DebugInfoLevel::Full,
        debuginfo_from: Some("/usr/lib/debug/shop.debug".into()),
        runtimes: vec![FoundRuntime { kind: RuntimeKind::Tokio, version: Some("1.54.0".into()) }],
        coverage: Some(Coverage {
            poll_sites: 430,
            poll_sites_probeable: 412,
            coroutine_types: 1283,
            coroutine_types_walked: 1280,
            tasks: Some(1090),
            cost_per_poll_ns: Some(1180),
            issues: vec!["18 poll functions begin with an instruction that is single-stepped".into()],
        }),
        attach_mode: Some(Mode::Snapshots),
        dump: true,
        advice: vec![
            "run as root, or: sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep async-inspect".into(),
        ],
    }
}

#[test]
fn text_says_what_and_why_not_more() {
    let mut out = vec![];
    write_text(&mut out, &report(), Paint { color: false }).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn json_has_every_fact() {
    let mut out = vec![];
    write_json(&mut out, &report()).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn a_layout_that_is_not_known_is_no_lack_of_types() {
    let words = |tokio| debuginfo_words(DebugInfoLevel::UnknownLayout, tokio).into_owned();
    let unknown = "types, but how tokio 1.8.1 lays out its tasks is not known";
    let all = words(Some("1.8.1"));
    assert!(
        all.starts_with(unknown) && all.ends_with("from 1.21 on they are: `cargo update -p tokio`"),
        "{all}"
    );
    assert!(!words(Some("1.99.0")).contains("cargo update") && !words(None).contains("tokio"));
    let level = DebugInfoLevel::UnknownLayout;
    let runtimes = vec![FoundRuntime { kind: RuntimeKind::Tokio, version: Some("1.8.1".into()) }];
    let mut out = vec![];
    write_text(&mut out, &CheckReport { debuginfo: level, runtimes, ..report() }, Paint { color: false })
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(unknown) && text.contains("works: what threads block on, but no tasks"), "{text}");
}

#[test]
fn what_a_stripped_program_does_not_tell_is_said() {
    let text = |debuginfo, attach_mode| {
        let mut out = vec![];
        write_text(&mut out, &CheckReport { debuginfo, attach_mode, ..report() }, Paint { color: false })
            .unwrap();
        String::from_utf8(out).unwrap()
    };
    let stripped = text(DebugInfoLevel::None, Some(Mode::Snapshots));
    assert!(
        stripped.contains("by snapshots: states, but no names and no places; no poll counts"),
        "{stripped}"
    );
    let named = text(DebugInfoLevel::Names, Some(Mode::Multi));
    assert!(named.contains("works: names and states, but no places"), "{named}");
    assert!(named.contains("by probes (multi): polls; names and states, but no places"), "{named}");
}
