"""What the chart makes of its values: objects that Kubernetes takes, pods that are closed and stop in time, upgrades without conflict."""

import itertools
import re
import unittest

import kubernetes_validate
from helm import CHART, CHECKOUT, NAMESPACE, hooks, lint, notes, template

# The oldest that the chart takes, and the newest that is known here.
VERSIONS = ("1.30", "1.37")
# Kinds of others, whose schemas are not known here, and what may stand in them.
OF_OTHERS = {
    "Certificate": {"secretName", "issuerRef", "duration", "renewBefore", "privateKey", "usages", "dnsNames"},
    "ServiceMonitor": {"namespaceSelector", "selector", "endpoints"},
    "PrometheusRule": {"groups"},
}
# What a StatefulSet lets an upgrade change; of the others' specs only the selector is fixed.
CHANGEABLE = {
    *("replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy"),
    *("minReadySeconds", "ordinals", "revisionHistoryLimit"),
}
OPEN = {"insecure": True}
KAFKA = {"mode": "kafka", "insecure": True, "kafka": {"bootstrapServers": ["kafka:9092"]}}
# What the server takes beside its drain_timeout, at most: LAST_WORDS in src/server.rs, twice.
LAST_WORDS = 10

SETS = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def workload(objects):
    (found,) = of_kind(objects, "Deployment", "StatefulSet")
    return found


def pod_of(objects):
    return workload(objects)["spec"]["template"]["spec"]


def container_of(objects):
    (found,) = pod_of(objects)["containers"]
    return found


def key(one):
    return one["kind"], one["metadata"]["name"]


class EverySet(unittest.TestCase):
    """What holds for whatever values."""

    @classmethod
    def setUpClass(cls):
        cls.rendered = {name: template(path) for name, path in SETS.items()}
        cls.hooks = {name: hooks(path) for name, path in SETS.items()}

    def each(self):
        for name, objects in self.rendered.items():
            with self.subTest(values=name):
                yield objects

    def test_there_are_five_and_helm_has_nothing_to_say_against_the_chart(self):
        self.assertGreaterEqual(len(SETS), 5)
        said = lint().splitlines()
        self.assertEqual(said, ["[INFO] Chart.yaml: icon is recommended", "Failed: false"])

    def test_kubernetes_knows_every_field(self):
        for (name, objects), version in itertools.product(self.rendered.items(), VERSIONS):
            for one in objects + self.hooks[name]:
                with self.subTest(values=name, version=version, object=key(one)):
                    if one["kind"] in OF_OTHERS:
                        self.assertLessEqual(set(one["spec"]), OF_OTHERS[one["kind"]])
                    else:
                        kubernetes_validate.validate(one, version, strict=True)

    def test_names_and_labels_fit_and_no_object_comes_twice(self):
        for objects in self.each():
            self.assertEqual(len({key(one) for one in objects}), len(objects))
            for one in objects:
                self.assertLessEqual(len(one["metadata"]["name"]), 63)
                labels = one["metadata"]["labels"]
                self.assertEqual(labels["app.kubernetes.io/instance"], "bus")
                for label, value in labels.items():
                    self.assertRegex(value, r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", label)

    def test_pods_are_nobody_in_particular_and_may_nothing(self):
        for name in SETS:
            pods = [pod_of(self.rendered[name])] + [one["spec"] for one in self.hooks[name]]
            for pod in pods:
                with self.subTest(values=name):
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    self.assertIs(pod["enableServiceLinks"], False)
                    self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
                    self.assertGreater(pod["securityContext"]["runAsUser"], 0)
                    self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    for own in ("hostNetwork", "hostPID", "hostIPC"):
                        self.assertNotIn(own, pod)
                    self.assertFalse([volume for volume in pod.get("volumes", []) if "hostPath" in volume])
                    for container in pod["containers"] + pod.get("initContainers", []):
                        self.closed(container)

    def closed(self, container):
        may = container["securityContext"]
        self.assertIs(may["readOnlyRootFilesystem"], True)
        self.assertIs(may["allowPrivilegeEscalation"], False)
        self.assertEqual(may["capabilities"], {"drop": ["ALL"]})
        for bound in ("requests", "limits"):
            self.assertLessEqual({"cpu", "memory"}, set(container["resources"][bound]))
        # The image says what is started; here is only said with what.
        self.assertNotIn("command", container)
        self.assertNotRegex(container["image"], r"(:latest|^[^:@]+)$")

    def test_probes_ask_the_ops_listener(self):
        for objects in self.each():
            container = container_of(objects)
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            self.assertEqual(set(ports), {"grpc", "ops"})
            asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
            self.assertEqual(asked["readiness"], {"path": "/readyz", "port": "ops"})
            self.assertEqual(asked["liveness"], {"path": "/livez", "port": "ops"})
            self.assertEqual(asked["startup"], asked["liveness"])

    def test_volumes_and_mounts_belong_together(self):
        for objects in self.each():
            pod, mounts = pod_of(objects), container_of(objects)["volumeMounts"]
            self.assertEqual({volume["name"] for volume in pod["volumes"]}, {mount["name"] for mount in mounts})
            paths = [mount["mountPath"] for mount in mounts]
            self.assertEqual(len(paths), len(set(paths)))
            # Only these can be written to.
            writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
            self.assertLessEqual(writable, {"/tmp", "/var/lib/tidings", "/var/scratch"})

    def test_selectors_find_the_servers_and_nothing_else(self):
        for name in SETS:
            objects = self.rendered[name]
            labels = workload(objects)["spec"]["template"]["metadata"]["labels"]
            with self.subTest(values=name):
                selectors = [workload(objects)["spec"]["selector"]["matchLabels"]]
                selectors += [one["spec"]["selector"] for one in of_kind(objects, "Service")]
                selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(objects, "NetworkPolicy")]
                selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind(objects, "PodDisruptionBudget")]
                for selector in selectors:
                    self.assertEqual(selector, selectors[0])
                    self.assertLessEqual(selector.items(), labels.items())
                for test in self.hooks[name]:
                    self.assertFalse(selectors[0].items() <= test["metadata"]["labels"].items())

    def test_what_is_referred_to_is_there(self):
        for objects in self.each():
            names = {key(one) for one in objects}
            pod = pod_of(objects)
            for volume in pod["volumes"]:
                if "configMap" in volume:
                    self.assertIn(("ConfigMap", volume["configMap"]["name"]), names)
                if "persistentVolumeClaim" in volume:
                    self.assertIn(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]), names)
            if pod["serviceAccountName"] != "default":
                self.assertIn(("ServiceAccount", pod["serviceAccountName"]), names)
            for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
                target = scaler["spec"]["scaleTargetRef"]
                self.assertIn((target["kind"], target["name"]), names)
                self.assertNotIn("replicas", workload(objects)["spec"])
            for one in of_kind(objects, "StatefulSet"):
                self.assertIn(("Service", one["spec"]["serviceName"]), names)
            for monitor in of_kind(objects, "ServiceMonitor"):
                wanted = monitor["spec"]["selector"]["matchLabels"].items()
                (service,) = [o for o in of_kind(objects, "Service") if wanted <= o["metadata"]["labels"].items()]
                self.assertIn(monitor["spec"]["endpoints"][0]["port"], [p["name"] for p in service["spec"]["ports"]])

    def test_a_stopping_server_has_time_to_drain(self):
        for name, drain, pause, grace in [
            ("trial", 30, 5, 50),
            ("embedded", 120, 5, 140),
            ("kafka", 30, 5, 50),
            ("kafka-production", 90, 10, 180),
            ("kafka-ipv6", 30, 0, 45),
        ]:
            with self.subTest(values=name):
                pod, container = pod_of(self.rendered[name]), container_of(self.rendered[name])
                self.assertEqual(pod["terminationGracePeriodSeconds"], grace)
                self.assertGreaterEqual(grace, pause + drain + LAST_WORDS)
                sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
                self.assertEqual(sleep, {"seconds": pause})

    def test_no_upgrade_between_sets_of_a_mode_changes_what_is_fixed(self):
        # With names of their own they would be other releases.
        names = {"nameOverride": "", "fullnameOverride": ""}
        renamed = {name: template(path, names) for name, path in SETS.items()}
        for (one, old), (other, new) in itertools.permutations(renamed.items(), 2):
            if workload(old)["kind"] == workload(new)["kind"]:
                with self.subTest(old=one, new=other):
                    self.assertEqual(fixed(old), fixed(new))

    def test_nothing_secret_is_in_any_object(self):
        for objects in self.each():
            self.assertEqual(of_kind(objects, "Secret"), [])
            for variable in container_of(objects).get("env", []):
                if re.search("PASSWORD|SECRET|TOKEN", variable["name"]):
                    self.assertEqual(set(variable), {"name", "valueFrom"})


def fixed(objects):
    """What an upgrade cannot change."""
    spec = workload(objects)["spec"]
    found = {"selector": spec["selector"]}
    if workload(objects)["kind"] == "StatefulSet":
        found = {field: value for field, value in spec.items() if field not in CHANGEABLE}
    return found | {one["metadata"]["name"]: one["spec"].get("clusterIP") for one in of_kind(objects, "Service")}


class Modes(unittest.TestCase):
    """What is made in which mode."""

    def test_an_embedded_log_has_one_server_and_a_claim_that_stays(self):
        objects = template(OPEN)
        self.assertEqual(workload(objects)["kind"], "StatefulSet")
        self.assertEqual(workload(objects)["spec"]["replicas"], 1)
        self.assertNotIn("volumeClaimTemplates", workload(objects)["spec"])
        (claim,) = of_kind(objects, "PersistentVolumeClaim")
        self.assertEqual(claim["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})
        self.assertEqual(of_kind(objects, "PodDisruptionBudget", "HorizontalPodAutoscaler"), [])
        # Nobody else could serve: clients come as soon as it listens.
        clients = of_kind(objects, "Service")[0]
        self.assertTrue(clients["spec"]["publishNotReadyAddresses"])
        own = template(OPEN, {"persistence": {"existingClaim": "mine"}})
        self.assertEqual(of_kind(own, "PersistentVolumeClaim"), [])
        self.assertIn({"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}, pod_of(own)["volumes"])

    def test_on_kafka_servers_come_before_others_go_and_are_spread(self):
        objects = template(KAFKA)
        spec = workload(objects)["spec"]
        self.assertEqual((workload(objects)["kind"], spec["replicas"]), ("Deployment", 2))
        self.assertEqual(spec["strategy"]["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})
        (budget,) = of_kind(objects, "PodDisruptionBudget")
        self.assertEqual(budget["spec"]["maxUnavailable"], 1)
        spread = pod_of(objects)["topologySpreadConstraints"]
        self.assertEqual([one["topologyKey"].split("/")[1] for one in spread], ["zone", "hostname"])
        self.assertEqual(of_kind(objects, "PersistentVolumeClaim", "StatefulSet"), [])
        self.assertNotIn("publishNotReadyAddresses", of_kind(objects, "Service")[0]["spec"])

    def test_a_changed_configuration_brings_new_pods_and_labels_of_charts_do_not(self):
        def metadata(**config):
            return workload(template(OPEN, {"config": config}))["spec"]["template"]["metadata"]

        self.assertNotEqual(metadata(), metadata(telemetry={"log_level": "debug"}))
        self.assertNotIn("helm.sh/chart", metadata()["labels"])

    def test_networks_are_closed_unless_it_is_said(self):
        (policy,) = of_kind(template(OPEN), "NetworkPolicy")
        peers = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
        self.assertEqual(peers["grpc"], [{"podSelector": {}}])
        self.assertEqual(policy["spec"]["policyTypes"], ["Ingress"])
        none = {"networkPolicy": {"clients": [], "monitoring": [], "egress": [{"ports": [{"port": 9092}]}]}}
        (policy,) = of_kind(template(OPEN, none), "NetworkPolicy")
        self.assertFalse(policy["spec"]["ingress"])
        self.assertEqual([port["port"] for port in policy["spec"]["egress"][0]["ports"]], [53, 53])
        self.assertIn({"ports": [{"port": 9092}]}, policy["spec"]["egress"])

    def test_certificates_are_for_all_names_of_the_bus(self):
        (certificate,) = of_kind(template(SETS["embedded"]), "Certificate")
        names = certificate["spec"]["dnsNames"]
        for name in ("bus-tidings", f"bus-tidings.{NAMESPACE}.svc", f"*.bus-tidings-headless.{NAMESPACE}.svc", "bus.example.com"):
            self.assertIn(name, names)

    def test_the_test_makes_a_topic_publishes_reads_and_tidies_up(self):
        (pod,) = hooks(OPEN)
        steps = pod["spec"]["initContainers"] + pod["spec"]["containers"]
        self.assertEqual([step["args"][0] for step in steps], ["topics", "publish", "read", "topics"])
        self.assertEqual(pod["metadata"]["annotations"]["was/hook"], "test")
        self.assertEqual((pod["kind"], pod["spec"]["restartPolicy"]), ("Pod", "Never"))
        self.assertGreater(pod["spec"]["activeDeadlineSeconds"], 0)
        # A dry run makes no account, and the API checks that of a bare pod.
        self.assertNotIn("serviceAccountName", pod["spec"])

    def test_notes_say_how_to_connect_and_what_is_open(self):
        self.assertIn(f"http://bus-tidings.{NAMESPACE}.svc:4480", notes(OPEN))
        self.assertIn("WARNING: insecure=true", notes(OPEN))
        closed = notes(SETS["embedded"])
        self.assertIn(f"https://bus-tidings.{NAMESPACE}.svc:4480", closed)
        self.assertNotIn("WARNING", closed)


class Versions(unittest.TestCase):
    def test_the_chart_is_of_the_server_that_is_built(self):
        built = re.search(r'(?m)^version = "(.+)"$', (CHECKOUT / "Cargo.toml").read_text()).group(1)
        self.assertEqual(container_of(template(OPEN))["image"], f"tidings:{built}")


if __name__ == "__main__":
    unittest.main()
