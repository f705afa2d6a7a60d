//! Real processes: a NATS server, brokers, peer agents. Each test has its own, on free ports of loopback, in a temporary
//! directory; they end with the test, by the pid that it started.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take to start or to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A process that is killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with its output in a file.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = fs::File::create(log).expect("a log in the test's own directory");
        let errors = file.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Its answer to an HTTP request, as the line that says `ready` tells where: status and everything after it.
    pub fn http_get(&self, path: &str) -> (u16, String) {
        let said = self.said();
        let ready = said.lines().find(|line| line.contains("\"ready\":true")).expect("it is ready");
        let ready: Value = serde_json::from_str(ready).expect("an object");
        http_get(ready["http"].as_str().expect("an address"), path)
    }

    /// What a metric says.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.http_get("/metrics");
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no metric {name} in {text}"))
    }

    /// What it wrote so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it wrote this.
    pub fn wait_for(&mut self, text: &str) {
        until(&format!("{text:?} in {}", self.log.display()), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("ended with {status} before it said {text:?}:\n{}", self.said());
            }
            self.said().contains(text).then_some(())
        });
    }

    /// How it ended, if it did: its exit code, or none when a signal ended it.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("it is ours").map(|status| status.code())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill exists").success());
        let mut code = None;
        until("the end of a terminated process", || {
            let ended = self.child.try_wait().expect("it is ours")?;
            code = ended.code();
            assert!(code.is_some(), "ended by a signal ({ended}):\n{}", self.said());
            Some(())
        });
        code
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer: status and everything after it.
pub fn http_get(address: &str, path: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer)
}

/// Waits for a condition, and fails when it takes too long.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition)
}

/// The same, for what takes longer by its nature.
pub fn within<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that this workspace built.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    let folder = exe.parent().and_then(Path::parent).expect("target/<profile>/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; run: cargo build --workspace --bins", path.display());
    path
}

/// A test's own world.
pub struct World {
    /// Its directory.
    pub dir: TempDir,
    /// What its programs are started through: a command that takes a program and its arguments. Nothing as a rule.
    pub through: Vec<String>,
    nats_port: u16,
    nats: Option<Process>,
    jetstream: bool,
}

/// The file with the wall clock's offset.
const CLOCK: &str = "clock";

/// The library that shows programs another time.
fn faketime() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("a Linux system").filter_map(Result::ok);
    let found = libraries.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    found.expect("libfaketime is not here; run: deploy/setup.sh")
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its last line on stdout, as JSON (null if it is none).
    pub json: Value,
    /// Its stderr.
    pub errors: String,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world with a NATS server.
    pub fn new() -> Self {
        let mut world = Self::without_nats();
        world.start_nats();
        world
    }

    /// A world whose NATS server has JetStream, which stores in the world's directory.
    pub fn with_jetstream() -> Self {
        let mut world = Self { jetstream: true, ..Self::without_nats() };
        world.start_nats();
        world
    }

    /// A world without one.
    pub fn without_nats() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let nats_port = listener.local_addr().expect("just bound").port();
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir, through: Vec::new(), nats_port, nats: None, jetstream: false }
    }

    /// Starts the NATS server.
    pub fn start_nats(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.nats_port.to_string()]);
        if self.jetstream {
            command.arg("-js").arg("-sd").arg(self.path("jetstream"));
        }
        let mut nats = Process::start(command, &self.path("nats.log"));
        nats.wait_for("Server is ready");
        self.nats = Some(nats);
    }

    /// Stops it.
    pub fn stop_nats(&mut self) {
        self.nats = None;
    }

    /// Its address.
    pub fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats_port)
    }

    /// A path in the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command to its end; one that does not end in time is killed, and the test fails.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(name, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let pid = child.id().to_string();
        let (ended, ending) = std::sync::mpsc::channel();
        let watch = std::thread::spawn(move || {
            let late = ending.recv_timeout(3 * PATIENCE).is_err();
            late && Command::new("kill").args(["-9", &pid]).status().is_ok()
        });
        let output = child.wait_with_output().expect("it is ours");
        ended.send(()).unwrap_or_default();
        assert!(!watch.join().expect("it only waits"), "{name} {arguments:?} did not end in time");
        self::ended(&output)
    }

    /// Runs a command that must succeed, and returns its JSON.
    pub fn ok(&self, name: &str, arguments: &[&str]) -> Value {
        let ended = self.run(name, arguments);
        assert_eq!(ended.code, 0, "{name} {arguments:?}: {ended:?}");
        ended.json
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut words: VecDeque<OsString> = self.through.iter().map(OsString::from).collect();
        words.push_back(program(name).into());
        let mut command = Command::new(words.pop_front().expect("at least the program"));
        command.current_dir(self.dir.path()).args(words).args(arguments);
        for variable in ["NATS_URL", "NATS_CREDS", "NETPAY_CONFIG", "NETPAY_HOME", "NETPAY_NATS_URL"] {
            command.env_remove(variable);
        }
        for variable in ["NETPAY_PASSPHRASE", "NETPAY_PASSPHRASE_FILE", "NETPAY_NEW_PASSPHRASE"] {
            command.env_remove(variable);
        }
        if self.path(CLOCK).exists() {
            command.envs([
                ("LD_PRELOAD", faketime().as_os_str()),
                ("FAKETIME_TIMESTAMP_FILE", self.path(CLOCK).as_os_str()),
                ("FAKETIME_CACHE_DURATION", "1".as_ref()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
            ]);
        }
        // A peer without a passphrase, unless a test gives one.
        command.env("NETPAY_NO_PASSPHRASE", "true");
        command
    }

    /// Sets the wall clock of everything started from now on, such as `+100d`. Called again it also reaches, within a second,
    /// what was started since the first time. The NATS server keeps the true time.
    pub fn set_clock(&self, offset: &str) {
        fs::write(self.path(CLOCK), offset).expect("our own file");
    }

    /// Starts a long-running command.
    pub fn start(&self, name: &str, arguments: &[&str], log: &str) -> Process {
        Process::start(self.command(name, arguments), &self.path(log))
    }

    /// Starts a program that is not ours, found on the PATH.
    pub fn start_found(&self, name: &str, arguments: &[&str], log: &str) -> Process {
        let mut command = Command::new(name);
        command.current_dir(self.dir.path()).args(arguments);
        Process::start(command, &self.path(log))
    }

    /// The same, with variables in its environment.
    pub fn start_with(&self, name: &str, arguments: &[&str], variables: &[(String, String)], log: &str) -> Process {
        let mut command = self.command(name, arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Process::start(command, &self.path(log))
    }

    /// Makes a broker in `broker/` and returns its id. `settings` replaces text in its broker.toml.
    pub fn init_broker(&self, settings: &[(&str, &str)]) -> String {
        let url = self.nats_url();
        let made =
            self.ok("netpay-broker", &["--json", "init", "--dir", "broker", "--nats", &url, "--http", "127.0.0.1:0"]);
        let path = self.path("broker/broker.toml");
        let mut text = fs::read_to_string(&path).expect("just made");
        for (from, to) in settings {
            assert!(text.contains(from), "{from} in {text}");
            text = text.replace(from, to);
        }
        fs::write(path, text).expect("our own file");
        made["broker"].as_str().expect("an id").to_owned()
    }

    /// Serves the broker; returns when it is ready.
    pub fn serve_broker(&self) -> Process {
        let mut process = self.start("netpay-broker", &["--json", "serve", "--config", "broker"], "broker.log");
        process.wait_for("\"ready\":true");
        process
    }

    /// Credits a peer.
    pub fn credit(&self, peer: &str, units: u64, reference: &str) {
        let units = units.to_string();
        self.ok(
            "netpay-broker",
            &["--json", "account", "credit", peer, &units, "--reference", reference, "--config", "broker"],
        );
    }

    /// Runs `netpay-broker --json … --config broker`, which must succeed.
    pub fn broker(&self, arguments: &[&str]) -> Value {
        self.ok("netpay-broker", &[&["--json"], arguments, &["--config", "broker"]].concat())
    }
}

fn ended(output: &Output) -> Ended {
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
    Ended {
        code: output.status.code().unwrap_or(-1),
        json,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
