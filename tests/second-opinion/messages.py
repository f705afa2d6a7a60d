"""What travels: every CBOR message from values to canonical bytes and back (page 1 and netpay.cddl).

The reader first looks for lengths that are not told, then takes bytes apart (lengths need not be short), fits them to
the shape that is expected, writes the value again and compares: only the canonical encoding passes. The error tells
which check of page 1 refused.
Values are dictionaries by field name, absent optional fields are None.
"""

from typing import NamedTuple

import layouts

MESSAGE_BYTES = 1_000_000
DEEPEST = 24


class MessageError(ValueError):
    """Bytes that are not this message; `kind` is too_large, shape, trailing or not_canonical."""

    def __init__(self, kind, what=""):
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def shape_error(what):
    """The error of everything that does not fit."""
    return MessageError("shape", what)


class Signed(NamedTuple):
    """A signed thing: the layout's very bytes and the signature."""

    layout: bytes
    signature: bytes


class Pairs(list):
    """The pairs of a CBOR map, in the order in which they came."""


NULL = object()


class Source:
    """CBOR that is read from the front. No length is believed before its bytes are there."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        """The next bytes."""
        if self.at + count > len(self.data):
            raise shape_error("the bytes end")
        self.at += count
        return self.data[self.at - count:self.at]

    def item(self, depth=0):
        """The next item: int, bytes, str, list, Pairs, bool or NULL."""
        if depth > DEEPEST:
            raise shape_error("too deep")
        first = self.take(1)[0]
        major, low = first >> 5, first & 31
        if low < 24:
            count = low
        elif low < 28:
            count = int.from_bytes(self.take(1 << low - 24), "big")
        else:
            raise shape_error("a reserved length")
        if major == 0:
            return count
        if major == 2:
            return self.take(count)
        if major == 3:
            try:
                return self.take(count).decode()
            except UnicodeDecodeError:
                raise shape_error("not UTF-8") from None
        if major == 4:
            return list(self.items(count, depth))
        if major == 5:
            flat = list(self.items(2 * count, depth))
            return Pairs(zip(flat[::2], flat[1::2]))
        if first in (0xF4, 0xF5, 0xF6):
            return {0xF4: False, 0xF5: True, 0xF6: NULL}[first]
        raise shape_error("negative, tagged, float or undefined")

    def items(self, count, depth):
        """So many items; the first that is not there ends it."""
        for _ in range(count):
            yield self.item(depth + 1)


def lengths_are_told(data):
    """Check 2 of page 1: reads the heads of all items, whatever holds what; none is of indefinite length."""
    source = Source(data)
    while source.at < len(data):
        first = source.take(1)[0]
        major, low = first >> 5, first & 31
        if low == 31 and major in (2, 3, 4, 5, 7):
            raise MessageError("not_canonical", "an indefinite length, or a break")
        if low >= 28:
            raise shape_error("a reserved length")
        count = low if low < 24 else int.from_bytes(source.take(1 << low - 24), "big")
        if major in (2, 3):
            source.take(count)


def head(major, count):
    """The shortest first bytes of an item."""
    if count < 24:
        return bytes([major << 5 | count])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if count < 1 << 8 * size:
            return bytes([major << 5 | low]) + count.to_bytes(size, "big")
    raise ValueError("more than 64 bits")


class Unsigned:
    """An integer of so many bits, within the known values."""

    def __init__(self, bits, known=None):
        self.bits, self.known = bits, known

    def fit(self, item):
        if type(item) is not int or item >= 1 << self.bits or (self.known is not None and item not in self.known):
            raise shape_error("an integer")
        return item

    def write(self, value):
        return head(0, value)

    def value(self, told):
        return told


class Bytes:
    """A byte string, of exactly `size` bytes if told."""

    def __init__(self, size=None):
        self.size = size

    def fit(self, item):
        if type(item) is not bytes or (self.size is not None and len(item) != self.size):
            raise shape_error("bytes")
        return item

    def write(self, value):
        return head(2, len(value)) + value

    def value(self, told):
        return bytes.fromhex(told)


class Text:
    """UTF-8."""

    def fit(self, item):
        if type(item) is not str:
            raise shape_error("text")
        return item

    def write(self, value):
        return head(3, len(value.encode())) + value.encode()

    def value(self, told):
        return told


class Bool:
    """True or false."""

    def fit(self, item):
        if type(item) is not bool:
            raise shape_error("a bool")
        return item

    def write(self, value):
        return b"\xf5" if value else b"\xf4"

    def value(self, told):
        return told


class Array:
    """A list of one kind of item; `length` for one of a fixed length."""

    def __init__(self, kind, length=None):
        self.kind, self.length = kind, length

    def fit(self, item):
        if type(item) is not list or (self.length is not None and len(item) != self.length):
            raise shape_error("an array")
        return [self.kind.fit(part) for part in item]

    def write(self, value):
        return head(4, len(value)) + b"".join(self.kind.write(part) for part in value)

    def value(self, told):
        return [self.kind.value(part) for part in told]


class Thing:
    """A signed thing: a map of exactly the layout and its signature. The layout inside is decoded with it."""

    def __init__(self, what):
        self.what = what
        self.inside = Map((0, "layout", Bytes(), False), (1, "signature", Bytes(64), False))

    def fit(self, item):
        value = self.inside.fit(item)
        try:
            layouts.decode(self.what, value["layout"])
        except layouts.LayoutError as error:
            raise shape_error(f"{self.what}: {error}") from None
        return Signed(value["layout"], value["signature"])

    def write(self, value):
        return self.inside.write(value._asdict())

    def value(self, told):
        assert told["what"] == self.what
        return Signed(layouts.encode(self.what, layouts.LAYOUTS[self.what].value(told["fields"])),
                      bytes.fromhex(told["signature"]))


class Map:
    """A message: (key, name, kind, optional) in ascending order of keys."""

    def __init__(self, *fields):
        self.fields = fields

    def fit(self, item):
        if type(item) is not Pairs or any(type(key) is not int for key, _ in item):
            raise shape_error("a map with integers as keys")
        there, value = dict(item), {}
        for key, name, kind, optional in self.fields:
            if optional and there.get(key, NULL) is NULL:
                value[name] = None
            elif key not in there:
                raise shape_error(f"{name} is missing")
            else:
                value[name] = kind.fit(there[key])
        return value

    def write(self, value):
        assert set(value) == {name for _, name, _, _ in self.fields}, (sorted(value), self.fields)
        present = [(key, kind, value[name]) for key, name, kind, _ in self.fields if value[name] is not None]
        return head(5, len(present)) + b"".join(head(0, key) + kind.write(part) for key, kind, part in present)

    def value(self, told):
        assert set(told) == {name for _, name, _, _ in self.fields}, (sorted(told), self.fields)
        return {name: None if told[name] is None and optional else kind.value(told[name])
                for _, name, kind, optional in self.fields}


class Choice:
    """A choice with fields: [number, [fields]]; an absent optional field at the end is left out."""

    def __init__(self, label, choices):
        self.label, self.choices = label, choices

    def fit(self, item):
        if type(item) is not list or len(item) != 2 or type(item[0]) is not int or item[0] not in self.choices:
            raise shape_error(f"a {self.label}")
        number, parts = item
        fields = self.choices[number]
        least = len([name for name, _, optional in fields if not optional])
        if type(parts) is not list or not least <= len(parts) <= len(fields):
            raise shape_error(f"the fields of a {self.label}")
        value = {self.label: number}
        for place, (name, kind, optional) in enumerate(fields):
            absent = place >= len(parts) or (optional and parts[place] is NULL)
            value[name] = None if absent else kind.fit(parts[place])
        return value

    def write(self, value):
        fields = self.choices[value[self.label]]
        assert set(value) == {self.label} | {name for name, _, _ in fields}, sorted(value)
        parts = [kind.write(value[name]) for name, kind, _ in fields if value[name] is not None]
        return head(4, 2) + head(0, value[self.label]) + head(4, len(parts)) + b"".join(parts)

    def value(self, told):
        fields = self.choices[told[self.label]]
        assert set(told) == {self.label} | {name for name, _, _ in fields}, sorted(told)
        inside = {name: None if told[name] is None and optional else kind.value(told[name])
                  for name, kind, optional in fields}
        return {self.label: told[self.label]} | inside


def fields(*parts):
    """A map whose keys count from 0; a name that ends in `?` is optional."""
    return Map(*((key, name.rstrip("?"), kind, name.endswith("?")) for key, (name, kind) in enumerate(parts)))


def choice(*parts):
    """The fields of one choice, by the same rule."""
    return [(name.rstrip("?"), kind, name.endswith("?")) for name, kind in parts]


U32, U64, ID, B32, TEXT = Unsigned(32), Unsigned(64), Bytes(16), Bytes(32), Text()
SUITE, KINDS = Unsigned(8, (1, 2)), range(1, 18)
REGISTER = ("register?", Thing("register"))
TOUCHSTONE, INDEX = Thing("touchstone"), Thing("index")
REVEALED = fields(("through", U32), ("words", Array(B32)))
PAYMENT = Choice("form", {
    1: choice(("touchstone", TOUCHSTONE), ("index", INDEX), ("revealed", REVEALED)),
    2: choice(("index", INDEX), ("revealed", REVEALED)),
    3: choice(("ecoin", ID), ("from", U32), ("revealed", REVEALED)),
})
KEY_LIST = fields(("root", B32), ("list", Thing("keys")))
HIT = fields(("listing", Thing("listing")), ("key", B32), ("online", Bool()))
HEAD = fields(("position", U64), ("hash", B32))
PAID_RUN = fields(("run", Array(U32, 2)), ("payee", ID), ("position", U64))
ACCOUNT_VIEW = fields(
    ("peer", ID), ("balance", U64), ("debt", U64), ("opened_at_ms?", U64), ("suspended_at_ms?", U64),
    ("last_redeem_until_ms", U64), ("head", HEAD),
)
OWN_ECOIN = fields(("touchstone", TOUCHSTONE), ("paid", Array(PAID_RUN)))
PAYOUT_STATE = Choice("state", {
    1: [], 2: choice(("reference", TEXT), ("at_ms", U64)), 3: choice(("reason", TEXT), ("at_ms", U64)),
})
PAYOUT_VIEW = fields(
    ("peer", ID), ("request", ID), ("amount", U64), ("destination", TEXT), ("requested_at_ms", U64),
    ("state", PAYOUT_STATE), ("position", U64),
)
DOUBLE_SPEND_KEY = fields(("ecoin", ID), ("payee", ID))
PAYOUT_KEY = fields(("peer", ID), ("request", ID))
GRANT = fields(("from", U32), ("to", U32), ("order", B32), ("signature", Bytes(64)))
DOUBLE_SPEND_VIEW = fields(
    ("key", DOUBLE_SPEND_KEY), ("payer", ID), ("paid_to", ID), ("paid_grant", GRANT), ("grant", GRANT),
    ("conflicting", U32), ("debt", U64), ("open_debt", U64), ("position", U64),
)
ORDER = Choice("order", {
    1: choice(("peer", ID), ("amount", U64), ("reference", TEXT)),
    2: choice(("peer", ID), ("reason", TEXT)),
    3: choice(("peer", ID), ("reason", TEXT)),
    4: choice(("debtor", ID), ("creditor", ID), ("ecoin", ID)),
    5: choice(("after?", ID)),
    6: choice(("peer", ID)),
    7: choice(("ecoin", ID)),
    8: choice(("after?", DOUBLE_SPEND_KEY)),
    9: choice(("after?", PAYOUT_KEY)),
    10: choice(("payout", PAYOUT_KEY), ("reference", TEXT)),
    11: choice(("payout", PAYOUT_KEY), ("reason", TEXT)),
    12: choice(("reason", TEXT)),
    13: choice(("reason", TEXT)),
    14: choice(),
})
ORDER_OPS = {
    1: "credit", 2: "suspend", 3: "reinstate", 4: "settle-debt", 5: "list-accounts", 6: "show-account", 7: "show-ecoin",
    8: "list-double-spends", 9: "list-payouts", 10: "settle-payout", 11: "fail-payout", 12: "reconcile",
    13: "confirm-clock", 14: "backup",
}


def page(kind):
    """A part of a list, and whether more follows."""
    return fields(("items", Array(kind)), ("more", Bool()))


MESSAGES = {
    "Account": fields(("peer", ID), ("keys", KEY_LIST)),
    "SignedKeyList": KEY_LIST,
    "Buy": fields(("buy", Thing("buy")), REGISTER),
    "Sold": fields(("sealed", Thing("sealed-paywords")), ("touchstones", Array(TOUCHSTONE)), ("position", U64)),
    "Redeem": fields(("batch", Thing("batch")), ("touchstones", Array(TOUCHSTONE)), REGISTER),
    "Ask": fields(("query", Thing("query")), REGISTER),
    "Withdrawal": fields(("payout", Thing("payout")), REGISTER),
    "Rotate": fields(("order", Thing("rotate")), ("register", Thing("register"))),
    "AskQuote": fields(("content", B32), ("first_chunk", U64), ("chunk_count?", U64)),
    "Quoted": fields(("quote", Thing("quote")), ("key", B32), ("suites", Array(SUITE))),
    "Pay": fields(("order", B32), ("payment", PAYMENT)),
    "Paid": fields(("paid", U64)),
    "AskChunk": fields(("order", B32), ("index", U64)),
    "Chunk": fields(("slice", Bytes())),
    "AskReceipt": fields(("order", B32)),
    "Announce": fields(("listing", Thing("listing")), ("key", B32)),
    "TakeBack": fields(("withdraw", Thing("withdraw")), ("key", B32)),
    "Search": fields(("text", TEXT), ("skip", U32), ("limit", U32)),
    "Hits": fields(("hits", Array(HIT)), ("more", Bool())),
    "Done": fields(),
    "Problem": fields(("kind", Unsigned(16, KINDS)), ("text", TEXT)),
    "Order": ORDER,
    "AccountView": ACCOUNT_VIEW,
    "OwnEcoin": OWN_ECOIN,
    "PayoutView": PAYOUT_VIEW,
    "EcoinView": fields(
        ("ecoin", ID), ("payer", ID), ("suite", SUITE), ("n", U32), ("unit_value", U32), ("issued_at_ms", U64),
        ("spend_until_ms", U64), ("redeem_until_ms", U64), ("paid", U32), ("expired_at_ms?", U64), ("position", U64),
        ("runs", Array(PAID_RUN)),
    ),
    "DoubleSpendView": DOUBLE_SPEND_VIEW,
    "LedgerView": fields(
        ("incarnation", U64), ("restored_from?", HEAD), ("clock_trusted", Bool()), ("head", HEAD),
    ),
    "Page<AccountView>": page(ACCOUNT_VIEW),
    "Page<OwnEcoin>": page(OWN_ECOIN),
    "Page<PayoutView>": page(PAYOUT_VIEW),
    "Page<DoubleSpendView>": page(DOUBLE_SPEND_VIEW),
} | {f"signed {what}": Thing(what) for what in layouts.LAYOUTS}

PROBLEMS = {  # number: name, code, passing (page 21)
    1: ("malformed", 400, False), 2: ("too_large", 400, False), 3: ("not_for_me", 400, False),
    4: ("bad_signature", 403, False), 5: ("not_found", 404, False), 6: ("request_id_reused", 409, False),
    7: ("request_expired", 422, False), 8: ("suspended", 403, False), 9: ("in_debt", 403, False),
    10: ("insufficient_funds", 402, False), 11: ("policy", 422, False), 12: ("conflict", 409, False),
    13: ("busy", 429, True), 14: ("unavailable", 503, True), 15: ("payment_refused", 402, False),
    16: ("payment_due", 402, False), 17: ("fork", 409, False),
}
PROBLEM_NUMBERS = {name: number for number, (name, _, _) in PROBLEMS.items()}


def encode(name, value):
    """The canonical bytes of a message."""
    return MESSAGES[name].write(value)


def decode(name, data):
    """The value of a message."""
    return decode_as(MESSAGES[name], data)


def decode_as(kind, data):
    """The value of this shape; every other encoding than the canonical one is refused (page 1, in its order)."""
    if len(data) > MESSAGE_BYTES:
        raise MessageError("too_large")
    lengths_are_told(data)
    source = Source(data)
    value = kind.fit(source.item())
    if source.at != len(data):
        raise MessageError("trailing")
    if kind.write(value) != data:
        raise MessageError("not_canonical")
    return value
