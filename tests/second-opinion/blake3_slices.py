"""BLAKE3 and the slices of content (page 11), in plain Python.

Why lanes: one compression in Python takes some 100 microseconds, too slow for files. BLAKE3's chunks do not depend on
each other, so one Python integer holds the same 32-bit word of many chunks, each in a lane of 64 bits: sums and
rotations of all lanes are one big-integer operation, and a mask cuts off what spills over.
"""

from array import array
import sys

CHUNK_BYTES = 131_072  # of the protocol: 128 chunks of BLAKE3
LEAF_BYTES = 1_024  # a chunk of BLAKE3
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)


def spread(words):
    """One integer with each of the 32-bit words in a lane of 64 bits."""
    return int.from_bytes(array("Q", words).tobytes(), sys.byteorder) if sys.byteorder == "little" else sum(
        word << 64 * lane for lane, word in enumerate(words)
    )


def compress(chaining, block, counters, block_length, flags):
    """BLAKE3's compression of all lanes: the new chaining values, eight integers of lanes."""
    lanes = len(counters)
    ones = spread([1] * lanes)
    mask = 0xFFFFFFFF * ones
    state = list(chaining) + [word * ones for word in IV[:4]] + [
        spread([counter & 0xFFFFFFFF for counter in counters]),
        spread([counter >> 32 for counter in counters]),
        block_length * ones,
        flags * ones,
    ]
    for _ in range(7):
        for number, (a, b, c, d) in enumerate(COLUMNS_AND_DIAGONALS):
            va, vb, vc, vd = state[a], state[b], state[c], state[d]
            va = va + vb + block[2 * number] & mask
            vd ^= va
            vd = (vd >> 16 | vd << 16) & mask
            vc = vc + vd & mask
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & mask
            va = va + vb + block[2 * number + 1] & mask
            vd ^= va
            vd = (vd >> 8 | vd << 24) & mask
            vc = vc + vd & mask
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & mask
            state[a], state[b], state[c], state[d] = va, vb, vc, vd
        block = [block[i] for i in PERMUTATION]
    return [state[i] ^ state[i + 8] for i in range(8)]


def leaves(data, first, root):
    """The chaining values of equally long chunks of BLAKE3, the first of which has the counter `first`."""
    length = min(len(data), LEAF_BYTES)
    count = max(1, len(data) // LEAF_BYTES)
    counters = range(first, first + count)
    padded = data if length == LEAF_BYTES else data + bytes(LEAF_BYTES - length)
    words = array("I", padded)
    if sys.byteorder == "big":
        words.byteswap()
    ones = spread([1] * count)
    chaining = [word * ones for word in IV]
    blocks = max(1, -(-length // 64))
    for number in range(blocks):
        block = [spread(words[16 * number + i::256]) for i in range(16)]
        flags = (CHUNK_START if number == 0 else 0) | ((CHUNK_END | root) if number == blocks - 1 else 0)
        chaining = compress(chaining, block, counters, min(64, length - 64 * number), flags)
    return gather(chaining, count)


def gather(chaining, lanes):
    """Lanes of eight words as byte strings of 32."""
    columns = [[word >> 64 * lane & 0xFFFFFFFF for lane in range(lanes)] for word in chaining]
    return [b"".join(column[lane].to_bytes(4, "little") for column in columns) for lane in range(lanes)]


def parents(pairs, root):
    """The chaining values of inner nodes, each told by its 64 bytes left || right."""
    words = [[int.from_bytes(pair[4 * i:4 * i + 4], "little") for pair in pairs] for i in range(16)]
    ones = spread([1] * len(pairs))
    flags = PARENT | (ROOT if root else 0)
    chaining = compress([word * ones for word in IV], [spread(row) for row in words], [0] * len(pairs), 64, flags)
    return gather(chaining, len(pairs))


def join(nodes, root):
    """The top of the tree over nodes of one level: neighbours are paired, an odd last one moves up as it is."""
    while len(nodes) > 1:
        pairs = [left + right for left, right in zip(nodes[::2], nodes[1::2])]
        nodes = parents(pairs, root and len(nodes) == 2) + (nodes[-1:] if len(nodes) % 2 else [])
    return nodes[0]


def subtree(data, offset, root):
    """The chaining value of the subtree over data that begins at `offset`; with `root` the plain hash."""
    whole = len(data) // LEAF_BYTES * LEAF_BYTES
    alone = ROOT if root and len(data) <= LEAF_BYTES else 0
    nodes = leaves(data[:whole], offset // LEAF_BYTES, alone) if whole else []
    if whole < len(data) or not nodes:
        nodes += leaves(data[whole:], (offset + whole) // LEAF_BYTES, alone)
    return join(nodes, root)


def blake3(data):
    """The plain BLAKE3 hash: a content id."""
    return subtree(bytes(data), 0, True)


def chunk_count(size):
    """How many chunks content of this size has."""
    return -(-size // CHUNK_BYTES)


def left_length(length):
    """The bytes of the left child: the greatest power of two below the length."""
    return 1 << (length - 1).bit_length() - 1


class Content:
    """A file in memory, ready to be cut into slices."""

    def __init__(self, data):
        self.data = bytes(data)
        self.size = len(self.data)
        self.chunks = chunk_count(self.size)
        alone = self.chunks <= 1
        self.nodes = [subtree(self.chunk(i), i * CHUNK_BYTES, alone) for i in range(max(1, self.chunks))]
        self.id = join(self.nodes, True)

    def chunk(self, index):
        """The bytes of a chunk."""
        return self.data[index * CHUNK_BYTES:(index + 1) * CHUNK_BYTES]

    def pairs(self, index):
        """The inner nodes from the root down to a chunk, each as left || right."""
        offset, length, found = 0, self.size, []
        while length > CHUNK_BYTES:
            left, first = left_length(length), offset // CHUNK_BYTES
            middle, end = first + left // CHUNK_BYTES, first + chunk_count(length)
            found.append(join(self.nodes[first:middle], False) + join(self.nodes[middle:end], False))
            if index < middle:
                length = left
            else:
                offset, length = offset + left, length - left
        return found

    def slice(self, index):
        """What travels: the pairs, then the chunk."""
        return b"".join(self.pairs(index)) + self.chunk(index)


def check_slice(content_id, size, index, piece):
    """The chunk's bytes, if the slice proves them to be that chunk of that content; otherwise None."""
    expected, offset, length, root = content_id, 0, size, True
    if size > 0 and index >= chunk_count(size):
        return None
    while length > CHUNK_BYTES:
        pair, piece = piece[:64], piece[64:]
        if len(pair) != 64 or parents([pair], root) != [expected]:
            return None
        left = left_length(length)
        if index * CHUNK_BYTES < offset + left:
            expected, length = pair[:32], left
        else:
            expected, offset, length = pair[32:], offset + left, length - left
        root = False
    if len(piece) != length or subtree(piece, offset, root) != expected:
        return None
    return piece
