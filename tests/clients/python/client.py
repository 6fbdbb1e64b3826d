"""A client of Tidings: gRPC and the stubs generated from proto/, nothing else.

    bus = Bus("127.0.0.1:4480")
    bus.publish(event("io.shop.orders.created", source="/shop", subject="order-17", text='{"total": 25}'))
    for delivery in (stream := bus.subscribe("billing", "io.shop.orders.resource")):
        print(delivery.event)
        stream.ack(delivery)
"""

import queue
import sys
import time
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, str(Path(__file__).parent / "stubs"))

from ce.cloudevents.v1.cloudevents_pb2 import CloudEvent
from tidings.v1 import publisher_pb2, publisher_pb2_grpc, subscriber_pb2, subscriber_pb2_grpc, types_pb2

# Reasons after which the same call may succeed, unchanged.
TRY_AGAIN = {"DRAINING", "LOG_UNAVAILABLE", "LOG_FULL", "LIMIT"}


def event(type, source, subject, text):
    """An event about `subject`, which is its key: events of one key stay in order."""
    made = CloudEvent(id=str(uuid.uuid4()), source=source, spec_version="1.0", type=type, text_data=text)
    made.attributes["subject"].ce_string = subject
    made.attributes["datacontenttype"].ce_string = "application/json"
    return made


class Bus:
    """A connection to the bus, for any number of threads."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.publisher = publisher_pb2_grpc.PublisherServiceStub(self.channel)
        self.subscriber = subscriber_pb2_grpc.SubscriberServiceStub(self.channel)

    def publish(self, *events, topic="", timeout=30):
        """Returns the events' positions once all of them are durable."""
        request = publisher_pb2.PublishRequest(events=events, topic=topic)
        response = call(lambda: self.publisher.Publish(request, timeout=timeout))
        return [result.position for result in response.results]

    def read(self, *topics, timeout=None):
        """Yields what there is in the topics, from the oldest event to the newest, each with its position."""
        request = subscriber_pb2.ReadRequest(topics=topics)
        for response in self.subscriber.Read(request, timeout=timeout):
            yield from response.read_events.events

    def subscribe(self, group, *topics, timeout=None):
        """Joins a group: its streams share the events of the topics."""
        credit = types_pb2.Credit(events=100)
        on_settle = subscriber_pb2.CREDIT_MODE_ON_SETTLE
        return Stream(self, subscriber_pb2.Open(group=group, topics=topics, credit=credit, credit_mode=on_settle), timeout)


class Stream:
    """Deliveries of a group. Ack each when its work is done; what is not acked comes again, here or elsewhere."""

    def __init__(self, bus, opening, timeout):
        self.bus, self.opening, self.timeout = bus, opening, timeout
        self.frames = None

    def __iter__(self):
        """Yields deliveries until `close`; opens a new stream where the server asks for it or is gone for a while."""
        while True:
            self.frames = queue.SimpleQueue()
            self.send(open=self.opening)
            try:
                for response in self.bus.subscriber.Subscribe(iter(self.frames.get, None), timeout=self.timeout):
                    yield from response.deliveries.deliveries
                return
            except grpc.RpcError as error:
                time.sleep(delay_before_retry(error))

    def ack(self, delivery):
        self.send(ack=subscriber_pb2.Ack(delivery_ids=[delivery.id]))

    def retry(self, delivery, reason):
        """The work failed: the event comes again, and events of its key wait for it."""
        nack = subscriber_pb2.Nack(delivery_ids=[delivery.id], action=subscriber_pb2.ACTION_RETRY, reason=reason)
        self.send(nack=nack)

    def close(self):
        """Ends the loop over this stream as soon as everything acked is committed."""
        self.send(close=subscriber_pb2.Close())
        self.frames.put(None)

    def send(self, **frame):
        self.frames.put(subscriber_pb2.SubscribeRequest(**frame))


def call(attempt):
    """Makes a call until it succeeds or fails for good."""
    while True:
        try:
            return attempt()
        except grpc.RpcError as error:
            time.sleep(delay_before_retry(error))


def delay_before_retry(error):
    """How long to wait before the same call may succeed; raises what will not get better by waiting."""
    if error.code() == grpc.StatusCode.UNAVAILABLE and not details(error, error_details_pb2.ErrorInfo):
        return 0.2  # The connection broke, or the server is not there yet.
    if reason(error) not in TRY_AGAIN:
        raise error
    retries = details(error, error_details_pb2.RetryInfo)
    return retries[0].retry_delay.ToTimedelta().total_seconds() if retries else 1.0


def reason(error):
    """What to act on: the text is for people."""
    return next((info.reason for info in details(error, error_details_pb2.ErrorInfo) if info.domain == "tidings"), "")


def faults(error):
    """What is wrong with the request: fields, each with the rule that it breaks."""
    requests = details(error, error_details_pb2.BadRequest)
    return {fault.field: fault.description for request in requests for fault in request.field_violations}


def details(error, kind):
    """The details of this kind in an error's status."""
    status = rpc_status.from_call(error)
    found = []
    for packed in status.details if status else []:
        unpacked = kind()
        if packed.Unpack(unpacked):
            found.append(unpacked)
    return found
