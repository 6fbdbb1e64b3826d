"""A real `tidings serve` for the tests of the clients, on a directory of its own."""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class Server:
    """Runs until the end of its `with` block."""

    def __enter__(self):
        self.data = tempfile.TemporaryDirectory(prefix="tidings-test-")
        self.start("127.0.0.1:0")
        return self

    def __exit__(self, *_):
        self.stop()
        self.data.cleanup()

    def restart(self):
        """Stops it as an operator would, and starts it again at the same address."""
        self.stop()
        self.start(self.address)

    def start(self, listen):
        command = [binary(), "serve", "--data", self.data.name, "--listen", listen]
        environment = os.environ | {"TIDINGS_SERVER__OPS": "127.0.0.1:0", "TIDINGS_TELEMETRY__LOG_FORMAT": "json"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.address = address(self.process.stderr)
        # What it logs from here on is read so that it never waits for us.
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(timeout=60)
        self.reader.join()
        self.process.stderr.close()
        assert status == 0, f"the server ended with status {status}"


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
