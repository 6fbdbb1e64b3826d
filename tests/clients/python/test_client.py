"""The Python client against a served bus: what it publishes comes back as it was, and its acks count."""

import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from client import Bus, CloudEvent, event, faults, reason
from google.protobuf import struct_pb2

sys.path.insert(0, str(Path(__file__).parents[1]))

from server import Server

SOON = 30
ORDERS = "io.shop.orders.resource"


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.bus = Bus(self.server.address)
        self.addCleanup(self.bus.channel.close)

    def published_and_read(self, *events):
        self.bus.publish(*events, topic="there-and-back")
        return [read.event for read in self.bus.read("there-and-back", timeout=SOON)]

    def test_an_event_comes_back_with_attributes_of_all_seven_types_and_unknown_extensions(self):
        sent = order("1")
        sent.attributes["flag"].ce_boolean = True
        sent.attributes["count"].ce_integer = -(2**31)
        sent.attributes["label"].ce_string = "grüße, 世界 %"
        sent.attributes["token"].ce_bytes = bytes(range(256))
        sent.attributes["dataschema"].ce_uri = "https://shop.example/orders/v1"
        sent.attributes["related"].ce_uri_ref = "../orders/2"
        sent.attributes["time"].ce_timestamp.FromJsonString("2026-11-21T10:30:00.123456789Z")
        sent.attributes["shopvendor42"].ce_timestamp.FromJsonString("1969-12-31T23:59:59Z")
        self.assertEqual(self.published_and_read(sent), [sent])

    def test_data_comes_back_in_the_form_it_was_sent(self):
        binary, none, empty = order("binary"), order("none"), order("empty")
        binary.binary_data = bytes(range(256)) * 256
        none.ClearField("text_data")
        empty.binary_data = b""
        for sent in (binary, none, empty):
            del sent.attributes["datacontenttype"]
        sent = [order("text"), binary, none, empty]
        self.assertEqual(len(binary.binary_data), 64 * 1024)
        self.assertEqual(self.published_and_read(*sent), sent)

    def test_a_protobuf_message_comes_back_as_one(self):
        sent = order("proto")
        del sent.attributes["datacontenttype"]
        message = struct_pb2.Value(string_value="any message of any type")
        sent.proto_data.Pack(message, type_url_prefix="type.example")
        (got,) = self.published_and_read(sent)
        unpacked = struct_pb2.Value()
        self.assertTrue(got.proto_data.Unpack(unpacked))
        self.assertEqual(unpacked, message)
        self.assertEqual(got.proto_data, sent.proto_data)
        self.assertEqual(got.attributes["datacontenttype"].ce_string, "application/protobuf")

    def test_a_group_resumes_after_its_last_ack(self):
        self.bus.publish(*[order(str(number)) for number in range(5)])
        self.assertEqual(self.consume("billing", acked=2), ["0", "1", "2"])
        self.assertEqual(self.consume("billing", acked=3), ["2", "3", "4"])

    def test_an_event_that_failed_comes_again_before_the_next_of_its_key(self):
        self.bus.publish(order("0"), order("1"))
        stream = self.bus.subscribe("billing", ORDERS, timeout=SOON)
        seen = []
        for delivery in stream:
            seen.append((delivery.event.id, delivery.attempt, delivery.failures))
            if len(seen) == 1:
                stream.retry(delivery, "the printer is out of paper")
                continue
            stream.ack(delivery)
            if len(seen) == 3:
                stream.close()
        self.assertEqual(seen, [("0", 1, 0), ("0", 2, 1), ("1", 1, 0)])

    def test_a_subscriber_goes_on_when_the_server_comes_back(self):
        self.bus.publish(order("before"))
        stream = self.bus.subscribe("billing", ORDERS, timeout=SOON)
        seen = []
        for delivery in stream:
            seen.append(delivery.event.id)
            stream.ack(delivery)
            if seen == ["before"]:
                self.server.restart()
                self.bus.publish(order("after"))
            if "after" in seen:
                stream.close()
        # An ack that was on its way when the server went may not have counted: at least once, and in order.
        self.assertEqual(sorted(set(seen), key=seen.index), ["before", "after"])

    def test_a_subscriber_answers_commands_beside_its_events(self):
        def on_command(command):
            if command.name != "version":
                raise ValueError(f"no such command: {command.name}")
            return struct_pb2.Value(string_value="1.2")

        self.bus.publish(order("0"))
        stream = self.bus.subscribe("billing", ORDERS, client_id="one", timeout=SOON, on_command=on_command)
        deliveries = iter(stream)
        next(deliveries)  # It is open.
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(list, deliveries)
            told = [answer for name in ("version", "fly") for answer in self.bus.send_command("billing", name)]
            stream.close()
            reading.result()
        version = struct_pb2.Value()
        self.assertTrue(told[0].payload.Unpack(version))
        self.assertEqual(version.string_value, "1.2")
        self.assertEqual([answer.instance.client_id for answer in told], ["one", "one"])
        self.assertEqual([answer.status.code for answer in told], [0, grpc.StatusCode.UNKNOWN.value[0]])
        self.assertEqual(told[1].status.message, "no such command: fly")

    def test_a_refusal_says_why(self):
        with self.assertRaises(grpc.RpcError) as refused:
            self.bus.publish(order("good"), CloudEvent(id="bad", spec_version="1.0", type="io.shop.orders.created"))
        self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual(reason(refused.exception), "EVENT_INVALID")
        self.assertIn("events[1].source", faults(refused.exception))

        with self.assertRaises(grpc.RpcError) as refused:
            list(self.bus.read("nowhere", timeout=SOON))
        self.assertEqual(reason(refused.exception), "TOPIC_NOT_FOUND")
        self.assertIn("tidings topics create nowhere", refused.exception.details())

    def consume(self, group, acked):
        """The ids of deliveries to a new stream that acks so many, gets one more if there is one, and closes."""
        stream = self.bus.subscribe(group, ORDERS, timeout=SOON)
        seen = []
        for delivery in stream:
            seen.append(delivery.event.id)
            if len(seen) <= acked:
                stream.ack(delivery)
            if len(seen) > acked or delivery.event.id == "4":
                stream.close()
        return seen


def order(id):
    made = event("io.shop.orders.created", "/test", "order-17", '{"total": 25}')
    made.id = id
    return made


if __name__ == "__main__":
    unittest.main()
