//! Programs beside the test: found, started, signalled and, whatever happens to the test, ended.
//!
//! A process dies in three ways: its [`Process`] is dropped, also by a panic; or the test program
//! dies, and the kernel kills it by its parent-death signal. That signal belongs to the thread that
//! started the process, so one thread that lives as long as the program starts them all.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::eventually;

/// A process, killed when this is dropped; its log is shown when the test fails.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A signal by the name that `kill` gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Stop,
    Cont,
    Term,
    Kill,
}

/// Path of a program.
///
/// # Panics
/// When it is not installed; the message names the package that has it.
pub(crate) fn find(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    dirs.map(|d| d.join(program))
        .find(|p| p.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: install the package {package}"))
}

/// A scratch directory below `target`, removed when dropped.
pub(crate) fn scratch(name: &str) -> TempDir {
    let root = env!("CARGO_TARGET_TMPDIR");
    fs::create_dir_all(root).unwrap();
    tempfile::Builder::new()
        .prefix(name)
        .tempdir_in(root)
        .unwrap()
}

/// Runs a program to its end, at most `limit`; its output is returned.
pub(crate) async fn run(mut command: Command, limit: Duration) -> Output {
    let name = format!("{command:?}");
    command.stdin(Stdio::null());
    let mut bounded = Command::new(find("timeout", "coreutils"));
    bounded.args(["-k", "1", &limit.as_secs().to_string()]);
    bounded.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        bounded.env(key, value.unwrap_or_default());
    }
    bounded.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || bounded.output())
        .await
        .unwrap()
        .unwrap();
    Output {
        name,
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What a program that ended left behind.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Asserts that it succeeded and returns what it printed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert!(
            self.status.success(),
            "{}: {}\n{}{}",
            self.name,
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

impl Process {
    /// Starts a program whose output goes to a file in `dir`.
    pub(crate) fn start(name: &str, command: &Command, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut tied = Command::new(find("setpriv", "util-linux"));
        tied.args(["--pdeathsig", "KILL", "--"]);
        tied.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => tied.env(key, value),
                None => tied.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            tied.current_dir(dir);
        }
        tied.stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        let child = spawn(tied).unwrap();
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
            Signal::Term => "TERM",
            Signal::Kill => "KILL",
        };
        let script = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("/bin/sh")
            .args(["-c", &script])
            .status()
            .unwrap();
        assert!(sent.success(), "{} is gone: {}", self.name, self.tail());
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end of the process.
    pub(crate) async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let child = Mutex::new(&mut self.child);
        eventually(&what, patience, || async {
            child.lock().unwrap().try_wait().unwrap().is_some()
        })
        .await;
        self.child.wait().unwrap()
    }

    /// Kills the process: its connections are reset, then refused.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::Kill);
        self.wait(Duration::from_secs(5)).await;
    }

    /// Everything that it has written so far.
    pub(crate) fn output(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines that it has written.
    pub(crate) fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// One field of `/proc/<id>/status`, in bytes (the kernel writes kB).
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with(field)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_none() {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
        if std::thread::panicking() {
            let state = ended.map_or("was running".to_owned(), |s| match s.signal() {
                Some(signal) => format!("was killed by signal {signal}"),
                None => s.to_string(),
            });
            eprintln!(
                "--- {} {state}; its log ends:\n{}\n---",
                self.name,
                self.tail()
            );
        }
    }
}

struct Order {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

static STARTER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    let work = move || {
        for mut order in inbox {
            let _asker_left = order.reply.send(order.command.spawn());
        }
    };
    std::thread::Builder::new()
        .name("starter".to_owned())
        .spawn(work)
        .unwrap();
    Mutex::new(orders)
});

fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = mpsc::channel();
    STARTER
        .lock()
        .unwrap()
        .send(Order { command, reply })
        .unwrap();
    answer.recv().unwrap()
}
