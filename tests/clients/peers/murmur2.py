"""Where a Java producer puts a key: org.apache.kafka.common.utils.Utils.murmur2, written once more from its definition."""

WORD = 0xFFFF_FFFF
MULTIPLIER = 0x5BD1_E995
SEED = 0x9747_B28C


def partition_of(key, partitions):
    return (murmur2(key) & 0x7FFF_FFFF) % partitions


def murmur2(data):
    """The hash as Java has it: 32 bits with a sign."""
    hash = SEED ^ len(data)
    whole = len(data) - len(data) % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * MULTIPLIER & WORD
        word = (word ^ word >> 24) * MULTIPLIER & WORD
        hash = hash * MULTIPLIER & WORD ^ word
    if rest := data[whole:]:
        hash = (hash ^ int.from_bytes(rest, "little")) * MULTIPLIER & WORD
    hash = (hash ^ hash >> 13) * MULTIPLIER & WORD
    hash ^= hash >> 15
    return hash - (1 << 32) if hash >> 31 else hash
