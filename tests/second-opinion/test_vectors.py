"""Derives every known answer again, from the pages of the specification alone.

One test per file of vectors; each prints how many it checked. A file, a kind of vector or a field that is not known
here fails.
"""

import collections
import unittest

import cbor2
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

import blake3_slices
import chains
import ed25519_zip215 as zip215
import layouts
import messages
import rules
import sealing
import vectors
from vectors import exactly

unhex = bytes.fromhex


def fields_of(what, told):
    """Field values of a layout as the vectors tell them."""
    return layouts.LAYOUTS[what].value(told)


def loose(data):
    """What another CBOR library makes of bytes."""
    return cbor2.loads(data)


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
                self.assertEqual(chains.step(chains.SUITES[suite], unhex(ecoin), index, unhex(upper)), unhex(lower))

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
                own = chains.leads(chains.SUITES[suite], unhex(ecoin), i, unhex(word), 0, unhex(root))
                self.assertIs(own, reaches)

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
        for v in self.each("zip215"):
            with self.at(v):
                if v["check"] == "verify":
                    _, key, message, signature, good = exactly(v, "check", "key", "message", "signature", "good")
                    self.assertIs(zip215.verify(unhex(key), unhex(message), unhex(signature)), good)
                else:
                    check, key, good = exactly(v, "check", "key", "good")
                    self.assertEqual(check, "registrable")
                    self.assertIs(zip215.registrable(unhex(key)), good)

    def test_quotes(self):
        for v in self.each("quotes"):
            with self.at(v):
                if v["check"] == "due":
                    _, first, count, price, due = exactly(
                        v, "check", "first_chunk", "chunk_count", "price_units", "due_units")
                    chunks = range(first, first + count)
                    self.assertEqual([rules.due_units(first, count, price, chunk) for chunk in chunks], due)
                elif v["check"] == "part":
                    _, price, count, chunks, part = exactly(
                        v, "check", "price_units", "chunk_count", "chunks", "part_units")
                    self.assertEqual(rules.part_units(price, count, chunks), part)
                else:
                    check, price, unit, words = exactly(v, "check", "price_units", "unit_value", "words")
                    self.assertEqual(check, "words")
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
                if v["check"] == "key_list":
                    _, _, cbor, good = exactly(v, "check", "pinned", "cbor", "good")
                    value = messages.decode("SignedKeyList", unhex(cbor))
                    self.assertIs(rules.believed_keys(pinned, value) is not None, good)
                elif v["check"] == "find":
                    _, _, cbor, kid, purpose, at, good = exactly(
                        v, "check", "pinned", "cbor", "kid", "purpose", "at_ms", "good")
                    keys = rules.believed_keys(pinned, messages.decode("SignedKeyList", unhex(cbor)))
                    found = rules.find_key(keys, unhex(kid), purpose, at)
                    self.assertEqual(found is not None, good)
                    self.assertIn(found, (None, vectors.KIDS[unhex(kid)].key))
                else:
                    check, _, keys, cbor, good = exactly(v, "check", "pinned", "keys", "cbor", "good")
                    self.assertEqual(check, "revoked")
                    keys = rules.believed_keys(pinned, messages.decode("SignedKeyList", unhex(keys)))
                    believed = rules.believed_revoked(keys, messages.decode("signed revoked", unhex(cbor)))
                    self.assertIs(believed is not None, good)

    def test_grants(self):
        for v in self.each("grants"):
            with self.at(v):
                start, to, through, n, covered = exactly(v, "from", "to", "through", "n", "covered")
                self.assertIs(rules.covers(start, to, through, n), covered)

    def test_registrations(self):
        for v in self.each("registrations"):
            with self.at(v):
                broker, cbor, peer, error = exactly(v, "broker", "cbor", "peer", "error")
                signed = messages.decode("signed register", unhex(cbor))
                self.assertEqual(messages.encode("signed register", signed), unhex(cbor))
                self.assertEqual(rules.registration_error(unhex(broker), signed) or "none", error)
                key = layouts.decode("register", signed.layout)["signing_key"]
                self.assertEqual(chains.peer_id(key).hex() if error == "none" else None, peer)

    def test_verdicts(self):
        seen = set()
        for v in self.each("verdicts"):
            with self.at(v):
                payee, touchstone, refunded, paid, claim, line = exactly(
                    v, "payee", "touchstone", "refunded", "paid", "claim", "line")
                self.assertEqual(set(claim), {"index", "through", "word"})
                stone = None if touchstone is None else self.signed(touchstone)[1]
                grant, index = self.signed(claim["index"], genuine=False)
                own = index | {"signature": grant.signature, "through": claim["through"], "word": unhex(claim["word"])}
                before = {}
                for run in paid:
                    self.assertEqual(set(run), {"from", "through", "payee"})
                    before |= dict.fromkeys(range(run["from"], run["through"] + 1), unhex(run["payee"]))
                result, _ = rules.line_of(index["broker"], unhex(payee), stone, refunded, before, own)
                self.assertEqual(result | {"name": rules.VERDICTS[result["verdict"]]}, line)
                seen.add(result["verdict"])
        self.assertEqual(seen, set(rules.VERDICTS))

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
            "a peer listens": rules.listens(bob),
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
        ops = {"broker": "buy redeem balance statement restore payout keys notices", "peer": "quote pay chunk close",
               "index": "announce withdraw search", "admin": "credit"}
        listed = {f"{kind} {op}" for kind, names in ops.items() for op in names.split()}
        self.assertEqual(seen, listed | set(own))

    def test_malformed(self):
        by_name, errors = {}, set()
        for v in self.each("malformed"):
            with self.at(v):
                names = ("form", "what", "bytes", "error") + (("zero_bytes",) if "zero_bytes" in v else ())
                form, what, data, error, *zeros = exactly(v, *names)
                data = bytes(*zeros) if zeros else unhex(data)
                decode, kind = {
                    "layout": (layouts.decode, layouts.LayoutError),
                    "message": (messages.decode, messages.MessageError),
                }[form]
                with self.assertRaises(kind) as caught:
                    decode(what, data)
                self.assertEqual(caught.exception.kind, error)
                by_name.setdefault(v["name"], data)
                errors.add(error)
        self.assertEqual(errors, {"tag", "truncated", "too_long", "value", "trailing", "too_large", "shape",
                                  "not_canonical"})
        for what in layouts.LAYOUTS:
            self.derived_from_a_good_one(what, by_name)

    def derived_from_a_good_one(self, what, by_name):
        """The malformed ones that every layout has are a good one, cut, lengthened or under another tag."""
        good = by_name[f"{what}: trailing"][:-1]
        self.assertEqual(layouts.encode(what, layouts.decode(what, good)), good)
        tag = layouts.tag(what)
        self.assertEqual(by_name[f"{what}: nothing"], b"")
        self.assertEqual(by_name[f"{what}: tag alone"], tag)
        self.assertEqual(by_name[f"{what}: cut"], good[:-1])
        self.assertEqual(by_name[f"{what}: version 2"], tag.replace(b"/v1/", b"/v2/") + good[len(tag):])

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
