"""Helm for the tests of the chart: the real one, as a shared library, so that no Go toolchain and no cluster is needed."""

import ctypes
import json
import shutil
import tempfile
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "helm" / "tidings"
LIBRARY = CHECKOUT / "target" / "helm" / "helm.so"

RELEASE, NAMESPACE = "bus", "shop"
# The oldest that the chart takes.
KUBERNETES = "1.30.0"


class Result(ctypes.Structure):
    """What each call gives back: what it printed, or why it failed."""

    _fields_ = [(name, ctypes.c_char_p) for name in ("out", "err", "stdout", "stderr")]


def options(*fields):
    """A C structure: text, unless a name is behind `int`."""
    kind = {"int": ctypes.c_int}
    pairs = [field.split() for field in fields]
    return type("Options", (ctypes.Structure,), {"_fields_": [(p[-1], kind.get(p[0], ctypes.c_char_p)) for p in pairs]})


LintOptions = options("path", "int strict", "int quiet")
TemplateOptions = options(
    *("name", "version", "chart", "namespace", "kubeVersion", "int dependencyUpdate", "int skipCRDs", "values"),
    *("setFiles", "valuesFiles", "certFile", "keyFile", "caFile", "int insecureSkipTlsVerify", "int plainHttp"),
    *("keyring", "int debug", "repositoryConfig"),
)
# The notes are told by an installation that does not happen.
InstallOptions = options(
    *("name", "int generateName", "nameTemplate", "version", "chart", "namespace", "kubeVersion", "int atomic"),
    *("int createNamespace", "description", "int devel", "int dependencyUpdate", "int disableOpenApiValidation"),
    *("int dryRun", "dryRunOption", "int skipCRDs", "int wait", "int timeout", "values", "setFiles", "valuesFiles"),
    *("kubeConfig", "kubeConfigContents", "certFile", "keyFile", "caFile", "int insecureSkipTlsVerify"),
    *("int plainHttp", "keyring", "int debug", "int clientOnly", "repositoryConfig"),
)


class Refused(Exception):
    """Helm does not render the chart with these values; the text says why."""


class Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is a fault, as for the API server."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"keys that come twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def lint():
    """All that `helm lint --strict` has to say, and whether it fails."""
    return call("Lint", LintOptions(path=str(CHART).encode(), strict=1))


def template(*values):
    """The objects that the chart makes of these values: files, or maps, each over those before. Hooks are not among them."""
    return documents(rendered("Template", TemplateOptions, values))


def hooks(*values):
    """The pods that are hooks, such as tests: Helm keeps them to itself unless they are ordinary objects."""
    with tempfile.TemporaryDirectory(prefix="tidings-chart-") as directory:
        copy = Path(directory) / "tidings"
        shutil.copytree(CHART, copy)
        for file in copy.glob("templates/tests/*.yaml"):
            file.write_text(file.read_text().replace('"helm.sh/hook" ', '"was/hook" '))
        return [one for one in documents(rendered("Template", TemplateOptions, values, copy)) if one["kind"] == "Pod"]


def notes(*values):
    report = rendered("Install", InstallOptions, values, dryRun=1, dryRunOption=b"client", clientOnly=1, debug=1)
    return report.split("\nNOTES:\n")[1]


def rendered(function, structure, values, chart=CHART, **more):
    with tempfile.TemporaryDirectory(prefix="tidings-chart-") as directory:
        paths = []
        for number, one in enumerate(values):
            if isinstance(one, dict):
                path = Path(directory) / f"{number}.yaml"
                path.write_text(json.dumps(one, ensure_ascii=False))
                one = path
            paths.append(str(one))
        asked = structure(
            name=RELEASE.encode(),
            chart=str(chart).encode(),
            namespace=NAMESPACE.encode(),
            kubeVersion=KUBERNETES.encode(),
            valuesFiles=",".join(paths).encode(),
            **more,
        )
        return call(function, asked)


def call(function, asked):
    found = getattr(library(), function)
    found.restype = Result
    result = found(ctypes.byref(asked))
    if result.err:
        raise Refused(result.err.decode())
    return (result.out or b"").decode()


def library(loaded=[]):
    if not loaded:
        loaded.append(ctypes.CDLL(str(LIBRARY)))
    return loaded[0]


def documents(text):
    return [document for document in yaml.load_all(text, Loader) if document]
