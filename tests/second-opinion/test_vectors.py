"""Derives every known answer again, from the pages of the specification alone.

One test per file of vectors; each prints how many it checked. A file, a kind of vector or a field that is not known
here fails.
"""

import collections
import copy
import dataclasses
import unittest

import cbor2
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

import blake3_slices
import chains
import ed25519_zip215 as zip215
import evidence
import layouts
import malformed_edits
import messages
import rules
import sealing
import tickets
import till
import told_payments
import vectors
from vectors import exactly

unhex = bytes.fromhex


def fields_of(what, told):
    """Field values of a layout as the vectors tell them."""
    return layouts.LAYOUTS[what].value(told)


def loose(data):
    """What another CBOR library makes of bytes."""
    return cbor2.loads(data)


MASTER, ECOIN = b"\x42" * 32, b"\xe1" * 16
STRETCHES = {  # first chunk, count, price: of a file of three chunks at 25, at 2, at nothing, at the most
    "whole": (0, 3, 25), "whole cheap": (0, 3, 2), "part": (1, 2, 17), "one chunk": (2, 1, 9), "free": (0, 3, 0),
    "dearest": (0, 3, rules.U64),
}
ACCEPTING = (
    "check", "me", "pinned", "now_ms", "keys", "revoked", "policy", "restored", "locked_through_ms", "order", "held",
    "sender", "pay", "paid_units", "problem",
)
PARTS = {(25, 2, 3), (25, 1, 3), (25, 3, 3), (0, 1, 3), (10, 0, 0), (1, 1, 1_000)}
EVERYBODY = [vectors.signer(byte) for byte in vectors.BROKER_KEYS + (11, 12, 13)]


class Vectors(unittest.TestCase):
    """The known answers, file by file."""

    maxDiff = None

    def each(self, name):
        """The vectors of a file; counts them, and asserts that there are some."""
        told = vectors.load(name)
        self.assertGreater(len(told), 0)
        yield from told
        kinds = collections.Counter(v.get("check") or v.get("form") or v.get("what") or v.get("message") for v in told)
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items(), key=str) if kind)
        print(f"\n  {name}.json: {len(told)} checked" + (f" ({kinds})" if kinds else ""), end=" ", flush=True)

    def at(self, vector):
        """One vector, whose failure keeps no other from being looked at."""
        return self.subTest(vector=vector.get("name"))

    def signed(self, told, genuine=True):
        """A signed thing: fields, layout and signature fit together, and the signature is made again."""
        self.assertEqual(set(told), {"what", "fields", "layout", "signature"})
        what, layout, signature = told["what"], unhex(told["layout"]), unhex(told["signature"])
        fields = fields_of(what, told["fields"])
        self.assertEqual(layouts.encode(what, fields), layout)
        self.assertEqual(layouts.decode(what, layout), fields)
        if genuine:
            signer = vectors.who_signs(what, fields)
            self.assertEqual(signer.sign(layout), signature)
            self.assertTrue(zip215.verify(signer.key, layout, signature))
        return messages.Signed(layout, signature), fields

    def all_signed(self, told):
        """Every signed thing anywhere in a vector."""
        if isinstance(told, dict):
            if set(told) == {"what", "fields", "layout", "signature"}:
                self.signed(told)
            told = list(told.values())
        if isinstance(told, list):
            for part in told:
                self.all_signed(part)

    def test_every_file_is_known(self):
        there = {path.stem for path in vectors.FOLDER.glob("*.json")}
        self.assertEqual(there, vectors.FILES)
        self.assertTrue(all(hasattr(self, f"test_{name}") for name in vectors.FILES))

    def test_ids(self):
        for v in self.each("ids"):
            with self.at(v):
                seed, key, broker, peer, kid = map(unhex, exactly(v, "key_seed", "key", "broker_id", "peer_id", "kid"))
                self.assertEqual(vectors.Signer(seed).key, key)
                self.assertEqual(chains.broker_id(key), broker)
                self.assertEqual(chains.peer_id(key), peer)
                self.assertEqual(chains.kid_of(key), kid)

    def test_steps(self):
        for v in self.each("steps"):
            with self.at(v):
                suite, ecoin, index, upper, lower = exactly(v, "suite", "ecoin", "i", "word_i", "word_i_minus_1")
                self.assertEqual((ecoin, index, upper), self.step_told(v["name"]))
                self.assertEqual(chains.step(chains.SUITES[suite], unhex(ecoin), index, unhex(upper)), unhex(lower))

    def step_told(self, name):
        """The inputs that a step's name and reason tell."""
        suite, case = name.split()
        ecoin, byte = ("00", "00") if case == "zeros" else ("e1", "a5")
        index = {"zeros": 1, "first": 1, "other": 50, "fiftieth": 50, "farthest": chains.MOST_WORDS + 1}[case]
        return ecoin * 16, index, chains.pad(unhex(byte) * chains.WORD_BYTES[chains.SUITES[suite]]).hex()

    def test_chains(self):
        for v in self.each("chains"):
            with self.at(v):
                suite, n, ecoin, master, info, seed, words = exactly(
                    v, "suite", "n", "ecoin", "master", "hkdf_info", "seed", "words")
                suite, ecoin = chains.SUITES[suite], unhex(ecoin)
                self.assertEqual(chains.seed_info(suite, n, ecoin), unhex(info))
                own_seed, own_words = chains.chain_from_master(unhex(master), suite, n, ecoin)
                self.assertEqual((own_seed, len(own_words)), (unhex(seed), n + 1))
                self.assertGreaterEqual(len(words), 2)
                self.assertEqual((words[0]["i"], words[-1]["i"]), (0, n))
                for word in words:
                    self.assertEqual(set(word), {"i", "word"})
                    self.assertEqual(own_words[word["i"]], unhex(word["word"]))
                    self.assertTrue(chains.leads(suite, ecoin, word["i"], unhex(word["word"]), 0, own_words[0]))

    def test_reaches(self):
        for v in self.each("reaches"):
            with self.at(v):
                suite, ecoin, root, i, word, reaches = exactly(v, "suite", "ecoin", "root", "i", "word", "reaches")
                self.assertEqual((ecoin, root, i, word), self.reach_told(v["name"], chains.SUITES[suite]))
                own = chains.leads(chains.SUITES[suite], unhex(ecoin), i, unhex(word), 0, unhex(root))
                self.assertIs(own, reaches)

    def reach_told(self, name, suite):
        """The inputs that a name tells: words of the broker's chain of 50, at a position, for an e-coin."""
        _, words = chains.chain_from_master(MASTER, suite, 50, ECOIN)
        position, true_position = {
            "root itself": (0, 0), "first word": (1, 1), "last word": (50, 50), "a position too high": (51, 50),
            "a position too low": (48, 49), "another e-coin's id": (7, 7), "md5 padding": (7, 7),
        }[name]
        ecoin = b"\xe2" * 16 if name == "another e-coin's id" else ECOIN
        word = words[true_position][:-1] + b"\1" if name == "md5 padding" else words[true_position]
        return ecoin.hex(), words[0].hex(), position, word.hex()

    def test_layouts(self):
        seen = set()
        for v in self.each("layouts"):
            with self.at(v):
                what, told, layout, digest, seed, key, signature, cbor = exactly(
                    v, "what", "fields", "layout", "digest", "key_seed", "key", "signature", "cbor")
                thing, fields = self.signed({"what": what, "fields": told, "layout": layout, "signature": signature})
                signer = vectors.Signer(unhex(seed))
                self.assertEqual(signer.key, unhex(key))
                self.assertEqual(signer.key, vectors.who_signs(what, fields).key)
                self.assertEqual(signer.sign(thing.layout), thing.signature)
                self.assertEqual(layouts.digest(thing.layout), unhex(digest))
                name = f"signed {what}"
                self.assertEqual(messages.encode(name, thing), unhex(cbor))
                self.assertEqual(messages.decode(name, unhex(cbor)), thing)
                self.assertEqual(loose(unhex(cbor)), {0: thing.layout, 1: thing.signature})
                if what == "answer":
                    body = messages.decode("AccountView", fields["body"])
                    self.assertEqual(messages.encode("AccountView", body), fields["body"])
                if what == "admin":
                    order = messages.decode("Order", fields["order"])
                    self.assertEqual(messages.encode("Order", order), fields["order"])
                seen.add(what)
        self.assertEqual(seen, set(layouts.LAYOUTS))

    def test_messages(self):
        seen = set()
        for v in self.each("messages"):
            with self.at(v):
                name, told, cbor = exactly(v, "message", "fields", "cbor")
                self.all_signed(told)
                if name == "Problem":
                    number = told["kind"]
                    means = (told.pop("name"), told.pop("code"), told.pop("passing"))
                    self.assertEqual(means, messages.PROBLEMS[number])
                    self.assertEqual(messages.PROBLEM_NUMBERS[v["name"]], number)
                    seen.add(number)
                if name == "Order":
                    self.assertEqual(messages.ORDER_OPS[told["order"]], v["name"])
                value = messages.MESSAGES[name].value(told)
                self.assertEqual(messages.encode(name, value), unhex(cbor))
                self.assertEqual(messages.decode(name, unhex(cbor)), value)
                self.assertEqual(cbor2.dumps(loose(unhex(cbor)), canonical=True), unhex(cbor))
                if name == "DoubleSpendView":
                    both = ((value["paid_to"], value["paid_grant"]), (value["key"]["payee"], value["grant"]))
                    for payee, grant in both:
                        signed = rules.grant_layout(vectors_broker(), value["key"] | grant | {"payee": payee})
                        self.assertEqual(vectors.signer(vectors.ALICE_SEED).sign(signed), grant["signature"])
                seen.add(name)
        expected = {name for name in messages.MESSAGES if not name.startswith(("signed ", "Page<"))}
        self.assertEqual(seen, expected | set(messages.PROBLEMS) | {"Page<AccountView>"})

    def test_sealing(self):
        for v in self.each("sealing"):
            with self.at(v):
                if v["opens"]:
                    self.sealed_and_opens(v)
                else:
                    _, secret, aad, layout, wrapped, ciphertext = exactly(
                        v, "opens", "private_key_pkcs8", "additional_data", "layout", "wrapped_key", "ciphertext")
                    fields = layouts.decode("sealed-paywords", unhex(layout))
                    self.assertEqual(layouts.encode("sealed-paywords", fields), unhex(layout))
                    self.assertEqual((fields["wrapped_key"], fields["ciphertext"]), (unhex(wrapped), unhex(ciphertext)))
                    self.assertEqual(sealing.additional_data(fields | self.meant(v["name"], aad)), unhex(aad))
                    with self.assertRaises(sealing.DoesNotOpen):
                        sealing.open_sealed(load_der_private_key(unhex(secret), None), fields, unhex(aad))

    def meant(self, name, aad):
        """Whose sealing the opener takes it for, where that is another purchase's than the layout tells."""
        told = unhex(aad)
        return {"another request": {"request": told[-16:]}, "another payer": {"payer": told[-32:-16]}}.get(name, {})

    def sealed_and_opens(self, v):
        """A sealing with all its secrets: made again, and opened."""
        _, secret, public, fresh, seed, nonce, aad, plain, words, sealed = exactly(
            v, "opens", "private_key_pkcs8", "public_key_spki", "fresh_key", "oaep_seed", "nonce", "additional_data",
            "plaintext", "words", "sealed")
        private = load_der_private_key(unhex(secret), None)
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.assertEqual(spki, unhex(public))
        self.assertTrue(rules.sealing_key_registrable(spki))
        pairs = [(unhex(word["ecoin"]), unhex(word["last_word"])) for word in words]
        self.assertTrue(all(set(word) == {"ecoin", "last_word"} for word in words))
        self.assertEqual(sealing.plaintext_of(pairs), unhex(plain))
        self.assertEqual(sealing.NONCE, unhex(nonce))
        _, fields = self.signed(sealed)
        self.assertEqual(sealing.additional_data(fields), unhex(aad))
        numbers = private.public_key().public_numbers()
        self.assertEqual(sealing.wrap(numbers, unhex(fresh), unhex(seed)), fields["wrapped_key"])
        self.assertEqual(sealing.encrypt(unhex(fresh), fields, pairs), fields["ciphertext"])
        self.assertEqual(sealing.open_sealed(private, fields, unhex(aad)), pairs)

    def test_zip215(self):
        small = self.small_order_points()
        for v in self.each("zip215"):
            with self.at(v):
                if v["check"] == "verify":
                    _, key, message, signature, good = exactly(v, "check", "key", "message", "signature", "good")
                    last = b"6" if v["name"] == "other message" else b"5"
                    self.assertEqual(unhex(message), b"p2p-netpay zip21" + last)
                    self.forged_as_told(v["name"], unhex(key), unhex(signature), small)
                    self.assertIs(zip215.verify(unhex(key), unhex(message), unhex(signature)), good)
                else:
                    check, key, good = exactly(v, "check", "key", "good")
                    self.assertEqual(check, "registrable")
                    self.assertEqual(unhex(key), self.key_told(v["name"], small))
                    self.assertIs(zip215.registrable(unhex(key)), good)

    def small_order_points(self):
        """The 14 encodings of points of small order: multiples of one of order 8, then those that are not canonical."""
        told = {v["name"]: v for v in vectors.load("zip215")}
        generator = zip215.decode_point(unhex(told["small order 1"]["key"]))
        point, found = zip215.IDENTITY, []
        for _ in range(8):
            found.append(zip215.encode_point(point))
            point = zip215.add(point, generator)
        self.assertTrue(zip215.is_identity(point))
        self.assertEqual(len(set(found)), 8)
        sign = 1 << 255
        others = (zip215.P, zip215.P | sign, zip215.P + 1, (zip215.P + 1) | sign, 1 | sign, (zip215.P - 1) | sign)
        return found + [number.to_bytes(32, "little") for number in others]

    def forged_as_told(self, name, key, signature, small):
        """That a signature to be refused, or of small order, is what its name tells; others verify only as they are."""
        alice, bob = vectors.signer(vectors.ALICE_SEED), vectors.signer(vectors.BOB_SEED)
        plain = alice.sign(b"p2p-netpay zip215")
        s = int.from_bytes(plain[32:], "little")
        off_curve, words = b"\2" + bytes(31), name.split()
        if name.startswith("small order"):
            self.assertEqual((key, signature), (small[int(words[3])], small[int(words[5])] + bytes(32)))
            return
        told = {
            "plain": (alice.key, plain), "other message": (alice.key, plain), "other key": (bob.key, plain),
            "s + order": (alice.key, plain[:32] + (s + zip215.ORDER).to_bytes(32, "little")),
            "high bits of s": (alice.key, plain[:63] + bytes([plain[63] | 0xE0])),
            "changed R": (alice.key, bytes([plain[0] ^ 1]) + plain[1:]),
            "R off the curve": (alice.key, off_curve + plain[32:]), "A off the curve": (off_curve, plain),
        }
        self.assertEqual((key, signature), told.get(name, (key, signature)))
        self.assertTrue(name in told or name == "by the equation" or words[:3] == [words[0], "with", "torsion"])

    def key_told(self, name, small):
        """The key that its name tells."""
        alice = vectors.signer(vectors.ALICE_SEED).key
        words = name.split()
        if words[0] in ("small", "with"):
            torsion = small[int(words[2])]
            mixed = zip215.add(zip215.decode_point(alice), zip215.decode_point(torsion))
            return torsion if words[0] == "small" else zip215.encode_point(mixed)
        return {
            "sound": alice, "bob": vectors.signer(vectors.BOB_SEED).key, "root": vectors.signer(vectors.ROOT_SEED).key,
            "off the curve": b"\2" + bytes(31), "not canonical": (zip215.P + 3).to_bytes(32, "little"),
        }[name]

    def test_quotes(self):
        for v in self.each("quotes"):
            with self.at(v):
                if v["check"] == "due":
                    _, first, count, price, due = exactly(
                        v, "check", "first_chunk", "chunk_count", "price_units", "due_units")
                    self.assertEqual((first, count, price), STRETCHES[v["name"]])
                    chunks = range(first, first + count)
                    self.assertEqual([rules.due_units(first, count, price, chunk) for chunk in chunks], due)
                elif v["check"] == "part":
                    _, price, count, chunks, part = exactly(
                        v, "check", "price_units", "chunk_count", "chunks", "part_units")
                    self.assertEqual(v["name"], f"{count} of {chunks}")
                    self.assertIn((price, count, chunks), PARTS)
                    self.assertEqual(rules.part_units(price, count, chunks), part)
                else:
                    check, price, unit, words = exactly(v, "check", "price_units", "unit_value", "words")
                    self.assertEqual((check, v["name"]), ("words", f"{price} in words of {unit}"))
                    self.assertEqual(rules.words_for(price, unit), words)

    def test_content(self):
        for v in self.each("content"):
            with self.at(v):
                size, content, slices = exactly(v, "size_bytes", "content", "slices")
                held = blake3_slices.Content(bytes(j % 251 for j in range(size)))
                self.assertEqual(held.id, unhex(content))
                self.assertEqual([piece["index"] for piece in slices], list(range(held.chunks)))
                for piece in slices:
                    self.slice_of(held, piece)

    def slice_of(self, held, told):
        """One slice: made again, proves its chunk, and proves nothing once it is altered."""
        self.assertEqual(set(told), {"index", "pairs", "chunk_length", "slice_length", "slice_blake3"})
        index = told["index"]
        piece = held.slice(index)
        self.assertEqual([pair.hex() for pair in held.pairs(index)], told["pairs"])
        self.assertEqual((len(held.chunk(index)), len(piece)), (told["chunk_length"], told["slice_length"]))
        self.assertEqual(blake3_slices.blake3(piece).hex(), told["slice_blake3"])
        self.assertEqual(blake3_slices.check_slice(held.id, held.size, index, piece), held.chunk(index))
        changed = bytearray(piece)
        changed[len(piece) // 2] ^= 1
        for wrong in (bytes(changed), piece[:-1], piece + b"\0", b""):
            self.assertIsNone(blake3_slices.check_slice(held.id, held.size, index, wrong))

    def test_lists(self):
        for v in self.each("lists"):
            with self.at(v):
                pinned = unhex(v["pinned"])
                self.assertEqual(pinned, vectors_broker())
                self.somebody_signed(v["cbor"], "signed revoked" if v["check"] == "revoked" else "SignedKeyList")
                if v["check"] == "key_list":
                    _, _, cbor, good = exactly(v, "check", "pinned", "cbor", "good")
                    value = messages.decode("SignedKeyList", unhex(cbor))
                    self.assertIs(rules.believed_keys(pinned, value) is not None, good)
                elif v["check"] == "find":
                    _, _, cbor, kid, purpose, at, good = exactly(
                        v, "check", "pinned", "cbor", "kid", "purpose", "at_ms", "good")
                    keys = rules.believed_keys(pinned, messages.decode("SignedKeyList", unhex(cbor)))
                    self.assertEqual((purpose, at), self.sought(v["name"], keys))
                    found = rules.find_key(keys, unhex(kid), purpose, at)
                    self.assertEqual(found is not None, good)
                    self.assertIn(found, (None, vectors.KIDS[unhex(kid)].key))
                else:
                    check, _, keys, now, cbor, good = exactly(v, "check", "pinned", "keys", "now_ms", "cbor", "good")
                    self.assertEqual(check, "revoked")
                    keys = rules.believed_keys(pinned, messages.decode("SignedKeyList", unhex(keys)))
                    believed = rules.believed_revoked(keys, messages.decode("signed revoked", unhex(cbor)), now)
                    self.assertIs(believed is not None, good)
                    self.ahead_as_told(v["name"], layouts.decode("revoked", messages.decode(
                        "signed revoked", unhex(cbor)).layout)["issued_at_ms"] - now)

    def somebody_signed(self, cbor, name):
        """That one of the vectors' keys signed these very bytes, also where it is the wrong one."""
        value = messages.decode(name, unhex(cbor))
        self.assertEqual(messages.encode(name, value), unhex(cbor))
        roots = [signer.key for signer in EVERYBODY]
        thing = value if isinstance(value, messages.Signed) else value["list"]
        self.assertIn(thing.signature, [signer.sign(thing.layout) for signer in EVERYBODY])
        self.assertTrue(isinstance(value, messages.Signed) or value["root"] in roots)

    def ahead_as_told(self, name, ahead):
        """That a revocation list is as far ahead of the clock as its name tells."""
        told = {"5 minutes ahead": rules.CLOCK_MS, "5 minutes and a ms ahead": rules.CLOCK_MS + 1}.get(name)
        self.assertTrue(ahead == told if told else ahead <= 0, ahead)

    def sought(self, name, keys):
        """The purpose and the time that a search's name tells."""
        entry = keys["keys"][0]
        first, last = entry["not_before_ms"], entry["not_after_ms"]
        times = {"on its first ms": first, "a ms before": first - 1, "on its last ms": last, "a ms after": last + 1}
        return 2 if name == "other purpose" else 1, times.get(name, keys["issued_at_ms"])

    def test_evidence(self):
        """Page 27: what two grants prove of a payer, to who trusts nobody."""
        for told in self.each("evidence"):
            error = told["error"]
            if error == "none":
                pinned, data, _, *proven = exactly(
                    told, "pinned", "cbor", "error", "payer", "ecoin", "first", "second", "from", "through")
                names = ("payer", "ecoin", "first", "second")
                expected = dict(zip(names, map(unhex, proven))) | {"from": proven[4], "through": proven[5]}
            else:
                pinned, data, expected = exactly(told, "pinned", "cbor", "error")
            self.assertEqual(evidence.verify(unhex(pinned), unhex(data)), expected, told["name"])

    def test_grants(self):
        for v in self.each("grants"):
            with self.at(v):
                start, to, through, n, covered = exactly(v, "from", "to", "through", "n", "covered")
                self.assertEqual(v["name"], f"{start}..{to} through {through} of {n}")
                self.assertIs(rules.covers(start, to, through, n), covered)

    def test_accepting(self):
        rows = set()
        for v in self.each("accepting"):
            with self.at(v):
                exactly(v, *ACCEPTING)
                own = till.Till(unhex(v["pinned"]), unhex(v["me"]), self.policy_told(v["policy"]))
                own.restored, own.locked_through_ms = v["restored"], v["locked_through_ms"]
                self.lists_told(own, v["keys"], v["revoked"], v["now_ms"])
                digest = self.order_told(own, v["order"])
                if v["held"] is not None:
                    self.ecoin_told(own, v["held"])
                sender, pay, row, paid, problem = unhex(v["sender"]), unhex(v["pay"]), *(
                    v[name] for name in ("check", "paid_units", "problem"))
                self.assertEqual(pay, told_payments.made(v["name"], digest, own.broker))
                self.assertEqual(told_payments.surroundings(v["name"], v["held"] is not None), self.surroundings_of(v))
                own.restored |= row == 3  # check 4 is not reached
                answer = self.answer(own, sender, pay, v["now_ms"])
                self.assertEqual(answer, (paid, problem, row if problem else None))
                if paid is not None:
                    self.assertEqual(self.answer(own, sender, pay, v["now_ms"]), answer, "again")
                rows.add(row)
        self.assertEqual(rows, set(range(1, 28)))

    def surroundings_of(self, v):
        """What a vector tells besides the payment, the lists and the e-coin."""
        told = {name: v[name] for name in ("policy", "now_ms", "restored", "locked_through_ms", "sender")}
        claims = v["held"]["claims"] if v["held"] else []
        return told | {
            "asker": v["order"]["asker"], "paid_units": v["order"]["paid_units"],
            "claims": [tuple(c[name] for name in ("from", "to", "through", "conflicting", "lost")) for c in claims],
        }

    def policy_told(self, told):
        """A payee's policy, no field of it left to a default."""
        self.assertEqual(set(told), {field.name for field in dataclasses.fields(till.Policy)})
        return till.Policy(**told)

    def lists_told(self, own, keys, revoked, now):
        """Has a till learn the lists of a vector; both are the broker's."""
        if keys is not None:
            self.somebody_signed(keys, "SignedKeyList")
            self.assertTrue(own.learn_keys(messages.decode("SignedKeyList", unhex(keys))))
        if revoked is not None:
            self.somebody_signed(revoked, "signed revoked")
            signed = messages.decode("signed revoked", unhex(revoked))
            self.assertIs(own.learn_revoked(signed, now), keys is not None)

    def order_told(self, own, told):
        """Has a till know an order; returns its digest."""
        self.assertEqual(set(told), {"quote", "asker", "paid_units"})
        signed, quote = self.signed(told["quote"])
        self.assertEqual((quote["broker"], quote["payee"]), (own.broker, own.peer))
        digest = layouts.digest(signed.layout)
        own.orders[digest] = till.Order(quote, unhex(told["asker"]), told["paid_units"])
        return digest

    def ecoin_told(self, own, told):
        """Has a till know an e-coin and its claims; the words and the grants are what they should be."""
        self.assertEqual(set(told), {"touchstone", "highest", "highest_word", "claims"})
        signed, stone = self.signed(told["touchstone"])
        _, words = chains.chain_from_master(MASTER, stone["suite"], stone["n"], stone["ecoin"])
        self.assertEqual((stone["root"], unhex(told["highest_word"])), (words[0], words[told["highest"]]))
        ecoin = own.ecoins[stone["ecoin"]] = till.Ecoin(signed, stone, told["highest"], unhex(told["highest_word"]))
        for claim in told["claims"]:
            self.assertEqual(set(claim), {
                "from", "to", "order", "signature", "through", "word", "conflicting", "lost"})
            start, through, word, order = claim["from"], claim["through"], unhex(claim["word"]), unhex(claim["order"])
            index = {"broker": stone["broker"], "ecoin": stone["ecoin"], "from": start, "to": claim["to"],
                     "payee": own.peer, "order": order}
            layout, signature = layouts.encode("index", index), unhex(claim["signature"])
            self.assertTrue(zip215.verify(stone["payer_key"], layout, signature))
            self.assertEqual(vectors.signer(vectors.ALICE_SEED).sign(layout), signature)
            self.assertEqual(word, words[through])
            self.assertIn(order, own.orders)
            self.assertIn(claim["lost"], (None, rules.INVALID, rules.UNAUTHORISED, rules.EXPIRED))
            ecoin.grants[start] = till.Grant(messages.Signed(layout, signature), index, through, word,
                                             lost=claim["lost"] is not None)
            ecoin.accepted |= set(range(start, through + 1))
            if claim["conflicting"] > 0:
                own.cheats.add(stone["payer"])
        self.assertEqual(told["highest"], max(ecoin.accepted))

    def answer(self, own, sender, data, now):
        """What a till answers: the sum, the problem and the row of page 12; a refusal changes nothing."""
        before = copy.deepcopy((own.orders, own.ecoins, own.cheats))
        try:
            return own.accept(sender, messages.decode("Pay", data), now), None, None
        except messages.MessageError:
            name, row = "malformed", 1
        except till.Problem as problem:
            name, row = problem.name, problem.row
        self.assertEqual((own.orders, own.ecoins, own.cheats), before)
        return None, name, row

    def test_tickets(self):
        told = {v["name"]: v for v in vectors.load("tickets")}
        good = {name for name, v in told.items() if v["error"] == "none"}
        self.assertEqual(good, {"bare", "full", "name alone", "free"})
        broken = tickets.broken({name: unhex(told["bare"][name]) for name in ("content", "supplier")} | dict.fromkeys(
            ("size_bytes", "price_units", "file_name")))
        self.assertEqual(set(broken), set(told) - good)
        for v in self.each("tickets"):
            with self.at(v):
                if v["error"] == "none":
                    self.ticket_both_ways(v)
                    continue
                text, error = exactly(v, "text", "error")
                self.assertEqual(text, broken[v["name"]])
                with self.assertRaises(tickets.TicketError) as caught:
                    tickets.read(text)
                self.assertEqual(caught.exception.kind, error)
        self.assertEqual({v["error"] for v in told.values()}, {"none"} | set(tickets.ERRORS))

    def ticket_both_ways(self, v):
        """A good ticket: from the text to the fields and back; no letter of it may change."""
        content, supplier, size, price, name, body, checksum, text, _ = exactly(
            v, "content", "supplier", "size_bytes", "price_units", "file_name", "bytes", "checksum", "text", "error")
        fields = {"content": unhex(content), "supplier": unhex(supplier), "size_bytes": size, "price_units": price,
                  "file_name": name}
        self.assertEqual(tickets.body(fields), unhex(body))
        self.assertEqual(tickets.checksum(unhex(body)), unhex(checksum))
        self.assertEqual(tickets.write(fields), text)
        self.assertEqual(tickets.read(text), fields)
        self.assertIn(unhex(supplier), vectors.PEERS)
        for place, letter in enumerate(text):
            changed = text[:place] + ("b" if letter == "a" else "a") + text[place + 1:]
            with self.assertRaises(tickets.TicketError) as caught:
                tickets.read(changed)
            self.assertEqual(caught.exception.kind, "prefix" if place < len(tickets.PREFIX) else "damaged")

    def test_registrations(self):
        for v in self.each("registrations"):
            with self.at(v):
                broker, cbor, peer, error = exactly(v, "broker", "cbor", "peer", "error")
                signed = messages.decode("signed register", unhex(cbor))
                self.assertEqual(messages.encode("signed register", signed), unhex(cbor))
                self.assertEqual(unhex(broker), vectors_broker())
                self.assertEqual(signed, self.registration_told(v["name"]))
                self.assertEqual(rules.registration_error(unhex(broker), signed) or "none", error)
                key = layouts.decode("register", signed.layout)["signing_key"]
                self.assertEqual(chains.peer_id(key).hex() if error == "none" else None, peer)

    def registration_told(self, name):
        """The registration that a name tells: the good one with a change, signed by alice or by another."""
        layout = unhex(next(v["layout"] for v in vectors.load("layouts") if v["name"] == "register"))
        good = layouts.decode("register", layout)
        der, alice = good["sealing_key"], vectors.signer(vectors.ALICE_SEED)
        change = {
            "good": {}, "another broker": {"broker": b"\x09" * 16}, "another signer": {},
            "identity as key": {"signing_key": b"\1" + bytes(31)}, "shared key": {"nkey": good["signing_key"]},
            "no RSA key": {"sealing_key": bytes(10)}, "RSA key cut": {"sealing_key": der[:-1]},
            "RSA key with more": {"sealing_key": der + b"\0"}, "another exponent": {"sealing_key": der[:-1] + b"\3"},
        }[name]
        layout = layouts.encode("register", good | change)
        signer = vectors.signer(vectors.BOB_SEED) if name == "another signer" else alice
        return messages.Signed(layout, signer.sign(layout))

    def test_certificates(self):
        alice, again = (vectors.signer(seed) for seed in (vectors.ALICE_SEED, vectors.ALICE_AGAIN_SEED))
        for v in self.each("certificates"):
            with self.at(v):
                if v["check"] == "rotation":
                    _, cbor, error = exactly(v, "check", "cbor", "error")
                    rotate = messages.decode("Rotate", unhex(cbor))
                    self.assertEqual(messages.encode("Rotate", rotate), unhex(cbor))
                    self.assertEqual(alice.sign(rotate["order"].layout), rotate["order"].signature)
                    self.assertEqual(rules.rotation_error(rotate) or "none", error)
                    continue
                check, pinned, peer, keys, cbor, error = exactly(
                    v, "check", "pinned", "peer", "keys", "cbor", "error")
                self.assertEqual((check, unhex(pinned)), ("certificate", vectors_broker()))
                keys = rules.believed_keys(unhex(pinned), messages.decode("SignedKeyList", unhex(keys)))
                signed = messages.decode("signed certificate", unhex(cbor))
                self.somebody_signed(cbor, "signed certificate")
                self.assertEqual(rules.certificate_error(keys, unhex(peer), signed) or "none", error)
                told = layouts.decode("certificate", signed.layout)
                self.assertEqual((told["signing_key"], told["given_up"]), (again.key, 1))

    def test_verdicts(self):
        seen = set()
        for v in self.each("verdicts"):
            with self.at(v):
                payee, touchstone, refunded, paid, claim, line = exactly(
                    v, "payee", "touchstone", "refunded", "paid", "claim", "line")
                self.assertEqual(set(claim), {"index", "through", "word"})
                stone = None if touchstone is None else self.signed(touchstone)[1]
                grant, index = self.signed(claim["index"], genuine=False)
                self.assertEqual(grant.signature, self.grant_told(v["name"], index))
                suite = stone["suite"] if stone else chains.SHA256
                self.assertEqual(unhex(claim["word"]), self.word_told(v["name"], suite, claim["through"]))
                own = index | {"signature": grant.signature, "through": claim["through"], "word": unhex(claim["word"])}
                before = {}
                for run in paid:
                    self.assertEqual(set(run), {"from", "through", "payee"})
                    before |= dict.fromkeys(range(run["from"], run["through"] + 1), unhex(run["payee"]))
                result, _ = rules.line_of(index["broker"], unhex(payee), stone, refunded, before, own)
                self.assertEqual(result | {"name": rules.VERDICTS[result["verdict"]]}, line)
                seen.add(result["verdict"])
        self.assertEqual(seen, set(rules.VERDICTS))

    def grant_told(self, name, index):
        """The signature that a claim's name tells: the payer's over its grant, or the wrong one."""
        bob = vectors.signer(vectors.BOB_SEED)
        change = {
            "altered grant": {"to": 6}, "grant for another broker": {"broker": b"\x09" * 16},
            "not authorised, wrong word": {"payee": chains.peer_id(bob.key)},
        }.get(name, {})
        signer = bob if name in ("not the payer's signature", "bad range and bad signature") else vectors.signer(
            vectors.ALICE_SEED)
        return signer.sign(layouts.encode("index", index | change))

    def word_told(self, name, suite, through):
        """The word that a claim's name tells: that of the broker's chain of 50, or a wrong one."""
        _, words = chains.chain_from_master(MASTER, suite, 50, ECOIN)
        if name == "md5 padding":
            return words[through][:16] + b"\1" + bytes(15)
        if "wrong word" in name:
            return bytes(32)
        return words[through - 1 if name == "a lower word" else through]

    def test_statements(self):
        for v in self.each("statements"):
            with self.at(v):
                batch, digest, statement, told, error = exactly(
                    v, "batch", "batch_digest", "statement", "fields", "error")
                fields = fields_of("statement", told)
                self.assertEqual(layouts.encode("statement", fields), unhex(statement))
                self.assertEqual(layouts.decode("statement", unhex(statement)), fields)
                claims = layouts.decode("batch", unhex(batch))
                self.assertEqual(layouts.encode("batch", claims), unhex(batch))
                self.assertEqual(layouts.digest(unhex(batch)), unhex(digest))
                self.assertEqual(rules.statement_error(claims, unhex(digest), fields) or "none", error)

    def test_subjects(self):
        alice, bob = (chains.peer_id(vectors.signer(byte).key) for byte in (vectors.ALICE_SEED, vectors.BOB_SEED))
        own = {
            "register": rules.REGISTER, "notice keys": rules.NOTICE_KEYS, "notice revoked": rules.NOTICE_REVOKED,
            "a peer listens": rules.listens(bob), "inbox redeem": rules.to_inbox(alice),
        }
        seen = set()
        for v in self.each("subjects"):
            with self.at(v):
                [subject] = exactly(v, "subject")
                seen.add(v["name"])
                kind, _, op = v["name"].partition(" ")
                made = {
                    "broker": rules.to_broker(alice, op), "peer": rules.to_peer(bob, alice, op),
                    "index": rules.to_index(alice, op), "admin": rules.to_admin(op),
                }
                self.assertEqual(own.get(v["name"]) or made[kind], subject)
        ops = {"broker": "buy redeem balance statement restore payout keys notices rotate",
               "peer": "quote pay chunk close certificate",
               "index": "announce withdraw search certify", "admin": "credit"}
        listed = {f"{kind} {op}" for kind, names in ops.items() for op in names.split()}
        self.assertEqual(seen, listed | set(own))

    def test_malformed(self):
        told, broken, errors = {}, {}, set()
        for v in self.each("malformed"):
            with self.at(v):
                names = ("form", "what", "bytes", "error") + (("zero_bytes",) if "zero_bytes" in v else ())
                form, what, data, error, *zeros = exactly(v, *names)
                self.assertTrue(not zeros or data == "")
                data = bytes(*zeros) if zeros else unhex(data)
                decode, kind = {
                    "layout": (layouts.decode, layouts.LayoutError),
                    "message": (messages.decode, messages.MessageError),
                }[form]
                with self.assertRaises(kind) as caught:
                    decode(what, data)
                self.assertEqual(caught.exception.kind, error)
                told.setdefault((form, what), []).append((v["name"].partition(": ")[2], data))
                if form == "message":
                    broken[v["name"]] = data
                    self.assertEqual(v["name"].partition(":")[0], "any" if zeros else what)
                errors.add(error)
        self.assertEqual(errors, {"tag", "truncated", "too_long", "value", "trailing", "too_large", "shape",
                                  "not_canonical"})
        for what in layouts.LAYOUTS:
            self.made_from_good_ones(what, told["layout", what])

        good = {v["name"]: unhex(v["cbor"]) for v in vectors.load("messages")}
        content = messages.decode("AskQuote", good["ask for a quote of the whole"])["content"]
        own = malformed_edits.broken_messages(
            content, messages.decode("Buy", good["buy"])["buy"], vectors.signer(vectors.ALICE_SEED).sign)
        self.assertEqual(set(broken), set(own))
        for name, data in broken.items():
            with self.subTest(vector=name):
                self.assertEqual(data.hex(), own[name].hex())

    def made_from_good_ones(self, what, told):
        """Every malformed layout is the good one with the edit that its name tells, and no edit is missing."""
        good = dict(told)["trailing"][:-1]
        fields, tag = layouts.decode(what, good), layouts.tag(what)
        self.assertEqual(layouts.encode(what, fields), good)
        self.assertEqual([data for _, data in told[:5]], [
            b"", tag, good[:-1], good + b"\0", tag.replace(b"/v1/", b"/v2/") + good[len(tag):]])
        if what == "touchstone":  # these are made from a sha256 one
            good = unhex(next(v["layout"] for v in vectors.load("layouts") if v["name"] == "touchstone sha256"))
        edits = malformed_edits.edits(what, fields)
        self.assertCountEqual([name for name, _ in told[5:]], edits)
        for name, data in told[5:]:
            with self.subTest(vector=f"{what}: {name}"):
                self.assertEqual(data, malformed_edits.edited(what, good, edits[name]))

    def test_paper(self):
        told = {}
        for v in self.each("paper"):
            told[v["name"].rpartition(" (")[0]] = v
        self.assertEqual(set(told), {"the e-coin", "SP1 is paid", "SP2 is paid", "SP1 redeems", "SP2 redeems"})
        ecoin, chain, touchstone, again = exactly(
            told["the e-coin"], "ecoin", "chain", "touchstone", "touchstone_fields")
        signed_stone, stone = self.signed(touchstone)
        self.assertEqual(fields_of("touchstone", again), stone)
        self.assertEqual([word["i"] for word in chain], list(range(51)))
        words = [chains.pad(unhex(word["paper"])) for word in chain]
        for i in range(50, 0, -1):
            self.assertEqual(chains.step(chains.MD5, b"", i, words[i]), words[i - 1])
        self.assertEqual((stone["ecoin"], stone["suite"], stone["root"], stone["n"], stone["unit_value"]),
                         (unhex(ecoin), chains.MD5, words[0], 50, 1))
        paid, spent = {}, 1
        for name in ("SP1", "SP2"):
            spent = self.paper_payment(told[f"{name} is paid"], signed_stone, stone, words, spent)
        self.assertEqual(spent, 6)
        for name in ("SP1", "SP2"):
            self.paper_redemption(told[f"{name} redeems"], told[f"{name} is paid"], stone, words, paid)
        self.assertEqual(sorted(paid), [1, 2, 3, 4, 5])

    def paper_payment(self, told, signed_stone, stone, words, start):
        """One of the paper's payments: grant, words and the two forms of the message. Returns the next index."""
        payee, index, listed, price, after, pay_listed, pay_last = exactly(
            told, "payee", "index", "words", "price_words", "next_unspent_index", "pay_listed", "pay_last_word_only")
        grant, fields = self.signed(index)
        self.assertEqual(fields, {"broker": stone["broker"], "ecoin": stone["ecoin"], "from": start, "to": after,
                                  "payee": unhex(payee), "order": bytes(32)})
        self.assertEqual((len(listed), after - start), (price, price))
        run = range(start, after)
        self.assertEqual([(word["i"], unhex(word["word"]), chains.pad(unhex(word["paper"]))) for word in listed],
                         [(i, words[i], words[i]) for i in run])
        for told_bytes, revealed in ((pay_listed, [words[i] for i in run]), (pay_last, [words[after - 1]])):
            payment = {"form": 1, "touchstone": signed_stone, "index": grant,
                       "revealed": {"through": after - 1, "words": revealed}}
            pay = {"order": bytes(32), "payment": payment}
            self.assertEqual(messages.encode("Pay", pay), unhex(told_bytes))
            self.assertEqual(messages.decode("Pay", unhex(told_bytes)), pay)
        return after

    def paper_redemption(self, told, payment, stone, words, paid):
        """One of the paper's redemptions: the claim, the broker's line on it, the statement."""
        batch, statement = exactly(told, "batch", "statement")
        signed_batch, claims = self.signed(batch)
        _, answer = self.signed(statement)
        grant, index = self.signed(payment["index"])
        through = index["to"] - 1
        claim = {name: index[name] for name in ("ecoin", "from", "to", "payee", "order")}
        claim |= {"signature": grant.signature, "through": through, "word": words[through]}
        self.assertEqual(claims["claims"], [claim])
        self.assertEqual((claims["broker"], claims["payee"]), (stone["broker"], index["payee"]))
        line, credited = rules.line_of(claims["broker"], claims["payee"], stone, False, paid, claim)
        paid |= dict.fromkeys(credited, claims["payee"])
        self.assertEqual(answer["lines"], [line])
        self.assertEqual((line["verdict"], line["credited"]), (rules.CREDITED, payment["price_words"]))
        self.assertEqual(answer["balance_units"], line["credited"] * stone["unit_value"])
        self.assertIsNone(rules.statement_error(claims, layouts.digest(signed_batch.layout), answer))


def vectors_broker():
    """The vectors' broker."""
    return chains.broker_id(vectors.signer(vectors.ROOT_SEED).key)


if __name__ == "__main__":
    unittest.main()
