"""What native clients and the CloudEvents SDK for Python write, as the bus delivers it: to Read and Subscribe alike."""

import json

from .bus import order
from .cases import BARE, CASES, LARGE, binary
from .native import Record
from .setting import Peers
from .unreadable import write_with_header_name

TOPIC = "written-by-others"
CODECS = ["gzip", "snappy", "lz4", "zstd"]


class Read(Peers):
    """All cases lie in one partition, in their order."""

    @classmethod
    def setUpClass(cls):
        cls.native.create(TOPIC)
        cls.native.write(TOPIC, *CASES.values())
        cls.by_read = cls.bus.read_all(TOPIC)
        with cls.bus.subscription("reads-others", TOPIC) as subscription:
            subscription.until_count(len(CASES))
            subscription.until_nothing_is_left()
            subscription.close()
            cls.by_subscribe = sorted(subscription.got, key=lambda got: got.position.offset)
        cls.group = cls.bus.group("reads-others")

    def got(self, case):
        """What became of a record: the same event, key and fault to both."""
        at = list(CASES).index(case)
        read, delivered = self.by_read[at], self.by_subscribe[at]
        self.assertEqual((read.position.offset, delivered.position.offset), (at, at))
        for field in ("event", "fault"):
            self.assertEqual(getattr(read, field), getattr(delivered, field))
        for got in (read, delivered):
            self.assertEqual(got.key if got.HasField("key") else None, CASES[case].key)
        return read

    def event(self, case):
        got = self.got(case)
        self.assertFalse(got.HasField("fault"), got.fault)
        self.assertEqual((got.event.source, got.event.type), ("/else", "Thing"))
        return got.event

    def assert_event(self, case, id, data=None, **attributes):
        """The event has this id, data and these attributes besides those of every case, and no others."""
        event = self.event(case)
        found = {name: in_python(value) for name, value in event.attributes.items()}
        self.assertEqual((event.id, data_of(event), found), (id, data, attributes))

    def assert_is_its_place(self, got, case):
        place = f"0:{list(CASES).index(case)}"
        self.assertEqual((got.event.id, got.event.source, got.event.type), (place, f"topic:{TOPIC}", TOPIC))

    def assert_fault(self, case, field):
        """It is delivered with the fault and its raw bytes, and named by its place."""
        got = self.got(case)
        self.assertEqual(got.fault.field, field)
        self.assertTrue(got.fault.rule)
        self.assert_is_its_place(got, case)
        self.assertEqual((data_of(got.event), dict(got.event.attributes)), (CASES[case].value, {}))

    def assert_no_event(self, case, data, **attributes):
        got = self.got(case)
        self.assertFalse(got.HasField("fault"), got.fault)
        self.assert_is_its_place(got, case)
        found = {name: in_python(value) for name, value in got.event.attributes.items()}
        self.assertEqual((data_of(got.event), found), (data, attributes))

    def test_events_of_the_sdk_in_binary_mode_are_read(self):
        self.assertEqual(json.loads(self.event("sdk binary").text_data), {"total": 25})
        text = CASES["sdk binary"].value.decode()
        self.assert_event(
            "sdk binary", "sdk", text, datacontenttype="application/json", subject="ü", shopvendor="acme", time=TIME_TEXT
        )
        self.assert_event("sdk binary with key", "keyed", b"\x00\xff", partitionkey="customer-4", time=TIME_TEXT)

    def test_flags_that_the_sdk_writes_as_python_does_are_flags_where_the_type_is_known(self):
        # Of no data the SDK makes an empty value.
        self.assert_event("sdk binary flags", "flags", b"", deprecated=True, unknown="True", time=TIME_TEXT)

    def test_events_of_the_sdk_in_structured_mode_are_read(self):
        self.assertEqual(json.loads(self.event("sdk structured").text_data), {"total": 25})
        self.assertEqual(self.event("sdk structured").attributes["partitionkey"].ce_string, "customer-4")
        self.assert_event("sdk structured bytes", "sdk-bytes", b"\x00\xff", time=TIME_TEXT)

    def test_structured_mode_is_known_by_its_media_type_in_any_case_and_with_a_charset(self):
        for case, id in [("charset", "charset"), ("other case", "other-case"), ("headers too", "in-the-envelope")]:
            self.assert_event(case, id, '{"a":1}', datacontenttype="application/json")

    def test_attributes_in_structured_mode_keep_their_types_and_a_null_one_is_absent(self):
        self.assert_event("typed", "typed", "hi", datacontenttype="text/plain", count=-5, flag=False)

    def test_what_claims_to_be_structured_and_is_not_comes_with_its_fault_and_bytes(self):
        for case, field in [("cut off", "json"), ("no envelope", "value"), ("other format", "content-type")]:
            self.assert_fault(case, field)

    def test_a_batch_comes_with_its_fault_and_bytes(self):
        self.assert_fault("batch", "content-type")

    def test_structured_json_without_a_content_type_is_no_cloudevent_and_comes_as_bytes(self):
        self.assert_no_event("bare json", BARE)

    def test_records_that_are_no_cloudevents_come_named_by_their_place(self):
        self.assert_no_event("bytes", b"\x00\xff")
        self.assert_no_event("text", "hello", datacontenttype="text/plain")
        self.assert_no_event("nothing", None)

    def test_tombstones_come_without_data(self):
        self.assert_no_event("tombstone", None)
        self.assert_event("event tombstone", "event-tombstone")
        self.assert_event("no data", "no-data", b"")

    def test_keys_come_as_they_are_and_never_as_attributes(self):
        self.assert_event("empty key", "empty-key", b"v")
        self.assert_event("key of bytes", "key-of-bytes", b"v")

    def test_headers_are_read_in_any_case_and_the_last_of_a_name_counts(self):
        self.assert_event("twice", "second", b"v", foo="b")
        self.assert_event("capitals", "capitals", "v", datacontenttype="text/plain")

    def test_headers_that_are_null_are_absent(self):
        self.assert_event("null headers", "null-headers")
        self.assert_fault("null id", "ce_id")

    def test_headers_against_the_rules_are_faults_that_name_them(self):
        for case, field in [("not utf-8", "ce_foo"), ("bad name", "ce_bad_name"), ("no source", "ce_source")]:
            self.assert_fault(case, field)

    def test_a_value_of_900_kb_comes_whole(self):
        self.assertGreater(len(LARGE), 900_000)
        self.assert_event("large", "large", LARGE)

    def test_a_group_acks_its_way_past_all_of_them(self):
        self.assertEqual(len(self.by_read), len(CASES))
        (partition,) = self.group.partitions
        self.assertEqual((partition.committed, self.group.lag_events), (len(CASES), 0))

    def test_batches_of_every_codec_are_read(self):
        for codec in CODECS:
            # The cluster takes no batch so large, unless it comes compressed.
            topic = self.native.create(f"compressed-{codec}", **{"max.message.bytes": "50000"})
            records = [binary(f"{codec}-{number}", value=b"%05d" % number * 400) for number in range(300)]
            records.append(binary(f"{codec}-large", value=bytes(900_000)))
            self.native.write(topic, *records, compression_type=codec, linger_ms=100)
            got = self.bus.read_all(topic)
            self.assertEqual([read.event.binary_data for read in got], [record.value for record in records])
        with self.assertRaisesRegex(AssertionError, "MSG_SIZE_TOO_LARGE"):
            self.native.write(topic, *records[-1:])

    def test_a_header_whose_name_is_not_utf_8_is_passed_over(self):
        topic = self.native.create("unreadable-name")
        record = binary("unreadable", ("ce_foo", b"a"), key=b"k", value=b"v")
        write_with_header_name(self.native.properties["bootstrap.servers"], topic, record, b"ce_\xff\xfe")
        self.native.write(topic, Record(value=b"behind"))
        self.bus.publish(order("after"), topic=topic)
        got = self.bus.read_all(topic)
        self.assertEqual([(read.event.id, data_of(read.event)) for read in got[:1]], [("unreadable", b"v")])
        self.assertEqual(got[0].event.attributes["foo"].ce_string, "a")
        self.assertEqual([read.event.id for read in got[1:]], ["0:1", "after"])


TIME_TEXT = "2026-11-21T10:30:00.123456Z"


def data_of(event):
    """Bytes, text, or `None` for no data."""
    kind = event.WhichOneof("data")
    return getattr(event, kind) if kind else None


def in_python(value):
    kind = value.WhichOneof("attr")
    found = getattr(value, kind)
    return found.ToJsonString() if kind == "ce_timestamp" else found
