"""Records that others write, each by a name; from the CloudEvents SDK for Python where it can write them."""

from datetime import UTC, datetime

from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent

from .native import Record

JSON = "application/cloudevents+json"
BARE = b'{"specversion":"1.0","id":"bare","source":"/else","type":"Thing","data":{"a":1}}'
LARGE = bytes(range(256)) * 3600
TIME = datetime(2026, 11, 21, 10, 30, 0, 123456, UTC)


def sdk_event(id, data=None, **attributes):
    required = {"id": id, "source": "/else", "type": "Thing", "time": TIME}
    return CloudEvent(required | attributes, data)


def of_sdk(message):
    """A record as the SDK wants it written; it leaves keys to be encoded."""
    key = None if message.key is None else message.key.encode()
    return Record(key=key, value=message.value, headers=list(message.headers.items()))


def binary(id, *more, key=None, value=None):
    """Binary mode by hand, with these headers behind the required ones."""
    required = [("ce_specversion", b"1.0"), ("ce_id", id.encode()), ("ce_source", b"/else"), ("ce_type", b"Thing")]
    return Record(key=key, value=value, headers=[*required, *more])


def structured(content_type, value, *more):
    return Record(value=value, headers=[("content-type", content_type.encode()), *more])


def envelope(id, more=b'"data":{"a":1}'):
    return b'{"specversion":"1.0","id":"%s","source":"/else","type":"Thing",%s}' % (id.encode(), more)


CASES = {
    # The SDK, in both modes.
    "sdk binary": of_sdk(
        kafka.to_binary_event(
            sdk_event("sdk", {"total": 25}, datacontenttype="application/json", subject="ü", shopvendor="acme")
        )
    ),
    "sdk binary with key": of_sdk(kafka.to_binary_event(sdk_event("keyed", b"\x00\xff", partitionkey="customer-4"))),
    "sdk binary flags": of_sdk(kafka.to_binary_event(sdk_event("flags", None, deprecated=True, unknown=True))),
    "sdk structured": of_sdk(
        kafka.to_structured_event(
            sdk_event("sdk-js", {"total": 25}, datacontenttype="application/json", partitionkey="customer-4")
        )
    ),
    "sdk structured bytes": of_sdk(kafka.to_structured_event(sdk_event("sdk-bytes", b"\x00\xff"))),
    # Structured mode as others write it.
    "charset": structured("application/cloudevents+json; charset=UTF-8", envelope("charset")),
    "other case": structured("Application/CloudEvents+JSON;charset=utf-8", envelope("other-case")),
    "typed": structured(
        JSON, envelope("typed", b'"count":-5,"flag":false,"gone":null,"datacontenttype":"text/plain","data":"hi"')
    ),
    "headers too": structured(JSON, envelope("in-the-envelope"), ("ce_id", b"in-a-header"), ("ce_Bad_Name", b"x")),
    "cut off": structured(JSON, b'{"specversion":"1.0","id":'),
    "no envelope": structured(JSON, None),
    "batch": structured("application/cloudevents-batch+json", b"[" + envelope("in-batch") + b"]"),
    "other format": structured("application/cloudevents+protobuf", b"\x0a\x011"),
    # No CloudEvents.
    "bare json": Record(value=BARE),
    "bytes": Record(key=b"k", value=b"\x00\xff"),
    "text": Record(value=b"hello", headers=[("content-type", b"text/plain"), ("traceparent", b"00-1-1-00")]),
    "tombstone": Record(key=b"order-17"),
    "nothing": Record(),
    # Binary mode as the binding leaves it open.
    "event tombstone": binary("event-tombstone", key=b"order-17"),
    "no data": binary("no-data", value=b""),
    "empty key": binary("empty-key", key=b"", value=b"v"),
    "key of bytes": binary("key-of-bytes", key=b"\x00\xff", value=b"v"),
    "twice": binary("first", ("ce_foo", b"a"), ("ce_id", b"second"), ("CE_FOO", b"b"), value=b"v"),
    "capitals": Record(
        value=b"v",
        headers=[
            ("CE_SPECVERSION", b"1.0"),
            ("Ce_Id", b"capitals"),
            ("ce_Source", b"/else"),
            ("CE_type", b"Thing"),
            ("Content-Type", b"text/plain"),
        ],
    ),
    "null headers": binary("null-headers", ("ce_subject", None), ("ce_foo", None), ("content-type", None), ("else", None)),
    "null id": binary("x", ("ce_id", None), value=b"v"),
    "not utf-8": binary("x", ("ce_foo", b"\xff"), value=b"v"),
    "bad name": binary("x", ("ce_bad_name", b"x"), value=b"v"),
    "no source": Record(value=b"v", headers=[("ce_specversion", b"1.0"), ("ce_id", b"x"), ("ce_type", b"Thing")]),
    "large": binary("large", key=b"k", value=LARGE),
}
