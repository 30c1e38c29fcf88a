use super::*;
use crate::analysis::Part;
use crate::decode::TaskState;
use crate::model::sample::{SECOND, Shop, tokio};
use crate::target::Avma;

fn findings(diagnosis: &Diagnosis, lint: &str) -> Vec<Finding> {
    diagnosis.findings().into_iter().filter(|finding| finding.lint == lint).cloned().collect()
}

#[test]
fn a_circle_that_was_read_once_is_looked_at_again() {
    let snapshot = Shop::new().deadlock(SECOND);
    let diagnosis = Diagnosis::of(&Case::of_one(&snapshot));
    assert_eq!(findings(&diagnosis, "deadlock"), []);
    assert!(diagnosis.look_again_in().is_some());
}

#[test]
fn a_circle_that_stands_is_found_with_its_tasks_and_locks() {
    let shop = Shop::new();
    let (first, second) = (shop.deadlock(SECOND), shop.deadlock(2 * SECOND));
    let diagnosis = Diagnosis::of(&Case::of_two(&first, &second));
    let [finding] = &findings(&diagnosis, "deadlock")[..] else { panic!("one deadlock: {diagnosis:?}") };
    assert_eq!(finding.tasks, [tokio(2), tokio(3)]);
    assert_eq!(finding.resources.len(), 2);
    assert_eq!(finding.certainty, Certainty::Proven);
}

#[test]
fn circles_of_the_same_places_are_told_once() {
    let shop = Shop::new();
    let many = |t_ns| {
        let mut snapshot = shop.deadlock(t_ns);
        for n in 1..=50u64 {
            // The two that wait for each other, again; and a task that waits for itself.
            let other = |id: u64| tokio(1000 * n + id);
            let moved = |address: Avma| Avma(address.0 + 0x1000 * n);
            let again = snapshot.tasks.iter().filter(|task| [tokio(2), tokio(3)].contains(&task.id)).cloned();
            let again: Vec<_> = again
                .map(|mut task| {
                    task.id = other(task.id.id);
                    let mut waits = task.waits.to_vec();
                    for wait in &mut waits {
                        wait.address = wait.address.map(moved);
                        wait.holders = wait.holders.iter().map(|holder| other(holder.id)).collect();
                    }
                    let mut holds = task.holds.to_vec();
                    holds.iter_mut().for_each(|hold| hold.address = moved(hold.address));
                    (task.waits, task.holds) = (waits.into(), holds.into());
                    task
                })
                .collect();
            let mut alone = again[0].clone();
            alone.id = tokio(1000 * n);
            let mut waits = alone.waits.to_vec();
            waits[0].address = Some(Avma(0x7f00_5000_0000 + n * 0x80));
            waits[0].holders = [alone.id].into();
            alone.waits = waits.into();
            snapshot.tasks.push(alone);
            snapshot.tasks.extend(again);
        }
        snapshot
    };
    let (first, second) = (many(SECOND), many(2 * SECOND));
    let diagnosis = Diagnosis::of(&Case::of_two(&first, &second));
    let [pair, alone] = &findings(&diagnosis, "deadlock")[..] else { panic!("two kinds: {diagnosis:?}") };
    assert_eq!((&pair.tasks[..2], pair.tasks.len()), (&[tokio(2), tokio(3)][..], 100));
    assert_eq!(pair.resources.len(), 2);
    assert_eq!((alone.tasks[0], alone.tasks.len()), (tokio(1000), 50));
    let words = |finding: &Finding| {
        let part = |part: &Part| match part {
            Part::Words(words) => words.to_string(),
            Part::Count(n) => n.to_string(),
            _ => String::new(),
        };
        finding.message.0.iter().map(part).collect::<String>()
    };
    assert!(words(pair).ends_with("; so it is 50 times more at the same places"), "{}", words(pair));
    assert!(words(alone).contains("waits for what it holds itself"), "{}", words(alone));
}

#[test]
fn where_no_task_is_decoded_lints_that_need_that_are_blind() {
    let mut snapshot = Shop::new().deadlock(SECOND);
    snapshot.coverage.tasks_decoded = 0;
    for task in &mut snapshot.tasks {
        (task.tree, task.waits, task.holds) = (None, [].into(), [].into());
    }
    assert_eq!(Diagnosis::of(&Case::of_one(&snapshot)).no_trees(), None, "all may be running");
    snapshot.debuginfo = crate::decode::DebugInfoLevel::Symbols;
    let diagnosis = Diagnosis::of(&Case::of_two(&snapshot, &snapshot));
    let blind: Vec<&str> = diagnosis.blind().map(|(lint, _)| lint).collect();
    assert!(
        ["deadlock", "futurelock", "lock-across-await"].iter().all(|lint| blind.contains(lint)),
        "{blind:?}"
    );
    assert!(diagnosis.no_trees().is_some());
}

#[test]
fn who_moves_or_runs_or_may_be_let_go_is_in_no_deadlock() {
    let shop = Shop::new();
    let found = |change: &dyn Fn(&mut crate::decode::Snapshot)| {
        let (first, mut second) = (shop.deadlock(SECOND), shop.deadlock(2 * SECOND));
        change(&mut second);
        findings(&Diagnosis::of(&Case::of_two(&first, &second)), "deadlock").len()
    };
    let third = |snapshot: &crate::decode::Snapshot| {
        snapshot.tasks.iter().position(|task| task.id == tokio(3)).expect("it is there")
    };
    assert_eq!(found(&|_| ()), 1);
    let runs = |snapshot: &mut crate::decode::Snapshot| {
        let i = third(snapshot);
        snapshot.tasks[i].state = TaskState::Running;
    };
    assert_eq!(found(&runs), 0);
    let moved = |snapshot: &mut crate::decode::Snapshot| {
        let i = third(snapshot);
        snapshot.tasks[i].waits[0].address = Some(Avma(0x7f00_2000_0abc));
    };
    assert_eq!(found(&moved), 0);
    let lets_go = |snapshot: &mut crate::decode::Snapshot| {
        let i = third(snapshot);
        let timer =
            crate::decode::Wait::of_kind(crate::decode::ResourceKind::Timer, snapshot.tasks[i].waits[0].leaf);
        let both = [snapshot.tasks[i].waits[0].clone(), timer];
        snapshot.tasks[i].waits = both.into();
    };
    assert_eq!(found(&lets_go), 0);
}

#[test]
fn what_was_proven_stays_and_what_only_seemed_so_goes() {
    let shop = Shop::new();
    let (first, second) = (shop.deadlock(SECOND), shop.deadlock(2 * SECOND));
    let empty = shop.snapshot(3 * SECOND, vec![]);
    let mut diagnosis = Diagnosis::default();
    assert_eq!(diagnosis.look(&Case::of_two(&first, &second)).len(), 1, "it is news");
    assert_eq!(diagnosis.look(&Case::of_two(&first, &second)).len(), 0, "and then no more");
    diagnosis.look(&Case::of_one(&empty));
    assert_eq!(findings(&diagnosis, "deadlock").len(), 1);

    let mut unsure = second.clone();
    unsure.tasks.iter_mut().for_each(|task| {
        task.waits.iter_mut().for_each(|wait| wait.certainty = Some(Certainty::Possible));
    });
    let mut diagnosis = Diagnosis::default();
    let mut before = unsure.clone();
    before.t_ns = Some(SECOND);
    assert_eq!(diagnosis.look(&Case::of_two(&before, &unsure))[0].certainty, Certainty::Possible);
    assert_eq!(diagnosis.look(&Case::of_two(&first, &second)).len(), 1, "now it is certain");
    let mut diagnosis = Diagnosis::default();
    diagnosis.look(&Case::of_two(&before, &unsure));
    diagnosis.look(&Case::of_one(&empty));
    assert_eq!(findings(&diagnosis, "deadlock"), []);
}

#[test]
fn a_full_table_makes_room_and_counts_what_it_cannot_keep() {
    let finding = |nth: u64, certainty| Finding {
        lint: "deadlock",
        certainty,
        tasks: vec![tokio(nth)],
        places: Vec::new(),
        resources: vec![Avma(nth)],
        message: crate::analysis::Sentence::default(),
        evidence: Vec::new(),
        remedy: "",
    };
    let mut diagnosis = Diagnosis { looks: 1, ..Diagnosis::default() };
    let all = KEPT as u64;
    let taken = (0..all + 5).filter(|nth| diagnosis.take(finding(*nth, Certainty::Possible)).is_some());
    assert_eq!((taken.count() as u64, diagnosis.not_kept()), (all, 5));
    // Two looks later none of them is found any more.
    diagnosis.looks = 3;
    assert!(diagnosis.take(finding(7 * all, Certainty::Proven)).is_some());
    assert_eq!(diagnosis.findings().len(), 1);
}

#[test]
fn every_lint_has_a_name_of_its_own_and_is_found_by_it() {
    for lint in LINTS {
        let found = super::super::named(lint.name()).expect("it is listed");
        assert!(std::ptr::addr_eq(found, *lint), "{} is the name of two", lint.name());
        assert!(lint.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        assert!(!lint.what().is_empty());
    }
}
