"""How the malformed inputs are made from good ones: layouts by the offsets of the pages' tables, messages byte by byte.

So a malformed vector is not only refused, but is the one that its name tells. An edit is the offset after the tag, how
many bytes are taken out, and what is put in.
"""

import layouts

DAY_MS = layouts.DAY_MS
BROKEN_NAMES = {
    "no name": "", "dot": ".", "dots": "..", "path": "a/b", "other path": "a\\b", "control character": "a\nb",
    "delete": "a\x7fb", "next line": "a\x85b", "name of 256 bytes": "x" * 256,
}


def u32(number):
    """Four bytes, big-endian."""
    return number.to_bytes(4, "big")


def u64(number):
    """Eight bytes, big-endian."""
    return number.to_bytes(8, "big")


def text(value):
    """A counted text."""
    return u32(len(value.encode())) + value.encode()


def edits(what, good):
    """The edits of a layout, given the fields of a good one."""
    if what == "touchstone":
        spend = good["spend_until_ms"]
        return {
            "version byte": (0, 1, b"\2"), "suite 0": (41, 1, b"\0"), "suite 3": (41, 1, b"\3"),
            "guarantee 2": (162, 1, b"\2"), "bearer with a payee": (178, 1, b"\1"), "md5 padding": (41, 1, b"\1"),
            "no words": (74, 4, u32(0)), "too long": (74, 4, u32(4_097)), "worthless": (78, 4, u32(0)),
            "too little time": (154, 8, u64(spend + 7 * DAY_MS - 1)), "no time": (154, 8, u64(spend - 1)),
        }
    if what == "buy":
        return {
            "no chains": (56, 4, u32(0)), "257 chains": (56, 8, u32(257) + u32(1)), "no words": (60, 4, u32(0)),
            "4097 words": (60, 4, u32(4_097)), "worthless": (65, 4, u32(0)), "suite 3": (64, 1, b"\3"),
            "bearer with a payee": (93, 1, b"\1"),
        }
    if what == "batch":
        return {"2049 claims promised": (88, 4, u32(2_049)), "2048 claims promised": (88, 4, u32(2_048)),
                "no claims promised": (88, 4, u32(0))}
    if what == "payout":
        length = 4 + len(good["destination"])
        return {"amount 0": (56, 8, u64(0)), "nowhere": (64, length, text("")),
                "257 bytes": (64, length, text("x" * 257)), "not UTF-8": (68, 1, b"\xff")}
    if what == "quote":
        return {
            "chunk of 65535": (56, 4, u32(65_535)), "chunk of 98304": (56, 4, u32(98_304)),
            "chunk of 262144": (56, 4, u32(262_144)), "a chunk too many": (60, 8, u64(1)), "no chunks": (68, 8, u64(0)),
            "beyond all": (60, 8, u64((1 << 64) - 1)), "empty with a chunk": (48, 8, u64(0)),
        }
    if what == "keys":
        return {
            "wrong kid": (52, 8, bytes(8)), "90 days and a ms": (40, 8, u64(good["issued_at_ms"] + 90 * DAY_MS + 1)),
            "purpose 0": (92, 1, b"\0"), "purpose 4": (92, 1, b"\4"), "1025 keys promised": (48, 4, u32(1_025)),
        }
    if what == "revoked":
        first, second = (entry["peer"] + u64(entry["suspended_at_ms"]) for entry in good["peers"])
        return {"not in order": (60, 48, second + first), "a peer twice": (84, 16, first[:16]),
                "32769 peers promised": (56, 4, u32(32_769))}
    if what == "query":
        return {"question 0": (48, 1, b"\0"), "question 6": (48, 1, b"\6"), "balance about something": (64, 1, b"\1")}
    if what == "statement":
        return {"verdict 0": (108, 1, b"\0"), "verdict 8": (108, 1, b"\x08"),
                "2049 lines promised": (104, 4, u32(2_049))}
    if what == "listing":
        length = 4 + len(good["name"].encode())
        kind, tags = 96 + length, 96 + length + 4 + len(good["media_type"])
        return {name: (96, length, text(value)) for name, value in BROKEN_NAMES.items()} | {
            "name is not UTF-8": (100, 1, b"\x80"),
            "type of 128 bytes": (kind, tags - kind, text("x" * 128)),
            "tags of 513 bytes": (tags, 4 + len(good["tags"]), text("x" * 513)),
            "a day and a ms": (88, 8, u64(good["issued_at_ms"] + DAY_MS + 1)),
        }
    return {}


def edited(what, good, edit):
    """The bytes of a good layout with an edit."""
    offset, out, put_in = edit
    at = len(layouts.tag(what)) + offset
    return good[:at] + put_in + good[at + out:]


def broken_messages(content, buy, sign):
    """Every malformed message, by name; from a content id, a good signed `buy` and the payer's signing."""
    layout, signature = buy
    thing = b"\xa2\x00\x58" + bytes([len(layout)]) + layout + b"\x01\x58\x40" + signature
    no_chains = edited("buy", layout, (56, 4, u32(0)))
    order, ecoin = b"\xa2\x00\x58\x20" + bytes(32) + b"\x01", b"\x50" + b"\xe1" * 16
    asked, revealed = b"\x00\x58\x20" + content, b"\xa2\x00\x01\x01\x80"
    fields = b"\x83" + ecoin + b"\x01"
    return {
        "Paid: nothing": b"", "Paid: trailing": b"\xa1\x00\x05\x00", "Paid: cut": b"\xa1\x00",
        "Paid: an array": b"\x81\x05", "Paid: long integer": b"\xa1\x00\x18\x05",
        "Paid: longest integer": b"\xa1\x00\x1b" + u64(5), "Paid: long key": b"\xa1\x18\x00\x05",
        "Paid: long length": b"\xb8\x01\x00\x05", "Paid: indefinite map": b"\xbf\x00\x05\xff",
        "Paid: unknown key": b"\xa2\x00\x05\x01\x05", "Paid: key twice": b"\xa2\x00\x05\x00\x05",
        "Paid: missing key": b"\xa0", "Paid: negative": b"\xa1\x00\x20", "Paid: float": b"\xa1\x00\xf9\x45\x00",
        "Paid: text": b"\xa1\x00\x615", "Paid: tagged": b"\xa1\x00\xc1\x05", "Paid: text key": b"\xa1\x610\x05",
        "Paid: 2000 arrays, each in the other": b"\x81" * 2_000,
        "Paid: an unknown key, seven deep": b"\xa2\x00\x05\x01" + b"\x81" * 5 + b"\x80",
        "Done: a key": b"\xa1\x00\x05",
        "AskQuote: keys not in order": b"\xa2\x01\x00" + asked,
        "AskQuote: 31 bytes of 32": b"\xa3\x00\x58\x1f" + content[:31] + b"\x01\x00\x02\x02",
        "AskQuote: 33 bytes for 32": b"\xa3\x00\x58\x21" + content + b"\x07\x01\x00\x02\x02",
        "AskQuote: an id in pieces": b"\xa2\x00\x5f\x58\x20" + content + b"\xff\x01\x00",
        "AskQuote: u64 and one": b"\xa2" + asked + b"\x01\xc2\x49\x01" + bytes(8),
        "Buy: null for absent": b"\xa2\x00" + thing + b"\x01\xf6",
        "Buy: a layout that is malformed": b"\xa1\x00" + thing.replace(layout, no_chains).replace(
            signature, sign(no_chains)),
        "Buy: other keys of a signed thing": b"\xa1\x00" + thing.replace(b"\xa2\x00", b"\xa2\x02", 1),
        "Buy: a signature of 63 bytes": b"\xa1\x00" + thing.replace(
            b"\x58\x40" + signature, b"\x58\x3f" + signature[:63]),
        "Pay: payment form 0": order + b"\x82\x00" + fields + revealed,
        "Pay: payment form 4": order + b"\x82\x04" + fields + revealed,
        "Pay: payment of three items": order + b"\x83\x03" + fields + revealed + b"\x00",
        "Pay: a word of 31 bytes": order + b"\x82\x03" + fields + b"\xa2\x00\x01\x01\x81\x58\x1f" + bytes(31),
        "Pay: through above u32": order + b"\x82\x03" + fields + b"\xa2\x00\x1b" + u64(1 << 32) + b"\x01\x80",
        "Problem: kind 0": b"\xa2\x00\x00\x01\x60", "Problem: kind 18": b"\xa2\x00\x12\x01\x60",
        "Problem: text that is not UTF-8": b"\xa2\x00\x01\x01\x61\x80",
        "Hits: indefinite list": b"\xa2\x00\x9f\xff\x01\xf4", "Hits: undefined for false": b"\xa2\x00\x80\x01\xf7",
        "any: too large": bytes(1_000_001),
    }
