"""What a good client does, in each language: the bus is played by this test, which looks at what the client sends.

What a served bus does seldom or never is here: refusals that pass, frames of a later version, the largest numbers.
"""

import time
import unittest
from concurrent import futures

import grpc
from commands import LANGUAGES, Subscriber, publish
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from client import event, publisher_pb2_grpc, subscriber_pb2, subscriber_pb2_grpc

LARGEST_ID = 2**53 - 1
LARGEST_OFFSET = 2**63 - 1
# A frame of a number that no client knows.
FROM_THE_FUTURE = subscriber_pb2.SubscribeResponse.FromString(b"\x9a\x06\x00")


class Bus(publisher_pb2_grpc.PublisherServiceServicer, subscriber_pb2_grpc.SubscriberServiceServicer):
    """Plays its part by the number of the call; keeps what it saw."""

    def __init__(self):
        self.calls, self.seen, self.refused_at = 0, [], None

    def Publish(self, request, context):
        self.called()
        self.seen.append("deadline" if 0 < context.time_remaining() <= 30 else "no deadline")
        if self.calls == 1:
            self.refuse(context, code_pb2.UNAVAILABLE, "LOG_UNAVAILABLE", after=0.4)
        if self.calls == 2:
            self.refuse(context, code_pb2.RESOURCE_EXHAUSTED, "LIMIT", after=0.3)
        if self.calls == 3:
            self.refuse(context, code_pb2.UNAVAILABLE, "A_REASON_FROM_THE_FUTURE", after=0.3)
        self.refuse(context, code_pb2.FAILED_PRECONDITION, "ANOTHER_REASON_FROM_THE_FUTURE")

    def Subscribe(self, frames, context):
        self.called()
        opening = next(frames).open
        self.seen.append(f"open {opening.group} {opening.topics} as {opening.client_id}")
        if self.calls == 1:
            self.refuse(context, code_pb2.UNAVAILABLE, "LOG_UNAVAILABLE", after=0.4)
        if self.calls == 2:
            yield FROM_THE_FUTURE
            yield subscriber_pb2.SubscribeResponse(heartbeat={})
            yield deliveries((LARGEST_ID, "first"))
            self.see(next(frames))
            yield subscriber_pb2.SubscribeResponse(drain={"deadline": {"seconds": 30}})
        if self.calls == 3:
            self.refuse(context, code_pb2.UNAVAILABLE, "DRAINING", after=0.3)
        if self.calls == 4:
            yield deliveries((7, "second"), (8, "not wanted any more"))
        for frame in frames:
            self.see(frame)
        self.seen.append("half-close")

    def see(self, frame):
        name = frame.WhichOneof("frame")
        self.seen.append(f"ack {list(frame.ack.delivery_ids)}" if name == "ack" else name)

    def called(self):
        """Notes a call that came before it was asked for."""
        self.calls += 1
        if self.refused_at and time.monotonic() < self.refused_at:
            self.seen.append("too early")

    def refuse(self, context, code, reason, after=None):
        details = [error_details_pb2.ErrorInfo(domain="tidings", reason=reason)]
        if after:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(after * 1000))
            details.append(retry)
            self.refused_at = time.monotonic() + after
        status = status_pb2.Status(code=code, message="played")
        for detail in details:
            status.details.add().Pack(detail)
        context.abort_with_status(rpc_status.to_status(status))


class RulesTest(unittest.TestCase):
    def setUp(self):
        self.bus = Bus()
        server = grpc.server(futures.ThreadPoolExecutor(4))
        publisher_pb2_grpc.add_PublisherServiceServicer_to_server(self.bus, server)
        subscriber_pb2_grpc.add_SubscriberServiceServicer_to_server(self.bus, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())


def deliveries(*events):
    """A frame with these deliveries, by id, at the last offset that there can be."""
    frame = subscriber_pb2.SubscribeResponse()
    for id, name in events:
        delivery = frame.deliveries.deliveries.add(id=id, attempt=1)
        delivery.position.topic = "orders"
        delivery.position.offset = LARGEST_OFFSET
        delivery.event.CopyFrom(event("io.shop.orders.created", "/shop", "order-17", "{}"))
        delivery.event.id = name
    return frame


def tests(language):
    def publishes(self):
        made = event("io.shop.orders.created", "/shop", "order-17", "{}")
        printed, status, _ = publish(language, self.address, "orders", [made])
        self.assertEqual(self.bus.seen, ["deadline"] * 4)
        self.assertEqual((printed, status), (["refused ANOTHER_REASON_FROM_THE_FUTURE"], 1))

    def subscribes(self):
        subscriber = Subscriber(language, self.address, "billing", "orders", count=2)
        self.assertEqual([got.id for got in subscriber.result()], ["first", "second"])
        self.assertEqual(subscriber.offsets, [LARGEST_OFFSET] * 2)
        opened = f"open billing ['orders'] as {language}"
        before_drain = [f"ack [{LARGEST_ID}]", "half-close"]
        before_end = ["ack [7]", "close", "half-close"]
        self.assertEqual(self.bus.seen, [opened, opened, *before_drain, opened, opened, *before_end])

    return {
        f"test_{language}_publishes_again_where_that_may_help_and_not_before_it_was_asked_to": publishes,
        f"test_{language}_acks_and_reopens_and_ends_as_the_rules_say": subscribes,
    }


for language in LANGUAGES:
    for name, test in tests(language).items():
        setattr(RulesTest, name, test)


if __name__ == "__main__":
    unittest.main()
