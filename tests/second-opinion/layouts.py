"""What is signed: the layouts, from field values to bytes and back (page 4 and the tables of the following pages).

A layout is a tag and fields in a fixed order. Here each is a table of (name, type); values are dictionaries of
integers, bytes, text, nested dictionaries and lists. Reading refuses with the error that page 4 names.
"""

import hashlib

import chains

TAG = b"p2p-netpay/v1/"
MESSAGE_BYTES = 1_000_000
DAY_MS = 86_400_000


class LayoutError(ValueError):
    """Bytes that are not this layout; `kind` is tag, truncated, too_long, value or trailing."""

    def __init__(self, kind, what=""):
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def require(condition, kind, what=""):
    """Refuses unless the condition holds."""
    if not condition:
        raise LayoutError(kind, what)


class Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        """The next bytes."""
        require(self.at + count <= len(self.data), "truncated")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, size):
        """The next integer."""
        return int.from_bytes(self.take(size), "big")


class Number:
    """An integer of `size` bytes, big-endian; `known` are the values of version 1 (None: all)."""

    def __init__(self, size, known=None):
        self.size, self.known = size, known

    def write(self, value):
        return value.to_bytes(self.size, "big")

    def read(self, reader):
        value = reader.number(self.size)
        require(self.known is None or value in self.known, "value")
        return value

    def value(self, told):
        return told


class Fixed:
    """A byte string of a fixed length."""

    def __init__(self, size):
        self.size = size

    def write(self, value):
        require(len(value) == self.size, "value")
        return value

    def read(self, reader):
        return reader.take(self.size)

    def value(self, told):
        return bytes.fromhex(told)


class Counted:
    """`bytes<max>`: a count, then that many bytes."""

    def __init__(self, most):
        self.most = most

    def write(self, value):
        return len(value).to_bytes(4, "big") + value

    def read(self, reader):
        count = reader.number(4)
        require(count <= self.most, "too_long")
        return reader.take(count)

    def value(self, told):
        return bytes.fromhex(told)


class Text(Counted):
    """`text<max>`: counted bytes that are UTF-8."""

    def write(self, value):
        return super().write(value.encode())

    def read(self, reader):
        try:
            return super().read(reader).decode()
        except UnicodeDecodeError:
            raise LayoutError("value", "not UTF-8") from None

    def value(self, told):
        return told


class Record:
    """Fields one after the other."""

    def __init__(self, *fields):
        self.fields = fields

    def write(self, value):
        assert set(value) == {name for name, _ in self.fields}, (sorted(value), self.fields)
        return b"".join(kind.write(value[name]) for name, kind in self.fields)

    def read(self, reader):
        return {name: kind.read(reader) for name, kind in self.fields}

    def value(self, told):
        assert set(told) == {name for name, _ in self.fields}, (sorted(told), self.fields)
        return {name: kind.value(told[name]) for name, kind in self.fields}


class Listed:
    """A count, then items of fixed size."""

    def __init__(self, most, item):
        self.most, self.item = most, item

    def write(self, value):
        return len(value).to_bytes(4, "big") + b"".join(self.item.write(item) for item in value)

    def read(self, reader):
        count = reader.number(4)
        require(count <= self.most, "too_long")
        return [self.item.read(reader) for _ in range(count)]

    def value(self, told):
        return [self.item.value(item) for item in told]


class Root(Fixed):
    """A touchstone's root: its padding is checked as it is read, under the suite that stands before it."""

    def read(self, reader):
        suite, word = reader.data[reader.at - 1], super().read(reader)
        require(chains.well_padded(suite, word), "value", "padding")
        return word


class GuaranteeOf(Record):
    """Bearer, followed by 16 zeros, or bound to a payee."""

    def read(self, reader):
        value = super().read(reader)
        require(value["kind"] == 1 or value["payee"] == bytes(16), "value", "bearer with a payee")
        return value


U8, U32, U64 = Number(1), Number(4), Number(8)
ID, KID, KEY, DIGEST, SIGNATURE = Fixed(16), Fixed(8), Fixed(32), Fixed(32), Fixed(64)
SUITE = Number(1, (1, 2))
GUARANTEE = GuaranteeOf(("kind", Number(1, (0, 1))), ("payee", ID))
HEAD = Record(("position", U64), ("hash", DIGEST))
LISTED_KEY = Record(
    ("kid", KID), ("key", KEY), ("purpose", Number(1, (1, 2, 3))), ("not_before_ms", U64), ("not_after_ms", U64),
    ("revoked_at_ms", U64),
)
CLAIM = Record(
    ("ecoin", ID), ("from", U32), ("to", U32), ("payee", ID), ("order", DIGEST), ("signature", SIGNATURE),
    ("through", U32), ("word", Fixed(32)),
)
LINE = Record(("verdict", Number(1, range(1, 8))), ("credited", U32), ("already_paid", U32), ("conflicting", U32))

LAYOUTS = {
    "register": Record(("broker", ID), ("signing_key", KEY), ("sealing_key", Counted(1_024)), ("nkey", KEY)),
    "keys": Record(
        ("broker", ID), ("incarnation", U64), ("seq", U64), ("issued_at_ms", U64), ("next_at_ms", U64),
        ("keys", Listed(1_024, LISTED_KEY)),
    ),
    "revoked": Record(
        ("broker", ID), ("kid", KID), ("incarnation", U64), ("seq", U64), ("issued_at_ms", U64), ("next_at_ms", U64),
        ("peers", Listed(32_768, Record(("peer", ID), ("suspended_at_ms", U64)))),
    ),
    "buy": Record(
        ("broker", ID), ("payer", ID), ("request", ID), ("valid_until_ms", U64), ("count", U32), ("n", U32),
        ("suite", SUITE), ("unit_value", U32), ("most_debited_units", U64), ("guarantee", GUARANTEE),
    ),
    "sealed-paywords": Record(
        ("broker", ID), ("kid", KID), ("payer", ID), ("request", ID), ("wrapped_key", Counted(512)),
        ("ciphertext", Counted(256 * 48 + 16)),
    ),
    "touchstone": Record(
        ("version", Number(1, (1,))), ("broker", ID), ("kid", KID), ("ecoin", ID), ("suite", SUITE), ("root", Root(32)),
        ("n", U32), ("unit_value", U32), ("payer", ID), ("payer_key", KEY), ("payer_opened_at_ms", U64),
        ("issued_at_ms", U64), ("spend_until_ms", U64), ("redeem_until_ms", U64), ("guarantee", GUARANTEE),
        ("incarnation", U64),
    ),
    "index": Record(("broker", ID), ("ecoin", ID), ("from", U32), ("to", U32), ("payee", ID), ("order", DIGEST)),
    "quote": Record(
        ("broker", ID), ("content", DIGEST), ("size_bytes", U64), ("chunk_bytes", U32), ("first_chunk", U64),
        ("chunk_count", U64), ("price_units", U64), ("payee", ID), ("expires_ms", U64), ("nonce", ID),
    ),
    "receipt": Record(
        ("broker", ID), ("payee", ID), ("payer", ID), ("order", DIGEST), ("paid_units", U64), ("issued_at_ms", U64),
    ),
    "batch": Record(
        ("broker", ID), ("payee", ID), ("request", ID), ("seen", HEAD), ("claims", Listed(2_048, CLAIM)),
    ),
    "statement": Record(
        ("broker", ID), ("kid", KID), ("incarnation", U64), ("payee", ID), ("request", ID), ("batch", DIGEST),
        ("issued_at_ms", U64), ("lines", Listed(2_048, LINE)), ("balance_units", U64), ("head", HEAD),
    ),
    "query": Record(
        ("broker", ID), ("peer", ID), ("valid_until_ms", U64), ("min_position", U64),
        ("question", Number(1, (1, 2, 3, 4, 5))), ("about", ID),
    ),
    "answer": Record(
        ("broker", ID), ("kid", KID), ("about", DIGEST), ("issued_at_ms", U64), ("body", Counted(MESSAGE_BYTES)),
    ),
    "payout": Record(
        ("broker", ID), ("peer", ID), ("request", ID), ("valid_until_ms", U64), ("amount_units", U64),
        ("destination", Text(256)),
    ),
    "admin": Record(
        ("broker", ID), ("kid", KID), ("request", ID), ("valid_until_ms", U64), ("order", Counted(MESSAGE_BYTES)),
    ),
    "listing": Record(
        ("broker", ID), ("supplier", ID), ("content", DIGEST), ("size_bytes", U64), ("price_units", U64),
        ("issued_at_ms", U64), ("expires_ms", U64), ("name", Text(255)), ("media_type", Text(127)), ("tags", Text(512)),
    ),
    "withdraw": Record(("broker", ID), ("supplier", ID), ("content", DIGEST), ("issued_at_ms", U64)),
    "rotate": Record(("broker", ID), ("peer", ID), ("request", ID), ("valid_until_ms", U64), ("register", DIGEST)),
    "certificate": Record(
        ("broker", ID), ("kid", KID), ("peer", ID), ("signing_key", KEY), ("given_up", U32), ("issued_at_ms", U64),
    ),
}


def is_file_name(name):
    """Whether a name is one as in a listing; its length is looked at where it is read."""
    control = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)
    return name not in ("", ".", "..") and not control and "/" not in name and "\\" not in name


def relations(what, v):
    """What must hold between the fields of a layout, after all of them were read."""
    if what == "keys":
        require(v["next_at_ms"] - v["issued_at_ms"] <= 90 * DAY_MS, "value", "next too late")
        require(all(chains.kid_of(entry["key"]) == entry["kid"] for entry in v["keys"]), "value", "kid")
    elif what == "revoked":
        peers = [entry["peer"] for entry in v["peers"]]
        require(all(low < high for low, high in zip(peers, peers[1:])), "value", "peers do not rise")
    elif what == "buy":
        require(1 <= v["count"] <= 256 and 1 <= v["n"] <= chains.MOST_WORDS, "too_long", "chains or words")
        require(v["count"] * v["n"] <= 1 << 20, "too_long", "words in all")
        require(v["unit_value"] >= 1, "value", "worthless")
    elif what == "touchstone":
        require(1 <= v["n"] <= chains.MOST_WORDS, "value", "n")
        require(v["unit_value"] >= 1, "value", "worthless")
        require(v["redeem_until_ms"] - v["spend_until_ms"] >= 7 * DAY_MS, "value", "window")
    elif what == "quote":
        require(v["chunk_bytes"] in (65_536, 131_072), "value", "chunk_bytes")
        chunks = -(-v["size_bytes"] // v["chunk_bytes"])
        require(v["first_chunk"] + v["chunk_count"] <= chunks, "value", "beyond the content")
        require((v["chunk_count"] == 0) == (v["size_bytes"] == 0), "value", "no chunks")
    elif what == "query":
        require(v["question"] != 1 or v["about"] == bytes(16), "value", "about")
    elif what == "payout":
        require(v["amount_units"] >= 1, "value", "amount")
        require(v["destination"] != "", "value", "destination")
    elif what == "listing":
        require(v["expires_ms"] - v["issued_at_ms"] <= DAY_MS, "value", "lives too long")
        require(is_file_name(v["name"]), "value", "name")


def tag(what):
    """The domain tag of a layout."""
    return TAG + what.encode() + b"\x00"


def encode(what, fields):
    """The bytes that are signed."""
    return tag(what) + LAYOUTS[what].write(fields)


def decode(what, data):
    """The fields of a layout; refuses what version 1 does not know."""
    require(data.startswith(tag(what)), "tag")
    reader = Reader(data)
    reader.take(len(tag(what)))
    fields = LAYOUTS[what].read(reader)
    relations(what, fields)
    require(reader.at == len(data), "trailing")
    return fields


def digest(data):
    """SHA-256 over tag and fields."""
    return hashlib.sha256(data).digest()
