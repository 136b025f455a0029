"""§5 and §6: cards, what a relay makes of a published one, device requests, relay descriptors, certificates."""
import hmac

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from .base import (A, B, BOOL, DAY, HOUR, LANGUAGE, LENIENT, M, MAP, Reject, T, U, decode, ed25519_pub, ed25519_sign,
                   ed25519_verify, encode, kem_check, require, sha256, x25519, x25519_pub)
from .names import address_of, check_host, relay_id_of

CARD, ROSTER_SIZE, DESCRIPTOR = 32768, 20480, 2048
ROOT = M({0: B(32)}, {1: B(64)})
DEVICE = M({0: B(32), 1: B(32), 2: B(32)})
PROFILE = M({0: MAP(LANGUAGE, T(1, 200), 1, 16), 1: A(LANGUAGE, 0, 32), 2: A(T(1, 64), 0, 16), 3: BOOL}, {4: T(0, 1000)})
ROSTER = M({0: B(32), 1: U(1), 2: U(), 3: U(), 4: A(DEVICE, 1, 8), 5: A(B(0, DESCRIPTOR), 1, 8), 6: PROFILE},
           {7: A(B(0, DESCRIPTOR), 1, 7)})
STATEMENT = M({0: B(32), 1: B(32), 2: U(), 3: U(), 4: B(32), 5: B(1184)})
CARD_MAP = M({0: A(ROOT, 1, 4), 1: B(1, CARD), 2: B(64), 3: A(M({0: B(1, 2000), 1: B(64)}), 0, 8)})


def make_roots(privates):                                                                                    # §5
    pubs = [ed25519_pub(p) for p in privates]
    return [{0: pubs[0]}] + [{0: k, 1: ed25519_sign(p, b"valise1/root" + k)} for p, k in zip(privates, pubs[1:])]


def make_statement(signing, prekey_bytes):                                                                   # §5
    return {0: prekey_bytes, 1: ed25519_sign(signing, b"valise1/prekey" + prekey_bytes)}


def make_card(root_privates, roster_bytes, statements):                                                      # §5
    sig = ed25519_sign(root_privates[-1], b"valise1/roster" + roster_bytes)
    return encode({0: make_roots(root_privates), 1: roster_bytes, 2: sig, 3: statements})


def check_roster(roots, roster_bytes, signature, address):                                                   # §5, §5.1
    """What holds of a roster in a card and in a proof: everything but its dates and its epoch."""
    require(1 not in roots[0], "bad-chain", "the first root has a signature")
    for before, root in zip(roots, roots[1:]):
        require(1 in root, "bad-chain", "a later root has none")
        if 1 in root:
            ed25519_verify(before[0], root[1], b"valise1/root" + root[0], "bad-chain")
    ed25519_verify(roots[-1][0], signature, b"valise1/roster" + roster_bytes)
    require(len(roster_bytes) <= ROSTER_SIZE, "too-long")
    r = decode(roster_bytes, ROSTER)
    keys = [k for d in r[4] for k in d.values()]
    require(len(set(keys)) == len(keys), "repeated-key")
    if 7 in r:                                                                                               # §5.1, key 7
        require(len(r[5]) + len(r[7]) <= 8, "too-many-relays")
        reading = roster_relays(r, 7)
        require(len(set(reading)) == len(reading) and not set(reading) & set(roster_relays(r)), "repeated-relay")
    require(r[0] == address and address == address_of(roots[0][0]), "wrong-address")
    return r


def check_life(issued, not_after):                                                                           # §5.3 rule 3, §6
    require(not_after > issued, "bad-dates")
    require(not_after - issued <= 90 * DAY, "too-long-lived")


def check_dates(issued, not_after, now):                                                                     # §5.3 rule 3, §6
    require(issued <= now + HOUR, "not-yet-valid")
    require(now < not_after, "expired")
    check_life(issued, not_after)


def check_x25519_key(public):                                                                                # §5.2
    try:
        x25519(bytes([1]) * 32, public)            # a private key is a multiple of 8: a small order gives zeros
    except Reject:
        require(False, "small-order-key")


class Known:
    """What a reader remembers of a mechanism: its roots, its epoch, the bytes of its roster."""
    def __init__(self, roots=(), epoch=0, roster=None):
        self.roots, self.epoch, self.roster = list(roots), epoch, roster

    def check(self, card, roster):                                                                           # §5.3 rule 5
        require([r[0] for r in card[0]][:len(self.roots)] == self.roots, "other-roots")
        require(roster[1] >= self.epoch, "rolled-back")
        require(roster[1] != self.epoch or self.roster is None or card[1] == self.roster, "other-roster")


def check_card(raw, address, now, known=Known(), relay=False, go_on=False):                                  # §5.3
    """Rules 1 to 5; for a sender also 6. `go_on`: the person said so after the prompt of rule 6."""
    require(len(raw) <= CARD, "too-long")
    c = decode(raw, CARD_MAP)
    roster = check_roster(c[0], c[1], c[2], address)
    check_dates(roster[2], roster[3], now)
    require(roster[1] <= roster[2], "epoch-above-issued")
    devices = [d[0] for d in roster[4]]
    statements, signed = {}, {}
    for s in c[3]:
        st = decode(s[0], STATEMENT)
        require(st[1] in devices, "foreign-statement")
        require(st[1] not in statements, "repeated-statement")
        require(st[0] == address, "wrong-address")
        require(st[2] <= roster[1], "newer-epoch-in-statement")
        ed25519_verify(st[1], s[1], b"valise1/prekey" + s[0])
        check_x25519_key(st[4])
        kem_check(st[5])
        require(not relay or st[3] <= now + HOUR, "statement-not-yet-valid")
        statements[st[1]], signed[st[1]] = st, s
    known.check(c, roster)
    out = {"map": c, "roster": roster, "devices": len(devices), "statements": statements, "signed": signed}
    return out if relay else out | _readers(devices, statements, now, go_on)


def _readers(devices, statements, now, go_on):                                                               # §5.2, §5.3 rule 6
    young = lambda days: [d for d in devices if d in statements and statements[d][3] <= now + HOUR
                          and now < statements[d][3] + days * DAY]
    fresh = readers = young(14)
    if 2 * len(fresh) <= len(devices):
        require(go_on, "too-few-fresh")
        readers = young(60)
        require(readers, "no-reader")
    return {"fresh": len(fresh), "readers": [(statements[d][4], statements[d][5]) for d in readers]}


def roster_relays(roster, key=5):                                                                            # §5.1
    """The relay ids of the descriptors on a roster, of those for reading with key 7; one that does not verify, whether it holds now left aside, is passed over."""
    out = []
    for raw in roster.get(key, []):
        try:
            out.append(relay_id_of(check_descriptor(raw, None, None)[0]))
        except Reject:
            pass
    return out


def relay_publish(held, card, link_key, now):                                                                # §5.3, §7.3
    """What a relay holds afterwards; Reject("refused-6") or ("refused-8")."""
    try:
        address = decode(decode(card, CARD_MAP)[1], ROSTER)[0]
        old, known = None, Known()
        if held:
            old = decode(held, CARD_MAP)
            roster = decode(old[1], ROSTER)
            known = Known([r[0] for r in old[0]], roster[1], old[1])
        new = check_card(card, address, now, known, relay=True)
    except Reject as why:
        raise Reject("refused-8", str(why)) from None
    require(link_key in [d[2] for d in new["roster"][4]], "refused-6")
    best = {decode(s[0])[1]: s for s in old[3]} if old else {}
    for device, s in new["signed"].items():
        if device not in best or new["statements"][device][3] > decode(best[device][0])[3]:     # a tie: the one held
            best[device] = s
    return encode(new["map"] | {3: [best[d[0]] for d in new["roster"][4] if d[0] in best]})


DEVICE_REQUEST = M({0: B(32), 1: B(32), 2: B(32), 3: B(32), 4: B(64)})


def make_device_request(address, signing, identity, link):                                                   # §5.6
    keys = [ed25519_pub(signing), x25519_pub(identity), x25519_pub(link)]
    sig = ed25519_sign(signing, b"valise1/device" + address + b"".join(keys))
    return encode(dict(enumerate([address, *keys, sig])))


def read_device_request(raw):                                                                                # §5.6
    r = decode(raw, DEVICE_REQUEST)
    ed25519_verify(r[1], r[4], b"valise1/device" + r[0] + r[1] + r[2] + r[3])
    return r


# ---------------------------------------------------------------- §6 the relay descriptor

RETENTION = lambda v: A(U(1, 366), 2, 2)(v) and v[0] <= v[1]
DESCRIPTOR_MAP = M({0: B(32), 1: U(1, 1), 2: B(32), 3: B(32), 6: T(1, DESCRIPTOR), 7: U(1, 65535), 8: T(0, 200), 9: T(0, 64),
                    10: RETENTION, 11: A(B(32), 0, 32), 12: U(), 13: U()}, {4: B(32), 5: B(32)})


def make_descriptor(identity, fields):                                                                       # §6
    inner = encode({0: ed25519_pub(identity), 1: 1} | fields)
    return encode({0: inner, 1: ed25519_sign(identity, b"valise1/descriptor" + inner)})


def _descriptor_version(raw):                                                                                # §1
    """Key 1, looked at before anything else, in whatever CBOR; None where there is none."""
    try:
        return cbor2.loads(cbor2.loads(raw)[0])[1]
    except Exception:
        return None


def check_descriptor(raw, relay_id, now):                                                                    # §6
    """For the relay id that is expected, at `now`. On a roster both are None: whether it holds now is left aside."""
    version = _descriptor_version(raw)
    require(type(version) is not int or version == 1, "unknown-version")
    require(len(raw) <= DESCRIPTOR, "too-long")
    outer = decode(raw, M({0: B(1, DESCRIPTOR), 1: B(64)}))
    inner = decode(outer[0], None if "unknown-version" in LENIENT else DESCRIPTOR_MAP)
    check_host(inner[6])
    ed25519_verify(inner[0], outer[1], b"valise1/descriptor" + outer[0])
    require(relay_id is None or relay_id_of(inner[0]) == relay_id, "wrong-relay")
    check_life(inner[12], inner[13]) if now is None else check_dates(inner[12], inner[13], now)
    return inner


DESCRIPTOR_OID = x509.ObjectIdentifier("1.3.6.1.4.1.58270.1.1")


def check_certificate(der, relay_id, now):                                                                   # §6.1
    """Rules 1 and 2; rule 3 is the TLS handshake's."""
    cert = x509.load_der_x509_certificate(der)
    found = [e for e in cert.extensions if e.oid == DESCRIPTOR_OID]
    if not found:
        raise Reject("no-descriptor")
    inner = check_descriptor(found[0].value.value, relay_id, now)
    spki = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    require(hmac.compare_digest(sha256(spki), inner[3]), "wrong-pin")
    return inner
