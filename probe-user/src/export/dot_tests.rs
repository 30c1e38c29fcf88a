use super::*;
use crate::model::sample::{SECOND, Shop};
use proptest::prelude::*;
use std::process::{Command, Stdio};

fn dot_of(snapshot: &crate::decode::Snapshot, all: bool) -> String {
    let graph = Relations::of(snapshot, &[]);
    let graph = if all { graph } else { graph.folded() };
    let mut out = vec![];
    write(&mut out, &graph, &Places::of(&snapshot.frames)).unwrap();
    String::from_utf8(out).unwrap()
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Of the language's words, quoted strings and marks; Err where a character belongs to none.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut chars = text.chars().peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' => {
                let mut inside = String::new();
                loop {
                    match chars.next().ok_or("a string does not end")? {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some(c @ ('"' | '\\' | 'n')) => inside.extend(['\\', c]),
                            other => return Err(format!("escape {other:?}")),
                        },
                        c if c.is_control() => return Err(format!("{c:?} in a string")),
                        c => inside.push(c),
                    }
                }
                found.push(Token::Text(inside));
            }
            '-' if chars.next_if_eq(&'>').is_some() => found.push(Token::Mark('>')),
            '{' | '}' | '[' | ']' | '=' | ',' | ';' => found.push(Token::Mark(c)),
            c if c.is_ascii_alphanumeric() => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(char::is_ascii_alphanumeric) {
                    word.push(c);
                }
                found.push(Token::Word(word));
            }
            c => return Err(format!("{c:?} outside a string")),
        }
    }
    Ok(found)
}

/// `digraph ID { (graph|node|edge|ID|ID -> ID) [ID=value, …]; … }`; the statements' first words.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    let take = |rest: &mut &[Token], want: &Token| match rest.split_first() {
        Some((first, tail)) if first == want => {
            *rest = tail;
            Ok(())
        }
        other => Err(format!("{:?} instead of {want:?}", other.map(|o| o.0))),
    };
    let word = |rest: &mut &[Token]| match rest.split_first() {
        Some((Token::Word(word), tail)) => {
            *rest = tail;
            Ok(word.clone())
        }
        other => Err(format!("{:?} instead of a word", other.map(|o| o.0))),
    };
    take(&mut rest, &Token::Word("digraph".into()))?;
    word(&mut rest)?;
    take(&mut rest, &Token::Mark('{'))?;
    let mut statements = Vec::new();
    while rest.first() != Some(&Token::Mark('}')) {
        statements.push(word(&mut rest)?);
        if take(&mut rest, &Token::Mark('>')).is_ok() {
            word(&mut rest)?;
            statements.push("->".into());
        }
        take(&mut rest, &Token::Mark('['))?;
        loop {
            word(&mut rest)?;
            take(&mut rest, &Token::Mark('='))?;
            match rest.split_first() {
                Some((Token::Word(_) | Token::Text(_), tail)) => rest = tail,
                other => return Err(format!("value {other:?}")),
            }
            if take(&mut rest, &Token::Mark(',')).is_err() {
                break;
            }
        }
        take(&mut rest, &Token::Mark(']'))?;
        take(&mut rest, &Token::Mark(';'))?;
    }
    Ok(statements)
}

#[test]
fn a_deadlock_drawn() {
    insta::assert_snapshot!(dot_of(&Shop::new().deadlock(SECOND), false));
}

#[test]
fn all_draws_each_task() {
    let drawn = parse(&dot_of(&Shop::new().deadlock(SECOND), true)).unwrap();
    let arrows = drawn.iter().filter(|word| *word == "->").count();
    assert_eq!(arrows, 15, "1 join, 9 waits, 3 holders, 2 ends of a channel");
    let from_task = drawn.iter().filter(|word| word.starts_with('t')).count();
    assert_eq!(from_task, 10 + 1 + 9 + 2, "each task, and each edge that leads away from one");
    assert!(parse("digraph relations { a [label=\"x]; }").is_err(), "the checker sees what is wrong");
}

#[test]
fn graphviz_itself_reads_it() {
    let dot = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut dot) = dot else {
        eprintln!("SKIPPED: graphviz is not installed (`dot`)");
        return;
    };
    let text = dot_of(&Shop::new().hostile("a\"b\\N<c>&lt;\n{d|e}\u{202e}#é"), true);
    dot.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = dot.wait_with_output().unwrap();
    assert!(output.status.success());
    let svg = String::from_utf8(output.stdout).unwrap();
    assert!(svg.contains("a&quot;b\\N&lt;c&gt;&amp;lt;"), "{svg}");
}

proptest! {
    #[test]
    fn it_parses_whatever_the_target_calls_its_things(evil in "(?s)[\"\\\\<>&\n\r\t{}|;\\[\\]a-c\u{202e}é]{0,40}") {
        let graph = parse(&dot_of(&Shop::new().hostile(&evil), true));
        prop_assert!(graph.is_ok(), "{:?}", graph);
        let plain = parse(&dot_of(&Shop::new().hostile("x"), true));
        prop_assert_eq!(graph, plain, "no string adds or hides a statement");
    }
}
