use super::*;
use crate::model::sample::{SECOND, Shop};
use proptest::prelude::*;

fn mermaid_of(snapshot: &crate::decode::Snapshot, all: bool) -> String {
    let graph = Relations::of(snapshot, &[]);
    let graph = if all { graph } else { graph.folded() };
    let mut out = vec![];
    write(&mut out, &graph, &Places::of(&snapshot.frames)).unwrap();
    String::from_utf8(out).unwrap()
}

/// Between the quotes, without `<br/>` and entities.
pub fn labels(line: &str) -> Option<String> {
    let (from, to) = (line.find('"')?, line.rfind('"')?);
    let inside = line[from + 1..to].replace("<br/>", "");
    Some(regex::Regex::new("#[0-9]+;").unwrap().replace_all(&inside, "").into_owned())
}

#[test]
fn a_deadlock_drawn() {
    insta::assert_snapshot!(mermaid_of(&Shop::new().deadlock(SECOND), false));
}

#[test]
fn red_links_are_numbered_as_they_are_written() {
    let text = mermaid_of(&Shop::new().deadlock(SECOND), true);
    let links: Vec<&str> =
        text.lines().filter(|line| line.contains("-->") || line.contains("-.->")).collect();
    let style = text.lines().find_map(|line| line.trim().strip_prefix("linkStyle ")).unwrap();
    let numbers: Vec<usize> =
        style.split(' ').next().unwrap().split(',').map(|number| number.parse().unwrap()).collect();
    // Tasks 2 and 3 are nodes 1 and 2, the two locks 10 and 11.
    let red: Vec<&str> = numbers.iter().map(|number| links[*number].trim()).collect();
    assert_eq!(
        red,
        [
            "n1 -->|\"waits for\"| n11;",
            "n2 -->|\"waits for\"| n10;",
            "n10 -->|\"held by\"| n1;",
            "n11 -->|\"held by\"| n2;",
        ]
    );
}

proptest! {
    #[test]
    fn no_special_character_of_the_target_survives(evil in "(?s)[\"'\\\\<>&\n\r\t{}|;%$`#*_~^@a-c\u{202e}é]{0,40}") {
        let text = mermaid_of(&Shop::new().hostile(&evil), true);
        for line in text.lines() {
            prop_assert!(line.ends_with(';'), "{line}");
            if let Some(label) = labels(line) {
                let special = label.find(['"', '\'', '\\', '<', '>', '&', '|', ';', '%', '$', '`', '#', '*', '_', '~', '^', '@']);
                prop_assert_eq!(special, None, "{}", line);
            }
        }
        prop_assert_eq!(text.lines().count(), mermaid_of(&Shop::new().hostile("x"), true).lines().count());
    }
}
