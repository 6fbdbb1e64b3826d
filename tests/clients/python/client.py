"""A client of Tidings: gRPC and the stubs generated from proto/, nothing else.

    bus = Bus("127.0.0.1:4480")
    bus.publish(event("io.shop.orders.created", source="/shop", subject="order-17", text='{"total": 25}'))
    for delivery in (stream := bus.subscribe("billing", "io.shop.orders.resource")):
        print(delivery.event)
        stream.ack(delivery)
"""

import math
import queue
import sys
import time
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, str(Path(__file__).parent / "stubs"))

from ce.cloudevents.v1.cloudevents_pb2 import CloudEvent, CloudEventBatch
from tidings.v1 import commands_pb2, commands_pb2_grpc, publisher_pb2, publisher_pb2_grpc, subscriber_pb2, subscriber_pb2_grpc

# Reasons after which the same call may succeed, unchanged.
TRY_AGAIN = {"DRAINING", "LOG_UNAVAILABLE", "LOG_FULL", "LIMIT"}


def event(type, source, subject, text):
    """An event about `subject`, which is its key: events of one key stay in order."""
    made = CloudEvent(id=str(uuid.uuid4()), source=source, spec_version="1.0", type=type, text_data=text)
    made.attributes["subject"].ce_string = subject
    made.attributes["datacontenttype"].ce_string = "application/json"
    return made


class Bus:
    """A connection to the bus, for any number of threads. With `authority`, certificates in PEM, it is encrypted, to whom those have
    signed for; then `token` says who calls."""

    def __init__(self, address, authority=None, token=None):
        self.channel = grpc.secure_channel(address, credentials(authority, token)) if authority else grpc.insecure_channel(address)
        self.publisher = publisher_pb2_grpc.PublisherServiceStub(self.channel)
        self.subscriber = subscriber_pb2_grpc.SubscriberServiceStub(self.channel)
        self.commands = commands_pb2_grpc.CommandServiceStub(self.channel)

    def publish(self, *events, topic="", timeout=30):
        """Returns the events' positions once all of them are durable. Tries until the timeout."""
        request = publisher_pb2.PublishRequest(events=events, topic=topic)
        deadline = time.monotonic() + timeout
        while True:
            try:
                left = deadline - time.monotonic()
                response = self.publisher.Publish(request, timeout=left, wait_for_ready=True)
                return [result.position for result in response.results]
            except grpc.RpcError as error:
                wait_to_retry(error, deadline)

    def read(self, *topics, timeout=None):
        """Yields what there is in the topics, from the oldest event to the newest, each with its position."""
        request = subscriber_pb2.ReadRequest(topics=topics)
        for response in self.subscriber.Read(request, timeout=timeout):
            yield from response.read_events.events

    def subscribe(self, group, *topics, client_id="", timeout=None, on_command=None):
        """Joins a group: its streams share the events of the topics. `on_command` is called with each command; what it returns, a
        message or None, is the answer, and what it raises says that it failed."""
        opening = subscriber_pb2.Open(group=group, topics=topics, client_id=client_id, commands=on_command is not None)
        opening.credit.events = 100
        opening.credit_mode = subscriber_pb2.CREDIT_MODE_ON_SETTLE
        return Stream(self.subscriber, opening, timeout, on_command)

    def send_command(self, group, name, payload=None, timeout=30):
        """Tells all instances of a group what to do; yields what becomes of it at each."""
        request = commands_pb2.SendCommandRequest(name=name, group=group)
        if payload:
            request.payload.Pack(payload)
        yield from self.commands.SendCommand(request, timeout=timeout, wait_for_ready=True)


def credentials(authority, token):
    encrypted = grpc.ssl_channel_credentials(authority)
    return grpc.composite_channel_credentials(encrypted, grpc.access_token_call_credentials(token)) if token else encrypted


class Stream:
    """Deliveries of a group. Ack each when its work is done; what is not acked comes again, here or elsewhere."""

    def __init__(self, subscriber, opening, timeout, on_command):
        self.subscriber, self.opening, self.timeout = subscriber, opening, timeout
        self.on_command = on_command
        self.frames, self.closed = None, False

    def __iter__(self):
        """Yields deliveries until `close`; opens a new stream where the server asks for it or is gone for a while."""
        while not self.closed:
            self.frames = frames = queue.SimpleQueue()
            self.send(open=self.opening)
            try:
                for response in self.subscriber.Subscribe(iter(frames.get, None), timeout=self.timeout, wait_for_ready=True):
                    for delivery in response.deliveries.deliveries:
                        if not self.closed:  # Those after `close` go to another stream of the group.
                            yield delivery
                    if response.HasField("command"):
                        self.answer(response.command)
                    # The server is about to stop. Everything it sent is settled by now: have that committed, then open elsewhere.
                    if response.HasField("drain"):
                        frames.put(None)
                    # Other frames, and those that these stubs do not know, are not for us.
            except grpc.RpcError as error:
                if self.closed:
                    raise  # What was acked last may not be committed.
                wait_to_retry(error)
            finally:
                frames.put(None)  # Nobody waits for frames of a stream that has ended.

    def answer(self, command):
        reply = subscriber_pb2.CommandReply(command_id=command.command_id)
        try:
            if (message := self.on_command(command)) is not None:
                reply.payload.Pack(message)
        except Exception as failure:
            reply.status.code, reply.status.message = grpc.StatusCode.UNKNOWN.value[0], str(failure)
        self.send(command_reply=reply)

    def ack(self, delivery):
        self.send(ack=subscriber_pb2.Ack(delivery_ids=[delivery.id]))

    def retry(self, delivery, reason):
        """The work failed: the event comes again, and events of its key wait for it."""
        nack = subscriber_pb2.Nack(delivery_ids=[delivery.id], action=subscriber_pb2.ACTION_RETRY, reason=reason)
        self.send(nack=nack)

    def close(self):
        """Ends the loop over this stream as soon as everything acked is committed."""
        self.closed = True
        self.send(close=subscriber_pb2.Close())
        self.frames.put(None)

    def send(self, **frame):
        self.frames.put(subscriber_pb2.SubscribeRequest(**frame))


def wait_to_retry(error, deadline=math.inf):
    """Waits until the same call may succeed; raises what will not get better by waiting."""
    # UNAVAILABLE without a reason is a connection that broke; with one that is not known, its code is what to go by.
    if error.code() != grpc.StatusCode.UNAVAILABLE and reason(error) not in TRY_AGAIN:
        raise error
    retries = details(error, error_details_pb2.RetryInfo)
    delay = retries[0].retry_delay.ToTimedelta().total_seconds() if retries else 0.2
    if time.monotonic() + delay >= deadline:
        raise error
    time.sleep(delay)


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
