"""A command on top of the client, so that a test can drive it:

    command.py publish --server HOST:PORT --topic TOPIC < EVENTS        (a serialized CloudEventBatch)
    command.py subscribe --server HOST:PORT --group GROUP --count N TOPIC
"""

import argparse
import base64
import sys

import grpc
from client import Bus, CloudEventBatch, faults, reason


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["publish", "subscribe"])
    parser.add_argument("topics", nargs="*")
    parser.add_argument("--server")
    parser.add_argument("--topic", default="")
    parser.add_argument("--group")
    parser.add_argument("--count", type=int)
    arguments = parser.parse_intermixed_args()
    bus = Bus(arguments.server)
    try:
        publish(bus, arguments.topic) if arguments.verb == "publish" else subscribe(bus, arguments)
    except grpc.RpcError as error:
        sys.exit(str(error))


def publish(bus, topic):
    """Publishes what it reads; tells how many events are durable, or why they were refused."""
    batch = CloudEventBatch.FromString(sys.stdin.buffer.read())
    try:
        positions = bus.publish(*batch.events, topic=topic)
        print("durable", len(positions))
    except grpc.RpcError as error:
        print("refused", reason(error))
        for field in faults(error):
            print("fault", field)
        raise


def subscribe(bus, arguments):
    """Prints each delivery, one a line, until there were so many different events."""
    seen = set()
    stream = bus.subscribe(arguments.group, *arguments.topics, client_id="python")
    for delivery in stream:
        position = delivery.position
        encoded = base64.b64encode(delivery.event.SerializeToString()).decode()
        print(position.topic, position.partition, position.offset, encoded, flush=True)
        stream.ack(delivery)
        # At least once: an event that comes again has the same source and id.
        seen.add((delivery.event.source, delivery.event.id))
        if len(seen) == arguments.count:
            stream.close()


if __name__ == "__main__":
    main()
