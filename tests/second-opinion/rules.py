"""The rules that need no memory: who is believed, what is due, what a claim is worth (pages 2, 6 to 8, 10 to 14)."""

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

import chains
import ed25519_zip215 as zip215
import layouts

TOUCHSTONE, STATEMENT, NOTICE = 1, 2, 3
CLOCK_MS = 5 * 60_000
U64 = (1 << 64) - 1
UNKNOWN_ECOIN, INVALID, UNAUTHORISED, EXPIRED, CREDITED, ALREADY_PAID, CONFLICTING = range(1, 8)
VERDICTS = {
    UNKNOWN_ECOIN: "unknown_ecoin", INVALID: "invalid", UNAUTHORISED: "unauthorised", EXPIRED: "expired",
    CREDITED: "credited", ALREADY_PAID: "already_paid", CONFLICTING: "conflicting",
}


# --- keys and lists (pages 2, 6, 7) ----------------------------------------------------------------------------------

def sealing_key_registrable(der):
    """Whether an RSA key may be registered: its one encoding, 2,048 to 4,096 bits, e = 65,537."""
    if len(der) > 1_024:
        return False
    try:
        key = load_der_public_key(der)
    except Exception:  # the library refuses what is no key in several ways
        return False
    return (
        isinstance(key, RSAPublicKey) and 2_048 <= key.key_size <= 4_096 and key.public_numbers().e == 65_537
        and key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == der
    )


def registration_error(broker, signed):
    """None, or why a registration is refused; in the order of page 7."""
    fields = layouts.decode("register", signed.layout)
    if fields["broker"] != broker:
        return "broker"
    if not zip215.registrable(fields["signing_key"]):
        return "key"
    if not zip215.verify(fields["signing_key"], signed.layout, signed.signature):
        return "signature"
    if not sealing_key_registrable(fields["sealing_key"]):
        return "sealing_key"
    if fields["nkey"] == fields["signing_key"]:
        return "shared_key"
    return None


def believed_keys(pinned, signed_list):
    """The fields of a key list that is the pinned broker's, or None."""
    root, inner = signed_list["root"], signed_list["list"]
    fields = layouts.decode("keys", inner.layout)
    good = chains.broker_id(root) == pinned and fields["broker"] == pinned
    return fields if good and zip215.verify(root, inner.layout, inner.signature) else None


def find_key(keys, kid, purpose, at_ms):
    """The key of the first entry with this kid and purpose, if it is good for that time; otherwise None."""
    for entry in keys["keys"]:
        if (entry["kid"], entry["purpose"]) == (kid, purpose):
            in_time = entry["not_before_ms"] <= at_ms <= entry["not_after_ms"]
            return entry["key"] if entry["revoked_at_ms"] == 0 and in_time else None
    return None


def signed_by_broker(keys, what, signed, purpose):
    """The fields of what a listed key of this purpose signed in its time, or None."""
    fields = layouts.decode(what, signed.layout)
    key = find_key(keys, fields["kid"], purpose, fields["issued_at_ms"])
    return fields if key is not None and zip215.verify(key, signed.layout, signed.signature) else None


def believed_revoked(keys, signed, now_ms=None):
    """The fields of a revocation list of the key list's broker, or None; without a clock its age is not looked at."""
    fields = layouts.decode("revoked", signed.layout)
    if fields["broker"] != keys["broker"] or signed_by_broker(keys, "revoked", signed, NOTICE) is None:
        return None
    return fields if now_ms is None or fields["issued_at_ms"] <= now_ms + CLOCK_MS else None


def certificate_error(keys, peer, signed):
    """None, or why a certificate of this peer's key is not believed; in the order of page 28."""
    fields = layouts.decode("certificate", signed.layout)
    if fields["broker"] != keys["broker"]:
        return "broker"
    if fields["peer"] != peer:
        return "peer"
    return None if signed_by_broker(keys, "certificate", signed, STATEMENT) else "signature"


def rotation_error(rotate):
    """None, or why the new keys of a rotation are refused, before its own signature is looked at (page 28)."""
    order = layouts.decode("rotate", rotate["order"].layout)
    refused = registration_error(order["broker"], rotate["register"])
    if refused is None and layouts.digest(rotate["register"].layout) != order["register"]:
        return "other_keys"
    return refused


def higher(new, held):
    """Whether a list is to be kept in place of the one held."""
    return held is None or (new["incarnation"], new["seq"]) > (held["incarnation"], held["seq"])


# --- what is due (pages 10, 11) --------------------------------------------------------------------------------------

def due_units(first, count, price, chunk):
    """Units due in all before a chunk is served."""
    number = min(max(min(chunk + 1, U64) - first, 0), U64)
    return min(price, -(-number * price // max(count, 1)))


def part_units(price, count, chunks):
    """What a part of a whole costs: never more than the whole, and nothing of nothing."""
    return min(price, -(-price * count // max(chunks, 1)))


def words_for(price, unit_value):
    """Words due for a price, or None if there is no such number."""
    if unit_value == 0:
        return None
    words = -(-price // unit_value)
    return words if words < 1 << 32 else None


# --- grants, claims, statements (pages 10, 13, 14) -------------------------------------------------------------------

def covers(start, to, through, n):
    """Whether a grant from..to covers the word `through` of a chain of n."""
    return 1 <= start <= through < to <= n + 1


def grant_layout(broker, grant):
    """The bytes that the payer signed, from what a claim or a view tells of a grant."""
    return layouts.encode("index", {
        "broker": broker, "ecoin": grant["ecoin"], "from": grant["from"], "to": grant["to"], "payee": grant["payee"],
        "order": grant["order"],
    })


def line_of(broker, payee, touchstone, refunded, paid, claim):
    """The broker's line on a claim, and the words that it credits. `paid` maps a word's index to whom it was paid."""
    nothing = {"credited": 0, "already_paid": 0, "conflicting": 0}
    if touchstone is None:
        return {"verdict": UNKNOWN_ECOIN} | nothing, []
    start, through = claim["from"], claim["through"]
    if not covers(start, claim["to"], through, touchstone["n"]):
        return {"verdict": INVALID} | nothing, []
    bound = touchstone["guarantee"]
    authorised = (
        claim["payee"] == payee and payee != touchstone["payer"] and (bound["kind"] == 0 or bound["payee"] == payee)
        and broker == touchstone["broker"] and claim["ecoin"] == touchstone["ecoin"]
        and zip215.verify(touchstone["payer_key"], grant_layout(broker, claim), claim["signature"])
    )
    if not authorised:
        return {"verdict": UNAUTHORISED} | nothing, []
    if not chains.leads(touchstone["suite"], claim["ecoin"], through, claim["word"], 0, touchstone["root"]):
        return {"verdict": INVALID} | nothing, []
    if refunded:
        return {"verdict": EXPIRED} | nothing, []
    run = range(start, through + 1)
    credited = [i for i in run if i not in paid]
    own = sum(1 for i in run if paid.get(i) == payee)
    conflicting = len(run) - len(credited) - own
    verdict = CONFLICTING if conflicting else CREDITED if credited else ALREADY_PAID
    counts = {"credited": len(credited), "already_paid": own, "conflicting": conflicting}
    return {"verdict": verdict} | counts, credited


def statement_error(batch, batch_digest, statement):
    """None, or why a statement does not answer a batch: another, lines, counts. Its signature is checked apart."""
    same = all(statement[name] == batch[name] for name in ("broker", "payee", "request"))
    if not same or statement["batch"] != batch_digest:
        return "another"
    if len(statement["lines"]) != len(batch["claims"]):
        return "lines"
    for claim, line in zip(batch["claims"], statement["lines"]):
        run = max(0, claim["through"] - claim["from"] + 1) if line["verdict"] >= CREDITED else 0
        if line["credited"] + line["already_paid"] + line["conflicting"] != run:
            return "counts"
    return None


# --- subjects (page 19) ----------------------------------------------------------------------------------------------

REGISTER = "netpay.v1.register"
NOTICE_KEYS, NOTICE_REVOKED = "netpay.v1.notice.keys", "netpay.v1.notice.revoked"


def to_broker(peer, op):
    """Where a peer asks the broker."""
    return f"netpay.v1.req.{peer.hex()}.{op}"


def to_peer(to, sender, op):
    """Where a peer asks a peer."""
    return f"netpay.v1.peer.{to.hex()}.{sender.hex()}.{op}"


def listens(peer):
    """What a peer listens on."""
    return f"netpay.v1.peer.{peer.hex()}.*.*"


def to_index(peer, op):
    """Where a peer asks the index."""
    return f"netpay.v1.index.{peer.hex()}.{op}"


def to_inbox(peer):
    """Where a peer leaves a batch."""
    return f"netpay.v1.inbox.{peer.hex()}.redeem"


def to_admin(op):
    """Where an operator asks the broker."""
    return f"netpay.v1.admin.{op}"
