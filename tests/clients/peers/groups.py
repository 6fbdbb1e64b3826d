"""Groups: those that native consumers used before the bus, those that they use now, and those beside it."""

import grpc

from .bus import order, reason, resources
from .native import Record, messages, record
from .setting import Peers

PROTOCOLS = ["classic", "consumer"]


class Groups(Peers):
    def numbered(self, topic, count, partition=-1):
        """So many records, named by their numbers."""
        return self.native.write(topic, *[Record(value=str(n).encode(), partition=partition) for n in range(count)])

    def test_a_group_that_native_consumers_left_goes_on_where_they_stood(self):
        topic = self.native.create("left", partitions=3)
        for partition in range(3):
            self.numbered(topic, 5, partition)
        self.native.commit("left-behind", topic, 2, None, 5)
        with self.bus.subscription("left-behind", topic) as subscription:
            self.assertTrue(subscription.opened.group_created)
            # They had begun with all partitions but one, which begins at its oldest record.
            self.assertEqual({at.partition: at.committed for at in subscription.opened.partitions}, {0: 2, 1: 0, 2: 5})
            subscription.until_count(3 + 5)
            subscription.until_nothing_is_left().close()
        places = sorted((got.position.partition, got.position.offset) for got in subscription.got)
        self.assertEqual(places, [(0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)])

    def test_a_group_goes_to_native_consumers_and_comes_back(self):
        topic = self.native.create("to-and-fro")
        self.numbered(topic, 3)
        with self.bus.subscription("shared", topic) as subscription:
            subscription.until_count(3)
            subscription.close()
        self.numbered(topic, 3)
        with self.native.consumer("shared") as consumer:
            consumer.subscribe([topic])
            # The bus stays in the group for a second, in case its stream comes back; until then the group is refused.
            message = next(message for message in messages(consumer) if not message.error())
            self.assertEqual((message.offset(), message.value()), (3, b"0"))
            consumer.commit(message, asynchronous=False)
        with self.bus.subscription("shared", topic) as subscription:
            subscription.until_count(2)
        self.assertEqual([got.position.offset for got in subscription.got], [4, 5])

    def test_a_group_that_native_consumers_are_in_is_refused_until_they_leave(self):
        topic = self.native.create("in-use")
        self.bus.publish(order("1"), topic=topic)
        for protocol in PROTOCOLS:
            group = f"used-by-{protocol}"
            with self.subTest(protocol), self.native.member(group, topic, **{"group.protocol": protocol}):
                self.assert_in_use(group, topic)
            with self.bus.subscription(group, topic) as subscription:
                self.assertEqual(subscription.until_count(1), ["1"])

    def test_a_group_of_the_bus_that_native_consumers_took_is_refused_until_they_leave(self):
        topic = self.native.create("taken")
        self.bus.publish(order("1"), topic=topic)
        for protocol in PROTOCOLS:
            group = f"taken-by-{protocol}"
            with self.bus.subscription(group, topic) as subscription:
                self.assertEqual(subscription.until_count(1), ["1"])
                subscription.close()
            with self.subTest(protocol), self.native.member(group, topic, **{"group.protocol": protocol}):
                self.assert_in_use(group, topic)
            with self.bus.subscription(group, topic) as subscription:
                self.assertEqual(subscription.opened.partitions[0].committed, 1)

    def assert_in_use(self, group, topic):
        with self.assertRaises(grpc.RpcError) as refused, self.bus.subscription(group, topic) as subscription:
            subscription.until_caught_up()
        error = refused.exception
        self.assertEqual((error.code(), reason(error)), (grpc.StatusCode.FAILED_PRECONDITION, "GROUP_IN_USE"), error)
        self.assertIn(group, error.details())
        self.assertEqual(resources(error), [("group", group)])

    def test_native_consumers_in_a_group_of_their_own_read_beside_the_bus_undisturbed(self):
        topic = self.native.create("beside")
        moved, seen = [], []
        with self.native.consumer("theirs") as consumer:
            told = {"on_assign": lambda *_: moved.append("assigned"), "on_revoke": lambda *_: moved.append("revoked")}
            consumer.subscribe([topic], **told)
            self.bus.publish(*[order(f"a-{n}") for n in range(5)], topic=topic)
            seen += self.five(consumer)
            for group in ("ours", "ours-too"):
                with self.bus.subscription(group, topic) as subscription:
                    subscription.until_count(5)
                    subscription.close()
            with self.bus.subscription("ours", topic) as subscription:
                self.bus.publish(*[order(f"b-{n}") for n in range(5)], topic=topic)
                seen += self.five(consumer)
                self.assertEqual(subscription.until_count(5), [f"b-{n}" for n in range(5)])
                consumer.commit(asynchronous=False)
                subscription.close()
            self.assertEqual(moved, ["assigned"])
        ids = [dict(found.headers)["ce_id"].decode() for found in seen]
        self.assertEqual(ids, [f"{wave}-{n}" for wave in "ab" for n in range(5)])
        committed = {group: self.native.committed(group, topic) for group in ("theirs", "ours", "ours-too")}
        self.assertEqual(committed, {"theirs": [10], "ours": [10], "ours-too": [5]})

    def five(self, consumer):
        return [record(message) for _, message in zip(range(5), messages(consumer))]
