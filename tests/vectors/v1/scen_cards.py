"""Vectors of §5 and §6: cards, published cards, device requests, descriptors, certificates."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

import v1 as v
from v1 import DAY, HOUR, Rng, encode, sha256
from .world import (ADDRESS, DEV, NOW, OTHER, PROFILE, RELAY_2, RELAY_ID, ROOT, SECOND, adder, card, descriptor, flip, roster, statement)


def scenarios():
    out = []
    V = adder(out)
    accepted(V), refused(V), published(V), requests(V), descriptors(V), certificates(V)
    return out


def st(n, o={}): return [statement(x, o) for x in DEV[:n]]
def days(n, seconds=0): return {3: NOW - n * DAY + seconds}
def root(n): return v.ed25519_pub(ROOT[n])


def known(roots=(0,), epoch=7, bytes_=None):
    out = {f"known-root-{k}": root(n) for k, n in enumerate(roots)} | {"known-epoch": epoch}
    return out | ({"known-roster": bytes_} if bytes_ else {})


def card_adder(V):
    def C(slug, about, expect, raw, spec="§5.3", reader="sender", address=ADDRESS, **more):
        V(f"card-{slug}", spec, about, expect, "card",
          {"address": address, "now": NOW, "reader": reader} | {k.replace("_", "-"): x for k, x in more.items()} | {"card": raw})
    return C


def accepted(V):
    C = card_adder(V)
    C("accept-eight-devices-two-roots", "Eight devices with fresh prekeys, under a second root.", "ok", card(8, roots=2))
    C("accept-edges-of-fresh", "Of four: issued an hour ahead, and 14 days ago less a second, and yesterday under an older epoch, are fresh; "
      "issued an hour and a second ahead is not.", "ok", spec="§5.2 §5.3", raw=card(4, statements=[
          statement(DEV[0], {3: NOW + HOUR}), statement(DEV[1], days(14, 1)), statement(DEV[2], {2: 6}), statement(DEV[3], {3: NOW + HOUR + 1})]))
    C("accept-edges-of-dates", "issued = now + 1 hour, not-after 90 days later, epoch = issued.", "ok",
      card(1, {1: NOW + HOUR, 2: NOW + HOUR, 3: NOW + HOUR + 90 * DAY}))
    C("accept-last-second", "not-after = now + 1. The reader knows this roster and its root.", "ok", card(1, o := {3: NOW + 1}),
      **known(bytes_=roster(1, o)))
    C("accept-appended-root", "The reader knows the first root and an earlier epoch.", "ok", card(1, roots=2), **known(epoch=6))
    C("accept-going-on", "Of five: fresh; 14 days old; 60 days less a second; 60 days; none. The sender goes on: three readers.", "ok",
      reader="sender-goes-on", raw=card(5, statements=[statement(DEV[0]), statement(DEV[1], days(14)), statement(DEV[2], days(60, 1)),
                                                       statement(DEV[3], days(60))]))
    C("accept-relay-without-majority", "A relay accepts a card without a prekey.", "ok", card(2, statements=[]), reader="relay")
    g = v.decode(descriptor())
    C("accept-faulty-descriptors", "Of seven descriptors, the good one and the one that ran out count; a wrong signature, version 2, 91 days, "
      "what is not CBOR and nothing are passed over.", "ok", spec="§5.1", reader="relay", raw=card(1, statements=[], o={5: [
          encode(g | {1: flip(g[1])}), descriptor({12: NOW - 200 * DAY, 13: NOW - 150 * DAY}), descriptor({1: 2, 14: 0}),
          descriptor({12: NOW - DAY, 13: NOW + 90 * DAY}), b"\xff", b"", descriptor()]}))


    second = descriptor(relay=SECOND)
    C("accept-relays-for-reading", "A relay with an inbox and seven for reading: one that counts; what is not CBOR, twice; a wrong signature; version 2; "
      "91 days; nothing.", "ok", spec="§5.1", raw=card(1, {7: [
          b"\xff", second, b"\xff", encode(g | {1: flip(g[1])}), descriptor({1: 2, 14: 0}), descriptor({12: NOW - DAY, 13: NOW + 90 * DAY}), b""]}))


def refused(V):
    C = card_adder(V)
    second, again = descriptor(relay=SECOND), descriptor({7: 444}, relay=SECOND)
    R = lambda slug, about, expect, o: C(f"reject-{slug}", about, expect, card(1, o, []), spec="§5.1", reader="relay")
    R("no-relay-for-reading", "Key 7 without a relay.", "bad-cbor", {7: []})
    R("relay-for-reading-of-2049-bytes", "One of the descriptors for reading, which need not verify, is longer than one may be.", "bad-cbor",
      {7: [second, bytes(2049)]})
    R("eight-relays-for-reading", "Eight descriptors for reading, of which one verifies.", "bad-cbor", {7: [second] + [b""] * 7})
    R("nine-relays-together", "Two relays and seven for reading; one of each verifies.", "too-many-relays", {5: [descriptor(), b""], 7: [second] + [b""] * 6})
    R("relay-for-reading-twice", "Two different descriptors of one relay, both for reading.", "repeated-relay", {7: [second, again]})
    R("relay-for-reading-with-inbox", "A relay for reading that is among the relays, by another descriptor.", "repeated-relay", {5: [descriptor(), again], 7: [second]})
    C("reject-over-32768-bytes", "32,769 bytes, whatever they are.", "too-long", bytes(32769))
    big = {5: [descriptor()] + [bytes(2048)] * 7,
           6: {0: {f"x-{n:02}": "n" * 200 for n in range(16)}, 1: ["l" * 12] * 32, 2: ["f" * 64] * 16, 3: True, 4: "r" * 300}}
    big[6][4] += "r" * (20481 - len(roster(1, big)))
    assert len(roster(1, big)) == 20481 and len(big[6][4]) <= 1000
    C("reject-roster-of-20481-bytes", "Every field within its own limit, the roster a byte too long.", "too-long", card(1, big), spec="§5.1")
    C("reject-descriptor-of-2049-bytes", "One of its descriptors, which need not verify, is longer than one may be.", "bad-cbor", card(1, {5: [descriptor(), bytes(2049)]}, []),
      spec="§5.1", reader="relay")
    C("reject-epoch-zero", "Epoch 0.", "bad-cbor", card(1, {1: 0}, []), spec="§5.1", reader="relay")
    C("reject-key-twice", "Two devices with one identity key.", "repeated-key", spec="§5.1", reader="relay",
      raw=card(2, {4: [DEV[0].pub, DEV[1].pub | {1: DEV[0].pub[1]}]}, []))
    g, g2 = v.decode(card(1)), v.decode(card(1, roots=2))
    C("reject-roster-signature", "One bit of the roster's signature changed.", "bad-signature", encode(g | {2: flip(g[2])}))
    C("reject-roster-signed-by-earlier-root", "The roster is signed by the first of two roots.", "bad-signature",
      encode(g2 | {2: v.ed25519_sign(ROOT[0], b"valise1/roster" + g2[1])}))
    C("reject-statement-signature", "A statement signed by another device than it names.", "bad-signature",
      card(2, statements=[*st(1), statement(DEV[1], signing=DEV[0].signing)]))
    C("reject-first-root-signed", "The first root has a signature.", "bad-chain",
      encode(g | {0: [{0: root(0), 1: v.ed25519_sign(ROOT[0], b"valise1/root" + root(0))}]}))
    C("reject-second-root-unsigned", "The second root has no signature.", "bad-chain", encode(g2 | {0: [g2[0][0], {0: root(1)}]}))
    g3 = v.decode(card(1, roots=3))
    C("reject-third-root-signed-by-first", "The third root is signed by the first, not by the one before it.", "bad-chain",
      encode(g3 | {0: [*g3[0][:2], {0: root(2), 1: v.ed25519_sign(ROOT[0], b"valise1/root" + root(2))}]}))
    C("reject-another-mechanism", "A sound card, not of the address asked for.", "wrong-address", card(1), address=OTHER)
    C("reject-roster-of-another-address", "The roster names another address than the hash of the first root.", "wrong-address", card(1, {0: OTHER}))
    C("reject-issued-too-far-ahead", "issued = now + 1 hour + 1.", "not-yet-valid", card(1, {2: NOW + HOUR + 1}))
    C("reject-expired", "not-after = now. A relay keeps this rule too.", "expired", card(1, {3: NOW}), reader="relay")
    C("reject-over-ninety-days", "not-after − issued is 90 days and a second.", "too-long-lived", card(1, {3: NOW + 80 * DAY + 1}))
    C("reject-not-after-is-issued", "Both half an hour ahead.", "bad-dates", card(1, {2: NOW + 1800, 3: NOW + 1800}))
    C("reject-epoch-above-issued", "epoch = issued + 1.", "epoch-above-issued", card(1, {1: NOW - 10 * DAY + 1}))
    C("reject-foreign-statement", "A statement of a device that is not on the roster.", "foreign-statement", card(1, statements=st(2)))
    C("reject-repeated-statement", "Two statements of one device.", "repeated-statement", card(1, statements=[*st(1), statement(DEV[0], {3: NOW})]))
    C("reject-statement-of-another-address", "A statement that names another address.", "wrong-address", card(1, statements=st(1, {0: OTHER})))
    C("reject-newer-epoch-in-statement", "A statement with epoch 8 under a roster of epoch 7.", "newer-epoch-in-statement", card(1, statements=st(1, {2: 8})))
    C("reject-small-order-prekey", "A statement whose X25519 key is 1.", "small-order-key", card(1, statements=st(1, {4: bytes([1]) + bytes(31)})), spec="§5.2")
    C("reject-ek-modulus", "A statement whose ek has the coefficient 4095.", "bad-kem-key", spec="§1",
      raw=card(1, statements=st(1, {5: b"\xff\xff" + DEV[0].prekey[1][2:]})))
    C("reject-statement-not-yet-valid-at-relay", "A statement issued an hour and a second ahead.", "statement-not-yet-valid", reader="relay",
      raw=card(1, statements=st(1, {3: NOW + HOUR + 1})))
    C("reject-rolled-back", "Epoch 7 where the reader knows 8.", "rolled-back", card(1), **known(epoch=8))
    C("reject-fewer-roots", "One root where the reader knows that and a second; the epoch is higher.", "other-roots", card(1, {1: 8}), **known((0, 1)))
    C("reject-other-second-root", "A second root, but not the one that the reader knows; the epoch is higher.", "other-roots",
      v.make_card([ROOT[0], ROOT[2]], roster(1, {1: 8}), st(1)), **known((0, 1)))
    C("reject-other-roster-of-known-epoch", "Epoch 7 with other bytes than the reader knows.", "other-roster", card(1),
      **known(bytes_=roster(1, {3: NOW + 59 * DAY})))
    C("reject-two-of-four-fresh", "Half is not more than half: one statement is 14 days old, one an hour and a second ahead.", "too-few-fresh",
      card(4, statements=[*st(2), statement(DEV[2], days(14)), statement(DEV[3], {3: NOW + HOUR + 1})]))
    C("reject-going-on-without-reader", "The only statement is 60 days old.", "no-reader", card(1, statements=st(1, days(60))), reader="sender-goes-on")


def published(V):
    def P(slug, about, expect, held, new, link=DEV[0].pub[2]):
        V(f"publish-{slug}", "§5.3 §7.3", about, expect, "publish", ({"held": held} if held else {}) |
          {"client-static": link, "now": NOW, "card": new})

    P("accept-first", "The first card, with one statement of two devices.", "ok", None, card(2, statements=st(1)))
    key = lambda n: {4: DEV[n].prekey[0]}
    P("accept-merge", "By device: newer published; older published; of the same second; held only; not held. The roster's order, not the card's.", "ok",
      card(5, statements=[statement(d) for d in (DEV[3], DEV[2], DEV[1], DEV[0])]),
      card(5, statements=[statement(DEV[4]), statement(DEV[0], {3: NOW} | key(5)), statement(DEV[1], days(2) | key(6)), statement(DEV[2], key(7))]),
      DEV[4].pub[2])
    P("accept-higher-epoch-drops-removed-device", "Epoch 8 under a second root, without the second device: its statement goes. The held card ran out.", "ok",
      card(2, {2: NOW - 50 * DAY, 3: NOW - DAY}), card(1, {1: 8}, [], roots=2))
    P("reject-not-a-device", "The link's key is a device's identity key.", "refused-6", None, card(1, statements=[]), DEV[0].pub[1])
    P("reject-lower-epoch", "Epoch 6 where 7 is held.", "refused-8", card(1, statements=[]), card(1, {1: 6}, []))
    P("reject-another-roster-with-same-epoch", "Two different rosters with epoch 7.", "refused-8", card(1, statements=[]), card(2, statements=[]))
    P("reject-fewer-roots", "One root where two are held; the epoch is higher.", "refused-8", card(1, statements=[], roots=2), card(1, {1: 8}, []))


def requests(V):
    rq = v.make_device_request(ADDRESS, DEV[0].signing, DEV[0].identity, DEV[0].link)
    Q = lambda slug, about, expect, raw: V(f"device-request-{slug}", "§5.6 §2.3", about, expect, "device-request", {"request": raw})
    Q("accept", "A request, its text, its comparison words.", "ok", rq)
    Q("reject-signature", "The link key was exchanged after signing.", "bad-signature", encode(v.decode(rq) | {3: DEV[1].pub[2]}))


def descriptors(V):
    def S(slug, about, expect, raw, spec="§6", rid=RELAY_ID):
        V(f"descriptor-{slug}", spec, about, expect, "descriptor", {"relay-id": rid, "now": NOW, "descriptor": raw})

    S("accept", "With the next keys; issued = now + 1 hour, not-after 90 days later.", "ok",
      descriptor({4: bytes(range(32)), 5: bytes(range(1, 33)), 12: NOW + HOUR, 13: NOW + HOUR + 90 * DAY}))
    g = descriptor()
    o = v.decode(g)
    S("reject-signature", "One bit of the signature changed.", "bad-signature", encode(o | {1: flip(o[1])}))
    S("reject-another-relay", "Sound, but not of the relay id expected.", "wrong-relay", g, rid=RELAY_2)
    S("reject-not-yet-valid", "issued = now + 1 hour + 1.", "not-yet-valid", descriptor({12: NOW + HOUR + 1}))
    S("reject-expired", "not-after = now.", "expired", descriptor({13: NOW}))
    S("reject-over-ninety-days", "not-after − issued is 90 days and a second.", "too-long-lived", descriptor({13: NOW + 89 * DAY + 1}))
    S("reject-dates-not-in-order", "issued is half an hour ahead, not-after a quarter.", "bad-dates", descriptor({12: NOW + 1800, 13: NOW + 900}))
    S("reject-version-2", "Version 2 with a key 14, soundly signed: told as an unknown version.", "unknown-version", descriptor({1: 2, 14: 0}), spec="§1 §6")
    S("reject-host", "A host without a name between its dots.", "bad-host", descriptor({6: "mail..example.org"}), spec="§2.2 §6")
    S("reject-retention", "The shortest retention is longer than the longest.", "bad-cbor", descriptor({10: [46, 45]}))
    S("reject-33-ingress-ids", "33 relay ids.", "bad-cbor", descriptor({11: [bytes([n]) * 32 for n in range(33)]}))


def certificates(V):
    ed = Ed25519PrivateKey.from_private_bytes(Rng("valise vectors 1/tls")(32))
    p256 = ec.derive_private_key(int.from_bytes(Rng("valise vectors 1/tls-p256")(31), "big"), ec.SECP256R1())
    pin = lambda key: sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def T(slug, about, expect, ext, key=ed, **o):
        day, name = datetime.datetime(2020, 1, 1), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anything")])
        b = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
             .not_valid_before(day).not_valid_after(day + datetime.timedelta(1)))
        if ext is not None:
            b = b.add_extension(x509.UnrecognizedExtension(v.DESCRIPTOR_OID, ext), critical=False)
        signed = b.sign(key, None) if key is ed else b.sign(key, SHA256(), ecdsa_deterministic=True)
        V(f"certificate-{slug}", "§6.1", about, expect, "certificate",
          {"relay-id": RELAY_ID, "now": NOW, "certificate": signed.public_bytes(Encoding.DER)} | o)

    T("accept-ed25519", "The descriptor in the extension; the certificate's own dates are past.", "ok", descriptor({3: pin(ed)}))
    T("accept-p256", "The same with an ECDSA key.", "ok", descriptor({3: pin(p256)}), p256)
    T("reject-next-pin-only", "The certificate's key is only the descriptor's next one.", "wrong-pin", descriptor({4: bytes(range(32)), 5: pin(ed)}))
    T("reject-no-extension", "No descriptor.", "no-descriptor", None)
