"""The real programs for the trade: found, started, waited for, stopped. Nothing outlives `close`.

Programs: $NETPAY_BIN, else $CARGO_TARGET_DIR/debug, else target/debug below the project's root. `nats-server`: on PATH,
else where deploy/setup.sh puts it.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from vectors import ROOT

READY_SECONDS = 20
COMMAND_SECONDS = 20
STOP_SECONDS = 5


def folder():
    """Where the programs are."""
    if os.environ.get("NETPAY_BIN"):
        return pathlib.Path(os.environ["NETPAY_BIN"])
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug"


def nats_server():
    """The NATS server's program."""
    cache = pathlib.Path(os.environ.get("NETPAY_CACHE") or pathlib.Path.home() / ".cache" / "p2p-netpay")
    return shutil.which("nats-server") or str(cache / "bin" / "nats-server")


def free_port():
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def interrupted(*_):
    """What SIGTERM does meanwhile: the same as Ctrl-C, so that nothing is left running."""
    raise KeyboardInterrupt


class World:
    """A NATS server, a broker and peers in a temporary directory."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="netpay-second-opinion-"))
        self.running = []
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(("NETPAY_", "NATS_"))}
        self.environment = own | {"NATS_URL": self.url}

    def __enter__(self):
        self.before = signal.signal(signal.SIGTERM, interrupted)
        return self

    def __exit__(self, *_):
        self.close()
        signal.signal(signal.SIGTERM, self.before)

    def close(self):
        """Stops what runs, the last one first, and removes the directory."""
        for process, log in reversed(self.running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
        self.running.clear()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, name, *command):
        """Starts a program that stays; returns the file that it writes to."""
        path = self.dir / f"{name}.log"
        log = path.open("wb")
        process = subprocess.Popen(
            [str(part) for part in command], cwd=self.dir, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.running.append((process, log))
        return path

    def wait(self, what, ready):
        """Waits until something holds, while all programs run."""
        end = time.monotonic() + READY_SECONDS
        while not ready():
            stopped = [process.args for process, _ in self.running if process.poll() is not None]
            if stopped or time.monotonic() > end:
                logs = "".join(path.read_text(errors="replace")[-2_000:] for path in self.dir.glob("*.log"))
                raise AssertionError(f"{what} is not ready; stopped: {stopped}\n{logs}")
            time.sleep(0.05)

    def start_serving(self, name, *command):
        """Starts one of the project's servers and waits until it says that it is ready."""
        path = self.start(name, *command)
        self.wait(name, lambda: '"ready":true' in path.read_text(errors="replace"))

    def start_nats(self):
        """Starts the NATS server."""
        self.start("nats", nats_server(), "-a", "127.0.0.1", "-p", str(self.port))

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        self.wait("nats-server", listens)

    def command(self, program, *words, expect=0):
        """Runs a program to its end; what it says with --json."""
        command = [str(folder() / program), *(str(word) for word in words), "--json"]
        done = subprocess.run(
            command, cwd=self.dir, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=COMMAND_SECONDS, check=False,
        )
        if done.returncode != expect:
            raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def without_passphrase(self, program):
        """The option for keys without a passphrase, if `init` knows it."""
        told = subprocess.run([str(folder() / program), "init", "--help"], env=self.environment, capture_output=True,
                              text=True, timeout=COMMAND_SECONDS, check=True).stdout
        return ["--no-passphrase"] if "--no-passphrase" in told else []

    def start_broker(self):
        """Makes a broker and starts it; returns its id."""
        made = self.command(
            "netpay-broker", "init", "--dir", "broker", "--nats", self.url, "--http", f"127.0.0.1:{free_port()}",
            *self.without_passphrase("netpay-broker"))
        self.start_serving("broker", folder() / "netpay-broker", "serve", "--config", "broker", "--json")
        return made["broker"]

    def new_peer(self, home, broker):
        """Makes a peer; returns its id."""
        extra = self.without_passphrase("netpay")
        return self.command("netpay", "--home", home, "init", "--broker", broker, *extra)["peer"]

    def credit(self, peer, units):
        """Records a deposit."""
        self.command("netpay-broker", "account", "credit", peer, units, "--reference", f"deposit of {peer}", "--config",
                     "broker")

    def account(self, peer):
        """An account as the operator sees it."""
        return self.command("netpay-broker", "account", "show", peer, "--config", "broker")
