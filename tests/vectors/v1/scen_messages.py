"""Vectors of §4: envelopes, messages, contents."""
import v1 as v
from v1 import Rng, encode
from . import ops
from .world import (ADDRESS, DEFENDER, DEV, FILES, HOUR_NOW, LIST_FILE, OTHER, PHOTO, RELAY_2, RELAY_ID, ROOT, adder, array_of,
                    attachment, content, flip, proof, roster, submission)


def scenarios():
    out = []
    V = adder(out)
    envelopes(V), messages(V), contents(V)
    return out


SUB, SEND = submission(DEFENDER), v.x25519_pub(DEFENDER.send)
SID, RID = DEFENDER.tag(content(), RELAY_ID)["id"], bytes(range(16))
ACK = {0: 2, 1: RID, 2: SID, 3: HOUR_NOW, 4: proof()}
REPLY = ACK | {0: 3, 5: "We have it."}
COPY = {0: 4, 1: RID, 2: SID, 3: HOUR_NOW, 4: SEND}


def of_size(size):
    """A content of so many bytes, with an array of a hundred files."""
    files = [attachment(n) for n in range(100)]
    c = content(text="a" * (size - len(content(text="a" * 40000, files=files)) + 40000), files=files)
    assert len(c) == size
    return c


def envelopes(V):
    d = DEFENDER
    me = {"address": ADDRESS, "prekey-0-x25519-private": DEV[0].x, "prekey-0-kem-seed": DEV[0].seed}
    mine = {"address": ADDRESS, "prekey-0-x25519-private": d.reply, "prekey-0-kem-seed": d.reply_kem}

    def make(seed, message=SUB, prekeys=(DEV[0].prekey,), writer=d.send, address=ADDRESS, tweak=None, **bad):
        r = Rng("valise vectors 1/envelope/" + seed)
        K, salt = r(32), r(16)
        slots = v.plan_slots(list(prekeys), writer, K, r)
        if tweak:
            tweak(slots, K)
        return v.seal(K, salt, message, address, slots, **bad)

    def E(slug, about, expect, raw, who=me, spec="§4.3"):
        V(f"envelope-{slug}", spec, about, expect, "open", who | {"envelope": raw})

    V("readers-reject-nine", "§4.2", "More than eight readers are refused by the writer.", "too-many-readers", "readers", {"readers": 9})
    r = Rng("valise vectors 1/seal")
    K, salt, i, todo = r(32), r(16), {}, []
    todo = [(k.x, k.seed, K) for k in DEV[:3]] + [(r(32), r(64), r(32)) for _ in range(5)]
    for a in range(7, 0, -1):
        b = int.from_bytes(r(4), "big") % (a + 1)
        todo[a], todo[b] = todo[b], todo[a]
    for k, (x, s, p) in enumerate(todo):
        i |= {f"slot-{k}-x25519-private": x, f"slot-{k}-kem-seed": s, f"slot-{k}-payload": p,
              f"slot-{k}-ephemeral-private": r(32), f"slot-{k}-encaps-randomness": r(32)}
    base = {"K": K, "salt": salt, "address": ADDRESS, "writer-private": d.send, "message": SUB}
    V("envelope-seal-accept", "§4.1 §4.2", "Every input of an envelope to three devices, and the envelope.", "ok", "seal", base | i)
    E("accept-submission", "The third device opens it with the second of its two prekeys.", "ok", ops.op_seal(base | i)["envelope"],
      {"address": ADDRESS, "prekey-0-x25519-private": DEV[8].x, "prekey-0-kem-seed": DEV[8].seed,
       "prekey-1-x25519-private": DEV[2].x, "prekey-1-kem-seed": DEV[2].seed})
    E("accept-reply", "A reply, opened by the defender.", "ok",
      make("reply", encode(REPLY), [(v.x25519_pub(d.reply), v.kem_ek(d.reply_kem))], DEV[1].identity), mine, "§4.2 §4.3")
    E("reject-short-by-one", "65,535 bytes, zeros but for the first.", "wrong-length", bytes([0, 1, 0, 2]) + bytes(65531))
    E("reject-version-2", "Version 2, of another length: the version is looked at before anything else.", "unknown-version",
      bytes([0, 2, 0, 2]) + bytes(70000), spec="§1 §4.3")
    E("reject-suite-1", "Suite 1; nothing else in it opens either, but the suite is told before.", "unknown-suite", bytes([0, 1, 0, 1]) + bytes(65532))
    E("reject-no-slot-opens", "Zeros behind the header's first bytes.", "not-ours", bytes([0, 1, 0, 2]) + bytes(65532))
    E("reject-reserved-not-zero", "Byte 15 is 1, otherwise consistent.", "reserved-not-zero", make("reserved", reserved=bytes(11) + b"\1"))
    good = make("plain")
    E("reject-body-altered-after-sealing", "One bit of the body changed: D changes, and no slot opens.", "not-ours", flip(good))
    at = ops.op_open(me | {"envelope": good})["slot"]
    order = list(range(8))
    order[at], order[(at + 1) % 8] = order[(at + 1) % 8], at
    E("reject-slot-moved", "The device's slot stands one place further (its neighbour in its place).", "not-ours",
      good[:64] + b"".join(good[64 + 1216 * k:64 + 1216 * (k + 1)] for k in order) + good[9792:])
    E("reject-other-address-in-prologue", "Sealed to this device's prekey, under another mechanism's address.", "not-ours", make("address", address=OTHER))

    def zero_writer(slots, K):
        for s in slots:
            s |= dict(writer=None, dh=v.x25519_lax)

    def two_slots(slots, K):
        x, ek = DEV[0].prekey
        slots[2] |= dict(x=x, ek=ek, payload=bytes(range(32)))
        slots[5] |= dict(x=x, ek=ek, payload=K)

    E("reject-writer-key-of-small-order", "The writer's static key is zero: DH(s, s) is zero, no slot opens.", "not-ours",
      make("zero-s", tweak=zero_writer), spec="§1 §4.3")
    E("reject-first-slot-decides", "Slots 2 and 5 open with the prekey; 5 holds K, 2 another value.", "bad-commitment",
      make("two", prekeys=[], tweak=two_slots))
    E("reject-commitment", "The commitment is not that of K; slots and body are consistent with the header.", "bad-commitment",
      make("commitment", commitment=bytes(range(32))))
    E("reject-body", "The body's tag is wrong, and the slots are sealed to that body.", "bad-body", make("body", spoil_body=True))
    pad = lambda n, m, tail=b"": (v.u32(n) + m).ljust(55728 - len(tail), b"\0") + tail
    E("reject-length-55725", "The length field says 55,725.", "bad-length", make("length", padded=pad(55725, SUB)))
    E("reject-nonzero-padding", "The last byte of the padded message is 1.", "bad-padding", make("padding", padded=pad(len(SUB), SUB, b"\1")))


def messages(V):
    d = DEFENDER
    ident = {f"current-identity-{n}": k.pub[1] for n, k in enumerate(DEV[:2])}

    def G(slug, about, expect, raw, mailbox="inbox", writer=SEND, spec="§4.5", **more):
        raw = raw if type(raw) is bytes else encode(raw)
        V(f"message-{slug}", spec, about, expect, "message",
          {"mailbox": mailbox, "address": ADDRESS, "writer": writer} | more | {"message": raw})

    w = dict(mailbox="return", writer=DEV[1].pub[1], **ident)
    wc = dict(writer=DEV[1].pub[1], **ident)
    G("accept-cover", "Cover in a return mailbox.", "ok", {0: 0}, mailbox="return")
    G("accept-submission", "A submission.", "ok", SUB)
    G("accept-acknowledgement", "By a device of the current roster; the proof's roots are two.", "ok", ACK | {4: proof(roots=2)}, **w)
    G("accept-longest-reply", "32,000 bytes of text; by a device of the current roster.", "ok", REPLY | {5: "a" * 32000}, **w)
    G("accept-reply-without-current-card", "Not verified.", "ok", REPLY, mailbox="return", writer=DEV[1].pub[1])
    G("accept-reply-by-a-removed-device", "On the proof's roster, not on the current one. The proof's roster ran out long ago.", "ok",
      REPLY | {4: proof(3, {2: 1_000_000_000, 3: 1_000_086_400})}, mailbox="return", writer=DEV[2].pub[1], **ident)
    G("accept-copy-of-reply", "A copy with text.", "ok", COPY | {5: "We have it."}, **wc)
    G("accept-copy-of-acknowledgement", "A copy without text.", "ok", COPY, **wc)
    G("accept-copy-with-a-roster", "A copy with its writer's proof.", "ok", COPY | {5: "We have it.", 6: proof()}, **wc)
    G("accept-reply-with-senseless-dates", "The proof's roster ends before it begins, and its epoch is above both: a proof's dates are not looked at.",
      "ok", REPLY | {4: proof(2, {1: 10, 2: 5, 3: 4})}, **w)
    G("reject-reply-in-inbox", "Kind 3 where the table does not put it.", "wrong-kind", REPLY, **wc)
    G("reject-submission-in-return-mailbox", "Kind 1 where the table does not put it.", "wrong-kind", SUB, mailbox="return")
    G("reject-unknown-kind", "Kind 5.", "unknown-kind", {0: 5})
    G("reject-copy-by-a-stranger", "A copy whose writer is not on the current roster.", "writer-not-on-roster", COPY, writer=DEV[3].pub[1], **ident)
    G("reject-reply-by-a-link-key", "The writer's key is the link key of a device on the proof's roster, not an identity key.", "writer-not-on-roster",
      REPLY, mailbox="return", writer=DEV[1].pub[2], **ident)
    p = proof()
    G("reject-reply-with-bad-roster-signature", "One bit of the proof's signature changed.", "bad-signature", REPLY | {4: p | {2: flip(p[2])}}, **w)
    other = {0: v.make_roots([ROOT[3]]), 1: roster(2, {0: OTHER})}
    other[2] = v.ed25519_sign(ROOT[3], b"valise1/roster" + other[1])
    G("reject-reply-of-another-mechanism", "A sound proof, but for another address than the phrase's.", "wrong-address", REPLY | {4: other}, **w)
    G("reject-reply-of-32001-bytes", "One byte too many.", "bad-cbor", REPLY | {5: "a" * 32001}, **w)
    G("reject-acknowledgement-off-the-hour", "A time that is not a multiple of 3,600.", "bad-time", ACK | {3: HOUR_NOW + 60}, **w)
    G("reject-reply-keys-with-31-byte-relay-id", "The relay id is a byte too short.", "bad-cbor", submission(d, keys={3: RELAY_ID[:31]}))
    G("reject-submission-to-itself-too", "The mechanism that finds it is among its other addressees.", "bad-addressees",
      submission(d, content(others=[ADDRESS])))
    G("reject-reply-keys-ek-modulus", "The reply key's first coefficient is 4095.", "bad-kem-key",
      submission(d, keys={1: b"\xff\xff" + v.kem_ek(d.reply_kem)[2:]}), spec="§1 §4.5")
    some, listed = content(files=FILES), content(files=LIST_FILE)
    ids = [bytes([n]) * 32 for n in range(1, 10)]
    H = lambda slug, about, expect, c, holders, o={}: G(slug, about, expect, submission(d, c, o if holders is None else o | {5: holders}), spec="§4.5 §9.4")
    H("accept-submission-with-files", "Two files, held by two relays, not in the order of their ids.", "ok", some, sorted([RELAY_ID, RELAY_2], reverse=True))
    H("accept-submission-with-list-of-files", "One attachment that lists the files; eight relays.", "ok", listed, ids[:8])
    H("accept-longest-submission", "A content of 54,000 bytes, eight relays, and an epoch of nine bytes: it fits in an envelope.", "ok", of_size(54000),
      ids[:8], {2: 2**64 - 1})
    H("reject-content-of-54001", "A content of one byte too many, in a message that would fit.", "too-long", of_size(54001), ids[:8])
    H("reject-files-without-holders", "Files, and no key 5.", "bad-holders", some, None)
    H("reject-list-of-files-without-holders", "A list of files, and no key 5.", "bad-holders", listed, None)
    H("reject-holders-without-files", "Key 5, and no files.", "bad-holders", content(), [RELAY_ID])
    R = lambda slug, about, known, repeat: V(f"holders-accept-{slug}", "§9.4", about, "ok", "holders",
                                             {f"known-{n}": r for n, r in enumerate(known)} | {f"repeat-{n}": r for n, r in enumerate(repeat)})
    R("repeat", "A repeat names one relay that is known, one that is not, and that one again.", [ids[4], ids[1]], [ids[2], ids[1], ids[2]])
    R("repeat-of-more-than-eight", "Seven are known, and two others are named: the first of them is added.", ids[:7], [ids[8], ids[7]])
    R("repeat-without-files", "The repeat names none.", [ids[0]], [])
    R("repeat-of-a-submission-without-files", "None is known, because there are no files.", [], [ids[0]])
    H("reject-no-holder", "Key 5 is an empty array.", "bad-cbor", some, [])
    H("reject-nine-holders", "Nine relays.", "bad-cbor", some, ids)
    H("reject-holder-of-31-bytes", "A relay id is a byte too short.", "bad-cbor", some, [RELAY_ID[:31]])


def contents(V):
    def C(slug, about, expect, raw):
        V(f"content-{slug}", "§4.5", about, expect, "content", {"address": ADDRESS, "content": raw})

    a = sorted([OTHER] + [bytes(31) + bytes([n]) for n in range(16)])
    C("accept-all-of-it", "A note, 16 other addressees, 50,000 bytes of text, names that may be public.", "ok",
      content({0: 1, 1: 1, 3: "n" * 2000}, text="a" * 50000, others=a[:16]))
    good = [content(), content({2: 3, 3: "why"}), content({6: "a-"}), content({6: "A" + "b1-" * 11 + "z"}), content(text="\u202e")]
    bad = [content(text=""), content(text="a" * 50001), content({2: 3, 3: ""}), content({3: "n" * 2001}), content({0: 3}), content({1: 3}),
           content({2: 4}), content({4: 5}), content({5: 3}), content({7: 0}), *(content(drop=[n]) for n in (0, 1, 2, 4, 5, 6)),
           content({6: "e"}), content({6: "1en"}), content({6: "-en"}), content({6: "en_GB"}), content({6: "a" * 36}), content({6: "fré"}),
           content(others=a)]
    V("content-table", "§4.5", "Lengths of text and note, values of every key of handling, keys missing, languages, 17 other addressees.", "ok", "cbor",
      {"address": ADDRESS} | {f"good-{n}": x for n, x in enumerate(good)} | {f"bad-{n}": x for n, x in enumerate(bad)})
    C("reject-public-but-ask-government", "Key 1 is 1 and key 0 is 2.", "bad-handling", content({0: 2, 1: 1}))
    C("reject-unobtainable-without-note", "Key 2 is 3 and key 3 is absent.", "bad-handling", content({2: 3}))
    C("reject-unobtainable-and-ask-public", "Key 2 is 3 and key 1 is 2.", "bad-handling", content({2: 3, 3: "why", 1: 2}))
    C("reject-addressee-twice", "Not strictly ascending.", "bad-addressees", content(others=[a[0], a[0]]))
    C("reject-addressee-itself", "The one addressed is among the others.", "bad-addressees", content(others=[ADDRESS]))
    F = lambda slug, about, expect, files: V(f"content-{slug}", "§4.5 §9.4", about, expect, "content", {"address": ADDRESS, "content": content(files=files)})
    F("accept-files", "Two files.", "ok", FILES)
    F("accept-a-file", "An array of one file.", "ok", [PHOTO])
    F("accept-list", "One attachment that lists the files.", "ok", LIST_FILE)
    F("accept-100-files", "A hundred files, in an array of 12,202 bytes.", "ok",
      [attachment(n) for n in range(100)])
    F("accept-array-of-16384-bytes", "The longest array that a writer makes.", "ok", array_of(16384))
    F("reject-array-of-16385-bytes", "One byte more, in a content that is not too long.", "too-long", array_of(16385))
    F("accept-list-short", "The list has 123 bytes, as that of one small file: a reader cannot tell whether a list was needed.", "ok", LIST_FILE | {2: 123})
    F("accept-list-longest", "The length of the list is 8,388,608.", "ok", LIST_FILE | {2: 8388608})
    F("reject-list-of-8388609-bytes", "The list is one byte too long by its attachment: a reader need not get it.", "too-long", LIST_FILE | {2: 8388609})
    F("reject-list-with-a-name", "A list has none.", "bad-list", LIST_FILE | {4: "files"})
    F("reject-list-of-another-media-type", "One map, which is no list by its media type, and no array of one file.", "bad-list",
      LIST_FILE | {5: "application/octet-stream"})
    F("reject-list-with-metadata-1", "A list has metadata 0.", "bad-list", LIST_FILE | {6: 1})
    F("reject-files-not-ascending", "Two files, the greater namespace first.", "not-ascending", FILES[::-1])
    F("reject-last-of-100-files-not-ascending", "The first namespace is at the end.", "not-ascending", [attachment(n) for n in [*range(1, 100), 0]])
    F("reject-file-twice", "The same attachment twice.", "not-ascending", [PHOTO, PHOTO])
    F("reject-namespace-twice", "The same namespace twice, under two names; their encodings ascend.", "not-ascending",
      [PHOTO, PHOTO | {4: "photo 2.jpg"}])
    for name, n, expect in (("accept-54000", 54000, "ok"), ("reject-54001", 54001, "too-long")):
        V(f"content-{name}-bytes", "§4.5 §9.4", f"A hundred files, and {n:,} bytes in all.", expect, "content", {"address": ADDRESS, "content": of_size(n)})
    F("reject-no-attachment", "An empty array.", "bad-cbor", [])
    F("reject-list-in-array", "An array of arrays.", "bad-cbor", [FILES])
    F("reject-attachment-without-media-type", "The one attachment lacks key 5.", "bad-cbor", {k: x for k, x in LIST_FILE.items() if k != 5})
    V("content-reject-files-null", "§1 §4.5", "Null where there are no files: key 3 is left out then.", "bad-cbor", "content",
      {"address": ADDRESS, "content": encode(v.decode(content()) | {3: None})})
