"""The commands on top of the clients, one for each language: how a test runs them, and what they print."""

import base64
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE / "python"))

from client import CloudEvent, CloudEventBatch

# Java is told to care for its start rather than for its speed later: it runs for a second.
COMMANDS = {
    "python": [sys.executable, HERE / "python" / "command.py"],
    "go": [HERE / "go" / "bin" / "client"],
    "node": ["node", HERE / "node" / "command.js"],
    "java": ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
    + ["-cp", f"{HERE / 'java' / 'target' / 'classes'}:{HERE / 'java' / 'target' / 'jars' / '*'}", "Command"],
}
LANGUAGES = list(COMMANDS)
SOON = 90


def publish(language, server, topic, events):
    """Publishes the events with one call; what the command printed as its result, its status, and what else it said."""
    stdin = CloudEventBatch(events=events).SerializeToString()
    command = [*COMMANDS[language], "publish", "--server", server, "--topic", topic]
    ended = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SOON)
    return ended.stdout.decode().splitlines(), ended.returncode, ended.stderr.decode()


class Subscriber:
    """A running subscribe; `events` are those that it has printed, in order, at `offsets`."""

    def __init__(self, language, server, group, topic, count):
        options = ["--server", server, "--group", group, "--count", str(count)]
        self.name, self.events, self.offsets = language, [], []
        self.ended, self.changed = False, threading.Condition()
        command = [*COMMANDS[language], "subscribe", *options, topic]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stderr = []
        self.readers = [threading.Thread(target=self.read_events), threading.Thread(target=self.read_stderr)]
        for reader in self.readers:
            reader.start()

    def read_events(self):
        for line in self.process.stdout:
            _, _, offset, encoded = line.split()
            event = CloudEvent.FromString(base64.b64decode(encoded))
            with self.changed:
                self.offsets.append(int(offset))
                self.events.append(event)
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def read_stderr(self):
        self.stderr.extend(self.process.stderr)

    def wait_for(self, ids):
        """Waits until all these have been printed."""
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.has(ids), timeout=SOON)
        assert self.has(ids), f"{self.name} got only {[event.id for event in self.events]}\n{''.join(self.stderr)}"

    def has(self, ids):
        return ids <= {event.id for event in self.events}

    def result(self):
        """All events that it has printed, once it has ended by itself."""
        try:
            status = self.process.wait(timeout=SOON)
        finally:
            self.stop()
        assert status == 0, f"{self.name} ended with status {status}:\n{''.join(self.stderr)}"
        return self.events

    def stop(self):
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
