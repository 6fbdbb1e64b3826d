"""Certificates and tokens for a bus and a Kafka that let no stranger in."""

import base64
import datetime
import ipaddress
import json
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates for this machine; all its files lie in one directory."""

    def __init__(self, directory):
        self.directory = directory
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), named("a test's authority")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made = certificate(self.name, self.name, self.key).add_extension(constraints, critical=True)
        self.pem = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.file = self.written("ca.crt", self.pem)

    def sign(self, name):
        """The files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = certificate(named(name), self.name, key).add_extension(hosts, critical=False).sign(self.key, hashes.SHA256())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        signed = made.public_bytes(serialization.Encoding.PEM)
        # As Kafka wants them, and as everybody else does.
        self.written(f"{name}.pem", pem + signed)
        return self.written(f"{name}.crt", signed), self.written(f"{name}.key", pem)

    def written(self, name, content):
        path = self.directory / name
        path.write_bytes(content)
        return path


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(subject, issuer, key):
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, serial_number=x509.random_serial_number())
    return builder.public_key(key.public_key()).not_valid_before(now - day).not_valid_after(now + day)


class Issuer:
    """Of JSON Web Tokens (RFC 7519), signed by ES256."""

    URL = "https://id.test"

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def keys(self):
        """A JWK set (RFC 7517)."""
        numbers = self.key.public_key().public_numbers()
        place = {"x": encoded(numbers.x.to_bytes(32)), "y": encoded(numbers.y.to_bytes(32))}
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one"} | place
        return json.dumps({"keys": [key]}).encode()

    def token(self, subject, **claims):
        head = {"alg": "ES256", "typ": "JWT", "kid": "one"}
        said = {"iss": self.URL, "aud": "bus", "sub": subject, "exp": int(time.time()) + 600} | claims
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (head, said))
        r, s = utils.decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def encoded(some):
    return base64.urlsafe_b64encode(some).decode().rstrip("=")
