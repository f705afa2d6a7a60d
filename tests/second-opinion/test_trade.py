"""Trades with the real programs: the client of this folder buys, pays, sells and redeems, and the sums must agree.

Python buys from the real broker, downloads from a real `netpay serve` (a session with a grant ahead, then the paper's
way), sells to a real `netpay get` both ways, redeems, and at last compares its own books with the broker's.
"""

import asyncio
import functools
import hashlib
import random
import unittest

import chains
import layouts
import messages
import rules
from client import NO_ORDER, Peer, Session
from programs import World, folder
from till import Problem

SECONDS = 70
DEPOSIT_UNITS = 1_000
BIG, SMALL = random.Random(1).randbytes(700_000), random.Random(2).randbytes(140_000)
BIG_PRICE, SMALL_PRICE = 40, 7
SOLD_PRICE, SOLD_AT_ONCE_PRICE = 25, 9


class Trade(unittest.TestCase):
    """One story, told in order; its figures are printed at the end."""

    def test_trade(self):
        with World() as self.world:
            asyncio.run(asyncio.wait_for(self.trade(), SECONDS))

    async def run_program(self, *words, **options):
        """A program in a thread of its own, while this client goes on answering."""
        return await asyncio.to_thread(functools.partial(self.world.command, *words, **options))

    async def refused(self, name, answer):
        """That a request is answered with this problem."""
        with self.assertRaises(Problem) as caught:
            await answer
        self.assertEqual(caught.exception.name, name)

    async def trade(self):
        """Opens, plays, closes."""
        world = self.world
        world.start_nats()
        self.broker = world.start_broker()
        self.alice, self.bob = world.new_peer("alice", self.broker), world.new_peer("bob", self.broker)
        with (world.dir / "journal").open("w", encoding="utf-8") as journal:
            self.peer = Peer(bytes.fromhex(self.broker), journal)
            for peer in (self.peer.id.hex(), self.alice):
                world.credit(peer, DEPOSIT_UNITS)
            await self.peer.connect(world.url)
            try:
                await self.play()
            finally:
                await self.peer.close()

    async def play(self):
        """The story."""
        await self.buys()
        content = await self.downloads()
        await self.asks_bob_for_what_it_gets_not(content)
        await self.pays_with_a_grant_that_grows(content)
        await self.sells()
        await self.redeems()
        await self.compares()

    async def buys(self):
        """Registers, buys in both suites, and sends an order twice."""
        peer = self.peer
        await peer.register()
        await peer.fetch_lists()
        order = peer.order_ecoins(n=32, count=2, unit_value=2)
        self.assertEqual(len(await peer.send_order(order)), 2)
        self.assertEqual(await peer.send_order(order), [], "the same e-coins came again")
        self.assertEqual(len(await peer.send_order(peer.order_ecoins(n=50, suite=chains.MD5))), 1)
        self.assertEqual(peer.bought_units, 2 * 32 * 2 + 50)
        again = layouts.decode("buy", order.layout) | {"n": 31}
        await self.refused("request_id_reused", peer.send_order(peer.sign("buy", again)))
        await self.refused("insufficient_funds", peer.send_order(peer.order_ecoins(n=4_096)))
        with self.assertRaises(Problem) as caught:
            await peer.ask(rules.to_broker(peer.id, "buy"), b"\xa0", "Sold")
        self.assertEqual(caught.exception.name, "malformed")
        try:
            known = set(await peer.own_ecoins())
            self.assertEqual(known, {coin.fields["ecoin"] for coin in peer.wallet})
        except Problem as problem:
            self.assertEqual(problem.name, "policy")
            print(f"\n  trade: own e-coins are not told: {problem}", end=" ", flush=True)

    async def downloads(self):
        """Two files from a real supplier: as chunks come under a grant that reaches ahead; at once with md5 words."""
        world, peer, bob = self.world, self.peer, bytes.fromhex(self.bob)
        contents = []
        for name, data, price in (("big", BIG, BIG_PRICE), ("small", SMALL, SMALL_PRICE)):
            (world.dir / name).write_bytes(data)
            made = world.command("netpay", "--home", "bob", "share", "add", name, "--price", price)
            contents.append(bytes.fromhex(made["content"]))
        world.start_serving("bob", folder() / "netpay", "--home", "bob", "serve", "--json")
        data, paid = await peer.download(bob, contents[0], suite=chains.SHA256)
        self.assertEqual((hashlib.sha256(data).digest(), paid), (hashlib.sha256(BIG).digest(), BIG_PRICE))
        data, paid = await peer.download(bob, contents[1], suite=chains.MD5, at_once=True)
        self.assertEqual((hashlib.sha256(data).digest(), paid), (hashlib.sha256(SMALL).digest(), SMALL_PRICE))
        self.assertEqual(peer.spent_units, BIG_PRICE + SMALL_PRICE)
        return contents[1]

    async def asks_bob_for_what_it_gets_not(self, content):
        """Unpaid chunks, unknown orders, wrong words; and a payment that is sent twice counts once."""
        peer, bob = self.peer, bytes.fromhex(self.bob)
        order, quote, key, suites = await peer.ask_quote(bob, content, first=1, count=1)
        self.assertEqual(quote["price_units"], rules.part_units(SMALL_PRICE, 1, 2))
        await self.refused("payment_due", peer.chunk(bob, order, quote, 1))
        await self.refused("not_found", peer.chunk(bob, NO_ORDER, quote, 1))
        await self.refused("not_found", peer.chunk(bob, order, quote, 0))
        coin, words = peer.choose_coin(suites, quote["price_units"], chains.SHA256)
        session = Session(peer, coin, bob, order, words, bound=True)
        through = session.start + words - 1
        subject = rules.to_peer(bob, peer.id, "pay")
        wrong = session.payment(1, through)
        wrong["revealed"]["words"] = [bytes(32)]
        wrong_bytes = messages.encode("Pay", {"order": order, "payment": wrong})
        await self.refused("payment_refused", peer.ask(subject, wrong_bytes, "Paid"))
        await self.refused("payment_refused", peer.ask(subject, messages.encode(
            "Pay", {"order": order, "payment": session.payment(3, through)}), "Paid"))
        paid = await peer.pay(bob, order, session, through)
        self.assertEqual(paid, words * coin.fields["unit_value"])
        for form in (1, 3):
            data = messages.encode("Pay", {"order": order, "payment": session.payment(form, through)})
            self.assertEqual((await peer.ask(subject, data, "Paid"))["paid"], paid)
        self.assertEqual(await peer.chunk(bob, order, quote, 1), SMALL[131_072:])
        self.assertEqual((await peer.receipt(bob, order, key))["paid_units"], paid)

    async def pays_with_a_grant_that_grows(self, content):
        """The three forms of payment in turn: two words are granted, then two more."""
        peer, bob = self.peer, bytes.fromhex(self.bob)
        order, quote, key, suites = await peer.ask_quote(bob, content)
        coin, words = peer.choose_coin(suites, quote["price_units"], chains.SHA256)
        self.assertEqual((words, coin.fields["unit_value"]), (4, 2))
        session, forms = Session(peer, coin, bob, order, 2, bound=True), []
        for more, through in ((0, 1), (2, 3), (0, 4)):
            session.grow(more)
            forms.append(session.form())
            paid = await peer.pay(bob, order, session, session.start + through - 1)
            self.assertEqual(paid, 2 * through)
            if through == 1:
                await self.refused("payment_due", peer.chunk(bob, order, quote, 0))
        self.assertEqual(forms, [1, 2, 3])
        self.assertEqual(b"".join([await peer.chunk(bob, order, quote, i) for i in (0, 1)]), SMALL)
        self.assertEqual((await peer.receipt(bob, order, key))["paid_units"], 8)

    async def sells(self):
        """A real peer buys from the broker, then two files from here, in a session and the paper's way."""
        peer = self.peer
        await self.run_program("netpay", "--home", "alice", "buy", "--n", 64)
        await self.run_program("netpay", "--home", "alice", "buy", "--n", 50, "--suite", "md5")
        await peer.serve()
        for name, data, price, way in (
                ("first", BIG, SOLD_PRICE, "session"), ("second", SMALL, SOLD_AT_ONCE_PRICE, "per-payment")):
            content = peer.share(data, price)
            await self.run_program("netpay", "--home", "alice", "get", content.hex(), "--from", peer.id.hex(), "--pay",
                                   way, "--max-price", price, "--output", name)
            self.assertEqual((self.world.dir / name).read_bytes(), data)
        self.earned = SOLD_PRICE + SOLD_AT_ONCE_PRICE
        self.assertEqual(peer.till.exposure(), self.earned)
        self.assertGreater(peer.forms[1], 0, "a first payment")
        self.assertGreater(peer.forms[3], 0, "words alone, as chunks come")
        paid = sorted(order.paid_units for order in peer.till.orders.values() if order.paid_units)
        self.assertEqual(paid, sorted((SOLD_PRICE, SOLD_AT_ONCE_PRICE)))

    async def redeems(self):
        """Has the broker pay what was earned: once, however often it is asked for; bob has his paid as well."""
        peer = self.peer
        batch, stones = peer.batch()
        credited, statement = await peer.redeem(batch, stones)
        self.assertEqual(credited, self.earned)
        self.assertTrue(all(line["verdict"] == rules.CREDITED for line in statement["lines"]))
        own = DEPOSIT_UNITS - peer.bought_units + self.earned
        self.assertEqual(statement["balance_units"], own)
        self.assertEqual(peer.batch()[1], [])
        _, again = await peer.redeem(batch)
        self.assertEqual(again["lines"], statement["lines"])
        kept = await peer.statement_of(layouts.decode("batch", batch.layout)["request"])
        self.assertEqual(layouts.decode("statement", kept.layout)["lines"], statement["lines"])
        other = layouts.decode("batch", batch.layout) | {"request": bytes(16), "seen": peer.seen}
        _, repeated = await peer.redeem(peer.sign("batch", other))
        self.assertTrue(all(line["verdict"] == rules.ALREADY_PAID for line in repeated["lines"]))
        self.assertEqual((peer.redeemed_units, peer.till.exposure()), (self.earned, 0))
        forked = other | {"request": b"\1" * 16, "seen": peer.seen | {"hash": bytes(32)}}
        await self.refused("fork", peer.redeem(peer.sign("batch", forked)))
        await self.run_program("netpay", "--home", "bob", "redeem")

    async def compares(self):
        """Python's books, the accounts, and the ledger's audit."""
        peer, world = self.peer, self.world
        view = await peer.balance()
        own = DEPOSIT_UNITS - peer.bought_units + peer.redeemed_units
        accounts = {name: world.account(peer_id)["balance_units"] for name, peer_id in (
            ("python", peer.id.hex()), ("alice", self.alice), ("bob", self.bob))}
        self.assertEqual((view["balance"], view["debt"], accounts["python"]), (own, 0, own))
        self.assertEqual(accounts["bob"], peer.spent_units)
        alice_bought = 64 + 50
        self.assertEqual(accounts["alice"], DEPOSIT_UNITS - alice_bought)
        audit = world.command("netpay-broker", "ledger", "audit", "--config", "broker")
        self.assertEqual((audit["ok"], audit["broken"], audit["imbalance_units"]), (True, [], 0))
        self.assertEqual(audit["balances_units"], sum(accounts.values()))
        outside = peer.bought_units + alice_bought - peer.spent_units - peer.redeemed_units
        self.assertEqual(audit["escrow_units"], outside)
        self.assertEqual(audit["balances_units"] + audit["escrow_units"], 2 * DEPOSIT_UNITS)
        print(f"\n  trade: paid here by form {dict(peer.forms)}; Python bought {peer.bought_units}, spent "
              f"{peer.spent_units}, redeemed {peer.redeemed_units}; {accounts}; escrow {outside}", end=" ", flush=True)


if __name__ == "__main__":
    unittest.main()
