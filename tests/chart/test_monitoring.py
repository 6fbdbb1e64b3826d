"""Alarms and dashboards: each metric in them is one that the server has, and each alarm has its runbook."""

import json
import re
import unittest

import promql_parser
import yaml
from helm import CHART, CHECKOUT, template
from test_chart import OPEN, SETS, of_kind
from test_config import told_by

# Labels that Prometheus gives to whatever it reads.
OF_PROMETHEUS = {"job", "namespace", "instance", "pod", "service"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


def documented():
    """The labels of each series that docs/metrics.md lists, which a test compares with a running server."""
    found = {}
    for line in (CHECKOUT / "docs" / "metrics.md").read_text().splitlines():
        if re.match(r"\| `\w+_\w+` \| (gauge|counter|histogram) \|", line):
            name, kind, labels = [cell.strip(" `") for cell in line.split("|")[1:4]]
            for suffix in SUFFIXES.get(kind, ("",)):
                own = {label.strip() for label in labels.split(",") if label.strip()}
                found[name + suffix] = own | ({"le"} if suffix == "_bucket" else set())
    return found


def alarms():
    groups = yaml.safe_load((CHART / "alerts" / "tidings.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards():
    return {path.name: json.loads(path.read_text()) for path in (CHART / "dashboards").glob("*.json")}


def queries():
    """Every expression of alarms and dashboards, with where it stands."""
    for rule in alarms():
        yield rule["alert"], rule["expr"]
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']}", target["expr"]
        for variable in dashboard["templating"]["list"]:
            asked = re.match(r"label_values\((.+), (\w+)\)$", variable.get("definition", ""))
            if asked:
                yield f"{name}: {variable['name']}", f"sum by ({asked[2]}) ({asked[1]})"


class Selectors:
    """The series that an expression asks for, and the labels that it groups by."""

    def __init__(self, expression):
        self.series, self.grouped = [], set()
        # Grafana's own variables stand for intervals and for parts of patterns.
        text = expression.replace("$__rate_interval", "5m")
        promql_parser.walk(promql_parser.parse(text), self.visit)

    def visit(self, node):
        if isinstance(node, promql_parser.VectorSelector):
            self.series.append((node.name, {matcher.name: matcher.value for matcher in node.matchers.matchers}))
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            self.grouped |= set(node.modifier.labels)
        return True


class Metrics(unittest.TestCase):
    def test_documentation_has_them(self):
        self.assertGreater(len(documented()), 20)

    def test_every_one_that_is_asked_for_is_documented_with_its_labels(self):
        known = documented()
        for place, expression in queries():
            with self.subTest(place=place):
                asked = Selectors(expression)
                self.assertTrue(asked.series)
                for name, matchers in asked.series:
                    self.assertIn(name, known)
                    self.assertLessEqual(set(matchers), known[name] | OF_PROMETHEUS)
                own = set().union(*(known[name] for name, _ in asked.series))
                self.assertLessEqual(asked.grouped, own | OF_PROMETHEUS)

    def test_counters_are_asked_for_their_rates_and_gauges_are_not(self):
        for place, expression in queries():
            for function in re.findall(r"(?:rate|increase)\((tidings_\w+)", expression):
                self.assertTrue(function.endswith(("_total", "_bucket", "_sum", "_count")), f"{place}: {function}")
            for name in re.findall(r"(?<!rate\()(?<!increase\()\b(tidings_\w+_total)", expression):
                self.fail(f"{place}: {name} is a counter, of which only the rate says something")


class Alarms(unittest.TestCase):
    def test_each_has_a_section_of_the_runbooks_with_commands_and_there_is_no_other(self):
        text = (CHECKOUT / "docs" / "runbooks.md").read_text()
        sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
        self.assertEqual(list(sections), [rule["alert"] for rule in alarms()])
        for name, section in sections.items():
            self.assertRegex(section, r"\n    (tidings|kubectl) ", name)
        for rule in alarms():
            self.assertEqual(rule["annotations"]["runbook_url"], f"docs/runbooks.md#{rule['alert'].lower()}")

    def test_each_says_what_is_wrong_and_how_bad_it_is(self):
        self.assertEqual(len({rule["alert"] for rule in alarms()}), len(alarms()))
        for rule in alarms():
            with self.subTest(alarm=rule["alert"]):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                self.assertTrue(rule["annotations"]["summary"] and rule["annotations"]["description"])
                for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]):
                    self.assertIn(label, Selectors(rule["expr"]).grouped)

    def test_the_chart_makes_them_for_its_own_release(self):
        (rule,) = of_kind(template(SETS["embedded"]), "PrometheusRule")
        made = rule["spec"]["groups"][0]["rules"]
        self.assertEqual([one["alert"] for one in made], [one["alert"] for one in alarms()])
        for one in made:
            for _, matchers in Selectors(one["expr"]).series:
                self.assertEqual((matchers["namespace"], matchers["service"]), ("shop", "bus-tidings-headless"))
                self.assertNotIn("job", matchers)
            self.assertRegex(one["annotations"]["runbook_url"], r"^https://docs\.example\.com/tidings/docs/runbooks\.md#")
        values = {"prometheusRule": {"enabled": True, "disabled": ["TidingsAway"], "alertLabels": {"team": "a"}}}
        (rule,) = of_kind(template(OPEN, values), "PrometheusRule")
        made = rule["spec"]["groups"][0]["rules"]
        self.assertEqual((len(made), made[0]["labels"]["team"]), (len(alarms()) - 1, "a"))


class Dashboards(unittest.TestCase):
    def test_panels_say_what_they_show_and_lie_beside_each_other(self):
        for name, dashboard in dashboards().items():
            taken = set()
            self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
            for panel in dashboard["panels"]:
                with self.subTest(dashboard=name, panel=panel["title"]):
                    at = panel["gridPos"]
                    cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                    self.assertFalse(cells & taken)
                    self.assertLessEqual(at["x"] + at["w"], 24)
                    taken |= cells
                    if panel["type"] != "row":
                        self.assertTrue(panel["description"])
                        self.assertEqual(panel["datasource"]["uid"], "${datasource}")

    def test_variables_that_are_used_are_there(self):
        for name, dashboard in dashboards().items():
            there = {variable["name"] for variable in dashboard["templating"]["list"]}
            used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval", "__all"}
            self.assertEqual(used, there, name)

    def test_the_chart_hands_them_over_as_they_are(self):
        maps = of_kind(template(SETS["embedded"]), "ConfigMap")
        (handed,) = [one["data"] for one in maps if one["metadata"]["name"].endswith("-dashboards")]
        self.assertEqual({name: json.loads(text) for name, text in handed.items()}, dashboards())


class Commands(unittest.TestCase):
    def test_those_of_the_documentation_are_commands_of_the_program(self):
        seen = set()
        for page in ("runbooks", "operations"):
            text = (CHECKOUT / "docs" / f"{page}.md").read_text()
            for line in re.findall(r"(?m)(?:^ +|`|-- )(tidings [^`\n]+)", text):
                words = re.match(r"tidings((?: [a-z][a-z-]*(?= |$))*)", line)[1].split()
                seen.add((tuple(words[:2]), tuple(re.findall(r" (--[a-z-]+)", line))))
        self.assertGreater(len(seen), 10)
        for words, flags in seen:
            with self.subTest(command=words):
                told = told_by(*words, "--help")
                for flag in flags:
                    self.assertIn(flag, told)


if __name__ == "__main__":
    unittest.main()
