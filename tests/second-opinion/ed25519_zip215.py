"""Ed25519 verification by ZIP-215, and which keys may be registered (pages 2 and 4).

Why it is written out: what common libraries accept differs at the edges (small order, encodings with y >= p, the
cofactor), and the protocol lays down one rule. Points are (X, Y, Z, T) in extended coordinates on
-x^2 + y^2 = 1 + d x^2 y^2. This is a reference: plain, not constant in time, for verification only.
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)


def decode_point(data):
    """The point that 32 bytes stand for, or None. y is taken modulo p; x = 0 with the sign bit set is accepted."""
    if len(data) != 32:
        return None
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P != 0:
        if (v * x * x + u) % P != 0:
            return None
        x = x * SQRT_OF_MINUS_1 % P
    if x & 1 != sign:
        x = -x % P
    return (x, y, 1, x * y % P)


def encode_point(point):
    """The one canonical encoding of a point."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(p, q):
    """The sum of two points; the formula is complete, so it serves for doubling as well."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * D * p[3] * q[3] % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def double(p):
    """Twice a point, a little faster than adding it to itself."""
    a, b, c = p[0] * p[0] % P, p[1] * p[1] % P, 2 * p[2] * p[2] % P
    h = a + b
    e, g = h - (p[0] + p[1]) ** 2 % P, a - b
    f = c + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def negate(p):
    """The inverse of a point."""
    return (-p[0] % P, p[1], p[2], -p[3] % P)


def combine(s, p, t, q):
    """[s]p + [t]q, sharing the doublings."""
    both, result = add(p, q), IDENTITY
    for bit in range(max(s.bit_length(), t.bit_length()) - 1, -1, -1):
        result = double(result)
        here = (s >> bit & 1, t >> bit & 1)
        if here != (0, 0):
            result = add(result, {(1, 0): p, (0, 1): q, (1, 1): both}[here])
    return result


def is_identity(p):
    """Whether a point is the neutral element."""
    return p[0] % P == 0 and (p[1] - p[2]) % P == 0


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify(key, message, signature):
    """Whether the signature is one of the key over the message: [8][s]B = [8]R + [8][k]A."""
    if len(signature) != 64:
        return False
    a, r, s = decode_point(key), decode_point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    difference = add(combine(s, BASE, k, negate(a)), negate(r))
    return is_identity(double(double(double(difference))))


def registrable(key):
    """Whether a signing key may be registered: a canonical point, torsion-free, not of small order (page 2)."""
    point = decode_point(key)
    if point is None or encode_point(point) != key:
        return False
    torsion_free = is_identity(combine(ORDER, point, 0, IDENTITY))
    return torsion_free and not is_identity(double(double(double(point))))
