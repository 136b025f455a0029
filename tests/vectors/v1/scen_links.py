"""Vectors of §7: the handshake, frames, requests, answers, who may poll."""
import v1 as v
from v1 import Rng, encode
from . import ops
from .world import ADDRESS, DEFENDER, DEV, FILE_KEYS, Key, PHOTO, RELAY, RELAY_2, RELAY_ID, adder, card, content, flip


def scenarios():
    out = []
    V = adder(out)
    links(V), requests(V), parcel_requests(V), answers(V), parcel_answers(V), polls(V), gets(V), writes(V)
    return out


def cut(header, att=b"", n=1, tail=b""):
    """The plaintexts of n frames."""
    raw = header if type(header) is bytes else encode(header)
    plain = (v.u16(len(raw)) + raw + att).ljust(n * v.FRAME - len(tail), b"\0") + tail
    return {f"frame-{k}": plain[k * v.FRAME:(k + 1) * v.FRAME] for k in range(n)}


def links(V):
    r = Rng("valise vectors 1/link")
    base = {"relay-static-private": RELAY.identity, "relay-id": RELAY_ID, "client-static-private": r(32),
            "client-ephemeral-private": r(32), "client-kem-seed": r(64), "relay-ephemeral-private": r(32), "relay-encaps-randomness": r(32)}
    pick = lambda *names: {k: base[k] for k in base if k in names}
    up, down = cut({0: 1, 1: ADDRESS}), cut({0: 0, 1: 7}, n=2)
    V("link-accept", "§7.1 §7.2", "Both ends: three messages, the keys, a card request up and a refusal down (2 frames).", "ok", "link",
      base | {"up-0-plain": up["frame-0"], "down-0-plain": down["frame-0"], "down-1-plain": down["frame-1"]})
    whole = ops.op_link(base)
    m1, m2 = whole["message-1"], whole["message-2"]
    k1 = ("relay-static-private", "relay-id")
    k2 = k1 + ("client-static-private", "client-ephemeral-private", "client-kem-seed")
    k3 = k1 + ("relay-ephemeral-private", "relay-encaps-randomness")
    L1 = lambda slug, about, expect, m, **o: V(f"link-message-1-{slug}", "§7.1", about, expect, "link-read-1", pick(*k1) | o | {"message-1": m})
    L2 = lambda slug, about, expect, m: V(f"link-message-2-{slug}", "§7.1", about, expect, "link-read-2", pick(*k2) | {"message-2": m})
    L3 = lambda slug, about, expect, m: V(f"link-message-3-{slug}", "§7.1", about, expect, "link-read-3", pick(*k3) | {"message-1": m1, "message-3": m})
    static = v.x25519_pub(base["relay-static-private"])

    def client(**o):
        c = v.Client(static, RELAY_ID, base["client-static-private"], base["client-ephemeral-private"], base["client-kem-seed"], dh=v.x25519_lax)
        for k, x in o.items():
            setattr(c, k, x)
        return c

    L1("reject-another-relay-id", "The relay's id is another than the one in the prologue.", "bad-handshake", m1, **{"relay-id": RELAY_2})
    L1("reject-ek-modulus", "The first coefficient of ek is 4095, properly encrypted.", "bad-kem-key", client(ek=b"\xff\xff" + client().ek[2:]).message_1())
    L1("reject-ephemeral-zero", "e is zero: the shared secret is zero.", "zero-dh", client(e=None).message_1())

    def answer(payload=None, e=base["relay-ephemeral-private"]):
        s = v.Relay(base["relay-static-private"], RELAY_ID)
        s.hs.dh = v.x25519_lax
        s.read_1(m1)
        return s.message_2(e, base["relay-encaps-randomness"], payload or v.payload_2())

    L2("reject-ephemeral-zero", "The relay's e is zero: the shared secret is zero.", "zero-dh", answer(e=None))
    L2("reject-reserved-not-zero", "The last reserved byte is 1.", "reserved-not-zero", answer(v.payload_2(reserved=bytes(57) + b"\1")))
    L2("reject-version-2", "Version 2, and an effort: told as an unknown version.", "unknown-version", answer(v.payload_2(1, version=2)))
    L2("reject-effort", "An effort of 1.", "effort-not-zero", answer(v.payload_2(effort=1)))
    c = client()
    c.message_1(), c.read_2(m2)
    c.hs.s = None
    L3("reject-static-zero", "s is zero: the shared secret is zero.", "zero-dh", c.message_3())
    c = v.Cipher(whole["key-up"])
    frames = [v.frame_encrypt(c, bytes([n]) * v.FRAME) for n in range(2)]
    V("frame-reject-out-of-order", "§7.2", "The second frame where the first is due.", "bad-frame", "frame",
      {"key": whole["key-up"], "counter": 0, "frame": frames[1]})


DEP = {0: 2, 1: 0, 2: ADDRESS, 3: bytes(range(32)), 4: b""}
POLL = {0: 3, 1: 1, 2: bytes(range(32)), 3: 0, 4: [], 5: 0}
CARD = {0: 1, 1: ADDRESS}
ENV = b"".join(bytes([n]) * 8192 for n in range(1, 9))
_, WRITE_KEY, WRITE_PUBLIC, NAMESPACE = FILE_KEYS(PHOTO[3])
GRANT = bytes(range(0x60, 0x70))
HAVE = {0: 5, 1: NAMESPACE}
PUT = {0: 6, 1: NAMESPACE, 3: 300, 4: GRANT}
GET = {0: 7, 1: ADDRESS, 2: NAMESPACE, 3: 300}
WITHDRAW = {0: 8, 1: ADDRESS, 3: DEFENDER.tag(content(), RELAY_ID)["withdraw"]}
DELETE = {0: 9, 1: NAMESPACE}
PARCEL = b"".join(bytes([n]) * 32768 for n in range(1, 9))


def requests(V):
    c = card(1)
    Q = lambda slug, about, expect, frames, spec="§7.3": V(f"request-{slug}", spec, about, expect, "request", frames)
    Q("accept-card", "Kind 1, one frame.", "ok", cut(CARD))
    Q("accept-deposit", "Kind 2, four frames.", "ok", cut(DEP, ENV, 4))
    Q("accept-poll", "Kind 3, one frame, with 256 removals and the longest wait.", "ok",
      cut(POLL | {1: 0, 2: ADDRESS, 3: 2**64 - 1, 4: [bytes([n]) * 32 for n in range(256)], 5: 100}))
    Q("accept-publish", "Kind 4, two frames.", "ok", cut({0: 4, 1: len(c)}, c, 2))
    Q("reject-unknown-kind", "Kind 10: refused in one frame.", "unknown-kind", cut({0: 10}))
    Q("reject-header-not-deterministic", "The kind in two bytes: refused in one frame.", "bad-cbor", cut(bytes.fromhex("a2001801015820") + ADDRESS))
    Q("reject-wait-of-101", "A poll whose header asks to wait too long: refused in one frame.", "bad-cbor", cut(POLL | {5: 101}))
    Q("reject-target-of-deposit", "A deposit to a target that there is not: refused in one frame, whatever follows.", "bad-cbor", cut(DEP | {1: 3}, ENV, 4))
    Q("reject-header-of-16623", "The header's length says 16,623.", "bad-length", {"frame-0": (v.u16(16623) + encode(CARD)).ljust(v.FRAME, b"\0")}, spec="§7.2")
    Q("reject-padding-of-card", "The byte after the header is 1: refused in the two frames of a card request.", "bad-padding", cut(CARD, b"\1"), spec="§7.2 §7.3")
    Q("reject-padding-of-poll", "The last byte of the frame is 1: refused in the four frames of a poll.", "bad-padding", cut(POLL, tail=b"\1"), spec="§7.2 §7.3")
    Q("reject-padding-of-deposit", "The last byte of a deposit's fourth frame is 1.", "bad-padding", cut(DEP, ENV, 4, b"\1"), spec="§7.2")
    good = [CARD, DEP, DEP | {1: 2, 2: bytes(32)}, POLL, POLL | {4: [bytes(32)] * 2}, {0: 4, 1: 0}, {0: 4, 1: 32768}]
    bad = [{0: 1}, {0: 1, 1: ADDRESS[:31]}, CARD | {2: 0}, DEP | {1: 3}, DEP | {2: bytes(33)}, DEP | {3: bytes(31)}, DEP | {4: bytes(257)},
           {k: x for k, x in DEP.items() if k != 4}, POLL | {1: 2}, POLL | {4: [bytes(32)] * 257}, POLL | {4: [bytes(31)]}, POLL | {5: 101},
           POLL | {3: b""}, {0: 4, 1: 32769}, {0: 4, 1: 1, 2: 0}, {0: False, 1: ADDRESS}, {}, []]
    table(V, "request-headers", "§7.3", "Lengths, targets, proof of work, removals, wait, keys missing or not given.", good, bad)


def parcel_requests(V):
    Q = lambda slug, about, expect, frames, spec="§7.3": V(f"request-{slug}", spec, about, expect, "request", frames)
    drop = lambda h, key: {k: x for k, x in h.items() if k != key}
    Q("accept-have", "Kind 5, one frame.", "ok", cut(HAVE))
    Q("accept-put", "Kind 6, sixteen frames.", "ok", cut(PUT, PARCEL, 16))
    Q("accept-put-largest-number", "A put of parcel 16,383.", "ok", cut(PUT | {3: 16383}, PARCEL, 16))
    Q("accept-get", "Kind 7, one frame.", "ok", cut(GET))
    Q("accept-withdraw", "Kind 8, one frame: the preimage of a submission's withdraw hash.", "ok", cut(WITHDRAW), "§3 §4.4 §7.3")
    Q("accept-delete", "Kind 9, one frame.", "ok", cut(DELETE))
    Q("reject-put-of-parcel-16384", "The number is one too high: refused in one frame.", "bad-cbor", cut(PUT | {3: 16384}, PARCEL, 16))
    Q("reject-put-with-grant-of-15", "The grant is a byte too short: refused in one frame.", "bad-cbor", cut(PUT | {4: GRANT[:15]}, PARCEL, 16))
    Q("reject-put-with-grant-of-17", "The grant is a byte too long: refused in one frame.", "bad-cbor", cut(PUT | {4: GRANT + b"p"}, PARCEL, 16))
    Q("reject-put-without-grant", "Key 4 is missing: refused in one frame.", "bad-cbor", cut(drop(PUT, 4), PARCEL, 16))
    Q("reject-put-with-namespace-of-31", "The namespace is a byte too short: refused in one frame.", "bad-cbor", cut(PUT | {1: NAMESPACE[:31]}, PARCEL, 16))
    Q("reject-get-of-parcel-16384", "The number is one too high: refused in one frame.", "bad-cbor", cut(GET | {3: 16384}))
    Q("reject-get-without-address", "Key 1 is missing: refused in one frame.", "bad-cbor", cut(drop(GET, 1)))
    Q("reject-have-of-31", "The namespace is a byte too short: refused in one frame.", "bad-cbor", cut(HAVE | {1: NAMESPACE[:31]}))
    Q("reject-withdraw-of-31", "The preimage is a byte too short: refused in one frame.", "bad-cbor", cut(WITHDRAW | {3: bytes(31)}))
    Q("reject-delete-with-33", "The namespace is a byte too long: refused in one frame.", "bad-cbor", cut(DELETE | {1: NAMESPACE + b"\0"}))
    for name, h, where in (("have", HAVE, "one frame of a have"), ("get", GET, "sixteen frames of a get"), ("withdraw", WITHDRAW, "one frame of a withdraw"),
                           ("delete", DELETE, "one frame of a delete")):
        Q(f"reject-padding-of-{name}", f"The last byte of the frame is 1: refused in the {where}.", "bad-padding", cut(h, tail=b"\1"), "§7.2 §7.3")
    Q("reject-padding-of-put", "The last byte of a put's sixteenth frame is 1: refused in one frame.", "bad-padding", cut(PUT, PARCEL, 16, b"\1"), "§7.2 §7.3")
    Q("reject-put-of-parcel-long-by-one", "A byte more follows the 262,144 of the parcel: it stands in the padding.", "bad-padding",
      cut(PUT, PARCEL + b"\1", 16), "§7.2 §7.3")
    good = [HAVE, PUT | {3: 0}, PUT | {3: 16383}, GET | {3: 0}, GET | {3: 16383}, WITHDRAW, DELETE]
    bad = [*(drop(h, key) for h in (HAVE, PUT, GET, WITHDRAW, DELETE) for key in h if key),
           *(h | {key: bytes(size)} for h, key in ((HAVE, 1), (PUT, 1), (GET, 1), (GET, 2), (WITHDRAW, 1), (WITHDRAW, 3), (DELETE, 1)) for size in (31, 33)),
           PUT | {3: 16384}, GET | {3: 16384}, PUT | {3: 2**64 - 1}, GET | {3: b""}, PUT | {4: GRANT[:15]}, PUT | {4: GRANT + b"p"}, PUT | {4: b""},
           HAVE | {2: 0}, PUT | {2: NAMESPACE}, GET | {4: GRANT}, WITHDRAW | {2: 0}, DELETE | {2: 0}, DELETE | {3: 0}]
    table(V, "request-headers", "§7.3", "The requests about parcels: keys missing or not given, 31 and 33 bytes, numbers, grants.", good, bad, "of-parcels")


def table(V, op, spec, about, good, bad, slug="table"):
    V(f"{op}-{slug}", spec, about, "ok", op, {f"good-{n}": encode(x) for n, x in enumerate(good)} | {f"bad-{n}": encode(x) for n, x in enumerate(bad)})


def answers(V):
    c = card(1)
    A = lambda slug, about, expect, kind, frames: V(f"answer-{slug}", "§7.2 §7.4", about, expect, "answer", {"request-kind": kind} | frames)
    A("accept-card", "A card in two frames.", "ok", 1, cut({0: 1, 1: len(c)}, c, 2))
    A("accept-item", "An envelope, and two more wait.", "ok", 3, cut({0: 3, 1: 2, 2: 9, 3: True}, ENV, 4))
    A("accept-no-item", "Nothing there.", "ok", 3, cut({0: 3, 1: 0, 2: 7, 3: False}, n=4))
    A("accept-refusal-of-poll", "A refusal has the frames of the request that it answers.", "ok", 3, cut({0: 0, 1: 6}, n=4))
    A("accept-refusal-1-in-one-frame", "The header of a poll was malformed.", "ok", 3, cut({0: 0, 1: 1}))
    A("accept-refusal-1-in-four-frames", "The padding of a poll was malformed.", "ok", 3, cut({0: 0, 1: 1}, n=4))
    A("reject-envelope-though-absent", "Not present, but a byte where the envelope would be.", "bad-padding", 3, cut({0: 3, 1: 0, 2: 0, 3: False}, b"\1", n=4))
    good = [{0: 0, 1: 1}, {0: 0, 1: 13}, {0: 1, 1: 32768}, *({0: 2, 1: n, 4: GRANT} for n in range(3)), {0: 3, 1: 2**32 - 1, 2: 2**64 - 1, 3: True}, {0: 4}]
    bad = [{0: 0}, {0: 0, 1: 0}, {0: 0, 1: 14}, {0: 1, 1: 32769}, {0: 2, 1: 3, 4: GRANT}, {0: 2, 4: GRANT}, {0: 2, 1: 0}, {0: 2, 1: 0, 4: GRANT[:15]},
           {0: 2, 1: 0, 4: GRANT + b"p"}, {0: 3, 1: 2**32, 2: 9, 3: True}, {0: 3, 1: 0, 2: 9, 3: 1},
           {0: 3, 1: 0, 2: 9}, {0: 4, 1: 0}, {}]
    table(V, "answer-headers", "§7.4", "Lengths, counts, values, keys missing or not given.", good, bad)


def parcel_answers(V):
    A = lambda slug, about, expect, kind, frames: V(f"answer-{slug}", "§7.2 §7.4", about, expect, "answer", {"request-kind": kind} | frames)
    held = lambda *numbers: {0: 5, 4: v.set_of(numbers)}
    A("accept-stored", "An envelope was stored, and here is a grant.", "ok", 2, cut({0: 2, 1: 0, 4: GRANT}))
    A("accept-held", "Five parcels.", "ok", 5, cut(held(0, 7, 8, 300, 1000)))
    A("accept-held-none", "No parcel.", "ok", 5, cut(held()))
    A("accept-held-all", "All 16,384.", "ok", 5, cut(held(*range(16384))))
    A("accept-kept", "A parcel was stored.", "ok", 6, cut({0: 6, 1: 0}))
    A("accept-parcel", "A parcel in sixteen frames.", "ok", 7, cut({0: 7, 3: True}, PARCEL, 16))
    A("accept-no-parcel", "It is not there: sixteen frames too.", "ok", 7, cut({0: 7, 3: False}, n=16))
    A("accept-withdrawn", "One envelope.", "ok", 8, cut({0: 8, 1: 1}))
    A("accept-deleted", "As many parcels as there can be.", "ok", 9, cut({0: 9, 1: 16384}))
    A("accept-refusal-of-put", "Another parcel is stored under that number.", "ok", 6, cut({0: 0, 1: 11}))
    A("accept-refusal-of-get", "A refusal has the frames of the request that it answers.", "ok", 7, cut({0: 0, 1: 6}, n=16))
    A("accept-refusal-1-of-get-in-one-frame", "The header of a get was malformed.", "ok", 7, cut({0: 0, 1: 1}))
    A("reject-stored-without-grant", "Key 4 is missing.", "bad-cbor", 2, cut({0: 2, 1: 0}))
    A("reject-grant-of-15", "The grant is a byte too short.", "bad-cbor", 2, cut({0: 2, 1: 0, 4: GRANT[:15]}))
    A("reject-grant-of-17", "The grant is a byte too long.", "bad-cbor", 2, cut({0: 2, 1: 0, 4: GRANT + b"p"}))
    A("reject-held-with-last-byte-zero", "A zero byte after the last that is not.", "bad-cbor", 5, cut({0: 5, 4: v.set_of([0, 7, 8]) + b"\0"}))
    A("reject-held-one-byte-of-zero", "The empty set in one byte.", "bad-cbor", 5, cut({0: 5, 4: b"\0"}))
    A("reject-held-of-2049-bytes", "A parcel 16,384.", "bad-cbor", 5, cut(held(16384)))
    A("reject-kept-2", "A value that there is not.", "bad-cbor", 6, cut({0: 6, 1: 2}))
    A("reject-parcel-though-absent", "Not present, but a byte where the parcel would be.", "bad-padding", 7, cut({0: 7, 3: False}, b"\1", n=16))
    A("reject-parcel-long-by-one", "A byte more follows the parcel.", "bad-padding", 7, cut({0: 7, 3: True}, PARCEL + b"\1", 16))
    A("reject-parcel-in-fifteen-frames", "A frame is missing.", "wrong-length", 7, cut({0: 7, 3: False}, n=15))
    A("reject-withdrawn-2", "More than one envelope.", "bad-cbor", 8, cut({0: 8, 1: 2}))
    A("reject-deleted-16385", "More parcels than there can be.", "bad-cbor", 9, cut({0: 9, 1: 16385}))
    A("reject-kept-as-answer-to-get", "An answer of another kind than the request's.", "wrong-kind", 7, cut({0: 6, 1: 0}, n=16))
    A("reject-unknown-kind", "Kind 10.", "unknown-kind", 9, cut({0: 10}))
    good = [held(), held(0), held(16383), {0: 6, 1: 0}, {0: 6, 1: 1}, {0: 7, 3: False}, {0: 7, 3: True}, {0: 8, 1: 0}, {0: 8, 1: 1}, {0: 9, 1: 0},
            {0: 9, 1: 16384}]
    bad = [{0: 5}, {0: 5, 4: b"\0"}, {0: 5, 4: b"\1\0"}, held(16384), held(0) | {1: 1}, {0: 6}, {0: 6, 1: 2}, {0: 6, 1: False}, {0: 7}, {0: 7, 3: 0}, {0: 7, 1: 1, 3: True},
           {0: 8}, {0: 8, 1: 2}, {0: 8, 1: True}, {0: 9}, {0: 9, 1: 16385}, {0: 9, 1: 0, 3: 0}]
    table(V, "answer-headers", "§7.4", "The answers about parcels: sets, counts, values, keys missing or not given.", good, bad, "of-parcels")
    S = lambda slug, about, expect, header: V(f"held-{slug}", "§7.4", about, expect, "held", {"header": encode(header)})
    S("accept", "Parcel i is bit 7 − i mod 8 of byte ⌊i / 8⌋.", "ok", held(0, 1, 7, 8, 14, 300, 1000))
    S("accept-largest-number", "The last parcel alone.", "ok", held(16383))


def gets(V):
    L = lambda slug, about, expect, key: V(f"get-{slug}", "§7.3", about, expect, "get", {"client-static": key} | ks | {"header": encode(GET)})
    ks = {f"roster-link-key-{n}": k.pub[2] for n, k in enumerate(DEV[:2])}
    L("accept-device", "A device of the roster.", "ok", DEV[1].pub[2])
    L("reject-stranger", "The identity key of a device of the roster, not its link key.", "refused-6", DEV[1].pub[1])


def writes(V):
    L = lambda slug, about, expect, header, key: V(f"write-{slug}", "§7.3 §9.1", about, expect, "write", {"client-static": key, "header": encode(header)})
    L("accept-put", "The static key is the public key of W.", "ok", PUT, WRITE_PUBLIC)
    L("accept-delete", "The static key is the public key of W.", "ok", DELETE, WRITE_PUBLIC)
    L("reject-put-by-a-fresh-key", "A key of nobody, which has only seen the namespace.", "refused-6", PUT, Key("poller").pub[2])
    L("reject-delete-by-a-device", "The link key of a device, which may get, and not delete.", "refused-6", DELETE, DEV[0].pub[2])
    L("reject-put-by-the-key-for-one-addressee", "The write key of the same file, but of the base R.", "refused-6", PUT, FILE_KEYS(PHOTO[3], ADDRESS)[2])
    L("reject-put-by-the-write-key-itself", "The 32 bytes of W where its public key should be, and the namespace of the public key.", "refused-6", PUT, WRITE_KEY)
    L("reject-put-to-a-mailbox-of-the-key", "The return mailbox of the key where the namespace of the key should be.", "refused-6",
      PUT | {1: v.mailbox_of(WRITE_PUBLIC)}, WRITE_PUBLIC)


def polls(V):
    mk = Key("poller")
    L = lambda slug, about, expect, header, key, **o: V(f"poll-{slug}", "§7.3", about, expect, "poll", {"client-static": key} | o | {"header": encode(header)})
    ks = {f"roster-link-key-{n}": k.pub[2] for n, k in enumerate(DEV[:2])}
    L("accept-return-mailbox", "The mailbox of the link's own key.", "ok", POLL | {2: v.mailbox_of(mk.pub[2])}, mk.pub[2])
    L("accept-inbox", "A device of the roster.", "ok", POLL | {1: 0, 2: ADDRESS}, DEV[1].pub[2], **ks)
    L("reject-return-mailbox-of-another-key", "Another key's mailbox.", "refused-6", POLL | {2: v.mailbox_of(mk.pub[2])}, mk.pub[1])
    L("reject-inbox-by-stranger", "The identity key of a device of the roster, not its link key.", "refused-6", POLL | {1: 0, 2: ADDRESS}, DEV[1].pub[1], **ks)
