//! Servers that nobody here wrote: installed from crates.io in a pinned version with its own lockfile, in release with
//! debug info, and looked at while clients keep them busy.

mod clients;
mod decoded;
mod install;
mod load;

pub use decoded::{Decoded, MINIMUM, table};
pub use load::Load;

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
    /// What it reads beside those two: names in `ROOT`, which it is started in, and contents.
    files: &'static [(&'static str, &'static str)],
    clients: clients::Clients,
    /// What clients of a busy day do to it.
    ask: Option<load::Ask>,
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
        files: &[],
        clients: clients::bore,
        ask: None,
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
        files: &[],
        clients: clients::http,
        ask: Some(load::http),
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
        files: &[],
        clients: clients::http,
        ask: Some(load::http),
        tasks: 9,
        cheap: false,
    },
    Real {
        name: "mini-redis",
        version: "0.4.1",
        stack: "tokio",
        executable: "mini-redis-server",
        build: &[],
        arguments: &["--port", "PORT"],
        port: None,
        files: &[],
        clients: clients::redis,
        // Its lockfile has tokio 1.8.1, whose tasks are counted and not decoded: that nothing is found in it says little.
        ask: None,
        tasks: 5,
        cheap: false,
    },
    Real {
        name: "hickory-dns",
        version: "0.26.3",
        stack: "tokio, hickory-net",
        executable: "hickory-dns",
        build: &["--no-default-features"],
        arguments: &["--quiet", "--config", "named.toml", "--zonedir", ".", "--port", "PORT"],
        port: None,
        files: &[("named.toml", NAMED), ("example.zone", ZONE)],
        clients: clients::dns,
        ask: Some(load::dns),
        tasks: 10,
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
        files: &[],
        clients: clients::tftp,
        ask: None,
        tasks: 5,
        cheap: false,
    },
];

/// A name server of one zone, which keeps connections for longer than they are looked at.
const NAMED: &str = r#"
listen_addrs_ipv4 = ["127.0.0.1"]
tcp_request_timeout = 3600
drop_privileges = false

[[zones]]
zone = "example.com"
zone_type = "Primary"
file = "example.zone"
"#;

const ZONE: &str = "\
$ORIGIN example.com.
$TTL 3600
@    IN SOA ns.example.com. admin.example.com. ( 1 3600 600 86400 3600 )
@    IN NS  ns.example.com.
ns   IN A   127.0.0.1
www  IN A   192.0.2.1
";

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
        self.document_root(&root)?;
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

    fn document_root(&self, root: &Path) -> Result<()> {
        clients::document_root(root)?;
        for (name, content) in self.files {
            std::fs::write(root.join(name), content)?;
        }
        Ok(())
    }

    pub fn can_be_busy(&self) -> bool {
        self.ask.is_some()
    }

    /// Builds it, and looks at it while clients keep it busy; how many of their questions it answered, and what the look gave. None:
    /// it is not known how to keep it busy.
    pub fn while_busy<T>(&self, look: impl FnOnce(u32) -> Result<T>) -> Result<Option<(u64, T)>> {
        let Some(ask) = self.ask else { return Ok(None) };
        let executable = self.install()?;
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("root");
        self.document_root(&root)?;
        let port = self.port.map_or_else(free_port, Ok)?;
        let program = self.start(&executable, port, &root)?;
        let load = Load::start(SocketAddr::from(([127, 0, 0, 1], port)), ask)?;
        let looked = look(program.pid());
        let answers = load.stop()?;
        Ok(Some((answers, looked?)))
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
