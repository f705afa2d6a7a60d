"""The payments of `accepting`, made again from what their names tell: Alice pays Bob with 50 words at 5 units.

Each differs from the first contact (W5 under a grant of 16 words that is bound to the order) by what stands in a row.
"""

import chains
import layouts
import messages
import vectors

NOW, DAY_MS = 1_767_225_600_000, layouts.DAY_MS
ALICE, BOB, CAROL = (vectors.signer(seed) for seed in (vectors.ALICE_SEED, vectors.BOB_SEED, vectors.CAROL_SEED))
STONE, STATEMENT = vectors.signer(vectors.TOUCHSTONE_SEED), vectors.signer(vectors.STATEMENT_SEED)
PAYER, PAYEE, OTHER = (chains.peer_id(signer.key) for signer in (ALICE, BOB, CAROL))
N, ECOIN = 50, b"\xe1" * 16
_, WORDS = chains.chain_from_master(b"\x42" * 32, chains.SHA256, N, ECOIN)
MORE = {"form": 3}
GROWN = {"form": 2, "grant": {"to": 33}}
PAYMENTS = {  # whatever is not told here is as at first contact
    "first contact": {},
    "words alone": MORE,
    "grown grant": GROWN,
    "words listed": {"words": WORDS[1:6]},
    "words under two grants": {"form": 2, "grant": {"from": 3}},
    "a lower word under another grant": {"form": 2, "grant": {"from": 2}, "through": 2},
    "cut": {"cut": 1},
    "unknown order": {"order": b"\x07" * 32},
    "another's order": {},
    "repeated": MORE | {"through": 3},
    "repeated, a lower word": MORE | {"through": 1},
    "restored": {},
    "grown, unknown e-coin": {"form": 2},
    "words, unknown e-coin": MORE,
    "words, unknown grant": MORE | {"grant": {"from": 2}},
    "another broker's": {"stone": {"broker": b"\x09" * 16}},
    "no key list": {},
    "unknown kid": {"stone": {"kid": chains.kid_of(STATEMENT.key)}},
    "revoked key": MORE,
    "another touchstone": {"stone": {"n": N - 1}},
    "key list on its last ms": {},
    "key list out of date": {},
    "key list out of date, e-coin held": MORE,
    "not the broker's signature": {"stone_signer": BOB},
    "suite": {},
    "unit value at the most": {},
    "unit value above the most": {},
    "bearer": {},
    "account just old enough": {},
    "account a ms too young": {},
    "bound to the payee": {"stone": {"guarantee": {"kind": 1, "payee": PAYEE}}},
    "bound to another": {"stone": {"guarantee": {"kind": 1, "payee": OTHER}}},
    "from before the locking": {},
    "from after the locking": {},
    "another's e-coin": {},
    "one's own e-coin": {"stone": {"payer": PAYEE, "payer_key": BOB.key}, "grant_signer": BOB},
    "granted to another": {"grant": {"payee": OTHER}},
    "not the payer's grant": {"grant_signer": BOB},
    "a grown grant, not the payer's": GROWN | {"grant_signer": BOB},
    "the last word granted": {"grant": {"to": 6}},
    "one past the grant": {"grant": {"to": 5}},
    "one past the chain": {"grant": {"to": N + 2}},
    "from the root": {"grant": {"from": 0}},
    "lost before": MORE,
    "no revocation list": {},
    "revocation list a day old": MORE,
    "revocation list too old": MORE,
    "suspended": {},
    "spent twice before": MORE,
    "a ms more than the margin": {"stone": {"spend_until_ms": NOW + 60_001}},
    "within the margin": {"stone": {"spend_until_ms": NOW + 60_000}},
    "exposure at the most": MORE,
    "exposure of the payer": MORE,
    "exposure in all": MORE,
    "the quote's last ms": {},
    "the quote has expired": {},
    "expired while it is paid": MORE,
    "another order in the grant": {"form": 2, "grant": {"to": 33, "order": bytes(32)}},
    "a grant that shrinks": {"form": 2, "grant": {"to": 16}},
    "no words": {"words": []},
    "six words of five": {"words": WORDS[0:6]},
    "a word of another position": {"words": [WORDS[6]]},
    "no word of the chain": MORE | {"words": [bytes(32)]},
    "words that do not follow": {"words": [WORDS[3], WORDS[3], WORDS[5]]},
    "worthless words below the last": {"words": [WORDS[1], WORDS[5]]},
}

POLICY = {
    "suites": [chains.SHA256, chains.MD5], "max_unit_value": 1_000_000, "bound_only": False, "min_account_age_ms": 0,
    "max_exposure_per_payer_units": 100_000, "max_exposure_units": 10_000_000, "max_revocation_age_ms": DAY_MS,
    "spend_margin_ms": 60_000,
}
POLICIES = {  # what differs in the payee's policy
    "suite": {"suites": [chains.MD5]},
    "unit value at the most": {"max_unit_value": 5},
    "unit value above the most": {"max_unit_value": 4},
    "bearer": {"bound_only": True},
    "bound to the payee": {"bound_only": True},
    "account just old enough": {"min_account_age_ms": DAY_MS},
    "account a ms too young": {"min_account_age_ms": DAY_MS + 1},
    "exposure at the most": {"max_exposure_per_payer_units": 25},
    "exposure of the payer": {"max_exposure_per_payer_units": 24},
    "exposure in all": {"max_exposure_units": 24},
}
EXPIRY = NOW + 3_600_000
CLOCKS = {  # where it is not the time at which all was issued
    "repeated": NOW + 100 * DAY_MS,
    "revocation list a day old": NOW + DAY_MS,
    "revocation list too old": NOW + DAY_MS + 1,
    "the quote's last ms": EXPIRY - 1,
    "the quote has expired": EXPIRY,
    "expired while it is paid": EXPIRY,
}
LOCKED = {"from before the locking": NOW, "from after the locking": NOW - 1}
SENDERS = {"another's e-coin": OTHER, "one's own e-coin": PAYEE}
ASKERS = SENDERS | {"another's order": OTHER}


def surroundings(name, held):
    """What a vector with this name tells besides the payment; what was paid before is what is held: W1 to W3."""
    return {
        "policy": POLICY | POLICIES.get(name, {}), "now_ms": CLOCKS.get(name, NOW),
        "restored": name in ("restored", "repeated"), "locked_through_ms": LOCKED.get(name),
        "sender": SENDERS.get(name, PAYER).hex(), "asker": ASKERS.get(name, PAYER).hex(),
        "paid_units": 15 if held else 0,
        "claims": [(1, 17, 3, int(name == "spent twice before"), 3 if name == "lost before" else None)] if held else [],
    }


def sign(signer, what, fields):
    """A signed thing."""
    layout = layouts.encode(what, fields)
    return messages.Signed(layout, signer.sign(layout))


def made(name, order, broker):
    """The bytes of the payment with this name, towards an order."""
    told = PAYMENTS[name]
    stone = {
        "version": 1, "broker": broker, "kid": chains.kid_of(STONE.key), "ecoin": ECOIN, "suite": chains.SHA256,
        "root": WORDS[0], "n": N, "unit_value": 5, "payer": PAYER, "payer_key": ALICE.key,
        "payer_opened_at_ms": NOW - DAY_MS, "issued_at_ms": NOW, "spend_until_ms": NOW + 30 * DAY_MS,
        "redeem_until_ms": NOW + 60 * DAY_MS, "guarantee": {"kind": 0, "payee": bytes(16)}, "incarnation": 1,
    } | told.get("stone", {})
    grant = {"broker": broker, "ecoin": ECOIN, "from": 1, "to": 17, "payee": PAYEE, "order": order}
    grant |= told.get("grant", {})
    form, through = told.get("form", 1), told.get("through", 5)
    payment = {"form": form, "revealed": {"through": through, "words": told.get("words", [WORDS[through]])}}
    if form == 3:
        payment |= {"ecoin": grant["ecoin"], "from": grant["from"]}
    else:
        payment |= {"index": sign(told.get("grant_signer", ALICE), "index", grant)}
    if form == 1:
        payment |= {"touchstone": sign(told.get("stone_signer", STONE), "touchstone", stone)}
    data = messages.encode("Pay", {"order": told.get("order", order), "payment": payment})
    return data[:len(data) - told.get("cut", 0)]
