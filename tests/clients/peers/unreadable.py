"""A record that Python's clients refuse to write, through the C interface of the librdkafka that comes with one of them.

A header's name is bytes to librdkafka, and text to confluent-kafka, which can neither write nor read one that is not
UTF-8."""

import ctypes
from pathlib import Path

import confluent_kafka

SOON = 30_000
PRODUCER = 0
# Of rd_kafka_vtype_t: what the next argument of rd_kafka_producev is.
END, TOPIC, VALUE, KEY, FLAGS, HEADERS = 0, 1, 4, 5, 7, 10
COPY = 2


def write_with_header_name(brokers, topic, record, name):
    """Writes the record with one more header of this name."""
    rdkafka = library()
    error = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
    assert rdkafka.rd_kafka_conf_set(configuration, b"bootstrap.servers", brokers.encode(), error, 512) == 0, error.value
    producer = ctypes.c_void_p(rdkafka.rd_kafka_new(PRODUCER, configuration, error, 512))
    assert producer, error.value
    headers = ctypes.c_void_p(rdkafka.rd_kafka_headers_new(8))
    for header, value in [*((header.encode(), value) for header, value in record.headers), (name, b"x")]:
        added = rdkafka.rd_kafka_header_add(headers, header, size(header), value, size(value))
        assert added == 0, f"header {header!r}: error {added}"
    failed = rdkafka.rd_kafka_producev(
        producer, TOPIC, topic.encode(), FLAGS, COPY, HEADERS, headers,
        KEY, record.key, size(record.key), VALUE, record.value, size(record.value), END,
    )  # fmt: skip
    assert failed == 0, f"error {failed}"
    assert rdkafka.rd_kafka_flush(producer, SOON) == 0, "the record was not written in time"
    rdkafka.rd_kafka_destroy(producer)


def size(data):
    return ctypes.c_size_t(len(data))


def library():
    """The one that confluent-kafka has loaded."""
    (path,) = (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    loaded = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(loaded, name).restype = ctypes.c_void_p
    return loaded
