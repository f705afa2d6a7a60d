"""Suites, hash steps and chains (page 3), and the ids that are hashes (page 2)."""

import hashlib
import hmac

MD5, SHA256 = 1, 2
SUITES = {"md5": MD5, "sha256": SHA256}
WORD_BYTES = {MD5: 16, SHA256: 32}
MOST_WORDS = 4_096


def broker_id(root_key):
    """The 16 bytes that name a broker."""
    return hashlib.sha256(b"p2p-netpay/v1/broker" + root_key).digest()[:16]


def peer_id(signing_key):
    """The 16 bytes that name a peer, from its first signing key."""
    return hashlib.sha256(b"p2p-netpay/v1/peer" + signing_key).digest()[:16]


def kid_of(key):
    """The 8 bytes that name a listed key."""
    return hashlib.sha256(key).digest()[:8]


def well_padded(suite, word):
    """Whether a word of 32 bytes is one of the suite: an md5 word is followed by 16 zeros."""
    return len(word) == 32 and (suite != MD5 or word[16:] == bytes(16))


def pad(word):
    """A word as it stands in layouts and messages."""
    return word + bytes(32 - len(word))


def step(suite, ecoin, index, word):
    """W(index - 1) from W(index), both in their 32 bytes."""
    if suite == MD5:
        return pad(hashlib.md5(word[:16]).digest())
    return hashlib.sha256(b"\x01" + ecoin + index.to_bytes(4, "big") + word).digest()


def descend(suite, ecoin, index, word, to):
    """W(to) from W(index), for to <= index."""
    for position in range(index, to, -1):
        word = step(suite, ecoin, position, word)
    return word


def leads(suite, ecoin, index, word, low_index, low_word):
    """Whether the word at `index` leads down to the word at `low_index`."""
    if not (well_padded(suite, word) and low_index <= index):
        return False
    return descend(suite, ecoin, index, word, low_index) == low_word


def hkdf_sha256(key, info, length):
    """RFC 5869 with an empty salt, for at most 32 bytes: extract, then the first block of expand."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:length]


def seed_info(suite, n, ecoin):
    """What tells one chain's seed from all others under the broker's master key."""
    return b"p2p-netpay/v1/chain\x00" + bytes([suite]) + n.to_bytes(4, "big") + ecoin


def chain_from_master(master, suite, n, ecoin):
    """The seed W(n + 1), and the words W(0) to W(n) by index."""
    seed = hkdf_sha256(master, seed_info(suite, n, ecoin), WORD_BYTES[suite])
    words = [pad(seed)]
    for position in range(n + 1, 0, -1):
        words.append(step(suite, ecoin, position, words[-1]))
    return seed, words[:0:-1]
