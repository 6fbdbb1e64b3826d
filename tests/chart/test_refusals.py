"""Values that are faulty are refused before anything is made, and the message tells the way out."""

import unittest

from helm import Refused, template
from test_chart import OPEN


class Refusals(unittest.TestCase):
    def test_they_are_told(self):
        tls = {"tls": {"enabled": True, "secretName": "certificate"}}
        password = {"config": {"log": {"kafka": {"properties": {"sasl.password": "hush"}}}}}
        for values, told in [
            ({}, "nothing keeps strangers out"),
            (tls, "nothing keeps strangers out"),
            ({"config": {"auth": {"tokens": [{"name": "a"}]}}}, "nothing keeps strangers out"),
            (tls | {"config": {"auth": {"certificates": False}}}, "nothing keeps strangers out"),
            (tls | {"tls": tls["tls"] | {"clientCA": {"secretName": "c", "auth": "optional"}}}, "nothing keeps strangers out"),
            (OPEN | {"tls": {"enabled": True}}, "tls.enabled needs"),
            (OPEN | {"tls": {"secretName": "certificate"}}, "need tls.enabled"),
            (OPEN | {"mode": "kafka"}, "needs kafka.bootstrapServers"),
            (OPEN | {"kafka": {"bootstrapServers": ["a:1"]}}, "needs mode=kafka"),
            (OPEN | {"autoscaling": {"enabled": True}}, "an embedded log has one server"),
            (OPEN | {"stop": {"graceSeconds": 49}}, "must be at least 50"),
            (OPEN | {"config": {"server": {"listen": "0.0.0.0:1"}}}, "use listen.address and listen.port"),
            (OPEN | {"config": {"server": {"insecure": False}}}, "use insecure"),
            (OPEN | {"config": {"log": {"backend": "kafka"}}}, "use mode"),
            (OPEN | {"config": {"server": {"drain_timeout": "1.5s"}}}, "drain_timeout"),
            (OPEN | {"config": {"routes": [{"type": "a", "topic": None}, None]}}, "null"),
            (OPEN | password, "secretEnv.TIDINGS_LOG__KAFKA__PROPERTIES__SASL_PASSWORD"),
            (OPEN | {"config": {"snapshots": {"options": {"aws_secret_access_key": "hush"}}}}, "is a secret"),
            (OPEN | {"extraEnv": [{"name": "TIDINGS_SERVER__DRAIN_TIMEOUT", "value": "5m"}]}, "cannot be set by the environment"),
            (OPEN | {"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "set twice"),
            (OPEN | {"mod": "kafka"}, "mod"),
            (OPEN | {"image": {"tags": "1"}}, "tags"),
            (OPEN | {"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
            (OPEN | {"securityContext": {"privileged": True}}, "privileged"),
            (OPEN | {"listen": {"port": "4480"}}, "port"),
        ]:
            with self.subTest(values=values):
                with self.assertRaises(Refused) as refused:
                    template(values)
                self.assertIn(told, str(refused.exception))

    def test_authentication_with_tls_is_a_door(self):
        for auth in ({"tokens": [{"name": "a"}]}, {"issuers": [{"name": "a"}]}, {"file": "/etc/tidings/auth/auth.toml"}):
            template({"tls": {"enabled": True, "secretName": "c"}, "config": {"auth": auth}})


if __name__ == "__main__":
    unittest.main()
