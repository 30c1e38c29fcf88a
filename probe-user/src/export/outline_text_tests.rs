use super::*;
use crate::outline::{CallGraph, Choice, named, sample};
use proptest::prelude::*;

pub fn places(graph: &CallGraph) -> Places {
    let own = graph.functions.iter().filter(|f| f.origin == crate::outline::Origin::Own);
    Places::of_own(own.filter_map(|f| f.place.as_ref().map(|line| line.file.clone())))
}

fn text(graph: &CallGraph, choice: &Choice, width: usize, color: bool) -> String {
    let mut out = vec![];
    let options = Options { paint: Paint { color }, width };
    write(&mut out, &Excerpt::of(graph, choice), "shop", &places(graph), options).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_shop() {
    insta::assert_snapshot!(text(&sample::shop(), &Choice::default(), 110, false));
}

#[test]
fn narrow() {
    insta::assert_snapshot!(text(&sample::shop(), &Choice::default(), 60, false));
}

#[test]
fn with_dependencies() {
    let choice = Choice { deps: true, ..Choice::default() };
    insta::assert_snapshot!(text(&sample::shop(), &choice, 110, false));
}

#[test]
fn from_one_function_two_steps() {
    let graph = sample::shop();
    let roots = named(&graph, "user_page");
    let choice = Choice { roots, depth: Some(2), ..Choice::default() };
    insta::assert_snapshot!(text(&graph, &choice, 110, false));
}

#[test]
fn colours_are_those_of_the_legend() {
    let text = text(&sample::shop(), &Choice::default(), 110, true);
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap().to_owned();
    assert!(
        line("● shop::api::query").contains("\x1b[31m● shop::api::query"),
        "{:?}",
        line("● shop::api::query")
    );
    assert!(line("○ shop::db::Row::parse").contains("\x1b[32m○ shop::db::Row::parse"));
    assert!(line("▲ shop::stock::count").contains("\x1b[33m▲ shop::stock::count"));
}

#[test]
fn thousands_of_functions_stay_readable() {
    let text = text(&sample::wide(30, 200), &Choice::default(), 100, false);
    assert!(text.lines().count() < 700, "{} lines", text.lines().count());
    assert!(text.contains("5,600 functions more than 1 step from where the trees begin"), "{text}");
    assert!(text.contains("5,801 async functions"), "the summary is of all");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_line_fits_and_nothing_commands_the_terminal(
        evil in "(?s)[\x1b\n\r\t\u{202e}a-c:<> é]{0,120}",
        width in 60_usize..160,
    ) {
        let mut graph = sample::shop();
        for function in &mut graph.functions {
            function.name = format!("{}{evil}", function.name).into();
            function.why_yellow.iter_mut().for_each(|why| why.push_str(&evil));
            if let Some(line) = &mut function.place {
                line.file = format!("{evil}{}", line.file).into();
            }
        }
        for edge in &mut graph.edges {
            edge.through = edge.through.iter().map(|name| format!("{name}{evil}").into()).collect();
        }
        let text = text(&graph, &Choice::default(), width, false);
        let widths: std::collections::BTreeSet<usize> =
            text.lines().map(|line| line.chars().count()).collect();
        prop_assert_eq!(widths.len(), 1, "a box has straight sides: {}", text);
        prop_assert!(widths.iter().all(|w| *w <= width), "{:?} > {}", widths, width);
        prop_assert!(!text.contains(['\x1b', '\r', '\u{202e}']), "escaped");
    }
}

#[test]
fn what_was_cut_is_said() {
    let mut graph = sample::shop();
    graph.bounds.cut(crate::outline::Bound::Candidates, 3);
    let text = text(&graph, &Choice::default(), 110, false);
    assert!(text.contains("· 3 awaits of a dyn Future that may be more than can be told"), "{text}");
}
