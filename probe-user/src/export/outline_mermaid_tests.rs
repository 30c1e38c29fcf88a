use super::*;
use crate::export::mermaid::tests::labels;
use crate::export::outline_text::tests::places;
use crate::outline::{Choice, sample};
use proptest::prelude::*;

fn mermaid(graph: &CallGraph) -> String {
    let mut out = vec![];
    write(&mut out, &Excerpt::of(graph, &Choice::default()), &places(graph)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_shop() {
    insta::assert_snapshot!(mermaid(&sample::shop()));
}

#[test]
fn no_more_than_mermaid_draws() {
    let text = mermaid(&sample::wide(30, 200));
    let links = text.lines().filter(|line| line.contains("-->")).count();
    assert_eq!(links, 400, "two of 29 levels");
    assert!(text.contains("5,400 functions more than 2 steps from the roots are left out"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_special_character_survives(evil in "(?s)[\"'\\\\<>&\n\r\t{}|;%$`#*_~^@a-c\u{202e}é]{0,40}") {
        let mut graph = sample::shop();
        for function in &mut graph.functions {
            function.name = format!("{}{evil}", function.name).into();
        }
        for line in mermaid(&graph).lines() {
            prop_assert!(line.ends_with(';'), "{}", line);
            if let Some(label) = labels(line) {
                let special = label.find(['"', '\'', '\\', '<', '>', '&', '|', ';', '%', '$', '`', '#', '*', '_', '~', '^', '@']);
                prop_assert_eq!(special, None, "{}", line);
            }
        }
    }
}
