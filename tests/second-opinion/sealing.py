"""Sealed paywords (page 5): RSA-OAEP around a fresh key, ChaCha20-Poly1305 around the words.

OAEP's padding is written out as well, so that a sealing with told randomness can be derived again.
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NONCE = bytes(12)
ITEM_BYTES = 48


class DoesNotOpen(ValueError):
    """The one error of opening."""


def additional_data(sealed):
    """What binds a ciphertext to broker, payer and request."""
    return b"p2p-netpay/v1/sealed-paywords\x00" + sealed["broker"] + sealed["payer"] + sealed["request"]


def plaintext_of(words):
    """The pairs (IDe, W(n)) one after the other."""
    return b"".join(ecoin + word for ecoin, word in words)


def mgf1(seed, length):
    """RFC 8017, B.2.1, with SHA-256."""
    blocks = (hashlib.sha256(seed + i.to_bytes(4, "big")).digest() for i in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def xor(a, b):
    """Two strings of one length, bit by bit."""
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def wrap(public_numbers, key, seed):
    """RSAES-OAEP (RFC 8017, 7.1.1) with a told seed and an empty label."""
    size = (public_numbers.n.bit_length() + 7) // 8
    block = hashlib.sha256(b"").digest() + bytes(size - len(key) - 2 * 32 - 2) + b"\x01" + key
    masked = xor(block, mgf1(seed, len(block)))
    encoded = b"\x00" + xor(seed, mgf1(masked, 32)) + masked
    return pow(int.from_bytes(encoded, "big"), public_numbers.e, public_numbers.n).to_bytes(size, "big")


def encrypt(key, sealed, words):
    """The ciphertext with its tag."""
    return ChaCha20Poly1305(key).encrypt(NONCE, plaintext_of(words), additional_data(sealed))


def open_sealed(private_key, sealed, data):
    """The pairs (IDe, W(n)) that were sealed to a key, for whom `data` says. Call it only after the broker's signature
    was verified."""
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    try:
        key = private_key.decrypt(sealed["wrapped_key"], oaep)
        plain = ChaCha20Poly1305(key).decrypt(NONCE, sealed["ciphertext"], data)
    except (ValueError, InvalidTag):
        raise DoesNotOpen from None
    if len(plain) % ITEM_BYTES:
        raise DoesNotOpen
    items = [plain[at:at + ITEM_BYTES] for at in range(0, len(plain), ITEM_BYTES)]
    return [(item[:16], item[16:]) for item in items]
