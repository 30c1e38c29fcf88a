//! Servers that nobody here wrote: installed from crates.io in a pinned version with its own lockfile, in release with
//! debug info, and looked at while clients keep them busy.

mod clients;
mod decoded;
mod install;

pub use decoded::{Decoded, MINIMUM, table};

use crate::{Program, inspector};
use anyhow::Result;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A program of crates.io, how it is started and what clients do to it.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    pub name: &'static str,
    pub version: &'static str,
    /// What it is made of, for people.
    pub stack: &'static str,
    /// What `cargo install` leaves in `bin`.
    pub executable: &'static str,
    /// Further arguments of `cargo install`.
    pub build: &'static [&'static str],
    /// Arguments; `PORT` is a free one and `ROOT` a directory with a small and a large file.
    pub arguments: &'static [&'static str],
    /// Where it can only listen at one port.
    pub port: Option<u16>,
    clients: clients::Clients,
    /// Tasks that it has once the clients have done all they do.
    pub tasks: usize,
    /// Built in half a minute or so: part of every test run.
    pub cheap: bool,
}

pub const PROGRAMS: &[Real] = &[
    Real {
        name: "bore-cli",
        version: "0.6.0",
        stack: "tokio",
        executable: "bore",
        build: &[],
        arguments: &["server", "--min-port", "30000", "--bind-addr", "127.0.0.1"],
        port: Some(7835),
        clients: clients::bore,
        tasks: 9,
        cheap: true,
    },
    Real {
        name: "dufs",
        version: "0.47.0",
        stack: "hyper 1, hyper-util",
        executable: "dufs",
        build: &["--no-default-features"],
        arguments: &["--bind", "127.0.0.1", "--port", "PORT", "--allow-all", "ROOT"],
        port: None,
        clients: clients::http,
        tasks: 9,
        cheap: false,
    },
    Real {
        name: "miniserve",
        version: "0.35.0",
        stack: "actix-web 4",
        executable: "miniserve",
        build: &["--no-default-features"],
        arguments: &["--interfaces", "127.0.0.1", "--port", "PORT", "--upload-files", "--", "ROOT"],
        port: None,
        clients: clients::http,
        tasks: 9,
        cheap: false,
    },
    Real {
        name: "async-tftp",
        version: "0.4.2",
        stack: "async-executor, async-io",
        executable: "tftpd-dir",
        build: &["--example", "tftpd-dir"],
        arguments: &[],
        port: Some(6969),
        clients: clients::tftp,
        tasks: 5,
        cheap: false,
    },
];

/// How long a server and its clients have to get where they shall be.
const PATIENCE: Duration = Duration::from_secs(20);

impl Real {
    /// Builds it, where that was not done before.
    pub fn install(&self) -> Result<PathBuf> {
        install::install(self)
    }

    /// Builds, runs and looks.
    pub fn measure(&self) -> Result<Decoded> {
        let executable = self.install()?;
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("root");
        clients::document_root(&root)?;
        let port = match self.port {
            Some(port) => port,
            None => free_port()?,
        };
        let program = self.start(&executable, port, &root)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connections = (self.clients)(address)?;
        let decoded = self.settled(program.pid());
        drop((connections, program));
        decoded
    }

    fn start(&self, executable: &Path, port: u16, root: &Path) -> Result<Program> {
        let mut command = Command::new(executable);
        command.current_dir(root).args(self.arguments.iter().map(|argument| match *argument {
            "PORT" => port.to_string(),
            "ROOT" => root.display().to_string(),
            other => other.to_owned(),
        }));
        command.stderr(std::process::Stdio::null());
        Program::spawn(command)
    }

    /// Clients are answered in their own time: looks until all tasks are there and none of them is on its way. Those that do
    /// not come are counted as not told.
    fn settled(&self, pid: u32) -> Result<Decoded> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut decoded = Decoded::of(&inspector::dump(pid)?);
            let settled = decoded.tasks >= self.tasks && decoded.moving == 0;
            if settled || Instant::now() > deadline {
                decoded.miss(self.tasks.saturating_sub(decoded.tasks));
                return Ok(decoded);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
