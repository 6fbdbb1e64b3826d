"""What the bus writes, as native clients and the CloudEvents SDK for Python read it."""

import base64
import json

from cloudevents.core.bindings import kafka
from cloudevents.core.bindings.kafka import KafkaMessage
from google.protobuf import struct_pb2

from .bus import CloudEvent, order
from .murmur2 import murmur2, partition_of
from .native import Record
from .setting import Peers

# From Kafka's UtilsTest.testMurmur2.
HASHES = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
PARTITIONS = 7
KEYS = [*HASHES, "", "ü", "世界"]
KEYS += [f"order-{number}" for number in range(300)] + ["k" * length for length in range(2, 40)]


class Written(Peers):
    def written(self, topic, *events, **publish):
        """What native clients find after the bus has published these."""
        if "key" in publish:
            self.bus.publish_with_key(topic, publish["key"], *events)
        else:
            self.bus.publish(*events, topic=topic)
        return self.native.read(topic, partitions=4)

    def test_attributes_of_every_type_are_headers_of_canonical_text(self):
        sent = CloudEvent(id="1", source="/shop", spec_version="1.0", type="io.shop.orders.created")
        sent.text_data = '{"total": 25}'
        sent.attributes["datacontenttype"].ce_string = "application/json"
        sent.attributes["dataschema"].ce_uri = "https://shop.example/orders/v1"
        sent.attributes["flag"].ce_boolean = True
        sent.attributes["count"].ce_integer = -(2**31)
        sent.attributes["label"].ce_string = "grüße, 世界 %"
        sent.attributes["token"].ce_bytes = bytes(range(256))
        sent.attributes["related"].ce_uri_ref = "../orders/2"
        sent.attributes["subject"].ce_string = "order-17"
        sent.attributes["time"].ce_timestamp.FromJsonString("2026-11-21T10:30:00.123456789Z")
        (record,) = self.written("every-type", sent)
        types = dict(record.headers).pop("tidings_types").decode()
        expected = {
            "ce_specversion": "1.0",
            "ce_id": "1",
            "ce_source": "/shop",
            "ce_type": "io.shop.orders.created",
            "content-type": "application/json",
            "ce_dataschema": "https://shop.example/orders/v1",
            "ce_flag": "true",
            "ce_count": "-2147483648",
            "ce_label": "grüße, 世界 %",
            "ce_token": base64.b64encode(bytes(range(256))).decode(),
            "ce_related": "../orders/2",
            "ce_subject": "order-17",
            "ce_time": "2026-11-21T10:30:00.123456789Z",
            "tidings_types": types,
        }
        self.assertEqual({name: value.decode() for name, value in record.headers}, expected)
        self.assertEqual(len(record.headers), len(expected))
        self.assertEqual(
            set(types.split(",")), {"flag=boolean", "count=integer", "token=binary", "related=uri-reference"}
        )
        self.assertEqual((record.key, record.value), (b"order-17", b'{"total": 25}'))

    def test_the_sdk_reads_the_event_that_was_published(self):
        sent = order("sdk-1")
        sent.text_data = '{"total": 25, "items": ["ü", null]}'
        sent.attributes["partitionkey"].ce_string = "customer-4"
        sent.attributes["flag"].ce_boolean = True
        sent.attributes["count"].ce_integer = 5
        sent.attributes["time"].ce_timestamp.FromJsonString("2026-11-21T10:30:00.123456Z")
        (record,) = self.written("for-the-sdk", sent)
        read = from_binary(record)
        self.assertEqual(read.get_data(), json.loads(sent.text_data))
        attributes = read.get_attributes()
        self.assertEqual(attributes.pop("time").isoformat(), "2026-11-21T10:30:00.123456+00:00")
        expected = {
            "specversion": "1.0",
            "id": "sdk-1",
            "source": "/shop",
            "type": "io.shop.orders.created",
            "subject": "order-17",
            "datacontenttype": "application/json",
            "partitionkey": "customer-4",
            "flag": "true",
            "count": "5",
        }
        self.assertEqual(attributes, expected)
        self.assertEqual(kafka.from_kafka_event(message(record)).get_id(), "sdk-1")

    def test_data_is_the_value_untouched_and_no_data_is_a_null_value(self):
        binary, none, empty, json_text = order("binary"), order("none"), order("empty"), order("json")
        binary.binary_data = bytes(range(256)) * 256
        empty.binary_data = b""
        none.ClearField("text_data")
        for sent in (binary, none, empty):
            del sent.attributes["datacontenttype"]
        json_text.text_data = ' {"b":1.0,\n "a" : "\\u00fc"} '
        records = self.written("data", binary, none, empty, json_text)
        written = {value_of(record, "ce_id"): record.value for record in records}
        expected = {
            "binary": binary.binary_data,
            "none": None,
            "empty": b"",
            "json": json_text.text_data.encode(),
        }
        self.assertEqual(written, expected)

    def test_the_sdk_reads_bytes_and_the_absence_of_data(self):
        binary, none = order("binary"), order("none")
        binary.binary_data = b"\x00\xff\xfe"
        binary.attributes["datacontenttype"].ce_string = "application/octet-stream"
        none.ClearField("text_data")
        del none.attributes["datacontenttype"]
        read = [from_binary(record) for record in self.written("bytes-for-the-sdk", binary, none)]
        self.assertEqual([event.get_data() for event in read], [b"\x00\xff\xfe", None])
        self.assertEqual([event.get_datacontenttype() for event in read], ["application/octet-stream", None])

    def test_a_protobuf_message_is_the_value_and_its_type_the_schema(self):
        sent, packed = order("proto"), struct_pb2.Value(string_value="any message")
        del sent.attributes["datacontenttype"]
        sent.proto_data.Pack(packed)
        (record,) = self.written("proto", sent)
        self.assertEqual(struct_pb2.Value.FromString(record.value), packed)
        self.assertEqual(value_of(record, "content-type"), "application/protobuf")
        self.assertEqual(value_of(record, "ce_dataschema"), "type.googleapis.com/google.protobuf.Value")

    def test_the_key_is_the_requests_bytes_or_that_of_the_event_or_null(self):
        without = order("without")
        del without.attributes["subject"]
        with_both = order("both")
        with_both.attributes["partitionkey"].ce_string = "customer-4"
        self.bus.publish(order("subject"), with_both, without, topic="keys")
        self.bus.publish_with_key("keys", b"\x00\xff", order("bytes"))
        found = {value_of(record, "ce_id"): record.key for record in self.written("keys", order("empty"), key=b"")}
        expected = {"subject": b"order-17", "both": b"customer-4", "without": None, "bytes": b"\x00\xff", "empty": b""}
        self.assertEqual(found, expected)

    def test_the_hash_of_these_tests_is_that_of_java(self):
        self.assertEqual({text: murmur2(text.encode()) for text in HASHES}, HASHES)

    def test_keys_lie_in_the_partitions_where_java_and_librdkafka_put_them(self):
        keys = [key.encode() for key in KEYS]
        ours, theirs = self.bus.create("ours", PARTITIONS), self.bus.create("theirs", PARTITIONS)
        events = [order(str(number), subject=key) for number, key in enumerate(KEYS) if key]
        positions = self.bus.publish(*events, topic=ours)
        positions += self.bus.publish_with_key(ours, b"", order("empty"))
        self.native.write(theirs, *[Record(key=key) for key in keys])
        java = {key: partition_of(key, PARTITIONS) for key in keys}
        self.assertEqual(set(java.values()), set(range(PARTITIONS)))
        of_bus = {record.key: record.partition for record in self.native.read(ours, PARTITIONS)}
        of_librdkafka = {record.key: record.partition for record in self.native.read(theirs, PARTITIONS)}
        self.assertEqual(of_bus, java)
        self.assertEqual(of_librdkafka, java)
        told = {(position.partition, position.offset) for position in positions}
        self.assertEqual(told, {(record.partition, record.offset) for record in self.native.read(ours, PARTITIONS)})


def value_of(record, header):
    return dict(record.headers)[header].decode()


def message(record):
    """As the SDK wants it."""
    return KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)


def from_binary(record):
    """The event as the SDK has it. The key, which it adds to every event, is left out: not the bus put it there."""
    return kafka.from_binary_event(KafkaMessage(headers=dict(record.headers), key=None, value=record.value))
