//! What a command said, as far as it is wanted under the summary: whoever sees the end of a log sees why a step failed.

use std::collections::VecDeque;

/// Lines from the end, where no test failed.
const TAIL: usize = 30;
/// Of what each failed test said.
const OF_ONE: usize = 25;
/// Of all of them.
const MOST: usize = 120;

/// Lines of interest, as they come.
#[derive(Debug, Default)]
pub struct Said {
    tail: VecDeque<String>,
    /// The test binary that runs.
    running: String,
    /// The test whose output is read, and the end of that.
    test: Option<(String, VecDeque<String>)>,
    failed: Vec<String>,
}

impl Said {
    pub fn line(&mut self, line: &str) {
        push(&mut self.tail, line, TAIL);
        let word = line.trim();
        if let Some(binary) = word.strip_prefix("Running ").or_else(|| word.strip_prefix("Doc-tests ")) {
            self.running = binary.split(" (").next().unwrap_or(binary).to_owned();
        } else if let Some(name) = word.strip_prefix("---- ").and_then(|rest| rest.strip_suffix("----")) {
            self.end_of_test();
            self.test = Some((name.trim().trim_end_matches(" stdout").to_owned(), VecDeque::new()));
        } else if word == "failures:" || word.starts_with("test result: ") {
            self.end_of_test();
        } else if let Some((_, said)) = &mut self.test
            && !word.is_empty()
        {
            push(said, line, OF_ONE);
        }
    }

    fn end_of_test(&mut self) {
        if let Some((name, said)) = self.test.take() {
            self.failed.push(format!("--- {}: {name}", self.running));
            self.failed.extend(said);
        }
    }

    /// The failed tests and what they said; the last lines where there is none, as where it did not compile.
    pub fn of_interest(mut self) -> String {
        self.end_of_test();
        if self.failed.is_empty() {
            return Vec::from(self.tail).join("\n");
        }
        let left_out = self.failed.len().saturating_sub(MOST);
        self.failed.truncate(MOST);
        if left_out > 0 {
            self.failed.push(format!("… and {left_out} lines more"));
        }
        self.failed.join("\n")
    }
}

fn push(lines: &mut VecDeque<String>, line: &str, most: usize) {
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_interest(text: &str) -> String {
        let mut said = Said::default();
        text.lines().for_each(|line| said.line(line));
        said.of_interest()
    }

    #[test]
    fn failed_tests_of_two_harnesses() {
        let text = "     Running tests/a.rs (target/debug/deps/a-0)
test one ... ok
test two ... FAILED

failures:

---- two stdout ----

thread 'two' (7) panicked at tests/tests/a.rs:1:5:
left and right
failures:
    two

test result: FAILED. 1 passed; 1 failed
     Running tests/b.rs (target/debug/deps/b-0)
test three ... ok
test result: ok. 1 passed; 0 failed
     Running tests/matrix.rs (target/debug/deps/matrix-0)
test tokio-1.38 ... FAILED

failures:

---- tokio-1.38 ----
tree: differs


failures:
    tokio-1.38

test result: FAILED. 0 passed; 1 failed
error: 2 targets failed:";
        let expected = "--- tests/a.rs: two
thread 'two' (7) panicked at tests/tests/a.rs:1:5:
left and right
--- tests/matrix.rs: tokio-1.38
tree: differs";
        assert_eq!(of_interest(text), expected);
    }

    #[test]
    fn the_end_of_what_did_not_compile() {
        let text = (0..100).map(|nth| format!("line {nth}\n")).collect::<String>();
        let said = of_interest(&text);
        assert!(said.starts_with("line 70\n") && said.ends_with("line 99"));
    }

    #[test]
    fn a_test_that_says_much_is_cut_at_its_beginning() {
        let much = (0..100).map(|nth| format!("line {nth}\n")).collect::<String>();
        let said = of_interest(&format!("---- much stdout ----\n{much}test result: FAILED"));
        assert!(said.ends_with("line 99") && said.lines().count() == 1 + OF_ONE, "{said}");
    }
}
