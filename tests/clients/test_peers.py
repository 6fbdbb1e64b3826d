"""The bus among native clients of the same Kafka: each reads what the other wrote, transactions and groups included."""

import unittest

from peers.groups import Groups
from peers.names import Names
from peers.read import Read
from peers.setting import Peers
from peers.transactions import Transactions
from peers.written import Written


def setUpModule():
    Peers.set_up()


class WrittenTest(Written, unittest.TestCase):
    pass


class ReadTest(Read, unittest.TestCase):
    pass


class TransactionsTest(Transactions, unittest.TestCase):
    pass


class GroupsTest(Groups, unittest.TestCase):
    pass


class NamesTest(Names, unittest.TestCase):
    pass


if __name__ == "__main__":
    unittest.main()
