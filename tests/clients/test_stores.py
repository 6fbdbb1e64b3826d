"""Snapshots and checkpoints in an object store that is reached over the network: one that speaks S3."""

import hashlib
import itertools
import json
import logging
import subprocess
import sys
import unittest
from pathlib import Path

import boto3
import grpc
from moto.server import ThreadedMotoServer

sys.path.insert(0, str(Path(__file__).parent / "python"))

from client import Bus, event, reason
from server import Server, binary
from google.protobuf import empty_pb2
from tidings.v1 import state_pb2, state_pb2_grpc

TOPIC = "io.shop.orders.resource"
SOON = 60
# More than a piece of a multipart upload.
STATE = bytes(range(256)) * (80 << 10)


class S3:
    """A store that ends with its `with` block, and the server's settings for it."""

    numbers = itertools.count()

    def __enter__(self):
        # What one holds outlives it, so each has a bucket of its own.
        self.bucket = f"tidings-test-{next(self.numbers)}"
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        keys = {"aws_access_key_id": "writer", "aws_secret_access_key": "a secret of the store"}
        self.client = boto3.client("s3", region_name="eu-central-1", endpoint_url=f"http://{host}:{port}", **keys)
        self.client.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        options = keys | {
            "aws_region": "eu-central-1",
            "aws_endpoint": f"http://{host}:{port}",
            "aws_allow_http": "true",
        }
        self.settings = {f"SNAPSHOTS__OPTIONS__{name.upper()}": value for name, value in options.items()}
        self.settings["SNAPSHOTS__STORE"] = f"s3://{self.bucket}/bus"
        return self

    def __exit__(self, *_):
        self.server.stop()

    def keys(self):
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]


class StoresTest(unittest.TestCase):
    def setUp(self):
        self.store = self.enterContext(S3())
        self.server = self.enterContext(Server(**self.store.settings))
        self.bus = Bus(self.server.address)
        self.addCleanup(self.bus.channel.close)
        self.state = state_pb2_grpc.StateServiceStub(self.bus.channel)

    def test_a_snapshot_lies_in_the_store_and_is_restored_after_a_crash(self):
        self.bus.publish(*[order(str(number % 10)) for number in range(100)])
        name = self.tidings("snapshots", "create", TOPIC, "--reason", "a test")[0]["name"]
        topic, _, id = name.partition("@")
        below = f"bus/snapshots/{topic}/{id}/"
        self.assertTrue(any(key.startswith(below) for key in self.store.keys()), self.store.keys())
        self.server.kill()
        self.bus.publish(order("later"))
        restored = self.tidings("restore", TOPIC)
        self.assertEqual(sorted(state["subject"] for state in restored), [*map(str, range(10)), "later"])
        self.tidings("snapshots", "delete", name, "--reason", "a test")
        self.assertFalse(any(key.startswith(below) for key in self.store.keys()), self.store.keys())

    def test_a_checkpoint_of_many_pieces_comes_back_as_it_was(self):
        def frames():
            header = state_pb2.PutCheckpointHeader(name="billing", sha256=hashlib.sha256(STATE).digest())
            yield state_pb2.PutCheckpointRequest(header=header)
            for start in range(0, len(STATE), 1 << 20):
                yield state_pb2.PutCheckpointRequest(data=STATE[start : start + (1 << 20)])
            yield state_pb2.PutCheckpointRequest(finish=empty_pb2.Empty())

        self.state.PutCheckpoint(frames(), timeout=SOON)
        answers = self.state.GetCheckpoint(state_pb2.GetCheckpointRequest(name="billing"), timeout=SOON)
        self.assertEqual(b"".join(answer.data for answer in answers), STATE)

    def test_a_store_that_is_away_is_named_and_its_secret_is_not(self):
        self.bus.publish(order("1"))
        self.store.server.stop()
        with self.assertRaises(grpc.RpcError) as refused:
            self.state.CreateSnapshot(state_pb2.CreateSnapshotRequest(topic=TOPIC), timeout=SOON)
        self.assertEqual(reason(refused.exception), "STORE_UNAVAILABLE")
        self.assertIn(self.store.bucket, refused.exception.details())
        self.assertNotIn(self.store.settings["SNAPSHOTS__OPTIONS__AWS_SECRET_ACCESS_KEY"], refused.exception.details())
        # What needs no store goes on.
        self.bus.publish(order("2"))

    def tidings(self, *arguments):
        command = [binary(), *arguments, "--server", self.server.address, "--output", "json"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SOON)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return [json.loads(line) for line in ended.stdout.splitlines()]


def order(subject):
    return event("io.shop.orders.patched", "/test", subject, '{"total": 25}')


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    unittest.main()
