"""Vectors of §1 to §3."""
import hashlib

import v1 as v
from v1 import Rng
from .world import ADDRESS, CONTACT, DEFENDER, DEV, ENTROPY, OTHER, RELAY, RELAY_2, RELAY_ID, ROOT, adder, content


def scenarios():
    out = []
    V = adder(out)
    primitives(V), names(V), phrases(V)
    return out


def ed_scalar(private):
    h = bytearray(hashlib.sha512(private).digest()[:32])
    h[0] &= 248
    h[31] = h[31] & 63 | 64
    return int.from_bytes(h, "little") % v.L25519


def plus_order_two(point):
    """The encoding of the point plus the point (0, −1): x and y change their signs."""
    n = int.from_bytes(point, "little")
    sign, y = n >> 255, n & (2**255 - 1)
    return ((1 - sign) << 255 | v.P25519 - y).to_bytes(32, "little")


def primitives(V):
    r = Rng("valise vectors 1/basic")
    V("x25519-accept", "§1", "An ordinary shared secret.", "ok", "x25519", {"private": r(32), "public": v.x25519_pub(r(32))})
    low = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    V("x25519-reject-public-key-of-order-eight", "§1", "The shared secret is 32 zero bytes.", "zero-dh", "x25519",
      {"private": r(32), "public": bytes.fromhex(low)})
    E = lambda slug, about, expect, A, sig, msg: V(f"ed25519-{slug}", "§1", about, expect, "ed25519",
                                                   {"public": A, "signature": sig, "message": msg})
    a, n = r(32), r(32)
    A, R, msg = v.ed25519_pub(a), v.ed25519_pub(n), b"valise"
    ka, kn, L = ed_scalar(a), ed_scalar(n), v.L25519
    h = lambda R, A, msg: int.from_bytes(hashlib.sha512(R + A + msg).digest(), "little")
    S = lambda number: (number % L).to_bytes(32, "little")
    sig = v.ed25519_sign(a, msg)
    E("accept", "An ordinary signature.", "ok", A, sig, msg)
    s = int.from_bytes(sig[32:], "little") + L
    E("reject-non-canonical-s", "S + L in place of S; the equation holds.", "bad-signature", A, sig[:32] + s.to_bytes(32, "little"), msg)
    one, one_p = bytes([1]) + bytes(31), (v.P25519 + 1).to_bytes(32, "little")
    E("reject-small-order-a", "A is the identity, R = S·B of large order; the equation holds.", "bad-signature", one, R + S(kn), msg)
    E("reject-non-canonical-a", "A is the identity written as y = p + 1; the equation holds.", "bad-signature", one_p, R + S(kn), msg)
    E("reject-small-order-r", "R is the identity, S = h·a; the equation holds.", "bad-signature", A, one + S(h(one, A, msg) * ka), msg)
    R2 = plus_order_two(R)
    E("reject-equation-with-cofactor-only", "R has a part of order two: 8·S·B = 8·R + 8·h·A, but S·B ≠ R + h·A.", "bad-signature", A,
      R2 + S(kn + h(R2, A, msg) * ka), msg)
    A2 = plus_order_two(A)
    even = next(m for m in (b"valise %d" % k for k in range(99)) if h(R, A2, m) % 2 == 0)
    E("accept-mixed-order-a", "A has a part of order two, and h is even: A is not of small order, and the equation holds without the cofactor.",
      "ok", A2, R + S(kn + h(R, A2, even) * ka), even)
    V("ml-kem-accept", "§1", "Key generation from a seed and encapsulation with given randomness.", "ok", "kem",
      {"seed": r(64), "randomness": r(32)})
    ek = v.kem_ek(r(64))
    V("ml-kem-reject-coefficient-q", "§1", "The last 12-bit coefficient of ek is 3329.", "bad-kem-key", "kem-check",
      {"ek": ek[:1150] + bytes([ek[1150] & 0x0F | (3329 & 15) << 4, 3329 >> 4]) + ek[1152:]})
    e, m = v.encode, v.decode(content())
    raw = lambda *pairs: bytes([0xA0 + len(pairs)]) + b"".join(a + b for a, b in pairs)
    text, handling, others = e(m[0]), e(m[1]), b"\x80"
    whole = lambda t=text, h=handling, o=others: raw((b"\0", t), (b"\1", h), (b"\2", o))
    inner = lambda value: bytes([handling[0]]) + b"\0" + value + handling[3:]           # the first entry of the handling is 00 02
    good = [whole(), whole(e("é\u202e\0")), whole(o=e([OTHER]))]
    bad = [whole(h=inner(b"\x18\x02")), raw((b"\x18\0", text), (b"\1", handling), (b"\2", others)), b"\xb8\x03" + whole()[1:],
           b"\xbf" + whole()[1:] + b"\xff", whole(o=b"\x9f\xff"), whole(b"\x7f" + text + b"\xff"),
           raw((b"\0", text), (b"\1", handling), (b"\1", handling), (b"\2", others)),
           raw((b"\1", handling), (b"\0", text), (b"\2", others)), whole(h=inner(b"\xc1\2")), whole(h=inner(b"\xc2\x41\2")),
           whole(h=inner(b"\xf9\x40\0")), whole(h=inner(b"\xf6")), whole(h=inner(b"\xf7")), whole(h=inner(b"\xf5")), whole(h=inner(b"\x21")),
           raw((b"\0", text), (b"\1", e(m[1] | {3: None})), (b"\2", others)), raw((b"\0", text), (b"\1", handling), (b"\2", b"\xf6")),
           raw((b"\0", text), (b"\1", handling)), raw((b"\0", text), (b"\1", handling), (b"\2", others), (b"\4", b"\0")),
           whole(b"\x61\xff"), whole(b"\x63\xed\xa0\x80"), whole(b"\x41a"), whole(o=e([OTHER[:31]])), whole(o=e([OTHER + b"\0"])),
           whole() + b"\0", whole()[:-1], b"\x83" + text + handling + others, b""]
    V("cbor-table", "§1", "Good: three contents. Bad: integer, key and count not shortest; map, array and text indefinite; key twice; keys not "
      "ascending; tag; big number; float; null; undefined; bool; negative; null for absent, twice; key missing; key not given; text not "
      "UTF-8; surrogate; bytes for text; 31 and 33 bytes for 32; byte after the item; cut short; an array; nothing.", "ok", "cbor",
      {"address": ADDRESS} | {f"good-{n}": x for n, x in enumerate(good)} | {f"bad-{n}": x for n, x in enumerate(bad)})


def names(V):
    V("ids-accept", "§2.1 §2.2", "Address and relay id from keys, as bytes and as text.", "ok", "ids",
      {"root-public": v.ed25519_pub(ROOT[0]), "relay-identity": RELAY.pub[0]})
    t, rt = v.bech32m("valise", ADDRESS), v.bech32m("relay", RELAY_ID)
    T = lambda slug, about, expect, text, prefix="valise": V(f"text-{slug}", "§2.2", about, expect, "text", {"prefix": prefix, "text": text})
    T("accept-address-in-upper-case", "Upper case means the same.", "ok", t.upper())
    T("reject-mixed-case", "One letter in upper case.", "mixed-case", t[:-1] + t[-1].upper() if t[-1].isalpha() else t.capitalize())
    T("reject-bech32-checksum", "The checksum of Bech32 (BIP-173), not of Bech32m.", "bad-checksum", v.bech32m("valise", ADDRESS, const=1))
    T("reject-another-prefix", "A relay id where an address is wanted.", "wrong-prefix", rt)
    T("reject-31-bytes", "One byte too few, with a right checksum.", "wrong-length", v.bech32m("valise", ADDRESS[:31]))
    n = int.from_bytes(ADDRESS, "big") << 4 | 1
    T("reject-non-zero-padding-bits", "The four bits that pad 256 bits to 260 are not zero; the checksum is right.",
      "bad-padding", v.bech32m("valise", ADDRESS, [n >> i & 31 for i in range(255, -1, -5)]))
    request = v.make_device_request(ADDRESS, DEV[0].signing, DEV[0].identity, DEV[0].link)
    T("accept-device-request", "Bech32m without a length limit (§5.6).", "ok", v.bech32m("valise-device", request), "valise-device")
    C = lambda slug, about, expect, text: V(f"contact-{slug}", "§2.2", about, expect, "contact", {"text": text})
    r2 = v.bech32m("relay", RELAY_2)
    c2, c3 = f"{r2},192.0.2.7:8443", f"{r2},[2001:db8::7]:443"
    C("accept-three-ways", "A name; an IPv4 address behind an ingress; an IPv6 address. White space around.", "ok",
      f" \t{t}@{CONTACT}@{CONTACT}/{c2}@{c3} ")
    C("reject-white-space-within", "A blank before the @.", "white-space", f"{t} @{CONTACT}")
    C("reject-nine-ways", "Nine ways.", "too-many-ways", t + f"@{CONTACT}" * 9)
    C("reject-two-ingresses", "Three relays in one way.", "bad-contact", f"{t}@{CONTACT}/{c2}/{c3}")
    label = "a" * 63
    good = ["a:1", "mail.example.org.:443", "9.example:65535", "x--y.example:443", f"{label}.{label}.{label}.{'b' * 61}:443", "192.0.2.7:443",
            "[::1]:443", "[2001:db8::7]:443"]
    bad = ["-a.example:443", "a-.example:443", "a..example:443", ".example:443", ".:443", ":443", "a_b.example:443", f"{label}a.example:443",
           f"{label}.{label}.{label}.{'b' * 62}:443", "256.0.2.7:443", "192.0.2:443", "192.0.2.7.:443", "1234:443", "2001:db8::7:443",
           "[2001::db8::7]:443", "[fe80::1%1]:443", "[192.0.2.7]:443", "[]:443", "é.example:443",
           "a:0", "a:65536", "a:0443", "a:+443", "a:", "a"]
    V("relay-contacts-table", "§2.2", "Hosts and ports: labels, lengths, dots, IPv4, IPv6, zones; port 0, too large, with a zero before it, none.", "ok",
      "relay-contacts", {f"good-{n}": f"{rt},{x}" for n, x in enumerate(good)} | {f"bad-{n}": f"{rt},{x}" for n, x in enumerate(bad)})
    V("words-accept-address", "§2.3", "The comparison words of a card.", "ok", "words", {"x": ADDRESS})
    V("pseudonym-accept", "§2.4", "A defender's short name, and the longer one.", "ok", "pseudonym", {"send-public": v.x25519_pub(DEFENDER.send)})


def phrases(V):
    P = lambda slug, about, expect, words: V(f"phrase-{slug}", "§3", about, expect, "phrase", {"words": words})
    w = v.phrase_of(ENTROPY)
    P("accept-upper-case-and-runs-of-white-space", "Compared in lower case; any white space separates.", "ok", "\t" + w.upper().replace(" ", " \t  "))
    P("reject-word-not-listed", "One word is not on the list.", "word-not-listed", "valise " + w.split(" ", 1)[1])
    last = w.split()[-1]
    P("reject-checksum", "Twelve listed words whose checksum is wrong.", "bad-words-checksum", w[:-len(last)] + v.WORDS[v.WORDS.index(last) ^ 1])
    P("reject-eleven-words", "Eleven words.", "wrong-number-of-words", w[:-len(last)].strip())
    K = lambda slug, about, address, relay: V(f"phrase-keys-{slug}", "§2.1 §3 §4.4", about, "ok", "phrase-keys",
                                              {"entropy": ENTROPY, "address": address, "relay-id": relay, "content": content()})
    K("accept", "All that follows from a phrase, an address, a relay id and a content.", ADDRESS, RELAY_ID)
