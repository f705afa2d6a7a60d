"""The known answers, told as Python values. Where they are: protocol/test-data/vectors, or $NETPAY_VECTORS.

Every vector is taken apart with `exactly`, so a field that nobody looks at fails the run.
"""

import json
import os
import pathlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import chains

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("NETPAY_VECTORS") or ROOT / "protocol" / "test-data" / "vectors")
FILES = {
    "accepting", "certificates", "chains", "content", "evidence", "grants", "ids", "layouts", "lists", "malformed",
    "messages", "paper", "quotes",
    "reaches", "registrations", "sealing", "statements", "steps", "subjects", "tickets", "verdicts", "zip215",
}
LABELS = {"name", "why"}
# The vectors' Ed25519 seeds are one byte, 32 times.
ROOT_SEED, TOUCHSTONE_SEED, STATEMENT_SEED, NOTICE_SEED, OPERATOR_SEED = 1, 2, 3, 4, 5
ALICE_SEED, BOB_SEED, CAROL_SEED = 11, 12, 13
ALICE_AGAIN_SEED = 31  # what alice rotates to


class Signer:
    """An Ed25519 key from its seed."""

    def __init__(self, seed):
        self.secret = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data):
        """The deterministic signature of RFC 8032."""
        return self.secret.sign(data)


def signer(byte):
    """The vectors' key with this seed."""
    return Signer(bytes([byte]) * 32)


BROKER_KEYS = (ROOT_SEED, TOUCHSTONE_SEED, STATEMENT_SEED, NOTICE_SEED, OPERATOR_SEED)
PEERS = {chains.peer_id(signer(byte).key): signer(byte) for byte in (ALICE_SEED, BOB_SEED, CAROL_SEED)}
SIGNERS = PEERS | {chains.peer_id(signer(ALICE_AGAIN_SEED).key): signer(ALICE_AGAIN_SEED)}
KIDS = {chains.kid_of(signer(byte).key): signer(byte) for byte in BROKER_KEYS}


def who_signs(what, fields):
    """The vectors' key that signs such a layout by the rules of its page."""
    if what == "keys":
        return signer(ROOT_SEED)
    if what == "register":
        return SIGNERS[chains.peer_id(fields["signing_key"])]
    if what == "index":
        return signer(ALICE_SEED)
    if "kid" in fields:
        return KIDS[fields["kid"]]
    name = {"buy": "payer", "query": "peer", "payout": "peer", "listing": "supplier", "withdraw": "supplier",
            "rotate": "peer"}
    return PEERS[fields[name.get(what, "payee")]]


def load(name):
    """The vectors of a file."""
    told = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if set(told) != {"about", "version", "vectors"} or told["version"] != 1:
        raise ValueError(f"{name}.json is not a file of vectors of version 1")
    return told["vectors"]


def exactly(told, *names):
    """The fields of a vector beside name and why, refusing to overlook one."""
    there = set(told) - LABELS
    if there != set(names) or not LABELS <= set(told):
        raise AssertionError(f"{told.get('name')}: fields {sorted(there)}, known are {sorted(names)}")
    return [told[name] for name in names]
