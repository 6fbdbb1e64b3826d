"""A real `tidings serve` for the tests of the clients, and the logs that can stand behind it."""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class Embedded:
    """The log in a directory of its own, which ends with its `with` block."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="tidings-test-")
        self.options = ["--data", self.directory.name]
        return self

    def __exit__(self, *_):
        self.directory.cleanup()


class Kafka:
    """A broker of its own, which ends with its `with` block, started with these arguments of the script."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __enter__(self):
        command = [CHECKOUT / "tests" / "kafka" / "broker", *self.arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.__exit__()
            raise RuntimeError(f"the broker did not start: {line!r}")
        _, self.address, _, *further = line.split()
        self.listeners = {name: f"127.0.0.1:{port}" for name, port in (listener.split("=") for listener in further)}
        self.options = ["--kafka", self.address]
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class Server:
    """Runs until the end of its `with` block; on an embedded log of its own unless it is given one.

    More settings are given as the environment has them: `LOG__KAFKA__TOPIC_PREFIX="staging."`."""

    def __init__(self, log=None, **settings):
        self.log, self.own, self.settings = log, None if log else Embedded(), settings

    def __enter__(self):
        self.log = self.own.__enter__() if self.own else self.log
        self.start("127.0.0.1:0")
        return self

    def __exit__(self, *_):
        self.stop()
        if self.own:
            self.own.__exit__()

    def restart(self):
        """Stops it as an operator would, and starts it again at the same address."""
        self.stop()
        self.start(self.address)

    def kill(self):
        """Stops it as a crash would, and starts it again at the same address."""
        self.process.kill()
        self.ended()
        self.start(self.address)

    def start(self, listen):
        command = [binary(), "serve", *self.log.options, "--listen", listen]
        settings = {"SERVER__OPS": "127.0.0.1:0", "TELEMETRY__LOG_FORMAT": "json", "TOPICS__AUTO_CREATE": "true"}
        environment = os.environ | {f"TIDINGS_{key}": value for key, value in (settings | self.settings).items()}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.address = address(self.process.stderr)
        # What it logs from here on is read so that it never waits for us.
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()

    def stop(self):
        self.process.terminate()
        status = self.ended()
        assert status == 0, f"the server ended with status {status}"

    def ended(self):
        status = self.process.wait(timeout=60)
        self.reader.join()
        self.process.stderr.close()
        return status


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")
    return Path(target) / "debug" / "tidings"


def address(log):
    """The address that the server says it listens at."""
    seen = []
    for line in log:
        seen.append(line)
        fields = json.loads(line) if line.startswith("{") else {}
        if fields.get("message") == "listening":
            return fields["address"]
    raise RuntimeError("the server did not start:\n" + "".join(seen))
