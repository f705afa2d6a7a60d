"""The till's own checks (page 12): each fault alone is refused with its problem, and of two the earlier one answers.

The client's till stands in for a payee in the trade; there only good payments reach it. Here it meets the others.
"""

import copy
import unittest

import chains
import layouts
import messages
import rules
import till
import vectors
from till import Problem, Till

NOW, HOUR = 1_767_225_600_000, 3_600_000
ROOT, STONE, STATEMENT, NOTICE = (vectors.signer(byte) for byte in (1, 2, 3, 4))
ALICE, BOB, CAROL = (vectors.signer(byte) for byte in (11, 12, 13))
BROKER = chains.broker_id(ROOT.key)
PAYER, PAYEE, OTHER = (chains.peer_id(signer.key) for signer in (ALICE, BOB, CAROL))
N, UNIT, ORDER = 50, 5, b"\x01" * 32
ECOIN = b"\xe1" * 16
_, WORDS = chains.chain_from_master(b"\x42" * 32, chains.SHA256, N, ECOIN)


def sign(signer, what, fields):
    """A signed thing."""
    layout = layouts.encode(what, fields)
    return messages.Signed(layout, signer.sign(layout))


def key_list(seq=1, revoked_at_ms=0, next_at_ms=NOW + HOUR):
    """The broker's key list."""
    keys = [
        {"kid": chains.kid_of(signer.key), "key": signer.key, "purpose": purpose, "not_before_ms": NOW - HOUR,
         "not_after_ms": NOW + HOUR, "revoked_at_ms": revoked_at_ms if purpose == 1 else 0}
        for purpose, signer in ((1, STONE), (2, STATEMENT), (3, NOTICE))
    ]
    fields = {"broker": BROKER, "incarnation": 1, "seq": seq, "issued_at_ms": NOW - HOUR, "next_at_ms": next_at_ms,
              "keys": keys}
    return {"root": ROOT.key, "list": sign(ROOT, "keys", fields)}


def revocation_list(seq=1, peers=(), issued_at_ms=NOW):
    """The broker's revocation list."""
    return sign(NOTICE, "revoked", {
        "broker": BROKER, "kid": chains.kid_of(NOTICE.key), "incarnation": 1, "seq": seq, "issued_at_ms": issued_at_ms,
        "next_at_ms": NOW + HOUR, "peers": [{"peer": peer, "suspended_at_ms": NOW} for peer in sorted(peers)],
    })


class World:
    """A payee that has given a quote, and what a payer is about to send; faults alter one or the other."""

    def __init__(self):
        self.till = Till(BROKER, PAYEE)
        self.till.learn_keys(key_list())
        self.till.learn_revoked(revocation_list(), NOW)
        self.till.orders[ORDER] = till.Order({"expires_ms": NOW + HOUR}, PAYER)
        self.now, self.sender, self.form, self.order = NOW, PAYER, 1, ORDER
        self.stone_signer, self.grant_signer = STONE, ALICE
        self.stone = {
            "version": 1, "broker": BROKER, "kid": chains.kid_of(STONE.key), "ecoin": ECOIN, "suite": chains.SHA256,
            "root": WORDS[0], "n": N, "unit_value": UNIT, "payer": PAYER, "payer_key": ALICE.key,
            "payer_opened_at_ms": NOW - HOUR, "issued_at_ms": NOW, "spend_until_ms": NOW + HOUR,
            "redeem_until_ms": NOW + HOUR + 7 * layouts.DAY_MS, "guarantee": {"kind": 0, "payee": bytes(16)},
            "incarnation": 1,
        }
        self.grant = {"broker": BROKER, "ecoin": ECOIN, "from": 1, "to": 11, "payee": PAYEE, "order": bytes(32)}
        self.through, self.words = 3, WORDS[1:4]

    def pay(self):
        """Sends the payment; through bytes and back, as it would travel."""
        parts = {"revealed": {"through": self.through, "words": self.words}}
        if self.form == 3:
            parts |= {"ecoin": self.grant["ecoin"], "from": self.grant["from"]}
        else:
            parts |= {"index": sign(self.grant_signer, "index", self.grant)}
        if self.form == 1:
            parts |= {"touchstone": sign(self.stone_signer, "touchstone", self.stone)}
        pay = {"order": self.order, "payment": {"form": self.form} | parts}
        return self.till.accept(self.sender, messages.decode("Pay", messages.encode("Pay", pay)), self.now)

    def bound_as_the_policy_wants(self):
        """Whether two faults make up for each other: a bound e-coin, where only such are taken."""
        return self.till.policy.bound_only and self.stone["guarantee"]["kind"] == 1

    def reveal(self, through, *, form=3, **grant):
        """Reveals one word more."""
        self.grant, self.form, self.through, self.words = self.grant | grant, form, through, [WORDS[through]]
        return self.pay()


def change(target, **values):
    """A fault that alters fields of the touchstone, the grant or the policy."""
    def apply(world):
        if target == "policy":
            for name, value in values.items():
                setattr(world.till.policy, name, value)
        else:
            getattr(world, target).update(values)
    return apply


def put(**values):
    """A fault that alters the sending itself."""
    def apply(world):
        for name, value in values.items():
            setattr(world, name, value)
    return apply


def no_keys(world):
    """No key list is held."""
    world.till.keys = None


def old_keys(world):
    """The key list held is past its time."""
    world.till.keys = world.till.keys | {"next_at_ms": NOW - 1}


def key_revoked(world):
    """The touchstone key was revoked; the revocation list stays good."""
    world.till.learn_keys(key_list(seq=2, revoked_at_ms=1))


def no_notice(world):
    """No revocation list is held."""
    world.till.revoked = None


def notice_from_the_future(world):
    """The clock went back since the revocation list was taken."""
    signed, fields = world.till.revoked
    world.till.revoked = (signed, fields | {"issued_at_ms": NOW + rules.CLOCK_MS + 1})


def restored(world):
    """The till was made from a copy, and is not locked."""
    world.till.restored = True


def locked(world):
    """The till was locked in the very millisecond in which the e-coin was issued."""
    world.till.locked_through_ms = NOW


def suspended(world):
    """The payer is on the revocation list."""
    world.till.learn_revoked(revocation_list(2, [PAYER, OTHER]), NOW)


def late_quote(world):
    """The quote has expired, and nothing was paid."""
    world.till.orders[ORDER].quote["expires_ms"] = NOW


FAULTS = [  # in the order of page 12: number, problem, what is wrong
    (2, "not_found", put(order=b"\x02" * 32)),
    (2, "not_found", put(sender=OTHER)),
    (4, "unavailable", restored),
    (5, "payment_refused", put(form=2)),
    (5, "payment_refused", put(form=3)),
    (6, "payment_refused", change("stone", broker=bytes(16))),
    (7, "unavailable", no_keys),
    (8, "payment_refused", change("stone", issued_at_ms=NOW - HOUR - 1)),
    (8, "payment_refused", change("stone", kid=chains.kid_of(STATEMENT.key))),
    (8, "payment_refused", key_revoked),
    (9, "unavailable", old_keys),
    (9, "payment_refused", put(stone_signer=STATEMENT)),
    (10, "payment_refused", change("policy", suites=(chains.MD5,))),
    (10, "payment_refused", change("policy", max_unit_value=UNIT - 1)),
    (10, "payment_refused", change("policy", bound_only=True)),
    (10, "payment_refused", change("policy", min_account_age_ms=HOUR + 1)),
    (11, "payment_refused", change("stone", guarantee={"kind": 1, "payee": OTHER})),
    (12, "payment_refused", locked),
    (13, "payment_refused", change("stone", payer=OTHER)),
    (15, "payment_refused", change("grant", payee=OTHER)),
    (16, "payment_refused", put(grant_signer=BOB)),
    (16, "payment_refused", change("grant", broker=bytes(16))),
    (17, "payment_refused", change("grant", to=3)),
    (17, "payment_refused", change("grant", to=N + 2)),
    (17, "payment_refused", change("grant", **{"from": 0})),
    (19, "unavailable", no_notice),
    (19, "unavailable", change("policy", max_revocation_age_ms=-1)),
    (19, "unavailable", notice_from_the_future),
    (20, "suspended", suspended),
    (21, "payment_refused", change("policy", spend_margin_ms=HOUR)),
    (22, "busy", change("policy", max_exposure_per_payer_units=3 * UNIT - 1)),
    (22, "busy", change("policy", max_exposure_units=3 * UNIT - 1)),
    (23, "request_expired", late_quote),
    (25, "payment_refused", put(words=[])),
    (25, "payment_refused", put(words=[bytes(32)] + WORDS[1:4])),
    (26, "payment_refused", put(words=[WORDS[4]])),
    (27, "payment_refused", put(words=[WORDS[2], bytes(32), WORDS[3]])),
]


class TillTest(unittest.TestCase):
    """What is refused, and what counts."""

    def refused(self, world):
        """The problem that the payment meets; nothing of the till was changed by it."""
        before = copy.deepcopy((world.till.ecoins, world.till.orders))
        with self.assertRaises(Problem) as caught:
            world.pay()
        self.assertEqual((world.till.ecoins, world.till.orders), before)
        return caught.exception

    def test_each_fault(self):
        self.assertEqual(World().pay(), 3 * UNIT)
        for place, (number, name, fault) in enumerate(FAULTS):
            with self.subTest(check=number, place=place):
                world = World()
                fault(world)
                problem = self.refused(world)
                self.assertEqual((problem.row, problem.name), (number, name))

    def test_the_earlier_fault_answers(self):
        pairs, later_ones = 0, {number: late for number, _, late in reversed(FAULTS)}
        for number, _, early in FAULTS:
            alone = World()
            early(alone)
            expected = str(self.refused(alone))
            for later, late in later_ones.items():
                if later <= number:
                    continue
                both = World()
                late(both)
                early(both)
                if both.bound_as_the_policy_wants():
                    continue
                with self.subTest(earlier=number, later=later):
                    self.assertEqual(str(self.refused(both)), expected)
                    pairs += 1
        self.assertGreater(pairs, 250)

    def test_a_payer_that_is_the_payee(self):
        world = World()
        world.till.orders[ORDER].asker = world.sender = PAYEE
        world.stone |= {"payer": PAYEE, "payer_key": BOB.key}
        world.grant_signer = BOB
        self.assertEqual(self.refused(world).text, "one's own e-coin")

    def test_repeated_payments_count_once(self):
        world = World()
        self.assertEqual(world.pay(), 3 * UNIT)
        world.till.revoked, world.till.keys = None, None
        self.assertEqual(world.pay(), 3 * UNIT)
        self.assertEqual(world.reveal(2), 3 * UNIT)
        world.words = [WORDS[4]]
        self.assertEqual(self.refused(world).name, "unavailable")

    def test_a_session(self):
        world = World()
        self.assertEqual(world.reveal(3, form=1), 3 * UNIT)
        self.assertEqual(world.reveal(4), 4 * UNIT)
        self.assertEqual(world.reveal(10), 10 * UNIT)
        world.through, world.words = 11, [WORDS[11]]
        self.assertEqual(self.refused(world).text, "the grant does not cover the word")
        self.assertEqual(world.reveal(20, form=2, to=31), 20 * UNIT)
        world.grant |= {"to": 21}
        world.through, world.words = 20, [WORDS[20]]
        self.assertEqual(world.pay(), 20 * UNIT, "a repeat, whatever grant comes with it")
        world.grant |= {"to": 30}
        world.through, world.words = 21, [WORDS[21]]
        self.assertEqual(self.refused(world).text, "another grant from the same word")
        world.grant |= {"to": 31, "order": ORDER}
        self.assertEqual(self.refused(world).text, "another grant from the same word")

    def test_just_good_enough(self):
        world = World()
        world.till.policy.max_exposure_per_payer_units = world.till.policy.max_exposure_units = 3 * UNIT
        world.till.learn_revoked(revocation_list(2, issued_at_ms=NOW + rules.CLOCK_MS), NOW)
        self.assertEqual(world.till.revoked[1]["seq"], 2)
        self.assertEqual(world.pay(), 3 * UNIT)

    def test_what_is_held_already_excuses_nothing_else(self):
        world = World()
        world.pay()
        world.words, world.form = [], 3
        self.assertEqual(self.refused(world).row, 25, "no repeat without words")
        world.form, world.through, world.words, world.grant_signer = 2, 4, [WORDS[4]], BOB
        self.assertEqual(self.refused(world).row, 16, "the same grant, but not its signature")

    def test_words_that_two_grants_reveal_count_once(self):
        world = World()
        self.assertEqual(world.reveal(10, form=1), 10 * UNIT)
        self.assertEqual(world.reveal(12, form=2, **{"from": 6, "to": 16}), 12 * UNIT)
        self.assertEqual(world.reveal(5, form=2, **{"from": 4, "to": 6}), 12 * UNIT)
        self.assertEqual(sorted(world.till.ecoins[ECOIN].grants), [1, 6], "a grant that brings nothing is not kept")
        self.assertEqual(world.till.exposure(PAYER), (10 + 7) * UNIT, "but are twice at risk")
        self.assertEqual(world.reveal(12, form=2, **{"from": 1, "to": 21}), 12 * UNIT)
        first = world.till.ecoins[ECOIN].grants[1]
        self.assertEqual((first.fields["to"], first.through, first.word), (21, 10, WORDS[10]), "only `to` grows")
        self.assertEqual(world.reveal(20, **{"from": 1}), 20 * UNIT)
        self.assertEqual(world.till.exposure(), (20 + 7) * UNIT)
        world.till.ecoins[ECOIN].grants[1].lost = True
        self.assertEqual(world.till.exposure(), 7 * UNIT, "what is lost is not at risk")

    def test_claims_and_verdicts(self):
        verdicts = (rules.CREDITED, rules.ALREADY_PAID, rules.CONFLICTING, rules.UNKNOWN_ECOIN, rules.INVALID)
        for verdict in verdicts:
            with self.subTest(verdict=rules.VERDICTS[verdict]):
                self.redeemed_with(verdict)

    def redeemed_with(self, verdict):
        """What becomes of a claim of three words that meets a verdict."""
        world = World()
        world.pay()
        claims, stones = world.till.claims()
        self.assertEqual(([claim["through"] for claim in claims], stones), ([3], []))
        batch = sign(BOB, "batch", {
            "broker": BROKER, "payee": PAYEE, "request": b"\x0b" * 16, "seen": {"position": 0, "hash": bytes(32)},
            "claims": claims})
        names = {rules.CREDITED: "credited", rules.ALREADY_PAID: "already_paid", rules.CONFLICTING: "conflicting"}
        line = {"verdict": verdict, "credited": 0, "already_paid": 0, "conflicting": 0}
        line |= {names[verdict]: 3} if verdict in names else {}
        statement = {
            "broker": BROKER, "kid": chains.kid_of(STATEMENT.key), "incarnation": 1, "payee": PAYEE,
            "request": b"\x0b" * 16, "batch": layouts.digest(batch.layout), "issued_at_ms": NOW, "lines": [line],
            "balance_units": 0, "head": {"position": 1, "hash": bytes(32)}}
        fields, digest = layouts.decode("batch", batch.layout), layouts.digest(batch.layout)
        for wrong in (sign(STONE, "statement", statement), sign(STATEMENT, "statement", statement | {"lines": []})):
            with self.assertRaises(ValueError):
                world.till.settle(fields, digest, wrong)
        self.assertEqual(world.till.claims(), (claims, []))
        credited, _ = world.till.settle(fields, digest, sign(STATEMENT, "statement", statement))
        self.assertEqual(credited, 3 * UNIT if verdict == rules.CREDITED else 0)
        ecoin = world.till.ecoins[ECOIN]
        if verdict == rules.UNKNOWN_ECOIN:
            self.assertEqual(world.till.claims(), (claims, [ecoin.signed]))
            return
        self.assertEqual(world.till.claims(), ([], []))
        if verdict in (rules.CREDITED, rules.ALREADY_PAID):
            self.assertEqual(world.reveal(4), 4 * UNIT)
            return
        world.through, world.words = 4, [WORDS[4]]
        expected = {rules.CONFLICTING: "suspended", rules.INVALID: "payment_refused"}[verdict]
        self.assertEqual(self.refused(world).name, expected)

    def test_lists_that_are_kept(self):
        own = Till(BROKER, PAYEE)
        self.assertFalse(own.learn_revoked(revocation_list(), NOW), "without a key list")
        self.assertTrue(own.learn_keys(key_list(seq=5)))
        self.assertTrue(own.learn_keys(key_list(seq=4)))
        self.assertEqual(own.keys["seq"], 5)
        self.assertFalse(own.learn_revoked(revocation_list(issued_at_ms=NOW + rules.CLOCK_MS + 1), NOW))
        self.assertTrue(own.learn_revoked(revocation_list(issued_at_ms=NOW + rules.CLOCK_MS), NOW))
        self.assertTrue(own.learn_revoked(revocation_list(seq=3), NOW))
        self.assertTrue(own.learn_revoked(revocation_list(seq=2), NOW))
        self.assertEqual(own.revoked[1]["seq"], 3)
        early = NOW - rules.CLOCK_MS - 1
        self.assertIsNone(own.suspensions(early), "from the future, once the clock was set back")
        self.assertTrue(own.learn_revoked(revocation_list(seq=2, issued_at_ms=early), early))
        self.assertEqual(own.revoked[1]["seq"], 2, "what is from the future holds back no lower one")


if __name__ == "__main__":
    unittest.main()
