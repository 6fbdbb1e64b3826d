"""The configuration that the chart makes of values: TOML that says the same, and that the real server takes."""

import os
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from helm import CHECKOUT, template
from test_chart import KAFKA, OPEN, SETS, container_of


def toml_of(*values):
    (found,) = [one for one in template(*values) if "tidings.toml" in one.get("data", {})]
    return found["data"]["tidings.toml"]


def check(text, **variables):
    """What `tidings config check` says of it; None = no faults."""
    with tempfile.TemporaryDirectory(prefix="tidings-config-") as directory:
        file = Path(directory) / "tidings.toml"
        file.write_text(text)
        told = subprocess.run([binary(), "config", "check", file], capture_output=True, text=True, env=os.environ | variables)
        return None if told.returncode == 0 else told.stderr.replace(str(file), "FILE")


def told_by(*command):
    return subprocess.run([binary(), *command], capture_output=True, text=True, check=True).stdout


def binary():
    return Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")) / "debug" / "tidings"


class TheServer(unittest.TestCase):
    def test_takes_the_configuration_of_every_set_with_its_environment(self):
        for name, path in SETS.items():
            with self.subTest(values=name):
                text = toml_of(path)
                env = container_of(template(path)).get("env", [])
                self.assertIsNone(check(text, **{variable["name"]: "hush" for variable in env}), text)

    def test_finds_the_door_closed_where_the_chart_says_so(self):
        """The server looks itself, too."""
        for name in ("embedded", "kafka-production"):
            with self.subTest(values=name):
                text = toml_of(SETS[name])
                self.assertIs(tomllib.loads(text)["server"]["insecure"], False)
                self.assertIsNone(check(text))
        self.assertIn("server.listen", check(toml_of(OPEN).replace("insecure = true", "insecure = false")))

    def test_tells_of_keys_that_it_does_not_know(self):
        self.assertIn("limits.steams", check(toml_of(OPEN, {"config": {"limits": {"steams": 1}}})))

    def test_finds_every_default_as_it_was_after_a_trip_through_values(self):
        """All keys, with their types: what `tidings config show` prints, as values, and back."""
        values = tomllib.loads(told_by("config", "show"))
        for path in ("server.listen", "server.ops", "server.insecure", "server.ops_open", "log.backend", "log.embedded.directory"):
            drop(values, path.split("."))
        drop(values, ["log", "kafka", "bootstrap_servers"])
        text = toml_of(KAFKA, {"config": values})
        self.assertIsNone(check(text), text)
        back = tomllib.loads(text)
        for section in values.keys() - {"server", "log"}:
            self.assertEqual(back[section], values[section])


class Toml(unittest.TestCase):
    """The renderer by itself: whatever a section holds."""

    def test_says_what_the_values_say(self):
        section = {
            "whole": 4,
            "large": 9_007_199_254_740_991,
            "negative": -1,
            "float": 0.25,
            "small": 1e-9,
            "yes": True,
            "text": 'quotes " and \\ back, <html> & ünïcødé \U0001f4ec\nand lines\t',
            "looks like": "4",
            "empty": "",
            "none": [],
            "numbers": [1, 2, 3],
            "texts": ["a", "b"],
            "nested": [[1], [2, 3]],
            "dotted.key": {"deeper.still": {"x": 1}, "table of none": {}},
            "tables": [{"name": "a", "inner": {"x": 1, "deep": {"y": [True]}}, "list": [{"z": "1"}]}, {"name": "b"}],
        }
        self.assertEqual(tomllib.loads(toml_of(OPEN, {"config": {"any": section}}))["any"], section)

    def test_leaves_out_what_is_null(self):
        back = tomllib.loads(toml_of(OPEN, {"config": {"any": {"a": None, "b": {"c": None, "d": 1}}}}))
        self.assertEqual(back["any"], {"b": {"d": 1}})
        self.assertNotIn("log_format", tomllib.loads(toml_of(OPEN, {"config": {"telemetry": {"log_format": None}}}))["telemetry"])

    def test_is_told_numbers_that_helm_was_told_on_its_command_line(self):
        values = {"config": {"limits": {"max_event_bytes": 1048576, "streams": 20_000_000}}}
        self.assertIn("max_event_bytes = 1048576\nstreams = 20000000\n", toml_of(OPEN, values))


def drop(values, path):
    for name in path[:-1]:
        values = values[name]
    values.pop(path[-1], None)


if __name__ == "__main__":
    unittest.main()
