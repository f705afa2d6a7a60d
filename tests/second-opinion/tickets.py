"""Tickets (page 26): one content at one supplier as a text, from the fields and back. There is one text for each."""

import blake3_slices
import layouts

PREFIX, LETTERS = "netpay:", "abcdefghijklmnopqrstuvwxyz234567"
VERSION, CHECKSUM_BYTES, MOST_BYTES = 1, 5, 327
SIZE, PRICE, NAME = 1, 2, 4
ERRORS = ("prefix", "damaged", "version")


class TicketError(ValueError):
    """A text that is no ticket; `kind` is prefix, damaged or version."""

    def __init__(self, kind, what=""):
        super().__init__(f"{kind}: {what}")
        self.kind = kind


def require(condition, kind, what):
    """Refuses unless the condition holds."""
    if not condition:
        raise TicketError(kind, what)


def checksum(data):
    """The bytes that follow all others."""
    return blake3_slices.blake3(b"p2p-netpay/v1/ticket\x00" + data)[:CHECKSUM_BYTES]


def body(fields):
    """All bytes before the checksum."""
    size, price, name = fields["size_bytes"], fields["price_units"], fields["file_name"]
    there = (size is not None) * SIZE | (price is not None) * PRICE | (name is not None) * NAME
    data = bytes([VERSION]) + fields["content"] + fields["supplier"] + bytes([there])
    data += b"".join(number.to_bytes(8, "big") for number in (size, price) if number is not None)
    return data if name is None else data + bytes([len(name.encode())]) + name.encode()


def text_of(data):
    """The text of the bytes before the checksum."""
    return PREFIX + to_base32(data + checksum(data))


def write(fields):
    """The text of a ticket."""
    return text_of(body(fields))


def read(text):
    """The fields of a ticket; refuses every other text than the one that is written."""
    require(text.startswith(PREFIX), "prefix", "another kind of text")
    data = from_base32(text[len(PREFIX):])
    data, sum_told = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    require(sum_told == checksum(data), "damaged", "checksum")
    require(data[:1] in (b"", bytes([VERSION])), "version", "of another version")
    reader = layouts.Reader(data)
    try:
        return fields_of(reader)
    except layouts.LayoutError as error:
        raise TicketError("damaged", str(error)) from None


def fields_of(reader):
    """The fields, in their order."""
    reader.take(1)
    fields = {"content": reader.take(32), "supplier": reader.take(16), "size_bytes": None, "price_units": None,
              "file_name": None}
    there = reader.number(1)
    layouts.require(there <= SIZE | PRICE | NAME, "value", "no such field")
    if there & SIZE:
        fields["size_bytes"] = reader.number(8)
    if there & PRICE:
        fields["price_units"] = reader.number(8)
    if there & NAME:
        try:
            fields["file_name"] = reader.take(reader.number(1)).decode()
        except UnicodeDecodeError:
            raise layouts.LayoutError("value", "not UTF-8") from None
        layouts.require(layouts.is_file_name(fields["file_name"]), "value", "name")
    layouts.require(reader.at == len(reader.data), "trailing")
    return fields


# --- base32 (RFC 4648), in small letters and without padding ---------------------------------------------------------

def to_base32(data):
    """The letters of bytes; the unused bits of the last one are zero."""
    count = -(-8 * len(data) // 5)
    number = int.from_bytes(data, "big") << 5 * count - 8 * len(data)
    return "".join(LETTERS[number >> 5 * place & 31] for place in range(count - 1, -1, -1))


def from_base32(letters):
    """The bytes of letters, of which there is none too many."""
    size = 5 * len(letters) // 8
    require(size <= MOST_BYTES, "damaged", "too long")
    number = 0
    for letter in letters:
        require(letter in LETTERS, "damaged", "no letter of base32")
        number = number << 5 | LETTERS.index(letter)
    loose = 5 * len(letters) - 8 * size
    require(loose < 5 and number & (1 << loose) - 1 == 0, "damaged", "a letter or bits too many")
    return (number >> loose).to_bytes(size, "big")


# --- what is no ticket -----------------------------------------------------------------------------------------------

def broken(fields):
    """Every text that is to be refused, by name; made from the ticket that tells content and supplier alone."""
    bare, free, data = write(fields), write(fields | {"price_units": 0}), body(fields)
    named = data[:-1] + bytes([NAME])
    last = LETTERS[LETTERS.index(free[-1]) + 1]
    return {
        "another prefix": PREFIX.upper() + bare[len(PREFIX):],
        "capital letters": PREFIX + bare[len(PREFIX):].upper(),
        "cut": bare[:-1],
        "padded": bare + "==",
        "loose bits": free[:-1] + last,
        "version 2": text_of(b"\2" + data[1:]),
        "flag 8": text_of(data[:-1] + b"\x08"),
        "a byte more": text_of(data + b"\0"),
        "no name": text_of(named + b"\0"),
        "a path": text_of(named + b"\3a/b"),
        "a control character": text_of(named + b"\1\n"),
        "nothing": text_of(b""),
    }
