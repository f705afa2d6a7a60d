"""The payee's till: what is checked before a payment counts, in the order of page 12; and redeeming it (pages 13, 14).

Plain functions over memory; time comes in as a number, and nothing is asked of the broker while a payment is checked.
"""

import dataclasses

import chains
import ed25519_zip215 as zip215
import layouts
import messages
import rules


class Problem(Exception):
    """An answer with a number of page 21 in place of the one that was asked for; `row` is the check of page 12."""

    def __init__(self, name, text="", row=None):
        super().__init__(f"{name}: {text}")
        self.number, self.name, self.text, self.row = messages.PROBLEM_NUMBERS[name], name, text, row

    @property
    def passing(self):
        """Whether the same bytes may be sent again with another outcome."""
        return messages.PROBLEMS[self.number][2]


@dataclasses.dataclass
class Policy:
    """What a payee takes; page 12 names the defaults that it has."""

    suites: tuple = (chains.SHA256, chains.MD5)
    max_unit_value: int = (1 << 32) - 1
    bound_only: bool = False
    min_account_age_ms: int = 0
    max_revocation_age_ms: int = layouts.DAY_MS
    spend_margin_ms: int = 60_000
    max_exposure_per_payer_units: int = rules.U64
    max_exposure_units: int = rules.U64


@dataclasses.dataclass
class Order:
    """A quote that was given, and what was paid towards it."""

    quote: dict
    asker: bytes
    paid_units: int = 0


@dataclasses.dataclass
class Grant:
    """A grant that was accepted, how far it was revealed, and the last of its words that a statement settled."""

    signed: messages.Signed
    fields: dict
    through: int
    word: bytes
    settled: int = 0
    lost: bool = False

    @property
    def unsettled(self):
        """How many of its words can still be redeemed."""
        return 0 if self.lost else max(0, self.through - max(self.settled, self.fields["from"] - 1))


@dataclasses.dataclass
class Ecoin:
    """What a payee knows of an e-coin."""

    signed: messages.Signed
    fields: dict
    highest: int
    highest_word: bytes
    grants: dict = dataclasses.field(default_factory=dict)
    accepted: set = dataclasses.field(default_factory=set)
    wants_touchstone: bool = False

    @property
    def refused(self):
        """Whether the broker refused one of its claims."""
        return any(grant.lost for grant in self.grants.values())


def refuse(condition, name, text, row=None):
    """Answers with a problem if the condition holds."""
    if condition:
        raise Problem(name, text, row)


class Till:
    """All that one payee has been paid. One made from a copy is `restored` until it is locked (page 15)."""

    def __init__(self, broker, peer, policy=None):
        self.broker, self.peer, self.policy = broker, peer, policy or Policy()
        self.restored, self.locked_through_ms = False, None
        self.keys = self.revoked = None
        self.orders, self.ecoins, self.cheats = {}, {}, set()

    def learn_keys(self, signed_list):
        """Takes a key list if it is this broker's, and a higher one; a revocation list that no longer verifies goes."""
        keys = rules.believed_keys(self.broker, signed_list)
        if keys is None or not rules.higher(keys, self.keys):
            return keys is not None
        self.keys = keys
        if self.revoked is not None and rules.believed_revoked(keys, self.revoked[0]) is None:
            self.revoked = None
        return True

    def learn_revoked(self, signed, now):
        """Takes a revocation list if it is the broker's, and a higher one than what is held and good now."""
        fields = rules.believed_revoked(self.keys, signed, now) if self.keys else None
        if fields is not None and rules.higher(fields, self.suspensions(now)):
            self.revoked = (signed, fields)
        return fields is not None

    def suspensions(self, now):
        """The revocation list held; one that is from the future by now is as good as none."""
        held = self.revoked and self.revoked[1]
        return held if held and held["issued_at_ms"] <= now + rules.CLOCK_MS else None

    def exposure(self, payer=None):
        """What is not redeemed, of one payer or of all: claim by claim, so words under two grants count twice."""
        return sum(
            grant.unsettled * ecoin.fields["unit_value"]
            for ecoin in self.ecoins.values() if payer in (None, ecoin.fields["payer"])
            for grant in ecoin.grants.values()
        )

    def accept(self, sender, pay, now):
        """The units paid towards the order in all, or a problem. The numbers are those of page 12."""
        order, payment = self.orders.get(pay["order"]), pay["payment"]
        refuse(order is None or order.asker != sender, "not_found", "no such order", 2)
        through, words = payment["revealed"]["through"], payment["revealed"]["words"]
        stone, grant = payment.get("touchstone"), payment.get("index")
        index = layouts.decode("index", grant.layout) if grant else payment
        ecoin = self.ecoins.get(index["ecoin"])
        known = ecoin and ecoin.grants.get(index["from"])
        if known and words and index["from"] <= through <= known.through and chains.leads(
                ecoin.fields["suite"], index["ecoin"], known.through, known.word, through, words[-1]):
            return order.paid_units  # 3
        refuse(self.restored, "unavailable", "from a copy that is not locked yet", 4)
        missing = ecoin is None if payment["form"] == 2 else known is None
        refuse(payment["form"] != 1 and missing, "payment_refused", "send touchstone and index", 5)
        stone = stone or ecoin.signed
        grant, index = (grant, index) if grant else (known.signed, known.fields)
        fields = layouts.decode("touchstone", stone.layout)
        self.touchstone_is_good(stone, fields, ecoin, now)  # 6 to 12
        refuse(fields["payer"] != sender, "payment_refused", "somebody else's e-coin", 13)
        refuse(fields["payer"] == self.peer, "payment_refused", "one's own e-coin", 14)
        refuse(index["payee"] != self.peer, "payment_refused", "granted to another", 15)
        if not (known and known.signed == grant):
            good = (index["broker"], index["ecoin"]) == (fields["broker"], fields["ecoin"]) and zip215.verify(
                fields["payer_key"], grant.layout, grant.signature)
            refuse(not good, "payment_refused", "not the payer's grant", 16)
        covered = rules.covers(index["from"], index["to"], through, fields["n"])
        refuse(not covered, "payment_refused", "the grant does not cover the word", 17)
        refuse(ecoin is not None and ecoin.refused, "payment_refused", "refused by the broker before", 18)
        self.payer_is_good(fields, now)  # 19 to 21
        run = set(range(index["from"], through + 1)) - (ecoin.accepted if ecoin else set())
        value = len(run) * fields["unit_value"]
        within = (self.exposure(sender) + value <= self.policy.max_exposure_per_payer_units
                  and self.exposure() + value <= self.policy.max_exposure_units)
        refuse(not within, "busy", "too much is not redeemed", 22)
        late = order.paid_units == 0 and now >= order.quote["expires_ms"]
        refuse(late, "request_expired", "ask for a new quote", 23)
        if known:
            same = known.fields["order"] == index["order"] and index["to"] >= known.fields["to"]
            refuse(not same, "payment_refused", "another grant from the same word", 24)
        refuse(not 1 <= len(words) <= through - index["from"] + 1, "payment_refused", "how many words", 25)
        self.words_are_good(fields, ecoin, through, words)  # 26, 27
        self.keep(stone, fields, grant, index, through, words[-1], run)
        order.paid_units += value
        return order.paid_units

    def touchstone_is_good(self, stone, fields, ecoin, now):
        """Checks 6 to 12: the broker's word on the e-coin, and whether such e-coins are taken here."""
        policy = self.policy
        refuse(fields["broker"] != self.broker, "payment_refused", "another broker's", 6)
        refuse(self.keys is None, "unavailable", "no key list", 7)
        key = rules.find_key(self.keys, fields["kid"], rules.TOUCHSTONE, fields["issued_at_ms"])
        refuse(key is None, "payment_refused", "no such touchstone key", 8)
        if ecoin is not None:
            refuse(ecoin.signed.layout != stone.layout, "payment_refused", "another touchstone", 9)
        else:
            refuse(now > self.keys["next_at_ms"], "unavailable", "the key list is too old", 9)
            good = zip215.verify(key, stone.layout, stone.signature)
            refuse(not good, "payment_refused", "not the broker's touchstone", 9)
        guarantee = fields["guarantee"]
        taken = (
            fields["suite"] in policy.suites and fields["unit_value"] <= policy.max_unit_value
            and (guarantee["kind"] == 1 or not policy.bound_only)
            and now - fields["payer_opened_at_ms"] >= policy.min_account_age_ms
        )
        refuse(not taken, "payment_refused", "not taken here", 10)
        other = guarantee["kind"] == 1 and guarantee["payee"] != self.peer
        refuse(other, "payment_refused", "bound to another", 11)
        locked = self.locked_through_ms is not None and fields["issued_at_ms"] <= self.locked_through_ms
        refuse(locked, "payment_refused", "from before the locking", 12)

    def payer_is_good(self, fields, now):
        """Checks 19 to 21: not suspended, as far as is known, and in time."""
        held = self.suspensions(now)
        fresh = held is not None and now - held["issued_at_ms"] <= self.policy.max_revocation_age_ms
        refuse(not fresh, "unavailable", "no fresh revocation list", 19)
        suspended = fields["payer"] in self.cheats or any(e["peer"] == fields["payer"] for e in held["peers"])
        refuse(suspended, "suspended", "the payer is suspended", 20)
        late = now + self.policy.spend_margin_ms >= fields["spend_until_ms"]
        refuse(late, "payment_refused", "too late to spend it", 21)

    def words_are_good(self, fields, ecoin, through, words):
        """Checks 26 and 27: the word is one of the chain, and so is each that is listed."""
        suite, name = fields["suite"], fields["ecoin"]
        highest, top = (ecoin.highest, ecoin.highest_word) if ecoin else (0, fields["root"])
        low, high = sorted([(highest, top), (through, words[-1])], key=lambda pair: pair[0])
        good = chains.well_padded(suite, words[-1]) and chains.leads(suite, name, *high, *low)
        refuse(not good, "payment_refused", "not a word of the chain", 26)
        first = through - len(words) + 1
        for place in range(1, len(words)):
            good = chains.leads(suite, name, first + place, words[place], first + place - 1, words[place - 1])
            refuse(not good, "payment_refused", "the listed words do not follow", 27)

    def keep(self, stone, fields, grant, index, through, word, run):
        """Remembers what was accepted; without a new word nothing of a new grant, and the `to` of a known one."""
        ecoin = self.ecoins.get(fields["ecoin"])
        known = ecoin and ecoin.grants.get(index["from"])
        if not run and not known:
            return
        if ecoin is None:
            ecoin = self.ecoins[fields["ecoin"]] = Ecoin(stone, fields, 0, fields["root"])
        if through > ecoin.highest:
            ecoin.highest, ecoin.highest_word = through, word
        if known and (not run or known.through > through):
            through, word = known.through, known.word
        settled = known.settled if known else 0
        ecoin.grants[index["from"]] = Grant(grant, index, through, word, settled)
        ecoin.accepted |= run

    def claims(self):
        """The claims that are not settled, one for each grant, and the touchstones that the broker asked for."""
        found, stones = [], []
        for name, ecoin in sorted(self.ecoins.items()):
            for start, grant in sorted(ecoin.grants.items()):
                if not grant.unsettled:
                    continue
                index = grant.fields
                found.append({"ecoin": name, "from": start, "to": index["to"], "payee": index["payee"],
                              "order": index["order"], "signature": grant.signed.signature, "through": grant.through,
                              "word": grant.word})
                if ecoin.wants_touchstone and ecoin.signed not in stones:
                    stones.append(ecoin.signed)
        return found, stones

    def settle(self, batch, batch_digest, signed):
        """Takes a statement that answers the batch; returns the units that it credits (page 14)."""
        statement = rules.signed_by_broker(self.keys, "statement", signed, rules.STATEMENT)
        error = "signature" if statement is None else rules.statement_error(batch, batch_digest, statement)
        if error is not None:
            raise ValueError(f"the statement is not believed: {error}")
        credited = 0
        for claim, line in zip(batch["claims"], statement["lines"]):
            ecoin, verdict = self.ecoins[claim["ecoin"]], line["verdict"]
            grant = ecoin.grants[claim["from"]]
            if verdict == rules.UNKNOWN_ECOIN:
                ecoin.wants_touchstone = True
            elif verdict in (rules.INVALID, rules.UNAUTHORISED, rules.EXPIRED):
                grant.lost = True
            else:
                grant.settled = max(grant.settled, claim["through"])
                credited += line["credited"] * ecoin.fields["unit_value"]
            if verdict == rules.CONFLICTING:
                self.cheats.add(ecoin.fields["payer"])
        return credited, statement
