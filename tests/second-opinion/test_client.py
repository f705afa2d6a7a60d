"""The buyer's and the asker's checks of the client (pages 8 and 11): one fault in an answer that is otherwise good."""

import asyncio
import io
import secrets
import unittest

from cryptography.hazmat.primitives.serialization import load_der_public_key

import blake3_slices
import chains
import client
import layouts
import messages
import rules
import sealing
import vectors
from test_till import BOB, BROKER, HOUR, PAYEE, ROOT, STATEMENT, STONE, sign

COUNT, N, UNIT = 2, 20, 3


class Sales:
    """A broker that sells to one buyer; a fault may alter what it sends."""

    def __init__(self):
        self.now = client.now_ms()
        self.buyer = client.Peer(BROKER, io.StringIO())
        entries = [
            {"kid": chains.kid_of(signer.key), "key": signer.key, "purpose": purpose, "not_before_ms": self.now - HOUR,
             "not_after_ms": self.now + HOUR, "revoked_at_ms": 0} for purpose, signer in ((1, STONE), (2, STATEMENT))
        ]
        self.buyer.till.learn_keys({"root": ROOT.key, "list": sign(ROOT, "keys", {
            "broker": BROKER, "incarnation": 1, "seq": 1, "issued_at_ms": self.now, "next_at_ms": self.now + HOUR,
            "keys": entries})})
        self.order = layouts.decode("buy", self.buyer.order_ecoins(N, COUNT, chains.SHA256, UNIT).layout)

    def stone(self, ecoin, root):
        """A touchstone as ordered."""
        return {
            "version": 1, "broker": BROKER, "kid": chains.kid_of(STONE.key), "ecoin": ecoin, "suite": chains.SHA256,
            "root": root, "n": N, "unit_value": UNIT, "payer": self.buyer.id, "payer_key": self.buyer.signer.key,
            "payer_opened_at_ms": self.now, "issued_at_ms": self.now, "spend_until_ms": self.now + HOUR,
            "redeem_until_ms": self.now + HOUR + 7 * layouts.DAY_MS, "guarantee": client.BEARER, "incarnation": 1,
        }

    def sold(self, stone=None, seal=None, words=None, stone_signer=STONE, seal_signer=STONE, aad=None):
        """What is sent: two chains, with changes to the second touchstone, to the sealed message or to the words."""
        made = [chains.chain_from_master(b"\x42" * 32, chains.SHA256, N, bytes([i]) * 16)[1] for i in (1, 2)]
        stones = [self.stone(bytes([i]) * 16, chain[0]) for i, chain in zip((1, 2), made)]
        pairs = [(one["ecoin"], chain[N]) for one, chain in zip(stones, made)]
        pairs = words(pairs) if words else pairs
        stones[1] |= stone or {}
        public = load_der_public_key(layouts.decode("register", self.buyer.registration.layout)["sealing_key"])
        told = {"broker": BROKER, "payer": self.buyer.id, "request": self.order["request"]}
        key = secrets.token_bytes(32)
        inner = told | {"kid": chains.kid_of(STONE.key)} | (seal or {})
        inner |= {"wrapped_key": sealing.wrap(public.public_numbers(), key, secrets.token_bytes(32)),
                  "ciphertext": sealing.encrypt(key, told | (aad or {}), pairs)}
        touchstones = [sign(STONE, "touchstone", stones[0]), sign(stone_signer, "touchstone", stones[1])]
        sold = {"sealed": sign(seal_signer, "sealed-paywords", inner), "touchstones": touchstones, "position": 1}
        return messages.decode("Sold", messages.encode("Sold", sold))


class BuyerTest(unittest.TestCase):
    """Page 8, the buyer's checks."""

    @classmethod
    def setUpClass(cls):
        cls.sales = Sales()

    def refused(self, check, sold, **order):
        """That a sale falls at this check."""
        with self.assertRaises(client.NotBelieved) as caught:
            self.sales.buyer.check_sold(self.sales.order | order, sold)
        self.assertEqual(str(caught.exception)[0], str(check))

    def test_a_good_sale(self):
        coins = self.sales.buyer.check_sold(self.sales.order, self.sales.sold())
        self.assertEqual([(coin.left, len(coin.words)) for coin in coins], [(N, N + 1)] * COUNT)
        self.assertTrue(all(coin.words[0] == coin.fields["root"] for coin in coins))

    def test_each_fault(self):
        sold, other = self.sales.sold, b"\x09" * 16
        self.refused(1, sold(seal={"kid": chains.kid_of(STATEMENT.key)}, seal_signer=STATEMENT))
        self.refused(1, sold(seal_signer=BOB))
        for name in ("broker", "payer", "request"):
            self.refused(2, sold(seal={name: other}))
            self.refused(3, sold(aad={name: other}))
        self.refused(4, sold(words=lambda pairs: pairs[:1]))
        self.refused(4, sold(), count=COUNT + 1)
        self.refused(5, sold(words=lambda pairs: pairs[::-1]))
        self.refused(5, sold(words=lambda pairs: pairs[:1] * 2))
        self.refused(5, sold(words=lambda pairs: [pairs[0], (pairs[1][0], pairs[0][1])]))
        self.refused(5, sold(stone_signer=BOB))
        late = {"issued_at_ms": self.sales.now + HOUR + 1}
        for change in ({"broker": other}, {"kid": chains.kid_of(STATEMENT.key)}, late, {"suite": 1, "root": bytes(32)},
                       {"n": N + 1}, {"unit_value": UNIT + 1}, {"guarantee": {"kind": 1, "payee": other}},
                       {"payer": other}, {"payer_key": BOB.key}, {"ecoin": other}, {"root": bytes(32)}):
            with self.subTest(change=list(change)):
                self.refused(5, sold(stone=change))
        self.refused(6, sold(), most_debited_units=COUNT * N * UNIT - 1)


class AskerTest(unittest.TestCase):
    """Page 11, the asker's checks on a quote."""

    def quoted(self, signer=BOB, key=BOB.key, **change):
        """What the client makes of a quote with changes."""
        peer, content = client.Peer(BROKER, io.StringIO()), blake3_slices.blake3(b"abc")
        quote = {
            "broker": BROKER, "content": content, "size_bytes": 3, "chunk_bytes": 131_072, "first_chunk": 0,
            "chunk_count": 1, "price_units": 5, "payee": PAYEE, "expires_ms": client.now_ms() + HOUR,
            "nonce": bytes(16),
        } | change

        async def answer(subject, data, name):
            self.assertEqual((subject, name), (rules.to_peer(PAYEE, peer.id, "quote"), "Quoted"))
            self.assertEqual(messages.decode("AskQuote", data)["content"], content)
            return {"quote": sign(signer, "quote", quote), "key": key, "suites": [2, 1]}

        peer.ask = answer
        return asyncio.run(peer.ask_quote(PAYEE, content))

    def test_quotes(self):
        digest, quote, key, suites = self.quoted()
        self.assertEqual((digest, key, suites), (layouts.digest(layouts.encode("quote", quote)), BOB.key, [2, 1]))
        alice = vectors.signer(vectors.ALICE_SEED)
        for change in (
                {"signer": alice}, {"signer": alice, "key": alice.key}, {"payee": bytes(16)}, {"broker": bytes(16)},
                {"content": bytes(32)}, {"size_bytes": (1 << 60) + 1}, {"expires_ms": client.now_ms()},
                {"chunk_bytes": 65_536}, {"size_bytes": 200_000}):
            with self.subTest(change=list(change)), self.assertRaises(client.NotBelieved):
                self.quoted(**change)


if __name__ == "__main__":
    unittest.main()
