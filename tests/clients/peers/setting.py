"""Where the tests of peers take place: one cluster, and one bus on it, for all of them."""

import unittest

from server import Kafka, Server

from .bus import Bus
from .native import Native


class Peers:
    """What tests of peers are mixed with. `set_up` comes once, before all of them."""

    broker = server = bus = native = None

    @classmethod
    def set_up(cls):
        Peers.broker = unittest.enterModuleContext(Kafka())
        Peers.native = Native(Peers.broker.address)
        unittest.addModuleCleanup(setattr, Peers, "native", None)  # Its connections end before the broker does.
        Peers.server = unittest.enterModuleContext(Server(Peers.broker))
        Peers.bus = Bus(Peers.server.address)
        unittest.addModuleCleanup(Peers.bus.channel.close)
