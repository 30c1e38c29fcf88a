//! Manual pages and completions, out of the command line's own definition.

use super::args::Cli;
use super::output::{Quit, plain, stdout};
use clap::CommandFactory;
use std::io::Write;
use std::path::Path;

/// One page per command: `async-inspect.1`, `async-inspect-attach.1`, ….
/// How many there are.
pub fn man(directory: &Path) -> Result<usize, Quit> {
    let tried = format!("writing manual pages into {}", directory.display());
    std::fs::create_dir_all(directory).map_err(|error| plain(&tried, &error))?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| plain(&tried, &error))?;
    Ok(1 + Cli::command().get_subcommands().filter(|command| !command.is_hide_set()).count())
}

pub fn completions(shell: clap_complete::Shell) -> Result<(), Quit> {
    let mut command = Cli::command();
    // Into memory first: the generator panics where a write fails, as into `| head`.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "async-inspect", &mut text);
    let mut out = stdout();
    out.write_all(&text)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let pages = man(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), pages);
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = directory.path().join(format!("async-inspect-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains("OPTIONS"), "{}", page.display());
        }
    }
}
