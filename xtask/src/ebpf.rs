//! `cargo xtask ebpf`.

#[derive(clap::Subcommand)]
pub enum Command {
    /// Build the BPF object and put it under probe-ebpf/prebuilt/
    Build,
    /// Rebuild the BPF object and compare it with the committed one
    Check,
}

pub fn run(_command: &Command) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
