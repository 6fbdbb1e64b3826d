"""Transactions of native producers: what is committed is delivered, what is aborted never, and neither ends nor offsets
stumble over the markers that end them."""

from confluent_kafka import Producer

from .bus import order
from .cases import binary
from .native import write
from .setting import Peers

KINDS = [("committed", Producer.commit_transaction), ("aborted", Producer.abort_transaction)]


class Transactions(Peers):
    def history(self, topic):
        """Writes committed and aborted transactions by turns, the last one aborted; the ids that count."""
        with self.native.transactional(f"writes-{topic}") as producer:
            for number in range(6):
                producer.begin_transaction()
                kind, end = KINDS[number % 2]
                write(producer, topic, *[binary(f"{kind}-{number}-{nth}") for nth in range(3)])
                end(producer)
        return [f"committed-{number}-{nth}" for number in (0, 2, 4) for nth in range(3)]

    def test_readers_get_committed_events_and_never_aborted_ones(self):
        topic = self.native.create("read-committed")
        with self.bus.follow(topic) as follower:
            follower.until_caught_up()
            committed = self.history(topic)
            self.bus.publish(order("last"), topic=topic)
            self.assertEqual(follower.until_count(len(committed) + 1), [*committed, "last"])
        self.assertEqual(ids(self.bus.read_all(topic)), [*committed, "last"])
        self.assertEqual([header_id(record) for record in self.native.read(topic)], [*committed, "last"])
        # The aborted ones are there all the same.
        self.assertEqual(len(self.native.read(topic, isolation="read_uncommitted")), 2 * len(committed) + 1)

    def test_a_group_gets_committed_events_and_never_aborted_ones(self):
        topic = self.native.create("group-committed")
        with self.bus.subscription("live", topic) as live:
            live.until_caught_up()
            committed = self.history(topic)
            self.bus.publish(order("last"), topic=topic)
            self.assertEqual(live.until_count(len(committed) + 1), [*committed, "last"])
            live.close()
        with self.bus.subscription("later", topic) as later:
            self.assertEqual(later.until_count(len(committed) + 1), [*committed, "last"])

    def test_a_group_that_acked_everything_has_no_lag_although_markers_are_last(self):
        topic = self.native.create("ends-in-markers")
        with self.bus.subscription("behind-markers", topic) as subscription:
            committed = self.history(topic)
            self.assertEqual(subscription.until_count(len(committed)), committed)
            subscription.until(lambda: self.is_behind_everything(subscription, topic))
            subscription.close()
        (end,) = self.native.ends(topic)
        last = subscription.got[-1].position.offset
        # The marker of the last commit, three aborted events, and their marker.
        self.assertEqual(end, last + 1 + 1 + 3 + 1)
        group = self.bus.group("behind-markers")
        self.assertEqual((group.lag_events, group.partitions[0].committed, group.partitions[0].end), (0, end, end))
        self.assertEqual(self.native.committed("behind-markers", topic), [end])

    def test_a_group_that_left_before_the_markers_passes_them_when_it_comes_back(self):
        topic = self.native.create("left-before-markers")
        with self.native.transactional("goes-on-alone") as producer:
            producer.begin_transaction()
            write(producer, topic, binary("a"), binary("b"))
            producer.commit_transaction()
        with self.bus.subscription("comes-back", topic) as subscription:
            subscription.until_count(2)
            subscription.close()
        self.aborted(topic)
        with self.bus.subscription("comes-back", topic) as subscription:
            subscription.until(lambda: self.is_behind_everything(subscription, topic))
            subscription.close()
        self.assertEqual(subscription.ids(), [])
        self.assertEqual(self.bus.group("comes-back").lag_events, 0)

    def test_a_group_that_comes_when_only_aborted_events_are_there_has_no_lag_either(self):
        topic = self.native.create("all-aborted")
        self.aborted(topic)
        with self.bus.subscription("sees-nothing", topic) as subscription:
            subscription.until(lambda: self.is_behind_everything(subscription, topic))
            subscription.close()
        self.assertEqual(subscription.ids(), [])
        self.assertEqual(self.bus.group("sees-nothing").lag_events, 0)

    def is_behind_everything(self, subscription, topic):
        """As the heartbeats of the stream say."""
        progress = subscription.standing.get((topic, 0))
        return progress is not None and [progress.committed] == self.native.ends(topic) and progress.lag_events == 0

    def aborted(self, topic):
        with self.native.transactional(f"aborts-{topic}") as producer:
            producer.begin_transaction()
            write(producer, topic, *[binary(f"aborted-{number}") for number in range(20)])
            producer.abort_transaction()

    def test_a_bounded_read_ends_by_itself_where_markers_or_aborted_events_are_last(self):
        markers, aborted, both = (self.native.create(name) for name in ("markers-last", "aborted-alone", "aborted-last"))
        with self.native.transactional("ends-in-its-marker") as producer:
            producer.begin_transaction()
            write(producer, markers, binary("a"), binary("b"))
            producer.commit_transaction()
        self.aborted(aborted)
        self.bus.publish(order("first"), topic=both)
        self.aborted(both)
        for topic, expected in [(markers, ["a", "b"]), (aborted, []), (both, ["first"])]:
            self.assertEqual(ids(self.bus.read_all(topic)), expected, topic)

    def test_an_open_transaction_holds_readers_before_it_until_it_ends(self):
        topic = self.native.create("held")
        self.bus.publish(order("before"), topic=topic)
        with self.native.transactional("stays-open") as producer:
            producer.begin_transaction()
            write(producer, topic, binary("inside"))
            self.bus.publish(order("behind"), topic=topic)
            # Both are there, but not for those who read what is committed.
            self.assertEqual(ids(self.bus.read_all(topic)), ["before"])
            with self.bus.follow(topic) as follower, self.bus.subscription("held", topic) as subscription:
                self.assertEqual(follower.until_caught_up(), ["before"])
                self.assertEqual(subscription.until_caught_up(), ["before"])
                producer.commit_transaction()
                self.assertEqual(follower.until_count(3), ["before", "inside", "behind"])
                self.assertEqual(subscription.until_count(3), ["before", "inside", "behind"])

    def test_events_behind_an_open_transaction_come_when_it_is_aborted(self):
        topic = self.native.create("released")
        with self.native.transactional("is-given-up") as producer:
            producer.begin_transaction()
            write(producer, topic, binary("aborted"))
            self.bus.publish(order("behind"), topic=topic)
            with self.bus.follow(topic) as follower, self.bus.subscription("released", topic) as subscription:
                self.assertEqual((follower.until_caught_up(), subscription.until_caught_up()), ([], []))
                producer.abort_transaction()
                self.assertEqual((follower.until_count(1), subscription.until_count(1)), (["behind"], ["behind"]))


def ids(read):
    return [got.event.id for got in read]


def header_id(record):
    return dict(record.headers)["ce_id"].decode()
