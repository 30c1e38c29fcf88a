//! The text beside the committed object: which sources, which tools, which bytes.
//!
//! `probe-user/build.rs` reads it as well, and refuses to build where it does not fit.

use super::toolchain::Toolchain;
use anyhow::{Context, Result, bail};
use async_inspect_ebpf::fingerprint;
use std::fmt;
use std::path::Path;

pub const OBJECT: &str = "probe-ebpf/prebuilt/async-inspect.bpf.o";
pub const RECORD: &str = "probe-ebpf/prebuilt/async-inspect.bpf.txt";

#[derive(Debug)]
pub struct Record {
    pub toolchain: String,
    sources: u64,
    object: u64,
}

impl Record {
    pub fn new(root: &Path, toolchain: &Toolchain, object: &[u8]) -> Result<Self> {
        let sources = fingerprint::sources(&root.join("probe-ebpf")).context("reading the sources")?;
        Ok(Record { toolchain: toolchain.to_string(), sources, object: fingerprint::bytes(object) })
    }

    pub fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(RECORD)).context(RECORD)?;
        let field =
            |name| fingerprint::field(&text, name).with_context(|| format!("{RECORD} says no {name}"));
        let hash = |name| Ok::<_, anyhow::Error>(u64::from_str_radix(field(name)?, 16)?);
        Ok(Record {
            toolchain: field("toolchain")?.to_owned(),
            sources: hash("sources")?,
            object: hash("object")?,
        })
    }

    /// Whether the sources and the object are those that this record is of.
    pub fn check_sources(&self, root: &Path, object: &[u8]) -> Result<()> {
        let sources = fingerprint::sources(&root.join("probe-ebpf")).context("reading the sources")?;
        if sources != self.sources {
            bail!("probe-ebpf has changed since {OBJECT} was built\n  try: cargo xtask ebpf build");
        }
        if fingerprint::bytes(object) != self.object {
            bail!("{OBJECT} is not the one that {RECORD} is of\n  try: cargo xtask ebpf build");
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "toolchain {}", self.toolchain)?;
        writeln!(f, "sources   {:016x}", self.sources)?;
        writeln!(f, "object    {:016x}", self.object)
    }
}
