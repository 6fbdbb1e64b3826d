"""Four clients and one bus: each reads exactly what each has written, on the log that the argument names.

    test_matrix.py embedded
    test_matrix.py kafka
"""

import sys
import time
import unittest
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, wait

from commands import HERE, LANGUAGES, Subscriber, publish
from google.protobuf import text_format
from server import Embedded, Kafka, Server

from client import Bus, CloudEventBatch, event

STARTED = time.monotonic()
# More at once are not faster on a small machine, and fewer would wait for each other's joins on Kafka.
AT_ONCE = 4


class Matrix:
    """What holds on any log. Everything is done by `setUpClass`, side by side; the tests look at the results."""

    @classmethod
    def setUpClass(cls):
        cls.events = canonical_events()
        log = cls.enterClassContext(cls.log())
        cls.server = cls.enterClassContext(Server(log))
        cls.bus = Bus(cls.server.address)
        cls.addClassCleanup(cls.bus.channel.close)
        pool = cls.enterClassContext(ThreadPoolExecutor(AT_ONCE))
        cls.refusals = {language: pool.submit(cls.refuse, language) for language in LANGUAGES}
        cls.written = {language: pool.submit(cls.write, language) for language in LANGUAGES}
        for written in cls.written.values():
            written.result()  # What was not written would be waited for in vain.
        cls.first = {pair: pool.submit(cls.read, *pair, len(cls.events)) for pair in PAIRS}
        wait(cls.first.values())
        cls.markers = {writer: cls.mark(topic_of(writer)) for writer in LANGUAGES}
        cls.second = {pair: pool.submit(cls.read, *pair, len(cls.markers[pair[0]])) for pair in PAIRS}
        wait(cls.second.values())
        cls.restarted = pool.submit(cls.read_through_restarts)
        wait([cls.restarted])

    @classmethod
    def refuse(cls, language):
        nameless = order("forgotten")
        nameless.id = ""
        printed, status, _ = publish(language, cls.server.address, "refused", [order("good"), nameless])
        return printed, status

    @classmethod
    def write(cls, writer):
        printed, status, said = publish(writer, cls.server.address, topic_of(writer), cls.events)
        assert status == 0, f"{writer} wrote nothing:\n{said}"
        tell(f"{writer} wrote {len(cls.events)} events")
        return printed

    @classmethod
    def read(cls, writer, reader, count):
        events = Subscriber(reader, cls.server.address, f"{reader}-reads-{writer}", topic_of(writer), count).result()
        tell(f"{reader} read {len(events)} events of {writer}'s topic")
        return events

    @classmethod
    def mark(cls, topic):
        """The ids of new events behind the old ones, at least one in each partition that has some."""
        unmarked = {read.position.partition for read in cls.bus.read(topic, timeout=60)}
        marked = []
        while unmarked:
            id = f"marker-{len(marked)}"
            (position,) = cls.bus.publish(order(id, subject=id), topic=topic)
            marked.append(id)
            unmarked.discard(position.partition)
        return marked

    @classmethod
    def read_through_restarts(cls):
        """What each subscriber, started once, got from a server that crashed, then was restarted by its operator."""
        waves = [{f"{wave}-{number}" for number in range(10)} for wave in ("at-first", "after-crash", "after-drain")]
        subscribers = [
            Subscriber(language, cls.server.address, f"{language}-goes-on", "restarts", sum(map(len, waves)))
            for language in LANGUAGES
        ]
        for subscriber in subscribers:
            cls.addClassCleanup(subscriber.stop)
        for wave, interrupt in zip(waves, (cls.server.kill, cls.server.restart, lambda: None)):
            cls.bus.publish(*[order(id, subject=id) for id in sorted(wave)], topic="restarts")
            for subscriber in subscribers:
                subscriber.wait_for(wave)
            tell(f"all got the events {min(wave)} to {max(wave)}")
            interrupt()
        return {subscriber.name: (subscriber, set().union(*waves)) for subscriber in subscribers}


def canonical_events():
    batch = text_format.Parse((HERE / "events.txtpb").read_text(), CloudEventBatch())
    large = batch.events.add(id="large-1", source="/shop", spec_version="1.0", type="io.shop.orders.created")
    large.attributes["subject"].ce_string = "data"
    large.binary_data = bytes(range(256)) * 256
    return list(batch.events)


def order(id, subject="order-17"):
    made = event("io.shop.orders.created", "/shop", subject, "{}")
    made.id = id
    return made


def topic_of(writer):
    return f"written-by-{writer}"


def tell(news):
    print(f"{time.monotonic() - STARTED:5.1f} s: {news}", file=sys.stderr, flush=True)


def by_key(events):
    """Events of one key are in order; those of different keys are in none."""
    keys = defaultdict(list)
    for found in events:
        key = found.attributes.get("partitionkey") or found.attributes.get("subject")
        keys[key.ce_string if key else None].append(found)
    return dict(keys)


def encoded(events):
    return {key: [found.SerializeToString(deterministic=True) for found in of_key] for key, of_key in by_key(events).items()}


PAIRS = [(writer, reader) for writer in LANGUAGES for reader in LANGUAGES]


def pair_tests(writer, reader):
    def exactly(self):
        self.assertEqual(by_key(self.first[writer, reader].result()), by_key(self.events))
        self.assertEqual(encoded(self.first[writer, reader].result()), encoded(self.events))

    def committed(self):
        ids = [read.id for read in self.second[writer, reader].result()]
        self.assertEqual(sorted(ids), sorted(self.markers[writer]))

    return {
        f"test_{reader}_reads_exactly_what_{writer}_wrote_and_in_order": exactly,
        f"test_what_{reader}_acked_of_what_{writer}_wrote_does_not_come_again": committed,
    }


def language_tests(language):
    def durable(self):
        self.assertEqual(self.written[language].result(), [f"durable {len(self.events)}"])

    def refusal(self):
        self.assertEqual(self.refusals[language].result(), (["refused EVENT_INVALID", "fault events[1].id"], 1))

    def restarts(self):
        subscriber, expected = self.restarted.result()[language]
        self.assertEqual({got.id for got in subscriber.result()}, expected)

    return {
        f"test_{language}_knows_that_what_it_wrote_is_durable": durable,
        f"test_{language}_tells_the_reason_of_a_refusal_and_the_field_at_fault": refusal,
        f"test_{language}_goes_on_after_a_crash_of_the_server_and_after_its_drain": restarts,
    }


for made in [language_tests(language) for language in LANGUAGES] + [pair_tests(*pair) for pair in PAIRS]:
    for name, test in made.items():
        setattr(Matrix, name, test)


class EmbeddedTest(Matrix, unittest.TestCase):
    log = Embedded


class KafkaTest(Matrix, unittest.TestCase):
    log = Kafka


if __name__ == "__main__":
    tests = {"embedded": "EmbeddedTest", "kafka": "KafkaTest"}
    if len(sys.argv) < 2 or sys.argv[1] not in tests:
        sys.exit(f"say which log: {' or '.join(tests)}")
    unittest.main(argv=[sys.argv[0], *sys.argv[2:], tests[sys.argv[1]]])
