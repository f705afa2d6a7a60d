"""A small peer: registers, buys, pays for a download, serves a file, redeems (pages 7, 8, 10 to 15, 19, 20).

It keeps its books in memory; what page 20 wants stored before it is sent goes into a journal that is synced to the
disk.
"""

import asyncio
import collections
import json
import os
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
import nats
import nats.errors

import blake3_slices
import chains
import ed25519_zip215 as zip215
import layouts
import messages
import rules
import sealing
from till import Order, Problem, Till, refuse
from vectors import Signer

ANSWER_SECONDS = 10
PAUSES_SECONDS = (0.2, 0.4, 0.8, 0)
QUOTE_MS, QUESTION_MS, ORDER_MS = 600_000, 300_000, 3_600_000
MOST_CONTENT_BYTES = 1 << 60
BEARER = {"kind": 0, "payee": bytes(16)}
NO_ORDER, NO_HEAD = bytes(32), {"position": 0, "hash": bytes(32)}


class NotBelieved(Exception):
    """An answer that does not stand up to its checks."""


def now_ms():
    """The clock."""
    return time.time_ns() // 1_000_000


def believe(condition, what):
    """Refuses an answer unless the condition holds."""
    if not condition:
        raise NotBelieved(what)


class Coin:
    """An e-coin of one's own, with its words and the next unspent position."""

    def __init__(self, signed, fields, last_word):
        self.signed, self.fields, self.next = signed, fields, 1
        self.words = [last_word]
        for position in range(fields["n"], 0, -1):
            self.words.append(chains.step(fields["suite"], fields["ecoin"], position, self.words[-1]))
        self.words.reverse()

    @property
    def left(self):
        """How many words are neither spent nor granted."""
        return self.fields["n"] + 1 - self.next


class Session:
    """A grant of an e-coin: reaching ahead and bound to an order, or for a single payment and not bound."""

    def __init__(self, peer, coin, payee, order, words, bound):
        self.peer, self.coin, self.payee, self.order = peer, coin, payee, order if bound else NO_ORDER
        self.start, self.through, self.shown = coin.next, coin.next - 1, 0
        self.grow(words)

    def grow(self, words):
        """Grants so many words more: the same first word, payee and order, a higher `to`."""
        self.coin.next += words
        self.to = self.coin.next
        self.grant = self.peer.sign("index", {
            "broker": self.peer.broker, "ecoin": self.coin.fields["ecoin"], "from": self.start, "to": self.to,
            "payee": self.payee, "order": self.order,
        })

    def form(self):
        """Which form of payment is enough: 1 first, 2 for a grant that has grown, 3 for words alone."""
        return 1 if self.shown == 0 else 2 if self.shown != self.to else 3

    def payment(self, form, through, listed=False):
        """The payment that reveals the words up to `through`; listed as in the paper, or the last one alone."""
        first = self.start if listed else through
        parts = {"form": form, "revealed": {"through": through, "words": self.coin.words[first:through + 1]}}
        if form == 3:
            return parts | {"ecoin": self.coin.fields["ecoin"], "from": self.start}
        return parts | {"index": self.grant} | ({"touchstone": self.coin.signed} if form == 1 else {})


class Peer:
    """Keys, wallet, till and shelf of one peer."""

    def __init__(self, broker, journal):
        self.broker, self.journal = broker, journal
        self.signer, self.nkey = (Signer(secrets.token_bytes(32)) for _ in range(2))
        self.sealing_key = rsa.generate_private_key(65_537, 2_048)
        self.id = chains.peer_id(self.signer.key)
        self.till = Till(broker, self.id)
        self.wallet, self.known_ecoins, self.shelf = [], set(), {}
        self.forms = collections.Counter()
        self.seen, self.opened, self.redeemed = NO_HEAD, False, set()
        self.bought_units = self.spent_units = self.redeemed_units = 0
        public = self.sealing_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.registration = self.sign("register", {
            "broker": broker, "signing_key": self.signer.key, "sealing_key": public, "nkey": self.nkey.key,
        })

    # --- carrying messages (pages 19, 20) ----------------------------------------------------------------------------

    async def connect(self, url):
        """Goes on line, with an inbox of its own."""
        self.nats = await nats.connect(url, inbox_prefix=f"_INBOX_{self.id.hex()}")

    async def close(self):
        """Goes off line."""
        await self.nats.close()

    def sign(self, what, fields):
        """A signed thing of this peer's."""
        layout = layouts.encode(what, fields)
        return messages.Signed(layout, self.signer.sign(layout))

    def store(self, what, data):
        """Makes something durable before it leaves."""
        self.journal.write(json.dumps({"what": what, "at_ms": now_ms(), "bytes": data.hex()}) + "\n")
        self.journal.flush()
        os.fsync(self.journal.fileno())

    async def ask(self, subject, data, answer):
        """The decoded answer, or a problem; the same bytes go out again while none comes, or a passing one."""
        for pause in PAUSES_SECONDS:
            try:
                reply = await self.nats.request(subject, data, timeout=ANSWER_SECONDS)
                if not (reply.headers and "Nats-Service-Error-Code" in reply.headers):
                    return messages.decode(answer, reply.data)
                body = messages.decode("Problem", reply.data)
                name, code, passing = messages.PROBLEMS[body["kind"]]
                believe(reply.headers.get("Nats-Service-Error") == name, "the problem's name")
                believe(reply.headers["Nats-Service-Error-Code"] == str(code), "the problem's code")
                failure = Problem(name, body["text"])
                if not passing:
                    break
            except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
                failure = error
            await asyncio.sleep(pause)
        raise failure

    def with_registration(self):
        """The registration, as long as no money command has succeeded."""
        return {"register": None if self.opened else self.registration}

    async def believed(self, check, *answer):
        """What a check makes of an answer; one that is not believed is looked at once more under a fresh key list."""
        try:
            return check(*answer)
        except NotBelieved:
            await self.fetch_lists()
            return check(*answer)

    # --- the broker's lists, and registering (pages 6, 7) ------------------------------------------------------------

    async def register(self):
        """Registers, and takes the key list that comes back."""
        data = messages.encode("signed register", self.registration)
        account = await self.ask(rules.REGISTER, data, "Account")
        believe(account["peer"] == self.id, "another peer's account")
        believe(self.till.learn_keys(account["keys"]), "the key list")

    async def fetch_lists(self):
        """Gets the key list and the revocation list."""
        keys = await self.ask(rules.to_broker(self.id, "keys"), b"", "SignedKeyList")
        believe(self.till.learn_keys(keys), "the key list")
        revoked = await self.ask(rules.to_broker(self.id, "notices"), b"", "signed revoked")
        believe(self.till.learn_revoked(revoked, now_ms()), "the revocation list")

    # --- buying (page 8) ---------------------------------------------------------------------------------------------

    def order_ecoins(self, n, count=1, suite=chains.SHA256, unit_value=1):
        """A signed order to buy."""
        return self.sign("buy", {
            "broker": self.broker, "payer": self.id, "request": secrets.token_bytes(16),
            "valid_until_ms": now_ms() + ORDER_MS, "count": count, "n": n, "suite": suite, "unit_value": unit_value,
            "most_debited_units": count * n * unit_value, "guarantee": BEARER,
        })

    async def send_order(self, signed):
        """Carries an order out, however often it was sent before; returns the e-coins that are new."""
        data = messages.encode("Buy", {"buy": signed} | self.with_registration())
        self.store("buy", data)
        sold = await self.ask(rules.to_broker(self.id, "buy"), data, "Sold")
        order = layouts.decode("buy", signed.layout)
        coins = await self.believed(self.check_sold, order, sold)
        self.opened = True
        new = [coin for coin in coins if coin.fields["ecoin"] not in self.known_ecoins]
        self.wallet += new
        self.known_ecoins |= {coin.fields["ecoin"] for coin in new}
        self.bought_units += sum(coin.fields["n"] * coin.fields["unit_value"] for coin in new)
        return new

    def check_sold(self, order, sold):
        """The buyer's checks, in the order of page 8."""
        sealed = layouts.decode("sealed-paywords", sold["sealed"].layout)
        stones, keys = sold["touchstones"], self.till.keys
        fields = [layouts.decode("touchstone", stone.layout) for stone in stones]
        times = [now_ms()] + [first["issued_at_ms"] for first in fields[:1]]
        found = [rules.find_key(keys, sealed["kid"], rules.TOUCHSTONE, at) for at in times]
        key = next((key for key in found if key is not None), None)
        believe(key is not None and zip215.verify(key, *sold["sealed"]), "1: the sealed words")
        same = all(sealed[name] == order[name] for name in ("broker", "payer", "request"))
        believe(same, "2: another purchase")
        try:
            words = sealing.open_sealed(self.sealing_key, sealed, sealing.additional_data(sealed))
        except sealing.DoesNotOpen:
            raise NotBelieved("3: does not open") from None
        believe(len(words) == len(stones) == order["count"], "4: as many as ordered")
        believe(len({ecoin for ecoin, _ in words}) == len(words), "5: an e-coin twice")
        for signed, stone, (ecoin, word) in zip(stones, fields, words):
            good = rules.signed_by_broker(keys, "touchstone", signed, rules.TOUCHSTONE)
            believe(stone["ecoin"] == ecoin and good == stone and stone["broker"] == order["broker"], "5: touchstone")
            terms = all(stone[name] == order[name] for name in ("suite", "n", "unit_value", "guarantee"))
            believe(terms, "5: other terms")
            believe((stone["payer"], stone["payer_key"]) == (self.id, self.signer.key), "5: another payer")
            leads = chains.leads(stone["suite"], ecoin, stone["n"], word, 0, stone["root"])
            believe(leads, "5: the word does not lead to the root")
        price = sum(stone["n"] * stone["unit_value"] for stone in fields)
        believe(price <= order["most_debited_units"], "6: too dear")
        return [Coin(*coin, word) for *coin, (_, word) in zip(stones, fields, words)]

    # --- paying and downloading (pages 10, 11) -----------------------------------------------------------------------

    async def ask_quote(self, payee, content, first=0, count=None):
        """A quote that passed the asker's checks: its digest, its fields, the payee's key and the suites it takes."""
        data = messages.encode("AskQuote", {"content": content, "first_chunk": first, "chunk_count": count})
        quoted = await self.ask(rules.to_peer(payee, self.id, "quote"), data, "Quoted")
        quote = layouts.decode("quote", quoted["quote"].layout)
        believe(chains.peer_id(quoted["key"]) == payee, "another peer's key")
        believe(zip215.verify(quoted["key"], *quoted["quote"]), "the quote's signature")
        believe((quote["payee"], quote["broker"], quote["content"]) == (payee, self.broker, content), "another quote")
        believe(quote["size_bytes"] <= MOST_CONTENT_BYTES and quote["expires_ms"] > now_ms(), "size or time")
        believe(quote["chunk_bytes"] == blake3_slices.CHUNK_BYTES, "chunks of another size")
        rest = blake3_slices.chunk_count(quote["size_bytes"]) - first if count is None else count
        believe((quote["first_chunk"], quote["chunk_count"]) == (first, rest), "another stretch than asked for")
        return layouts.digest(quoted["quote"].layout), quote, quoted["key"], quoted["suites"]

    def choose_coin(self, suites, price, suite=None):
        """An e-coin that the payee takes, that has words enough, and the number of words due."""
        for coin in self.wallet:
            words = rules.words_for(price, coin.fields["unit_value"])
            fits = coin.fields["suite"] in suites and suite in (None, coin.fields["suite"])
            if fits and words <= coin.left and coin.fields["spend_until_ms"] > now_ms():
                return coin, words
        raise ValueError("no e-coin that fits")

    async def pay(self, payee, order, session, through, listed=False):
        """Reveals words up to `through`; returns the units that the payee says were paid towards the order."""
        form = session.form()
        subject = rules.to_peer(payee, self.id, "pay")
        while True:
            payment = session.payment(form, through, listed)
            data = messages.encode("Pay", {"order": order, "payment": payment})
            self.store("pay", data)
            try:
                paid = (await self.ask(subject, data, "Paid"))["paid"]
                break
            except Problem as problem:
                if problem.passing or form == 1:
                    raise
                form = 1
        unit = session.coin.fields["unit_value"]
        self.spent_units += (through - session.through) * unit
        session.through, session.shown = through, session.to
        believe(paid >= (through - session.start + 1) * unit, "less was paid than was sent")
        return paid

    async def chunk(self, payee, order, quote, number):
        """A chunk's bytes, proved by its slice."""
        data = messages.encode("AskChunk", {"order": order, "index": number})
        answer = await self.ask(rules.to_peer(payee, self.id, "chunk"), data, "Chunk")
        piece = blake3_slices.check_slice(quote["content"], quote["size_bytes"], number, answer["slice"])
        believe(piece is not None, "the slice proves nothing")
        return piece

    async def download(self, payee, content, suite=None, at_once=False):
        """A whole file and what was paid: in a session with a grant ahead, or at once with all words listed."""
        order, quote, key, suites = await self.ask_quote(payee, content)
        coin, words = self.choose_coin(suites, quote["price_units"], suite)
        session, parts = Session(self, coin, payee, order, words, bound=not at_once), []
        first, count, price = quote["first_chunk"], quote["chunk_count"], quote["price_units"]
        for number in range(first, first + count):
            due = price if at_once else rules.due_units(first, count, price, number)
            through = session.start + rules.words_for(due, coin.fields["unit_value"]) - 1
            if through > session.through:
                await self.pay(payee, order, session, through, listed=at_once)
            parts.append(await self.chunk(payee, order, quote, number))
        receipt = await self.receipt(payee, order, key)
        paid = (session.through - session.start + 1) * coin.fields["unit_value"]
        believe(receipt["paid_units"] == paid, "the receipt's sum")
        return b"".join(parts), paid

    async def receipt(self, payee, order, key):
        """What the payee says, signed, was paid towards an order."""
        data = messages.encode("AskReceipt", {"order": order})
        signed = await self.ask(rules.to_peer(payee, self.id, "close"), data, "signed receipt")
        fields = layouts.decode("receipt", signed.layout)
        believe(zip215.verify(key, *signed), "the receipt's signature")
        expected = {"broker": self.broker, "payee": payee, "payer": self.id, "order": order}
        believe(expected.items() <= fields.items(), "another receipt")
        return fields

    # --- serving (pages 11, 12) --------------------------------------------------------------------------------------

    def share(self, data, price):
        """Puts content on the shelf; returns its id."""
        content = blake3_slices.Content(data)
        self.shelf[content.id] = (content, price)
        return content.id

    async def serve(self):
        """Answers other peers from now on."""
        await self.nats.subscribe(rules.listens(self.id), cb=self.answer)

    async def answer(self, message):
        """Answers one request of another peer, or is silent if its subject is none of version 1."""
        *_, sender, op = message.subject.split(".")
        handlers = {"quote": self.on_quote, "pay": self.on_pay, "chunk": self.on_chunk, "close": self.on_close}
        try:
            sender = bytes.fromhex(sender)
        except ValueError:
            return
        if op not in handlers or len(sender) != 16 or not message.reply:
            return
        try:
            data, headers = handlers[op](sender, message.data), None
        except (Problem, messages.MessageError) as error:
            problem = error if isinstance(error, Problem) else Problem("malformed", str(error))
            _, code, _ = messages.PROBLEMS[problem.number]
            headers = {"Nats-Service-Error": problem.name, "Nats-Service-Error-Code": str(code)}
            data = messages.encode("Problem", {"kind": problem.number, "text": problem.text})
        await self.nats.publish(message.reply, data, headers=headers)

    def on_quote(self, asker, data):
        """Offers a stretch of chunks."""
        wanted = messages.decode("AskQuote", data)
        refuse(wanted["content"] not in self.shelf, "not_found", "no such content")
        content, price = self.shelf[wanted["content"]]
        first, count = wanted["first_chunk"], wanted["chunk_count"]
        count = content.chunks - first if count is None else count
        fits = count >= 0 and first + count <= content.chunks and (count == 0) == (content.size == 0)
        refuse(not fits, "not_found", "no such chunks")
        quote = {
            "broker": self.broker, "content": content.id, "size_bytes": content.size,
            "chunk_bytes": blake3_slices.CHUNK_BYTES, "first_chunk": first, "chunk_count": count,
            "price_units": rules.part_units(price, count, content.chunks), "payee": self.id,
            "expires_ms": now_ms() + QUOTE_MS, "nonce": secrets.token_bytes(16),
        }
        signed = self.sign("quote", quote)
        self.till.orders[layouts.digest(signed.layout)] = Order(quote, asker)
        suites = list(self.till.policy.suites)
        return messages.encode("Quoted", {"quote": signed, "key": self.signer.key, "suites": suites})

    def on_pay(self, asker, data):
        """Takes a payment."""
        pay = messages.decode("Pay", data)
        paid = self.till.accept(asker, pay, now_ms())
        self.forms[pay["payment"]["form"]] += 1
        self.store("accepted", data)
        return messages.encode("Paid", {"paid": paid})

    def order_of(self, asker, order):
        """An order that was quoted to this asker."""
        held = self.till.orders.get(order)
        refuse(held is None or held.asker != asker, "not_found", "no such order")
        return held

    def on_chunk(self, asker, data):
        """Serves a chunk that is paid for."""
        wanted = messages.decode("AskChunk", data)
        held, number = self.order_of(asker, wanted["order"]), wanted["index"]
        quote = held.quote
        first, count = quote["first_chunk"], quote["chunk_count"]
        refuse(not first <= number < first + count, "not_found", "no such chunk")
        due = rules.due_units(first, count, quote["price_units"], number)
        refuse(held.paid_units < due, "payment_due", f"{due} units in all")
        refuse(quote["content"] not in self.shelf, "not_found", "the content is gone")
        return messages.encode("Chunk", {"slice": self.shelf[quote["content"]][0].slice(number)})

    def on_close(self, asker, data):
        """Gives a receipt."""
        order = messages.decode("AskReceipt", data)["order"]
        held = self.order_of(asker, order)
        return messages.encode("signed receipt", self.sign("receipt", {
            "broker": self.broker, "payee": self.id, "payer": asker, "order": order, "paid_units": held.paid_units,
            "issued_at_ms": now_ms(),
        }))

    # --- redeeming and asking (pages 13, 14, 15) ---------------------------------------------------------------------

    def batch(self):
        """A signed batch of all claims that are not settled, and the touchstones to send along."""
        claims, stones = self.till.claims()
        return self.sign("batch", {
            "broker": self.broker, "payee": self.id, "request": secrets.token_bytes(16), "seen": self.seen,
            "claims": claims,
        }), stones

    async def redeem(self, signed, stones=()):
        """Has a batch paid; returns the units credited and the statement that says so."""
        data = messages.encode("Redeem", {"batch": signed, "touchstones": list(stones)} | self.with_registration())
        self.store("redeem", data)
        answer = await self.ask(rules.to_broker(self.id, "redeem"), data, "signed statement")
        batch = layouts.decode("batch", signed.layout)
        credited, statement = await self.believed(self.check_statement, batch, layouts.digest(signed.layout), answer)
        self.opened, self.seen = True, statement["head"]
        if batch["request"] not in self.redeemed:
            self.redeemed.add(batch["request"])
            self.redeemed_units += credited
        return credited, statement

    def check_statement(self, batch, digest, answer):
        """The till's checks; a statement that fails them settles nothing."""
        try:
            return self.till.settle(batch, digest, answer)
        except ValueError as error:
            raise NotBelieved(str(error)) from None

    def question(self, number, about=bytes(16)):
        """A signed question about one's own account."""
        return self.sign("query", {
            "broker": self.broker, "peer": self.id, "valid_until_ms": now_ms() + QUESTION_MS,
            "min_position": self.seen["position"], "question": number, "about": about,
        })

    async def ask_broker(self, op, signed, answer="signed answer"):
        """The answer to a question, as it came."""
        data = messages.encode("Ask", {"query": signed} | self.with_registration())
        return await self.ask(rules.to_broker(self.id, op), data, answer)

    def check_answer(self, signed, answer, view):
        """The body of an answer that is the broker's, and about what was asked."""
        fields = rules.signed_by_broker(self.till.keys, "answer", answer, rules.STATEMENT)
        believe(fields is not None, "the answer's signature")
        believe(fields["broker"] == self.broker and fields["about"] == layouts.digest(signed.layout), "another answer")
        try:
            return messages.decode(view, fields["body"])
        except messages.MessageError as error:
            raise NotBelieved(str(error)) from None

    async def balance(self):
        """This peer's account, as the broker tells it."""
        signed = self.question(1)
        answer = await self.ask_broker("balance", signed)
        view = await self.believed(self.check_answer, signed, answer, "AccountView")
        believe(view["peer"] == self.id and view["head"]["position"] >= self.seen["position"], "another account")
        return view

    async def own_ecoins(self):
        """The e-coins of this peer that the broker knows, page after page: id and the runs paid."""
        found, after = {}, bytes(16)
        while True:
            signed = self.question(3, after)
            answer = await self.ask_broker("restore", signed)
            page = await self.believed(self.check_answer, signed, answer, "Page<OwnEcoin>")
            for item in page["items"]:
                stone = layouts.decode("touchstone", item["touchstone"].layout)
                believe(stone["payer"] == self.id and stone["ecoin"] > after, "another's e-coin, or out of order")
                after = stone["ecoin"]
                found[after] = item["paid"]
            if not page["more"]:
                return found
            believe(page["items"], "an empty page before the last")

    async def statement_of(self, request):
        """The statement that the broker keeps on a batch."""
        return await self.ask_broker("statement", self.question(2, request), "signed statement")
