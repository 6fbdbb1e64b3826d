"""Names on the cluster: those of the bus with what its configuration puts around them."""

from server import Server

from .bus import Bus, order
from .cases import binary
from .setting import Peers


class Names(Peers):
    def test_names_on_the_cluster_are_as_configured(self):
        around = {"LOG__KAFKA__TOPIC_PREFIX": "staging.", "LOG__KAFKA__GROUP_ID": "staging-{group}-v1"}
        before = self.native.topics()
        server = self.enterContext(Server(self.broker, **around))
        bus = Bus(server.address)
        self.addCleanup(bus.channel.close)
        bus.publish(order("ours"), topic="orders")
        (found,) = self.native.read("staging.orders", partitions=4)
        self.assertEqual(dict(found.headers)["ce_id"], b"ours")
        written = binary("theirs", key=b"order-17")
        self.native.write("staging.orders", written)
        with bus.subscription("billing", "orders") as subscription:
            subscription.until_count(2)
            subscription.until_nothing_is_left().close()
        self.assertEqual(subscription.ids(), ["ours", "theirs"])
        self.assertEqual({got.position.topic for got in subscription.got}, {"orders"})
        committed = self.native.committed("staging-billing-v1", "staging.orders", partitions=4)
        self.assertEqual(sum(offset for offset in committed if offset > 0), 2)
        self.assertIn("staging-billing-v1", self.native.groups())
        self.assertNotIn("billing", self.native.groups())
        self.assertEqual(bus.group("billing").name, "billing")
        # Its own topics have the prefix too, and it sees none without.
        made = self.native.topics() - before - {"__consumer_offsets"}
        self.assertEqual(made, {"staging.orders", "staging.tidings.groups", "staging.tidings.control"})
        self.assertEqual(bus.topic_names(), {"orders", "tidings.groups", "tidings.control"})
