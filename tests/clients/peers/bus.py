"""The bus as the tests of peers ask it: they see every frame, and no stream is opened again behind a test's back."""

import queue
import sys
import time
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

import client
from client import CloudEvent, details, event, publisher_pb2, reason, subscriber_pb2, wait_to_retry
from google.rpc import error_details_pb2
from tidings.v1 import offsets_pb2, offsets_pb2_grpc, topics_pb2, topics_pb2_grpc

SOON = 30
__all__ = ["Bus", "CloudEvent", "Subscription", "order", "reason", "resources"]


class Bus(client.Bus):
    def __init__(self, address):
        super().__init__(address)
        self.offsets = offsets_pb2_grpc.OffsetServiceStub(self.channel)
        self.topics = topics_pb2_grpc.TopicServiceStub(self.channel)

    def create(self, topic, partitions=1):
        settings = topics_pb2.TopicSettings(partitions=partitions)
        self.topics.CreateTopic(topics_pb2.CreateTopicRequest(name=topic, settings=settings), timeout=SOON)
        return topic

    def topic_names(self):
        """The bus's own topics too."""
        listed = self.topics.ListTopics(topics_pb2.ListTopicsRequest(internal=True, page_size=1000), timeout=SOON)
        return {topic.name for topic in listed.topics}

    def publish_with_key(self, topic, key, *events):
        request = publisher_pb2.PublishRequest(events=events, topic=topic, key=key)
        return [result.position for result in self.publisher.Publish(request, timeout=SOON).results]

    def read_all(self, topic):
        """What a bounded read gets before it ends by itself."""
        return list(self.read(topic, timeout=SOON))

    def follow(self, topic):
        """A Read that goes on, from the oldest event."""
        request = subscriber_pb2.ReadRequest(topics=[topic], follow=True)
        request.start.earliest.SetInParent()
        return Follower(self.subscriber.Read(request, timeout=SOON))

    def group(self, name):
        return self.offsets.GetGroup(offsets_pb2.GetGroupRequest(group=name), timeout=SOON).group

    def subscription(self, group, *topics):
        return Subscription(self.subscriber, group, topics)


class Frames:
    """What a stream of the bus has said so far. Ends with its `with` block at the latest."""

    def __init__(self, call):
        self.call, self.got, self.is_caught_up = call, [], False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call.cancel()

    def until(self, reached):
        """Takes frames until it is so; fails with DEADLINE_EXCEEDED if that never comes."""
        while not reached():
            self.take(next(self.call))
        return self

    def until_count(self, count):
        self.until(lambda: len(self.got) >= count)
        return self.ids()

    def until_caught_up(self):
        self.until(lambda: self.is_caught_up)
        return self.ids()

    def ids(self):
        return [got.event.id for got in self.got]


class Follower(Frames):
    def take(self, frame):
        self.got.extend(frame.read_events.events)
        self.is_caught_up |= frame.HasField("caught_up")


class Subscription(Frames):
    """A stream of a group that acks everything as it comes. It is open when it is there, or else was refused."""

    def __init__(self, subscriber, group, topics):
        super().__init__(None)
        self.opening = subscriber_pb2.Open(group=group, topics=topics)
        self.opening.credit.events = 1000
        self.opening.credit_mode = subscriber_pb2.CREDIT_MODE_ON_SETTLE
        self.opening.heartbeat_interval.seconds = 1
        self.opened, self.standing = None, {}
        deadline = time.monotonic() + SOON
        while self.opened is None:
            try:
                self.open(subscriber)
            except grpc.RpcError as error:
                # A new cluster must first find who coordinates groups.
                wait_to_retry(error, deadline)

    def __exit__(self, *_):
        self.frames.put(None)
        super().__exit__()

    def open(self, subscriber):
        self.frames = queue.SimpleQueue()
        self.call = subscriber.Subscribe(iter(self.frames.get, None), timeout=SOON)
        self.send(open=self.opening)
        try:
            self.take(next(self.call))
        finally:
            if self.opened is None:
                self.frames.put(None)

    def until_nothing_is_left(self):
        """Until it is told of each partition that the group has everything in it behind it."""
        return self.until(lambda: self.standing and not any(progress.lag_events for progress in self.standing.values()))

    def close(self):
        """Returns when everything acked is committed."""
        self.send(close=subscriber_pb2.Close())
        self.frames.put(None)
        for frame in self.call:
            self.take(frame)

    def take(self, frame):
        if frame.HasField("opened"):
            self.opened = frame.opened
        self.is_caught_up |= frame.HasField("caught_up")
        told = [*frame.opened.partitions, *frame.heartbeat.partitions]
        self.standing |= {(progress.topic, progress.partition): progress for progress in told}
        for delivery in frame.deliveries.deliveries:
            self.got.append(delivery)
            self.send(ack=subscriber_pb2.Ack(delivery_ids=[delivery.id]))

    def send(self, **frame):
        self.frames.put(subscriber_pb2.SubscribeRequest(**frame))


def order(id, subject="order-17"):
    made = event("io.shop.orders.created", "/shop", subject, "{}")
    made.id = id
    return made


def resources(error):
    """What a refusal is about: kinds and names."""
    return [(about.resource_type, about.resource_name) for about in details(error, error_details_pb2.ResourceInfo)]
