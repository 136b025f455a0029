"""§1: primitives, and strict CBOR. Failures are Reject(kind); the kinds are listed in README.md."""
import hashlib
import hmac
import re

import cbor2
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from kyber_py.ml_kem import ML_KEM_768

HOUR, DAY = 3600, 86400


class Reject(Exception):
    """A MUST-reject of the specification; `kind` is a word of README.md."""
    def __init__(self, kind, detail=""):
        super().__init__(f"{kind} {detail}".strip())
        self.kind = kind


LENIENT = set()   # only `make` uses it: with a kind in here its check is off, to show that a vector has one defect


def require(ok, kind, detail=""):
    if not ok and kind not in LENIENT:
        raise Reject(kind, detail)


class Rng:
    """A reproducible stream: SHA256(seed || u64 0) || SHA256(seed || u64 1) || ... (not part of the protocol)."""
    def __init__(self, seed):
        self.seed, self.n, self.buf = seed.encode() if isinstance(seed, str) else seed, 0, b""

    def __call__(self, size):
        while len(self.buf) < size:
            self.buf += sha256(self.seed, self.n.to_bytes(8, "big"))
            self.n += 1
        out, self.buf = self.buf[:size], self.buf[size:]
        return out


class Repeated(bytes):
    """first ‖ count times the item ‖ last, that a vector file writes as a repetition."""
    def __new__(cls, first, count, item, last=b""):
        self = super().__new__(cls, first + count * item + last)
        self.text = " ".join(x for x in (first.hex(), f"{count}*{item.hex()}", last.hex()) if x)
        return self


# ---------------------------------------------------------------- primitives

def u8(n): return n.to_bytes(1, "big")
def u16(n): return n.to_bytes(2, "big")
def u32(n): return n.to_bytes(4, "big")


def sha256(*parts):                                                                                          # §1
    return hashlib.sha256(b"".join(parts)).digest()


def extract(salt, ikm):                                                                                      # §1
    return hmac.digest(salt, ikm, "sha256")


def expand(prk, info, size=32):                                                                              # §1
    info = info.encode() if isinstance(info, str) else info
    out = block = b""
    while len(out) < size:
        block = hmac.digest(prk, block + info + u8(len(out) // 32 + 1), "sha256")
        out += block
    return out[:size]


def hkdf(salt, ikm, info):                                                                                   # §4.2
    return expand(extract(salt.encode(), ikm), info)


def argon2id(password, salt):                                                                                # §2.3, §3
    return hash_secret_raw(password, salt.encode(), 3, 65536, 1, 32, Type.ID)


def x25519_pub(private):                                                                                     # §1
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def x25519(private, public):                                                                                 # §1
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:                     # the library refuses a shared secret of 32 zero bytes
        require(False, "zero-dh")
        return bytes(32)


def x25519_lax(private, public):
    """Without the zero check: only for writing vectors that a reader must reject. No private key: public key zero."""
    try:
        return x25519(private, public) if private else bytes(32)
    except Reject:
        return bytes(32)


def ed25519_pub(private):                                                                                    # §1
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def ed25519_sign(private, message):                                                                          # §1
    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


P25519 = 2**255 - 19
L25519 = 2**252 + 27742317777372353535851937790883648493
D25519 = -121665 * pow(121666, -1, P25519) % P25519


def _ed_decode(data):
    """RFC 8032 §5.1.3: the point, or None where the encoding is not canonical or not on the curve."""
    n = int.from_bytes(data, "little")
    sign, y = n >> 255, n & (2**255 - 1)
    if y >= P25519:
        return None
    xx = (y * y - 1) * pow(D25519 * y * y + 1, -1, P25519) % P25519
    x = pow(xx, (P25519 + 3) // 8, P25519)
    if (x * x - xx) % P25519:
        x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
    if (x * x - xx) % P25519 or (x == 0 and sign):
        return None
    return (P25519 - x if x & 1 != sign else x), y


def _ed_small(point):
    """Is eight times the point the identity?"""
    x, y = point
    for _ in range(3):
        t = D25519 * x * x * y * y
        x, y = (2 * x * y * pow(1 + t, -1, P25519) % P25519, (y * y + x * x) * pow(1 - t, -1, P25519) % P25519)
    return (x, y) == (0, 1)


def ed25519_verify(public, signature, message, kind="bad-signature"):                                        # §1
    """Strict: S below L; A and R canonical, on the curve, not of small order; then the equation without cofactor."""
    if kind in LENIENT:
        return
    for part in (public, signature[:32]):
        point = _ed_decode(part)
        require(point is not None and not _ed_small(point), kind, "A or R not canonical, or of small order")
    require(int.from_bytes(signature[32:], "little") < L25519, kind, "S not canonical")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise Reject(kind) from None


def kem_ek(seed):                                                                                            # §1
    return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def kem_check(ek):                                                                                           # §1
    """FIPS 203 §7.2: every 12-bit coefficient is below q."""
    n = int.from_bytes(ek[:1152], "little")
    require(all((n >> 12 * i) & 0xFFF < 3329 for i in range(768)), "bad-kem-key")


def kem_encaps(ek, m):                                                                                       # §1
    """With 32 given bytes m; `cryptography` offers no such thing, so kyber-py is the source."""
    kem_check(ek)
    ss, ct = ML_KEM_768._encaps_internal(ek, m)
    return ct, ss


def kem_decaps(seed, ct):                                                                                    # §1
    return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ct)


def aead_seal(key, nonce, ad, plain): return ChaCha20Poly1305(key).encrypt(nonce, plain, ad)                 # §1
def aead_open(key, nonce, ad, data): return ChaCha20Poly1305(key).decrypt(nonce, data, ad)                   # §1


# ---------------------------------------------------------------- CBOR: strict reading against a small schema

def encode(item):                                                                                            # §1
    return cbor2.dumps(item, canonical=True)


def _plain(v):
    """Only the types this protocol has (no tag, float, null, negative or big integer)."""
    if type(v) is dict:
        return all(type(k) in (int, str) and _plain(k) and _plain(x) for k, x in v.items())
    if type(v) is list:
        return all(map(_plain, v))
    return type(v) in (bytes, str, bool) or (type(v) is int and 0 <= v < 2**64)


def decode(raw, schema=None, kind="bad-cbor"):                                                               # §1
    """Decode, encode again, compare; then the shape."""
    try:
        item = cbor2.loads(raw)
        again = encode(item) if _plain(item) else None
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError):
        raise Reject(kind, "not CBOR of the kinds allowed") from None
    require(again == raw, kind, "not the deterministic encoding")
    require(schema is None or schema(item), kind, "wrong shape")
    return item


def U(lo=0, hi=2**64 - 1): return lambda v: type(v) is int and lo <= v <= hi
def B(lo, hi=None): return lambda v: type(v) is bytes and lo <= len(v) <= (lo if hi is None else hi)
def T(lo, hi, regex=".*"):
    return lambda v: type(v) is str and lo <= len(v.encode()) <= hi and re.fullmatch(regex, v, re.S) is not None
def A(item, lo, hi): return lambda v: type(v) is list and lo <= len(v) <= hi and all(map(item, v))
def MAP(item_key, item, lo, hi):
    return lambda v: type(v) is dict and lo <= len(v) <= hi and all(item_key(k) and item(x) for k, x in v.items())
def M(need, may={}):
    both = need | may
    return lambda v: type(v) is dict and need.keys() <= v.keys() <= both.keys() and all(both[k](x) for k, x in v.items())


BOOL = lambda v: type(v) is bool
COUNT = U(0, 2**32 - 1)                    # §1: where a count or a length is meant
LANGUAGE = T(2, 35, "[A-Za-z][A-Za-z0-9-]*")   # §4.5 handling key 6, §5.1
