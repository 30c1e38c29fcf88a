//! What a page is, and what it does: it is opened in a headless Chromium, where there is one.

use super::*;
use crate::export::outline_text::tests::places;
use crate::outline::{Choice, sample};
use proptest::prelude::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn page(graph: &CallGraph) -> String {
    let mut out = vec![];
    write(&mut out, &Excerpt::of(graph, &Choice::default()), "shop", &places(graph)).unwrap();
    String::from_utf8(out).unwrap()
}

fn called(evil: &str) -> CallGraph {
    let mut graph = sample::shop();
    for function in &mut graph.functions {
        function.name = format!("{}{evil}", function.name).into();
        function.why_yellow.iter_mut().for_each(|why| why.push_str(evil));
    }
    graph
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let page = page(&sample::shop());
    for reference in
        ["http:", "https:", "src=", "url(", "@import", "import(", "fetch(", "XMLHttpRequest", "<link"]
    {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains("default-src 'none'"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_name_ends_the_script(evil in "(</script>|<!--|<script|]]>|&lt;|[\"\\\\<>&\u{2028}\u{202e}\n a-c{}]){0,6}") {
        let page = page(&called(&evil));
        prop_assert_eq!(page.matches("<script").count(), 2);
        prop_assert_eq!(page.matches("</script").count(), 2);
        prop_assert_eq!(page.matches("<!--").count(), 0);
        let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        prop_assert_eq!(data["functions"].as_array().unwrap().len(), 19);
    }
}

/// A browser, the page, and room for what it writes.
struct Browser {
    program: &'static str,
    directory: tempfile::TempDir,
}

impl Browser {
    fn open(test: &str, page: &str) -> Option<Browser> {
        let works = |program: &&str| {
            let version = Command::new(program).arg("--version").stderr(Stdio::null()).output();
            version.is_ok_and(|output| output.status.success())
        };
        let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works) else {
            let mut err = io::stderr();
            let _ =
                writeln!(err, "\n*** SKIPPED {test}: there is no browser (Debian's package `chromium`) ***");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("page.html"), page).unwrap();
        Some(Browser { program, directory })
    }

    fn run(&self, fragment: &str, arguments: &[&str]) -> String {
        let path = self.directory.path();
        let output = Command::new(self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args(["--no-first-run", "--disable-extensions", "--virtual-time-budget=10000"])
            .arg(format!("--user-data-dir={}", path.join("profile").display()))
            .args(arguments)
            .arg(format!("file://{}#{fragment}", path.join("page.html").display()))
            .env("HOME", path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The page as it is when its script has run.
    fn dom(&self, fragment: &str) -> String {
        let dom = self.run(fragment, &["--dump-dom"]);
        assert!(dom.contains("data-ready=\"yes\""), "the script ran to its end:\n{dom}");
        dom
    }

    fn screenshot(&self, fragment: &str, name: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        self.run(fragment, &[&format!("--screenshot={}", file.display()), "--window-size=1280,900"]);
        file
    }
}

/// Names of functions in the tree, as they stand there.
fn rows(dom: &str) -> Vec<String> {
    let tags = regex::Regex::new("<[^>]*>").unwrap();
    let tree = dom.split_once("id=\"tree\"").unwrap().1.split_once("</section>").unwrap().0;
    let names = tree.split("class=\"name\">").skip(1);
    names.map(|name| tags.replace_all(name.split("</span>").next().unwrap(), "").into_owned()).collect()
}

#[test]
fn searching_and_folding_work() {
    let Some(browser) = Browser::open("searching_and_folding_work", &page(&sample::shop())) else { return };
    let all = rows(&browser.dom(""));
    assert_eq!(all[0], "shop::main");
    assert_eq!(all.len(), 24, "{all:?}");
    assert_eq!(rows(&browser.dom("fold=none")), ["shop::main", "shop::plugins::unused"]);

    let found = browser.dom("q=stock%20count");
    assert!(found.contains("1 of 19 functions found"), "{found}");
    let way = [
        "shop::main",
        "shop::main::{async_block#0}",
        "axum::serve::serve",
        "shop::api::user_page",
        "shop::tree::walk",
        "shop::tree::walk",
        "shop::stock::count",
    ];
    assert_eq!(rows(&found), way, "what leads there, and nothing else");
    assert!(found.contains("<mark>stock</mark>::<mark>count</mark>"), "{found}");

    let green = browser.dom("only=green");
    assert!(
        green.contains("2 of 19 functions found")
            && rows(&green).iter().any(|name| name == "shop::db::Row::parse")
    );
    assert!(browser.dom("q=no_such_function").contains("0 of 19 functions found"));
}

#[test]
fn names_are_text_in_the_browser_too() {
    let evil = "<img id=evil src=x onerror=document.title='evil'>";
    let Some(browser) = Browser::open("names_are_text_in_the_browser_too", &page(&called(evil))) else {
        return;
    };
    let dom = browser.dom("fold=all");
    assert!(dom.contains("&lt;img id=evil") && !dom.contains("<img"), "{dom}");
    assert!(dom.contains("<title>async call graph of shop</title>"));
}

#[test]
fn it_is_drawn_light_and_dark() {
    let Some(browser) = Browser::open("it_is_drawn_light_and_dark", &page(&sample::shop())) else { return };
    for (theme, paper, red) in
        [("light", [0xff, 0xff, 0xff], [0xb3, 0x26, 0x1e]), ("dark", [0x14, 0x17, 0x1c], [0xff, 0x8a, 0x80])]
    {
        let file = browser.screenshot(&format!("theme={theme}"), &format!("{theme}.png"));
        if let Some(kept) = std::env::var_os("KEEP_SCREENSHOTS") {
            std::fs::copy(&file, Path::new(&kept).join(format!("{theme}.png"))).unwrap();
        }
        let colors = colors(&file);
        let total: u32 = colors.values().sum();
        assert_eq!(total, 1280 * 900);
        assert!(colors[&paper] > total / 4, "{theme}: the paper");
        assert!(colors.len() > 100, "{theme}: letters are there, {} colours", colors.len());
        assert!(colors.get(&red).is_some_and(|n| *n > 20), "{theme}: what must be async is red");
    }
}

fn colors(file: &Path) -> HashMap<[u8; 3], u32> {
    let decoder = png::Decoder::new(io::BufReader::new(std::fs::File::open(file).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let mut colors = HashMap::new();
    for pixel in pixels[..info.buffer_size()].chunks(info.color_type.samples()) {
        *colors.entry([pixel[0], pixel[1], pixel[2]]).or_insert(0) += 1;
    }
    colors
}
