"""The documentation of the chart keeps up with it: values, schema and README name the same things, and links lead somewhere."""

import json
import re
import subprocess
import sys
import unittest

import yaml
from helm import CHART, CHECKOUT


class Values(unittest.TestCase):
    def setUp(self):
        self.values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.schema = json.loads((CHART / "values.schema.json").read_text())

    def test_the_schema_has_each_value_and_no_other(self):
        self.assertEqual(set(self.schema["properties"]) - {"global"}, set(self.values))
        for name, value in self.values.items():
            schema = self.schema["properties"][name]
            if schema.get("additionalProperties") is False and name not in ("probes", "resources"):
                self.assertEqual(set(schema["properties"]), set(value), name)

    def test_the_schema_is_strict(self):
        self.assertIs(self.schema["additionalProperties"], False)
        # Objects of Kubernetes, which has the last word on them; and the configuration, on which the server has it.
        free = {"global", "config", "podSecurityContext", "securityContext", "affinity"}
        for name, schema in self.schema["properties"].items():
            if schema.get("type") == "object" and name not in free:
                self.assertIn("additionalProperties", schema, name)
                self.assertIsNot(schema["additionalProperties"], True, name)

    def test_the_table_in_the_readme_is_current_and_has_each_value(self):
        told = subprocess.run([sys.executable, CHECKOUT / "scripts" / "chart-readme", "--check"], capture_output=True, text=True)
        self.assertEqual(told.returncode, 0, told.stderr)
        rows = set(re.findall(r"(?m)^\| `([\w.]+)` \|", (CHART / "README.md").read_text()))
        for name, value in self.values.items():
            self.assertTrue(name in rows or all(any(row.startswith(f"{name}.{inner}") for row in rows) for inner in value), name)


class Links(unittest.TestCase):
    def test_lead_somewhere_with_their_anchors(self):
        for page in (CHART / "README.md", *(CHECKOUT / "docs").glob("*.md")):
            for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
                if "://" in link:
                    continue
                file, _, anchor = link.partition("#")
                target = (page.parent / file).resolve() if file else page
                with self.subTest(page=page.name, link=link):
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors(target.read_text()))


def anchors(text):
    """As renderers of Markdown make them of headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    unittest.main()
