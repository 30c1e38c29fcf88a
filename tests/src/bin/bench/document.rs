//! docs/BENCHMARKS.md: sections between marks, each of which can be replaced by itself.

use anyhow::Result;
use e2e::workspace;
use std::fs;

/// One table with a heading and a few words.
#[derive(Clone, Debug)]
pub struct Table {
    pub title: String,
    /// How it was measured.
    pub note: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Into<String>, note: impl Into<String>, head: &[&str]) -> Table {
        let head = head.iter().map(|&name| name.to_owned()).collect();
        Table { title: title.into(), note: note.into(), head, rows: Vec::new() }
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.head.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let machine = machine();
        format!("## {}\n\n{} {machine}\n\n{}{rule}{rows}", self.title, self.note, line(&self.head))
    }
}

/// What the figures are of; no names.
fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let models = read("/proc/cpuinfo");
    let model = models.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    format!("{processors} × {model}, Linux {kernel}.")
}

/// The document in parts: what is written by hand, and what stands between a section's marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    head: String,
    sections: Vec<(String, String)>,
}

fn begin(name: &str) -> String {
    format!("<!-- bench {name} -->\n")
}

const END: &str = "<!-- end -->\n";

impl Document {
    pub fn open() -> Result<Document> {
        Ok(Document::parse(&fs::read_to_string(workspace().join("docs/BENCHMARKS.md"))?))
    }

    fn parse(text: &str) -> Document {
        let mut parts = text.split("\n<!-- bench ");
        let head = parts.next().unwrap_or_default().to_owned();
        let section = |part: &str| {
            let (name, rest) = part.split_once(" -->\n")?;
            let (body, _) = rest.split_once(END)?;
            Some((name.to_owned(), body.to_owned()))
        };
        Document { head, sections: parts.filter_map(section).collect() }
    }

    /// Puts a section in place of what it was, or where `order` says; what is not in `order` goes.
    pub fn replace(&mut self, name: &str, body: &str, order: &[&str]) {
        self.sections.retain(|(old, _)| old != name && order.contains(&old.as_str()));
        self.sections.push((name.to_owned(), body.to_owned()));
        self.sections.sort_by_key(|(name, _)| order.iter().position(|of_order| of_order == name));
    }

    fn text(&self) -> String {
        let section = |(name, body): &(String, String)| format!("\n{}{body}{END}", begin(name));
        std::iter::once(self.head.clone()).chain(self.sections.iter().map(section)).collect()
    }

    pub fn write(&self) -> Result<()> {
        fs::write(workspace().join("docs/BENCHMARKS.md"), self.text())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_section_is_replaced_and_the_rest_kept() {
        let mut document = Document { head: "# By hand\n".to_owned(), sections: Vec::new() };
        let order = ["first", "second"];
        document.replace("second", "two\n", &order);
        document.replace("first", "one\n", &order);
        assert_eq!(Document::parse(&document.text()), document);
        document.replace("first", "one again\n", &order);
        let all: Vec<&str> = document.sections.iter().map(|(_, body)| body.as_str()).collect();
        assert_eq!(all, ["one again\n", "two\n"]);
    }

    #[test]
    fn a_table_in_markdown() {
        let mut table = Table::new("T", "N.", &["a", "b"]);
        table.rows.push(vec!["1".into(), "2".into()]);
        assert!(table.markdown().ends_with("| a | b |\n|---|---|\n| 1 | 2 |\n"), "{}", table.markdown());
    }
}
