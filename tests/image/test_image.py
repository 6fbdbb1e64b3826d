"""The file system of the image, as the Dockerfile has it made: the server runs in it, read-only, as nobody, and nothing is missing.

No container engine is needed, only `unshare`, `mount` and `chroot`. What Kubernetes would mount is mounted here: the configuration
that the chart makes, a volume, /tmp. Then the steps of `helm test` are run in it, with the very arguments that the chart gives them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "chart"))

import yaml  # noqa: E402
from helm import hooks  # noqa: E402
from test_config import binary, toml_of  # noqa: E402

USER = "65532"
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "--preserve-env"]
# $1 is the root, $2 the volume; what follows is run in it, seeing only what the image has.
INSIDE = f"""
set -e
root=$1 volume=$2; shift 2
mount --bind "$root" "$root"
mount --options remount,bind,ro "$root"
mount --types tmpfs --options mode=1777,size=64m tmpfs "$root/tmp"
mount --bind "$volume" "$root/var/lib/tidings"
exec env --ignore-environment PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt $MORE \
  /usr/sbin/chroot --userspec={USER}:{USER} --groups= "$root" "$@"
"""


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="tidings-image-"))
        cls.root, cls.volume = cls.directory / "root", cls.directory / "volume"
        subprocess.run([CHECKOUT / "scripts" / "rootfs", binary(), cls.root], check=True)
        cls.made = sorted(path.relative_to(cls.root) for path in cls.root.rglob("*"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def setUp(self):
        shutil.rmtree(self.volume, ignore_errors=True)
        self.volume.mkdir(mode=0o770)
        subprocess.run([*AS_ROOT, "chown", f"{USER}:{USER}", self.volume], check=True)
        # What Kubernetes mounts into every pod.
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost bus-tidings.shop.svc\n")

    def test_it_has_the_program_with_what_it_needs_and_no_shell(self):
        files = [path for path in self.made if (self.root / path).is_file()]
        programs = [path for path in files if path.parts[-2] in ("bin", "sbin")]
        self.assertEqual([str(path) for path in programs], ["usr/local/bin/tidings"])
        for path in files:
            known = re.fullmatch(r"etc/(passwd|group|nsswitch\.conf|ssl/certs/ca-certificates\.crt)|usr/share/doc/.+/copyright", str(path))
            self.assertTrue(known or re.search(r"\.so(\.|$)", path.name) or path in programs, path)
        for path in self.made:
            mode = (self.root / path).stat().st_mode
            self.assertFalse(mode & 0o6000, f"{path} runs as its owner")
            self.assertFalse(mode & 0o002 and str(path) != "tmp", f"{path} can be written by all")
        self.assertIn(f"tidings:x:{USER}:", (self.root / "etc" / "passwd").read_text())

    def test_the_server_works_in_it_and_so_does_the_test_of_the_chart(self):
        self.configure({"insecure": True})
        with self.serving() as (server, ops):
            self.assertEqual(get(f"http://{ops}/readyz"), (200, "ok\n"))
            (pod,) = hooks({"insecure": True})
            self.steps(pod, f"http://localhost:{server.rpartition(':')[2]}")
        # Its log lies on the volume, and it wrote nowhere else: it could not have.
        self.assertTrue((self.volume / "log" / "manifest").exists())

    def test_the_same_over_tls_with_certificates_of_clients(self):
        values = {
            "tls": {"enabled": True, "secretName": "bus", "clientCA": {"secretName": "clients"}},
            "test": {"certificateSecret": "client"},
        }
        self.configure(values)
        for folder in ("tls", "client-ca", "certificate"):
            (self.root / "etc" / "tidings" / folder).mkdir(parents=True, exist_ok=True)
        make_certificates(self.root / "etc" / "tidings", self.directory)
        with self.serving() as (server, _):
            (pod,) = hooks(values)
            self.steps(pod, f"https://bus-tidings.shop.svc:{server.rpartition(':')[2]}")
            # Without a certificate nobody comes in.
            told = self.run_inside("tidings", "info", "--ca=/etc/tidings/tls/ca.crt", f"--server=https://{server}")
            self.assertNotEqual(told.returncode, 0)
            # The authorities of the world are known in it, and ours is not one of them.
            told = self.run_inside("tidings", "info", f"--server=https://{server}")
            self.assertIn("UnknownIssuer", told.stderr)

    def configure(self, values):
        folder = self.root / "etc" / "tidings" / "config"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tidings.toml").write_text(toml_of(values))

    def steps(self, pod, server):
        for step in pod["spec"]["initContainers"] + pod["spec"]["containers"]:
            arguments = [argument.replace("$(POD_UID)", "0a1b-2c3d") for argument in step["args"]]
            told = self.run_inside("tidings", *arguments, TIDINGS_SERVER=server)
            self.assertEqual(told.returncode, 0, f"{step['name']}: {told.stderr}")

    def run_inside(self, *command, **environment):
        return subprocess.run(self.inside(*command, **environment), capture_output=True, text=True, timeout=60)

    def serving(self):
        listen = {"TIDINGS_SERVER__LISTEN": "127.0.0.1:0", "TIDINGS_SERVER__OPS": "127.0.0.1:0"}
        return Serving(self.inside("tidings", "serve", "--config", "/etc/tidings/config/tidings.toml", **listen))

    def inside(self, *command, **environment):
        more = " ".join(f"{name}={value}" for name, value in environment.items())
        script = INSIDE.replace("$MORE", more)
        return [*AS_ROOT, "unshare", "--mount", "sh", "-c", script, "inside", self.root, self.volume, *command]


class Serving:
    """The server, until the end of its `with` block; its addresses, for clients and for ops."""

    def __init__(self, command):
        self.command = command

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            fields = yaml.safe_load(line) if line.startswith("{") else {}
            if fields.get("message") == "listening":
                return fields["address"], fields["ops"]
        raise RuntimeError("the server did not start:\n" + "".join(seen))

    def __exit__(self, *_):
        self.process.terminate()
        self.process.stderr.read()
        status = self.process.wait(timeout=60)
        self.process.stderr.close()
        assert status == 0, f"the server ended with status {status}"


def get(address):
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.status, answer.read().decode()


def make_certificates(folder, scratch):
    """An authority, the server's certificate and a client's, where the chart mounts them."""
    openssl = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=scratch)
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (scratch / "names").write_text("subjectAltName=DNS:bus-tidings.shop.svc,IP:127.0.0.1\n")
        signed = ("x509", "-req", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl(*signed, "-in", f"{name}.csr", "-out", f"{name}.crt")
    places = {"ca.crt": ["tls/ca.crt", "client-ca/ca.crt"]}
    for name, place in (("server", "tls"), ("client", "certificate")):
        places |= {f"{name}.{kind}": [f"{place}/tls.{kind}"] for kind in ("crt", "key")}
    for name, targets in places.items():
        for target in targets:
            shutil.copy(scratch / name, folder / target)
            (folder / target).chmod(0o644)


class Recipe(unittest.TestCase):
    """The Dockerfile, which no engine builds here."""

    def test_hadolint_has_nothing_to_say(self):
        told = subprocess.run([Path(sys.executable).with_name("hadolint"), CHECKOUT / "Dockerfile"], capture_output=True, text=True)
        self.assertEqual((told.returncode, told.stdout), (0, ""), told.stdout + told.stderr)

    def test_it_is_built_by_the_toolchain_that_is_asked_for_and_is_of_this_version(self):
        recipe, manifest = (CHECKOUT / "Dockerfile").read_text(), (CHECKOUT / "Cargo.toml").read_text()
        version, rust = (re.search(rf'(?m)^{key} = "(.+)"$', manifest)[1] for key in ("version", "rust-version"))
        self.assertIn(f"FROM rust:{rust}-", recipe)
        self.assertIn(f"ARG VERSION={version}\n", recipe)
        self.assertIn(f"USER {USER}:{USER}\n", recipe)
        self.assertNotIn("HEALTHCHECK", recipe)

    def test_all_that_is_built_in_has_a_license_with_its_text(self):
        told = subprocess.run([sys.executable, CHECKOUT / "scripts" / "third-party"], capture_output=True, text=True)
        self.assertEqual(told.returncode, 0, told.stderr)
        listed, texts = told.stdout.split("\n" + "=" * 80, 1)
        crates = [line.split(":")[0] for line in listed.splitlines()[2:]]
        self.assertGreater(len(crates), 100)
        said = "\n".join(re.findall(r"(?s)=\n(.*?)\n-{80}\n", "=\n" + texts))
        # Of these the package has none, nor a license whose text is ours.
        without = [crate for crate in crates if crate not in said]
        self.assertLessEqual({crate.split()[0] for crate in without}, {"tonic-prost"})

    def test_what_it_copies_is_let_through_by_dockerignore(self):
        lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
        let_through = [line[1:] for line in lines if line.startswith("!")]
        for path in let_through:
            self.assertTrue((CHECKOUT / path).exists(), path)
        manifest = (CHECKOUT / "Cargo.toml").read_text()
        for path in re.findall(r'(?m)^path = "(.+)"$', manifest):
            self.assertTrue(any(path == one or path.startswith(f"{one}/") for one in let_through), path)


if __name__ == "__main__":
    unittest.main()
