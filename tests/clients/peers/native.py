"""Native clients of the cluster (librdkafka's), which know nothing of the bus."""

import time
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SOON = 30


@dataclass
class Record:
    """A record to write, or as it was read."""

    key: bytes | None = None
    value: bytes | None = None
    headers: list | tuple = ()
    partition: int = -1
    offset: int = -1


class Native:
    """A cluster as its native clients see it."""

    def __init__(self, brokers):
        self.properties = {"bootstrap.servers": brokers}
        self.reading = {"enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
        self.admin = AdminClient(self.properties)

    def create(self, topic, partitions=1, **config):
        made = self.admin.create_topics([NewTopic(topic, partitions, 1, config=config)])
        made[topic].result(SOON)
        return topic

    def producer(self, **properties):
        # The partitioner is what a program must set to share keys with Java; all others are librdkafka's own.
        chosen = {name.replace("_", "."): value for name, value in properties.items()}
        return Producer(self.properties | {"partitioner": "murmur2_random"} | chosen)

    def write(self, topic, *records, **properties):
        """Writes the records with one producer; they as the cluster has them."""
        return write(self.producer(**properties), topic, *records)

    @contextmanager
    def transactional(self, id):
        """A producer that may begin its first transaction."""
        producer = self.producer(transactional_id=id)
        producer.init_transactions(SOON)
        yield producer

    def read(self, topic, partitions=1, isolation="read_committed"):
        """All records of a topic, in order within each partition."""
        with self.consumer("reads-alone", **{"enable.partition.eof": True, "isolation.level": isolation}) as consumer:
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
            records, at_end = [], set()
            for message in messages(consumer):
                if message.error() is None:
                    records.append(record(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.partition())
                else:
                    raise AssertionError(message.error())
                if len(at_end) == partitions:
                    return records

    @contextmanager
    def consumer(self, group, **properties):
        consumer = Consumer(self.properties | self.reading | {"group.id": group} | properties)
        try:
            yield consumer
        finally:
            consumer.close()

    @contextmanager
    def member(self, group, topic, **properties):
        """A consumer that is in the group and has partitions of it. It may have missed records by then."""
        with self.consumer(group, **properties) as consumer:
            assigned = []
            consumer.subscribe([topic], on_assign=lambda _, partitions: assigned.extend(partitions))
            deadline = time.monotonic() + SOON
            while not assigned:
                assert time.monotonic() < deadline, f"no partition of {topic} came to the group {group}"
                consumer.poll(0.1)
            yield consumer

    def commit(self, group, topic, *offsets):
        """Leaves these offsets behind (from partition 0, `None` = nothing), as a consumer that was there does."""
        with self.member(group, topic) as consumer:
            places = [TopicPartition(topic, *place) for place in enumerate(offsets) if place[1] is not None]
            consumer.commit(offsets=places, asynchronous=False)

    def committed(self, group, topic, partitions=1):
        """What a group has committed in each partition; negative = nothing."""
        with self.consumer(group) as consumer:
            places = [TopicPartition(topic, partition) for partition in range(partitions)]
            return [place.offset for place in consumer.committed(places, timeout=SOON)]

    def ends(self, topic, partitions=1):
        with self.consumer("reads-alone") as consumer:
            places = [TopicPartition(topic, partition) for partition in range(partitions)]
            return [consumer.get_watermark_offsets(place, timeout=SOON)[1] for place in places]

    def topics(self):
        return set(self.admin.list_topics(timeout=SOON).topics)

    def groups(self):
        listed = self.admin.list_consumer_groups(request_timeout=SOON).result(SOON)
        return {group.group_id for group in listed.valid}


def write(producer, topic, *records):
    """Writes the records and waits until the cluster has them all; they as it has them."""
    written, failed = [], []
    for given in records:

        def told(error, message, given=given):
            if error is not None:
                failed.append(error)
            else:
                written.append(Record(given.key, given.value, given.headers, message.partition(), message.offset()))

        place = {} if given.partition < 0 else {"partition": given.partition}
        producer.produce(topic, given.value, given.key, headers=list(given.headers), on_delivery=told, **place)
    assert producer.flush(SOON) == 0, "not all records were written in time"
    assert not failed, failed
    return written


def messages(consumer):
    """What comes to the consumer, errors too, for as long as a test may take."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            yield message
    raise AssertionError("nothing (more) came to the consumer")


def record(message):
    return Record(message.key(), message.value(), message.headers() or [], message.partition(), message.offset())
