"""Evidence of a double spend, against nothing but a pinned broker (page 27)."""

import chains
import ed25519_zip215 as zip215
import layouts
import messages
import rules


CHANGE = messages.fields(("order", messages.Thing("rotate")), ("register", messages.Thing("register")))
SUCCESSION = messages.fields(("first", messages.B32), ("changes", messages.Array(CHANGE)))
EVIDENCE = messages.fields(
    ("keys", messages.KEY_LIST), ("touchstone", messages.TOUCHSTONE), ("first", messages.INDEX),
    ("second", messages.INDEX), ("succession?", SUCCESSION),
)


def own_key(stone, succession):
    """Whether the touchstone's key is the payer's own: its id's, or one to which that key changed (row 3)."""
    if succession is None:
        return chains.peer_id(stone["payer_key"]) == stone["payer"]
    key = succession["first"]
    if chains.peer_id(key) != stone["payer"] or not zip215.registrable(key):
        return False
    for change in succession["changes"]:
        order, register = change["order"], change["register"]
        fields = layouts.decode("rotate", order.layout)
        good = (
            (fields["broker"], fields["peer"]) == (stone["broker"], stone["payer"])
            and zip215.verify(key, order.layout, order.signature)
            and rules.registration_error(stone["broker"], register) is None
            and layouts.digest(register.layout) == fields["register"]
        )
        if not good:
            return False
        key = layouts.decode("register", register.layout)["signing_key"]
    return key == stone["payer_key"]


def grant_error(stone, signed):
    """None, or which of rows 5 to 7 a grant fails."""
    index = layouts.decode("index", signed.layout)
    about = (index["broker"], index["ecoin"]) == (stone["broker"], stone["ecoin"])
    if not about or not zip215.verify(stone["payer_key"], signed.layout, signed.signature):
        return "grant"
    if not 1 <= index["from"] < index["to"] <= stone["n"] + 1:
        return "range"
    bound = stone["guarantee"]["kind"] == 1 and stone["guarantee"]["payee"] != index["payee"]
    return "payee" if bound or index["payee"] == stone["payer"] else None


def verify(pinned, data):
    """What the evidence proves, as a dictionary, or the name of the row that fails."""
    told = messages.decode_as(EVIDENCE, data)
    keys = rules.believed_keys(pinned, told["keys"])
    if keys is None:
        return "key_list"
    stone = layouts.decode("touchstone", told["touchstone"].layout)
    if stone["broker"] != pinned:
        return "broker"
    if not own_key(stone, told["succession"]):
        return "key_of_another"
    if not zip215.registrable(stone["payer_key"]):
        return "weak_key"
    for name in ("first", "second"):
        error = grant_error(stone, told[name])
        if error:
            return error
    first, second = (layouts.decode("index", told[name].layout) for name in ("first", "second"))
    if first["payee"] == second["payee"]:
        return "same_payee"
    words = max(first["from"], second["from"]), min(first["to"], second["to"]) - 1
    if words[0] > words[1]:
        return "apart"
    return broker_error(keys, stone, told["touchstone"]) or {
        "payer": stone["payer"], "ecoin": stone["ecoin"], "first": first["payee"], "second": second["payee"],
        "from": words[0], "through": words[1],
    }


def broker_error(keys, stone, signed):
    """None, or which of rows 10 to 12 fails."""
    wanted = (stone["kid"], rules.TOUCHSTONE)
    entry = next((entry for entry in keys["keys"] if (entry["kid"], entry["purpose"]) == wanted), None)
    if entry is None or not entry["not_before_ms"] <= stone["issued_at_ms"] <= entry["not_after_ms"]:
        return "unlisted"
    if not zip215.verify(entry["key"], signed.layout, signed.signature):
        return "touchstone"
    return "revoked" if entry["revoked_at_ms"] else None
