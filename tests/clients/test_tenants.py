"""Two tenants side by side on a bus with TLS, tokens and policies, on a Kafka that asks for SASL over TLS; and what each tries at the other."""

import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

for directory in ("python", "tenants"):
    sys.path.insert(0, str(Path(__file__).parent / directory))

from client import Bus, event, reason
from credentials import Authority, Issuer
from server import Kafka, Server

SHARED = "io.shop.invoices.resource"
TENANTS = ["acme", "beta"]
PASSWORD = "correct-horse-battery"
COUNT = 200
KEYS = 10
SOON = 90


class TenantsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.authority = Authority(Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="tidings-test-"))))
        cls.issuer = Issuer()
        log = cls.enterClassContext(Kafka(*broker(cls.authority)))
        log.options = ["--config", str(configured(cls.authority, cls.issuer, log.listeners["SASL"]))]
        cls.server = cls.enterClassContext(Server(log))

    def bus(self, tenant):
        return self.with_token(self.issuer.token(f"{tenant}-billing", tenant=tenant))

    def with_token(self, token):
        bus = Bus(self.server.address, authority=self.authority.pem, token=token)
        self.addCleanup(bus.channel.close)
        return bus

    def test_each_has_its_own_and_nothing_of_the_other_while_the_server_comes_and_goes(self):
        for tenant in TENANTS:
            self.publish(tenant, range(KEYS))  # The topics are there then.
        with ThreadPoolExecutor() as pool:
            published = [pool.submit(self.publish, tenant, range(KEYS, COUNT)) for tenant in TENANTS]
            received = {tenant: pool.submit(self.receive, tenant) for tenant in TENANTS}
            for publishing in published:
                publishing.result()
            for tenant, seen in received.items():
                self.seen_whole(tenant, seen.result())
        for tenant in TENANTS:
            owners = {read.event.attributes["tenantid"].ce_string for read in self.bus(tenant).read(SHARED, timeout=SOON)}
            self.assertEqual(owners, {tenant})

    def publish(self, tenant, numbers):
        bus = self.bus(tenant)
        for first in numbers[::KEYS]:
            for topic in (f"{tenant}.orders", SHARED):
                bus.publish(*[made(tenant, topic, n) for n in range(first, first + KEYS)], topic=topic, timeout=SOON)
            if (tenant, first) == ("acme", COUNT // 2):
                self.server.restart()

    def receive(self, tenant):
        """All that comes to a group of this tenant, by topic, in order."""
        stream = self.bus(tenant).subscribe(f"{tenant}.billing", f"{tenant}.orders", SHARED, timeout=SOON)
        seen = {}
        for delivery in stream:
            seen.setdefault(delivery.position.topic, []).append(delivery.event)
            stream.ack(delivery)
            if sum(len({event.id for event in events}) for events in seen.values()) == 2 * COUNT:
                stream.close()
        return seen

    def seen_whole(self, tenant, seen):
        self.assertEqual(set(seen), {f"{tenant}.orders", SHARED})
        for topic, events in seen.items():
            # What was acked when the server went may come once more.
            once = list({event.id: event for event in events}.values())
            self.assertEqual({event.id for event in once}, {made(tenant, topic, n).id for n in range(COUNT)})
            for key in range(KEYS):
                order = [int(event.id.split("-")[-1]) for event in once if event.attributes["subject"].ce_string == str(key)]
                self.assertEqual(order, sorted(order), topic)

    def test_who_tries_what_is_the_others_is_refused_and_strangers_are(self):
        acme = self.bus("acme")
        another = made("acme", SHARED, 1)
        another.attributes["tenantid"].ce_string = "beta"
        stranger = Issuer().token("acme-billing", tenant="acme")
        tries = {
            "another's topic": lambda: acme.publish(made("acme", "x", 1), topic="beta.orders"),
            "a topic that is not there": lambda: acme.publish(made("acme", "x", 1), topic="beta.nothing"),
            "reading another's topic": lambda: list(acme.read("beta.orders", timeout=SOON)),
            "another's group": lambda: list(acme.subscribe("beta.billing", SHARED, timeout=SOON)),
            "another's topic in a group": lambda: list(acme.subscribe("acme.other", "beta.orders", timeout=SOON)),
            "as another": lambda: acme.publish(another, topic=SHARED),
            "internal topics": lambda: list(acme.read("tidings.audit", timeout=SOON)),
        }
        for what, intrude in tries.items():
            self.assertEqual(self.refusal(intrude), ("PERMISSION_DENIED", "PERMISSION_DENIED"), what)
        strangers = {
            "no token": None,
            "nonsense": "nonsense",
            "another's signature": stranger,
            "for another": self.issuer.token("acme-billing", tenant="acme", aud="others"),
            "too late": self.issuer.token("acme-billing", tenant="acme", exp=1_000_000_000),
            "of no tenant": self.issuer.token("acme-billing"),
        }
        for what, token in strangers.items():
            code, _ = self.refusal(lambda: self.with_token(token).publish(made("acme", "x", 1), topic="acme.orders"))
            self.assertEqual(code, "UNAUTHENTICATED", what)

    def refusal(self, intrude):
        with self.assertRaises(grpc.RpcError) as refused:
            intrude()
        return refused.exception.code().name, reason(refused.exception)


def made(tenant, topic, number):
    made = event("io.shop.invoices.created", "/test", str(number % KEYS), "{}")
    made.id = f"{tenant}-{topic}-{number}"
    return made


def broker(authority):
    """Arguments of a Kafka whose clients show a password over TLS."""
    authority.sign("broker")
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    properties = [
        f"ssl.keystore.location={authority.directory / 'broker.pem'}",
        "ssl.keystore.type=PEM",
        "listener.name.sasl.sasl.enabled.mechanisms=SCRAM-SHA-512",
        f"listener.name.sasl.scram-sha-512.sasl.jaas.config={login}",
    ]
    arguments = ["--listener", "SASL=SASL_SSL", "--scram", f"SCRAM-SHA-512=[name=bus,password={PASSWORD}]"]
    return arguments + [word for line in properties for word in ("--property", line)]


def configured(authority, issuer, brokers):
    """The configuration file of the bus."""
    certificate, key = authority.sign("bus")
    keys = authority.written("keys.json", issuer.keys())
    text = f"""
        [log]
        backend = "kafka"
        [log.kafka]
        bootstrap_servers = "{brokers}"
        [log.kafka.properties]
        "security.protocol" = "sasl_ssl"
        "ssl.ca.location" = "{authority.file}"
        "sasl.mechanism" = "SCRAM-SHA-512"
        "sasl.username" = "bus"
        "sasl.password" = "{PASSWORD}"
        [tls]
        certificate = "{certificate}"
        key = "{key}"
        [[auth.issuers]]
        name = "id"
        issuer = "{issuer.URL}"
        audience = ["bus"]
        algorithms = ["ES256"]
        keys_file = "{keys}"
        tenant = "tenant"
        [[auth.policies]]
        tenants = ["*"]
        verbs = ["publish", "subscribe", "read"]
        topics = ["{{tenant}}.**", "io.shop.**"]
        groups = ["{{tenant}}.**"]
        [tenants]
        topics = "{{tenant}}.**"
        groups = "{{tenant}}.**"
        [[tenants.shared]]
        topics = ["io.shop.**"]
        attribute = "tenantid"
    """
    return authority.written("tidings.toml", text.encode())


if __name__ == "__main__":
    unittest.main()
